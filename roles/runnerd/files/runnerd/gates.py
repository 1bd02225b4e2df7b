# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a refusal of GitHub's closes, and for how long.

A gate outlives the process in the journal; here it is kept by the clock that nobody sets. Threads share it.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors

from .clock import Clock
from .journal import Journal
from .model import Gate
from .ways import budget_key, gate_keys

log = logging.getLogger("runnerd")


class Gates:
    """The gates in force, and those that are half open: their time is over, and nothing has come through yet."""

    def __init__(self, journal: Journal, clock: Clock, apps: Collection[str] = ()) -> None:
        """`apps`: the names of the credentials that are GitHub Apps."""
        self._journal = journal
        self._clock = clock
        self.apps = frozenset(apps)
        self._lock = threading.Lock()
        self._gates = journal.gates()
        self._unwritten: set[str] = set()  # closed while the journal could not be written; they hold all the same

    def all(self) -> dict[str, Gate]:
        """By key."""
        with self._lock:
            self._write_down()
            return dict(self._gates)

    def refused(self, exc: errors.GitHubError, credential: str, scope: str, pool: str = "") -> None:
        """GitHub refused: ask again later, and say why."""
        now = self._clock.now()
        with self._lock:
            gate = gate_for(exc, gate_keys(credential, scope, pool, self.apps), now, self._clock.wall(), self._gates)
            before = self._gates.get(gate.key)
            if before is not None and before.told and before.until > gate.until - 1.0:
                return  # several that were under way together are told different rests: the longest one holds
            self._gates[gate.key] = gate
            self._unwritten.add(gate.key)
            self._write_down()
        wait = gate.until - now
        self._journal.event("", "", "backing off", f"{gate.key}: {gate.reason} (asks again in {wait:.0f} s)")
        log.warning("%s: backing off for %.0f s: %s", gate.key, wait, gate.reason)

    def passed(self, credential: str, scope: str, pool: str) -> None:
        """A runner was made: the way is open. Not before the time that GitHub has set to others meanwhile."""
        opened = []
        with self._lock:
            for key in gate_keys(credential, scope, pool, self.apps):
                gate = self._gates.get(key)
                if gate is not None and not (gate.told and gate.until > self._clock.now()):
                    self._journal.open_gate(key)
                    del self._gates[key]
                    self._unwritten.discard(key)
                    opened.append(key)
        for key in opened:
            self._journal.event("", "", "works again", key)

    def try_again(self) -> None:
        """Something was changed by a person: what was refused may work now, but for what GitHub set a time to."""
        with self._lock:
            self._journal.try_gates_again()
            now = self._clock.now()
            self._gates = {
                key: gate if gate.told else replace(gate, until=now, failures=0) for key, gate in self._gates.items()
            }

    def check(self, credential: str, scope: str, action: str) -> None:
        """Raise RateLimited while GitHub wants no request of this credential's there.

        The decision leaves alone what is closed; requests that were decided upon together find it out here.
        """
        with self._lock:
            gate = self._gates.get(budget_key(credential, scope, self.apps))
        left = gate.until - self._clock.now() if gate is not None else 0.0
        if left > 0:
            why = f"GitHub wants no more requests with the credential {credential!r} for {left:.0f} s"
            raise errors.RateLimited(action, retry_at=self._clock.wall() + left, message=why)

    def _write_down(self) -> None:
        """For the next process, as soon as there is room for it."""
        with contextlib.suppress(sqlite3.OperationalError):
            for key in sorted(self._unwritten):
                self._journal.close_gate(self._gates[key])
                self._unwritten.discard(key)


def gate_for(
    exc: errors.GitHubError, keys: tuple[str, str, str], now: float, wall: float, before: Mapping[str, Gate]
) -> Gate:
    """What is closed after a refusal, and until when (steady seconds).

    A limit closes the budget that it is of; what would meet every pool there closes the scope; what its own settings
    caused, the pool.
    """
    budget, scope, pool = keys
    reason, remedy = str(exc).split(". Do: ", 1)[0], exc.hint
    if isinstance(exc, errors.RateLimited):
        return Gate(budget, now + max(exc.retry_at - wall, 1.0), reason, remedy, told=True)
    of_the_pool = isinstance(exc, errors.NotFound) and exc.status is None  # its runner group is not there
    if of_the_pool or isinstance(exc, (errors.Unprocessable, errors.Conflict)):
        key, first, most = pool, 30, 900
    elif isinstance(exc, (errors.Unauthorized, errors.Forbidden, errors.NotFound)):
        key, first, most = scope, 60, 900
    else:
        key, first, most = scope, 5, 300
    last = before.get(key)
    # Several that were under way when the first was refused count as one.
    failures = 1 if last is None else last.failures + 1 if last.until <= now else max(last.failures, 1)
    return Gate(key, now + min(first * 2 ** (failures - 1), most), reason, remedy, failures)
