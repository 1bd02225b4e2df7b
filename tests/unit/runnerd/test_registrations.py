# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supervisor and GitHub: registrations that nothing explains, lists that are wrong, refusals, and what it asks."""

from __future__ import annotations

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from tests.unit.runnerd.host import Host


def test_what_lists_leave_out_is_deleted_all_the_same(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lists without a runner end it; should they have been wrong, its registration must not stay for a day."""
    host.online()
    lost = host.world.runner_of(host.of("runner-1"))
    assert lost is not None
    with monkeypatch.context() as patch:
        patch.setattr(
            host.world, "runners", lambda *dummy: [r for r in host.world.registered.values() if r.id != lost.id]
        )
        for _dummy in range(2):
            host.supervisor.refresh()
            host.rounds(8)
    assert host.journal.owns(lost.name)
    assert lost.id not in host.world.registered
    assert host.journal.ghosts() == ()


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


def test_a_registration_that_never_was_is_looked_for_twice(host: Host) -> None:
    """What comes later than that, the lists show, which are read anyway."""
    host.world.lose_answer = True
    host.rounds(1)
    host.world.lose_answer = False
    names = [runner.name for runner in host.world.registered.values()]
    assert names
    host.world.registered.clear()
    host.rounds(120, step=5)
    assert [host.world.requests.count(f"GET {name}") for name in names] == [2] * len(names)
    assert host.journal.ghosts() == ()


def test_a_registration_is_looked_for_until_github_has_answered(host: Host) -> None:
    host.world.lose_answer = True
    host.rounds(1)
    host.world.lose_answer = False
    (lost,) = list(host.world.registered.values())[:1]
    host.world.github = errors.ServerError("look up", message="oops", status=502)
    host.rounds(300, step=60)
    assert lost.name in {ghost.name for ghost in host.journal.ghosts()}
    host.world.github = None
    host.rounds(60, step=60)
    assert lost.id not in host.world.registered
    assert lost.name not in {ghost.name for ghost in host.journal.ghosts()}


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


def test_a_runner_that_github_has_seen_offline_for_long_is_replaced(host: Host) -> None:
    host.online()
    deaf = host.of("runner-1")
    runner = host.world.runner_of(deaf)
    assert runner is not None
    host.world._change(runner, status="offline")
    host.rounds(30, 60)
    assert deaf.id not in host.world.containers
    assert host.world.killed_busy == []


def test_who_asks_for_lists_gets_newer_ones_also_right_after_the_last(host: Host) -> None:
    """`runnerd wait`, in the very second in which the list was read for another reason."""
    host.online()

    def lists() -> int:
        return host.world.requests.count("GET runners")

    host.supervisor.refresh()
    host.rounds(8)
    before = lists()
    host.clock.at += 1
    host.supervisor.refresh()
    host.rounds(2)
    host.supervisor.refresh()
    host.clock.at += 0.5
    host.rounds(10)
    assert before < lists() <= before + 2
    asked = lists()
    host.rounds(30)
    assert lists() == asked
