# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What both kinds of end-to-end tests begin with: a lab, and the collection as users get it.

The folders `shared_host` and `own_host` run side by side, each with a lab of its own; both name theirs by a fixture
`purpose`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.common import prefix
from tests.lab.lab import Lab
from tests.lab.project import build_artifact


@pytest.fixture(scope="session")
def lab(purpose: str) -> Iterator[Lab]:
    """GitHub and a registry."""
    with Lab(prefix(purpose)) as lab:
        lab.down()
        yield lab.up()


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as it is published."""
    return build_artifact(tmp_path_factory.mktemp("artifact"))
