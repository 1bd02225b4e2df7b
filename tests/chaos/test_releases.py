# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thirty-five days in which versions of the runner come and end, and so does the token: the runners are there."""

from __future__ import annotations

from pathlib import Path

from runnerd import core
from runnerd.broker import try_credentials
from runnerd.chores import DAY
from runnerd.settings import load_settings

from . import host, sizes
from .compose import IMAGE, TAG, image_with
from .faults import Act, ended, moves, nothing
from .github import TOKEN
from .history import CREATED, DELIVERED, DIED, UPDATES
from .program import Habits
from .stage import Stage
from .trial import AT_ONCE, SLOT, Claim, conclude

STEP, JOB_EVERY = 1 / 8, 5 / 8  # days
FIRST, LAST = Habits().version, "2.339.0"
REFUSED = 1.0 + 30.0  # the first version, 30 days after the second one came
TOKEN_ENDS, END = 33.0, 35.0
JOBS = round(END / JOB_EVERY) - 1
NEW_TOKEN, WRONG_TOKEN = "ghp_theNewTokenOfThePool", "ghp_neverAtGitHubTokenX"
CLAIM = Claim("versions and tokens end", 4, "35 days, of which the registry is away for 18", heals=SLOT)


def registry(error: str) -> Act:
    return lambda stage: setattr(stage.host.engine.images, "error", error)


def released(version: str) -> Act:
    """At GitHub; the registry's tag moves with it."""
    return lambda stage: [stage.service.release(version), stage.host.engine.images.publish(version)]


def job(days: float) -> Act:
    return lambda stage: stage.service.queue(days * DAY)


def moved(stage: Stage) -> None:
    """Every runner to the new image, but the busy one."""
    assert [each.working for each in stage.host.engine.running() if each.image == IMAGE] == [True]


def rotated(stage: Stage) -> None:
    """A new token is tried before runnerd gets it; a wrong one never gets that far. No runner is restarted for it."""
    stage.service.give_until({TOKEN: TOKEN_ENDS * DAY, NEW_TOKEN: 365 * DAY})
    assert ["GitHub refuses it" in each for each in refusals(stage, WRONG_TOKEN)] == [True, True]
    assert refusals(stage, NEW_TOKEN) == []
    before = set(stage.host.engine.containers)
    stage.host.give({"token": NEW_TOKEN})
    stage.host.end("restarted")
    stage.run(60)
    assert set(stage.host.engine.containers) == before


#: Day -> what happens then.
PLAN: dict[float, Act] = {
    **{number * JOB_EVERY: job(60 / DAY) for number in range(1, JOBS + 1)},
    0.5: registry("dial tcp: i/o timeout"),
    1.0: released("2.337.0"),
    12.0: released("2.338.0"),
    18.5: job(2.2),  # across the image's update
    19.0: registry(""),
    20.25: moved,
    24.0: released(LAST),
    31.5: job(3.0),  # across the rotation
    32.0: rotated,
}


def refusals(stage: Stage, token: str) -> list[str]:
    """What GitHub has against this token, pool by pool."""
    return try_credentials(load_settings(stage.host.file), {"default": {"token": token}})


def warned(stage: Stage) -> set[str]:
    return {warning.what for warning in stage.host.supervisor.status.warnings}


def turnarounds(stage: Stage) -> list[float]:
    """Seconds from the end of each container to the credential of the next one in its slot."""
    slots: dict[str, str] = {}
    empty: dict[str, float] = {}
    took = []
    for row in stage.history.of(CREATED, DELIVERED, DIED):
        slot = slots.setdefault(row.of, row.more.get("slot", ""))
        if row.kind == DIED:
            empty[slot] = row.at
        elif row.kind == DELIVERED and slot in empty:
            took.append(row.at - empty.pop(slot))
    assert not empty
    return took


def github_was_as_strict_as_said(stage: Stage) -> None:
    """The ends of the old token and of the first version were real: the pool lived through them, not past them."""
    assert ["401" in each for each in refusals(stage, TOKEN)] == [True, True]
    moves(IMAGE)(stage)
    stage.until(lambda: ended("version refused")(stage), "the first version is refused")
    moves(image_with(LAST))(stage)


def test_thirty_five_days(tmp_path: Path, monkeypatch) -> None:
    """No job is lost, no slot stays empty, and what a person must do is told two weeks ahead."""
    # What is urgent wakes the loop: while nothing happens, one round in a step will do, and a look at GitHub's lists.
    monkeypatch.setattr(host, "ROUND", STEP * DAY)
    monkeypatch.setattr(core, "LIST_INTERVAL", STEP * DAY)
    first_warned: dict[str, float] = {}
    with Stage(tmp_path, sizes.SEED) as stage:
        stage.service.give_until({TOKEN: TOKEN_ENDS * DAY})
        for number in range(1, round(END / STEP)):
            day = number * STEP
            stage.run(day * DAY - stage.time.at)
            assert stage.online(), stage.told()
            for what in warned(stage):
                first_warned.setdefault(what, day)
            PLAN.get(day, nothing)(stage)
        stage.settle()
        # Warned in time: two weeks ahead, give or take a step; and nothing is left to do.
        assert abs(first_warned["credential default"] - (TOKEN_ENDS - 14)) < 2 * STEP
        assert abs(first_warned[f"runner version {FIRST}"] - (REFUSED - 14)) < 2 * STEP
        assert 0.5 < first_warned[f"image {TAG}"] < 1.6
        assert warned(stage) == set()
        # All are new, without a rest; and no runner was ever told to update itself.
        assert {row.more["image"] for row in stage.history.of(CREATED)} == {IMAGE, *map(image_with, ("2.338.0", LAST))}
        assert {container.image for container in stage.host.engine.running()} == {image_with(LAST)}
        assert stage.host.engine.images.local == {image_with(LAST)}
        assert max(turnarounds(stage)) < AT_ONCE.seconds
        assert not list(stage.history.of(UPDATES))
        assert stage.came_of_it() == (JOBS + 2, 0, 0, 0)
        github_was_as_strict_as_said(stage)
        conclude(stage, CLAIM)
