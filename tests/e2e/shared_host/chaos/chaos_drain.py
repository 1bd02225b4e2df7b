# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever leaves while GitHub is wrong about who is busy."""

from __future__ import annotations

import pytest

from tests.e2e.rig import COUNT, Rig
from tests.e2e.witness import Witness

@pytest.mark.parametrize("way", ["smaller count", "new settings", "runnerd drain", "systemctl stop"])
def test_drained_while_busy_is_late(rig: Rig, witness: Witness, way: str) -> None:
    """Promise 3: GitHub calls a runner with a job idle, and lets it be deleted; the job comes to its end."""
    rig.github.fault(busy_lag=60)
    number = rig.job("sleep 25; echo done", name="late")
    rig.github.wait_job(number, until=lambda job: job["status"] == "in_progress")
    count = COUNT
    if way == "smaller count":
        count = 0 if rig.github.job(number)["runner_name"] is None else 1
        witness.says("wants", slots=["runner-1"], drain=600, job=0)
        rig.deploy(count=1)
    elif way == "new settings":
        rig.deploy(extra_labels=["other"])
    elif way == "runnerd drain":
        witness.says("drain", limit=600)
        rig.runnerd("drain", "--wait", timeout=180)
    else:
        witness.says("drain", limit=600)
        rig.host.exec("systemctl", "stop", "github-docker-runners", timeout=180)
    job = rig.github.wait_job(number)
    assert job["result"] == "Succeeded" and "done" in job["log"], job
    if way in ("runnerd drain", "systemctl stop"):
        assert rig.containers() == {} and rig.github.runners() == []
        witness.says("resume")
        rig.host.exec("systemctl", "restart", "github-docker-runners")
    else:
        rig.idle(count)
        witness.says("wants", slots=[f"runner-{each}" for each in (1, 2, 3)], drain=0, job=0)
        rig.github.clear_faults()
        rig.deploy()
