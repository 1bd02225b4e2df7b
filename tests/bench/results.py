# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was measured: kept as JSON, one line a benchmark, and made into tables."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import sizes
from tests.bench.machine import Machine
from tests.bench.samples import Benchmark, Figure, Goal, Sample

MARKS = "<!-- performance: made by make bench -->\n{text}<!-- end of performance -->"
VERDICTS = {True: "met", False: "**missed**", None: "not measured"}
SEVERAL = "**Not all of it is of one commit; what was changed between them may have changed a number.**"
HEAD = ("what", "way", "median", "p95", "samples", "ours is", "goal")


@dataclass
class Run:
    """One benchmark, measured once.

    Attributes:
        name, what, how: the benchmark's.
        date: when it began.
        commit: what was measured; with a `+`, something that was not committed.
        machine: on what.
        sizes: how much was to be measured, by the names of `sizes`.
        seconds: how long it took.
        figures: what was measured -> in which way -> all samples in order.
    """

    name: str
    what: str
    how: str
    date: str
    commit: str
    machine: Machine
    sizes: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    figures: dict[Figure, dict[str, list[float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, benchmark: Benchmark, date: str, commit: str, machine: Machine) -> Run:
        """One that has no samples yet."""
        of_it = sizes.chosen(benchmark.sizes)
        return cls(benchmark.name, benchmark.what, benchmark.how, date, commit, machine, of_it)

    def add(self, sample: Sample) -> None:
        """Take a sample in."""
        self.figures.setdefault(sample.figure, {}).setdefault(sample.way, []).append(sample.value)

    def as_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        figures = []
        for figure, ways in self.figures.items():
            samples = {way: [float(f"{value:.4g}") for value in values] for way, values in ways.items()}
            figures.append({**asdict(figure), "samples": samples})
        kept = {key: value for key, value in vars(self).items() if key not in ("machine", "figures")}
        return {**kept, "machine": asdict(self.machine), "figures": figures}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Run:
        """The contrary of `as_json`."""
        figures = {}
        for one in data["figures"]:
            goals = tuple(Goal(goal["most"], tuple(goal["against"])) for goal in one["goals"])
            figures[Figure(one["name"], one["unit"], goals, one["ours"])] = dict(one["samples"])
        return cls(**{**data, "machine": Machine(**data["machine"]), "figures": figures})


def read(path: Path) -> dict[str, Run]:
    """All that was kept, by the benchmarks' names."""
    if not path.exists():
        return {}
    return {name: Run.from_json(data) for name, data in json.loads(path.read_text(encoding="utf-8")).items()}


def keep(path: Path, run: Run) -> None:
    """Write a run down in the place of the last one of this benchmark."""
    runs = read(path) | {run.name: run}
    lines = [f"{json.dumps(name)}: {json.dumps(runs[name].as_json())}" for name in sorted(runs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


# Numbers


def p95(values: Sequence[float]) -> float:
    """The smallest sample that at least 95 % of the samples do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def best(ways: Mapping[str, Sequence[float]], names: Iterable[str]) -> str:
    """Of these ways the one with the smallest median."""
    return min(names, key=lambda name: statistics.median(ways[name]))


def is_kept(goal: Goal, figure: Figure, ways: Mapping[str, Sequence[float]]) -> bool | None:
    """Whether a goal is met; None if that was not measured."""
    against = [name for name in goal.against if ways.get(name)]
    ours = ways.get(figure.ours)
    if not ours or (goal.against and not against):
        return None
    if not goal.against:
        return p95(ours) <= goal.most
    return statistics.median(ours) <= goal.most * statistics.median(ways[best(ways, against)])


# Texts


def number(value: float, unit: str = "") -> str:
    """Three digits at least, as a person writes them, and the unit."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text} {unit}".rstrip()


def rows(run: Run) -> list[list[str]]:
    """The cells of a run's table: a line for each figure and way, ours first."""
    found = []
    for figure, ways in run.figures.items():
        order = [*(way for way in ways if way == figure.ours), *(way for way in ways if way != figure.ours)]
        for way in order:
            found.append(
                [
                    figure.name if way == order[0] else "",
                    f"**{way}**" if way == figure.ours else way,
                    number(statistics.median(ways[way]), figure.unit),
                    number(p95(ways[way]), figure.unit),
                    str(len(ways[way])),
                    _ratio(figure, ways, way),
                    _goals(figure, ways, way),
                ]
            )
    return found


def _ratio(figure: Figure, ways: Mapping[str, Sequence[float]], way: str) -> str:
    """Ours in terms of this baseline, by the medians."""
    if way == figure.ours or figure.ours not in ways or not statistics.median(ways[way]):
        return ""
    return f"{statistics.median(ways[figure.ours]) / statistics.median(ways[way]):.2f} x"


def _goals(figure: Figure, ways: Mapping[str, Sequence[float]], way: str) -> str:
    """The goals that ours has in terms of this way, or by itself, and whether they are met."""
    words = []
    for goal in figure.goals:
        against = [name for name in goal.against if ways.get(name)]
        if (best(ways, against) if against else figure.ours) != way:
            continue
        most = f"≤ {goal.most:g} x" if goal.against else f"≤ {number(goal.most, figure.unit)}"
        words.append(f"{most} {VERDICTS[is_kept(goal, figure, ways)]}")
    return ", ".join(words)


def markdown(head: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A table of a page; numbers to the right."""
    lines = [head, [":---" if n < 2 or n == len(head) - 1 else "---:" for n in range(len(head))], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(head: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A table for a terminal."""
    lines = [list(head), *([cell.replace("**", "") for cell in line] for line in cells)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def where(run: Run) -> str:
    """On what a run was made, and when."""
    took = f"{run.date}, commit {run.commit or '?'}, {run.seconds:.0f} s"
    how_much = "".join(f", `BENCH_{name}={value}`" for name, value in run.sizes.items())
    others = f"Others used {run.machine.used:.0%} of it before or after"
    verdict = f"**{others}: these numbers do not count.**" if run.machine.busy else f"{others}."
    return f"{took}{how_much}. {run.machine}. {verdict}"


def page(runs: Mapping[str, Run]) -> str:
    """All that was kept, as the page has it."""
    parts = [SEVERAL] if len({run.commit for run in runs.values()}) > 1 else []
    for _name, run in sorted(runs.items()):
        parts += [f"## {run.name}: {run.what}", run.how, markdown(HEAD, rows(run)), where(run)]
    return "\n\n".join(parts) + "\n"


def filled(text: str, runs: Mapping[str, Run]) -> str:
    """A page's text with the tables between its marks."""
    marks = MARKS.format(text=page(runs))
    return re.sub(MARKS.format(text=".*?"), lambda _match: marks, text, flags=re.DOTALL)
