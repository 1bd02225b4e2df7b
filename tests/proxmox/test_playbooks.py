# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks for VMs, with the variable names of the homelab playbooks; check mode shows what they take."""

from __future__ import annotations

import json
import os
import sys

import pytest

from .conftest import EITHER_MAJOR, OWNER, SECRET, TOKEN, USER, Rig, Said

#: As in the homelab playbooks, but for a size that the double's node has.
SEED: dict[str, object] = {
    "runner_vm_id": 250,
    "runner_vm_cores": 2,
    "runner_vm_memory_mb": 2048,
    "runner_vm_ip": "192.0.2.250",
}


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
    (rig.folder / "proxmox.yml").write_text(json.dumps({**told, **more}))


@EITHER_MAJOR
@pytest.mark.parametrize("playbook", ["provision", "destroy"])
def test_the_old_names_are_taken(rig: Rig, playbook: str) -> None:
    if playbook == "destroy":
        config = {"name": "ephemeral-github-runners-unfinished"}
        rig.double.admin.define(vms={"250": {"config": config}}, pools={"runners": {"vms": [250]}})
    tell(rig, **SEED)
    said = rig.play(f"ephemeral.github_runners.{playbook}", "--check", "-e", "@proxmox.yml")
    assert said.code == 0, said.text
    for words in {
        "provision": ("(250 on pve): create + update + start", "memory: 1024 -> 2048", "none -> ip=192.0.2.250/24"),
        "destroy": ("(250 on pve): destroy",),
    }[playbook]:
        assert words in said.text
    assert rig.writes() == []


@EITHER_MAJOR
def test_old_and_new_names_may_not_differ(rig: Rig) -> None:
    tell(rig, **SEED, proxmox_runner_vm_vmid=251)
    said = rig.play("ephemeral.github_runners.destroy", "--check", "-e", "@proxmox.yml")
    assert "proxmox_runner_vm_vmid = 251: runner_vm_id says 250. Do: keep" in said.problems()


#: The playbook and, after it, what the runners' playbook would be given.
THEN = """
- import_playbook: ephemeral.github_runners.provision
- hosts: github_runners
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: HOST {{ inventory_hostname }} {{ ansible_host | default('-') }} {{ mark }}
"""


def stand_ins(rig: Rig) -> dict[str, str]:
    """Write an inventory in which this machine stands for VMs; an environment in which Docker and systemd know of no
    runner. While there is a file `broken`, Docker does not answer."""
    this = f"ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}"
    nowhere = "ansible_ssh_common_args='-o ProxyCommand=false'"
    lines = [f"runner-a {this}", f"runner-b {nowhere}", f"runner-d {this}", "[github_runners]", f"metal {this}"]
    (rig.folder / "inventory.ini").write_text("\n".join(lines) + "\n")
    (rig.folder / "group_vars").mkdir()
    (rig.folder / "group_vars" / "github_runners.yml").write_text("mark: of-the-group\n")
    (rig.folder / "then.yml").write_text(THEN)
    programs = {
        "docker": f"test ! -e {rig.folder}/broken || {{ echo cannot connect >&2; exit 1; }}",
        "systemctl": "echo LoadState=not-found",
    }
    (rig.folder / "bin").mkdir()
    for name, does in programs.items():
        program = rig.folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    return {"PATH": f"{rig.folder}/bin:{os.environ['PATH']}"}


@pytest.mark.parametrize("major", [2])
@pytest.mark.timeout(1200)
def test_one_vm_of_several_stops_no_other_and_none_goes_before_its_runners(rig: Rig) -> None:
    environ = stand_ins(rig)
    vms = [
        {"name": "runner-a", "vmid": 250, "address": "192.0.2.50/24"},
        {"name": "runner-b", "vmid": 251},
        {"name": "runner-d", "vmid": 253, "address": "127.0.0.9/8"},
    ]

    def play(name: str, *words: str, **more: object) -> Said:
        told = {"vms": vms, "cores": 1, "memory": 512, "full_clone": False, "address_timeout": 3, "ssh_timeout": 1}
        told |= {"shutdown_timeout": 3, "known_hosts_file": str(rig.folder / "known_hosts"), **more}
        own = {f"proxmox_runner_vm_{option}": value for option, value in told.items()}
        tell(rig, **own)
        return rig.play(name, "-i", "inventory.ini", "-e", "@proxmox.yml", *words, environ=environ)

    # One has no address, since its agent is silent. The run goes on with the others, and ends red.
    rig.double.admin.define(vms={"9999": {"image": {"agent_after": 3600}}})
    said = play("then.yml", wait=False)
    assert "runner-b (251 on pve): its guest agent tells no address" in said.problems()
    for host in ("runner-a 192.0.2.50", "runner-d 127.0.0.9", "metal metal"):
        assert f"HOST {host} of-the-group" in said.text
    assert "HOST runner-b" not in said.text

    # One does not answer SSH; --limit means no other VM.
    rig.writes()
    said = play("then.yml", "--limit", "localhost,runner-d,metal")
    assert "runner-d (253 on pve): no SSH at 127.0.0.9 after 1 s. Do: look at its console" in said.problems()
    assert "HOST metal" in said.text
    assert "HOST runner" not in said.text and "(250 on pve)" not in said.text
    assert rig.writes() == []

    # Docker does not answer on two, one cannot be reached, and one is off: nothing is destroyed.
    vms[1]["address"] = "192.0.2.51/24"
    vms.append({"name": "runner-c", "vmid": 252})
    off = {"config": {"name": "runner-c", "tags": OWNER}}
    rig.double.admin.define(vms={"252": off}, pools={"runners": {"vms": [252]}})
    (rig.folder / "broken").touch()
    said = play("ephemeral.github_runners.destroy")
    for name in ("runner-a (250", "runner-b (251", "runner-d (253"):
        assert f"{name} on pve): it runs, and its runners were not drained. Do:" in said.problems()
    assert "docker ps = cannot connect: Docker does not answer" in said.text
    assert "runner-c (252 on pve): off" in said.text
    assert rig.writes() == []

    # To be given up all the same: these two, and no other.
    now = ("-e", "github_docker_runners_remove_now=true", "--limit", "localhost,runner-b,runner-d")
    said = play("ephemeral.github_runners.destroy", *now)
    assert said.code == 0, said.text
    assert sorted(rig.vms()) == ["250", "252", "9999"]

    (rig.folder / "broken").unlink()
    rig.writes()
    said = play("ephemeral.github_runners.destroy", "--check")
    assert said.code == 0, said.text
    assert "runner-a (250 on pve): destroy" in said.text and "runner-c (252 on pve): destroy" in said.text
    assert rig.writes() == []
    said = play("ephemeral.github_runners.destroy")
    assert said.code == 0, said.text
    assert sorted(rig.vms()) == ["9999"]
    rig.writes()
    said = play("ephemeral.github_runners.destroy")
    assert "none of these VMs is there" in said.text
    assert (said.code, said.changed, rig.writes()) == (0, 0, []), said.text
