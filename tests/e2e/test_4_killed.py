# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promise 4: whatever ends a runner, the slot is made fresh: a new container id within five seconds."""

from __future__ import annotations

import itertools

import pytest

from tests.e2e.rig import Rig
from tests.lab.common import eventually

ROUNDS = 100

# What ends a container, by hand. The listener's end makes run.sh end, with 0 whatever the listener's own code was.
WAYS = {
    "137": ("docker", "kill", "{name}"),
    "143": ("docker", "stop", "--time", "3", "{name}"),
    "0": ("docker", "exec", "{name}", "pkill", "-KILL", "-f", "Runner.Listener"),
    "1": ("docker", "exec", "--user", "0", "{name}", "pkill", "-KILL", "-f", "run.sh"),
    "rm": ("docker", "rm", "--force", "{name}"),
    "restart": ("docker", "restart", "--time", "3", "{name}"),
}


def test_a_hundred_rounds_of_killing(rig: Rig) -> None:
    ways = itertools.cycle(WAYS.items())
    slowest = 0.0
    for number in range(ROUNDS):
        slot = f"runner-{number % 3 + 1}"
        name = f"github-{slot}"
        rig.until(lambda slots, slot=slot: slots[slot]["state"] == "idle", 30)  # type: ignore[misc]  # bound on purpose
        before = rig.containers()[name]
        how, command = next(ways)
        rig.host.exec(*(word.format(name=name) for word in command), check=False)

        def fresh(name: str = name, before: str = before) -> bool:
            return rig.containers().get(name, before) != before

        eventually(fresh, 5, lambda how=how: f"{how}: {rig.tell()}")  # type: ignore[misc]  # bound on purpose
    rig.idle(3)
    assert slowest == 0.0


def test_the_out_of_memory_killer(rig: Rig) -> None:
    rig.deploy(memory="96m", environment={"STANDIN_FAULTS": "listener-eats-memory"}, count=1, online_timeout=1)
