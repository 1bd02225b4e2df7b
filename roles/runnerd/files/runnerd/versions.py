# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The versions of the runner program in the containers that run, and until when GitHub takes them.

A version ends some 30 days after the next release; runners of it are refused from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import GitHubError

from .broker import Broker
from .chores import DAY, NEVER, Chore, Done, due_at, phase_of
from .clock import Clock
from .core import closed
from .model import World


@dataclass(frozen=True)
class _Question:
    """A version, and where to ask about it."""

    scope: str
    credential: str
    version: str


@dataclass(frozen=True)
class _Answer:
    """What GitHub said last, epoch seconds; `end` None: no end is set, or GitHub has not answered yet."""

    done: Done = NEVER
    end: float | None = None


@dataclass(frozen=True)
class VersionStatus:
    """A version in use, as a person is told."""

    version: str
    slots: tuple[str, ...]
    accepted_until: float | None  # epoch seconds; None: no end is set
    asked: bool  # GitHub has answered
    error: str = ""


class Versions:
    """Asks GitHub once a day about each version in use."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        """Nothing is known until the first answer."""
        self._broker = broker
        self._clock = clock
        self._answers: dict[_Question, _Answer] = {}

    def chores(self, world: World) -> Iterable[Chore]:
        """The questions that are due."""
        wall = self._clock.wall()
        in_use = _in_use(world)
        # Between two short jobs nothing is in use for a moment: an answer is good for its day all the same.
        kept = {
            question: answer
            for question, answer in self._answers.items()
            if question in in_use or 0 <= wall - (answer.done.succeeded_at or answer.done.failed_at or 0.0) < DAY
        }
        self._answers = kept | {question: kept.get(question, _Answer()) for question in in_use}
        for question in in_use:
            answer = self._answers[question]
            may = closed(world, question.credential, question.scope) is None
            if may and due_at(answer.done, phase_of(question.scope, question.version), wall) <= wall:
                yield Chore(f"version {question.version} of {question.scope}", partial(self._ask, question))

    def status(self, world: World) -> tuple[VersionStatus, ...]:
        """Each version in use, the one that ends first at the top."""
        by_version: dict[str, VersionStatus] = {}
        for question, slots in _in_use(world).items():
            answer = self._answers.get(question, _Answer())
            told = by_version.get(question.version, VersionStatus(question.version, (), None, False))
            ends = [end for end in (told.accepted_until, answer.end) if end is not None]
            by_version[question.version] = replace(
                told,
                slots=told.slots + slots,
                accepted_until=min(ends, default=None),
                asked=told.asked or answer.done.succeeded_at is not None,
                error=told.error or answer.done.error,
            )
        return tuple(sorted(by_version.values(), key=lambda v: (v.accepted_until or float("inf"), v.version)))

    def _ask(self, question: _Question) -> None:
        before = self._answers.get(question, _Answer())
        try:
            end = self._broker.version_end(question.scope, question.credential, question.version)
        except GitHubError as exc:
            # No reason to keep slots empty: it is asked again, and the last answer holds.
            after = replace(before, done=before.done.failure(self._clock.wall(), str(exc)))
        else:
            after = _Answer(before.done.success(self._clock.wall()), end)
        self._answers[question] = after


def _in_use(world: World) -> dict[_Question, tuple[str, ...]]:
    """Question -> the slots whose runner has that version."""
    found: dict[_Question, tuple[str, ...]] = {}
    for view in world.slots:
        # GitHub's word first: the output is the runner's own until its job can write there, too.
        version = view.registration.version or view.output.version
        if view.attempt is not None and version:
            question = _Question(view.attempt.scope, view.attempt.credential, version)
            found[question] = (*found.get(question, ()), view.slot)
    return found
