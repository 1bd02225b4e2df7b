# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened, seen from outside: plain rows, in order, that can be printed and judged afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .world import Time

Kind = tuple[str, str]

#: A row's `who` and `what`. What people say is `("person", what they said)`, and so are runnerd's other events.
JOB_QUEUED: Kind = ("job", "queued")
JOB_STARTED: Kind = ("job", "started")
JOB_ENDED: Kind = ("job", "ended")  # by its runner's word; `result`; `unheard`: GitHub had given it up before
JOB_KILLED: Kind = ("job", "killed")  # with its container; `seen`: a runnerd could know of it
CREATED: Kind = ("docker", "created")
STARTED: Kind = ("docker", "started")
DELIVERED: Kind = ("docker", "delivered")
STOPPED: Kind = ("docker", "stopped")
DIED: Kind = ("docker", "died")
REMOVED: Kind = ("docker", "removed")
ASKED: Kind = ("github", "asked")
WANTS: Kind = ("person", "wants")
ATTEMPT_ENDED: Kind = ("runnerd", "ended")
ERROR: Kind = ("runnerd", "error")
PROCESS_BEGAN: Kind = ("runnerd", "began")
PROCESS_ENDED: Kind = ("host", "runnerd ended")
NOT_STARTED: Kind = ("host", "not started")
FORGETS: Kind = ("host", "forgets")  # what runnerd knew is gone
DOUBT: Kind = ("host", "doubt")  # from now on (`on`) its clock is wrong, or nothing can be written down
UPDATES: Kind = ("runner", "updates")
STRUCK: Kind = ("stage", "fault")
KILLS: Kind = ("stage", "kills")
IDLE: Kind = ("stage", "idle")  # from now on (`on`) an hour passes in which nothing is asked of anybody
QUIET: Kind = ("stage", "quiet")
REGISTERED: Kind = ("stage", "registered")


@dataclass(frozen=True)
class Row:
    """One thing that happened.

    `who` did it (`github`, `docker`, `runnerd`, `job`, `person`, `host`, `stage`), `what` it was, and `of` what: a
    container's id, a runner's name, a job's number, a slot.
    """

    at: float
    who: str
    what: str
    of: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Who and what."""
        return self.who, self.what

    def __str__(self) -> str:
        more = " ".join(f"{name}={value}" for name, value in self.more.items())
        return f"{self.at:12.2f} {self.who:8} {self.what:12} {self.of[:40]:40} {more}".rstrip()


def of(rows: Iterable[Row], *kinds: Kind) -> Iterator[Row]:
    """Those of these kinds."""
    return (row for row in rows if row.kind in kinds)


class History:
    """The rows of one simulation."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.rows: list[Row] = []

    def add(self, kind: Kind, whom: str = "", **more: Any) -> None:
        """It happens now."""
        self.rows.append(Row(self._time.at, *kind, whom, more))

    def of(self, *kinds: Kind) -> Iterator[Row]:
        """The rows of these kinds."""
        return of(self.rows, *kinds)

    def told(self, last: int = 400) -> str:
        """The end of it, for a person who wants to know how it came to this."""
        return "\n".join(map(str, self.rows[-last:]))
