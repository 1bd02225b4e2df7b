# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same faults in any combination and order, found and made small by hypothesis; the seed is CHAOS_SEED."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from . import sizes
from .faults import Fault
from .history import STRUCK
from .host import Wanted
from .invariants import Budget, violations
from .program import Habits
from .stage import Stage
from .test_faults_docker import FAULTS as DOCKER
from .test_faults_github import FAULTS as GITHUB
from .test_faults_host import FAULTS as HOST
from .trial import Claim, Patience, conclude
from .world import NotNow

ALL = [*DOCKER, *HOST, *GITHUB]
#: Runners that have to be replaced again and again cost more than work does.
CLAIM = Claim("any combination", 4, "of all of these, at random",
              heals=Patience(6 * 3600, "what still has to be waited for of each"))  # fmt: skip
BUDGET = Budget(per_container=8.0, per_hour=400.0, besides=200.0)


class Anything(RuleBasedStateMachine):
    """Faults come and go, jobs too; what may never be is looked for after every step, and all must heal in the end."""

    folder: ClassVar[Path]
    numbers: ClassVar[itertools.count[int]] = itertools.count()
    struck: ClassVar[Counter[str]] = Counter()
    ran: ClassVar[list[int]] = []  # jobs, in each example that was judged

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(self.folder / str(next(self.numbers)))
        self.stage.__enter__()
        self.heals: list[Fault] = []
        self.host = self.stage.host

    @initialize(dice=st.integers(0, 2**32))
    def it_begins(self, dice: int) -> None:
        """Each example with dice of its own, which a seed brings again."""
        self.stage.dice.seed(dice)
        self.stage.run(10)

    @rule(seconds=st.sampled_from([0.3, 3.0, 20.0, 90.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.run(seconds)

    @rule(seconds=st.sampled_from([5, 60, 900]), count=st.integers(1, 3), later=st.sampled_from([0.1, 10.0]))
    def jobs_are_queued(self, seconds: int, count: int, later: float) -> None:
        for _dummy in range(count):
            self.stage.service.queue(seconds)
        self.stage.run(later)

    @rule()
    def docker_breaks(self) -> None:
        self._strikes(DOCKER)

    @rule()
    def the_host_breaks(self) -> None:
        self._strikes(HOST)

    @rule()
    def github_breaks(self) -> None:
        self._strikes(GITHUB)

    def _strikes(self, faults: list[Fault]) -> None:
        """One of these, by dice: all of them come as often."""
        fault = self.stage.dice.choice(faults)
        self.stage.history.add(STRUCK, fault.name)
        note(f"strikes: {fault}")
        self.heals.append(fault)
        for _try in range(2):
            try:
                fault.strike(self.stage)
            except NotNow:  # mostly for want of a runner at work
                self.stage.service.queue(900)
                self.stage.run(10.0)
            else:
                self.struck[fault.name] += 1
                break
        self.stage.run(0.1)

    @rule()
    def faults_end(self) -> None:
        """But those whose end needs a runnerd, and there is none."""
        waiting, self.heals = self.heals, []
        for fault in waiting:
            try:
                fault.heal(self.stage)
            except NotNow:
                self.heals.append(fault)
        self.stage.service.clear()
        self.host.engine.habits = Habits()

    @rule(after=st.integers(0, 60), dead_for=st.sampled_from([0.0, 2.0, 300.0]))
    def runnerd_will_be_killed(self, after: int, dead_for: float) -> None:
        self.stage.dies_at, self.host.killed_for = len(self.stage.points) + after, dead_for

    @rule(lost=st.booleans())
    def runnerd_is_killed(self, lost: bool) -> None:
        self.host.end("killed")
        if lost:
            self.host.lose_journal()

    @rule(
        slots=st.sampled_from([(), ("runner-1",), ("runner-1", "runner-2", "runner-3")]), prefix=st.sampled_from("ab")
    )
    def the_playbook_runs(self, slots: tuple[str, ...], prefix: str) -> None:
        self.host.deploy(slots=slots, name_prefix=prefix)

    @rule(what=st.sampled_from(["drain", "resume", "pause", "stop"]), slot=st.sampled_from(["", "runner-1"]))
    def a_person_types(self, what: str, slot: str) -> None:
        if self.host.supervisor is not None:
            self.host.person(what, slot if what in ("drain", "stop") else "")

    @invariant()
    def nothing_has_happened_that_may_not(self) -> None:
        never = ("a container", "no busy", "a credential", "GitHub is not asked", "every error")
        found = [one for one in violations(self.stage.history.rows, BUDGET) if one.invariant.startswith(never)]
        assert not found, "\n".join([self.stage.told(), *map(str, found)])

    def teardown(self) -> None:
        """All faults end, and the pool is as it was meant to be, by itself."""
        stage, host = self.stage, self.host
        try:
            stage.dies_at = -1
            self.faults_end()
            host.set_clock(0.0)
            stage.until(lambda: host.supervisor is not None, "runnerd runs")
            self.faults_end()
            assert not self.heals
            host.deploy(slots=Wanted().slots, limits={"job": 7200})
            host.person("resume")
            conclude(stage, CLAIM, patience=12 * 3600, budget=BUDGET)
            self.ran.append(stage.came_of_it()[0])
        finally:
            stage.__exit__(None, None, None)


def test_any_combination(tmp_path: Path) -> None:
    """Whatever comes together, the five promises hold."""
    Anything.folder = tmp_path
    Anything.struck.clear()
    Anything.ran.clear()
    run_state_machine_as_test(
        seed(sizes.SEED)(Anything),
        settings=settings(
            max_examples=sizes.EXAMPLES,
            stateful_step_count=sizes.STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            phases=[Phase.generate, Phase.shrink] if sizes.SHRINK else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    idle = {fault.name for fault in ALL} - Anything.struck.keys()
    print(f"{Anything.struck.total()} strikes, {sum(Anything.ran)} jobs ran; never struck: {sorted(idle)}")
    assert len(Anything.ran) >= sizes.EXAMPLES and min(Anything.ran) > 0
    assert Anything.struck.total() > sizes.EXAMPLES
    if 100 * len(ALL) < sizes.EXAMPLES * sizes.STEPS:
        # Hypothesis draws unevenly. That each class strikes is held where each is tried by itself.
        assert len(idle) <= len(ALL) // 10, f"never struck: {sorted(idle)}"


@pytest.mark.parametrize("names", [[fault.name for fault in ALL]])
def test_each_class_has_a_name_of_its_own(names: list[str]) -> None:
    assert len(set(names)) == len(names)
