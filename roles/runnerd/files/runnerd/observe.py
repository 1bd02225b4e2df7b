# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting together what is known now: the `World` that the core decides upon, from the journal, Docker, the runners'
output, the processes and GitHub's lists; and what only successive looks can tell: since when a runner is busy, dead, or
should go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from .backoff import Backoff
from .clock import Clock
from .core import is_busy, leave_by
from .evidence import Listener
from .gates import Gates
from .journal import Drain, Journal
from .lists import Lists
from .model import Attempt, Leaving, Machine, MachineStatus, Phase, SlotView, Tri, World
from .provider import Definition, Found, Provider, ProviderDown
from .settings import Pool, Settings
from .ways import gate_keys


@dataclass(frozen=True)
class _Wishes:
    """What the settings and people want, as of one round."""

    settings: Settings
    demand: Mapping[str, int]  # pool -> runners
    drains: Mapping[str, Drain]
    paused: bool
    definition: Definition


class Observer:
    """Looks at everything once a round."""

    def __init__(
        self,
        journal: Journal,
        provider: Provider,
        lists: Lists,
        gates: Gates,
        listener: Listener,
        backoff: Backoff,
        clock: Clock,
        look: Callable[[Iterable[str]], dict[str, Tri]],
    ) -> None:
        """`look`: which of these containers hold a worker process (`evidence.workers`)."""
        self._journal = journal
        self._provider = provider
        self._lists = lists
        self._gates = gates
        self.listener = listener
        self._backoff = backoff
        self._clock = clock
        self._look = look
        self.found: Mapping[str, Found] = {}  # slot -> its container, with its labels, as of the last look
        self._dead: dict[str, float] = {}  # container -> when it was first seen dead
        self._busy_since: dict[int, float] = {}  # attempt -> when it was first seen busy
        self._empty_since: dict[str, float] = {}  # slot -> when it was first seen without a runner

    def observe(
        self, settings: Settings, demand: Mapping[str, int], in_flight: frozenset[str], refresh_wanted_at: float
    ) -> tuple[World, str]:
        """The world, and why Docker does not answer if it does not.

        `in_flight` (slots, ghosts and lists with an action under way) was read before: what Docker says is newer.
        """
        rows = {attempt.slot: attempt for attempt in self._journal.live()}
        found, docker_error = self._containers()
        self.found = found
        wishes = _Wishes(settings, demand, self._journal.drains(), self._journal.paused(), self._provider.definition())
        running = {slot: f.machine.id for slot, f in found.items() if f.machine.status is MachineStatus.RUNNING}
        rows = {slot: self._lists.known_by_name(row) if slot in running else row for slot, row in rows.items()}
        if not docker_error:
            self.listener.follow(
                row.container_id
                for slot, row in rows.items()
                if row.container_id and _was_started(row, slot in in_flight)
            )
            self.listener.hurry(self._dead)
        workers = self._look(running.values()) if running else {}

        now, views = self._clock.now(), []
        self._empty_since = {slot: self._empty_since.get(slot, now) for slot in settings.pool_of.keys() - rows.keys()}
        for slot in _order(settings.pool_of, rows, found):
            machine = Machine(MachineStatus.UNKNOWN) if docker_error else self._machine(found.get(slot))
            worker = workers.get(machine.id, Tri.UNKNOWN)
            views.append(self._view(slot, rows.get(slot), machine, worker, slot in in_flight, wishes))
        now = self._clock.now()
        self._busy_since = {
            v.attempt.id: self._busy_since.get(v.attempt.id, now) for v in views if v.attempt is not None and is_busy(v)
        }
        world = World(
            now=now,
            slots=tuple(views),
            limits=settings.limits,
            gates=self._gates.all(),
            pool_keys={p.name: gate_keys(p.credential, p.scope, p.name, self._gates.apps) for p in settings.pools},
            apps=self._gates.apps,
            lists=self._lists.read_at(),
            ghosts=self._journal.ghosts(),
            busy_ghosts=in_flight,
            refresh_wanted_at=refresh_wanted_at,
            refreshing=in_flight,
        )
        return world, docker_error

    def _containers(self) -> tuple[dict[str, Found], str]:
        """Every slot's container and since when the dead ones are; nothing, and why, if Docker does not answer."""
        try:
            found = self._provider.list()
        except ProviderDown as exc:
            return {}, str(exc)
        now = self._clock.now()
        dead = [f.machine.id for f in found.values() if f.machine.status is MachineStatus.DEAD]
        self._dead = {machine_id: self._dead.get(machine_id, now) for machine_id in dead}
        return found, ""

    def _machine(self, found: Found | None) -> Machine:
        machine = found.machine if found else Machine()
        return replace(machine, dead_since=self._dead[machine.id]) if machine.id in self._dead else machine

    def _view(
        self, slot: str, attempt: Attempt | None, machine: Machine, worker: Tri, in_flight: bool, wishes: _Wishes
    ) -> SlotView:
        pool = wishes.settings.pool_of.get(slot)
        wanted_here = pool is not None and pool.slots.index(slot) < wishes.demand.get(pool.name, 0)
        leaving, limit = self._leaving(slot, wanted_here, attempt, machine, wishes)
        failures = self._backoff.failures(slot)
        return SlotView(
            slot=slot,
            pool=pool.name if pool else attempt.pool if attempt else "",
            wanted=wanted_here and not wishes.paused and leaving in (Leaving.NO, Leaving.CHANGED, Leaving.LOST_DOCKER),
            leaving=leaving,
            leave_by=limit,
            attempt=attempt,
            machine=machine,
            worker=worker,
            output=self.listener.output((attempt.container_id if attempt else None) or machine.id),
            registration=self._lists.registration(attempt),
            in_flight=in_flight,
            busy_since=self._busy_since.get(attempt.id) if attempt else None,
            empty_since=self._empty_since.get(slot, 0.0),
            failures=failures.count,
            retry_at=failures.retry_at,
            failure="paused" if wishes.paused and wanted_here else failures.reason,
        )

    def _leaving(
        self, slot: str, wanted: bool, attempt: Attempt | None, machine: Machine, wishes: _Wishes
    ) -> tuple[Leaving, float | None]:
        """Why a slot's runner should go, and by when."""
        limits, definition = wishes.settings.limits, wishes.definition
        drains = [wishes.drains[target] for target in (slot, "host", "shutdown") if target in wishes.drains]
        if stopped := [drain.at for drain in drains if drain.by == "now"]:
            return Leaving.NOW, min(stopped)
        if drains:
            own = [replace(limits, drain=limits.drain if drain.limit is None else drain.limit) for drain in drains]
            ends = [leave_by(own[i], Leaving.DRAINED, drain.at) for i, drain in enumerate(drains)]
            return Leaving.DRAINED, min((end for end in ends if end is not None), default=None)
        if not wanted:
            reason = Leaving.SCALED_DOWN
        elif attempt is not None and attempt.spec != definition.hashes.get(slot, attempt.spec):
            # What the file does not tell, or cannot (it is not readable now), is no change: nothing could replace it.
            reason = Leaving.CHANGED
        elif machine.lost_docker:
            reason = Leaving.LOST_DOCKER
        else:
            if attempt is not None and attempt.leaving_since is not None:
                self._journal.advance(attempt.id, leaving_since=None)
            return Leaving.NO, None
        if attempt is None:
            return reason, None
        since = attempt.leaving_since
        if since is None:
            since = self._clock.now()
            self._journal.advance(attempt.id, leaving_since=since)
        return reason, leave_by(limits, reason, since)


def _order(pool_of: Mapping[str, Pool], rows: Mapping[str, Attempt], found: Mapping[str, Found]) -> list[str]:
    """The settings' slots in their order, then those that are leaving."""
    rest = sorted((rows.keys() | found.keys()) - pool_of.keys())
    return [*pool_of, *rest]


def _was_started(attempt: Attempt, in_flight: bool) -> bool:
    """Whether its container has an output to read: before the start, reading ends at once."""
    if attempt.phase is Phase.STARTING:
        return not in_flight
    return attempt.phase not in (Phase.CREATING, Phase.MINTING)
