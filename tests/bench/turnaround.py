# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B1: how long a slot stands empty between two jobs."""

from __future__ import annotations

import json
import queue
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import bare, sizes
from tests.bench.samples import OURS, Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage
from tests.e2e.rig import Rig
from tests.lab.github import Data

BARE, AGAIN = "docker rm, create, start", "restart: always"
#: Bash reads the file that BASH_ENV names before anything else: the first instruction of the runner program notes the
#: time, and all that come from it inherit that.
STAMP = '[[ $0 != *run.sh ]] || export BENCH_FIRST="${BENCH_FIRST:-$EPOCHREALTIME}"\n'
JOB = 'sleep {seconds}\necho "bench $BENCH_FIRST $EPOCHREALTIME"\n'
BARE_LOOP = """
for credential in {folder}/bare/*; do
    docker rm --force --volumes {name}
    docker create --name {name} {options} {image} ./run.sh --jitconfig "$(<"$credential")"
    docker start --attach {name}
done
"""
#: The container's layer outlives its jobs, so it can count them there.
AGAIN_ENTRYPOINT = """
turn=$(cat .turn 2>/dev/null || echo 0)
echo $((turn + 1)) >.turn
exec ./run.sh --jitconfig "$(<"{folder}/again/$turn")"
"""
#: What runs for so long (seconds) Docker restarts at once; what ends earlier, after a pause that is twice as long each
#: time, up to a minute.
LONG = 10
#: Seconds between the ends of two ways' jobs: so one's turnaround is over before the other's begins, and with three
#: ways a container is never younger than `LONG`.
GAP = 4.0
PATIENCE = 150.0


class Slot:
    """One way to have a runner, a job, and the next runner.

    Args:
        label: which jobs come to its runners only.
    """

    def __init__(self, rig: Rig, label: str) -> None:
        self._rig = rig
        self._label = label
        self._last: float | None = None

    def turn(self, seconds: int) -> float | None:
        """Run a job of this length, and wait for the next runner.

        Returns:
            Seconds from the last job's last instruction to the first one of the container that this job ran in; None
            for the first job.
        """
        runner = self._online("")
        number = self._rig.job(JOB.format(seconds=seconds), labels=[self._label])
        job = self._rig.github.wait_job(number, seconds + PATIENCE)
        words = next(line for line in job["log"].splitlines() if line.startswith("bench ")).split()
        first, last = (float(word.replace(",", ".")) for word in words[1:])
        before, self._last = self._last, last
        self._online(runner)
        return None if before is None else first - before

    def _online(self, but: str) -> str:
        """Wait for a runner with our label, and another name than that; its name."""

        def ours(runners: list[Data]) -> list[str]:
            mine = [one for one in runners if self._label in one["labels"] and one["name"] != but]
            return [one["name"] for one in mine if one["status"] == "online" and not one["busy"]]

        return ours(self._rig.github.wait_runners(ours, PATIENCE))[0]


def measure(stage: Stage) -> Iterator[Sample]:
    """Both queues with jobs of each length: one that is never empty, and one in which a job comes now and then."""
    rig = stage.rig
    bare.write(rig, "stamp.sh", STAMP)
    where = {"volumes": [f"{bare.FOLDER}:{bare.FOLDER}:ro"], "environment": {"BASH_ENV": f"{bare.FOLDER}/stamp.sh"}}
    rig.base(count=1, extra_labels=["ours"], **where)
    turns = dict.fromkeys((OURS, BARE, AGAIN), sizes.TURNAROUND_TURNS)
    for seconds in sizes.TURNAROUND_LENGTHS:
        if seconds < LONG:
            restarts = turns | {AGAIN: sizes.TURNAROUND_RESTARTS}
            figure = Figure(f"jobs of {seconds} s, one after another", goals=(Goal(1.3, (BARE,)), Goal(1.0, (AGAIN,))))
            with _slots(rig, restarts) as slots:
                yield from _one_by_one(figure, slots, restarts, seconds)
        with _slots(rig, turns) as slots:
            figure = Figure(f"jobs of {seconds} s, now and then", goals=(Goal(1.3, (BARE,)),))
            yield from _staggered(figure, slots, turns, seconds)


@contextmanager
def _slots(rig: Rig, turns: dict[str, int]) -> Iterator[dict[str, Slot]]:
    """A slot of each way, with credentials for so many jobs."""
    with _bare_loop(rig, turns[BARE] + 2), _restarted(rig, turns[AGAIN] + 2):
        yield {OURS: Slot(rig, "ours"), BARE: Slot(rig, "bare"), AGAIN: Slot(rig, "again")}


def _one_by_one(figure: Figure, slots: dict[str, Slot], turns: dict[str, int], seconds: int) -> Iterator[Sample]:
    """A job as soon as there is a runner for it; with none of other ways between those that Docker restarts."""
    for ways in ((OURS, BARE), (AGAIN,)):
        for _turn in range(turns[ways[0]] + 1):
            for way in ways:
                took = slots[way].turn(seconds)
                if took is not None:
                    yield Sample(figure, way, took)


def _staggered(figure: Figure, slots: dict[str, Slot], turns: dict[str, int], seconds: int) -> Iterator[Sample]:
    """All ways at once, but never do two of them change runners at the same time."""
    gap = max(GAP, (seconds + GAP) / len(slots))
    period, begin = gap * len(slots), time.monotonic()
    found: queue.Queue[Sample | Exception | None] = queue.Queue()

    def work(number: int, way: str) -> None:
        try:
            for _turn in range(turns[way] + 1):
                passed = time.monotonic() - begin - number * gap
                time.sleep(-passed if passed < 0 else -passed % period)
                took = slots[way].turn(seconds)
                if took is not None:
                    found.put(Sample(figure, way, took))
            found.put(None)
        except Exception as error:  # goes on in the thread that waits for the samples
            found.put(error)

    for number, way in enumerate(slots):
        threading.Thread(target=work, args=(number, way), daemon=True).start()
    left = len(slots)
    while left:
        sample = found.get()
        if isinstance(sample, Exception):
            raise sample
        if sample is None:
            left -= 1
        else:
            yield sample


@contextmanager
def _bare_loop(rig: Rig, count: int) -> Iterator[None]:
    """A loop of three commands."""
    for number in range(count):
        bare.write(rig, f"bare/{number:03}", bare.credential(rig, f"{bare.NAME}bare-{number}", "bare"))
    service = bare.service(rig)
    text = BARE_LOOP.format(
        folder=bare.FOLDER,
        name=f"{bare.NAME}bare",
        options=shlex.join(bare.options(service)),
        image=service["image"],
    )
    bare.write(rig, "bare.sh", text)
    rig.host.exec("systemd-run", "--unit=bench-bare", "--collect", "bash", f"{bare.FOLDER}/bare.sh")
    try:
        yield
    finally:
        rig.host.exec("systemctl", "stop", "bench-bare", check=False)
        bare.forget(rig, "bare")
        rig.host.exec("rm", "-r", f"{bare.FOLDER}/bare")


@contextmanager
def _restarted(rig: Rig, count: int) -> Iterator[None]:
    """A service of a Compose file: ours, but that Docker restarts it, and the program that takes a new credential."""
    for number in range(count):
        bare.write(rig, f"again/{number}", bare.credential(rig, f"{bare.NAME}again-{number}", "again"))
    bare.write(rig, "again.sh", AGAIN_ENTRYPOINT.format(folder=bare.FOLDER))
    service = bare.service(rig) | {
        "container_name": f"{bare.NAME}again",
        "restart": "always",
        "entrypoint": ["/bin/bash", f"{bare.FOLDER}/again.sh"],
        "profiles": [],
        "labels": {},
        "networks": ["default"],
    }
    compose = f"{bare.FOLDER}/compose.json"
    bare.write(rig, "compose.json", json.dumps({"name": "bench", "services": {"again": service}}))
    rig.host.docker("compose", "--file", compose, "up", "--detach")
    try:
        yield
    finally:
        rig.host.docker("compose", "--file", compose, "down", "--volumes")
        bare.forget(rig, "again")
        rig.host.exec("rm", "-r", f"{bare.FOLDER}/again")


TURNAROUND = Benchmark(
    "B1",
    "turnaround of a slot",
    "From a job's last instruction to the first one of the next runner program; each way has a slot of its own on the "
    "same host, and takes jobs of the same GitHub. What the runner program itself takes to end is in all of them. "
    f"`{BARE}` is a shell's loop of just these commands with the options that our Compose file has, `{AGAIN}` a "
    "service of a Compose file, whose next job finds what the last one left. Both have their credentials made "
    "beforehand; runnerd asks for each when it has the container, and keeps its journal. One after another: the "
    "next job as soon as there is a runner. Docker restarts a container that ran for less than "
    f"{LONG} s after a pause, twice as long each time until it is a minute: so that way has fewer samples, each above "
    f"the last. Now and then: all ways in turns, {GAP:g} s apart or more, so that Docker restarts it at once.",
    measure,
    ("TURNAROUND_",),
)
