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

from . import sizes


@dataclass(frozen=True)
class Result:
    """One try of a fault: what was counted, before anybody judged it."""

    fault: str
    promise: int
    sentence: str
    may_take: float  # seconds until it must have healed
    because: str  # why so long
    ran: int  # jobs that ran to their end
    reported: int  # jobs that it ended, and that were reported
    lost: int  # jobs of which neither is true
    ghosts: int  # registrations without a container
    heal: float | None  # seconds until all slots held a runner that is online, 0 if they always did; None: not asked


def note(result: Result) -> None:
    """Write one try down."""
    if sizes.RESULTS is not None:
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
        "| fault | attacks promise | tried | jobs run | ended by it, reported | lost | ghosts left | time to heal |"
        " may take |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for (promise, fault), tries in sorted(classes.items()):
        first = tries[0]
        may_take = f"{duration(first.may_take)}{': ' * bool(first.because)}{first.because}"
        cells = [f"{fault}: {first.sentence}", promise, len(tries), *_counts(tries), _heals(tries), may_take]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def summary(results: list[Result]) -> str:
    """All of it in one line of a table, for the README."""
    cells = [len({one.fault for one in results}), len(results), *_counts(results), _heals(results)]
    names = ["fault classes", "times tried", "jobs run", "ended by a fault, reported", "lost", "ghosts left"]
    header = f"| {' | '.join([*names, 'median time to heal'])} |\n{'|---:' * len(cells)}|\n"
    return header + f"| {' | '.join(map(str, cells))} |"


def _counts(tries: list[Result]) -> list[int]:
    return [sum(getattr(one, name) for one in tries) for name in ("ran", "reported", "lost", "ghosts")]


def _heals(tries: list[Result]) -> str:
    """The median of those that were felt."""
    asked = [one.heal for one in tries if one.heal is not None]
    felt = [heal for heal in asked if heal > 0]
    return duration(statistics.median(felt)) if felt else "never offline" if asked else "-"


def duration(seconds: float) -> str:
    """As a person says it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
