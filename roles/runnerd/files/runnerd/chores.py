# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done about once a day, beside the life of the slots, and when it is due. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

DAY = 86400.0
#: Seconds until something that failed is tried again: doubled each time, at most the second.
FIRST_RETRY, LONGEST_RETRY = 900.0, 21600.0


@dataclass(frozen=True)
class Chore:
    """Something to do in a worker thread; of the same name only one at a time."""

    name: str
    do: Callable[[], None]


@dataclass(frozen=True)
class Done:
    """How it went so far; epoch seconds. `failures` are those in a row since the last success."""

    succeeded_at: float | None = None
    failed_at: float | None = None
    failures: int = 0
    error: str = ""

    def success(self, now: float) -> Done:
        """It worked."""
        return Done(succeeded_at=now)

    def failure(self, now: float, error: str) -> Done:
        """It failed once more."""
        return Done(self.succeeded_at, now, self.failures + 1, error)


NEVER = Done()


def due_at(done: Done, phase: float, now: float) -> float:
    """When it is to be done next (epoch seconds).

    Once a day, at the time of day that is `phase` seconds after midnight UTC: the first such time after the last
    success. After a failure sooner, and less and less soon. Never yet: now. A clock that was set back delays nothing by
    more than a day.
    """
    if done.failures:
        failed_at = min(done.failed_at or now, now)
        return failed_at + min(FIRST_RETRY * 2.0 ** min(done.failures - 1, 10), LONGEST_RETRY)
    if done.succeeded_at is None:
        return now
    last = min(done.succeeded_at, now)
    midnight = last - last % DAY
    today = midnight + phase % DAY
    return today if today > last else today + DAY


def phase_of(*names: str) -> float:
    """A time of day for this machine and this matter, always the same: so not all hosts ask at once."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * DAY
