# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supervisor against a small world in which everything happens at random: the five promises hold."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from tests.unit.runnerd.fakes import Container, FakeWorld
from tests.unit.runnerd.host import CRASHPOINTS, SLOTS, Host

EXAMPLES = 60


class Machine(RuleBasedStateMachine):
    """Everything that can happen, in any order; the five promises hold after every step."""

    folders: ClassVar[list[Path]] = []
    judged: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        folder = self.folders[0] / f"run-{len(list(self.folders[0].iterdir()))}"
        folder.mkdir()
        self.host = Host(folder)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("runnerd.effects.crashpoint", self.host.crashpoint)

    @property
    def world(self) -> FakeWorld:
        return self.host.world

    def pick(self, number: int) -> Container | None:
        running = sorted(self.world.running(), key=lambda c: c.slot)
        return running[number % len(running)] if running else None

    @initialize()
    def begin(self) -> None:
        self.host.labels = ["spec-1"]
        self.host.want(SLOTS)
        self.host.supervisor.reload()
        self.host.rounds(4)

    @rule(count=st.integers(1, 30), step=st.sampled_from([0.2, 1.0, 20.0]))
    def time_passes(self, count: int, step: float) -> None:
        self.host.rounds(count, step)

    @rule(number=st.integers(0, 9))
    def listens(self, number: int) -> None:
        container = self.pick(number)
        if container is not None and container.output.listening_at is None:
            self.world.listen(container)

    @rule(number=st.integers(0, 9), lags=st.booleans())
    def takes_a_job(self, number: int, lags: bool) -> None:
        container = self.pick(number)
        runner = self.world.runner_of(container) if container else None
        if container and runner and container.output.listening_at is not None and not container.jobs:
            self.world.take_job(container, f"job-{number}", github_lags=lags)

    @rule(number=st.integers(0, 9))
    def ends_its_job(self, number: int) -> None:
        container = self.pick(number)
        if container is not None and container.worker:
            self.world.end_job(container)

    @rule(number=st.integers(0, 9), code=st.sampled_from([0, 1, 137]))
    def dies(self, number: int, code: int) -> None:
        container = self.pick(number)
        if container is not None:
            self.world.die(container, code)

    @rule(number=st.integers(0, 9))
    def is_removed_by_hand(self, number: int) -> None:
        container = self.pick(number)
        if container is not None:
            self.world.die(container, 137)
            self.world.containers.pop(container.id)

    @rule(number=st.integers(0, 9))
    def is_forgotten_by_github(self, number: int) -> None:
        container = self.pick(number)
        if container is not None:
            self.world.forget(container)

    @rule()
    def runnerd_crashes(self) -> None:
        self.host.crash()

    @rule(point=st.sampled_from(CRASHPOINTS))
    def runnerd_will_crash(self, point: str) -> None:
        self.host.dies_at = point

    @rule(up=st.booleans())
    def docker_comes_or_goes(self, up: bool) -> None:
        self.world.docker_up = up

    @rule(error=st.sampled_from([None, errors.ServerError("ask", message="oops", status=500),
                                 errors.Unauthorized("ask", message="bad", status=401)]))  # fmt: skip
    def github_changes_its_mind(self, error: errors.GitHubError | None) -> None:
        self.world.github = error

    @rule(lose=st.booleans())
    def answers_get_lost(self, lose: bool) -> None:
        self.world.lose_answer = lose

    @rule(fail=st.booleans())
    def starting_fails(self, fail: bool) -> None:
        self.world.fail_start = fail

    @rule(count=st.integers(0, 3))
    def is_scaled(self, count: int) -> None:
        self.host.want(SLOTS[:count])
        for slot in SLOTS[:count]:
            self.world.hashes.setdefault(slot, self.host.labels[0])
        self.host.supervisor.reload()

    @rule(spec=st.sampled_from(["spec-1", "spec-2"]))
    def is_redefined(self, spec: str) -> None:
        """By a playbook that was ended before it could tell runnerd."""
        self.host.labels = [spec]
        self.host.want(SLOTS)
        self.world.hashes = dict.fromkeys(self.world.hashes, spec)

    @rule(slots=st.sampled_from([[], ["runner-1"]]))
    def is_drained(self, slots: list[str]) -> None:
        self.host.supervisor.drain(slots, "drain", None)

    @rule()
    def is_resumed(self) -> None:
        self.host.supervisor.resume()

    @invariant()
    def no_busy_runner_was_stopped(self) -> None:
        assert self.world.killed_busy == []

    @invariant()
    def one_job_one_container_one_credential(self) -> None:
        for container in self.world.containers.values():
            assert len(container.jobs) <= 1
            assert len(container.delivered) <= 1
            assert container.starts <= 1

    def teardown(self) -> None:
        """When all faults end and the jobs finish, the world is as the settings want it, and nothing is left behind."""
        world, host = self.world, self.host
        host.dies_at = ""
        world.docker_up, world.github, world.lose_answer, world.fail_start = True, None, False, False
        host.want(SLOTS)
        world.hashes = dict.fromkeys(SLOTS, host.labels[0])
        host.supervisor.reload()
        host.supervisor.resume()
        for _dummy in range(60):
            for container in world.running():
                if container.worker:
                    world.end_job(container)
                elif container.output.listening_at is None:
                    world.listen(container)
            host.rounds(4, 30)
        assert set(host.state().values()) == {"idle"}
        assert {c.slot for c in world.running()} == set(SLOTS)
        assert len(world.containers) == 3
        live = {c.id[:12] for c in world.containers.values()}
        host.rounds(100, 700)
        assert {r.name[-12:] for r in world.registered.values()} == live
        assert {tuple(r.labels) for r in world.registered.values()} == {tuple(host.labels)}
        host.journal.close()
        self.patch.undo()
        super().teardown()
        Machine.judged += 1


def test_the_promises_hold_whatever_happens(tmp_path: Path) -> None:
    Machine.folders[:] = [tmp_path]
    Machine.judged = 0
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    assert Machine.judged >= EXAMPLES
