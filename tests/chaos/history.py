# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened, seen from outside: plain rows, in order, that can be printed and judged afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .world import Time


@dataclass(frozen=True)
class Row:
    """One thing that happened.

    `who` did it (`github`, `docker`, `runnerd`, `job`, `person`, `stage`), `what` it was, and `of` what: a container's
    id, a runner's name, a job's number, a slot.
    """

    at: float
    who: str
    what: str
    of: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        more = " ".join(f"{name}={value}" for name, value in self.more.items())
        return f"{self.at:12.2f} {self.who:8} {self.what:12} {self.of[:40]:40} {more}".rstrip()


class History:
    """The rows of one simulation."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.rows: list[Row] = []

    def add(self, who: str, what: str, of: str = "", **more: Any) -> None:
        """It happens now."""
        self.rows.append(Row(self._time.at, who, what, of, more))

    def of(self, who: str, *what: str) -> Iterator[Row]:
        """The rows of these kinds."""
        return (row for row in self.rows if row.who == who and row.what in what)

    def told(self, last: int = 400) -> str:
        """The end of it, for a person who wants to know how it came to this."""
        return "\n".join(map(str, self.rows[-last:]))
