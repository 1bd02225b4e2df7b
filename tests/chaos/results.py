# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each fault class did: written as JSON lines while the suite runs, read again for the table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import sizes

if TYPE_CHECKING:  # the table is made without the daemon
    from .stage import Stage


@dataclass(frozen=True)
class Result:
    """One try of a fault. `lost`: jobs that neither ended nor were reported; `ghosts`: what was left at GitHub."""

    fault: str
    promise: int
    sentence: str
    lost: int
    ghosts: int
    heal: float | None  # seconds until all slots held a runner that is online; None: it was never less


def note(fault: str, promise: int, sentence: str, stage: Stage, heal: float | None) -> None:
    """Write one try down; the stage has come to rest, and was judged."""
    if sizes.RESULTS is None:
        return
    rows = stage.history.rows
    queued = {row.of for row in rows if (row.who, row.what) == ("job", "queued")}
    known = {row.of for row in rows if row.who == "job" and row.what in ("ended", "killed")}
    here = {container.id[:12] for host in stage.hosts for container in host.engine.all}
    ghosts = [one for one in stage.service.github.runners.values() if one.name[-12:] not in here]
    result = Result(fault, promise, sentence, len(queued - known), len(ghosts), heal)
    with sizes.RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def read(path: Path) -> list[Result]:
    """All that was written down."""
    return [Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def table(results: Iterable[Result]) -> str:
    """One line a fault class, in the order of the promises."""
    classes: dict[tuple[int, str], list[Result]] = {}
    for result in results:
        classes.setdefault((result.promise, result.fault), []).append(result)
    lines = [
        "| fault | attacks promise | tried | jobs lost | ghosts left | median time to heal |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for (promise, fault), tries in sorted(classes.items()):
        heals = [one.heal for one in tries if one.heal is not None]
        heal = duration(statistics.median(heals)) if heals else "-"
        lost, ghosts = sum(one.lost for one in tries), sum(one.ghosts for one in tries)
        lines.append(f"| {fault}: {tries[0].sentence} | {promise} | {len(tries)} | {lost} | {ghosts} | {heal} |")
    return "\n".join(lines)


def summary(results: list[Result]) -> str:
    """All of it in one line of a table, for the README."""
    heals = [one.heal for one in results if one.heal is not None]
    lost, ghosts = sum(one.lost for one in results), sum(one.ghosts for one in results)
    return (
        "| fault classes | times tried | jobs lost | ghosts left | median time to heal |\n|---:|---:|---:|---:|---:|\n"
        f"| {len({one.fault for one in results})} | {len(results)} | {lost} | {ghosts} | "
        f"{duration(statistics.median(heals)) if heals else '-'} |"
    )


def duration(seconds: float) -> str:
    """As a person says it."""
    if seconds < 0.5:
        return "at once"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
