# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three parts of runnerd with another shell: actions run in this thread (`Flights`); the runners'
output is read without threads (`Ears`); the journal tells of its commits (`TalkingJournal`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runnerd.evidence import heard
from runnerd.journal import Journal
from runnerd.model import Output

from .docker import Engine
from .history import ERROR
from .program import NEVER
from .world import HostClock

if TYPE_CHECKING:
    from .host import Host


class Flights(Executor):
    """Actions in this thread: begun when the round is over, in any order; some are a round late, some overlap."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []
        self._landing = False

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: function(*arguments, **options)))
        return future

    def land(self) -> bool:
        """Carry out; whether there was anything."""
        dice = self._host.dice
        dice.shuffle(self._waiting)
        late = [self._waiting.pop()] if len(self._waiting) > 1 and dice.random() < 0.2 else []
        landed = bool(self._waiting)
        self._landing = True
        while self._waiting:
            self._carry_out()
        self._landing = False
        self._waiting += late
        return landed

    def overlap(self) -> None:
        """One is in the midst of its work: now and then another one is carried out meanwhile."""
        if self._landing and self._waiting and self._host.dice.random() < 0.2:
            self._carry_out()

    def _carry_out(self) -> None:
        future, call = self._waiting.pop()
        try:
            future.set_result(call())
        except Exception as exc:
            foreseen = isinstance(exc, sqlite3.OperationalError) and self._host.disk_full
            self._host.history.add(ERROR, detail=repr(exc), foreseen=foreseen)
            future.set_exception(exc)


class Ears:
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

    def hurry(self, machine_ids: Iterable[str]) -> None:
        """Nothing is late here."""

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


class TalkingJournal(Journal):
    """Tells of each commit, and of each event; does not wait for the disk: a killed process loses nothing by that."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._told: list[tuple[str, str, str, str]] = []  # in the transaction that is open
        super().__init__(host.state, host.clock, host.machine_id)

    def _open(self, path: Path, machine_id: str) -> None:
        super()._open(path, machine_id)
        self._db.execute("pragma synchronous = off")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._host.disk_full:
            raise sqlite3.OperationalError("database or disk is full")
        self._host.point("before commit")
        self._told.clear()
        # Whoever uses this one leaves that one, too.
        with super()._transaction() as db:  # pylint: disable=contextmanager-generator-missing-cleanup
            yield db
        for event in self._told:
            # Copies: what a row keeps must not look like a leak of runnerd's.
            slot, runner, kind, detail = (text.encode().decode() for text in event)
            self._host.history.add(("runnerd", kind), runner or slot, slot=slot, detail=detail)
        self._host.point("after commit")

    def _tell(self, db: sqlite3.Connection, slot: str, runner: str, kind: str, detail: str) -> None:
        super()._tell(db, slot, runner, kind, detail)
        self._told.append((slot, runner, kind, detail))
