# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Engine hangs and dies, images are gone, and people stop containers."""

from __future__ import annotations

import random
import time

from tests.chaos.sizes import SEED
from tests.e2e.rig import COUNT, SILENT, Rig
from tests.e2e.witness import Witness

def test_an_engine_that_hangs(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: what Docker does not tell is not taken for anything, and it is not asked for ever."""
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    before = rig.containers()
    rig.host.exec("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", "docker")
    try:
        time.sleep(45)
        assert rig.host.exec("systemctl", "is-active", "runnerd").stdout.strip() == "active"
    finally:
        rig.host.exec("systemctl", "kill", "--kill-whom=main", "--signal=SIGCONT", "docker")
    rig.idle_but_one()
    assert rig.containers() == before
    rig.finish(number)


def test_an_engine_killed_again_and_again(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: the Engine dies at any moment, also between attaching to a container and starting it."""
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    dice = random.Random(SEED)
    slots = [name for name, each in rig.slots().items() if each["state"] == "idle"]
    for _round in range(8):
        witness.by_hand(f"docker rm --force --volumes github-{(slot := dice.choice(slots))}", slot)
        time.sleep(dice.uniform(0, 0.6))
        rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "docker")
        rig.host.exec("systemctl", "reset-failed", "docker", check=False)
        rig.host.exec("systemctl", "start", "docker")
        rig.idle_but_one()
    rig.finish(number)


def test_an_image_that_is_gone(rig: Rig, witness: Witness) -> None:
    """Promise 4: somebody cleans up; the slot says what is missing, and is filled when it is there again."""
    image = rig.host.docker("inspect", "github-runner-1", "--format", "{{.Config.Image}}").strip()
    rig.runnerd("pause")
    witness.by_hand("docker rm --force --volumes github-runner-1 github-runner-2 github-runner-3", *rig.slots())
    rig.host.docker("rmi", "--force", rig.host.docker("image", "inspect", image, "--format", "{{.Id}}").strip())
    rig.runnerd("resume")
    rig.until(lambda slots: all(each["state"] == "backing off" for each in slots.values()))
    assert all(image.split("@")[0] in each["reason"] for each in rig.slots().values()), rig.tell()
    rig.host.docker("pull", image)
    rig.runnerd("resume")


def test_a_busy_container_stopped_by_hand(rig: Rig, witness: Witness) -> None:
    """Promise 4: the job is lost by the user's own hand, which is said; the slot is filled anew."""
    number = rig.counting()
    slot = rig.slot_of(number)
    witness.by_hand(f"docker stop --time 1 github-{slot}", slot)
    rig.idle(COUNT)
    assert rig.github.wait_job(number)["result"] != "Succeeded"
    assert "counting" in rig.runnerd("events", "--last", "20")
