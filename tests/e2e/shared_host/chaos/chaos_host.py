# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages are upgraded under a job."""

from __future__ import annotations

from tests.e2e.rig import SILENT, Rig
from tests.e2e.witness import Witness

def test_packages_upgraded_under_a_job(rig: Rig, witness: Witness) -> None:
    """Promise 3: unattended upgrades put in a new libc and a new Docker, and needrestart restarts what uses the old."""
    apt = "DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -qq -y -o DPkg::Lock::Timeout=300"
    rig.host.exec("sh", "-c", f"apt-get -qq update && {apt} install --no-install-recommends needrestart", timeout=300)
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    before = rig.containers()
    said = rig.host.exec("sh", "-c", f"{apt} install --reinstall libc6 && needrestart -r a", timeout=300)
    assert "docker.service" not in _restarted(said.stdout) and "containerd.service" not in _restarted(said.stdout)
    assert "runnerd.service" in _restarted(said.stdout), said.stdout  # it saw that something uses the old one
    rig.host.exec("sh", "-c", f"{apt} install --reinstall docker.io containerd", timeout=300)
    rig.idle_but_one()
    assert rig.containers() == before
    rig.finish(number)


def _restarted(said: str) -> str:
    """What needrestart says that it restarts, without what it leaves alone."""
    return said.partition("Service restarts being deferred")[0]
