# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long to wait after what went wrong: a slot whose runners end badly, and an action that changed nothing.

Remembered until runnerd ends; a person who changes something makes it forget. What GitHub or Docker refuse is another
matter (`model.Gate`, in the journal).
"""

from __future__ import annotations

from dataclasses import dataclass

from .clock import Clock
from .core import back_off
from .effects import Ended
from .model import BLAMELESS, Action, Chase, Refresh, World

#: A runner that was online for longer than this (seconds) begins a slot's count of bad ends anew.
LASTING = 60.0
#: Seconds until a slot is tried again after an error of runnerd's own.
AFTER_BUG = 30.0
#: An action that changes nothing is tried again after 1, 2, 4 … seconds, at most this.
LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Failures:
    """Bad ends of one slot in a row, the last one's reason, and when the slot is tried again."""

    count: int = 0
    retry_at: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class _Try:
    """The last launch of an action, by what it was launched upon: the same again means that it brought nothing."""

    upon: tuple[object, ...]
    at: float
    count: int = 0


class Backoff:
    """The failures of every slot, and the last try of every action."""

    def __init__(self, clock: Clock) -> None:
        """Nothing has failed yet."""
        self._clock = clock
        self._failures: dict[str, Failures] = {}
        self._tries: dict[str, _Try] = {}

    def failures(self, slot: str) -> Failures:
        """The slot's bad ends since the last good one."""
        return self._failures.get(slot, Failures())

    def ended(self, ended: Ended) -> None:
        """Count how an attempt ended."""
        if ended.outcome in BLAMELESS:
            self._failures.pop(ended.slot, None)
            return
        lasted = ended.online_for is not None and ended.online_for > LASTING
        count = 1 if lasted else self.failures(ended.slot).count + 1
        retry_at = self._clock.now() + back_off(count, ended.online_for is not None)
        self._failures[ended.slot] = Failures(count, retry_at, ended.reason)

    def broke(self, name: str, reason: str) -> None:
        """An action ended in an error of ours, or could not write down what it did."""
        self._failures[name] = Failures(1, self._clock.now() + AFTER_BUG, reason)

    def pause(self, action: Action, world: World) -> float | None:
        """Until when an action must wait because it was tried upon the same state and changed nothing; None: go."""
        name, upon = _upon(action, world)
        before = self._tries.get(name)
        count = 0
        if before is not None and before.upon == upon:
            again = before.at + min(2.0**before.count, LONGEST_PAUSE)
            if again > world.now:
                return again
            count = before.count + 1
        self._tries[name] = _Try(upon, world.now, count)
        return None

    def forget(self) -> None:
        """A person changed something: what failed before may work now."""
        self._failures.clear()
        self._tries.clear()


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
