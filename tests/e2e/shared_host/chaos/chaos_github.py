# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub fails, in all its ways."""

from __future__ import annotations

import time

import pytest

from tests.e2e.rig import COUNT, Rig
from tests.e2e.shared_host.chaos.faults import FAULTS
from tests.e2e.witness import Witness

#: Seconds. For whoever waits, lists are read so often.
LIST_SPACING = 5.5


@pytest.mark.parametrize("name", FAULTS)
def test_github(rig: Rig, witness: Witness, name: str) -> None:
    """Promise 3, 4 and 5: nothing that GitHub says wrongly, late or not at all kills a job or leaves a ghost."""
    rig.github.fault(**FAULTS[name])
    number = rig.counting()
    busy = rig.slot_of(number)
    idle = next(slot for slot in sorted(rig.slots()) if slot != busy)
    witness.by_hand(f"docker rm --force --volumes github-{idle}", idle)
    rig.runnerd("wait", "--timeout", "20", check=False)  # it asks GitHub for its list
    (fault,) = rig.github.faults()
    assert fault["applied"], f"it has not struck: {fault}"
    rig.github.clear_faults()
    rig.runnerd("resume")  # what GitHub refused for good is not tried again by itself for a while
    rig.idle_but_one()
    if "short_list" in FAULTS[name]:
        # It was taken for gone, and replaced; two more lists tell that it is there. One is read each ten minutes.
        for _each in range(2):
            rig.runnerd("wait")
            time.sleep(LIST_SPACING)
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


def test_removed_at_github_while_it_listens(rig: Rig, witness: Witness) -> None:
    """Promise 4: nobody tells the runner, which listens for ever; two lists tell runnerd.

    It reads one each ten minutes, and sooner for whoever waits until all are online.
    """
    rig.github.fault(deregister="online", times=1)
    rig.github.wait_runners(lambda runners: len(runners) == COUNT - 1)
    rig.runnerd("wait", timeout=240)
    rig.github.wait_online(COUNT)
    rig.jobs_run()
