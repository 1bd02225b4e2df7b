# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seven statements that every history must bear out, whatever was done in it; one on errors of runnerd's own,
and one on the history itself.

Pure: rows in, violations out. Knows nothing of runnerd but what it says of a runner in its events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .fates import Fate, fates
from .history import (
    ASKED,
    CREATED,
    DELIVERED,
    DOUBT,
    ERROR,
    FORGETS,
    IDLE,
    JOB_ENDED,
    JOB_KILLED,
    JOB_QUEUED,
    JOB_STARTED,
    PROCESS_BEGAN,
    PROCESS_ENDED,
    QUIET,
    REGISTERED,
    STOPPED,
    WANTS,
    Row,
    of,
)

NEVER = float("inf")
#: Seconds that a limit may be early by: events and clocks are told in whole ones.
SLACK = 1.0


@dataclass(frozen=True)
class Violation:
    """What is wrong, and the row that shows it."""

    invariant: str
    why: str
    row: Row | None = None

    def __str__(self) -> str:
        return f"VIOLATED: {self.invariant}: {self.why}" + (f"\n  {self.row}" if self.row else "")


@dataclass(frozen=True)
class Budget:
    """How often GitHub may be asked: for each container that was made, for each hour, and altogether besides."""

    per_container: float = 6.0
    per_hour: float = 130.0  # while something leaves, each scope's list is read once a minute
    besides: float = 60.0
    idle: float = 20.0  # in an hour in which nothing happens, for each host


USUAL = Budget()


def violations(rows: Sequence[Row], budget: Budget = USUAL) -> list[Violation]:
    """All that is wrong with a history."""
    checks: tuple[Callable[[Sequence[Row]], Iterable[Violation]], ...] = (
        jobs_run_once_or_are_reported,
        a_container_has_one_job,
        no_busy_runner_is_stopped_before_its_limit,
        what_is_there_is_what_is_wanted,
        a_credential_is_delivered_once_to_a_fresh_container,
        github_is_left_alone_when_it_says_so,
        nothing_is_unforeseen,
        it_was_seen_to_its_end,
    )
    return [found for check in checks for found in check(rows)] + list(within_budget(rows, budget))


def jobs_run_once_or_are_reported(rows: Sequence[Row]) -> Iterable[Violation]:
    """Every queued job runs exactly once, or is reported with its reason."""
    name = "every queued job runs exactly once, or is reported"
    starts = Counter(row.of for row in of(rows, JOB_STARTED))
    for job in fates(rows):
        if starts[job.number] > 1:
            yield Violation(name, f"job {job.number} ran {starts[job.number]} times", job.row)
        if job.fate is Fate.LOST:
            yield Violation(name, f"job {job.number} {job.why}", job.row)


def a_container_has_one_job(rows: Sequence[Row]) -> Iterable[Violation]:
    """A container runs at most one job."""
    first: dict[str, Row] = {}
    for row in of(rows, JOB_STARTED):
        if row.more["container"] in first:
            yield Violation("a container runs at most one job", f"after {first[row.more['container']]}", row)
        first[row.more["container"]] = row


class _Limits:
    """Until when a job in a slot must be left alone, by what people have said so far."""

    def __init__(self) -> None:
        self.job = self._drain = NEVER
        self._wanted: set[str] = set()
        #: (why, slot or "") -> since when, and the limit; None: the one of the settings, whatever they say by then
        self._leaving: dict[tuple[str, str], tuple[float, float | None]] = {}

    def said(self, row: Row) -> None:
        """A person said something."""
        if row.kind == WANTS:
            slots = set(row.more["slots"])
            for slot in self._wanted - slots:
                self._leaving["smaller", slot] = row.at, None
            for slot in slots:
                self._leaving.pop(("smaller", slot), None)
            self._wanted = slots
            self._drain, self.job = row.more["drain"] or NEVER, row.more["job"] or NEVER
        elif row.what == "resume":
            self._leaving = {key: end for key, end in self._leaving.items() if key[0] == "smaller"}
        elif row.what in ("drain", "stop", "shutdown"):
            known = self._leaving.get((row.what, row.of))
            said = row.at, row.more["limit"]
            if known is None or self._end(*said) < self._end(*known):
                self._leaving[row.what, row.of] = said

    def end(self, slot: str) -> float:
        """The earliest end of a job in this slot."""
        return min(
            (self._end(*each) for (_why, of_), each in self._leaving.items() if of_ in ("", slot)), default=NEVER
        )

    def _end(self, since: float, limit: float | None) -> float:
        return since + (self._drain if limit is None else limit)


def no_busy_runner_is_stopped_before_its_limit(rows: Sequence[Row]) -> Iterable[Violation]:
    """By what people have said until then; also one that GitHub was told to forget."""
    limits = _Limits()
    started: dict[str, float] = {}
    for row in rows:
        if row.who == "person":
            limits.said(row)
        elif row.kind == JOB_STARTED:
            started[row.more["container"]] = row.at
        elif row.kind == STOPPED and row.more["by"] == "runnerd" and row.more["working"]:
            end = min(limits.end(row.more["slot"]), started[row.of] + limits.job)
            if row.at < end - SLACK:
                yield Violation("no busy runner is stopped before its limit", f"which is at {end:.0f}", row)


def what_is_there_is_what_is_wanted(rows: Sequence[Row]) -> Iterable[Violation]:
    """When all is quiet, the runners at GitHub, the containers and the slots are the same set; no volume is left."""
    name = "when all is quiet, runners, containers and slots are the same set"
    containers: set[str] = set()
    for row in rows:
        if row.kind == QUIET:
            here: dict[str, str] = row.more["containers"]
            containers |= here.keys()
            if sorted(here.values()) != row.more["slots"]:
                yield Violation(name, "containers are not the slots", row)
            if row.more["blocks"] != row.more["slots"]:
                yield Violation(name, "the Compose file has other slots", row)
            if row.more.get("old"):
                yield Violation(name, "a runner is one of old settings", row)
            if row.more["volumes"] != sorted(here):
                yield Violation(name, "a volume has no container", row)
        elif row.kind == REGISTERED:
            at_github = sorted(runner[-12:] for runner in row.more["names"])
            if at_github != sorted(containers):
                yield Violation(name, "GitHub has other runners", row)
            containers = set()


def a_credential_is_delivered_once_to_a_fresh_container(rows: Sequence[Row]) -> Iterable[Violation]:
    """A credential is delivered once, and to a never-used container."""
    name = "a credential is delivered once, to a container that was never used"
    credentials: set[str] = set()
    containers: set[str] = set()
    for row in of(rows, DELIVERED):
        if row.more["credential"] in credentials:
            yield Violation(name, "it was delivered before", row)
        if row.of in containers or row.more["starts"] != 1:
            yield Violation(name, "the container was used before", row)
        credentials.add(row.more["credential"])
        containers.add(row.of)


class _Window(NamedTuple):
    """In which GitHub wants to hear nothing; `doubtful`: a new process may not know of it."""

    told: float
    end: float
    doubtful: bool


def github_is_left_alone_when_it_says_so(rows: Sequence[Row]) -> Iterable[Violation]:
    """No call inside a back-off window that GitHub itself has set.

    A new process may not know of one that was told, or is read, by a clock that is wrong, nor of one that could not be
    written down: for want of room, or since the process died in the moment in which it was told.
    """
    windows: list[_Window] = []
    doubts: set[str] = set()
    for row in of(rows, ASKED, FORGETS, DOUBT, PROCESS_ENDED, PROCESS_BEGAN):
        if row.kind == FORGETS:
            windows = []
        elif row.kind == DOUBT:
            doubts = doubts | {row.of} if row.more["on"] else doubts - {row.of}
        elif row.kind == PROCESS_ENDED:
            windows = [window for window in windows if window.told < row.at]
        elif row.kind == PROCESS_BEGAN:
            windows = [] if "clock" in doubts else [window for window in windows if not window.doubtful]
        else:
            since = row.more["since"]  # one that was under way when another one was refused is none of this
            closed_until = max((window.end for window in windows if window.told <= since), default=0.0)
            if since < closed_until - SLACK:
                why = f"which ends at {closed_until:.0f}"
                yield Violation("GitHub is not asked inside a back-off window", why, row)
            if end := max(row.at + row.more["wait"] if "wait" in row.more else 0.0, row.more.get("until", 0.0)):
                windows = [*(window for window in windows if window.end > row.at), _Window(row.at, end, bool(doubts))]


def nothing_is_unforeseen(rows: Sequence[Row]) -> Iterable[Violation]:
    """An error that runnerd did not foresee is a defect, though it outlives it."""
    for row in of(rows, ERROR):
        if not row.more["foreseen"]:
            yield Violation("every error is foreseen", "this one was not", row)


def it_was_seen_to_its_end(rows: Sequence[Row]) -> Iterable[Violation]:
    """A history that stops early, or in which nothing worked, shows nothing."""
    name = "the history shows something"
    if not any(of(rows, QUIET)) or not any(of(rows, REGISTERED)):
        yield Violation(name, "nobody looked at its end")
    if any(of(rows, JOB_QUEUED)) and not any(of(rows, JOB_ENDED, JOB_KILLED)):
        yield Violation(name, "no job came to any end")


def within_budget(rows: Sequence[Row], budget: Budget) -> Iterable[Violation]:
    """Calls stay within what the runners that were made, and the hours, are worth; an idle hour costs hardly any."""
    name = "calls stay within the budget"
    if not rows:
        return
    asked = len(list(of(rows, ASKED)))
    made = len(list(of(rows, CREATED)))
    hours = (rows[-1].at - rows[0].at) / 3600
    most = budget.per_container * made + budget.per_hour * hours + budget.besides
    if asked > most:
        yield Violation(name, f"{asked} for {made} containers in {hours:.1f} h")
    idle, asked = False, 0
    for row in of(rows, ASKED, IDLE):
        if row.kind == ASKED:
            asked += 1
            continue
        if idle and asked > budget.idle * row.more["hosts"]:
            yield Violation(name, f"{asked} in an idle hour", row)
        idle, asked = row.more["on"], 0
