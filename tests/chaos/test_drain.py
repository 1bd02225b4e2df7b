# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drain, the hard one: runners leave while jobs run. No job is killed before the limit, none is taken by who leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runnerd.status import SlotStatus

from . import sizes
from .faults import Act, moved_image
from .history import ATTEMPT_ENDED, JOB_ENDED, JOB_KILLED, JOB_STARTED
from .host import Wanted
from .stage import Stage
from .trial import Claim, conclude

LIMIT = 600.0
SHORT, LONG = 300.0, 3000.0  # jobs that end before the limit, and after it


def ask(what: str, **more: object) -> Act:
    return lambda stage: stage.host.person(what, **more)


def deploy(**changes: object) -> Act:
    return lambda stage: stage.host.deploy(**changes)


#: `limit`: whether a job that runs longer is cancelled; else it may take as long as it does.
WAYS = {
    "scale-down": (deploy(slots=(), repository_slots=()), True),
    "settings change": (deploy(labels=("self-hosted", "new"), definition="    # labels\n"), False),
    "image change": (moved_image, False),
    "systemctl stop": (ask("drain"), True),
    "runnerd drain": (ask("drain", limit=LIMIT), True),
    "drain of each slot": (lambda s: [s.host.person("drain", slot=one) for one in s.host.wanted.all], True),
    "shutdown": (ask("shutdown"), True),
    "playbook run again": (deploy(), None),
}  # fmt: skip

SENTENCES = {
    True: "two jobs run; the one that is longer than the limit is cancelled there, and reported",
    False: "two jobs run to their end, in the old container, however long",
    None: "two jobs run, and it leaves everything alone",
}


def slots(stage: Stage) -> dict[str, SlotStatus]:
    return {slot.slot: slot for slot in stage.host.supervisor.status.slots}


@pytest.mark.parametrize("killed", [False, True], ids=["", "and runnerd killed"])
@pytest.mark.parametrize("way", WAYS)
def test_drain(tmp_path: Path, way: str, killed: bool) -> None:
    """Promise 3; and promise 5: the slot ends deregistered."""
    for number in range(sizes.TIMES):
        seed, limits = sizes.SEED + number, {"drain": LIMIT, "shutdown": LIMIT}
        with Stage(tmp_path / str(number), seed, limits=limits) as stage:
            drained(stage, way, killed)


def drained(stage: Stage, way: str, killed: bool) -> None:
    """Two jobs run, one of them for longer than the limit; then it is drained in this way."""
    act, has_limit = WAYS[way]
    engine, github = stage.host.engine, stage.service.github
    stage.until(stage.online, "all slots online")
    short, long = stage.service.queue(SHORT), stage.service.queue(LONG)
    stage.run(20 + stage.dice.random())
    before = {container.id for container in engine.all}
    busy = {container.id for container in engine.all if container.working}
    assert len(busy) == 2
    act(stage)
    began = stage.time.at
    for _dummy in range(2):  # whoever is leaving may still get them; then they come to their end
        stage.service.queue(10)
        stage.run(stage.dice.uniform(0.2, 6))
    if killed:
        stage.host.end("killed")
    stage.run(60)
    late = stage.service.queue(10)
    stage.run(120)
    if has_limit is None:
        assert {container.id for container in engine.all if container.working} == busy
    else:
        took = {row.more["container"] for row in stage.history.of(JOB_STARTED) if row.of == str(late.id)}
        assert not before & took, "a slot that was leaving took a job"
        assert {container.id for container in engine.all} & before == busy, "only the idle have left"
        told = [slot for slot in slots(stage).values() if slot.state == "busy" and slot.container in before]
        assert all(slot.leaving and slot.reason for slot in told) and len(told) == 2, "visible in the status"
    stage.run(LIMIT - (stage.time.at - began) - 5)
    ended = {row.of for row in stage.history.of(JOB_ENDED)}
    assert str(short.id) in ended
    assert not list(stage.history.of(JOB_KILLED)), "before its limit"
    stage.run(60)
    killed_jobs = [row.of for row in stage.history.of(JOB_KILLED)]
    assert killed_jobs == ([str(long.id)] if has_limit else [])
    if has_limit:
        reports = [row.more["detail"] for row in stage.history.of(ATTEMPT_ENDED)]
        assert any("job cancelled" in one and "limit" in one for one in reports), "visible in the events"
        assert not engine.all
        # GitHub lets go of the cancelled one when it has not heard of its worker for ten minutes.
        stage.until(lambda: not github.runners, "deregistered", 1800)
    if "drain" in way or way in ("systemctl stop", "shutdown"):
        stage.host.person("resume")
    if way == "scale-down":
        assert engine.definition().hashes == {}
        stage.host.deploy(slots=("runner-1", "runner-2", "runner-3"), repository_slots=("runner-4",))
    conclude(stage, Claim(way, 3, SENTENCES[has_limit]), was_away=False)


def test_stop_now_takes_no_limit_and_says_so(tmp_path: Path) -> None:
    """`runnerd stop --now`: cancelled at once, reported, deregistered; and not before it was asked for."""
    with Stage(tmp_path) as stage:
        stage.until(stage.online, "all slots online")
        stage.service.queue(LONG)
        stage.run(20)
        stage.host.person("stop")
        stage.run(30)
        assert not stage.host.engine.all
        stage.host.person("resume")
        conclude(stage, Claim("runnerd stop --now", 3, "with a job running, which is cancelled and reported"))


LEAVES = {"scale-down": deploy(slots=(), repository_slots=()), "runnerd drain": ask("drain")}


@pytest.mark.parametrize("way", LEAVES)
def test_a_longer_limit_is_obeyed_from_then_on(tmp_path: Path, way: str) -> None:
    """What the limit does is the user's setting: one that is raised while a job runs saves the job."""
    with leaving(tmp_path, way) as stage:
        stage.host.deploy(limits={"drain": 2 * LONG})
        stage.run(LONG)
        assert not list(stage.history.of(JOB_KILLED))
        come_back(stage, "limit raised: from then on it is obeyed")


@pytest.mark.parametrize("way", LEAVES)
def test_a_shorter_limit_is_obeyed_from_then_on(tmp_path: Path, way: str) -> None:
    """One that is lowered ends the job: not before it was lowered, and soon after."""
    with leaving(tmp_path, way) as stage:
        assert not list(stage.history.of(JOB_KILLED))
        stage.host.deploy(limits={"drain": LIMIT / 4})
        stage.run(20)
        assert len(list(stage.history.of(JOB_KILLED))) == 1
        come_back(stage, "limit lowered: from then on it is obeyed")


@contextmanager
def leaving(folder: Path, way: str) -> Iterator[Stage]:
    """A long job runs, all slots leave, and half of the time for that is over."""
    with Stage(folder, sizes.SEED, limits={"drain": LIMIT}) as stage:
        stage.until(stage.online, "all slots online")
        stage.service.queue(LONG)
        stage.run(20)
        LEAVES[way](stage)
        stage.run(LIMIT / 2)
        yield stage


def come_back(stage: Stage, what: str) -> None:
    """All slots are wanted again."""
    stage.host.person("resume")
    stage.host.deploy(slots=Wanted().slots, repository_slots=Wanted().repository_slots)
    name, sentence = what.split(": ")
    conclude(stage, Claim(name, 3, f"while slots leave: {sentence}"))
