# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Engine hangs and dies, images are gone, and people stop containers."""

from __future__ import annotations

import random
import time

from tests.chaos.sizes import SEED
from tests.e2e.rig import COUNT, SILENT, WHERE, Rig
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
    rig.jobs_run()


#: As long as the kernel finds it, it takes who has most of it, and the adjustment counts as nearly all: with one eater
#: alone, that would be the eater. See also test_4_killed.py, for idle ones.
EAT = f"{WHERE}sleep 5; echo 1000 >/proc/1/oom_score_adj; tail /dev/zero & tail /dev/zero"


def test_a_job_that_takes_all_memory_and_the_container_with_it(rig: Rig, witness: Witness) -> None:
    """Promise 4: the kernel ends the container; the job is lost by its own doing, which is reported with the reason."""
    number = rig.job(EAT, name="hungry")
    job = rig.github.wait_job(number)
    assert job["result"] != "Succeeded", job
    rig.idle(COUNT)
    assert "'hungry'" in rig.runnerd("events", "--last", "20")
    assert "its container ran out of memory" in rig.runnerd("events", "--last", "20")
    rig.jobs_run()


def test_a_command_of_a_job_that_takes_all_memory(rig: Rig, witness: Witness) -> None:
    """Promise 3: the kernel ends one of its commands, and nothing else: the job itself goes on to its end."""
    job = rig.github.wait_job(rig.job(f"{WHERE}tail /dev/zero || echo ended with $?", name="hungry"))
    assert job["result"] == "Succeeded" and "ended with 137" in job["log"], job
    rig.idle(COUNT)
    assert "job 'hungry': Succeeded" in rig.runnerd("events", "--last", "20")
