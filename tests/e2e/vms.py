# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests ask of virtual machines that a playbook has made, whatever it is that boots."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.lab.lab import VM, Lab
from tests.lab.project import Result
from tests.lab.proxmox import ContainerMachines

#: Runs a playbook: its name, options, the exit code `ends`, and variables of the group by their names without prefix.
Play = Callable[..., Result]
SITE = ("site", "-i", "inventory.ini", "-e", "@proxmox.yml")
DESTROY = ("destroy", *SITE[1:])


def listed(lab: Lab, vms: Mapping[str, int]) -> list[dict[str, Any]]:
    """`proxmox_runner_vm_vms`, from VMIDs by name. The VMID is the last number of the address, too."""
    prefix = lab.subnet().prefixlen
    return [{"name": name, "vmid": vmid, "address": f"{lab.subnet()[vmid]}/{prefix}"} for name, vmid in vms.items()]


def known_host(lab: Lab, machines: ContainerMachines, vmid: int) -> str:
    """The line of `known_hosts` for a machine, by its own word."""
    told = machines.read(vmid, "/etc/ssh/ssh_host_ed25519_key.pub").decode()
    return f"{lab.subnet()[vmid]} {' '.join(told.split()[:2])}\n"


def said(machines: ContainerMachines, vmid: int, command: str) -> str:
    """What a command says that ends well."""
    rc, out, err = machines.run(vmid, command.split(), b"")
    assert rc == 0, (command, rc, out, err)
    return out


def slots(machines: ContainerMachines, vmid: int) -> list[str]:
    """The states of a host's slots."""
    return [slot["state"] for slot in json.loads(machines.run(vmid, ["runnerd", "status", "--json"], b"")[1])["slots"]]


def left(lab: Lab) -> list[str]:
    """What the engine still has of virtual machines."""
    there = [*lab.client.containers.list(all=True), *lab.client.volumes.list()]
    return [str(one.name) for one in there if str(one.name).startswith(f"{lab.prefix}-{VM}")]
