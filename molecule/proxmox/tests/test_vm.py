# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The VM after `site`: what a person would look at."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from testinfra.host import Host

from tests.gates.scenario import COUNT, VMID, lab_of
from tests.lab.github import GitHub
from tests.lab.pve import ProxmoxVE


@pytest.fixture(scope="module")
def github() -> GitHub:
    """The scenario's GitHub."""
    return lab_of(os.environ["MOLECULE_SCENARIO_NAME"]).github


@pytest.fixture(scope="module")
def vm() -> dict[str, Any]:
    """The VM, as Proxmox VE has it."""
    found = ProxmoxVE(lab_of(os.environ["MOLECULE_SCENARIO_NAME"]).prefix).admin().vm(VMID)
    assert found is not None
    return found


def test_it_is_the_one_that_was_asked_for(host: Host, vm: dict[str, Any]) -> None:
    assert vm["running"] and vm["pool"] == "runners"
    assert vm["config"]["name"] == host.backend.get_hostname() == host.check_output("hostname")
    assert str(vm["config"]["memory"]) == "2048"
    assert "ephemeral-github-runners" in vm["config"]["tags"].split(";")


def test_cloud_init_has_come_to_its_end(host: Host) -> None:
    # Its exit code is 2 where it was not content with something, as a container's hardware gives it cause to be.
    assert host.run("cloud-init status").stdout == "status: done\n"


def test_every_slot_is_idle_and_online(host: Host) -> None:
    slots = json.loads(host.check_output("runnerd status --json"))["slots"]
    assert [(slot["state"], slot["online"]) for slot in slots] == [("idle", True)] * COUNT


def test_a_job_runs(host: Host, github: GitHub) -> None:
    job = github.wait_job(github.queue_job("echo hello from a job", labels=["self-hosted", "ephemeral"]))
    assert job["result"] == "Succeeded" and "hello from a job" in job["log"], job
    assert job["runner_name"].startswith(f"{host.backend.get_hostname()}-runner-")
