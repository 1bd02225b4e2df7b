# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Compose file as runnerd reads it: when it changes, when it cannot be read, and when it is tried again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runnerd.containers import ComposeProvider
from runnerd.project import DEFINITION_RETRY, Project
from runnerd.provider import Definition, ProviderError
from runnerd.settings import ComposeSettings
from tests.unit.runnerd.fakes import FakeClock

# As `docker compose config --hash '*'` answers: a line a service, or the parser's complaint. As `docker info` tells
# where Compose's own program is; that one is this same file.
DOCKER = """#!/bin/sh
[ "$1" = info ] && { cat "{folder}/where"; exit 0; }
echo "$0 $@" >>"{folder}/calls"
[ -e "{folder}/broken" ] && { echo "error during connect" >&2; exit 1; }
while IFS= read -r line; do
  case $line in
    *:) echo "${line%:} hash-of-${line%:}" ;;
    *) echo "time=now level=warning" >&2; echo "yaml: could not find expected ':'" >&2; exit 15 ;;
  esac
done <"{folder}/docker-compose.yml"
"""

WHOLE = "runner-1:\nrunner-2:\n"
HALF = "runner-1:\nrunn\n"


class Disk:
    """A Compose file, a `docker` that reads it, and the provider that runs that."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.file = folder / "docker-compose.yml"
        self.plugin("")
        self.program("docker")
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        self.clock = FakeClock()
        self.write(WHOLE)
        settings = ComposeSettings(file=self.file)
        self.provider = ComposeProvider(settings, self.clock)
        self.project = Project(settings, self.clock, timeout=10)

    def program(self, name: str) -> Path:
        """A `docker`, or Compose's own program."""
        program = self.folder / name
        program.write_text(DOCKER.replace("{folder}", str(self.folder)))
        program.chmod(0o755)
        return program

    def plugin(self, path: Path | str) -> None:
        """What `docker info` tells of it."""
        (self.folder / "where").write_text(f"{path}\n")

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def definition(self) -> Definition:
        return self.provider.definition()

    def create(self) -> None:
        """Make the first slot's container, as it is read before."""
        self.project.definition()
        self.project.create("runner-1")

    @property
    def calls(self) -> list[str]:
        """The programs that have read it, with the first word of each."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [f"{Path(line.split()[0]).name} {line.split()[1]}" for line in lines]

    @property
    def readings(self) -> int:
        return len(self.calls)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def test_it_is_read_when_it_changes_and_only_then(disk: Disk) -> None:
    for _each in range(3):
        assert disk.definition() == Definition({"runner-1": "hash-of-runner-1", "runner-2": "hash-of-runner-2"})
        disk.clock.at += DEFINITION_RETRY
    assert disk.readings == 1
    disk.write("runner-1:\n")
    assert disk.definition().hashes.keys() == {"runner-1"}
    assert disk.readings == 2


def test_half_a_file_is_an_error_until_the_other_half_is_there(disk: Disk) -> None:
    disk.definition()
    disk.write(HALF)
    assert "yaml: could not find expected ':'. Do: run the playbook again" in disk.definition().error
    assert disk.definition().hashes == {}
    disk.write(WHOLE)
    assert disk.definition() == Definition({"runner-1": "hash-of-runner-1", "runner-2": "hash-of-runner-2"})


def test_what_could_not_be_read_is_tried_again_though_the_file_did_not_change(disk: Disk) -> None:
    (disk.folder / "broken").touch()
    for _each in range(5):
        assert "error during connect" in disk.definition().error
    assert disk.readings == 1, "not at each look"
    (disk.folder / "broken").unlink()
    disk.clock.at += DEFINITION_RETRY - 1
    assert disk.definition().error
    disk.clock.at += 1
    assert disk.definition() == Definition({"runner-1": "hash-of-runner-1", "runner-2": "hash-of-runner-2"})


def test_a_file_that_is_gone_is_an_error_and_then_back(disk: Disk) -> None:
    whole = disk.definition()
    disk.file.rename(disk.folder / "away")
    assert "docker-compose.yml: No such file or directory" in disk.definition().error
    (disk.folder / "away").rename(disk.file)
    assert disk.definition() == whole


def test_containers_are_made_by_composes_own_program_where_docker_tells_of_one(disk: Disk) -> None:
    disk.plugin(disk.program("docker-compose"))
    for _each in range(2):
        disk.create()
    assert disk.calls == ["docker compose", "docker-compose --ansi", "docker-compose --ansi"]


@pytest.mark.parametrize("told", ["", "a banner\n/usr/bin/true", "docker-compose", "/not/there"])
def test_what_is_no_program_is_not_called(disk: Disk, told: str) -> None:
    disk.plugin(told)
    disk.create()
    assert disk.calls == ["docker compose", "docker compose"]


def test_a_compose_that_an_upgrade_took_elsewhere_is_found_again(disk: Disk) -> None:
    before = disk.program("before")
    disk.plugin(before)
    disk.create()
    disk.plugin(before.rename(disk.folder / "after"))
    disk.create()
    disk.write("runner-1:\n")
    disk.create()
    assert disk.calls == ["docker compose", "before --ansi", *2 * ["docker compose"], "after --ansi"]


def test_a_compose_that_can_do_nothing_without_the_cli_is_left_alone(disk: Disk) -> None:
    alone = disk.program("alone")
    alone.write_text(f"#!/bin/sh\necho alone --ansi >>{disk.folder}/calls\nexit 1\n")
    disk.plugin(alone)
    for _each in range(2):
        disk.create()
    assert disk.calls == ["docker compose", "alone --ansi", *2 * ["docker compose"]]


def test_what_compose_refuses_with_the_cli_and_without_is_told(disk: Disk) -> None:
    disk.plugin(disk.program("docker-compose"))
    disk.project.definition()
    (disk.folder / "broken").touch()
    with pytest.raises(ProviderError, match="error during connect"):
        disk.create()
    (disk.folder / "broken").unlink()
    disk.create()
    made = ["docker-compose --ansi", "docker compose", "docker-compose --ansi"]
    assert disk.calls == ["docker compose", *made], "it is nothing that its own program could not do"


def test_a_docker_that_does_not_tell_is_not_waited_for(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One plugin that hangs is enough."""
    monkeypatch.setattr("runnerd.project.WHERE_TIMEOUT", 0.2)
    (disk.folder / "where").unlink()
    os.mkfifo(disk.folder / "where")
    disk.create()
    assert disk.calls == ["docker compose", "docker compose"]
