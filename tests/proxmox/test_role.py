# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm from nothing to a VM that runs, and back."""

from __future__ import annotations

from .conftest import OWNER, Rig

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst one@host"


def test_a_vm_comes_and_a_second_run_changes_nothing(rig: Rig) -> None:
    """Traps: duplicate clone, the template's VMID, an update that is always a change, encoded keys, 20480M and 20G."""
    template = rig.vms()["9999"]
    options = {
        "cores": 2,
        "memory": 2048,
        "disk_size": "20480M",
        "ssh_keys": [KEY],
        "user": "admin",
        "tags": ["b", "A"],
    }
    said = rig.ok(**options)
    assert "HOST gh-runner-01 192.0.2.100" in said.text
    writes = rig.writes()
    assert [each.split("/")[-1] for each in writes] == ["clone", "config", "resize", "start"], writes
    config = rig.config()
    assert (config["name"], config["cores"], config["tags"]) == ("gh-runner-01", 2, f"a;b;{OWNER}")
    assert config["scsi0"].endswith("size=20G")
    assert rig.vms()["250"]["running"]

    said = rig.ok(**options)
    assert (said.changed, rig.writes()) == (0, [])
    assert rig.config() == config
    assert sorted(rig.vms()) == ["250", "9999"]
    assert rig.vms()["9999"] == template
