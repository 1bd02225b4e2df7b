# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fixtures of the stand-in's contract tests: a pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.runner.testing import Runner, Service


@pytest.fixture
def service() -> Iterator[Service]:
    """A service without TLS."""
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """An unconfigured runner."""
    runner = Runner(tmp_path / "runner")
    yield runner
    runner.stop()
