# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B6: runnerd killed while all slots are busy."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import bare, sizes
from tests.bench.jobs import lost
from tests.bench.samples import OURS, Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage

#: Runs on the host: kill, then ask at the control socket until another runnerd tells of every slot with the runner and
#: the job it had, and all the containers are still there.
KILL = """
import json, socket, subprocess, sys, time


def slots():
    with socket.socket(socket.AF_UNIX) as control:
        control.connect("/run/runnerd/control.sock")
        control.sendall(b'{"command": "status"}' + bytes([10]))
        with control.makefile("rb") as answers:
            status = json.loads(answers.readline())
    return {slot["slot"]: [slot[key] for key in ("state", "container", "runner", "job")] for slot in status["slots"]}


def pid():
    return subprocess.run(["systemctl", "show", "-P", "MainPID", "runnerd"], capture_output=True, check=True).stdout


def containers():
    listed = subprocess.run(["docker", "ps", "--quiet"], capture_output=True, text=True, check=True).stdout
    return sorted(listed.split())


killed, running, before = pid(), containers(), slots()
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
took = time.monotonic() - begin
if pid() == killed or containers() != running:
    sys.exit(f"before: {killed}, {running}; now: {pid()}, {containers()}")
print(took)
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
        yield Sample(LOST, OURS, lost(rig.github, numbers))
        rig.idle(count, 300)


KILLED = Benchmark(
    "B6",
    "runnerd killed with all slots busy",
    "From SIGKILL until runnerd, which systemd has started again, tells of every slot the container, the runner and "
    "the job that it had before, and Docker has the same containers; and how many of the jobs did not come to a good "
    "end, each on one runner.",
    measure,
    ("KILLED_",),
)
