# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""runnerd is killed before and after each of its side effects, and comes back to a journal that may be wrong.

A side effect is a request to GitHub, a change in Docker or in the Compose file, a commit of the journal; `Stage.point`
counts them, with the crash points in the code among them.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runnerd import effects

from . import sizes
from .compose import NEXT_IMAGE, TAG
from .history import NOT_STARTED
from .stage import Stage
from .trial import LISTS, Claim, conclude

#: How long a try may take until all is well: a lost answer is looked for up to an hour.
HOUR = 3600.0


def play(stage: Stage) -> None:
    """A life in short: fill, work, become smaller with a job running, larger again, a new image, a drain, a stop."""
    host = stage.host
    host.engine.habits.deaf = True  # so that they have to be stopped
    stage.run(20)
    for _dummy in range(3):
        stage.service.queue(60)
    stage.run(30)
    host.deploy(slots=("runner-1",))
    stage.run(120)
    stage.service.fault(cut="after", method="POST", times=1)  # a registration that nobody knows of
    host.deploy(slots=("runner-1", "runner-2", "runner-3"), definition="    # new\n")
    stage.run(60)
    host.engine.images.registry[TAG] = NEXT_IMAGE
    say(stage, "update")
    stage.run(60)
    stage.service.queue(60)
    say(stage, "drain", "runner-2")
    stage.run(40)
    say(stage, "stop", "runner-1")
    stage.run(20)
    say(stage, "resume")
    stage.run(20)


def say(stage: Stage, *what: str) -> None:
    """As soon as there is a runnerd to say it to."""
    wait_for_runnerd(stage)
    stage.host.person(*what)


def wait_for_runnerd(stage: Stage) -> None:
    stage.until(lambda: stage.host.supervisor is not None, "it is started again")


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the play does, when nobody kills anything."""
    with Stage(tmp_path_factory.mktemp("points")) as stage:
        play(stage)
        points = list(stage.points)
        stage.settle()
        stage.judge()
    return points


def test_the_play_comes_by_every_crash_point_of_the_code(points: list[str]) -> None:
    """And by each kind of change in Docker and at GitHub."""
    assert {f"before docker {what}" for what in ("create", "start", "stop", "remove", "release", "follow")} <= set(
        points
    )
    assert {point.split()[1] for point in points if "/actions/" in point} == {"GET", "POST", "DELETE"}
    source = Path(effects.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'crashpoint\("([a-z.]+)"\)', source)) <= set(points)


AT_EACH = "before and after each side effect, and started again"
CLAIMS = {
    2.0: Claim("runnerd killed", 4, AT_EACH),
    HOUR: Claim("runnerd killed, and dead for an hour", 4, AT_EACH),
}


@pytest.mark.parametrize("for_", CLAIMS)
def test_killed_at_each_side_effect(tmp_path: Path, points: list[str], for_: float) -> None:
    """Whatever it was about to do, or had just done, the next one finds out."""
    stride = sizes.EVERY if for_ < HOUR else 4 * sizes.EVERY
    for number in range(sizes.SEED % stride, len(points), stride):
        print(f"killed at {number}, {points[number]}")
        stage = Stage(tmp_path / str(number))
        stage.dies_at, stage.host.killed_for = number, for_
        with stage:
            play(stage)
            assert stage.dies_at < 0
            wait_for_runnerd(stage)
            stage.host.person("resume")  # who got no answer says it again
            conclude(stage, CLAIMS[for_])


def test_killed_again_and_again(tmp_path: Path, points: list[str]) -> None:
    """While it still mends what the last death left."""
    dice = random.Random(sizes.SEED)
    for number in range(max(1, 40 // sizes.EVERY)):
        with Stage(tmp_path / str(number), seed=number) as stage:
            stage.dies_at = dice.randrange(len(points))
            print(f"{number}: killed at {stage.dies_at}")
            for _dummy in range(4):
                stage.run(dice.choice((5, 30, 120)))
                stage.service.queue(40)
                stage.dies_at = len(stage.points) + dice.randrange(30)
            play(stage)
            stage.dies_at = -1
            conclude(stage, Claim("runnerd killed again and again", 4, "while it mends"))


@contextmanager
def busy_stage(folder: Path) -> Iterator[Stage]:
    """Two jobs run, two runners are idle."""
    with Stage(folder, sizes.SEED) as stage:
        stage.until(stage.online, "all slots online")
        for _dummy in range(2):
            stage.service.queue(900)
        stage.run(30)
        yield stage


def test_upgraded_with_jobs_running(tmp_path: Path) -> None:
    """Promise 3: an upgrade restarts runnerd, and no runner."""
    with busy_stage(tmp_path) as stage:
        before = set(stage.host.engine.containers)
        stage.host.deploy(version="2")
        stage.run(60)
        assert stage.host.supervisor.status.version == "2"
        assert set(stage.host.engine.containers) == before
        conclude(stage, Claim("runnerd upgraded", 3, "with jobs running"))


def test_two_instances_by_mistake(tmp_path: Path) -> None:
    """Promise 1: the second one must do nothing, or a slot would be filled twice."""
    with busy_stage(tmp_path) as stage:
        other = stage.add_host("host", "machine")  # the same folders
        other.engine = stage.host.engine
        other.start()
        stage.run(30)
        assert other.supervisor is None
        assert any("another runnerd already works" in row.more["detail"] for row in stage.history.of(NOT_STARTED))
        stage.hosts.remove(other)
        conclude(stage, Claim("two instances of runnerd", 1, "the second one does nothing"))


@pytest.mark.parametrize("dead_for", [2.0, HOUR])
def test_journal_lost(tmp_path: Path, dead_for: float) -> None:
    """Promise 3: containers and names alone tell what runs; a busy runner lives on."""
    with busy_stage(tmp_path) as stage:
        stage.host.end("killed", dead_for)
        stage.host.lose_journal()
        conclude(stage, Claim("journal lost", 3, "with jobs running"))


def test_journal_lost_after_github_forgot_a_runner(tmp_path: Path) -> None:
    """Promise 4: a runner without a row and without a registration listens for ever, and must be replaced."""
    with busy_stage(tmp_path) as stage:
        runner = next(one for one in stage.service.github.runners.values() if one.job is None)
        stage.service.github.remove(runner, "removed by GitHub", told=False)
        stage.host.end("killed")
        stage.host.lose_journal()
        claim = Claim("journal lost after GitHub forgot a runner", 4, "it is replaced", heals=LISTS)
        conclude(stage, claim)


def test_journal_lost_with_a_reboot(tmp_path: Path) -> None:
    """Promise 5: the dead containers alone tell what ran; the registrations that were lost are GitHub's to remove."""
    with busy_stage(tmp_path) as stage:
        stage.host.reboot(60.0)
        stage.host.lose_journal()
        stage.run(60)
        conclude(stage, Claim("journal lost with a reboot", 5, "with jobs running; they are reported"))


def test_journal_lost_while_a_slot_leaves(tmp_path: Path) -> None:
    """Promise 5: a slot that is in no settings and in no journal must leave all the same."""
    with busy_stage(tmp_path) as stage:
        stage.host.end("killed")
        stage.host.lose_journal()
        stage.host.deploy(slots=("runner-1",))
        conclude(stage, Claim("journal lost while slots leave", 5, "they leave all the same"))


def test_journal_of_yesterday(tmp_path: Path) -> None:
    """Promise 5: rows of long-gone runners and none of those that run; nothing is stopped and nothing is left."""
    with busy_stage(tmp_path) as stage:
        stage.settle()
        stage.host.end("stopped", 0.0)
        shutil.copytree(stage.host.state, tmp_path / "backup")
        stage.run(1)
        for _dummy in range(4):
            stage.service.queue(200)
            stage.run(HOUR)
        stage.service.queue(900)
        stage.run(30)
        stage.host.end("killed", 30.0)
        stage.host.lose_journal()
        shutil.copytree(tmp_path / "backup", stage.host.state)
        conclude(stage, Claim("journal of yesterday", 5, "restored from a backup"))


def test_journal_copied_to_a_cloned_machine(tmp_path: Path) -> None:
    """Promise 3: a clone with the original's journal and dead copies of its containers touches none of its runners."""
    with busy_stage(tmp_path) as stage:
        original = stage.host
        clone = stage.add_host("clone", "another machine")
        shutil.copytree(original.folder, clone.folder, dirs_exist_ok=True)
        for container in original.engine.all:
            copy = clone.engine.make(container.slot, container.spec)
            clone.engine.containers[container.id] = clone.engine.containers.pop(copy.id)
            clone.engine.volumes = {container.id if v == copy.id else v for v in clone.engine.volumes}
            copy.id = container.id
            clone.engine.start(copy)
            clone.engine.die(copy, 255)
        before = {runner.name for runner in stage.service.github.runners.values()}
        clone.deploy()
        clone.start()
        stage.run(300)
        assert before <= {runner.name for runner in stage.service.github.runners.values()}, "it deleted the original's"
        conclude(stage, Claim("machine cloned with its journal", 3, "the original's runners are left alone"))
