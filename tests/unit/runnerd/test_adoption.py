# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a runnerd does that finds containers without its journal's help, or with another's."""

from __future__ import annotations

from runnerd.model import Ghost
from tests.unit.runnerd.host import Host


def lose_the_journal(host: Host) -> None:
    host.journal.close()
    for file in (host.folder / "state").iterdir():
        file.unlink()


def test_a_lost_journal_adopts_what_runs_and_deletes_nothing(host: Host) -> None:
    host.online()
    host.world.take_job(host.of("runner-2"), "build")
    before = set(host.world.containers)
    lose_the_journal(host)
    host.start()
    host.rounds(20)
    assert set(host.world.containers) == before
    assert not [r for r in host.world.requests if r.startswith("DELETE")]
    # Its registration is found again by its name, so that it can still be drained.
    host.supervisor.drain(["runner-1"], "drain", None)
    host.rounds(40)
    assert "runner-1" not in {c.slot for c in host.world.containers.values()}
    assert host.world.killed_busy == []


def test_a_slot_without_journal_and_settings_leaves_all_the_same(host: Host) -> None:
    """Its container's labels tell the scope, and the end of its name the registration."""
    host.online()
    host.world.take_job(host.of("runner-2"), "build")
    lose_the_journal(host)
    host.want(["runner-1"])
    host.start()
    host.rounds(100)
    assert {c.slot for c in host.world.containers.values()} == {"runner-1", "runner-2"}, "the busy one stays"
    host.world.end_job(host.of("runner-2"))
    host.rounds(10)
    assert len(host.world.registered) == 1
    assert host.world.killed_busy == []


def test_a_runner_is_known_under_an_older_prefix(host: Host) -> None:
    host.online()
    before = set(host.world.containers)
    lose_the_journal(host)
    host.file.write_text(host.file.read_text().replace('"name_prefix": "host"', '"name_prefix": "renamed"'))
    host.start()
    host.rounds(20)
    assert set(host.world.containers) == before
    host.supervisor.drain([], "drain", None)
    host.rounds(100)
    assert host.world.containers == {}
    assert host.world.registered == {}


def test_a_slot_that_left_while_nobody_looked_leaves_the_compose_file(host: Host) -> None:
    host.online()
    host.want(["runner-1", "runner-2"])
    lose_the_journal(host)
    host.world.take_away(host.of("runner-3"))
    host.start()
    host.rounds(20)
    assert host.world.released == ["runner-3"]


def test_no_slot_leaves_the_compose_file_while_docker_is_silent(host: Host) -> None:
    """Its container may run, and its job's work folder would be removed with its block."""
    host.online()
    host.world.take_job(host.of("runner-3"), "job-1")
    host.want(["runner-1", "runner-2"])
    lose_the_journal(host)
    host.world.docker_up = False
    host.start()
    host.rounds(5)
    assert host.world.released == []
    host.world.docker_up = True
    host.rounds(5)
    assert host.world.released == []
    host.world.end_job(host.of("runner-3"))
    host.rounds(20)
    assert host.world.released == ["runner-3"]


def test_a_cloned_machine_begins_anew_and_deletes_nothing(host: Host) -> None:
    host.online()
    for container in host.world.running():
        host.world.die(container, 255)
    host.journal.close()
    registered = dict(host.world.registered)
    host.start("another machine")
    host.rounds(10)
    assert host.journal.set_aside is not None
    assert not [r for r in host.world.requests if r.startswith("DELETE")]
    assert registered.keys() <= host.world.registered.keys()


def test_what_was_begun_with_a_credential_that_is_gone_goes_on_with_its_scopes_other_one(host: Host) -> None:
    host.online()
    host.journal.haunt(Ghost("left", "acme", "default", None, 0.0, 9.0))
    host.journal.haunt(Ghost("elsewhere", "nobody", "default", None, 0.0, 9.0))
    host.journal.hand_over({"default"}, {"acme": "other"})
    assert {attempt.credential for attempt in host.journal.live()} == {"default"}, "it is still there"
    host.journal.hand_over({"other", "third"}, {"acme": "other"})
    assert {attempt.credential for attempt in host.journal.live()} == {"other"}
    assert {ghost.name: ghost.credential for ghost in host.journal.ghosts()} == {
        "left": "other",
        "elsewhere": "default",
    }
