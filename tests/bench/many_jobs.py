# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B7: thousands of jobs, and whether the last ones are served as the first ones were."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.bench import bare, sizes
from tests.bench.samples import Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage
from tests.e2e import soak
from tests.e2e.rig import PROJECT_LABEL, Rig
from tests.lab.common import Problem

FIRST, LAST = "first tenth", "last tenth"
TURNAROUND = Figure("a container's end to the start of the next", "s", (Goal(1.1, (FIRST,)),), LAST)
LONGEST = Figure("the longest that a slot stood empty", "s")
MEMORY = Figure("runnerd's memory", "MiB", (Goal(1.1, (FIRST,)),), LAST)
DATABASE = Figure("runnerd's database", "MiB", (), LAST)
LOST = Figure("jobs lost", "", (Goal(0),))
#: Docker itself forgets its events soon.
EVENTS = f"{bare.FOLDER}/events"
WATCH = (
    f"docker events --filter type=container --filter label={PROJECT_LABEL} --filter event=start --filter event=die "
    f"--format '{{{{.TimeNano}}}} {{{{.Action}}}} {{{{.Actor.Attributes.name}}}}' >{EVENTS}"
)
#: Seconds between two looks. The stand-in for GitHub is not asked: it tells of all jobs that it ever had.
PAUSE, EVERY = 1.0, 20.0


def measure(stage: Stage) -> Iterator[Sample]:
    """Keep a queue that is never empty, until all jobs are over."""
    rig, count, jobs = stage.rig, sizes.JOBS_SLOTS, sizes.JOBS
    rig.base(count=count)
    samples = []
    with _events(rig):
        numbers: list[int] = []
        watch, ended, begin = soak.Soak(rig.host, rig.github), 0, time.monotonic()
        sampled, progress = begin - EVERY, begin
        while ended < jobs:
            if more := min(jobs - len(numbers), ended + 2 * count - len(numbers)):
                numbers += rig.github.queue("my-org/app", ["self-hosted"], "true", count=more)
            if time.monotonic() - sampled > EVERY:
                sampled = time.monotonic()
                samples.append(watch.sample(ended))
                stage.say(f"{ended} of {jobs} jobs, {60 * ended / (sampled - begin):.0f} a minute")
            time.sleep(PAUSE)
            before, ended = ended, int(rig.host.exec("grep", "-c", " die ", EVENTS, check=False).stdout)
            progress = time.monotonic() if ended > before else progress
            if time.monotonic() - progress > soak.STUCK:
                raise Problem(f"No job has ended for {soak.STUCK:g} s; {ended} of {jobs} had.\n{rig.tell()}")
        rig.idle(count)
        samples.append(watch.sample(jobs))
        events = rig.host.read(EVENTS).splitlines()
    gaps = turnarounds(events)
    for at, _name, gap in gaps:
        if way := tenth(at, jobs):
            yield Sample(TURNAROUND, way, gap)
    for slot in sorted({name for _at, name, _gap in gaps}):
        yield Sample(LONGEST, LONGEST.ours, max(gap for _at, name, gap in gaps if name == slot))
    for one in samples:
        if way := tenth(one.jobs, jobs):
            yield Sample(MEMORY, way, one.memory / 2**20)
            yield Sample(DATABASE, way, one.database / 2**20)
    results = Counter(job["result"] for job in rig.github.jobs() if job["id"] in set(numbers))
    yield Sample(LOST, LOST.ours, jobs - results["Succeeded"])


@contextmanager
def _events(rig: Rig) -> Iterator[None]:
    """Docker's events on the host are written down."""
    bare.write(rig, "events", "")
    rig.host.exec("systemd-run", "--unit=bench-events", "--collect", "sh", "-c", WATCH)
    try:
        yield
    finally:
        rig.host.exec("systemctl", "stop", "bench-events", check=False)


def turnarounds(events: Sequence[str]) -> list[tuple[int, str, float]]:
    """How many containers had ended before, which one ended, and the seconds until the next of its name started."""
    found, died, ended = [], {}, 0
    for line in events:
        nanoseconds, action, name = line.split()
        if action == "die":
            died[name] = ended, int(nanoseconds)
            ended += 1
        elif name in died:
            at, when = died.pop(name)
            found.append((at, name, (int(nanoseconds) - when) / 1e9))
    return found


def tenth(at: int, of: int) -> str:
    """Which tenth that is, if it is one of the two that are compared."""
    return FIRST if at <= of / 10 else LAST if at >= of * 9 / 10 else ""


MANY_JOBS = Benchmark(
    "B7",
    "many jobs",
    "Jobs that do nothing, through slots that never wait for one: the first tenth beside the last. What a slot waits "
    "for is its turn: the processors have more to do than they can. The database keeps the last 10,000 runners and "
    "10,000 events, and grows until then.",
    measure,
)
