# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop: observe, decide, act, tell; and what must be remembered between two rounds.

One thread runs it. Actions run in worker threads, and a slot with one in flight is left out of the next decision, so no
observation older than its last action can ever be acted upon.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import GitHubError
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner

from .broker import Broker
from .clock import Clock
from .core import back_off, decide, is_busy, leave_by, scope_key
from .demand import Demand, FixedDemand
from .effects import Effects, Ended
from .evidence import Listener
from .journal import Drain, Journal
from .model import (
    BLAMELESS,
    Action,
    Adopt,
    Attempt,
    Chase,
    Clear,
    Deregister,
    Explained,
    Fill,
    Leaving,
    Machine,
    MachineStatus,
    Phase,
    Refresh,
    Registration,
    SlotView,
    Stop,
    Tri,
    World,
)
from .provider import Definition, Found, Provider, ProviderDown, ProviderError
from .settings import Pool, Settings, SettingsError, load_settings
from .status import SlotStatus, Status

log = logging.getLogger("runnerd")

#: Seconds between two rounds at the most. Everything urgent wakes the loop by itself.
ROUND = 15.0
#: A runner that was online for longer than this (seconds) begins a slot's count of bad ends anew.
LASTING = 60.0


@dataclass
class _Listing:
    """GitHub's list for one scope, and what it was before."""

    at: float = float("-inf")
    runners: dict[str, Runner] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)  # attempt -> complete lists in a row without its runner
    suspects: set[str] = field(default_factory=set)  # offline runners of ours without a container, as of this list
    offline: dict[str, float] = field(default_factory=dict)  # runner -> since when each list shows it offline and idle


@dataclass
class _Failures:
    """Bad ends in a row."""

    count: int = 0
    retry_at: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class _Try:
    """The last launch of an action, by what it was launched upon: the same again means that it brought nothing."""

    upon: tuple[object, ...]
    at: float
    count: int = 0


class Supervisor:
    """Keeps the slots as the settings want them."""

    def __init__(
        self,
        settings_file: Path,
        settings: Settings,
        journal: Journal,
        provider: Provider,
        broker: Broker,
        clock: Clock,
        executor: Executor,
        look: Callable[[Iterable[str]], dict[str, Tri]],
    ) -> None:
        """`look`: which of these containers hold a worker process (`evidence.workers`)."""
        self._settings_file = settings_file
        self.settings = settings
        self._journal = journal
        self._provider = provider
        self._broker = broker
        self._clock = clock
        self._executor = executor
        self._look = look
        self._demand: Demand = FixedDemand(settings)
        self._effects = Effects(journal, provider, broker, clock, look)
        self._listener = Listener(provider, self.wake)
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._rounds = threading.Condition()
        self._begun = self._ended_rounds = 0
        self._flights: dict[str, Future[Ended | None]] = {}
        self._lists: dict[str, _Listing] = {}
        self._failures: dict[str, _Failures] = {}
        self._dead: dict[str, float] = {}
        self._shown: dict[str, tuple[str, float]] = {}
        self._refresh_wanted = False
        self._tries: dict[str, _Try] = {}
        self._busy_since: dict[int, float] = {}
        self.restart_wanted: Callable[[], None] = lambda: None
        self._left: set[str] = set()
        self.ended: list[Ended] = []  # for the metrics; taken by `take_ended`
        self.status = Status(version=settings.version)

    # The loop

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    def run(self, stopping: threading.Event, after_round: Callable[[], None]) -> None:
        """Round after round until `stopping` is set."""
        while not stopping.is_set():
            self._wake.clear()
            wake_at = self.round()
            after_round()
            wait = ROUND if wake_at is None else min(max(wake_at - self._clock.now(), 0.05), ROUND)
            self._wake.wait(wait)

    def round(self) -> float | None:
        """Observe, decide, act, tell. Returns when the next round is due at the latest."""
        with self._lock:
            self._begun += 1
            this = self._begun
            self._land()
            world, docker_error = self._observe()
            plan = decide(world)
            wake_at = plan.wake_at
            for action in plan.actions:
                paused = self._pause(action, world)
                if paused is None:
                    self._launch(action, world)
                else:
                    wake_at = paused if wake_at is None else min(wake_at, paused)
            self._tell(world, plan.explained, docker_error)
            self._release_left(world)
        with self._rounds:
            self._ended_rounds = this
            self._rounds.notify_all()
        return wake_at

    def see_through(self, timeout: float = 30.0) -> None:
        """Return when a round has ended that began after this call: the status then tells of what was asked before."""
        with self._rounds:
            wanted = self._begun + 1
            self.wake()
            if not self._rounds.wait_for(lambda: self._ended_rounds >= wanted, timeout):
                raise TimeoutError("it was noted, but the loop has not come round since. See: journalctl -u runnerd")

    def current_status(self) -> Status:
        """The status of the last round, its durations as of now."""
        return self.status.aged(self._clock.now())

    def _land(self) -> None:
        """Take in what the finished actions brought."""
        for name, flight in list(self._flights.items()):
            if not flight.done():
                continue
            del self._flights[name]
            try:
                ended = flight.result()
            except Exception as exc:  # a bug must not end the loop: the slot is tried again later, and the log tells
                log.exception("%s: an action failed in an unforeseen way", name)
                self._failures[name] = _Failures(1, self._clock.now() + 30.0, f"internal error: {exc}")
                continue
            if ended is not None:
                self._account(ended)

    def _account(self, ended: Ended) -> None:
        self.ended.append(ended)
        if ended.outcome in BLAMELESS:
            self._failures.pop(ended.slot, None)
            return
        if ended.online_for is not None and ended.online_for > LASTING:
            self._failures.pop(ended.slot, None)
        count = self._failures.get(ended.slot, _Failures()).count + 1
        retry_at = self._clock.now() + back_off(count, ended.online_for is not None)
        self._failures[ended.slot] = _Failures(count, retry_at, ended.reason)

    # Observing

    def _observe(self) -> tuple[World, str]:
        """What is known now. The order matters: what is in flight is read before what Docker says."""
        in_flight = set(self._flights)
        rows = {attempt.slot: attempt for attempt in self._journal.live()}
        docker_error = ""
        try:
            found = self._provider.list()
        except ProviderDown as exc:
            found, docker_error = {}, str(exc)
        definition = self._provider.definition()
        now = self._clock.now()
        pool_of = self.settings.pool_of
        drains = self._journal.drains()
        paused = self._journal.paused()
        alive_slots = {slot for slot, f in found.items() if f.machine.status is MachineStatus.RUNNING}
        rows = {slot: self._known_by_name(row) if slot in alive_slots else row for slot, row in rows.items()}

        if not docker_error:
            self._listener.follow(
                row.container_id
                for slot, row in rows.items()
                if row.container_id and _was_started(row, slot in in_flight)
            )
            dead = [f.machine.id for f in found.values() if f.machine.status is MachineStatus.DEAD]
            self._dead = {machine_id: self._dead.get(machine_id, now) for machine_id in dead}
        running = [f.machine.id for f in found.values() if f.machine.status is MachineStatus.RUNNING]
        workers = self._look(running) if running else {}

        demand = self._demand.desired()
        views = []
        for slot in self._order(pool_of, rows, found):
            pool = pool_of.get(slot)
            attempt = rows.get(slot)
            machine = found[slot].machine if slot in found else Machine()
            if docker_error:
                machine = Machine(MachineStatus.UNKNOWN)
            elif machine.id in self._dead:
                machine = replace(machine, dead_since=self._dead[machine.id])
            wanted_here = pool is not None and pool.slots.index(slot) < demand.get(pool.name, 0)
            leaving, limit = self._leaving(slot, wanted_here, attempt, definition, drains)
            failures = self._failures.get(slot, _Failures())
            views.append(
                SlotView(
                    slot=slot,
                    pool=pool.name if pool else attempt.pool if attempt else "",
                    wanted=wanted_here and not paused and leaving in (Leaving.NO, Leaving.CHANGED),
                    leaving=leaving,
                    leave_by=limit,
                    attempt=attempt,
                    machine=machine,
                    worker=workers.get(machine.id, Tri.UNKNOWN),
                    output=self._listener.output((attempt.container_id if attempt else None) or machine.id),
                    registration=self._registration(attempt),
                    in_flight=slot in in_flight,
                    busy_since=self._busy_since.get(attempt.id) if attempt else None,
                    failures=failures.count,
                    retry_at=failures.retry_at,
                    failure="paused" if paused and wanted_here else failures.reason,
                )
            )
        self._busy_since = {
            v.attempt.id: self._busy_since.get(v.attempt.id, now) for v in views if v.attempt is not None and is_busy(v)
        }
        world = World(
            now=now,
            slots=tuple(views),
            limits=self.settings.limits,
            gates=self._journal.gates(),
            pool_keys={pool.name: pool.key for pool in self.settings.pools},
            lists={key: listing.at for key, listing in self._lists.items()},
            ghosts=self._journal.ghosts(),
            busy_ghosts=frozenset(in_flight),
            refresh_wanted=self._refresh_wanted,
            refreshing=frozenset(in_flight),
        )
        self._refresh_wanted = False
        return world, docker_error

    @staticmethod
    def _order(pool_of: dict[str, Pool], rows: dict[str, Attempt], found: dict[str, Found]) -> list[str]:
        """The settings' slots in their order, then those that are leaving."""
        rest = sorted((rows.keys() | found.keys()) - pool_of.keys())
        return [*pool_of, *rest]

    def _leaving(
        self, slot: str, wanted: bool, attempt: Attempt | None, definition: Definition, drains: dict[str, Drain]
    ) -> tuple[Leaving, float | None]:
        """Why a slot's runner should go, and by when."""
        limits = self.settings.limits
        wishes = [drains[target] for target in (slot, "host") if target in drains]
        if stopped := [wish.at for wish in wishes if wish.by == "now"]:
            return Leaving.NOW, min(stopped)
        if wishes:
            own = [replace(limits, drain=limits.drain if wish.limit is None else wish.limit) for wish in wishes]
            ends = [leave_by(own[i], Leaving.DRAINED, wish.at) for i, wish in enumerate(wishes)]
            return Leaving.DRAINED, min((end for end in ends if end is not None), default=None)
        if not wanted:
            reason = Leaving.SCALED_DOWN
        elif attempt is not None and not definition.error and attempt.spec != definition.hashes.get(slot):
            reason = Leaving.CHANGED
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

    def _known_by_name(self, attempt: Attempt) -> Attempt:
        """An adopted container's runner has an id at GitHub: the list tells it by the name.

        Only while it runs here: a dead one may be a clone's copy, whose original runs elsewhere under the same name.
        """
        if attempt.runner_id is None and attempt.name and attempt.phase is Phase.RUNNING:
            for listing in self._lists.values():
                if attempt.name in listing.runners:
                    return self._journal.advance(attempt.id, runner_id=listing.runners[attempt.name].id)
        return attempt

    def _registration(self, attempt: Attempt | None) -> Registration:
        """What the last list said of an attempt's runner; one that was read before it was registered says nothing."""
        listing = self._lists.get(_key(attempt)) if attempt else None
        if attempt is None or listing is None or attempt.started_at is None or listing.at < attempt.started_at:
            return Registration()
        runner = listing.runners.get(attempt.name)
        if runner is None:
            # One list without it proves little (they can be cut short, and lag): two do.
            gone = listing.missing.get(attempt.id, 0) >= 2
            return Registration(exists=Tri.NO if gone else Tri.UNKNOWN, seen_at=listing.at)
        return Registration(
            exists=Tri.YES,
            online=runner.status == "online",
            busy=Tri.YES if runner.busy else Tri.NO,
            seen_at=listing.at,
            offline_since=listing.offline.get(attempt.name),
        )

    # Acting

    def _pause(self, action: Action, world: World) -> float | None:
        """Until when an action must wait because it was tried upon the same state and changed nothing; None: go."""
        name, upon = _upon(action, world)
        before = self._tries.get(name)
        count = 0
        if before is not None and before.upon == upon:
            again = before.at + min(2.0**before.count, 60.0)
            if again > world.now:
                return again
            count = before.count + 1
        self._tries[name] = _Try(upon, world.now, count)
        return None

    def _launch(self, action: Action, world: World) -> None:
        if isinstance(action, Refresh):
            self._fly(action.key, self._refresh, action.key)
            return
        if isinstance(action, Chase):
            ghost = next(g for g in world.ghosts if g.name == action.name)
            self._fly(action.name, self._effects.chase, ghost)
            return
        view = next(v for v in world.slots if v.slot == action.slot)
        pool = self.settings.pool_of.get(action.slot)
        if isinstance(action, Fill):
            assert pool is not None
            self._fly(action.slot, self._effects.fill, action.slot, pool, self._provider.definition())
        elif isinstance(action, Adopt):
            found = Found(view.machine, view.pool or (pool.name if pool else ""), pool.scope if pool else "")
            self._effects.adopt(action.slot, found, pool)
            self.wake()
        elif isinstance(action, Deregister):
            assert view.attempt is not None
            self._fly(action.slot, self._effects.deregister, view.attempt, action.reason)
        elif isinstance(action, Stop):
            assert view.attempt is not None
            self._fly(action.slot, self._effects.stop, view.attempt, action)
        elif isinstance(action, Clear):
            assert view.attempt is not None
            since = view.output.listening_at
            online_for = world.now - since if since is not None else None
            self._fly(action.slot, self._effects.clear, view.attempt, action, online_for)

    def _fly(self, name: str, function: Callable[..., Ended | None], *arguments: object) -> None:
        flight = self._executor.submit(function, *arguments)
        self._flights[name] = flight
        flight.add_done_callback(lambda dummy: self.wake())

    def _refresh(self, key: str) -> None:
        """Read the list of one scope, and look for registrations that nothing explains."""
        attempts = {a.name: a for a in self._journal.live() if _key(a) == key}
        pool = next((p for p in self.settings.pools if p.key == key), None)
        scope, credential = (pool.scope, pool.credential) if pool else _scope_of(attempts)
        asked_at = self._clock.now()
        try:
            runners = {r.name: r for r in self._broker.runners(scope, credential)}
        except GitHubError as exc:
            self._effects.refused(exc, pool or Pool("", scope, (), (), "", credential=credential))
            return
        before = self._lists.get(key, _Listing())
        missing = {
            a.id: before.missing.get(a.id, 0) + 1
            for name, a in attempts.items()
            if name not in runners and a.runner_id is not None and (a.started_at or asked_at) < asked_at
        }
        offline = {
            name: before.offline.get(name, asked_at)
            for name in attempts
            if name in runners and runners[name].status == "offline" and not runners[name].busy
        }
        live = {a.name for a in self._journal.live()}
        suspects = {
            r.name
            for r in runners.values()
            if r.status == "offline" and not r.busy and r.name not in live and self._journal.owns(r.name)
        }
        for name in suspects & before.suspects:
            self._effects.haunt(name, scope, credential, runners[name].id)
        self._lists[key] = _Listing(asked_at, runners, missing, suspects, offline)

    def _release_left(self, world: World) -> None:
        """Take the slots that have left, and are empty, out of the Compose file."""
        views = {view.slot: view for view in world.slots}
        for slot in sorted(self._left):
            view = views.get(slot)
            if slot in self.settings.pool_of:
                self._left.discard(slot)
            elif view is None and slot not in self._flights and not self._wanted_on_disk(slot):
                try:
                    self._provider.release(slot)
                    self._left.discard(slot)
                except ProviderError as exc:
                    log.warning("%s: %s", slot, exc)
        self._left |= {view.slot for view in world.slots if view.slot not in self.settings.pool_of}

    def _wanted_on_disk(self, slot: str) -> bool:
        """A playbook may have written settings that we have not been told to read yet."""
        try:
            return slot in load_settings(self._settings_file).pool_of
        except SettingsError:
            return True

    # What people and playbooks ask for

    def reload(self) -> bool:
        """Read the settings again. True: some of them are taken in by a restart only, which is under way.

        Raises:
            SettingsError: they cannot be used; the old ones stay in force.
        """
        settings = load_settings(self._settings_file)
        with self._lock:
            self._left |= self.settings.pool_of.keys() - settings.pool_of.keys()
            restart = _read_at_start(settings) != _read_at_start(self.settings)
            self.settings = settings
            self._try_again()
            self._demand = FixedDemand(settings)
            self._journal.event("", "", "reloaded", f"{len(settings.pool_of)} slots in {len(settings.pools)} pools")
        if restart:
            # It touches no runner, and is the only way to reach all who hold the old settings.
            self.restart_wanted()
        self.wake()
        return restart

    def _try_again(self) -> None:
        """A person changed something: what failed before may work now."""
        self._failures.clear()
        self._tries.clear()
        self._journal.try_gates_again()

    def drain(self, targets: list[str], by: str, limit: float | None) -> None:
        """Drain these slots, or the host."""
        for target in targets or ["host"]:
            self._journal.drain(target, by, limit)
            self._journal.event(
                "" if target == "host" else target, "", "drain", "stopped now" if by == "now" else "asked for"
            )
        self.wake()

    def resume(self) -> None:
        """Forget drains and pause."""
        self._journal.resume()
        with self._lock:
            self._try_again()
        self._journal.event("", "", "resumed", "")
        self.wake()

    def pause(self) -> None:
        """Make no new runners."""
        self._journal.pause()
        self._journal.event("", "", "paused", "no new runners until `runnerd resume`")
        self.wake()

    def refresh(self) -> None:
        """Ask GitHub for its lists soon."""
        self._refresh_wanted = True
        self.wake()

    def take_ended(self) -> list[Ended]:
        """The attempts that ended since the last call."""
        with self._lock:
            ended, self.ended = self.ended, []
        return ended

    # Telling

    def _tell(self, world: World, explained: Iterable[Explained], docker_error: str) -> None:
        views = {view.slot: view for view in world.slots}
        slots = []
        for told in explained:
            view = views[told.slot]
            state, since = self._shown.get(told.slot, ("", world.now))
            if state != told.state:
                since = self._began(view, told.state, world.now)
                self._shown[told.slot] = (told.state, since)
            slots.append(SlotStatus.of(view, told, since, world, self._clock.wall()))
        self.status = Status(
            daemon=True,
            version=self.settings.version,
            paused=self._journal.paused(),
            drains=tuple(sorted(self._journal.drains())),
            docker=docker_error,
            definition=self._provider.definition().error,
            gates=tuple(gate for gate in world.gates.values() if gate.until > world.now),
            slots=tuple(slots),
            ghosts=len(world.ghosts),
            now=world.now,
            wall=self._clock.wall(),
        )

    @staticmethod
    def _began(view: SlotView, state: str, now: float) -> float:
        """When this state began: better known from the runner's own words, also after a restart of ours."""
        if state == "busy" and is_busy(view) and view.output.job_at is not None:
            return view.output.job_at
        if state == "idle" and view.output.listening_at is not None:
            return view.output.listening_at
        return now


def _read_at_start(settings: Settings) -> tuple[object, ...]:
    """The settings that only a start takes in."""
    return settings.version, settings.github, settings.compose, settings.metrics, settings.limits.boot


def _upon(action: Action, world: World) -> tuple[str, tuple[object, ...]]:
    """What an action is about, and the state it acts upon."""
    if isinstance(action, Refresh):
        return action.key, (Refresh, world.lists.get(action.key))
    if isinstance(action, Chase):
        return action.name, (Chase, next(g.tries for g in world.ghosts if g.name == action.name))
    view = next(v for v in world.slots if v.slot == action.slot)
    attempt = view.attempt
    state = (attempt.id, attempt.phase, attempt.deregister_after) if attempt else (view.machine.id, view.failures)
    return action.slot, (type(action), *state)


def _was_started(attempt: Attempt, in_flight: bool) -> bool:
    """Whether its container has an output to read: before the start, reading ends at once."""
    if attempt.phase is Phase.STARTING:
        return not in_flight
    return attempt.phase not in (Phase.CREATING, Phase.MINTING)


def _key(attempt: Attempt) -> str:
    return scope_key(attempt.credential, attempt.scope)


def _scope_of(attempts: dict[str, Attempt]) -> tuple[str, str]:
    first = next(iter(attempts.values()))
    return first.scope, first.credential
