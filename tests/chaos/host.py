# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A runner host: its files, its Docker, and the process of runnerd, which can be killed and comes back as with systemd.

runnerd's parts are the real ones. Three have another shell: actions run in this thread, one after the other
(`_Flights`); the runners' output is read without threads (`_Ears`); the journal tells of its commits (`_Journal`).
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runnerd.broker import GitHubBroker
from runnerd.evidence import heard
from runnerd.gates import Gates
from runnerd.journal import Journal, JournalError
from runnerd.model import Output
from runnerd.settings import SettingsError, load_settings
from runnerd.supervisor import ROUND, Supervisor

from .docker import IMAGE, Engine, compose_text
from .github import REPOSITORY, SCOPE, TOKEN, Service
from .history import DOUBT, ERROR, FORGETS, NOT_STARTED, PROCESS_ENDED, WANTS, History
from .program import NEVER
from .world import HostClock, Time

RESTART = 2.0  # seconds: RestartSec of the unit


class Killed(BaseException):
    """SIGKILL, as far as one thread can play it."""


class _Flights(Executor):
    """Actions in this thread: begun when the round is over, in any order; some are a round late."""

    def __init__(self, dice: random.Random, history: History) -> None:
        self._dice, self._history = dice, history
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: function(*arguments, **options)))
        return future

    def land(self) -> bool:
        """Carry out; whether there was anything."""
        waiting, self._waiting = self._waiting, []
        self._dice.shuffle(waiting)
        if len(waiting) > 1 and self._dice.random() < 0.2:
            self._waiting.append(waiting.pop())
        for future, call in waiting:
            try:
                future.set_result(call())
            except Exception as exc:
                self._history.add(ERROR, detail=repr(exc), foreseen=isinstance(exc, sqlite3.OperationalError))
                future.set_exception(exc)
        return bool(waiting)


class _Ears:
    """Hears what containers say, a little after it was told to listen; by the rules of `evidence.heard`."""

    DELAY = 0.1

    def __init__(self, engine: Engine, clock: HostClock) -> None:
        self._engine, self._clock = engine, clock
        self._since: dict[str, float] = {}
        self._heard: dict[str, tuple[int, Output]] = {}

    def follow(self, machine_ids: Iterable[str]) -> None:
        """Listen to these, and to no others."""
        self._since = {one: self._since.get(one, self._clock.now()) for one in machine_ids}
        self._heard = {one: known for one, known in self._heard.items() if one in self._since}

    def output(self, machine_id: str) -> Output:
        """What it has said so far."""
        if self._clock.now() < self._since.get(machine_id, NEVER) + self.DELAY:
            return Output()
        lines, output = self._heard.get(machine_id, (0, Output(readable=True)))
        if self._engine.down or self._engine.hangs:
            return replace(output, readable=False)
        container = self._engine.containers.get(machine_id)
        if container is None:
            return output
        for at, line in container.said[lines:]:
            output = heard(output, line, at)
        output = replace(output, readable=True, ended=container.exit_code is not None)
        self._heard[machine_id] = (len(container.said), output)
        return output


class _Journal(Journal):
    """Tells of each commit, and of each event; does not wait for the disk: a killed process loses nothing by that."""

    def __init__(self, host: Host) -> None:
        self._host = host
        super().__init__(host.state, host.clock, host.machine_id)

    def _open(self, path: Path, machine_id: str) -> None:
        super()._open(path, machine_id)
        self._db.execute("pragma synchronous = off")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._host.disk_full:
            raise sqlite3.OperationalError("database or disk is full")
        self._host.point("before commit")
        # Whoever uses this one leaves that one, too.
        with super()._transaction() as db:  # pylint: disable=contextmanager-generator-missing-cleanup
            yield db
        self._host.point("after commit")

    def event(self, slot: str, runner: str, kind: str, detail: str) -> None:
        # Copies: what a row keeps must not look like a leak of runnerd's.
        of, detail_ = (text.encode().decode() for text in (runner or slot, detail))
        self._host.history.add(("runnerd", kind), of, slot=slot, detail=detail_)
        super().event(slot, runner, kind, detail)


@dataclass
class Wanted:
    """What the playbook was told; two scopes with one credential."""

    slots: tuple[str, ...] = ("runner-1", "runner-2", "runner-3")
    repository_slots: tuple[str, ...] = ("runner-4",)  # of a pool of their own
    image: str = IMAGE
    labels: tuple[str, ...] = ("self-hosted",)
    name_prefix: str = "host"
    version: str = "1"
    definition: str = ""  # any more text of a service
    limits: Mapping[str, float] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return self.slots + self.repository_slots

    def settings(self, folder: Path) -> dict[str, Any]:
        """The settings file."""
        common = {"labels": list(self.labels), "name_prefix": self.name_prefix}
        pools = [
            {"name": "default", "scope": SCOPE, "slots": list(self.slots), **common},
            {"name": "own", "scope": REPOSITORY, "slots": list(self.repository_slots), **common},
        ]
        compose = {"file": str(folder / "docker-compose.yml")}
        return {
            "schema": 1, "version": self.version, "compose": compose, "pools": pools, "limits": dict(self.limits)
        }  # fmt: skip


class Host:
    """One runner host."""

    def __init__(
        self, folder: Path, time: Time, service: Service, history: History, dice: random.Random, machine_id: str
    ) -> None:
        self.folder, self.time, self.service, self.history, self.dice = folder, time, service, history, dice
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.state = folder / "settings.json", folder / "state"
        self.machine_id = machine_id
        self.clock = HostClock(time)
        self.engine = Engine(folder / "docker-compose.yml", self.clock, time, service, history)
        self.engine.on_change = self.wake
        self.credentials = {"default": {"token": TOKEN}}
        self.wanted = Wanted()
        self.point: Callable[[str], None] = lambda name: None
        self.disk_full = False
        self.killed_for = RESTART  # seconds until it is started again
        self.frozen_until = 0.0  # neither runnerd nor a container has the processor
        self.start_at = NEVER  # when systemd starts runnerd
        self.supervisor: Supervisor | None = None
        self._round_at = NEVER

    # The playbook

    def deploy(self, reload: bool = True, **changes: Any) -> None:
        """Run the playbook with these variables: settings first, then the Compose file, then the reload."""
        self.wanted = replace(self.wanted, **changes)
        self.file.write_text(json.dumps(self.wanted.settings(self.folder)))
        kept = set()
        if self.engine.file.exists():  # a service stays in the file until its slot is empty
            kept = self.engine.definition().hashes.keys() - set(self.wanted.all)
        own = set(self.wanted.repository_slots) | (kept - set(Wanted().slots))
        slots = {slot: ("own", REPOSITORY) if slot in own else ("default", SCOPE) for slot in {*self.wanted.all, *kept}}
        text = compose_text(slots, self.wanted.image, self.wanted.definition)
        self.engine.file.write_text(text)
        limits = load_settings(self.file).limits
        self.history.add(WANTS, slots=self.wanted.all, drain=limits.drain, job=limits.job)
        if self.supervisor is not None and reload:
            self._ask(self.supervisor.reload)

    def person(self, what: str, slot: str = "", limit: float | None = None) -> None:
        """What a person types: drain, stop (now), shutdown, resume, pause, update, refresh."""
        assert self.supervisor is not None, "no runnerd answers"
        limits = self.supervisor.settings.limits
        until = {"drain": limits.drain if limit is None else limit, "shutdown": limits.shutdown}.get(what, 0.0)
        self.history.add(("person", what), slot, limit=until or NEVER if what == "drain" else until)
        if what in ("drain", "stop"):
            self._ask(self.supervisor.drain, [slot] if slot else [], "now" if what == "stop" else "drain", limit)
        elif what == "shutdown":
            self._ask(self.supervisor.shut_down)
        else:
            self._ask(getattr(self.supervisor, what))

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> None:
        """Ask the process, which may die of it."""
        try:
            question(*arguments)
        except Killed:
            self.end("killed", self.killed_for)

    # The process

    def start(self) -> None:
        """As `daemon.serve` begins."""
        self.start_at = NEVER
        try:
            settings = load_settings(self.file)
            journal = _Journal(self)
        except (SettingsError, JournalError, sqlite3.Error) as exc:
            self.history.add(NOT_STARTED, detail=str(exc))
            self.start_at = self.time.at + RESTART
            return
        except Killed:
            self.end("killed", self.killed_for)
            return
        gates = Gates(journal, self.clock)
        broker = GitHubBroker(settings.github, self.credentials, "chaos", gates, now=self.clock.wall)
        broker._options["sleep"] = self.time.passes
        self.journal, self.flights = journal, _Flights(self.dice, self.history)
        self.supervisor = Supervisor(
            self.file, settings, journal, self.engine, broker, gates, self.clock, self.flights, self.engine.workers
        )
        self.supervisor.observer.listener = _Ears(self.engine, self.clock)
        self.supervisor.restart_wanted = self._restart_soon
        try:
            gates.try_again()
            journal.hand_over(self.credentials, {pool.scope: pool.credential for pool in settings.pools})
            journal.event("", "", "began", f"runnerd {settings.version}")
        except Killed:
            self.end("killed", self.killed_for)
        except sqlite3.OperationalError as exc:
            self.end(f"crashed: {exc}")
        self._round_at = self.time.at

    def end(self, how: str, for_: float = RESTART) -> None:
        """The process ends; systemd starts it again, unless something is in the way for so long."""
        self.history.add(PROCESS_ENDED, detail=how)
        if self.supervisor is not None:
            self.journal.close()
        self.supervisor = None
        self._round_at, self.start_at = NEVER, self.time.at + for_

    def _restart_soon(self) -> None:
        self.start_at = self.time.at + 0.5

    def reboot(self, for_: float = 60.0) -> None:
        """Power is gone, and comes back."""
        self.end("power was cut", for_)
        for container in self.engine.running():
            self.engine.die(container, 255)
        self.clock.reboot()

    def set_clock(self, wrong_by: float) -> None:
        """Somebody sets the clock, or a virtual machine wakes up with an old one."""
        self.clock.wrong_by = wrong_by
        self.history.add(DOUBT, "clock", on=wrong_by != 0)

    def fill_disk(self, full: bool) -> None:
        """No file can be written."""
        self.disk_full = full
        self.engine.refuses = {"create": "no space left on device"} if full else {}
        self.history.add(DOUBT, "disk", on=full)

    def lose_journal(self) -> None:
        """While runnerd is dead."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.history.add(FORGETS)

    def wake(self) -> None:
        """Begin the next round now."""
        if self.supervisor is not None:
            self._round_at = min(self._round_at, self.time.at)

    @property
    def due(self) -> float:
        """When something happens here by itself."""
        if self.time.at < self.frozen_until:
            return self.frozen_until
        programs = [container.program.due for container in self.engine.running() if container.program]
        waiting = [container.waits_until for container in self.engine.running() if container.program is None]
        return min([self._round_at, self.start_at, *programs, *waiting])

    def act(self) -> None:
        """Do what is due."""
        if self.time.at < self.frozen_until:
            return
        self.engine.tick()
        if self.start_at <= self.time.at:
            if self.supervisor is not None:
                self.end("restarts", 0.0)
            self.start()
        if self.supervisor is None:
            return
        try:
            if self.supervisor._wake.is_set():
                self._round_at = self.time.at
            if self._round_at <= self.time.at:
                self.supervisor._wake.clear()
                wake_at = self.supervisor.round()
                self.supervisor.take_ended()  # for the metrics
                wait = ROUND if wake_at is None else min(max(wake_at - self.clock.now(), 0.05), ROUND)
                self._round_at = self.time.at + wait
            if self.flights.land():
                self._round_at = self.time.at
        except Killed:
            self.end("killed", self.killed_for)
        except sqlite3.OperationalError as exc:
            self.end(f"crashed: {exc}")
