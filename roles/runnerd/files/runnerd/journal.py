# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal: what was intended, so that a runnerd killed at any instruction can find out what it did.

SQLite, write-ahead log, every commit on the disk before the effect that it announces. It never holds a credential.
Losing it loses no runner: containers and names tell who belongs to whom (see `supervisor`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .clock import Clock
from .model import Attempt, Gate, Ghost, Outcome, Phase

SCHEMA = 1
#: What was told, for `runnerd events`; two or three for each attempt.
EVENTS_KEPT = 10_000
#: By these a registration that a list shows is known to be ours: an hour's at full speed, months' of a quiet host.
ATTEMPTS_KEPT = 5_000

_TABLES = """
create table meta(key text primary key, value text not null);
create table attempt(
  id integer primary key, slot text not null, pool text not null, scope text not null, credential text not null,
  phase text not null, since real not null, boot_id text not null, spec text not null default '',
  name text not null default '', runner_id integer, container_id text, started_at real, leaving_since real,
  deregister_after real not null default 0, outcome text, reason text not null default '',
  began_wall real not null, ended_wall real);
create unique index one_live_attempt on attempt(slot) where phase <> 'finished';
create index attempt_name on attempt(name);
create table drain(target text primary key, by text not null, limit_s real, at real not null, boot_id text not null);
create table gate(key text primary key, until_wall real not null, reason text not null, remedy text not null,
  failures integer not null, told integer not null);
create table ghost(name text primary key, scope text not null, credential text not null, runner_id integer,
  next_check_wall real not null, give_up_wall real not null, tries integer not null default 0);
create table event(id integer primary key, at_wall real not null, slot text not null, runner text not null,
  kind text not null, detail text not null);
"""

_COLUMNS = (
    "id, slot, pool, scope, credential, phase, since, spec, name, runner_id, container_id, started_at, "
    "leaving_since, deregister_after, outcome, reason, boot_id"
)


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Drain:
    """A wish that outlives runnerd: of `host`, `shutdown` or a slot, for so many seconds from `at`; None: as set."""

    target: str
    by: str  # "drain" or "now"
    limit: float | None
    at: float


@dataclass(frozen=True)
class Event:
    """One line of the history."""

    id: int
    at_wall: float
    slot: str
    runner: str
    kind: str
    detail: str


class Journal:
    """The rows. Safe to use from several threads; one process at a time may hold it."""

    def __init__(self, folder: Path, clock: Clock, machine_id: str) -> None:
        """Open or create it under `folder`.

        A journal of another machine (a cloned VM carries its original's) is put aside: nothing in it is ours to delete.

        Raises:
            JournalError: another runnerd holds it, or it was written by a newer version.
        """
        self._clock = clock
        self._lock = threading.RLock()
        self.set_aside: Path | None = None
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._hold(folder / "lock")
        path = folder / "journal.sqlite"
        try:
            self._open(path, machine_id)
        except sqlite3.OperationalError as exc:
            # Locked, no room, a bad disk: the rows are good, and worth waiting for.
            raise JournalError(f"{path} cannot be opened ({exc}). Do: mend that; runnerd tries again") from exc
        except sqlite3.DatabaseError as exc:
            self._put_aside(path, "unreadable")
            self._open(path, machine_id)
            self.event("", "", "journal", f"the journal could not be read ({exc}); began a new one")
        if self._meta("machine_id") != machine_id:
            self._put_aside(path, "of-another-machine")
            self._open(path, machine_id)
            self.event("", "", "journal", "the journal was of another machine; began a new one and deleted nothing")

    def _hold(self, path: Path) -> None:
        self._held = open(path, "w", encoding="ascii")  # noqa: SIM115 (held as long as the process lives)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise JournalError(
                f"another runnerd already works with {path.parent}. See: systemctl status runnerd"
            ) from exc

    def _open(self, path: Path, machine_id: str) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        # KiB, for the rows in use and what leads to them; it would take 2 MB, as the history grows (measured).
        self._db.execute("pragma cache_size = -500")
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version > SCHEMA:
            raise JournalError(
                f"{path} was written by a newer runnerd (schema {version}, this one knows {SCHEMA}). "
                "Do: deploy with the newer collection again."
            )
        if version == 0:
            with self._transaction():
                for statement in _TABLES.split(";"):
                    if statement.strip():
                        self._db.execute(statement)
                self._db.execute("insert into meta values ('machine_id', ?)", (machine_id,))
                self._db.execute(f"pragma user_version = {SCHEMA}")

    def _put_aside(self, path: Path, why: str) -> None:
        self._db.close()
        aside = path.with_name(f"journal.{why}.{int(self._clock.wall())}.sqlite")
        os.replace(path, aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        self.set_aside = aside

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def _meta(self, key: str) -> str:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def close(self) -> None:
        """Close the database; the lock goes with the process."""
        with self._lock:
            self._db.close()
            self._held.close()

    @property
    def machine_id(self) -> str:
        """Whose journal it is."""
        return self._meta("machine_id")

    def note(self, key: str) -> str:
        """What was written under `key`; empty if nothing was."""
        with self._lock:
            return self._meta(f"note {key}")

    def write_note(self, key: str, text: str) -> None:
        """Keep a text under `key`."""
        with self._transaction() as db:
            db.execute("insert or replace into meta values (?, ?)", (f"note {key}", text))

    # Attempts

    def begin(self, slot: str, pool: str, scope: str, credential: str, spec: str, **known: object) -> Attempt:
        """Commit the intention to fill a slot. `known` are further columns, for a container that is adopted."""
        values: dict[str, object] = {
            "slot": slot,
            "pool": pool,
            "scope": scope,
            "credential": credential,
            "spec": spec,
            "phase": Phase.CREATING.value,
            "since": self._clock.now(),
            "boot_id": self._clock.boot_id,
            "began_wall": self._clock.wall(),
        }
        values.update(known)
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        with self._transaction() as db:
            row = db.execute(f"insert into attempt({names}) values ({marks}) returning id", _plain(values)).fetchone()
        return self.attempt(int(row[0]))

    def advance(self, attempt_id: int, phase: Phase | None = None, **changes: object) -> Attempt:
        """Commit a new phase and/or columns of an attempt."""
        if phase is not None:
            changes["phase"] = phase.value
            changes["since"] = self._clock.now()
        assignments = ", ".join(f"{name} = ?" for name in changes)
        with self._transaction() as db:
            db.execute(f"update attempt set {assignments} where id = ?", (*_plain(changes), attempt_id))
        return self.attempt(attempt_id)

    def finish(self, attempt: Attempt, detail: str) -> None:
        """An attempt has ended, and how: in one commit, since who dies in between would never tell of a lost job."""
        with self._transaction() as db:
            db.execute(
                "update attempt set phase = ?, since = ?, ended_wall = ? where id = ?",
                (Phase.FINISHED.value, self._clock.now(), self._clock.wall(), attempt.id),
            )
            self._tell(db, attempt.slot, attempt.name, "ended", detail)

    def attempt(self, attempt_id: int) -> Attempt:
        """One attempt."""
        with self._lock:
            row = self._db.execute(f"select {_COLUMNS} from attempt where id = ?", (attempt_id,)).fetchone()
        return self._attempt(row)

    def live(self) -> list[Attempt]:
        """The attempts that are not finished; at most one a slot."""
        with self._lock:
            # Not in order of anything: SQLite would then read all that it has, in place of the index of the live ones.
            rows = self._db.execute(f"select {_COLUMNS} from attempt where phase <> 'finished'").fetchall()
        return sorted((self._attempt(row) for row in rows), key=lambda attempt: attempt.id)

    def _attempt(self, row: tuple[object, ...]) -> Attempt:
        values = dict(zip(_COLUMNS.split(", "), row, strict=True))
        same_boot = values.pop("boot_id") == self._clock.boot_id
        values["phase"] = Phase(values["phase"])
        values["outcome"] = Outcome(values["outcome"]) if values["outcome"] else None
        if not same_boot:
            # Seconds since another boot mean nothing now.
            now = self._clock.now()
            values.update(since=now, started_at=now if values["started_at"] else None, deregister_after=0.0)
            if values["leaving_since"] is not None:
                values["leaving_since"] = now
        return Attempt(same_boot=same_boot, **values)  # type: ignore[arg-type]  # columns and fields have the same names

    def owns(self, name: str) -> bool:
        """Whether a runner of this name was ever ours."""
        with self._lock:
            return (
                self._db.execute(
                    "select 1 from attempt where name = ? and runner_id is not null limit 1", (name,)
                ).fetchone()
                is not None
            )

    # Wishes

    def drain(self, target: str, by: str, limit: float | None) -> None:
        """Commit the wish to drain the host or a slot; of several, the one that ends first holds.

        `now` is not taken back by a later wish, and the same wish said again does not begin its limit anew.
        """
        before = self.drains().get(target)
        if before is not None and (before.by == "now" or (before.by, before.limit) == (by, limit)):
            return
        with self._transaction() as db:
            db.execute(
                "insert or replace into drain values (?, ?, ?, ?, ?)",
                (target, by, limit, self._clock.now(), self._clock.boot_id),
            )

    def resume(self) -> None:
        """Forget every drain, and the pause."""
        with self._transaction() as db:
            db.execute("delete from drain")
            db.execute("delete from meta where key = 'paused'")

    def pause(self) -> None:
        """Make no new runners until `resume`."""
        with self._transaction() as db:
            db.execute("insert or replace into meta values ('paused', '1')")

    def paused(self) -> bool:
        """Whether `pause` is in force."""
        with self._lock:
            return self._meta("paused") == "1"

    def drains(self) -> dict[str, Drain]:
        """The wishes in force, by target."""
        with self._lock:
            rows = self._db.execute("select target, by, limit_s, at, boot_id from drain").fetchall()
        here = self._clock.boot_id
        return {r[0]: Drain(r[0], r[1], r[2], r[3] if r[4] == here else self._clock.now()) for r in rows}

    # Gates and ghosts. Kept by wall clock (GitHub's times are), handed out by the steady one.

    def _to_wall(self, now: float) -> float:
        return self._clock.wall() + (now - self._clock.now())

    def _from_wall(self, wall: float) -> float:
        return self._clock.now() + (wall - self._clock.wall())

    def close_gate(self, gate: Gate) -> None:
        """Commit that a way is closed."""
        with self._transaction() as db:
            db.execute(
                "insert or replace into gate values (?, ?, ?, ?, ?, ?)",
                (gate.key, self._to_wall(gate.until), gate.reason, gate.remedy, gate.failures, gate.told),
            )

    def open_gate(self, key: str) -> None:
        """Forget a gate: the way works again."""
        with self._transaction() as db:
            db.execute("delete from gate where key = ?", (key,))

    def gates(self) -> dict[str, Gate]:
        """The gates in force or half open, by key."""
        with self._lock:
            rows = self._db.execute("select key, until_wall, reason, remedy, failures, told from gate").fetchall()
        return {r[0]: Gate(r[0], self._from_wall(r[1]), r[2], r[3], r[4], bool(r[5])) for r in rows}

    def try_gates_again(self) -> None:
        """Something was changed by a person: what was refused may work now, but for what GitHub set a time to."""
        with self._transaction() as db:
            db.execute("update gate set until_wall = ?, failures = 0 where not told", (self._clock.wall(),))

    def hand_over(self, known: Collection[str], heirs: Mapping[str, str]) -> None:
        """Have what was begun with a credential that is gone go on with another one of its scope.

        Args:
            known: the names of the credentials that there are.
            heirs: scope -> the name of a credential that is in use there.
        """
        with self._transaction() as db:
            for table in ("attempt", "ghost"):
                for scope, gone in db.execute(f"select distinct scope, credential from {table}").fetchall():
                    if gone not in known and scope in heirs:
                        words = f"update {table} set credential = ? where scope = ? and credential = ?"
                        db.execute(words, (heirs[scope], scope, gone))

    def haunt(self, ghost: Ghost) -> None:
        """Commit that a registration may exist that has no container."""
        with self._transaction() as db:
            db.execute(
                "insert or replace into ghost values (?, ?, ?, ?, ?, ?, ?)",
                (
                    ghost.name,
                    ghost.scope,
                    ghost.credential,
                    ghost.runner_id,
                    self._to_wall(ghost.next_check),
                    self._to_wall(ghost.give_up_at),
                    ghost.tries,
                ),
            )

    def lay(self, name: str) -> None:
        """Forget a ghost: it is gone, or not ours to chase any more."""
        with self._transaction() as db:
            db.execute("delete from ghost where name = ?", (name,))

    def ghosts(self) -> tuple[Ghost, ...]:
        """The registrations to look for."""
        with self._lock:
            rows = self._db.execute(
                "select name, scope, credential, runner_id, next_check_wall, give_up_wall, tries from ghost"
            ).fetchall()
        return tuple(Ghost(r[0], r[1], r[2], r[3], self._from_wall(r[4]), self._from_wall(r[5]), r[6]) for r in rows)

    # History

    def event(self, slot: str, runner: str, kind: str, detail: str) -> None:
        """Add a line to the history, and drop what is too old."""
        with self._transaction() as db:
            self._tell(db, slot, runner, kind, detail)

    def _tell(self, db: sqlite3.Connection, slot: str, runner: str, kind: str, detail: str) -> None:
        row = db.execute(
            "insert into event(at_wall, slot, runner, kind, detail) values (?, ?, ?, ?, ?) returning id",
            (self._clock.wall(), slot, runner, kind, detail),
        ).fetchone()
        if row[0] % 100 == 0:
            db.execute("delete from event where id <= ?", (row[0] - EVENTS_KEPT,))
            db.execute(
                "delete from attempt where phase = 'finished' and id <= (select max(id) from attempt) - ?",
                (ATTEMPTS_KEPT,),
            )


def read_events(folder: Path, after: int, limit: int = 1000) -> list[Event]:
    """The history after event `after`, oldest first; the newest `limit` lines. Works without a running runnerd."""
    path = folder / "journal.sqlite"
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        rows = db.execute(
            "select id, at_wall, slot, runner, kind, detail from event where id > ? order by id desc limit ?",
            (after, limit),
        ).fetchall()
    finally:
        db.close()
    return [Event(*row) for row in reversed(rows)]


def read_live(folder: Path) -> list[dict[str, object]]:
    """The slots that hold something, by the journal alone: for `status` when no runnerd answers."""
    path = folder / "journal.sqlite"
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        rows = db.execute(
            "select slot, pool, phase, name, container_id, reason, began_wall from attempt where phase <> 'finished'"
        ).fetchall()
    finally:
        db.close()
    names = ("slot", "pool", "phase", "runner", "container", "reason", "began_wall")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _plain(values: dict[str, object]) -> tuple[object, ...]:
    """What SQLite can hold."""
    return tuple(v.value if isinstance(v, (Phase, Outcome)) else v for v in values.values())
