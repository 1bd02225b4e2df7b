# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Slots that leave, drain or pause: jobs finish, up to the limit, and the idle are deregistered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from runnerd.clock import iso
from runnerd.journal import read_events
from runnerd.metrics import Metrics
from runnerd.model import MachineStatus, Phase
from runnerd.settings import MetricsSettings
from runnerd.status import table
from tests.unit.runnerd.fakes import Late
from tests.unit.runnerd.host import SLOTS, Host


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


def test_when_the_limit_strikes_is_told_beforehand(host: Host) -> None:
    """In the status, its table and the metrics; one that is idle has none, and the limit of all jobs is in no table."""
    host.online()
    host.world.take_job(host.of("runner-1"), "build")
    metrics = Metrics()
    metrics.serve(MetricsSettings(port=0), host.supervisor)
    host.rounds(1)
    (busy, *idle) = host.supervisor.current_status().slots
    assert busy.limit_at is not None
    assert busy.limit_at > host.clock.wall() + 400_000
    assert [slot.limit_at for slot in idle] == [None, None]
    assert "cancelled at" not in table(host.supervisor.current_status().as_json())
    at = host.clock.wall() + 100
    host.supervisor.drain([], "drain", 100.0)
    host.rounds(2)
    told = host.supervisor.current_status()
    assert {slot.slot: slot.limit_at for slot in told.slots if slot.limit_at} == {"runner-1": at}
    assert f"its job is cancelled at {iso(at)} if it still runs" in table(told.as_json())
    metric = 'runnerd_job_limit_timestamp_seconds{pool="default",slot="runner-1"} '
    (line,) = (line for line in generate_latest(metrics.registry).decode().splitlines() if line.startswith(metric))
    assert float(line.removeprefix(metric)) == at


def test_stop_now_ends_all_within_seconds(host: Host) -> None:
    host.online()
    host.world.take_job(host.of("runner-1"), "build")
    host.supervisor.drain([], "now", None)
    host.rounds(8, step=0.5)
    assert host.world.containers == {}
    host.rounds(60)
    assert host.world.registered == {}


def test_who_goes_at_the_limit_without_githubs_word_has_failed_at_nothing(host: Host) -> None:
    """GitHub is down. A job that it may have given at that moment has its line, and the slot is not held back."""
    host.online()
    host.world.github = errors.Unreachable("deregister", message="no route", sent=False)
    host.supervisor.drain([], "now", None)
    host.rounds(30)
    assert host.world.containers == {}
    told = [event.detail for event in read_events(host.journal.folder, 0) if event.kind == "ended"]
    assert len(told) == 3
    assert set(told) == {"cut off: stopped now: the limit has passed"}
    host.world.github = None
    host.supervisor.resume()
    host.rounds(2)
    assert len(host.world.running()) == 3


@pytest.mark.parametrize("change", ["resume", "a longer limit", "the playbook"])
def test_what_was_decided_before_a_change_of_mind_takes_nobody_away_after_it(host: Host, change: str) -> None:
    """Stops wait for their thread, long where Docker is slow; the runner is not to be taken away meanwhile."""
    host.online()
    host.world.take_job(host.of("runner-1"), "build")
    executor, host.supervisor._flights._executor = host.supervisor._flights._executor, Late()
    host.supervisor.drain([], "now", None)
    host.supervisor.round()
    waiting, host.supervisor._flights._executor = host.supervisor._flights._executor, executor
    host.supervisor.resume()
    if change == "a longer limit":
        host.supervisor.drain([], "drain", 5000.0)
    elif change == "the playbook":
        host.supervisor.reload()
    assert waiting.land() == 3
    host.rounds(20)
    assert host.world.killed_busy == []
    assert host.state()["runner-1"] == "busy"


def test_a_job_that_comes_between_the_last_look_and_the_stop_at_the_limit_is_reported(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.online()
    idle = host.of("runner-1")
    host.world.github = errors.Unreachable("deregister", message="no route", sent=False)

    def stop(machine_id: str) -> None:
        host.world.take_job(idle, "build")
        host.world.die(idle, 143)

    monkeypatch.setattr(host.world, "stop", stop)
    host.supervisor.drain(["runner-1"], "now", None)
    host.rounds(30)
    (told,) = [event.detail for event in read_events(host.journal.folder, 0) if event.kind == "ended"]
    assert told == "job cancelled: stopped now: the limit has passed just as job 'build' was given"


@pytest.mark.parametrize("said", [True, False])
def test_a_job_that_is_cancelled_at_the_limit_is_called_so_whatever_its_runner_had_the_time_to_say(
    host: Host, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.online()
    busy = host.of("runner-1")
    host.world.take_job(busy, "build")

    def stop(machine_id: str) -> None:
        host.world.end_job(busy)
        busy.output = replace(busy.output, result="Canceled" if said else "", done_at=host.clock.at if said else None)

    monkeypatch.setattr(host.world, "stop", stop)
    host.supervisor.drain(["runner-1"], "now", None)
    host.rounds(10)
    (told,) = [event.detail for event in read_events(host.journal.folder, 0) if event.kind == "ended"]
    assert told.startswith("job cancelled: stopped now: the limit for its job has passed")


def test_a_slot_that_comes_back_before_there_is_a_thread_keeps_its_block(host: Host) -> None:
    host.online()
    host.want(["runner-1", "runner-2"])
    host.supervisor.reload()
    host.world.take_away(host.of("runner-3"))
    executor = host.supervisor._flights._executor
    late = host.supervisor._flights._executor = Late()
    for what in ("its runner's end", "its block"):
        for _dummy in range(30):
            host.rounds(1)
            if host.supervisor._flights.names() == {"runner-3"}:
                break
        if what == "its block":
            host.want(SLOTS)  # a playbook writes, and has not told runnerd yet
        assert late.land() == 1, what
    host.supervisor._flights._executor = executor
    host.supervisor.reload()
    host.recovers(within=30)
    assert host.world.released == []


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
