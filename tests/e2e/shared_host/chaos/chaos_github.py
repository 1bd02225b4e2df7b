# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub fails, in all its ways."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.rig import COUNT, Rig
from tests.e2e.witness import Witness

#: Each with what runnerd has to live through: a runner that is gone, and one with a job.
FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500, "path": "/actions/"},
    "503 as HTML": {"html": 503, "path": "/actions/"},
    "401 for a while": {"status": 401, "path": "/actions/"},
    "403": {"status": 403, "path": "/actions/"},
    "404": {"status": 404, "path": "/actions/"},
    "429 with Retry-After": {"status": 429, "retry_after": 10, "path": "/actions/"},
    "slow": {"delay": 8, "path": "/actions/"},
    "cut half-way through a list": {"truncate": 200, "path": "/actions/runners$"},
    "broken JSON": {"malformed": True, "path": "/actions/"},
    "no answer to a JIT configuration": {"cut": "after", "method": "POST", "path": "generate-jitconfig"},
    "no way to ask for a JIT configuration": {"cut": "before", "method": "POST", "path": "generate-jitconfig"},
    "busy comes late": {"busy_lag": 60},
    "busy flickers": {"flicker": "busy"},
    "status flickers": {"flicker": "status"},
    "a list that lacks its last": {"short_list": 1},
    "completion reported early": {"complete_early": 2},
}


@pytest.mark.parametrize("name", FAULTS)
def test_github(rig: Rig, witness: Witness, name: str) -> None:
    """Promise 3, 4 and 5: nothing that GitHub says wrongly, late or not at all kills a job or leaves a ghost."""
    rig.github.fault(**FAULTS[name])
    number = rig.counting()
    busy = rig.slot_of(number)
    idle = next(slot for slot in sorted(rig.slots()) if slot != busy)
    witness.by_hand(f"docker rm --force --volumes github-{idle}", idle)
    time.sleep(20)
    rig.github.clear_faults()
    rig.runnerd("resume")  # what GitHub refused for good is not tried again by itself for a while
    rig.idle_but_one()
    rig.finish(number)


def test_removed_at_github_while_it_works(rig: Rig) -> None:
    """Promise 3: its registration is gone, so GitHub takes no result from it; but its job comes to its end.

    No witness: GitHub never hears of that end.
    """
    rig.github.fault(deregister="acknowledge", times=1)
    number = rig.counting()
    slot = rig.slot_of(number)
    container = rig.containers()[f"github-{slot}"]
    time.sleep(20)
    assert rig.containers()[f"github-{slot}"] == container
    rig.host.docker("exec", container, "touch", "/tmp/finish")
    rig.idle(COUNT)
    assert "job 'counting': Succeeded" in rig.runnerd("events", "--last", "20")


@pytest.mark.timeout(3600)
def test_removed_at_github_while_it_listens(rig: Rig, witness: Witness) -> None:
    """Promise 4: nobody tells the runner, which listens for ever; two lists, ten minutes apart, tell runnerd."""
    rig.github.fault(deregister="online", times=1)
    witness.by_hand("docker rm --force --volumes github-runner-1", "runner-1")
    rig.github.wait_runners(lambda runners: len(runners) < COUNT)
    rig.github.wait_online(COUNT, 1500)
    rig.jobs_run()
