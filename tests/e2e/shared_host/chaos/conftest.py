# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of this folder share. Their files are not collected by their names: see `make chaos-host`."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.e2e.rig import Rig
from tests.e2e.witness import Witness

#: systemd reads it at each start of runnerd; it is taken away before the next one.
CRASH = "/var/lib/runnerd-crash"
DROP_IN = f"[Service]\nEnvironmentFile=-{CRASH}\n"
FAILED: pytest.StashKey[bool] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write down whether a test failed, for its fixtures."""
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@pytest.fixture
def witness(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Witness]:
    """One who sees the whole test; what is seen has to bear out all statements."""
    with Witness(rig) as witness:
        yield witness
        rig.github.clear_faults()
        if request.node.stash[FAILED]:
            return  # where it stopped, nothing may ever be quiet
        witness.settle()
        witness.judge()


@pytest.fixture(scope="module")
def crash(shared: Rig) -> Iterator[None]:
    """The unit reads where runnerd is to end."""
    folder = "/etc/systemd/system/runnerd.service.d"
    shared.host.exec("mkdir", "-p", folder)
    shared.host.write(f"{folder}/crash.conf", DROP_IN)
    shared.host.exec("systemctl", "daemon-reload")
    yield
    shared.host.exec("rm", "-r", folder)
    shared.host.exec("systemctl", "daemon-reload")
