# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stage: GitHub, hosts and time together; a play on it is run, watched and judged."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock

from .fates import Fate, fates
from .github import SCOPE, Service
from .history import IDLE, KILLS, QUIET, REGISTERED, History
from .host import Host, Killed
from .invariants import USUAL, Budget, violations
from .world import Time

LEASE = 60.0  # seconds: a worker tells GitHub at least so often that it lives
PATIENCE = 7200.0  # seconds until all must be well again


class Stage:
    """One play. `point` counts every side effect, and is where runnerd can be killed."""

    def __init__(self, folder: Path, seed: int = 0, **wanted: Any) -> None:
        self.time = Time()
        self.history = History(self.time)
        self.service = Service(self.time, self.history)
        self.dice = random.Random(seed)
        self.folder = folder
        self.points: list[str] = []
        self.dies_at = -1  # the number of the point
        self.hosts: list[Host] = []
        self.host = self.add_host("host", "machine")
        self.host.deploy(**wanted)
        self._patches = ExitStack()

    def add_host(self, name: str, machine_id: str) -> Host:
        """One more host."""
        host = Host(self.folder / name, self.time, self.service, self.history, self.dice, machine_id)
        self.hosts.append(host)
        host.point = host.engine.point = self.point
        return host

    def __enter__(self) -> Stage:
        self._patches.enter_context(self.service.in_place_of_the_network())
        self._patches.enter_context(mock.patch("runnerd.effects.crashpoint", self.point))
        self.service.point = self.point
        self.host.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts:
            if host.supervisor is not None:
                host.journal.close()
        self._patches.close()
        self.service.close()
        if kind is not None:
            print(self.history.told())

    def point(self, name: str) -> None:
        """A side effect begins, or has ended: also a moment in which other actions go on."""
        for host in self.hosts:
            # Nothing comes between answer and ear; and who writes to the journal may hold a lock.
            if host.supervisor is not None and not name.startswith("after") and name != "before commit":
                host.flights.overlap()
        self.points.append(name)
        if len(self.points) - 1 == self.dies_at:
            self.dies_at = -1
            self.history.add(KILLS, name)
            raise Killed

    # Time

    def run(self, seconds: float) -> None:
        """Let so much time pass, and all that happens in it."""
        end = self.time.at + seconds
        while True:
            for host in self.hosts:
                host.act()
            self.service.sweep()
            if self.time.at >= end:
                return
            if any(host.engine.containers for host in self.hosts):
                for host in self.hosts:
                    if host.time.at >= host.frozen_until:
                        host.engine.tick()
            due = min(host.due for host in self.hosts)
            if any(container.working for host in self.hosts for container in host.engine.all):
                due = min(due, self.time.at + LEASE)
            self.time.at = min(max(due, self.time.at + 0.01), end)

    def until(self, done: Any, what: str, patience: float = PATIENCE) -> float:
        """Let time pass until it is so; the seconds that it took."""
        began = self.time.at
        while not done():
            assert self.time.at - began < patience, f"{what}: not after {patience} s\n{self.told()}"
            self.run(1.0)
        return self.time.at - began

    # Looking

    def online(self) -> bool:
        """Every wanted slot holds a runner that GitHub has online."""
        github = self.service.github
        live = {runner.name[-12:] for runner in github.runners.values() if github.online(runner)}
        return all(
            set(host.wanted.all) <= {c.slot for c in host.engine.running() if c.id[:12] in live} for host in self.hosts
        )

    def clean(self) -> bool:
        """And nothing else is there, nowhere."""
        github = self.service.github
        containers = {container.id[:12] for host in self.hosts for container in host.engine.all}
        blocks = all(host.engine.definition().hashes.keys() == set(host.wanted.all) for host in self.hosts)
        at_github = {runner.name[-12:] for runner in self.service.ours()}
        jobs = [job for job in github.jobs.values() if job.status != "completed" or job.held]
        old = any(self._of_old_settings(host) for host in self.hosts)
        return self.online() and at_github == containers and blocks and not jobs and not old

    def _of_old_settings(self, host: Host) -> list[str]:
        """The slots whose container has not the present definition, or whose runner has not the present labels."""
        definition, labels = host.engine.definition().hashes, {label.lower() for label in host.wanted.labels}
        labelled = {runner.name[-12:] for runner in self.service.ours() if labels <= set(runner.labels)}
        current = [c.slot for c in host.engine.all if c.spec == definition.get(c.slot) and c.id[:12] in labelled]
        return sorted({c.slot for c in host.engine.all}.difference(current))

    def settle(self, patience: float = PATIENCE) -> float:
        """Wait until all is well, and write down how it is then; the seconds that it took."""
        took = self.until(self.clean, "all is well", patience)
        self.run(60)
        self.look()
        return took

    def idle_hour(self) -> None:
        """All stays as it is when nothing happens. The first hour is for what was left to be looked for."""
        self.run(3600)
        self.history.add(IDLE, on=True, hosts=len(self.hosts))
        self.run(3600)
        self.history.add(IDLE, on=False, hosts=len(self.hosts))
        self.look()

    def look(self) -> None:
        """Write down what there is, everywhere."""
        for host in self.hosts:
            engine = host.engine
            self.history.add(
                QUIET,
                slots=sorted(host.wanted.all),
                containers={c.id[:12]: c.slot for c in engine.all},
                volumes=sorted(volume[:12] for volume in engine.volumes),
                blocks=sorted(engine.definition().hashes),
                old=self._of_old_settings(host),
            )
        names = sorted(runner.name for runner in self.service.ours())
        self.history.add(REGISTERED, names=names)

    def told(self) -> str:
        """How it came to this, and how it is."""
        runners = [f"{r.name} {self.service.github.online(r)}" for r in self.service.github.runners.values()]
        slots = [
            f"{slot.slot}: {slot.state} {slot.reason}"
            for host in self.hosts
            for slot in (host.supervisor.status.slots if host.supervisor else ())
        ]
        return "\n".join([self.history.told(), f"runners of {SCOPE}: {runners}", *slots])

    def came_of_it(self) -> tuple[int, int, int, int]:
        """Jobs that ran, that were ended and reported, that were lost; registrations without a container."""
        jobs = Counter(job.fate for job in fates(self.history.rows))
        here = {container.id[:12] for host in self.hosts for container in host.engine.all}
        ghosts = [one for one in self.service.ours() if one.name[-12:] not in here]
        return jobs[Fate.RAN], jobs[Fate.REPORTED], jobs[Fate.LOST], len(ghosts)

    def judge(self, budget: Budget = USUAL) -> None:
        """The history, as a whole."""
        found = violations(self.history.rows, budget)
        assert not found, "\n".join([self.told(), "", *map(str, found)])
