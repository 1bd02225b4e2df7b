# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks for VMs, with the variable names of the homelab playbooks; check mode shows what they take."""

from __future__ import annotations

import json

import pytest

from .conftest import SECRET, TOKEN, USER, Rig

#: As in the homelab playbooks, but for a size that the double's node has.
SEED = {"runner_vm_id": 250, "runner_vm_cores": 2, "runner_vm_memory_mb": 2048, "runner_vm_ip": "192.0.2.250"}


def tell(rig: Rig, **more: object) -> None:
    """Write the variables file."""
    own = {
        "api_hosts": rig.double.host,
        "api_port": rig.double.port,
        "api_user": USER,
        "api_token_id": TOKEN,
        "api_token_secret": SECRET,
        "ca_file": str(rig.ca),
        "pool": "runners",
    }
    told = {f"proxmox_runner_vm_{name}": value for name, value in own.items()}
    (rig.folder / "proxmox.yml").write_text(json.dumps({**told, **SEED, **more}))


@pytest.mark.parametrize("playbook", ["provision", "destroy"])
def test_the_old_names_are_taken(rig: Rig, playbook: str) -> None:
    if playbook == "destroy":
        config = {"name": "ephemeral-github-runners-unfinished"}
        rig.double.admin.define(vms={"250": {"config": config}}, pools={"runners": {"vms": [250]}})
    tell(rig)
    said = rig.play(f"ephemeral.github_runners.{playbook}", "--check", "-e", "@proxmox.yml")
    assert said.code == 0, said.text
    for words in {
        "provision": ("(250 on pve): create + update + start", "memory: 1024 -> 2048", "none -> ip=192.0.2.250/24"),
        "destroy": ("(250 on pve): destroy",),
    }[playbook]:
        assert words in said.text
    assert rig.writes() == []


def test_old_and_new_names_may_not_differ(rig: Rig) -> None:
    tell(rig, proxmox_runner_vm_vmid=251)
    said = rig.play("ephemeral.github_runners.destroy", "--check", "-e", "@proxmox.yml")
    assert "proxmox_runner_vm_vmid = 251: runner_vm_id says 250. Do: keep" in said.problems()
