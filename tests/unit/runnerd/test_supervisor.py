# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supervisor against a small world: what the user does, and what happens to runners."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Executor, Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runnerd.flights import Flights
from runnerd.journal import Journal, read_events
from runnerd.model import MachineStatus
from runnerd.supervisor import REST
from tests.unit.runnerd.fakes import FakeListener
from tests.unit.runnerd.host import CRASHPOINTS, SLOTS, Host, Killed


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
    assert cast(FakeListener, host.supervisor.observer.listener).hurried == {old.id}
    assert [r.split()[0] for r in host.world.requests] == ["POST"]


def test_after_a_round_the_loop_rests_twice_as_long_as_it_took(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr("runnerd.supervisor.time", SimpleNamespace(sleep=rests.append))
    stopping, rounds = threading.Event(), iter([0.02, 30.0])

    def round_() -> None:
        host.clock.at += next(rounds)
        if host.clock.at > 30:
            stopping.set()
        host.supervisor.wake()  # also who sets it in the middle of a round is heard

    monkeypatch.setattr(host.supervisor, "round", round_)
    host.clock.at = 0.0
    host.supervisor.run(stopping, lambda: None)
    assert rests == pytest.approx([0.04, REST])


def test_what_we_do_to_a_slot_ourselves_is_no_news(host: Host) -> None:
    class Later(Executor):
        def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
            return Future()

    supervisor, woken = host.supervisor, host.supervisor._wake
    supervisor._flights = Flights(Later(), supervisor._backoff, host.folder, supervisor.wake)
    supervisor.round()
    assert supervisor._flights.names() >= {"runner-1"}
    supervisor.happened("runner-1")
    assert not woken.is_set()
    supervisor.happened("runner-9")
    assert woken.is_set()


def test_the_journal_reads_only_what_is_live(host: Host) -> None:
    """Ten thousand finished attempts are kept, and a round asks for the others."""
    host.online()
    steps: list[int] = []
    rows = [(f"old-{number}", "finished") for number in range(10_000)]
    columns = "pool, scope, credential, since, boot_id, began_wall"
    db = host.journal._db
    db.executemany(f"insert into attempt(slot, phase, {columns}) values (?, ?, '', '', '', 0, '', 0)", rows)
    db.set_progress_handler(lambda: steps.append(100), 100)
    live = host.journal.live()
    assert [attempt.slot for attempt in live] == SLOTS
    assert sum(steps) < 1_000
    db.execute("select count(*) from attempt where pool = ''").fetchall()
    assert sum(steps) > 10_000, "they would have been noticed"


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


def test_a_chore_that_fails_for_a_fault_of_ours_is_no_storm(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def broken(scope: str, credential: str, version: str) -> None:
        tries.append(version)
        raise RuntimeError("a bug")

    host.world.versions = dict.fromkeys(SLOTS, "2.336.0")
    monkeypatch.setattr(host.world, "version_end", broken)
    host.online()
    host.rounds(60)
    assert 2 <= len(tries) <= 4


def test_a_full_state_folder_is_named_with_what_to_do(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No traceback of a database that nobody knows of; and the slot is filled once there is room."""

    def full(*dummy: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    host.online()
    host.world.die(host.of("runner-1"), 1)
    with monkeypatch.context() as patch:
        patch.setattr(host.journal, "begin", full)
        host.rounds(10)
    said = next(slot.reason for slot in host.supervisor.status.slots if slot.slot == "runner-1")
    assert said.startswith("the journal cannot be written: database or disk is full. Do: see whether there is room in")
    assert said in caplog.text
    assert "Traceback" not in caplog.text
    host.recovers(within=120)


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


def test_what_brings_nothing_is_tried_less_and_less_often(host: Host) -> None:
    host.online()
    host.world.fail_remove = True
    host.world.die(host.of("runner-1"), 137)
    host.rounds(600, 0.5)
    assert 5 <= host.world.removals <= 12
    host.world.fail_remove = False
    host.rounds(130, 0.5)
    assert host.of("runner-1").status is MachineStatus.RUNNING


def test_since_when_a_slot_is_empty_is_known(host: Host) -> None:
    """By it the slots take turns: one that could not be filled is before one whose job has just ended."""
    host.online()
    seen: dict[str, float] = {}
    host.supervisor.pause()
    for slot in ("runner-2", "runner-1"):
        host.world.take_job(host.of(slot), "build")
        host.world.end_job(host.of(slot))
        host.rounds(10)
        world, _error = host.supervisor.observer.observe(host.supervisor.settings, {"default": 3}, frozenset(), False)
        seen = {view.slot: view.empty_since for view in world.slots}
    assert 0.0 == seen["runner-3"] < seen["runner-2"] < seen["runner-1"] < host.clock.at


def test_an_end_and_its_report_are_one_commit(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a runnerd that dies between the two would never tell what became of a job."""
    host.online()
    lost = host.of("runner-1")
    host.world.take_job(lost, "build")

    def dies(*dummy: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_tell", dies)
        host.world.die(lost, 137)
        host.rounds(2)
    host.rounds(5)
    told = [event.detail for event in read_events(host.journal.folder, 0) if event.runner.endswith(lost.id[:12])]
    assert told[-1].startswith("job lost: job 'build'")
    assert sum(detail.startswith("job lost") for detail in told) == 1
