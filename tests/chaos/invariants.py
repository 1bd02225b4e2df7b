# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seven statements that every history must bear out, whatever was done in it, and one on errors of runnerd's own.

Pure: rows in, violations out. Knows nothing of runnerd but what it says of a runner in its events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .history import Row

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
    )
    return [found for check in checks for found in check(rows)] + list(within_budget(rows, budget))


def jobs_run_once_or_are_reported(rows: Sequence[Row]) -> Iterable[Violation]:
    """Every queued job runs exactly once, or is reported with its reason."""
    name = "every queued job runs exactly once, or is reported"
    starts = Counter(row.of for row in rows if (row.who, row.what) == ("job", "started"))
    ended = {row.of for row in rows if (row.who, row.what) == ("job", "ended")}
    killed = {row.of: row for row in rows if (row.who, row.what) == ("job", "killed")}
    reported = {
        row.of
        for row in rows
        if (row.who, row.what) == ("runnerd", "ended") and row.more["detail"].partition(":")[2].strip()
    }
    for row in rows:
        if (row.who, row.what) != ("job", "queued"):
            continue
        if starts[row.of] > 1:
            yield Violation(name, f"job {row.of} ran {starts[row.of]} times", row)
        if row.of in killed and killed[row.of].more["runner"] not in reported:
            yield Violation(name, f"job {row.of} was killed and nobody was told", killed[row.of])
        if starts[row.of] == 0:
            yield Violation(name, f"job {row.of} never ran", row)
        elif row.of not in ended and row.of not in killed:
            yield Violation(name, f"job {row.of} never ended", row)


def a_container_has_one_job(rows: Sequence[Row]) -> Iterable[Violation]:
    """A container runs at most one job."""
    first: dict[str, Row] = {}
    for row in rows:
        if (row.who, row.what) == ("job", "started"):
            if row.more["container"] in first:
                yield Violation("a container runs at most one job", f"after {first[row.more['container']]}", row)
            first[row.more["container"]] = row


class _Limits:
    """Until when a job in a slot must be left alone, by what people have said so far."""

    def __init__(self) -> None:
        self.job = NEVER
        self._wanted: set[str] = set()
        self._ends: dict[tuple[str, str], float] = {}  # (why, slot or "") -> when

    def said(self, row: Row) -> None:
        """A person said something."""
        if row.what == "wants":
            slots = set(row.more["slots"])
            for slot in self._wanted - slots:
                self._ends["smaller", slot] = row.at + (row.more["drain"] or NEVER)
            for slot in slots:
                self._ends.pop(("smaller", slot), None)
            self._wanted, self.job = slots, row.more["job"] or NEVER
        elif row.what == "resume":
            self._ends = {key: end for key, end in self._ends.items() if key[0] == "smaller"}
        elif row.what in ("drain", "stop", "shutdown"):
            key = (row.what, row.of)
            self._ends[key] = min(row.at + row.more["limit"], self._ends.get(key, NEVER))

    def end(self, slot: str) -> float:
        """The earliest end of a job in this slot."""
        return min((end for (_why, of), end in self._ends.items() if of in ("", slot)), default=NEVER)


def no_busy_runner_is_stopped_before_its_limit(rows: Sequence[Row]) -> Iterable[Violation]:
    """Nor a job accepted by a slot that is leaving, once GitHub was told."""
    limits = _Limits()
    started: dict[str, float] = {}
    for row in rows:
        if row.who == "person":
            limits.said(row)
        elif (row.who, row.what) == ("job", "started"):
            started[row.more["container"]] = row.at
        elif (row.who, row.what) == ("docker", "stopped") and row.more["by"] == "runnerd" and row.more["working"]:
            end = min(limits.end(row.more["slot"]), started[row.of] + limits.job)
            if row.at < end - SLACK:
                yield Violation("no busy runner is stopped before its limit", f"which is at {end:.0f}", row)


def what_is_there_is_what_is_wanted(rows: Sequence[Row]) -> Iterable[Violation]:
    """When all is quiet, the runners at GitHub, the containers and the slots are the same set; no volume is left."""
    name = "when all is quiet, runners, containers and slots are the same set"
    containers: set[str] = set()
    for row in rows:
        if (row.who, row.what) == ("stage", "quiet"):
            here: dict[str, str] = row.more["containers"]
            containers |= here.keys()
            if sorted(here.values()) != row.more["slots"]:
                yield Violation(name, "containers are not the slots", row)
            if row.more["blocks"] != row.more["slots"]:
                yield Violation(name, "the Compose file has other slots", row)
            if row.more["volumes"] != sorted(here):
                yield Violation(name, "a volume has no container", row)
        elif (row.who, row.what) == ("stage", "registered"):
            at_github = sorted(runner[-12:] for runner in row.more["names"])
            if at_github != sorted(containers):
                yield Violation(name, "GitHub has other runners", row)
            containers = set()


def a_credential_is_delivered_once_to_a_fresh_container(rows: Sequence[Row]) -> Iterable[Violation]:
    """A credential is delivered once, and to a never-used container."""
    name = "a credential is delivered once, to a container that was never used"
    credentials: set[str] = set()
    containers: set[str] = set()
    for row in rows:
        if (row.who, row.what) == ("docker", "delivered"):
            if row.more["credential"] in credentials:
                yield Violation(name, "it was delivered before", row)
            if row.of in containers or row.more["starts"] != 1:
                yield Violation(name, "the container was used before", row)
            credentials.add(row.more["credential"])
            containers.add(row.of)


def github_is_left_alone_when_it_says_so(rows: Sequence[Row]) -> Iterable[Violation]:
    """No call inside a back-off window that GitHub itself has set."""
    closed_until = 0.0
    for row in rows:
        if (row.who, row.what) == ("stage", "forgets"):
            closed_until = 0.0  # the window was written down nowhere that is left, or by a clock that was wrong
        if (row.who, row.what) != ("github", "asked"):
            continue
        if row.more["since"] < closed_until - SLACK:
            yield Violation("GitHub is not asked inside a back-off window", f"which ends at {closed_until:.0f}", row)
        closed_until = max(closed_until, row.at + row.more.get("wait", 0.0), row.more.get("until", 0.0))


def nothing_is_unforeseen(rows: Sequence[Row]) -> Iterable[Violation]:
    """An error that runnerd did not foresee is a defect, though it outlives it."""
    for row in rows:
        if (row.who, row.what) == ("runnerd", "error") and not row.more["foreseen"]:
            yield Violation("every error is foreseen", "this one was not", row)


def within_budget(rows: Sequence[Row], budget: Budget) -> Iterable[Violation]:
    """Calls stay within what the runners that were made, and the hours, are worth."""
    if not rows:
        return
    asked = sum((row.who, row.what) == ("github", "asked") for row in rows)
    made = sum((row.who, row.what) == ("docker", "created") for row in rows)
    hours = (rows[-1].at - rows[0].at) / 3600
    most = budget.per_container * made + budget.per_hour * hours + budget.besides
    if asked > most:
        yield Violation("calls stay within the budget", f"{asked} for {made} containers in {hours:.1f} h")
