# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hundreds of jobs through the real daemon: what it and Docker hold at the end is what they held at the beginning."""

from __future__ import annotations

import os

import pytest

from tests.e2e.rig import Rig
from tests.e2e.soak import Sample, Soak
from tests.e2e.witness import Witness

JOBS = int(os.environ.get("CHAOS_SOAK_JOBS", "300"))
#: Jobs after which whatever is made once has been made.
WARM = 50
#: The journal keeps so many events and attempts. It is filled with as many, so that from then on it must not grow.
KEPT = 10_000
FULL = f"""
import sqlite3
journal = sqlite3.connect("/var/lib/runnerd/journal.sqlite")
with journal:
    journal.executemany("insert into event(at_wall, slot, runner, kind, detail) values (0, ?, ?, ?, ?)",
        [("runner-0", "gh-runner-01-runner-0-%012d" % n, "ended", "job: job 'long ago': Succeeded") for n in range({KEPT})])
    journal.executemany("insert into attempt(slot, pool, scope, credential, phase, since, boot_id, name, container_id,"
        " outcome, reason, began_wall, ended_wall) values ('runner-0', 'default', 'my-org', 'default', 'finished', 0, '',"
        " ?, ?, 'job', 'job ''long ago'': Succeeded', 0, 0)",
        [("gh-runner-01-runner-0-%012d" % n, "%064d" % n) for n in range({KEPT})])
"""
#: How much more there may be after `JOBS` jobs. Threads come and go with runners that start; memory is Python's.
SLACK = {"descriptors": 4, "threads": 3, "containers": 0, "volumes": 0, "networks": 0}
GROWTH = {"memory": 8 * 2**20, "database": 2**20, "folders": 2**20, "docker": 16 * 2**20}


@pytest.mark.timeout(7200)
def test_nothing_leaks(rig: Rig, witness: Witness) -> None:
    """Promise 4 and 5: it runs for ever: no thread, descriptor, memory, disk, container or volume more by any job."""
    rig.host.exec("systemctl", "stop", "runnerd")
    rig.host.exec("python3", "-c", FULL)
    rig.host.exec("systemctl", "start", "runnerd")
    rig.idle(3)
    soak = Soak(rig.host, rig.github)
    samples = [*soak.run(WARM), _at_rest(rig, soak)]
    before = samples[-1]
    samples += soak.run(JOBS)
    after = _at_rest(rig, soak)
    told = "\n".join(map(str, [*samples, after]))
    print(told)
    assert [job.result for job in soak.jobs()] == ["Succeeded"] * (WARM + JOBS)
    assert before.pid == after.pid, "it was restarted"
    for name, more in {**SLACK, **GROWTH}.items():
        assert getattr(after, name) - getattr(before, name) <= more, f"{name}\n{told}"


def _at_rest(rig: Rig, soak: Soak) -> Sample:
    rig.idle(3)
    return soak.sample()
