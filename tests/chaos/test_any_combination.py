# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same faults in any combination and order, found and made small by hypothesis; the seed is CHAOS_SEED."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from runnerd.model import MachineStatus

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

ALL = [*DOCKER, *HOST, *GITHUB]
#: Runners that have to be replaced again and again cost more than work does.
CLAIM = Claim("any combination", 4, "of all of these, at random",
              heals=Patience(6 * 3600, "what still has to be waited for of each"))  # fmt: skip
BUDGET = Budget(per_container=8.0, per_hour=400.0, besides=200.0)


class Anything(RuleBasedStateMachine):
    """Faults come and go, jobs too; what may never be is looked for after every step, and all must heal in the end."""

    folder: ClassVar[Path]
    numbers: ClassVar[itertools.count[int]] = itertools.count()
    judged: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(self.folder / str(next(self.numbers)), sizes.SEED)
        self.stage.__enter__()
        self.stage.run(10)
        self.heals: list[Fault] = []
        self.host = self.stage.host

    @rule(seconds=st.sampled_from([0.3, 3.0, 20.0, 90.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.run(seconds)

    @rule(seconds=st.sampled_from([5, 60, 900]))
    def a_job_is_queued(self, seconds: int) -> None:
        self.stage.service.queue(seconds)
        self.stage.run(0.1)

    @rule(fault=st.sampled_from(ALL))
    def a_fault_begins(self, fault: Fault) -> None:
        self.stage.history.add(STRUCK, fault.name)
        self.heals.append(fault)
        try:
            fault.strike(self.stage)
        except (StopIteration, AssertionError):
            return  # there is no such container now, or no runnerd to ask
        self.stage.run(0.1)

    @rule()
    def faults_end(self) -> None:
        for fault in self.heals:
            try:
                fault.heal(self.stage)
            except AssertionError:
                pass  # no runnerd to ask
        self.heals.clear()
        self.stage.service.clear()
        self.host.engine.habits = Habits()

    @rule(after=st.integers(0, 60), dead_for=st.sampled_from([0.0, 2.0, 300.0]))
    def runnerd_will_be_killed(self, after: int, dead_for: float) -> None:
        self.stage.dies_at, self.host.killed_for = len(self.stage.points) + after, dead_for

    @rule(lost=st.booleans())
    def runnerd_is_killed(self, lost: bool) -> None:
        self.host.end("killed")
        if lost:
            # What was lost with it at GitHub is not ours to delete: GitHub does, after a day, which is an hour here.
            self.host.lose_journal()
            self.stage.service.github.settings.offline_ephemeral_life = 3600.0

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
            for fault in ALL:  # those whose end needed a runnerd
                if fault.name in ("pull fails", "token revoked", "budget spent"):
                    fault.heal(stage)
            host.deploy(slots=Wanted().slots, limits={"job": 7200})
            host.person("resume")
            for container in host.engine.all:
                container.lost_docker &= container.status is MachineStatus.RUNNING
            conclude(stage, CLAIM, patience=12 * 3600, budget=BUDGET)
            Anything.judged += 1
        finally:
            stage.__exit__(None, None, None)


def test_any_combination(tmp_path: Path) -> None:
    """Whatever comes together, the five promises hold."""
    Anything.folder, Anything.judged = tmp_path, 0
    print(f"CHAOS_SEED={sizes.SEED}")
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
    assert Anything.judged >= sizes.EXAMPLES


@pytest.mark.parametrize("names", [[fault.name for fault in ALL]])
def test_each_class_has_a_name_of_its_own(names: list[str]) -> None:
    assert len(set(names)) == len(names)
