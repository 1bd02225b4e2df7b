# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks that are really full, while a job runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.rig import COUNT, SILENT, Rig
from tests.e2e.witness import Witness
from tests.lab.common import eventually

STATE = "/var/lib/runnerd"
DATA = "/var/lib/docker"
#: What is written down is in one file from then on, so that not even a little fits into a full disk.
CHECKPOINT = (
    "import sqlite3; "
    f"sqlite3.connect('{STATE}/journal.sqlite', isolation_level=None).execute('pragma wal_checkpoint(truncate)')"
)


@contextmanager
def full(rig: Rig, folder: str) -> Iterator[None]:
    """Whatever becomes free is taken at once."""
    take = f"while :; do cat /dev/zero >>{folder}/filler; sleep 0.1; done"
    rig.host.exec("systemd-run", "--unit=filler", "--collect", "sh", "-c", take)
    try:
        eventually(lambda: _free(rig, folder) == 0, 60, rig.tell)
        yield
    finally:
        rig.host.exec("systemctl", "stop", "filler")
        rig.host.exec("rm", f"{folder}/filler")


def _free(rig: Rig, folder: str) -> int:
    return int(rig.host.exec("df", "--output=avail", folder).stdout.split()[-1])


@pytest.fixture
def small_data_root(rig: Rig) -> Iterator[None]:
    """Docker's data on a disk of their own that only the image fits into, with some to spare."""
    image = rig.host.docker("inspect", "github-runner-1", "--format", "{{.Config.Image}}").strip()
    rig.host.exec("systemctl", "stop", "github-docker-runners")
    rig.host.exec("systemctl", "stop", "runnerd", "docker.socket", "docker")
    rig.host.exec("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", DATA)
    rig.host.exec("systemctl", "start", "docker")
    rig.host.docker("pull", image)
    rig.host.exec("systemctl", "start", "runnerd", "github-docker-runners")
    rig.idle(COUNT)
    yield
    rig.host.exec("systemctl", "stop", "github-docker-runners")
    rig.host.exec("systemctl", "stop", "runnerd", "docker.socket", "docker")
    rig.host.exec("umount", DATA)
    rig.host.exec("systemctl", "start", "docker", "runnerd", "github-docker-runners")


@pytest.mark.usefixtures("small_data_root")
def test_the_data_root_is_full(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: no container can be made; the job goes on, and all is well once there is space."""
    number = rig.counting()
    slot = next(name for name, each in sorted(rig.slots().items()) if each["state"] == "idle")
    before = rig.containers()
    with full(rig, DATA):
        witness.by_hand(f"docker rm --force --volumes github-{slot}", slot)
        rig.until(lambda slots: slots[slot]["state"] == "backing off" and "no space left" in slots[slot]["reason"])
        after = rig.containers()
        assert {after[name] for name in before if name in after} <= set(before.values())
    rig.idle_but_one(400)
    rig.finish(number)


@pytest.fixture
def small_state(rig: Rig) -> Iterator[None]:
    """The state folder on a disk of its own, three megabytes larger than what is in it."""
    rig.host.exec("systemctl", "stop", "runnerd")
    rig.host.exec("python3", "-c", CHECKPOINT)
    size = int(rig.host.exec("du", "-sB1", STATE).stdout.split()[0]) + 3 * 2**20
    rig.host.exec("cp", "-a", STATE, f"{STATE}-kept")
    rig.host.exec("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", STATE)
    rig.host.exec("cp", "-a", f"{STATE}-kept/.", STATE)
    rig.host.exec("systemctl", "start", "runnerd")
    rig.idle(COUNT)
    yield
    rig.host.exec("systemctl", "stop", "runnerd")
    rig.host.exec("umount", STATE)
    # What is here now is older: as a backup that is put back, it knows nobody who lives.
    rig.host.exec("rm", "-r", f"{STATE}-kept")
    rig.host.exec("systemctl", "start", "runnerd")


@pytest.mark.usefixtures("small_state")
def test_the_state_folder_is_full(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: nothing can be written down, so nothing is done; the job goes on, and all is well afterwards."""
    witness.foreseen = "sqlite3.OperationalError: database or disk is full"
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    busy = rig.containers()[f"github-{rig.slot_of(number)}"]
    slot = next(name for name, each in sorted(rig.slots().items()) if each["state"] == "idle")
    since = rig.github.last_request()
    with full(rig, STATE):
        witness.by_hand(f"docker rm --force --volumes github-{slot}", slot)
        eventually(lambda: "is full" in rig.host.journal("--unit=runnerd", "--lines=50"), 90, rig.tell)
        assert busy in rig.containers().values()
        assert f"github-{slot}" not in rig.containers()
        assert not [entry for entry in rig.github.writes(since) if entry["path"].endswith("generate-jitconfig")]
    rig.idle_but_one(400)
    rig.finish(number)
