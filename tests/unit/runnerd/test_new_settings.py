# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings and a Compose file that change under the supervisor: what is in force, and when."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from tests.unit.runnerd.host import SLOTS, Host


def test_a_slot_wanted_on_the_disk_stays_in_the_file(host: Host) -> None:
    host.online()
    host.want(["runner-1", "runner-2"])
    host.supervisor.reload()
    host.want(SLOTS)  # the playbook has written, and not yet told us
    host.rounds(40)
    assert host.world.released == []


def test_settings_are_taken_whole_though_the_disk_is_full(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked is told of the disk; but what is in force is not half of one settings file and half of another."""

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    host.want(SLOTS[:1])
    host.supervisor.reload()
    host.rounds(40)
    host.want(SLOTS)
    host.world.hashes = dict.fromkeys(SLOTS, host.world.hashes["runner-1"])
    with monkeypatch.context() as patch, pytest.raises(sqlite3.OperationalError):
        patch.setattr(host.journal, "try_gates_again", full)
        host.supervisor.reload()
    host.rounds(40)
    assert {c.slot for c in host.world.running()} == set(SLOTS)


def test_a_changed_definition_replaces_idle_runners_and_waits_for_busy_ones(host: Host) -> None:
    host.online()
    busy = host.of("runner-1")
    host.world.take_job(busy, "build")
    host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
    host.rounds(40)
    assert host.of("runner-1") is busy
    assert host.of("runner-2").spec == "spec-2"
    host.world.end_job(busy)
    host.rounds(4)
    assert host.of("runner-1").spec == "spec-2"
    assert host.world.killed_busy == []


def test_a_runner_of_a_new_definition_has_the_labels_that_came_with_it(host: Host) -> None:
    """The playbook writes the settings, then the Compose file, and reloads at its end, if it gets there."""
    host.online()
    host.labels = ["new"]
    host.want(SLOTS)
    host.rounds(40)
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("self-hosted",)}
    host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
    host.rounds(40)
    assert {container.spec for container in host.world.running()} == {"spec-2"}
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("new",)}


def test_two_changes_that_come_to_nothing_between_two_rounds(host: Host) -> None:
    """Of the first one runnerd is told, of the second not; the Compose file is as the last round had it."""
    before = host.labels
    host.online()
    host.world.containers.pop(host.of("runner-1").id)
    host.labels = ["other"]
    host.want(SLOTS)
    host.supervisor.reload()
    host.labels = before
    host.want(SLOTS)
    host.rounds(20)
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {tuple(before)}


def test_what_only_a_start_takes_in_waits_for_the_reload(host: Host) -> None:
    """A restart in the middle of the play would be in the way of its reload."""
    restarts: list[str] = []
    host.supervisor.restart_wanted = lambda: restarts.append("now")
    host.online()
    host.want(["runner-1"], boot=77)
    host.world.hashes = {"runner-1": "spec-2"}
    host.rounds(40)
    assert [slot.slot for slot in host.supervisor.status.slots] == ["runner-1"]
    assert restarts == []
    assert host.supervisor.reload() is True
    assert restarts == ["now"]


def test_with_settings_that_cannot_be_read_a_new_definition_goes_by_the_old_ones(host: Host) -> None:
    host.online()
    host.file.write_text("{")
    host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
    host.rounds(40)
    assert {container.spec for container in host.world.running()} == {"spec-2"}
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("self-hosted",)}


def test_a_compose_file_that_changes_while_a_slot_is_filled(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made of the new file by the old settings does not stay."""

    def written(slot: str) -> str:
        host.labels = ["new"]
        host.want(SLOTS)
        host.world.hashes = dict.fromkeys(SLOTS, "spec-2")
        monkeypatch.undo()
        return host.world.create(slot)

    monkeypatch.setattr(host.world, "create", written)
    host.recovers(within=80)
    assert {container.spec for container in host.world.running()} == {"spec-2"}
    assert {tuple(runner.labels) for runner in host.world.registered.values()} == {("new",)}


def test_a_compose_file_that_cannot_be_read_drains_nobody_and_is_shown(host: Host) -> None:
    host.online()
    before = dict(host.world.containers)
    host.world.bad_file = "yaml: line 3: could not find expected ':'"
    host.world.take_job(host.of("runner-1"), "build")
    host.rounds(100)
    assert host.world.containers == before
    assert not any(slot.leaving for slot in host.supervisor.status.slots)
    assert host.supervisor.status.definition == host.world.bad_file
    # Nor is anything made by it; the reason is shown where the slot is.
    host.world.end_job(host.of("runner-1"))
    host.rounds(20)
    assert {c.slot for c in host.world.containers.values()} == {"runner-2", "runner-3"}
    slot = host.supervisor.status.slots[0]
    assert (slot.state, slot.reason) == ("backing off", host.world.bad_file)
    host.world.bad_file = ""
    host.recovers(within=310)
    assert {host.of(name).id for name in ("runner-2", "runner-3")} < before.keys()


def test_the_status_tells_of_what_was_asked_once_the_answer_is_given(host: Host) -> None:
    stopping = threading.Event()
    loop = threading.Thread(target=host.supervisor.run, args=(stopping, lambda: None))
    loop.start()
    try:
        for wanted in (["runner-1"], SLOTS, ["runner-1", "runner-2"]):
            host.want(wanted)
            host.supervisor.reload()
            host.supervisor.see_through()
            assert [slot.slot for slot in host.supervisor.status.slots if slot.wanted] == wanted
    finally:
        stopping.set()
        host.supervisor.wake()
        loop.join()


def test_after_a_reload_what_was_refused_is_tried_at_once(host: Host) -> None:
    host.world.github = errors.Unauthorized("register", message="Bad credentials", status=401)
    host.rounds(2000)
    assert set(host.state().values()) == {"backing off"}
    host.world.github = None
    host.supervisor.reload()
    host.recovers(within=10)
    assert set(host.state().values()) == {"idle"}
