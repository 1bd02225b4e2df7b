# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thirty-five days in seconds: releases, an end of support, an end of a token; the runners are there throughout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runnerd.broker import try_credentials
from runnerd.chores import DAY
from runnerd.clock import iso
from runnerd.settings import load_settings
from tests.contract.client import Runner
from tests.doubles.github.server import Double, running
from tests.unit.runnerd.simulation import PATIENCE, REPOSITORY, SCOPE, Container, Simulation, reference

SLOTS = 3
#: The runner's releases: version -> day. The first one is refused 30 days after the second.
RELEASES = {"2.336.0": -5.0, "2.337.0": 1.0, "2.338.0": 12.0, "2.339.0": 24.0}
REFUSED, TOKEN_ENDS, ROTATED, END = 31.0, 33.0, 32.0, 35.0
#: The registry cannot be reached in between, so that the version in use grows old.
NO_REGISTRY = (0.5, 19.0)
#: Slot-filling jobs that are under way at an image's update and at the token's rotation: from, to (days).
LONG_JOBS = ((18.5, 20.7), (31.5, 34.5))
STEP, JOB_EVERY = 3 / 24, 0.6  # days
OLD_TOKEN, NEW_TOKEN, WRONG_TOKEN = "ghp_theOldTokenOfThePool", "ghp_theNewTokenOfThePool", "ghp_neverAtGitHubTokenX"


@pytest.fixture
def double() -> Iterator[Double]:
    begun = time.time()
    settings = {
        "releases": {version: iso(begun + day * DAY) for version, day in RELEASES.items()},
        # What is alive is told by real time here, and the machine may be slow.
        "poll_hold": 0.5,
        "poll_grace": 3600,
        "renew_grace": 3600,
        "pickup_life": 3600,
        "lease_life": 1e9,
    }
    scopes = {SCOPE: {}, REPOSITORY: {}}
    with running(credentials=credentials(begun, old=True), scopes=scopes, settings=settings) as one:
        yield one


def credentials(begun: float, **there: bool) -> dict[str, object]:
    known = {
        "old": {"token": OLD_TOKEN, "scopes": {SCOPE: "write"}, "expires_at": iso(begun + TOKEN_ENDS * DAY)},
        "new": {"token": NEW_TOKEN, "scopes": {SCOPE: "write"}, "expires_at": iso(begun + 365 * DAY)},
    }
    return {name: known[name] for name in there}


def wait(sim: Simulation, done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, f"day {sim.day:.2f}: {what}"
        time.sleep(0.01)


def begin_job(sim: Simulation, name: str) -> Container:
    """Queue a job; the container that took it."""
    (number,) = sim.double.admin.queue(REPOSITORY, ["self-hosted"], "true", name=name)

    def taken() -> list[Container]:
        return [container for container in sim.engine.running().values() if number in container.jobs]

    wait(sim, taken, f"no runner took {name}")
    return taken()[0]


def end_job(sim: Simulation, container: Container) -> None:
    container.finish.set()
    wait(sim, lambda: not sim.engine.runs(container.id), "a runner did not end after its job")


def warned(sim: Simulation) -> set[str]:
    return {warning.what for warning in sim.supervisor.status.warnings}


def test_thirty_five_days(tmp_path: Path, double: Double) -> None:
    sim = Simulation(tmp_path, double, {"token": OLD_TOKEN}, "2.336.0", SLOTS)
    sim.settle()
    first_warned: dict[str, float] = {}
    long_jobs: dict[float, Container] = {}
    next_job, jobs, rotated = 0.2, 0, False
    while sim.day < END:
        sim.clock.advance(STEP * DAY)
        day = sim.day
        # The world
        sim.engine.images.newest = max((v for v, released in RELEASES.items() if released <= day), key=RELEASES.get)
        sim.engine.images.reachable = not NO_REGISTRY[0] <= day < NO_REGISTRY[1]
        # The user
        if day >= ROTATED and not rotated:
            rotated = True
            double.admin.credentials(credentials(sim.begun, old=True, new=True))
            rotate(sim)
        # Jobs
        for begin, end in LONG_JOBS:
            if begin <= day and begin not in long_jobs:
                long_jobs[begin] = begin_job(sim, f"long, from day {begin}")
                jobs += 1
            elif begin in long_jobs and day >= end and not long_jobs[begin].finish.is_set():
                end_job(sim, long_jobs[begin])
        if day >= next_job:
            next_job += JOB_EVERY
            end_job(sim, begin_job(sim, f"day {day:.1f}"))
            jobs += 1
        # And all is well
        sim.settle()
        for what in warned(sim):
            first_warned.setdefault(what, day)

    # Warned in time: two weeks ahead, give or take a step.
    assert abs(first_warned["credential default"] - (TOKEN_ENDS - 14)) < 2 * STEP
    assert abs(first_warned["runner version 2.336.0"] - (REFUSED - 14)) < 2 * STEP
    assert NO_REGISTRY[0] < first_warned[f"image {next(iter(sim.engine.images.tags))}"] < NO_REGISTRY[0] + 1.1
    assert warned(sim) == set(), "and nothing is left to do"
    # Each job ran once, in a container of its own, to its end.
    told = double.admin.state()["jobs"]
    assert len(told) == jobs > END
    assert {job["result"] for job in told} == {"Succeeded"}
    assert all(len(job["assignments"]) == 1 for job in told)
    assert all(len(container.jobs) <= 1 and not container.killed_at_work for container in sim.engine.all)
    assert [container.trouble for container in sim.engine.all if container.trouble] == []
    # No runner was told to update itself, and each was what its image holds.
    assert [container.updates for container in sim.engine.all if container.updates] == []
    # The busy runner kept its image; by now all are new, and the old images are gone.
    assert long_jobs[18.5].version == "2.336.0"
    assert {container.version for container in sim.engine.running().values()} == {"2.339.0"}
    assert {container.version for container in sim.engine.all} == {"2.336.0", "2.338.0", "2.339.0"}
    assert sim.engine.images.local == {reference("2.339.0")}
    # Nobody was short of runners but for the seconds of each turnaround.
    assert sim.longest <= 60
    assert {one["name"][-12:] for one in double.admin.state()["runners"] if not one["gone"]} == {
        container.id[:12] for container in sim.engine.running().values()
    }
    github_is_as_strict_as_said(sim)


def rotate(sim: Simulation) -> None:
    """A new token is tried before runnerd gets it; a wrong one never gets that far."""
    settings = load_settings(sim.file)
    object.__setattr__(settings.github, "api_url", sim.double.api_url)
    (refusal,) = try_credentials(settings, {"default": {"token": WRONG_TOKEN}})
    assert "GitHub refuses it" in refusal
    before = {container.id for container in sim.engine.running().values()}
    assert try_credentials(settings, {"default": {"token": NEW_TOKEN}}) == []
    sim.restart({"token": NEW_TOKEN})
    sim.settle()
    assert {container.id for container in sim.engine.running().values()} == before, "no runner was restarted"


def github_is_as_strict_as_said(sim: Simulation) -> None:
    """The end of the first version and of the old token were real: the pool lived through them, not past them."""
    settings = load_settings(sim.file)
    object.__setattr__(settings.github, "api_url", sim.double.api_url)
    (refusal,) = try_credentials(settings, {"default": {"token": OLD_TOKEN}})
    assert "401" in refusal
    minted = sim.broker.mint(settings.pools[0], "by-hand-of-the-first-version")
    runner = Runner(minted.encoded)
    runner.token = runner.ask_token().json()["access_token"]
    assert runner.ask_session("2.336.0").status_code == 403
    assert runner.ask_session("2.337.0").status_code == 200
    runner.close()


def test_an_app_makes_a_new_token_each_hour_for_days(tmp_path: Path, double: Double) -> None:
    rights = {"organization_self_hosted_runners": "write"}
    double.admin.apps({"homelab": {"id": 4711, "permissions": rights, "installations": {SCOPE: {}}}})
    app = {"app_id": "4711", "private_key": double.admin.app_key("homelab")}
    sim = Simulation(tmp_path, double, app, "2.336.0", SLOTS)
    sim.settle()
    for _dummy in range(20):
        sim.clock.advance(0.7 * 3600)
        end_job(sim, begin_job(sim, f"hour {sim.day * 24:.0f}"))
        sim.settle()
    tokens = [one for one in double.admin.issued() if one["kind"] == "installation-token"]
    assert 7 <= len(tokens) <= 20
    assert warned(sim) == set()
