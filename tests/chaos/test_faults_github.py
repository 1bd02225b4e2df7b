# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub's faults, and those of the runner program, each alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.github.settings import iso

from . import sizes
from .faults import Fault, behave, both, busy, changed, deaf, github, idle, stopped_by_runnerd, try_out, wait_for
from .github import TOKEN
from .history import UPDATES
from .invariants import violations
from .program import NEVER
from .stage import Stage
from .trial import ERROR, REFUSAL, REGISTRATION, SLOT, told
from .world import EPOCH

HOUR = 3600.0


def unreachable(stage: Stage) -> None:
    stage.service.unreachable = True


def revoked(stage: Stage) -> None:
    stage.service.give("ghp_anotherTokenOfTheUser")
    changed(stage)


def spent(stage: Stage) -> None:
    """All requests of this hour, by another program with the same token."""
    stage.service.github.settings.core_per_hour = stage.service.github.settings.registration_per_hour = 1
    changed(stage)


def a_new_hour(stage: Stage) -> None:
    stage.service.github.settings.core_per_hour = stage.service.github.settings.registration_per_hour = 5000


def removed(which: object, told: bool) -> object:
    def strike(stage: Stage) -> None:
        github, name = stage.service.github, which(stage).id[:12]
        for runner in [one for one in github.runners.values() if one.name.endswith(name)]:
            github.remove(runner, "removed by GitHub", told=told)

    return strike


def race(stage: Stage) -> None:
    """Idle runners get jobs, and have to go before that is to be seen."""
    wait_for(stage, lambda: any(not each.working for each in stage.host.engine.running()))
    stage.service.queue(120)
    stage.service.queue(120)
    stage.run(0.5)
    changed(stage)
    for _dummy in range(4):
        stage.host.person("refresh")
        stage.run(6)


def setting(**changes: object) -> object:
    return lambda stage: stage.service.github.settings.update(changes)


def hanging_workers(stage: Stage) -> None:
    stage.host.deploy(limits={"job": 600})
    stage.host.engine.habits.never_ends_its_job = True


def refreshed(stage: Stage) -> None:
    """The lists are read now; those of the last five seconds are new enough for one who asks."""
    for _dummy in range(2):
        stage.host.person("refresh")
        stage.run(6)


def second_page(stage: Stage) -> None:
    """There are so many runners that a list has two of them, and the second one does not arrive."""
    stage.service.of_others(105)
    stage.service.cuts_second_pages = True
    refreshed(stage)
    changed(stage)


def was_cut(stage: Stage) -> bool:
    return stage.service.second_pages_cut > 0


def status(code: int, **more: object) -> object:
    return both(github(status=code, **more), changed)


LIMIT = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}
FAULTS = [
    Fault("GitHub down", 4, "for an hour; jobs go on", both(unreachable, changed), lasts=HOUR, heals=ERROR),
    Fault("GitHub answers 500", 4, "to all", status(500), heals=ERROR),
    Fault("GitHub answers 503 for an hour", 4, "to all", status(503), lasts=HOUR, heals=ERROR),
    Fault("a proxy answers", 4, "with a page of its own", both(github(html=502), changed), heals=ERROR),
    Fault("token revoked", 4, "401 until a person gives a new one", revoked, lambda s: s.service.give(TOKEN),
          heals=REFUSAL),
    Fault("403", 4, "the credential may not", status(403), heals=REFUSAL),
    Fault("404", 4, "the scope is not seen", status(404), heals=REFUSAL),
    Fault("429 with Retry-After", 4, "it is obeyed", status(429, retry_after=120, times=3), heals=told(120)),
    Fault("429 once in the midst of several calls", 4, "nobody else asks before it is over",
          status(429, retry_after=300, times=1, skip=2), heals=told(300)),
    Fault("secondary limit", 4, "a 403 that is a limit", status(403, body=LIMIT, retry_after=60, times=3),
          heals=told(60)),
    Fault("budget spent", 4, "another program used the token's hour", spent, a_new_hour, HOUR, heals=told(HOUR)),
    Fault("GitHub slow", 4, "twenty seconds for an answer", both(github(delay=20), changed), heals=ERROR),
    Fault("GitHub too slow", 5, "no answer in time, and what was asked may have happened",
          both(github(delay=40), changed), heals=ERROR),
    Fault("lists cut half-way", 3, "the connection ends in them",
          both(github(truncate=200, method="GET"), refreshed, changed)),
    Fault("lists cut at their second page", 3, "in a scope with more than a hundred runners", second_page, seen=was_cut,
          heals=ERROR),
    Fault("lists too short", 3, "two runners are missing from them", both(github(short_list=2), race)),
    Fault("broken JSON", 3, "in each answer", both(github(malformed=True), changed), heals=ERROR),
    Fault("answer lost after the registration was made", 5, "what it made is found and deleted",
          both(github(cut="after", method="POST", times=3), changed)),
    Fault("connection cut before the registration", 5, "absent at first proves nothing",
          both(github(cut="before", method="POST", times=3), changed)),
    Fault("deletion's answer lost", 5, "asked twice", both(github(cut="after", method="DELETE", times=6), changed)),
    Fault("name taken", 5, "409 for a new runner", both(github(status=409, method="POST", times=3), changed)),
    Fault("registration refused", 4, "422", both(github(status=422, method="POST"), changed), heals=REFUSAL),
    Fault("idle runner removed", 4, "at GitHub", removed(idle, told=True)),
    Fault("idle runner removed silently", 4, "its listener goes on", removed(idle, told=False), lasts=1800),
    Fault("busy runner removed", 3, "at GitHub; its job goes on", removed(busy, told=True), lasts=1800),
    Fault("busy runner removed silently", 3, "its job goes on", removed(busy, told=False), lasts=1800),
    Fault("idle runners removed again and again", 4, "as GitHub does with idle JIT runners",
          setting(idle_jit_life=240.0),
          setting(idle_jit_life=0.0), 1800),
    Fault("busy flag late", 3, "false for the first minute", both(github(busy_lag=60.0), race)),
    Fault("busy flag flickers", 3, "every other look shows idle", both(github(flicker="busy"), race), lasts=600),
    Fault("status flickers", 3, "every other look shows offline", github(flicker="status"), lasts=1800),
    Fault("completion reported early", 3, "the worker goes on", both(github(complete_early=5.0), changed)),
    Fault("registration vanishes with the job", 3, "as it is taken", github(deregister="acknowledge"), lasts=900),
    Fault("listens on after it was deregistered", 3, "and must be stopped", deaf, seen=stopped_by_runnerd),
    Fault("never comes online", 4, "the program hangs", both(behave(boot=NEVER), changed), lasts=600,
          heals=REGISTRATION),
    Fault("comes online late", 4, "after a minute and a half", both(behave(boot=90.0), changed), lasts=600,
          heals=REGISTRATION),
    Fault("ends at once", 4, "with exit code 0 and without a job", both(behave(ends_at_once=0), changed), lasts=600,
          heals=SLOT),
    Fault("crashes at once", 4, "with exit code 1", both(behave(ends_at_once=1), changed), lasts=600, heals=SLOT),
    Fault("worker hangs", 5, "until the job's limit; the job is reported", hanging_workers, lasts=1500),
    Fault("lingers after its job", 4, "does not end by itself", behave(lingers=True)),
    Fault("version refused", 4, "until there is a newer image", both(github(refuse_version=".*"), changed), lasts=900,
          heals=SLOT),
    Fault("self-update requested", 1, "the image is what runs",
          setting(releases={"2.336.0": "2026-08-17", "2.400.0": iso(EPOCH)}), lasts=900,
          seen=lambda stage: not list(stage.history.of(UPDATES))),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_github(tmp_path: Path, fault: Fault) -> None:
    try_out(tmp_path, fault)


def test_without_a_settling_time_a_job_would_be_killed(tmp_path: Path) -> None:
    """So the race between a job and a runner that has to go is a real one here, and what is done about it counts."""
    with Stage(tmp_path, sizes.SEED) as stage:
        stage.host.deploy(limits={"grace": 0, "settle": 0})
        stage.until(stage.online, "all slots online")
        both(github(busy_lag=60.0), race)(stage)
        stage.run(60)
        found = {each.invariant for each in violations(stage.history.rows)}
    assert "no busy runner is stopped before its limit" in found
