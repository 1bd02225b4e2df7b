# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way with a virtual machine whose kernel, cloud-init and guest agent are real: from a clone to a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.doubles.proxmox.server import Double
from tests.e2e.vms import DESTROY, SITE, Play, known_host, left, listed, said, slots
from tests.lab.lab import Lab
from tests.lab.qemu import QemuMachines

NAME, VMID = "gh-runner-01", 250
#: The processor is emulated: all takes several times as long as elsewhere, and less with fewer processes for each task.
SLOW = {"memory": "256m", "registration_timeout": 900, "online_timeout": 1200}
SSH = ("-e", "ansible_timeout=60", "-e", "ansible_pipelining=true")


@pytest.fixture
def machines(lab: Lab) -> QemuMachines:
    """Virtual machines."""
    return QemuMachines(lab)


@pytest.fixture
def vm_settings(lab: Lab) -> dict[str, Any]:
    """One that has room for an engine and a runner."""
    return {"vms": listed(lab, {NAME: VMID}), "cores": 2, "memory": 2048, "ssh_timeout": 900}


@pytest.mark.timeout(3600)
def test_from_a_clone_to_a_job_on_a_real_vm(
    lab: Lab, machines: QemuMachines, double: Double, play: Play, tmp_path: Path
) -> None:
    first = play(*SITE, *SSH, count=1, **SLOW)
    # The guest agent has told the key; nobody was taken at their word.
    assert "the host key is that of whoever answered" not in first.output
    assert known_host(lab, machines, VMID) in (tmp_path / "known_hosts").read_text()
    # Its exit code is 2: it would like `users:`, where Proxmox VE writes `user:`.
    assert machines.run(VMID, ["cloud-init", "status"], b"")[1] == "status: done\n"
    assert said(machines, VMID, "systemd-detect-virt --vm") == "qemu\n"
    assert said(machines, VMID, "hostname") == f"{NAME}\n"
    assert slots(machines, VMID) == ["idle"]

    job = lab.github.wait_job(lab.github.queue_job("uname --kernel-release", labels=[NAME]), seconds=600)
    assert job["result"] == "Succeeded" and job["runner_name"].startswith(f"{NAME}-runner-"), job
    assert "-cloud-amd64" in job["log"], "it did not run on the VM's kernel"

    play(*DESTROY, *SSH)
    assert [one["name"] for one in lab.github.runners() if one["name"].startswith(NAME)] == []
    assert str(VMID) not in double.admin.state()["vms"]
    assert left(lab) == []
