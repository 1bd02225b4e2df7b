# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supervisor against a small world: what the user does, and what happens to runners; then everything at random."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from runnerd.journal import Journal
from runnerd.model import Ghost, MachineStatus, Phase
from runnerd.settings import load_settings
from runnerd.supervisor import Supervisor
from tests.unit.runnerd.fakes import Container, FakeListener, FakeWorld, Inline
from tests.unit.runnerd.host import SLOTS, Host

CRASHPOINTS = [
    f"{effect}.{when}"
    for effect in ("create", "mint", "start", "deregister", "stop", "remove")
    for when in ("before", "after")
]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setattr("runnerd.effects.crashpoint", host.crashpoint)
    return host


@pytest.mark.parametrize("point", CRASHPOINTS)
def test_killed_at_any_effect_it_comes_back_and_leaves_nothing(host: Host, point: str) -> None:
    host.dies_at = point
    host.online()
    host.world.die(host.of("runner-1"), 137)
    host.supervisor.drain(["runner-2"], "drain", None)
    host.rounds(60)
    assert host.dies_at == "", f"nothing came by {point}"
    host.supervisor.resume()
    host.recovers(within=60)
    host.rounds(40, 700)
    live = {c.id[:12] for c in host.world.containers.values()}
    assert {r.name[-12:] for r in host.world.registered.values()} == live
    assert len(live) == 3
    assert all(len(c.delivered) == 1 for c in host.world.containers.values())


def test_every_slot_gets_one_runner_with_a_credential_of_its_own(host: Host) -> None:
    host.online()
    assert host.state() == dict.fromkeys(SLOTS, "idle")
    assert len(host.world.registered) == 3
    assert all(len(c.delivered) == 1 for c in host.world.containers.values())
    names = {r.name for r in host.world.registered.values()}
    assert names == {f"host-{c.slot}-{c.id[:12]}" for c in host.world.containers.values()}


def test_a_finished_runner_is_replaced_by_a_new_container_without_asking_github_again(host: Host) -> None:
    host.online()
    old = host.of("runner-1")
    host.world.take_job(old, "build")
    host.rounds(2)
    assert host.state()["runner-1"] == "busy"
    host.world.requests.clear()
    host.world.end_job(old)
    host.rounds(3)
    new = host.of("runner-1")
    assert new.id != old.id
    assert [r.split()[0] for r in host.world.requests] == ["POST"]


def test_a_restart_of_runnerd_touches_nothing(host: Host) -> None:
    host.online()
    host.world.take_job(host.of("runner-2"), "build")
    host.rounds(1)
    before = dict(host.world.containers)
    host.world.requests.clear()
    host.crash()
    host.rounds(5)
    assert host.world.containers == before
    assert [r for r in host.world.requests if not r.startswith("GET")] == []
    assert host.state()["runner-2"] == "busy"


def test_a_lost_journal_adopts_what_runs_and_deletes_nothing(host: Host) -> None:
    host.online()
    host.world.take_job(host.of("runner-2"), "build")
    before = set(host.world.containers)
    host.journal.close()
    for file in (host.folder / "state").iterdir():
        file.unlink()
    host.start()
    host.rounds(20)
    assert set(host.world.containers) == before
    assert not [r for r in host.world.requests if r.startswith("DELETE")]
    # Its registration is found again by its name, so that it can still be drained.
    host.supervisor.drain(["runner-1"], "drain", None)
    host.rounds(40)
    assert "runner-1" not in {c.slot for c in host.world.containers.values()}
    assert host.world.killed_busy == []


def test_scaling_down_lets_the_busy_finish_and_deregisters_the_idle(host: Host) -> None:
    host.online()
    busy, idle = host.of("runner-3"), host.of("runner-2")
    host.world.take_job(busy, "build", github_lags=True)
    host.want(["runner-1"])
    host.supervisor.reload()
    host.rounds(40)
    assert busy.id in host.world.containers
    assert idle.id not in host.world.containers
    assert host.world.released == ["runner-2"]
    host.world.end_job(busy)
    host.rounds(4)
    assert [c.slot for c in host.world.containers.values()] == ["runner-1"]
    assert host.world.released == ["runner-2", "runner-3"]
    assert host.world.killed_busy == []
    assert len(host.world.registered) == 1


def test_a_slot_wanted_on_the_disk_stays_in_the_file(host: Host) -> None:
    host.online()
    host.want(["runner-1", "runner-2"])
    host.supervisor.reload()
    host.want(SLOTS)  # the playbook has written, and not yet told us
    host.rounds(40)
    assert host.world.released == []


def test_the_drain_limit_cancels_and_says_so(host: Host) -> None:
    host.online()
    busy = host.of("runner-1")
    host.world.take_job(busy, "build")
    host.supervisor.drain([], "drain", 100.0)
    host.rounds(40)
    assert busy.id in host.world.containers
    host.rounds(80)
    assert host.world.containers == {}
    assert host.world.killed_busy == [busy.id]
    assert set(host.state().values()) == {"drained"}


def test_stop_now_ends_all_within_seconds(host: Host) -> None:
    host.online()
    host.world.take_job(host.of("runner-1"), "build")
    host.supervisor.drain([], "now", None)
    host.rounds(8, step=0.5)
    assert host.world.containers == {}
    host.rounds(60)
    assert host.world.registered == {}


def test_a_drain_outlives_runnerd_until_resume(host: Host) -> None:
    host.online()
    host.supervisor.drain([], "drain", None)
    host.rounds(30)
    host.crash()
    host.rounds(5)
    assert host.world.containers == {}
    host.supervisor.resume()
    host.online()
    assert set(host.state().values()) == {"idle"}


def test_pause_makes_no_new_runner_and_leaves_the_others(host: Host) -> None:
    host.online()
    host.supervisor.pause()
    host.world.die(host.of("runner-1"), 137)
    host.rounds(6)
    assert {c.slot for c in host.world.containers.values()} == {"runner-2", "runner-3"}
    assert host.state()["runner-1"] == "empty"


def test_a_changed_definition_replaces_idle_runners_and_waits_for_busy_ones(host: Host) -> None:
    host.online()
    busy = host.of("runner-1")
    host.world.take_job(busy, "build")
    host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
    host.rounds(40)
    assert host.of("runner-1") is busy
    assert host.of("runner-2").spec == "spec-2"
    host.world.end_job(busy)
    host.rounds(4)
    assert host.of("runner-1").spec == "spec-2"
    assert host.world.killed_busy == []


def test_a_runner_of_a_new_definition_has_the_labels_that_came_with_it(host: Host) -> None:
    """The playbook writes the settings, then the Compose file, and reloads at its end, if it gets there."""
    host.online()
    host.labels = ["new"]
    host.want(SLOTS)
    host.rounds(40)
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("self-hosted",)}
    host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
    host.rounds(40)
    assert {container.spec for container in host.world.running()} == {"spec-2"}
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("new",)}


def test_what_only_a_start_takes_in_waits_for_the_reload(host: Host) -> None:
    """A restart in the middle of the play would be in the way of its reload."""
    restarts: list[str] = []
    host.supervisor.restart_wanted = lambda: restarts.append("now")
    host.online()
    host.want(["runner-1"], boot=77)
    host.world.hashes = {"runner-1": "spec-2"}
    host.rounds(40)
    assert [slot.slot for slot in host.supervisor.status.slots] == ["runner-1"]
    assert restarts == []
    assert host.supervisor.reload() is True
    assert restarts == ["now"]


def test_with_settings_that_cannot_be_read_a_new_definition_goes_by_the_old_ones(host: Host) -> None:
    host.online()
    host.file.write_text("{")
    host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
    host.rounds(40)
    assert {container.spec for container in host.world.running()} == {"spec-2"}
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("self-hosted",)}


def test_a_compose_file_that_changes_while_a_slot_is_filled(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made of the new file by the old settings does not stay."""

    def written(slot: str) -> str:
        host.labels = ["new"]
        host.want(SLOTS)
        host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
        monkeypatch.undo()
        return host.world.create(slot)

    monkeypatch.setattr(host.world, "create", written)
    host.recovers(within=80)
    assert {container.spec for container in host.world.running()} == {"spec-2"}
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("new",)}


def test_a_runner_whose_docker_has_ended_is_replaced_but_not_while_it_is_busy(host: Host) -> None:
    host.online()
    busy, idle, other = (host.of(slot) for slot in SLOTS)
    host.world.take_job(busy, "build")
    busy.lost_docker = idle.lost_docker = True
    host.rounds(40)
    assert host.of("runner-1") is busy and host.of("runner-3") is other
    assert host.of("runner-2") is not idle
    assert "its Docker has ended" in next(s.reason for s in host.supervisor.status.slots if s.slot == "runner-1")
    host.world.end_job(busy)
    host.rounds(4)
    assert host.of("runner-1") is not busy
    assert host.world.killed_busy == []


def test_a_docker_that_never_comes_up_is_tried_less_and_less_often(host: Host) -> None:
    def minute() -> int:
        before = len(host.world.requests)
        for _second in range(60):
            for container in host.world.running():
                container.lost_docker = True
            host.rounds(1)
        return sum(request.startswith("POST") for request in host.world.requests[before:])

    first, *others = (minute() for _each in range(5))
    assert first > 3 and others[-1] <= 3
    slot = next(s for s in host.supervisor.status.slots if s.slot == "runner-1")
    assert "its Docker has ended; see: runnerd logs runner-1 --docker" in slot.reason


def test_github_that_lags_is_overruled_by_the_worker_and_by_its_own_422(host: Host) -> None:
    host.online()
    container = host.of("runner-1")
    runner = host.world.runner_of(container)
    assert runner is not None
    host.world._change(runner, busy=True)  # only GitHub knows yet
    host.supervisor.drain([], "drain", None)
    host.rounds(30)
    assert container.id in host.world.containers


def test_a_job_that_slips_in_after_the_204_is_not_stopped(host: Host) -> None:
    host.online()
    container = host.of("runner-1")
    host.supervisor.drain(["runner-1"], "drain", None)
    for _dummy in range(60):
        host.rounds(1)
        live = {a.slot: a for a in host.journal.live()}
        if live["runner-1"].phase is Phase.STOPPING:
            break
    container.worker = True
    host.rounds(30)
    assert container.status is MachineStatus.RUNNING
    container.worker = False
    host.rounds(30)
    assert container.id not in host.world.containers
    assert host.world.killed_busy == []


def test_a_cloned_machine_begins_anew_and_deletes_nothing(host: Host) -> None:
    host.online()
    for container in host.world.running():
        host.world.die(container, 255)
    host.journal.close()
    registered = dict(host.world.registered)
    host.journal = Journal(host.folder / "state", host.clock, "another machine")
    host.supervisor = Supervisor(
        host.file,
        load_settings(host.file),
        host.journal,
        host.world,
        host.world,
        host.clock,
        Inline(),
        host.world.workers,
    )
    host.supervisor.observer.listener = FakeListener(host.world)
    host.rounds(10)
    assert host.journal.set_aside is not None
    assert not [r for r in host.world.requests if r.startswith("DELETE")]
    assert registered.keys() <= host.world.registered.keys()


def test_what_was_begun_with_a_credential_that_is_gone_goes_on_with_its_scopes_other_one(host: Host) -> None:
    host.online()
    host.journal.haunt(Ghost("left", "acme", "default", None, 0.0, 9.0))
    host.journal.haunt(Ghost("elsewhere", "nobody", "default", None, 0.0, 9.0))
    host.journal.hand_over({"default"}, {"acme": "other"})
    assert {attempt.credential for attempt in host.journal.live()} == {"default"}, "it is still there"
    host.journal.hand_over({"other", "third"}, {"acme": "other"})
    assert {attempt.credential for attempt in host.journal.live()} == {"other"}
    assert {ghost.name: ghost.credential for ghost in host.journal.ghosts()} == {
        "left": "other",
        "elsewhere": "default",
    }


def test_a_lost_answer_leaves_no_registration_behind(host: Host) -> None:
    host.world.lose_answer = True
    host.rounds(1)
    host.world.lose_answer = False
    assert host.world.registered
    assert {ghost.runner_id for ghost in host.journal.ghosts()} == {None}
    host.online()
    host.rounds(60, step=5)
    live = {c.id[:12] for c in host.world.containers.values()}
    assert {r.name[-12:] for r in host.world.registered.values()} <= live
    assert host.journal.ghosts() == ()


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (errors.Unauthorized("register", message="Bad credentials", status=401), 8),
        (errors.Forbidden("register", message="Resource not accessible", status=403), 8),
        (errors.ServerError("register", message="oops", status=502), 20),
        (errors.Unprocessable("register", message="no such label", status=422), 12),
        (errors.Unreachable("register", message="no route", sent=False), 20),
    ],
)
def test_a_refusal_never_becomes_a_storm_and_is_explained(host: Host, error: errors.GitHubError, most: int) -> None:
    host.world.github = error
    host.rounds(1800, step=1)
    assert len([r for r in host.world.requests if r.startswith("POST")]) <= most
    assert set(host.state().values()) == {"backing off"}
    assert error.message in host.supervisor.status.slots[0].reason
    host.world.github = None
    host.recovers(within=1000)


def test_a_rate_limit_is_obeyed_to_the_second(host: Host) -> None:
    retry_at = host.clock.wall() + 500
    host.world.github = errors.RateLimited("register", retry_at=retry_at, message="slow down", status=429)
    host.rounds(1)
    asked = len(host.world.requests)
    host.world.github = None
    host.rounds(498)
    assert len(host.world.requests) == asked
    host.rounds(10)
    assert len(host.world.running()) == 3


def test_docker_down_is_no_reason_to_do_anything(host: Host) -> None:
    host.online()
    before = dict(host.world.containers)
    host.world.docker_up = False
    host.world.requests.clear()
    host.rounds(100)
    assert host.world.requests == []
    host.world.docker_up = True
    host.rounds(3)
    assert host.world.containers == before


def test_what_is_not_heard_was_not_not_said(host: Host) -> None:
    """It may have said that a job runs, and the worker may have only just begun: nobody is deregistered meanwhile."""
    host.online()
    before = dict(host.world.containers)
    host.world.deaf = True
    host.supervisor.drain([], "drain", None)
    host.world.requests.clear()
    host.rounds(200)
    assert host.world.containers == before
    assert not [r for r in host.world.requests if r.startswith("DELETE")]
    host.world.deaf = False
    host.rounds(40)
    assert host.world.containers == {}


def test_a_compose_file_that_cannot_be_read_drains_nobody_and_is_shown(host: Host) -> None:
    host.online()
    before = dict(host.world.containers)
    host.world.bad_file = "yaml: line 3: could not find expected ':'"
    host.world.take_job(host.of("runner-1"), "build")
    host.rounds(100)
    assert host.world.containers == before
    assert not any(slot.leaving for slot in host.supervisor.status.slots)
    assert host.supervisor.status.definition == host.world.bad_file
    # Nor is anything made by it; the reason is shown where the slot is.
    host.world.end_job(host.of("runner-1"))
    host.rounds(20)
    assert {c.slot for c in host.world.containers.values()} == {"runner-2", "runner-3"}
    slot = host.supervisor.status.slots[0]
    assert (slot.state, slot.reason) == ("backing off", host.world.bad_file)
    host.world.bad_file = ""
    host.recovers(within=310)
    assert {host.of(name).id for name in ("runner-2", "runner-3")} < before.keys()


def test_a_slot_whose_service_is_missing_keeps_its_runner(host: Host) -> None:
    """It could not be replaced: the file was cut off, or a hand took the service out."""
    host.online()
    before = dict(host.world.containers)
    del host.world.hashes["runner-2"]
    host.rounds(100)
    assert host.world.containers == before
    host.world.die(host.of("runner-2"), 137)
    host.rounds(20)
    assert "the Compose file has no service runner-2" in host.supervisor.status.slots[1].reason


@pytest.mark.parametrize("exit_code", [0, 1, 137, 143])
def test_an_idle_runner_that_dies_is_made_anew_within_five_seconds(host: Host, exit_code: int) -> None:
    host.online()
    for _dummy in range(100):
        old = host.of("runner-1")
        host.world.die(old, exit_code)
        host.rounds(10, step=0.5)
        new = host.of("runner-1")
        assert new.id != old.id
        host.world.listen(new)
        host.rounds(2)


def test_a_container_that_is_removed_by_hand_is_made_anew(host: Host) -> None:
    host.online()
    old = host.of("runner-1")
    del host.world.containers[old.id]
    host.rounds(3)
    assert host.of("runner-1").id != old.id
    host.rounds(40)
    assert old.id[:12] not in {r.name[-12:] for r in host.world.registered.values()}


def test_a_runner_that_github_forgot_is_replaced_but_not_while_a_worker_is_there(host: Host) -> None:
    host.online()
    idle, working = host.of("runner-1"), host.of("runner-2")
    working.worker = True
    host.world.forget(idle)
    host.world.forget(working)
    host.rounds(1500, step=1)
    assert idle.id not in host.world.containers
    assert working.id in host.world.containers


def test_an_idle_pool_costs_github_a_handful_of_requests_an_hour(host: Host) -> None:
    host.online()
    host.rounds(2)
    host.world.requests.clear()
    host.rounds(3600)
    assert len(host.world.requests) <= 7
    assert all(r.startswith("GET") for r in host.world.requests)


def test_a_runner_that_never_comes_online_is_given_up_and_backed_off(host: Host) -> None:
    host.rounds(1000)
    posts = [r for r in host.world.requests if r.startswith("POST")]
    assert len(posts) <= 3 * 9
    host.rounds(200)
    live = {c.id[:12] for c in host.world.containers.values()}
    assert len({r.name[-12:] for r in host.world.registered.values()} - live) <= 3


def test_the_status_tells_of_what_was_asked_once_the_answer_is_given(host: Host) -> None:
    stopping = threading.Event()
    loop = threading.Thread(target=host.supervisor.run, args=(stopping, lambda: None))
    loop.start()
    try:
        for wanted in (["runner-1"], SLOTS, ["runner-1", "runner-2"]):
            host.want(wanted)
            host.supervisor.reload()
            host.supervisor.see_through()
            assert [slot.slot for slot in host.supervisor.status.slots if slot.wanted] == wanted
    finally:
        stopping.set()
        host.supervisor.wake()
        loop.join()


def test_the_job_limit_counts_from_the_job_also_after_a_restart(host: Host) -> None:
    """A runner that was idle for longer than the limit takes a job; a new runnerd has not heard of it yet."""
    host.online()
    host.rounds(20, 30000)  # longer than the five days of the limit
    container = host.of("runner-1")
    host.world.take_job(container, "build")
    host.crash()
    host.rounds(10)
    assert container.status is MachineStatus.RUNNING
    assert host.world.killed_busy == []


def test_a_limit_of_nought_is_no_limit(host: Host) -> None:
    host.online()
    container = host.of("runner-1")
    host.world.take_job(container, "build")
    host.supervisor.drain([], "drain", 0.0)
    host.rounds(40, 10000)  # less than the job's own limit
    assert container.status is MachineStatus.RUNNING


def test_the_stronger_of_two_drains_holds(host: Host) -> None:
    host.online()
    host.world.take_job(host.of("runner-1"), "build")
    host.supervisor.drain(["runner-1"], "drain", None)
    host.supervisor.drain([], "now", None)
    host.supervisor.drain([], "drain", None)  # does not take it back
    host.rounds(10)
    assert host.world.containers == {}


def test_saying_the_same_again_does_not_begin_the_limit_anew(host: Host) -> None:
    host.online()
    host.world.take_job(host.of("runner-1"), "build")
    for _minute in range(4):
        host.supervisor.drain([], "drain", 100.0)
        host.rounds(30)
    assert host.world.containers == {}


def test_what_brings_nothing_is_tried_less_and_less_often(host: Host) -> None:
    host.online()
    host.world.fail_remove = True
    host.world.die(host.of("runner-1"), 137)
    host.rounds(600, 0.5)
    assert 5 <= host.world.removals <= 12
    host.world.fail_remove = False
    host.rounds(130, 0.5)
    assert host.of("runner-1").status is MachineStatus.RUNNING


def test_a_runner_that_github_has_seen_offline_for_long_is_replaced(host: Host) -> None:
    host.online()
    deaf = host.of("runner-1")
    runner = host.world.runner_of(deaf)
    assert runner is not None
    host.world._change(runner, status="offline")
    host.rounds(30, 60)
    assert deaf.id not in host.world.containers
    assert host.world.killed_busy == []


def test_after_a_reload_what_was_refused_is_tried_at_once(host: Host) -> None:
    host.world.github = errors.Unauthorized("register", message="Bad credentials", status=401)
    host.rounds(2000)
    host.world.github = None
    host.supervisor.reload()
    host.recovers(within=10)


class Machine(RuleBasedStateMachine):
    """Everything that can happen, in any order; the five promises hold after every step."""

    folders: ClassVar[list[Path]] = []

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


def test_the_promises_hold_whatever_happens(tmp_path: Path) -> None:
    Machine.folders[:] = [tmp_path]
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
