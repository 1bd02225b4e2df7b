# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B3: what a run of the playbook costs, beside the same end state written the obvious way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench import sizes
from tests.bench.playbook_fleet import Cost, Fleet
from tests.bench.samples import Benchmark, Figure, Goal, Sample
from tests.bench.stage import Stage
from tests.lab.common import Problem

#: Runners of a host.
SLOTS = 3

ROLE = "deploy"
OBVIOUS = "a task a file"
ARCHIVE = "a task a file, the daemon as an archive"


@dataclass(frozen=True)
class _Figures:
    """What is told of one number of hosts."""

    hosts: int

    def of(self, name: str, unit: str = "s", goal: float | None = None) -> Figure:
        where = "one host" if self.hosts == 1 else f"{self.hosts} hosts"
        goals = () if goal is None else (Goal(goal, (OBVIOUS,)),)
        return Figure(f"{name}, {where}", unit, goals, ROLE)

    def first(self, way: str, cost: Cost) -> Iterator[Sample]:
        yield Sample(self.of("first deploy"), way, cost.seconds)

    def second(self, way: str, cost: Cost) -> Iterator[Sample]:
        yield Sample(self.of("second run", goal=0.5), way, cost.seconds)
        yield Sample(self.of("second run: processor time"), way, cost.processor)
        yield Sample(self.of("second run: tasks of a host", ""), way, cost.tasks)
        yield Sample(self.of("second run: round trips to a host", ""), way, cost.trips)

    def one_more(self, way: str, cost: Cost) -> Iterator[Sample]:
        yield Sample(self.of("one slot more"), way, cost.seconds)


def measure(stage: Stage) -> Iterator[Sample]:
    """All that is told of each number of hosts."""
    for count in sizes.HOSTS:
        fleet = Fleet(stage, count, SLOTS)
        try:
            yield from _measure(fleet, _Figures(count))
        finally:
            fleet.remove()


def _measure(fleet: Fleet, figures: _Figures) -> Iterator[Sample]:
    for _time in range(sizes.FIRST_DEPLOYS):
        fleet.blank()
        yield from figures.first(ROLE, fleet.deploy(SLOTS))
        fleet.take_files(SLOTS)
        yield from figures.one_more(ROLE, fleet.deploy(SLOTS + 1))
        fleet.take_files(SLOTS + 1)

        fleet.blank()
        yield from figures.first(OBVIOUS, fleet.baseline(SLOTS))
        _unchanged(fleet.deploy(SLOTS))  # both come to the same
        yield from figures.one_more(OBVIOUS, fleet.baseline(SLOTS + 1))
        _unchanged(fleet.deploy(SLOTS + 1))
        fleet.deploy(SLOTS, "-e", "github_docker_runners_wait_for_drain=true")

    fleet.baseline(SLOTS, archive=True)  # gives the files the times that they have in the archive
    for _time in range(sizes.SECOND_RUNS):
        yield from figures.second(ROLE, _unchanged(fleet.deploy(SLOTS)))
        yield from figures.second(OBVIOUS, _unchanged(fleet.baseline(SLOTS)))
        yield from figures.second(ARCHIVE, _unchanged(fleet.baseline(SLOTS, archive=True)))


def _unchanged(cost: Cost) -> Cost:
    """A run that had nothing to do.

    Raises:
        Problem: it did something.
    """
    if cost.changed:
        raise Problem(f"A run that should have had nothing to do has changed {cost.changed} things.")
    return cost


PLAYBOOK = Benchmark(
    "B3",
    "a run of the playbook",
    f"Each host is to have {SLOTS} runners. `{ROLE}` is this collection's playbook. The baseline is "
    "`tests/bench/baseline/deploy.yml`: facts, packages, a task for each file (but the daemon's code is one, "
    "`ansible.builtin.copy` of a folder, which takes two steps on the host for each file), `docker_image_pull` and "
    "`docker_compose_v2` of `community.docker`. It templates nothing and asks GitHub nothing, which ours does. The "
    "same with the daemon as one archive is for whoever would have done that. All come to the same end: after the "
    "baseline, ours changes nothing. All have the same inventory, with pipelining, and Ansible's own number of forks. "
    "A second run is one that changes nothing. Processor time is that of Ansible and of all hosts; the machine has "
    "both. A round trip is one command or file over SSH: here it takes next to no time, elsewhere the line's latency. "
    "Several hosts are as many containers with systemd and an Engine of their own, on one machine.",
    measure,
    ("HOSTS", "FIRST_DEPLOYS", "SECOND_RUNS"),
)
