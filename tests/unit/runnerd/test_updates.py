# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following a tag: when it is pulled, what becomes of the Compose file, the slots and the old image."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_docker import declaration, runner_shares
from runnerd.chores import DAY
from runnerd.composefile import images, with_image
from runnerd.images import ImageError
from runnerd.status import upkeep
from tests.unit.runnerd.test_supervisor import SLOTS, Host

TAG = "ghcr.io/actions/actions-runner:latest"
OLD, NEW = "ghcr.io/actions/actions-runner@sha256:old", "ghcr.io/actions/actions-runner@sha256:new"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    world = host.world
    world.file_images = {TAG: OLD}
    world.images.here = {TAG: OLD}
    world.images.registry = {TAG: OLD}
    host.online()
    return host


def listening(host: Host, rounds: int) -> None:
    """Let time pass in which runners listen as soon as they run."""
    for _dummy in range(rounds):
        host.rounds(1)
        for container in host.world.running():
            if container.output.listening_at is None:
                host.world.listen(container)


def hours(host: Host, count: int) -> None:
    for _dummy in range(count):
        host.clock.at += 3600
        listening(host, 8)


def specs(host: Host) -> set[str]:
    return {container.spec for container in host.world.running()}


def test_the_tag_is_pulled_once_a_day(host: Host) -> None:
    assert host.world.images.pulls == []
    hours(host, 24)
    assert host.world.images.pulls == [TAG]
    hours(host, 72)
    assert host.world.images.pulls == [TAG] * 4
    assert host.world.file_images == {TAG: OLD}
    assert specs(host) == {"spec-1"}, "nothing moves if the tag means what it meant"


def test_a_restart_does_not_pull_again(host: Host) -> None:
    hours(host, 24)
    for _dummy in range(5):
        host.crash()
        listening(host, 5)
    assert host.world.images.pulls == [TAG]


def test_idle_slots_move_at_once_busy_ones_after_their_job_and_the_old_image_goes(host: Host) -> None:
    world = host.world
    busy = host.of("runner-2")
    world.take_job(busy, "build")
    world.images.registry[TAG] = NEW
    world.images.used = {OLD}
    hours(host, 24)
    assert world.file_images == {TAG: NEW}
    assert {c.slot: c.spec for c in world.running()} == {
        "runner-1": f"spec of {NEW}",
        "runner-2": "spec-1",
        "runner-3": f"spec of {NEW}",
    }
    assert busy.status.value == "running"
    assert world.images.discarded == []
    world.end_job(busy)
    world.images.used = {NEW}
    listening(host, 100)
    assert specs(host) == {f"spec of {NEW}"}
    assert set(host.state().values()) == {"idle"}
    assert world.images.discarded == [OLD]
    assert world.killed_busy == []


def test_a_pull_that_fails_leaves_the_old_one_working_says_so_and_is_tried_again(host: Host) -> None:
    world = host.world
    hours(host, 24)
    world.images.pulls.clear()
    world.images.error = "unauthorized: no basic auth credentials"
    hours(host, 48)
    assert 6 <= len(world.images.pulls) <= 14, "sooner than after a day, and less and less soon"
    assert specs(host) == {"spec-1"}
    status = host.supervisor.current_status().as_json()
    (line,) = [line for line in upkeep(status) if line.startswith("Warning")]
    assert f"image {TAG}: not updated since 20" in line
    assert "no basic auth credentials" in line
    world.images.error = ""
    hours(host, 8)
    status = host.supervisor.current_status().as_json()
    assert not status["warnings"]
    assert f"Image {TAG}: up to date as of" in "\n".join(upkeep(status))


def test_an_image_of_no_registry_is_never_pulled_and_its_tag_is_followed(host: Host) -> None:
    world = host.world
    world.images.here = {TAG: "sha256:old"}
    world.file_images = {TAG: "sha256:old"}
    hours(host, 25)
    assert world.images.pulls == []
    assert not host.supervisor.status.warnings
    assert "it came from no registry" in host.supervisor.status.images[0].error
    world.images.here = {TAG: "sha256:new"}
    hours(host, 24)
    assert world.file_images == {TAG: "sha256:new"}


def test_a_person_can_have_it_now(host: Host) -> None:
    host.world.images.registry[TAG] = NEW
    host.supervisor.update()
    assert host.supervisor._updates.status(host.world.definition())[0].updating
    listening(host, 40)
    assert host.world.images.pulls == [TAG]
    assert specs(host) == {f"spec of {NEW}"}
    assert not host.supervisor.status.images[0].updating


def test_what_a_playbook_wrote_meanwhile_is_put_right(host: Host) -> None:
    """The playbook read the tag before runnerd pulled it, and wrote the Compose file after."""
    host.world.images.here[TAG] = host.world.images.registry[TAG] = NEW
    host.supervisor.update()
    listening(host, 3)
    host.world.file_images[TAG] = OLD
    listening(host, 3)
    assert host.world.file_images == {TAG: NEW}


def test_a_version_that_github_refuses_makes_it_look_for_a_newer_image_but_not_each_time(host: Host) -> None:
    world = host.world
    for _dummy in range(4):
        world.die(host.of("runner-1"), 7)
        listening(host, 30)
    assert world.images.pulls == [TAG]


def test_no_tag_no_pull(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.online()
    hours(host, 48)
    host.supervisor.update()
    listening(host, 3)
    assert host.world.images.pulls == []
    assert host.supervisor.status.images == ()
    assert len(host.world.running()) == len(SLOTS)


FILE = f"""services:
  # slot runner-1 begin
  runner-1:
    image: {OLD} # follows {TAG}
    environment:
      image: {OLD}
  # slot runner-1 end
  big-1:
    image: {OLD}
  other-1:
    image: x@sha256:1   # follows x:1
"""


def test_the_images_of_a_file() -> None:
    assert images(FILE) == (frozenset({OLD, "x@sha256:1"}), {TAG: frozenset({OLD}), "x:1": frozenset({"x@sha256:1"})})


def test_only_what_follows_the_tag_is_moved() -> None:
    moved = with_image(FILE, TAG, NEW)
    assert moved == FILE.replace(f"{OLD} # follows", f"{NEW} # follows")
    assert with_image(moved, TAG, OLD) == FILE
    assert with_image(FILE, "y:1", NEW) == FILE


def test_a_moved_image_gets_a_volume_of_its_own() -> None:
    """The text is the playbook's: a runner never meets the Node.js of another image."""
    key = runner_shares({"image": TAG, "environment": {}, "work_folder": "_work", "volumes": []}, None)["key"]
    other = declaration("externals-0123456789ab", OLD)
    before = f"{FILE}volumes:\n{declaration(key, OLD)}{other}"
    assert with_image(before, TAG, NEW) == f"{with_image(FILE, TAG, NEW)}volumes:\n{declaration(key, NEW)}{other}"


def test_due_within_the_day_is_spread(host: Host) -> None:
    """Not at the moment of the first look, and not later than a day after it."""
    begun = host.clock.wall()
    while not host.world.images.pulls:
        host.rounds(1, 60)
    assert 0 < host.clock.wall() - begun <= DAY + 60


@pytest.mark.parametrize("ends", [True, False])
def test_an_image_whose_runners_never_come_online_is_pulled_anew(host: Host, ends: bool) -> None:
    """Its program `ends` at once, or does nothing. Whoever has pushed a broken image will push another one."""
    host.world.file_images = {TAG: NEW}
    host.world.images.here = host.world.images.registry = {TAG: NEW}
    for container in host.world.running():
        host.world.take_away(container)

    def minutes(count: int) -> None:
        for _dummy in range(2 * count):
            if ends:
                for container in host.world.running():
                    host.world.die(container, 1)
            host.rounds(1, step=30)

    minutes(50)
    assert host.world.images.pulls == [TAG]
    minutes(8 * 60 - 50)
    assert 3 <= len(host.world.images.pulls) <= 5, "less and less often: something else may be to blame"


def test_a_docker_that_cannot_tell_of_an_image_is_not_asked_in_each_round(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flight that ends wakes the loop: nothing that failed may be due again at once. And it is not forgotten."""
    asked = []

    def fails(image: str) -> str:
        asked.append(image)
        raise ImageError("Docker does not answer")

    host.world.images.here = {TAG: NEW}
    with monkeypatch.context() as patch:
        patch.setattr(host.world.images, "reference", fails)
        host.world.file_images = {TAG: "sha256:what somebody wrote"}
        host.rounds(100, step=0.01)
        assert len(asked) == 1
        host.rounds(60, step=1)
        assert 3 <= len(asked) <= 6
    host.rounds(20, step=1)
    assert host.world.file_images == {TAG: NEW}
