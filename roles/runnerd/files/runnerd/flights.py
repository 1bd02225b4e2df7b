# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions on their way: each in a worker thread, and at most one upon the same slot, list, ghost or tag."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path

from .backoff import Backoff
from .effects import Ended

log = logging.getLogger("runnerd")


class Flights:
    """What is in flight, by the name of what it acts upon."""

    def __init__(self, executor: Executor, backoff: Backoff, journal_folder: Path, wake: Callable[[], None]) -> None:
        """`wake`: called when one has ended. Those that fail count with the `backoff`."""
        self._executor = executor
        self._backoff = backoff
        self._journal_folder = journal_folder
        self._wake = wake
        self._flights: dict[str, Future[Ended | None]] = {}

    def names(self) -> frozenset[str]:
        """Upon what there is an action under way."""
        return frozenset(self._flights)

    def __contains__(self, name: str) -> bool:
        return name in self._flights

    def fly(self, name: str, function: Callable[..., Ended | None], *arguments: object) -> None:
        """Begin one."""
        flight = self._executor.submit(function, *arguments)
        self._flights[name] = flight
        flight.add_done_callback(lambda dummy: self._wake())

    def land(self) -> Iterator[Ended]:
        """Take in those that are finished: the attempts that they ended."""
        for name, flight in list(self._flights.items()):
            if not flight.done():
                continue
            del self._flights[name]
            try:
                ended = flight.result()
            except sqlite3.OperationalError as exc:
                reason = (
                    f"the journal cannot be written: {exc}. Do: see whether there is room in {self._journal_folder}"
                )
                log.error("%s: %s", name, reason)
                self._backoff.broke(name, reason)
            except Exception as exc:  # a bug must not end the loop: the slot is tried again later, and the log tells
                log.exception("%s: an action failed in an unforeseen way", name)
                self._backoff.broke(name, f"internal error: {exc}")
            else:
                if ended is not None:
                    yield ended
