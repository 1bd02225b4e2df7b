# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of the benchmarks: what is counted, which goals are met, and what a page then says. No timing in here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.bench import __main__ as program
from tests.bench import results
from tests.bench.machine import Machine
from tests.bench.results import Run
from tests.bench.samples import Benchmark, Figure, Goal, Sample, in_turns
from tests.bench.stage import Stage
from tests.lab.common import CHECKOUT

QUIET = Machine(2, "a processor", 8.0, "6.1", "28.0", 0.01)
BUSY = Machine(2, "a processor", 8.0, "6.1", "28.0", 0.7)


def none(_stage: object) -> Iterator[Sample]:
    yield from ()


def run_of(figure: Figure, machine: Machine = QUIET, **ways: list[float]) -> Run:
    """A run with these samples of one figure."""
    run = Run.of(
        Benchmark("B1", "turnaround", "How it is done.", none, ("TURNAROUND_",)), "2026-11-22 10:00 UTC", "abc", machine
    )
    for way, values in ways.items():
        for value in values:
            run.add(Sample(figure, way, value))
    return run


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([3.0], 3.0), ([2.0, 1.0], 2.0), (list(range(1, 21)), 19), (list(range(100, 0, -1)), 95)],
)
def test_p95_is_a_sample_that_was_taken(values: list[float], wanted: float) -> None:
    """The nearest rank: of few samples the greatest, of twenty the last but one."""
    assert results.p95(values) == wanted


def test_the_ways_take_turns() -> None:
    """A B A B: what slows the machine down slows both."""
    order: list[str] = []

    def take(way: str) -> float:
        order.append(way)
        return 1.0

    samples = list(in_turns(Figure("f"), {"a": lambda: take("a"), "b": lambda: take("b")}, 2))
    assert order == ["a", "b", "a", "b"] == [sample.way for sample in samples]


@pytest.mark.parametrize(
    ("goal", "ways", "met"),
    [
        (Goal(1.3, ("bare",)), {"runnerd": [1.3, 1.3, 9.0], "bare": [1.0, 1.0, 1.0]}, True),
        (Goal(1.3, ("bare",)), {"runnerd": [1.4, 1.4, 1.0], "bare": [1.0, 1.0, 1.0]}, False),
        (Goal(1.3, ("one", "four")), {"runnerd": [1.3], "one": [2.0], "four": [0.9]}, False),
        (Goal(1.3, ("one", "four")), {"runnerd": [1.3], "one": [2.0]}, True),
        (Goal(1.3, ("bare",)), {"runnerd": [1.3]}, None),
        (Goal(2.0), {"runnerd": [1.0] * 19 + [9.0]}, True),
        (Goal(2.0), {"runnerd": [1.0, 9.0]}, False),
        (Goal(2.0), {"bare": [1.0]}, None),
    ],
)
def test_a_goal(goal: Goal, ways: dict[str, list[float]], met: bool | None) -> None:
    """A ratio is held against the medians, of several baselines' the best; a limit against the p95."""
    assert results.is_kept(goal, Figure("f"), ways) is met


def test_a_table() -> None:
    """Ours comes first; each baseline says what ours is in terms of it, and the best one has the goal."""
    figure = Figure("50 runners", goals=(Goal(1.5, ("one", "four")),))
    run = run_of(figure, one=[9.0, 9.0], four=[5.0, 4.0], runnerd=[6.0, 6.0])
    assert results.rows(run) == [
        ["50 runners", "**runnerd**", "6 s", "6 s", "2", "", ""],
        ["", "one", "9 s", "9 s", "2", "0.67 x", ""],
        ["", "four", "4.5 s", "5 s", "2", "1.33 x", "≤ 1.5 x met"],
    ]


def test_a_figure_without_baseline_and_one_whose_way_has_another_name() -> None:
    """A limit stands in ours; and what is compared need not be runnerd."""
    alone = run_of(Figure("memory", "MB", (Goal(60),)), runnerd=[61.0])
    assert results.rows(alone) == [["memory", "**runnerd**", "61 MB", "61 MB", "1", "", "≤ 60 MB **missed**"]]
    drift = run_of(Figure("turnaround", goals=(Goal(1.1, ("first",)),), ours="last"), first=[1.0], last=[1.0])
    assert [row[1] for row in results.rows(drift)] == ["**last**", "first"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.31234, "0.312"), (0.05, "0.05"), (12.345, "12.3"), (100.0, "100"), (5.0, "5"), (12345.6, "12,346")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """More would say more than was measured."""
    assert results.number(value) == text
    assert results.number(value, "s") == f"{text} s"


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    """A benchmark's new run takes the place of its last one; the others stay."""
    file = tmp_path / "results.json"
    figure = Figure("turnaround", goals=(Goal(1.3, ("bare",)), Goal(2.0)))
    first, second = run_of(figure, runnerd=[1.0]), run_of(figure, runnerd=[2.0], bare=[3.0])
    other = run_of(figure, runnerd=[4.0])
    other.name = "B2"
    for run in (first, other, second):
        results.keep(file, run)
    assert results.read(file) == {"B1": second, "B2": other}


def test_a_page_has_the_tables_between_its_marks() -> None:
    """What stands around them stays; made twice, it is the same."""
    marks = results.MARKS.format(text="old\n")
    runs = {"B1": run_of(Figure("jobs of 1 s"), runnerd=[1.0])}
    text = results.filled(f"before\n{marks}\nafter\n", runs)
    assert text.startswith("before\n<!--") and text.endswith("-->\nafter\n") and "old" not in text
    assert "## B1: turnaround" in text and "| jobs of 1 s | **runnerd** | 1 s |" in text
    assert results.filled(text, runs) == text


def test_the_page_in_docs_shows_the_numbers_that_were_kept() -> None:
    """Nobody has written a number into it, or forgotten to make it."""
    text = (CHECKOUT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert results.filled(text, results.read(CHECKOUT / "tests" / "bench" / "results.json")) == text


def test_a_page_says_when_it_is_of_several_commits() -> None:
    """What was changed between them may have changed a number."""
    runs = {"B1": run_of(Figure("f"), runnerd=[1.0]), "B2": run_of(Figure("f"), runnerd=[1.0])}
    assert results.SEVERAL not in results.page(runs)
    runs["B2"].commit = "def"
    assert results.SEVERAL in results.page(runs)


def test_a_run_tells_how_much_was_measured() -> None:
    """By the variables of its own, so that another can measure the same."""
    run = run_of(Figure("f"), runnerd=[1.0])
    assert run.sizes.keys() == {"TURNAROUND_LENGTHS", "TURNAROUND_TURNS", "TURNAROUND_RESTARTS"}
    assert f"`BENCH_TURNAROUND_TURNS={run.sizes['TURNAROUND_TURNS']}`" in results.where(run)


@pytest.mark.parametrize("end", [ValueError("broken"), KeyboardInterrupt()])
def test_what_was_measured_until_an_end_that_was_none_is_kept(
    end: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours may be in it; it takes no place on the page."""

    def cut_off(_stage: object) -> Iterator[Sample]:
        yield Sample(Figure("f"), "runnerd", 1.0)
        raise end

    monkeypatch.setattr(program, "CUT_OFF", tmp_path / "cut-off.json")
    monkeypatch.setattr(program, "others", lambda: 0.0)
    monkeypatch.setattr(program, "tidy", lambda: None)
    stage = SimpleNamespace(commit="abc", say=lambda line: None, engine=lambda: "28.0")
    with pytest.raises(KeyboardInterrupt) if isinstance(end, KeyboardInterrupt) else nullcontext():
        _run, ended = program.measure(Benchmark("B1", "", "", cut_off, ()), cast(Stage, stage))
        assert not ended
    assert results.read(tmp_path / "cut-off.json")["B1"].figures == {Figure("f"): {"runnerd": [1.0]}}


def test_numbers_of_a_busy_machine_say_so() -> None:
    """They are shown, and do not count."""
    assert "do not count" in results.where(run_of(Figure("f"), BUSY, runnerd=[1.0]))
    assert "do not count" not in results.where(run_of(Figure("f"), QUIET, runnerd=[1.0]))
