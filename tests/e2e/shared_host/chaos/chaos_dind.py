# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The default mode: each runner with a Docker of its own, in a second container. Both are one machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.rig import COUNT, SILENT, WHERE, Rig
from tests.e2e.shared_host.chaos.chaos_runnerd import POINTS, killed_at
from tests.e2e.witness import Witness
from tests.lab.common import eventually

NAMES = {f"github-runner-{number}{which}" for number in range(1, COUNT + 1) for which in ("", "-docker")}


@pytest.fixture
def rig(shared: Rig, dind: dict[str, Any]) -> Rig:
    """The host with three idle runners, each with a Docker of its own."""
    shared.base(**{**dind, "count": COUNT})
    # Until then there may be an idle runner of an old definition.
    eventually(lambda: shared.containers().keys() == NAMES, 90, shared.tell)
    shared.idle(COUNT)
    return shared


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.usefixtures("crash")
def test_killed_at_a_side_effect(rig: Rig, witness: Witness, point: str) -> None:
    """Promise 3 and 4: runnerd is gone while half of a machine may be there; the next one leaves no half behind."""
    killed_at(rig, witness, point)
    assert rig.containers().keys() == NAMES


@pytest.mark.parametrize("half", ["", "-docker"])
def test_half_a_machine_is_removed_under_a_job(rig: Rig, witness: Witness, half: str) -> None:
    """Promise 4: by hand. A job that loses its container is reported; one that loses its Docker goes on."""
    number = rig.counting()
    slot = rig.slot_of(number)
    witness.by_hand(f"docker rm --force --volumes github-{slot}{half}", slot)
    if half:
        rig.finish(number)
    rig.idle(COUNT)
    assert rig.containers().keys() == NAMES
    assert half or "job lost" in rig.runnerd("events", "--last", "20")


def test_an_engine_killed_under_a_job(rig: Rig, witness: Witness) -> None:
    """Promise 1 and 4: both halves of all machines outlive the host's Docker, and the job has its own to the end."""
    rig.github.settings(lease_life=SILENT)
    number = rig.job(f"{WHERE}docker info >first; until [ -e /tmp/finish ]; do sleep 1; done; docker info", name="long")
    rig.github.wait_job(number, until=lambda job: job["status"] == "in_progress")
    slot, before = rig.slot_of(number), rig.containers()
    rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "docker")
    eventually(lambda: rig.host.exec("docker", "info", check=False).rc == 0, 60, rig.tell)
    rig.idle_but_one()
    assert rig.containers() == before
    rig.host.docker("exec", f"github-{slot}", "touch", "/tmp/finish")
    assert rig.github.wait_job(number)["result"] == "Succeeded"
