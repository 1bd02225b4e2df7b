# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm with machines that boot, as a user has it: from nothing to jobs, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.role import documented, without
from tests.doubles.proxmox.server import Double
from tests.e2e.vms import DESTROY, SITE, Play, known_host, left, listed, slots
from tests.lab.keys import ssh_key
from tests.lab.lab import GITHUB_NAME, Lab
from tests.lab.proxmox import LabMachines

VMS = {"gh-runner-01": 250, "gh-runner-02": 251}


@pytest.fixture
def machines(lab: Lab) -> LabMachines:
    """Machines that boot."""
    return LabMachines(lab)


@pytest.fixture
def vm_settings(lab: Lab) -> dict[str, Any]:
    """Two small ones."""
    return {"vms": listed(lab, VMS), "cores": 1, "memory": 512, "ssh_timeout": 60}


@pytest.mark.timeout(1800)
def test_from_nothing_to_runners_and_back(
    lab: Lab, machines: LabMachines, double: Double, play: Play, tmp_path: Path
) -> None:
    address = str(lab.subnet()[250])
    known_hosts = tmp_path / "known_hosts"
    key = " ".join(ssh_key(tmp_path / "another").split()[:2])
    others = f"# mine\nexample.org {key}\n"
    # A VM of this VMID was there before, at the same address.
    block = "# {} ephemeral.github_runners VM 250\n"
    known_hosts.write_text(f"{others}{block.format('BEGIN')}# machine a\n{address} {key}\n{block.format('END')}")

    play(*SITE)
    recorded = known_host(lab, machines, 250)
    known = known_hosts.read_text()
    assert known.startswith(others)
    assert recorded in known
    assert f"{address} {key}" not in known
    for name, vmid in VMS.items():
        for command, said in {
            "hostname": f"{name}\n",
            "cloud-init status": "status: done\n",
            "systemctl is-active package-lock": "inactive\n",
        }.items():
            assert machines.run(vmid, command.split(), b"")[1] == said
        assert machines.run(vmid, ["getent", "hosts", GITHUB_NAME], b"")[0] == 0
        assert slots(machines, vmid) == ["idle"] * 3
        job = lab.github.wait_job(lab.github.queue_job("echo hello", labels=[name]))
        assert job["result"] == "Succeeded" and job["runner_name"].startswith(f"{name}-runner-"), job

    assert play(*SITE).changed == 0

    # The same machine with other keys, as cloud-init makes them when a drive has changed: its agent's word is enough.
    anew = "rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh"
    assert machines.run(250, ["sh", "-c", anew], b"")[0] == 0
    assert play("provision", "-e", "@proxmox.yml").changed == 1
    assert recorded not in known_hosts.read_text()
    recorded = known_host(lab, machines, 250)
    assert recorded in known_hosts.read_text()

    # Somebody who has not recorded the keys, and may not read files by the agent: on trust, and said. No other change.
    double.admin.access(**without(documented(9), "GitHubRunners", "VM.GuestAgent.FileRead"))
    known_hosts.write_text(others)
    again = play("provision", "-e", "@proxmox.yml")
    assert "the host key is that of whoever answered" in again.output
    assert recorded in known_hosts.read_text()
    assert again.changed == 2

    # One is down: the other gets what was asked for, and the run says which one did not.
    assert machines.run(251, ["systemctl", "stop", "ssh.socket", "ssh.service"], b"")[0] == 0
    broken = play(*SITE, "-e", "proxmox_runner_vm_ssh_timeout=5", ends=2, count=2)
    assert "gh-runner-02 (251 on pve): no SSH at" in broken.output
    assert (broken.hosts["gh-runner-01"].failed, broken.hosts["gh-runner-02"].failed) == (0, 1), broken.hosts
    lab.github.wait_runners(lambda found: len(ours(found)) == 5)
    assert (slots(machines, 250), slots(machines, 251)) == (["idle"] * 2, ["idle"] * 3)
    assert machines.run(251, ["systemctl", "start", "ssh.service"], b"")[0] == 0
    limited = play(*SITE, "--limit", "localhost,gh-runner-02")
    assert limited.hosts.keys() == {"localhost", "gh-runner-02"}
    lab.github.wait_runners(lambda found: len(ours(found)) == 4)
    assert slots(machines, 251) == ["idle"] * 2

    play(*DESTROY)
    assert ours(lab.github.runners()) == []
    assert known_hosts.read_text() == others
    assert not {"250", "251"} & double.admin.state()["vms"].keys()
    assert left(lab) == []


def ours(found: list[dict[str, Any]]) -> list[str]:
    """The runners of these VMs; the lab may have others."""
    return [one["name"] for one in found if one["name"].startswith(tuple(VMS))]
