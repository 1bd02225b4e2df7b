# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B5: what a job costs of GitHub's budget."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.bench import sizes
from tests.bench.samples import OURS, Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage
from tests.e2e.rig import COUNT
from tests.lab.common import Problem, eventually

WITH_TOKEN, WITH_APP = "registration token", "registration token, by an App"
#: Of the entrypoint of myoung34/github-runner, counted in its scripts: a registration token, a call of config.sh with
#: it, a removal token and a call with that; by an App two more for each token, to find the installation and log in.
ELSEWHERE = {WITH_TOKEN: 4, WITH_APP: 8}
#: What breaks once in each batch of jobs.
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 502, "method": "POST", "path": "generate-jitconfig"},
    {"cut": "after", "method": "POST", "path": "generate-jitconfig"},
    {"status": 500, "method": "GET", "path": "/actions/runners"},
)
CALLS = Figure("calls a job", "", (Goal(1.05),))
POINTS = Figure("points a job", "")
FAULTY_CALLS = Figure(f"calls a job, {len(FAULTS)} faults in each {sizes.CALLS_JOBS} jobs", "", CALLS.goals)
FAULTY_POINTS = Figure(f"points a job, {len(FAULTS)} faults in each {sizes.CALLS_JOBS} jobs", "")
FOR_A_FAULT = Figure("calls more for a fault", "")


def measure(stage: Stage) -> Iterator[Sample]:
    """Batches of jobs without faults, and then with them: what one leaves behind is looked for a while."""
    rig = stage.rig
    rig.base()
    for way, count in ELSEWHERE.items():
        yield Sample(CALLS, way, count)
    without_faults = []
    for _batch in range(sizes.CALLS_BATCHES):
        calls, points = _batch_of_jobs(stage)
        without_faults.append(calls)
        yield Sample(CALLS, OURS, calls)
        yield Sample(POINTS, OURS, points)
    for _batch in range(sizes.CALLS_BATCHES):
        for fault in FAULTS:
            rig.github.fault(**fault, times=1)
        calls, points = _batch_of_jobs(stage)
        if [fault["applied"] for fault in rig.github.faults()] != [1] * len(FAULTS):
            raise Problem(f"Not each fault has come to pass: {rig.github.faults()}")
        yield Sample(FAULTY_CALLS, OURS, calls)
        yield Sample(FAULTY_POINTS, OURS, points)
        yield Sample(FOR_A_FAULT, OURS, (calls - statistics.median(without_faults)) * sizes.CALLS_JOBS / len(FAULTS))
        rig.base()


def _batch_of_jobs(stage: Stage) -> tuple[float, float]:
    """Run a batch, wait until all is well again and nothing looked for; runnerd's calls and points for each job."""
    rig = stage.rig
    since = rig.github.last_request()
    numbers = rig.github.queue("my-org/app", ["self-hosted"], "sleep 1", count=sizes.CALLS_JOBS)
    for number in numbers:
        if (job := rig.github.wait_job(number, 600))["result"] != "Succeeded":
            raise Problem(f"A job has failed: {job}")
    rig.idle(COUNT, 300)
    eventually(lambda: not rig.status()["ghosts"], 300, lambda: f"registrations are still looked for:\n{rig.tell()}", 1)
    asked = [entry for entry in rig.github.journal(since)["entries"] if str(entry["agent"]).endswith("runnerd")]
    stage.say(", ".join(f"{count} {what}" for what, count in Counter(map(_what, asked)).items()))
    points = sum(1 if entry["method"] == "GET" else 5 for entry in asked)
    return len(asked) / len(numbers), points / len(numbers)


def _what(entry: dict[str, Any]) -> str:
    """A request in a few words."""
    return f"{entry['method']} {entry['path'].rpartition('/actions/')[2]} {entry['status'] or 'lost'}"


CALLS_PER_JOB = Benchmark(
    "B5",
    "calls to GitHub",
    "All requests of runnerd from the first of a batch of jobs to the moment when every slot has an online runner "
    "again and no registration is looked for any more, divided by the jobs; a point is what GitHub's secondary limit "
    "counts: 1 for a GET, 5 for all else. Faults: a 502 and a lost answer when a runner is registered, a 500 when "
    "runners are listed. The baselines were counted in the scripts of myoung34/github-runner, not run.",
    measure,
    ("CALLS_",),
)
