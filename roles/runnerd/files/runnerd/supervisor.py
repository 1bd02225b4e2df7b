# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop: observe, decide, act, tell; and what people ask of it.

One thread runs it. Actions run in worker threads, and a slot with one in flight is left out of the next decision, so no
observation older than its last action can ever be acted upon.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path

from .backoff import Backoff
from .broker import Broker
from .clock import Clock
from .core import decide
from .demand import Demand, FixedDemand
from .departures import Departures
from .effects import Effects, Ended
from .evidence import Listener
from .flights import Flights
from .gates import Gates
from .journal import Journal
from .lists import Lists
from .model import Action, Adopt, Chase, Clear, Deregister, Fill, Refresh, Stop, Tri, World
from .observe import Observer
from .provider import Definition, Found, Provider
from .report import Reporter
from .settings import Pool, Settings, SettingsError, load_settings
from .status import Status
from .updates import Updates
from .versions import Versions

log = logging.getLogger("runnerd")

#: Seconds between two rounds at the most. Everything urgent wakes the loop by itself.
ROUND = 15.0
#: Seconds of rest after a round at the most; otherwise twice as long as the round took. A round looks at all slots:
#: while many start, round after round would take the processor that the starts need.
REST = 0.25


class Supervisor:
    """Keeps the slots as the settings want them."""

    def __init__(
        self,
        settings_file: Path,
        settings: Settings,
        journal: Journal,
        provider: Provider,
        broker: Broker,
        gates: Gates,
        clock: Clock,
        executor: Executor,
        look: Callable[[Iterable[str]], dict[str, Tri]],
    ) -> None:
        """`look`: which of these containers hold a worker process (`evidence.workers`)."""
        self._settings_file = settings_file
        self.settings = settings
        self._version, self._begun_with = settings.version, _read_at_start(settings)
        self._journal = journal
        self._provider = provider
        self._gates = gates
        self._clock = clock
        self._definition: Definition | None = None  # the one that the settings were last held against
        self._demand: Demand = FixedDemand(settings)
        self._effects = Effects(journal, provider, broker, gates, clock, look)
        self._lists = Lists(journal, broker, gates, self._effects, clock)
        self._backoff = Backoff(clock)
        self._versions = Versions(broker, clock)
        self._updates = Updates(journal, provider, clock)
        self._reporter = Reporter(journal, provider, broker, self._versions, self._updates, clock)
        self.observer = Observer(
            journal, provider, self._lists, gates, Listener(provider, self.wake), self._backoff, clock, look
        )
        self._departures = Departures(provider, settings_file, clock)
        self._flights = Flights(executor, self._backoff, journal.folder, self.wake)
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._rounds = threading.Condition()
        self._begun = self._ended_rounds = 0
        self._refresh_wanted_at = float("-inf")
        self._wish = object()  # another one whenever people or playbooks ask for something
        self.restart_wanted: Callable[[], None] = lambda: None
        self.ended: list[Ended] = []  # for the metrics; taken by `take_ended`
        self.status = Status(version=settings.version)

    # The loop

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    def happened(self, slot: str) -> None:
        """Something happened to a slot's container. While we act upon it, that was us, and the action's end is news."""
        if slot not in self._flights:
            self.wake()

    def run(self, stopping: threading.Event, after_round: Callable[[], None]) -> None:
        """Round after round until `stopping` is set."""
        while True:
            self._wake.clear()
            if stopping.is_set():  # after the clearing: who stops us sets it before he wakes us
                return
            began = self._clock.now()
            wake_at = self.round()
            after_round()
            time.sleep(min(2 * (self._clock.now() - began), REST))
            wait = ROUND if wake_at is None else min(max(wake_at - self._clock.now(), 0.05), ROUND)
            self._wake.wait(wait)

    def round(self) -> float | None:
        """Observe, decide, act, tell. Returns when the next round is due at the latest."""
        with self._lock:
            self._begun += 1
            this = self._begun
            self._land()
            definition = self._follow_definition()
            wish = self._wish
            world, docker_error = self.observer.observe(
                self.settings, self._demand.desired(), self._flights.names(), self._refresh_wanted_at
            )
            plan = decide(world)
            wake_at = plan.wake_at
            for action in plan.actions:
                paused = self._backoff.pause(action, world)
                if paused is None:
                    self._launch(action, world, definition, wish)
                else:
                    wake_at = paused if wake_at is None else min(wake_at, paused)
            chores = [*self._versions.chores(world), *self._updates.chores(definition)]
            if not docker_error:
                chores += self._departures.chores(world, self.settings, self._flights.names())
            for chore in chores:
                if chore.name not in self._flights and self._backoff.failures(chore.name).retry_at <= world.now:
                    self._flights.fly(chore.name, chore.do)
            self.status = self._reporter.report(world, plan.explained, docker_error, self._version)
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
        for ended in self._flights.land():
            self.ended.append(ended)
            self._updates.ended(ended, self._provider.definition())
            self._backoff.ended(ended)

    # Acting

    def _launch(self, action: Action, world: World, definition: Definition, wish: object) -> None:
        if isinstance(action, Refresh):
            self._flights.fly(action.key, self._lists.refresh, action.key, self.settings)
            return
        if isinstance(action, Chase):
            ghost = next(g for g in world.ghosts if g.name == action.name)
            self._flights.fly(action.name, self._effects.chase, ghost)
            return
        view = next(v for v in world.slots if v.slot == action.slot)
        pool = self.settings.pool_of.get(action.slot)
        if isinstance(action, Fill):
            assert pool is not None
            # Should the Compose file be a newer one by now, the runner is one of an old definition, and goes again.
            self._flights.fly(action.slot, self._effects.fill, action.slot, pool, definition)
        elif isinstance(action, Adopt):
            found = self.observer.found[action.slot]
            self._effects.adopt(action.slot, found, self._pool_of(found, pool))
            self.wake()
        elif isinstance(action, Deregister):
            assert view.attempt is not None
            self._flights.fly(
                action.slot, self._unless_asked, wish, self._effects.deregister, view.attempt, action.reason
            )
        elif isinstance(action, Stop):
            assert view.attempt is not None
            self._flights.fly(action.slot, self._unless_asked, wish, self._effects.stop, view.attempt, action)
        elif isinstance(action, Clear):
            assert view.attempt is not None
            since = view.output.listening_at
            online_for = world.now - since if since is not None else None
            self._flights.fly(action.slot, self._effects.clear, view.attempt, action, online_for)

    def _unless_asked(self, wish: object, effect: Callable[..., None], *arguments: object) -> None:
        """Take a runner away, unless people have asked for something else since: then the next round decides anew.

        Where Docker is slow, an effect waits long for its thread.
        """
        if self._wish is wish:
            effect(*arguments)

    def _pool_of(self, found: Found, slots: Pool | None) -> Pool | None:
        """The pool whose credential reaches a container's runner: one of its scope, if there is one the slot's own."""
        here = [pool for pool in (slots, *self.settings.pools) if pool is not None and pool.scope == found.scope]
        return here[0] if here else slots

    # What people and playbooks ask for

    def reload(self) -> bool:
        """Read the settings again. True: some of them are taken in by a restart only, which is under way.

        Raises:
            SettingsError: they cannot be used; the old ones stay in force.
        """
        settings = load_settings(self._settings_file)
        with self._lock:
            self._definition = None  # these may belong to another one than that which the next round finds
            self._take(settings)
        restart = _read_at_start(settings) != self._begun_with
        if restart:
            # It touches no runner, and is the only way to reach all who hold the old settings.
            self.restart_wanted()
        self.wake()
        return restart

    def _follow_definition(self) -> Definition:
        """The Compose file's definition; with a new one, the settings that came with it are in force.

        A playbook writes the settings first, and tells us of both at its end, if it gets there. A slot that is filled
        in between would hold a runner of the new definition under the old labels, until its first job, if any comes.
        What only a start takes in is left to that end: a restart is none of a round's business.
        """
        definition = self._provider.definition()
        if definition != self._definition:
            self._definition = definition
            try:
                settings = load_settings(self._settings_file)
                if settings != self.settings:
                    self._take(settings)
            except SettingsError as exc:
                log.warning("the old settings stay in force: %s", exc)
            else:
                # Also those that left while no runnerd was there, or one that was killed before it took them out.
                self._departures.add(definition.hashes.keys() - self.settings.pool_of.keys())
        return definition

    def _take(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        with self._lock:
            self._departures.add(self.settings.pool_of.keys() - settings.pool_of.keys())
            self.settings = settings
            self._wish = object()
            self._demand = FixedDemand(settings)
            self._try_again()  # writes to the journal, which may be refused: all else is done by then
            self._journal.event("", "", "reloaded", f"{len(settings.pool_of)} slots in {len(settings.pools)} pools")

    def _try_again(self) -> None:
        """A person changed something: what failed before may work now."""
        self._backoff.forget()
        self._gates.try_again()

    def drain(self, targets: list[str], by: str, limit: float | None) -> None:
        """Drain these slots, or the host."""
        for target in targets or ["host"]:
            self._journal.drain(target, by, limit)
            self._journal.event(
                "" if target == "host" else target, "", "drain", "stopped now" if by == "now" else "asked for"
            )
        self._wish = object()
        self.wake()

    def shut_down(self) -> None:
        """The host goes down: drain it by the shutdown's own limit, beside any other that ends sooner."""
        self._journal.drain("shutdown", "drain", self.settings.limits.shutdown)
        self._journal.event("", "", "drain", "the host shuts down")
        self.wake()

    def resume(self) -> None:
        """Forget drains and pause."""
        self._journal.resume()
        self._wish = object()
        with self._lock:
            self._try_again()
        self._journal.event("", "", "resumed", "")
        self.wake()

    def pause(self) -> None:
        """Make no new runners."""
        self._journal.pause()
        self._journal.event("", "", "paused", "no new runners until `runnerd resume`")
        self.wake()

    def update(self) -> None:
        """Pull the tags that are followed, now."""
        self._updates.now(self._provider.definition())
        self.wake()

    def refresh(self) -> None:
        """Ask GitHub for its lists soon."""
        self._refresh_wanted_at = self._clock.now()
        self.wake()

    def take_ended(self) -> list[Ended]:
        """The attempts that ended since the last call."""
        with self._lock:
            ended, self.ended = self.ended, []
        return ended


def _read_at_start(settings: Settings) -> tuple[object, ...]:
    """The settings that only a start takes in."""
    return settings.version, settings.github, settings.compose, settings.metrics, settings.limits.boot
