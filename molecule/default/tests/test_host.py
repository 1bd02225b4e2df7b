# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host after `deploy`: what a person would look at."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import yaml
from testinfra.host import Host

from tests.gates.scenario import COUNT, lab_of
from tests.lab.github import GitHub

UNITS = ("runnerd.service", "github-docker-runners.service")
#: Where the Engine comes from, by the distribution's code name.
ENGINES = {"bookworm": "docker-ce", "trixie": "docker.io"}


@pytest.fixture(scope="module")
def status(host: Host) -> dict[str, Any]:
    """What runnerd says of itself."""
    return dict(json.loads(host.check_output("runnerd status --json")))


@pytest.fixture(scope="module")
def github() -> GitHub:
    """The scenario's GitHub."""
    return lab_of(os.environ["MOLECULE_SCENARIO_NAME"]).github


@pytest.mark.parametrize("unit", UNITS)
def test_unit_runs_and_starts_at_boot(host: Host, unit: str) -> None:
    service = host.service(unit)
    assert service.is_running
    assert service.is_enabled
    assert host.run(f"systemd-analyze verify {unit}").rc == 0


def test_units_have_not_been_restarted(host: Host) -> None:
    assert host.check_output("systemctl show --property NRestarts --value runnerd.service") == "0"


def test_every_slot_is_idle_and_online(status: dict[str, Any]) -> None:
    assert [slot["slot"] for slot in status["slots"]] == [f"runner-{n + 1}" for n in range(COUNT)]
    assert {slot["state"] for slot in status["slots"]} == {"idle"}
    assert all(slot["online"] for slot in status["slots"])
    assert status["gates"] == []


@pytest.mark.parametrize(
    ("path", "user", "mode"),
    [
        ("/opt/github-runners/docker-compose.yml", "github-runner", 0o644),
        ("/etc/runnerd/settings.json", "root", 0o644),
        ("/etc/runnerd/credentials.json", "root", 0o600),
    ],
)
def test_file_belongs_to_the_right_one(host: Host, path: str, user: str, mode: int) -> None:
    file = host.file(path)
    assert (file.user, file.mode) == (user, mode)


def test_control_socket_is_roots_own(host: Host) -> None:
    socket = host.file("/run/runnerd/control.sock")
    assert socket.is_socket
    assert socket.user == "root"
    assert socket.mode & 0o077 == 0 or host.file("/run/runnerd").mode & 0o077 == 0


def test_owner_of_the_files_is_the_documented_one(host: Host) -> None:
    user = host.user("github-runner")
    assert (user.uid, user.gid) == (1100, 1100)


def test_containers_are_those_of_the_compose_file(host: Host, status: dict[str, Any]) -> None:
    services = yaml.safe_load(host.file("/opt/github-runners/docker-compose.yml").content_string)["services"]
    assert {service["container_name"] for service in services.values()} == {
        f"github-runner-{n + 1}" for n in range(COUNT)
    }
    running = host.check_output("docker ps --no-trunc --format json").splitlines()
    found = {(one["ID"], one["Names"]) for one in map(json.loads, running)}
    assert found == {(slot["container"], f"github-{slot['slot']}") for slot in status["slots"]}


def test_nothing_complains(host: Host) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
    assert host.check_output("journalctl --quiet --unit runnerd.service --priority warning --output cat") == ""


def test_engine_is_the_systems_own_choice(host: Host) -> None:
    wanted = ENGINES[host.system_info.codename]
    assert {name: host.package(name).is_installed for name in ENGINES.values()} == {
        name: name == wanted for name in ENGINES.values()
    }
    assert host.file("/etc/apt/sources.list.d/docker.sources").exists == (wanted == "docker-ce")
    assert host.check_output("ls -A /etc/apt/preferences.d") == ""


def test_containers_outlive_a_restart_of_the_engine_that_we_installed(host: Host) -> None:
    assert json.loads(host.check_output("docker info --format '{{json .LiveRestoreEnabled}}'")) is True


def test_a_job_runs(host: Host, github: GitHub) -> None:
    name = str(host.backend.get_hostname())
    job = github.wait_job(github.queue_job("echo hello from a job", labels=["self-hosted", name]))
    assert job["result"] == "Succeeded" and "hello from a job" in job["log"], job
    assert job["runner_name"].startswith(f"{name}-runner-")
