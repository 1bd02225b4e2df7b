# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of this folder share. Their files are not collected by their names: see `make chaos-host`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.rig import Rig
from tests.e2e.witness import Witness


@pytest.fixture
def witness(rig: Rig) -> Iterator[Witness]:
    """One who sees the whole test; what is seen has to bear out all statements."""
    with Witness(rig) as witness:
        yield witness
        rig.github.clear_faults()
        witness.settle()
        witness.judge()
