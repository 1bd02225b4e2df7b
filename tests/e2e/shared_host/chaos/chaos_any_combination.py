# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.chaos.sizes import SEED
from tests.e2e.rig import Rig
from tests.e2e.witness import Witness
from tests.lab.common import eventually

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "60"))

@pytest.mark.timeout(7200)
def test_any_combination(rig: Rig, witness: Witness) -> None:
    """All promises: jobs come, and things break, at random, by a seed that is told."""
    print(f"CHAOS_SEED={SEED}")
    dice = random.Random(SEED)
    acts: dict[str, Callable[[], object]] = {
        "runnerd killed": lambda: rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "runnerd"),
        "runnerd restarted": lambda: rig.host.exec("systemctl", "restart", "runnerd"),
        "docker killed": lambda: rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "docker"),
        "an idle container removed": lambda: _remove_one_that_is_idle(rig, witness, dice),
        "github fails": lambda: rig.github.fault(**dice.choice(list(FAULTS.values())), times=dice.randint(1, 5)),
        "github is well": rig.github.clear_faults,
        "paused and resumed": lambda: (rig.runnerd("pause", check=False), rig.runnerd("resume", check=False)),
        "reloaded": lambda: rig.runnerd("reload", check=False),
    }
    jobs = []
    for _round in range(ROUNDS):
        jobs += [rig.job(f"sleep {dice.choice((0, 1, 3))}") for _each in range(dice.randint(0, 3))]
        name = dice.choice(sorted(acts))
        print(f"{witness.now():.1f} {name}")
        acts[name]()
        time.sleep(dice.uniform(0, 5))
    rig.github.clear_faults()
    rig.host.exec("systemctl", "reset-failed", "docker", check=False)
    rig.host.exec("systemctl", "start", "docker")
    eventually(lambda: bool(rig.status().get("daemon")), 60, rig.tell)
    rig.runnerd("resume")
    for number in jobs:
        assert rig.github.wait_job(number, 600)["result"] == "Succeeded", rig.tell()


def _remove_one_that_is_idle(rig: Rig, witness: Witness, dice: random.Random) -> None:
    """Of those in which nobody works, by its own processes."""
    names = [name for name in rig.containers() if name.startswith("github-runner-")]
    if names:
        name = dice.choice(sorted(names))
        command = f"docker top {name} 2>/dev/null | grep -q Runner.Worker || docker rm --force --volumes {name}"
        witness.by_hand(command, name.removeprefix("github-"))
