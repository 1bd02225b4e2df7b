# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of GitHub's rules about time, to the second, on clocks that only the test moves."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.doubles.github import jit
from tests.doubles.github.access import Refused
from tests.doubles.github.settings import Clock, Settings, deprecation, iso, latest_version, moment
from tests.doubles.github.state import GitHub, Job, Runner, Session


class Clocks(Clock):
    """Both clocks stand still until ``pass_time`` moves both, or ``advance`` the wall clock alone."""

    def __init__(self) -> None:
        super().__init__()
        self._now, self._monotonic = moment("2026-11-21T10:00:00Z"), 1000.0

    def now(self) -> float:
        return self._now

    def real(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def pass_time(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def advance(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return jit.new_key()


class World:
    """A GitHub with one organization, and short words for what happens in it."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.clock = Clocks()
        self.github = GitHub(self.clock, Settings())
        self.scope = self.github.add_scope("my-org")
        self._key = key

    def register(self, name: str = "one") -> Runner:
        fields: dict[str, Any] = {"group_id": 1, "labels": ["x"], "work_folder": "_work", "base": "http://double"}
        return self.github.register(self.scope, name=name, key=self._key, **fields)[0]

    def configure(self, name: str = "one", ephemeral: bool = False) -> Runner:
        fields: dict[str, Any] = {"group_id": 1, "base": "http://double", "version": "2.336.0", "replaces": None}
        key, labels = self._key.public_key(), [("X", "custom")]
        return self.github.configure(self.scope, name=name, labels=labels, key=key, ephemeral=ephemeral, **fields)

    def connect(self, runner: Runner, version: str = "2.336.0") -> Session:
        fields: dict[str, Any] = {"os": "Linux", "architecture": "X64", "disable_update": True, "remote": ""}
        return self.github.open_session(runner, version=version, **fields)

    def queue(self) -> Job:
        return self.github.queue_job("my-org/app", "build", ["x"], "true", {})

    def online(self, runner: Runner) -> bool:
        self.github.sweep()
        return self.github.online(runner)

    def names(self) -> list[str]:
        return [runner.name for runner in self.github.listed(self.scope)]


@pytest.fixture
def world(key: rsa.RSAPrivateKey) -> World:
    return World(key)


def status_of(refused: pytest.ExceptionInfo[Refused]) -> int:
    return refused.value.status


def test_a_session_lives_five_seconds_without_a_message_call(world: World) -> None:
    runner = world.register()
    session = world.connect(runner)
    world.clock.pass_time(4.9)
    assert world.online(runner)
    world.github.poll_begin(runner, session.id)
    world.clock.pass_time(100)
    assert world.online(runner)
    world.github.poll_end(session, cut=False)
    world.clock.pass_time(4.9)
    assert world.online(runner)
    world.clock.pass_time(0.1)
    assert not world.online(runner)


def test_one_of_two_message_calls_is_enough(world: World) -> None:
    runner = world.register()
    session = world.connect(runner)
    world.github.poll_begin(runner, session.id)
    world.github.poll_begin(runner, session.id)
    world.github.poll_end(session, cut=False)
    world.clock.pass_time(100)
    assert world.online(runner)


def test_a_session_lives_ten_seconds_after_a_renewal(world: World) -> None:
    runner = world.register()
    world.connect(runner)
    job = world.queue()
    world.github.acknowledge(runner, job.id)
    for _renewal in range(3):
        world.clock.pass_time(9.9)
        assert world.online(runner)
        world.github.renew(runner, job.id)
    world.clock.pass_time(10)
    assert not world.online(runner)


def test_an_assigned_job_is_queued_again_after_sixty_seconds(world: World) -> None:
    runner = world.register()
    world.connect(runner)
    job = world.queue()
    assert (job.status, job.runner) == ("assigned", runner)
    world.clock.pass_time(59.9)
    world.github.sweep()
    assert job.status == "assigned"
    world.clock.pass_time(0.1)
    world.github.sweep()
    assert (job.status, job.runner) == ("queued", None)
    with pytest.raises(Refused) as refused:
        world.github.acknowledge(runner, job.id)
    assert status_of(refused) == 404


def test_a_job_is_given_up_ten_minutes_after_its_last_renewal(world: World) -> None:
    runner = world.register()
    world.connect(runner)
    job = world.queue()
    world.github.acknowledge(runner, job.id)
    world.clock.pass_time(300)
    world.github.renew(runner, job.id)
    world.clock.pass_time(599.9)
    with pytest.raises(Refused) as refused:
        world.github.delete_runner(world.scope, runner.id)
    assert status_of(refused) == 422
    world.clock.pass_time(0.1)
    assert world.names() == []
    assert (job.status, job.result) == ("completed", "Failed")


def test_an_offline_runner_is_kept_for_a_day_from_when_it_was_last_online(world: World) -> None:
    runner = world.register()
    world.clock.pass_time(3600)
    session = world.connect(runner)
    world.github.poll_begin(runner, session.id)
    world.github.poll_end(session, cut=True)
    world.clock.pass_time(86399)
    assert world.names() == ["one"]
    world.clock.pass_time(1)
    assert world.names() == []


@pytest.mark.parametrize(("ephemeral", "days"), [(True, 1), (False, 14)])
def test_who_ran_config_is_kept_for_a_day_or_two_weeks(world: World, ephemeral: bool, days: int) -> None:
    world.configure(ephemeral=ephemeral)
    world.clock.advance(days * 86400 - 1)
    assert world.names() == ["one"]
    world.clock.advance(1)
    assert world.names() == []


def test_who_is_not_ephemeral_goes_on_after_a_job(world: World) -> None:
    runner = world.configure()
    session = world.connect(runner)
    first, second = world.queue(), world.queue()
    world.github.acknowledge(runner, first.id)
    for _renewal in range(10):
        world.clock.pass_time(9)
        world.github.renew(runner, first.id)
    assert second.status == "queued"
    world.github.complete(runner, first.id, "Succeeded")
    assert world.online(runner), "the end of a job is a sign of life"
    assert (second.status, second.runner) == ("assigned", runner)
    message = world.github.message(runner, session)
    assert message and message["body"]["id"] == second.id


def test_who_is_not_ephemeral_has_no_second_job_beside_the_first(world: World) -> None:
    """GitHub believes that a job is over which its worker has still in hand."""
    world.github.faults.add({"complete_early": 5})
    runner = world.configure()
    world.connect(runner)
    first, second = world.queue(), world.queue()
    world.github.acknowledge(runner, first.id)
    world.clock.pass_time(6)
    world.github.sweep()
    assert (first.status, second.status) == ("completed", "queued")
    world.github.complete(runner, first.id, "Succeeded")
    world.github.sweep()
    assert second.status == "assigned"


def test_a_jit_configuration_lives_an_hour(world: World) -> None:
    runner = world.register()
    world.clock.pass_time(3600)
    assert world.github.client(runner.client_id) is runner
    world.clock.pass_time(0.1)
    with pytest.raises(Refused) as refused:
        world.github.client(runner.client_id)
    assert (status_of(refused), str(refused.value)) == (400, "invalid_client")


def test_liveness_takes_no_notice_of_the_movable_clock(world: World) -> None:
    alive, dead = world.register("alive"), world.register("dead")
    world.connect(alive)
    world.connect(dead)
    job = world.queue()
    world.github.acknowledge(alive, job.id)
    dead_session = dead.session
    assert dead_session is not None
    dead_session.ended = True
    world.github.advance(100 * 86400)
    assert world.online(alive)
    assert world.names() == ["alive"]
    assert job.status == "in_progress"
    world.clock.pass_time(10)
    assert not world.online(alive)


def test_changes_are_told_and_counted(world: World) -> None:
    heard: list[int] = []
    world.github.on_change = lambda: heard.append(world.github.changes)
    runner = world.register()
    world.connect(runner)
    before = world.github.changes
    assert heard[-1] == before
    world.clock.pass_time(4)
    world.github.sweep()
    assert world.github.changes == before
    world.clock.pass_time(1)
    world.github.sweep()  # it has gone offline
    assert world.github.changes > before
    assert heard[-1] == world.github.changes


def test_every_secret_that_was_handed_out_is_known(world: World) -> None:
    world.register()
    world.github.issue_token(world.scope, "remove-token")
    assert [entry["kind"] for entry in world.github.issued] == ["jit", "remove-token"]


# Versions


@pytest.mark.parametrize(
    ("version", "end"),
    [
        ("2.8.0", "2026-01-31T00:00:00Z"),
        ("2.9.0", "2026-03-03T00:00:00Z"),
        ("2.10.0", "2026-03-31T00:00:00Z"),
        ("2.11.0", None),
        ("3.0.0", None),
        ("my-own", "2026-01-31T00:00:00Z"),
    ],
)
def test_a_version_ends_thirty_days_after_the_first_newer_release(version: str, end: str | None) -> None:
    releases = {"2.9.0": "2026-01-01", "2.10.0": "2026-02-01", "2.11.0": "2026-03-01"}
    settings = Settings(releases=releases)
    assert deprecation(settings, version, moment("2026-12-01")) == (None, end)


def test_a_release_of_the_future_ends_nothing_yet() -> None:
    settings = Settings(releases={"2.9.0": "2026-01-01", "2.10.0": "2026-02-01"})
    now = moment("2026-01-15")
    assert deprecation(settings, "2.9.0", now) == (None, None)
    assert latest_version(settings, now) == "2.9.0"
    assert latest_version(settings, moment("2025-01-01")) == ""


def test_a_version_is_refused_from_the_day_it_ends(world: World) -> None:
    world.github.settings.update({"releases": {"1.0.0": "2026-01-01", "1.1.0": iso(world.clock.now())}})
    runner = world.register()
    world.clock.pass_time(30 * 86400 - 1)
    runner.seen = world.clock.now()
    world.connect(runner, "1.0.0")
    world.clock.pass_time(5)
    with pytest.raises(Refused) as refused:
        world.connect(runner, "1.0.0")
    assert status_of(refused) == 403


# Settings


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"jit_live": 1}, "no such setting"),
        ({"jit_life": "1"}, "wrong kind"),
        ({"jit_life": True}, "wrong kind"),
        ({"rate_limits": 1}, "wrong kind"),
        ({"jit_life": -1}, "must not be negative"),
        ({"releases": {"1.0": "soon"}}, "not a date"),
        ({"deprecations": {"1.0": {"when": "2026-01-01"}}}, "runtime_deprecates_at"),
        ({"deprecations": {"1.0": {"runtime_deprecates_at": "soon"}}}, "not a date"),
    ],
    ids=str,
)
def test_a_wrong_setting_changes_nothing(wrong: dict[str, Any], why: str) -> None:
    settings = Settings()
    with pytest.raises(ValueError, match=why):
        settings.update({"core_per_hour": 1, **wrong})
    assert settings == Settings()


def test_the_clock_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        Clock().advance(-1)
