# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B7: thousands of jobs, and whether the last ones are served as the first ones were."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.bench import bare, sizes
from tests.bench.idle import MOST_MEMORY, processor
from tests.bench.jobs import lost
from tests.bench.samples import Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage
from tests.e2e import soak
from tests.e2e.rig import PROJECT_LABEL, Rig
from tests.lab.common import Problem

FIRST, MIDDLE, LAST = TENTHS = "first tenth", "sixth tenth", "last tenth"
#: "None" of drift, as far as numbers that scatter can tell.
NONE = 1.1
TURNAROUND = Figure("a container's end to the start of the next", "s", (Goal(NONE, (FIRST,)),), LAST)
LONGEST = Figure("the longest that a slot stood empty", "s")
PROCESSOR = Figure("runnerd's processor time for a job", "s", (Goal(NONE, (FIRST,)),), LAST)
MEMORY = Figure("runnerd's memory", "MB", (Goal(NONE, (FIRST,)), *MOST_MEMORY), LAST)
#: It is full by half of ten thousand jobs.
DATABASE = Figure("runnerd's database", "MB", (Goal(NONE, (MIDDLE,)),), LAST)
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
    with _events(rig):
        numbers: list[int] = []
        held, ended, begin = _Held(rig, jobs), 0, time.monotonic()
        sampled, progress = begin - EVERY, begin
        while ended < jobs:
            if more := min(jobs - len(numbers), ended + 2 * count - len(numbers)):
                numbers += rig.github.queue("my-org/app", ["self-hosted"], "true", count=more)
            if time.monotonic() - sampled > EVERY:
                sampled = time.monotonic()
                yield from held.samples(ended)
                stage.say(f"{ended} of {jobs} jobs, {60 * ended / (sampled - begin):.0f} a minute")
            time.sleep(PAUSE)
            before, ended = ended, int(rig.host.exec("grep", "-c", " die ", EVENTS, check=False).stdout)
            progress = time.monotonic() if ended > before else progress
            if time.monotonic() - progress > soak.STUCK:
                raise Problem(f"No job has ended for {soak.STUCK:g} s; {ended} of {jobs} had.\n{rig.tell()}")
        rig.idle(count)
        events = rig.host.read(EVENTS).splitlines()
    gaps = turnarounds(events)
    for at, _name, gap in gaps:
        if (way := tenth(at, jobs)) in (FIRST, LAST):
            yield Sample(TURNAROUND, way, gap)
    for slot in sorted({name for _at, name, _gap in gaps}):
        yield Sample(LONGEST, LONGEST.ours, max(gap for _at, name, gap in gaps if name == slot))
    yield Sample(LOST, LOST.ours, lost(rig.github, numbers))


class _Held:
    """What runnerd holds and uses, look by look."""

    def __init__(self, rig: Rig, jobs: int) -> None:
        """`jobs`: how many there will be."""
        self._rig = rig
        self._jobs = jobs
        self._soak = soak.Soak(rig.host, rig.github)
        self._pid = 0
        self._before = 0, 0.0

    def samples(self, ended: int) -> Iterator[Sample]:
        """Of the tenths that are compared. `ended`: how many jobs had ended.

        Raises:
            Problem: runnerd is not the process any more that it was: what it held tells nothing.
        """
        look = self._soak.sample(ended)
        if self._pid not in (0, look.pid):
            raise Problem(f"runnerd was process {self._pid}, and is {look.pid} after {ended} jobs.\n{self._rig.tell()}")
        self._pid, used = look.pid, processor(self._rig.host, str(look.pid))
        way, (jobs, before), self._before = tenth(ended, self._jobs), self._before, (ended, used)
        if way in (FIRST, LAST):
            yield Sample(MEMORY, way, look.memory / 1e6)
            if 0 < jobs < ended:
                yield Sample(PROCESSOR, way, (used - before) / (ended - jobs))
        if way in (MIDDLE, LAST):
            yield Sample(DATABASE, way, look.database / 1e6)


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
    """Which tenth that is, if it is one of those that are compared."""
    for name, last in zip(TENTHS, (1, 6, 10), strict=True):
        if of * (last - 1) / 10 <= at <= of * last / 10:
            return name
    return ""


MANY_JOBS = Benchmark(
    "B7",
    "many jobs",
    "Jobs that do nothing, through slots that never wait for one: the first tenth beside the last. What a slot waits "
    "for is its turn: the processors have more to do than they can. The database keeps "
    "some thousands of runners and events, and grows until then: so the sixth tenth is beside the last.",
    measure,
    ("JOBS",),
)
