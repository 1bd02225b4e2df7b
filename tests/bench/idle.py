# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B4: what runnerd takes of a machine and of GitHub while no job comes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

from tests.bench import sizes
from tests.bench.samples import OURS, Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage
from tests.lab.host import Host

#: Seconds from runnerd's start until runnerd is looked at: by then all that follows a start is over.
REST = 30.0
#: Seconds for all runners to come online, and until the run that waits for them is given up.
ONLINE = 1700
#: What everything else on the machine may take of what the kernel gives one user, see `followed`.
OTHERS = 50
#: What is aimed at: MB with 16 slots, seconds in an hour with 64 (0.5 % of a core), as many calls with 64 as with 4.
MOST_MEMORY, MOST_PROCESSOR = (Goal(60.0),), (Goal(18.0),)
FEW, SOME, MANY = 4, 16, 64
CALLS = Figure("calls to GitHub in an hour", "", (Goal(1.0, (f"{FEW} slots",)),), f"{MANY} slots")


def measure(stage: Stage) -> Iterator[Sample]:
    """Memory, processor time and calls at each number of slots."""
    for slots in sizes.IDLE_SLOTS:
        if slots + OTHERS > followed(stage.rig.host):
            wanted = f"fs.inotify.max_user_instances={slots + 4 * OTHERS}"
            stage.say(f"{slots} slots are left out: this kernel lets nobody follow so many. Do: sudo sysctl {wanted}")
            continue
        stage.rig.base(count=slots, online_timeout=ONLINE)
        stage.rig.host.exec("systemctl", "restart", "runnerd")
        time.sleep(REST)
        yield from _look(stage, slots)


def _look(stage: Stage, slots: int) -> Iterator[Sample]:
    host, github = stage.rig.host, stage.rig.github
    pid, engine = (host.exec("systemctl", "show", "-P", "MainPID", name).stdout.strip() for name in (OURS, "docker"))
    before, engine_before = processor(host, pid), processor(host, engine)
    call, begin = github.last_request(), time.monotonic()
    time.sleep(sizes.IDLE_SECONDS)
    hours = (time.monotonic() - begin) / 3600
    used, calls = processor(host, pid) - before, len(github.journal(call)["entries"])
    engine_used = processor(host, engine) - engine_before
    memory = host.read(f"/proc/{pid}/smaps_rollup")

    def figure(name: str, unit: str, goals: tuple[Goal, ...] = ()) -> Figure:
        return Figure(f"{name}, {slots} slots", unit, goals)

    most_memory, most_processor = MOST_MEMORY if slots == SOME else (), MOST_PROCESSOR if slots == MANY else ()
    yield Sample(figure("resident memory", "MB", most_memory), OURS, megabytes(memory, "Rss"))
    yield Sample(figure("resident memory, shared parts by their share", "MB"), OURS, megabytes(memory, "Pss"))
    yield Sample(figure("processor time in an hour", "s", most_processor), OURS, used / hours)
    yield Sample(figure("processor time of the Engine in an hour", "s"), "dockerd", engine_used / hours)
    yield Sample(CALLS, f"{slots} slots", calls / hours)


def followed(host: Host) -> int:
    """How many journals of containers an Engine can follow: for each it takes one of these."""
    return int(host.read("/proc/sys/fs/inotify/max_user_instances"))


def processor(host: Host, pid: str) -> float:
    """Seconds of the processors' time that a process has used so far, with the programs that it ran."""
    fields = host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def megabytes(rollup: str, name: str) -> float:
    """One line of smaps_rollup."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", rollup, re.MULTILINE)
    assert found, rollup
    return int(found[1]) * 1024 / 1e6


IDLE = Benchmark(
    "B4",
    "runnerd while no job comes",
    "Real containers on a real Engine, each with the stand-in for the runner program, which holds a session at the "
    f"GitHub double as a real one does; all of them idle. Looked at for {sizes.IDLE_SECONDS} s, half a minute after "
    "runnerd was restarted, and scaled to an hour (what it takes after many jobs is in B7). "
    "Processor time has that of the programs that runnerd ran; that of the Engine is for all who ask it, runnerd and "
    "what follows the containers' output. What runners take is in neither. "
    "More than about a hundred slots want more of the kernel than it gives a user by itself "
    "(`fs.inotify.max_user_instances`). runnerd asks for the list of runners every ten minutes: a call for a hundred.",
    measure,
    ("IDLE_",),
)
