# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of each job: counted first, judged afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .history import (
    ATTEMPT_ENDED,
    FORGETS,
    JOB_ENDED,
    JOB_KILLED,
    JOB_QUEUED,
    JOB_STARTED,
    PROCESS_ENDED,
    STOPPED,
    Row,
    of,
)

#: What runnerd calls the end of a runner whose job did not come to its own.
REPORTS = ("job lost", "job cancelled")
#: Nor can it know of a job whose worker and line were not there yet, or went with the container while no runnerd was
#: there to read them, or before one that died could tell; then it tells of the runner.
REPORTS_OF_THE_UNSEEN = (*REPORTS, "cut off", "killed", "host restarted")
#: Of one whose program ended by itself before its line was there.
REPORTS_OF_THE_SILENT = (*REPORTS_OF_THE_UNSEEN, "ended idle", "never online")


class Fate(Enum):
    """What can become of a job."""

    RAN = "it ran to its end"
    REPORTED = "it was ended by a fault, a person or a limit, and that was reported"
    LOST = "lost"


@dataclass(frozen=True)
class Job:
    """One queued job, and the row that shows best what became of it."""

    number: str
    fate: Fate
    why: str
    row: Row


def fates(rows: Sequence[Row]) -> list[Job]:
    """Of every queued job."""
    started = {row.of for row in of(rows, JOB_STARTED)}
    last = {row.of: row for row in of(rows, JOB_ENDED, JOB_KILLED)}
    # By the end of the runner's name, which is its container's: after a loss of the journal it may have another prefix.
    reports = {row.of[-12:]: row for row in of(rows, ATTEMPT_ENDED) if row.more["detail"].partition(":")[2].strip()}
    by_hand = {row.of[:12]: row.at for row in reversed(list(of(rows, STOPPED))) if row.more["by"] == "person"}
    died = [row.at for row in of(rows, PROCESS_ENDED)]
    forgot = max((row.at for row in of(rows, FORGETS)), default=-1.0)
    jobs = []
    for row in of(rows, JOB_QUEUED):
        end = last.get(row.of)
        if end is None:
            jobs.append(Job(row.of, Fate.LOST, "never ended" if row.of in started else "never ran", row))
            continue
        container = end.more["container"][:12]
        by_hand_before = by_hand.get(container, end.at) < end.at
        jobs.append(Job(row.of, *_fate(end, reports.get(container), died, forgot, by_hand_before), end))
    return jobs


def _fate(row: Row, report: Row | None, died: Sequence[float], forgot: float, by_hand: bool) -> tuple[Fate, str]:
    """By its last row, and what runnerd reported. A history that tells no result knows of none but good ones."""
    result = row.more.get("result", "Succeeded") if row.kind == JOB_ENDED else ""
    if result == "Succeeded":
        return Fate.RAN, ""
    if row.more.get("unheard"):
        return Fate.REPORTED, "GitHub had heard nothing of it for too long, and says so itself"
    if report is not None:
        outcome = str(report.more["detail"]).partition(":")[0]
        if by_hand and result == "Canceled" and outcome == "job" and str(report.more["detail"]).endswith(": Canceled"):
            return Fate.REPORTED, "a person stopped its runner, which had the time to cancel it and to say so"
        seen = row.more.get("seen", True) and not any(row.at <= at <= report.at for at in died)
        silent = not row.more.get("seen", True)
        if outcome in (REPORTS if seen else REPORTS_OF_THE_SILENT if silent else REPORTS_OF_THE_UNSEEN):
            return Fate.REPORTED, outcome
    elif forgot >= row.at:
        return Fate.REPORTED, "its container and the journal are both gone: GitHub alone can tell"
    return Fate.LOST, f"ended as {result!r} and nobody was told" if result else "was killed and nobody was told"
