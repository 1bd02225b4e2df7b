# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B6: runnerd killed while all slots are busy."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import bare, sizes
from tests.bench.samples import OURS, Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage
from tests.e2e.rig import Rig
from tests.lab.common import Problem

#: Runs on the host: kill, then ask at the control socket until every slot is told with the runner and the job it had.
KILL = """
import json, socket, subprocess, sys, time


def slots():
    with socket.socket(socket.AF_UNIX) as control:
        control.connect("/run/runnerd/control.sock")
        control.sendall(b'{"command": "status"}' + bytes([10]))
        with control.makefile("rb") as answers:
            status = json.loads(answers.readline())
    return {slot["slot"]: [slot[key] for key in ("state", "container", "runner", "job")] for slot in status["slots"]}


before = slots()
if {state for state, *_more in before.values()} != {"busy"}:
    sys.exit(f"not all are busy: {before}")
begin = time.monotonic()
subprocess.run(["systemctl", "kill", "--signal=SIGKILL", "runnerd"], check=True)
now = None
while now != before:
    if time.monotonic() > begin + 60:
        sys.exit(f"before: {before}, now: {now}")
    time.sleep(0.01)
    try:
        now = slots()
    except (OSError, ValueError):
        now = None
print(time.monotonic() - begin)
"""
CONSISTENT, LOST = Figure("until all slots are known again", goals=(Goal(2.0),)), Figure("jobs lost", "", (Goal(0),))


def measure(stage: Stage) -> Iterator[Sample]:
    """Fill the host with jobs, kill, see what became of them."""
    rig, count = stage.rig, sizes.KILLED_SLOTS
    bare.write(rig, "kill.py", KILL)
    rig.base(count=count)
    for _round in range(sizes.KILLED_TIMES):
        numbers = rig.github.queue("my-org/app", ["self-hosted"], f"sleep {sizes.KILLED_JOB}", count=count)
        rig.until(lambda slots: all(slot["state"] == "busy" and slot["job"] for slot in slots.values()), 120)
        yield Sample(CONSISTENT, OURS, float(rig.host.exec("python3", f"{bare.FOLDER}/kill.py").stdout))
        yield Sample(LOST, OURS, _lost(rig, numbers))
        rig.idle(count, 300)


def _lost(rig: Rig, numbers: list[int]) -> int:
    """How many of these jobs did not run to their end, once; all must have come to one."""
    jobs = [rig.github.wait_job(number, 600) for number in numbers]
    if any(job["status"] != "completed" for job in jobs):
        raise Problem(f"Jobs that do not end: {jobs}")
    return sum(job["result"] != "Succeeded" or len(job["assignments"]) != 1 for job in jobs)


KILLED = Benchmark(
    "B6",
    "runnerd killed with all slots busy",
    "From SIGKILL until runnerd, which systemd has started again, tells of every slot the container, the runner and "
    "the job that it had before; and how many of the jobs did not come to a good end.",
    measure,
)
