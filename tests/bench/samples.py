# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark is made of: figures with their goals, and samples of them, each taken in one of several ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the table is made without Docker and the lab
    from tests.bench.stage import Stage

#: The way that is compared with the others, where a figure names no other one.
OURS = "runnerd"


@dataclass(frozen=True)
class Goal:
    """What is aimed at.

    Attributes:
        most: what ours may be at most: in the figure's own unit, held against the p95; or so many times the baseline,
            held against the medians.
        against: the baselines; of several the one with the smallest median counts. Empty: `most` stands by itself.
    """

    most: float
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """One thing that is measured, in one or several ways.

    Attributes:
        name: what it is, in a few words.
        unit: what its numbers are; empty for a count.
        goals: what ours aims at.
        ours: the way that is ours; the others are baselines.
    """

    name: str
    unit: str = "s"
    goals: tuple[Goal, ...] = ()
    ours: str = OURS


@dataclass(frozen=True)
class Sample:
    """One measurement of a figure, and the way in which it was done."""

    figure: Figure
    way: str
    value: float


@dataclass(frozen=True)
class Benchmark:
    """Something of which we say how fast, how small or how rare it is.

    Attributes:
        name: `B1`.
        what: a heading.
        how: what exactly is measured, and what the baselines are; a paragraph for the page.
        measure: takes the samples. It yields each as soon as it has it, so that a run that is cut off keeps them.
        sizes: what the names of its variables in `sizes` begin with.
    """

    name: str
    what: str
    how: str
    measure: Callable[[Stage], Iterator[Sample]]
    sizes: tuple[str, ...]


def in_turns(figure: Figure, ways: Mapping[str, Callable[[], float]], times: int) -> Iterator[Sample]:
    """Take samples A B A B …, so that a machine that gets slower or faster does so for all ways.

    Args:
        ways: name -> takes one sample and returns it.
        times: how many of each.
    """
    for _round in range(times):
        for way, take in ways.items():
            yield Sample(figure, way, take())


def seconds(act: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
