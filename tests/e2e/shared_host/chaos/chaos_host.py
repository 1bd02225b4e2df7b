# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages are upgraded under a job, and the daemon's clock jumps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.doubles.github.settings import moment
from tests.e2e.rig import SILENT, Rig
from tests.e2e.witness import Witness

APT = "DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -qq -y -o DPkg::Lock::Timeout=300"


def test_packages_upgraded_under_a_job(rig: Rig, witness: Witness) -> None:
    """Promise 3: unattended upgrades put in a new libc and a new Docker, and needrestart restarts what uses the old."""
    rig.host.exec("sh", "-c", f"apt-get -qq update && {APT} install --no-install-recommends needrestart", timeout=300)
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    before = rig.containers()
    said = rig.host.exec("sh", "-c", f"{APT} install --reinstall libc6 && needrestart -r a", timeout=300)
    assert "docker.service" not in _restarted(said.stdout) and "containerd.service" not in _restarted(said.stdout)
    assert "runnerd.service" in _restarted(said.stdout), said.stdout  # it saw that something uses the old one
    rig.host.exec("sh", "-c", f"{APT} install --reinstall docker.io containerd", timeout=300)
    rig.idle_but_one()
    assert rig.containers() == before
    rig.finish(number)


def _restarted(said: str) -> str:
    """What needrestart says that it restarts, without what it leaves alone."""
    return said.partition("Service restarts being deferred")[0]


#: Read anew each second; monotonic clocks stay as they are, as on a host whose time is set.
CLOCK = "/var/lib/runnerd-clock"
FAKED = f"""[Service]
Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
Environment=FAKETIME_TIMESTAMP_FILE={CLOCK} FAKETIME_CACHE_DURATION=1 FAKETIME_DISABLE_SHM=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1
"""


@pytest.fixture
def clock(rig: Rig) -> Iterator[Callable[[int], None]]:
    """Sets the clock of the real daemon, in seconds from the right time."""
    folder = "/etc/systemd/system/runnerd.service.d"
    rig.host.exec("sh", "-c", f"apt-get -qq update && {APT} install --no-install-recommends libfaketime", timeout=300)

    def wrong_by(seconds: int) -> None:
        rig.host.write(CLOCK, f"{seconds:+d}\n")

    wrong_by(0)
    rig.host.exec("mkdir", "-p", folder)
    rig.host.write(f"{folder}/clock.conf", FAKED)
    rig.host.exec("systemctl", "daemon-reload")
    rig.host.exec("systemctl", "restart", "runnerd")
    yield wrong_by
    rig.host.exec("rm", "-r", folder)
    rig.host.exec("systemctl", "daemon-reload")
    rig.host.exec("systemctl", "restart", "runnerd")


def test_a_clock_that_jumps(rig: Rig, clock: Callable[[int], None], witness: Witness) -> None:
    """Promise 3 and 4: an hour ahead and back; no limit passes by it, and slots are filled as ever."""
    number = rig.counting()
    leaving = rig.slot_of(number)
    busy = rig.containers()[f"github-{leaving}"]
    witness.says("drain", leaving, limit=900)
    rig.runnerd("drain", "--limit", "900", leaving)
    for wrong_by in (3600, 0, 3600, 0):
        clock(wrong_by)
        time.sleep(3)
        rig.jobs_run()
        told = moment(rig.runnerd("events", "--last", "1").split()[0])
        assert abs(told - rig.now() - wrong_by) < 60, "its clock is another one"
        assert rig.containers()[f"github-{leaving}"] == busy
    witness.says("resume")
    rig.runnerd("resume")
    rig.idle_but_one()
    rig.finish(number)
