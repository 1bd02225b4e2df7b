# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of a small cluster, as the module `proxmox_api_info` has them, and what a plan's writing makes of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_ask

Json = dict[str, Any]
DEFAULTS: Json = yaml.safe_load(
    (Path(__file__).parents[3] / "roles" / "proxmox_runner_vm" / "defaults" / "main.yml").read_text("utf-8")
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@home"
SECRET = "0a1b2c3d-secret-of-the-token"
PREFIX = "proxmox_runner_vm_"
NEEDED: Json = {
    f"{PREFIX}api_hosts": ["pve1.lan"],
    f"{PREFIX}api_user": "ansible@pve",
    f"{PREFIX}api_token_id": "runners",
    f"{PREFIX}api_token_secret": SECRET,
    f"{PREFIX}vmid": 250,
}
OWNER = "ephemeral-github-runners"
#: Where the clones of the template are asked for: a token is not shown its own tasks in those of the cluster.
CLONES = "/nodes/pve1/tasks?vmid=9999&typefilter=qmclone&source=active"
#: All that the role ever needs, where it needs it.
PRIVILEGES: dict[str, list[str]] = {
    "/vms/9999": ["VM.Audit", "VM.Clone"],
    "/vms/250": [
        *("VM.Allocate", "VM.Audit", "VM.PowerMgmt", "VM.GuestAgent.Audit"),
        *(f"VM.Config.{each}" for each in ("CPU", "Memory", "Disk", "Network", "Options")),
    ],
    "/storage/local-lvm": ["Datastore.AllocateSpace"],
    "/sdn/zones/localnetwork": ["SDN.Use"],
}
TEMPLATE: Json = {
    "name": "debian-13-cloud",
    "template": 1,
    "cores": 1,
    "memory": "1024",
    "cpu": "x86-64-v2-AES",
    "scsihw": "virtio-scsi-single",
    "scsi0": "local-lvm:base-9999-disk-0,discard=on,size=2252M",
    "ide2": "local-lvm:vm-9999-cloudinit,media=cdrom,size=4M",
    "boot": "order=scsi0",
    "net0": "virtio=BC:24:11:00:99:99,bridge=vmbr0",
    "agent": "enabled=1",
    "serial0": "socket",
    "tags": "template",
    "smbios1": "uuid=6c1ba1a5-9999-4c5a-9d3c-2f0e6f1f9999",
}


def variables(**options: Any) -> Json:
    """The role's variables, defaults included."""
    return {**DEFAULTS, **NEEDED, **{PREFIX + name: value for name, value in options.items()}}


class Cluster:
    """VMs by VMID, each a resource and a configuration in Proxmox VE's own form."""

    def __init__(self) -> None:
        self.version = "9.1.4"
        self.vms: dict[int, Json] = {}
        self.configs: dict[int, Json] = {}
        self.pending: dict[int, list[Json]] = {}
        self.undriven: dict[int, list[Json]] = {}  # what is not on the cloud-init drive
        self.nodes: dict[str, Json] = {"pve1": {"status": "online", "maxcpu": 16, "maxmem": 64 * 2**30}}
        self.storages: dict[tuple[str, str], Json] = {
            ("pve1", "local-lvm"): {"status": "available", "content": "images,rootdir", "shared": 0}
        }
        self.pools: list[str] = []
        self.quorate = 1
        self.permissions: Any = {
            path: dict.fromkeys(privileges, 1) for path, privileges in copy.deepcopy(PRIVILEGES).items()
        }
        self.add(9999, copy.deepcopy(TEMPLATE), template=1)

    def add(self, vmid: int, config: Json, node: str = "pve1", status: str = "stopped", **resource: Any) -> None:
        """Have a VM."""
        self.configs[vmid] = config
        self.vms[vmid] = {"node": node, "status": status, "type": "qemu", **resource}

    def get(self, path: str) -> Json:
        """The answer to a path."""
        data: Any = None
        parts = path.strip("/").split("/")
        if parts[2:] and parts[2].startswith("tasks?"):
            data = []
        elif path == "/cluster/resources":
            data = [
                {
                    "id": f"qemu/{vmid}",
                    "vmid": vmid,
                    "name": self.configs[vmid].get("name"),
                    "tags": self.configs[vmid].get("tags", ""),
                    "template": 0,
                    **vm,
                    "status": "unknown",  # it may be old there
                }
                for vmid, vm in self.vms.items()
            ]
            data += [{"type": "node", "node": name, **node} for name, node in self.nodes.items()]
            data += [
                {"type": "storage", "node": on, "storage": name, **each} for (on, name), each in self.storages.items()
            ]
            data += [{"type": "pool", "pool": pool} for pool in self.pools]
        elif path == "/cluster/status":
            data = [{"type": "cluster", "name": "home", "quorate": self.quorate}, {"type": "node", "name": "pve1"}]
        elif path == "/access/permissions":
            data = self.permissions
        elif parts[0] == "nodes" and parts[2] == "qemu":
            vmid = int(parts[3])
            if self.vms.get(vmid, {}).get("node") != parts[1]:
                reason = f"Configuration file 'nodes/{parts[1]}/qemu-server/{vmid}.conf' does not exist"
                return {"path": path, "status": 500, "reason": reason, "data": None}
            forms = {
                "config": self.configs[vmid],
                "pending": self.pending.get(vmid, []),
                "cloudinit": self.undriven.get(vmid, []),
                "status": dict(self.vms[vmid]),
            }
            data = forms[parts[4]]
        else:
            raise AssertionError(path)
        return {"path": path, "status": 200, "reason": "", "data": copy.deepcopy(data)}

    def read(self, paths: list[str]) -> Json:
        """What the module returns for these paths."""
        return {
            "host": "pve1.lan",
            "version": self.version,
            "refused": [],
            "answers": [self.get(each) for each in paths],
        }

    def plan(self, variables: Json, filter_name: str = "proxmox_vm_plan", *more: Any) -> Json:
        """What the role makes of it: it asks as the role does."""
        wanted = filters.wanted(variables)
        assert wanted["problems"] == []
        first = self.read(vm_ask.questions(wanted))
        reads = [first, self.read(vm_ask.questions(wanted, first))]
        found: Json = getattr(filters, filter_name)(wanted, reads, *more)
        assert SECRET not in repr(found)
        return found

    def run(self, variables: Json, until: str = "start") -> None:
        """A run of the role that ends after the action `until`: clones, looks again, and does the rest."""
        for last in ("create", until):
            plan = self.plan(variables)
            assert plan["problems"] == []
            self.do(plan, last)

    def do(self, plan: Json, until: str = "start") -> None:
        """Write what a plan says, and keep it as Proxmox VE does; up to and with the action `until`."""
        for act in plan["vms"]:
            vmid = act["vmid"]
            order = ["create", "update", "resize", "start"]
            for action in act["actions"]:
                if order.index(action) > order.index(until):
                    break
                if action == "create":
                    config = {**copy.deepcopy(self.configs[act["template"]]), "name": act["unfinished"]}
                    config.pop("template")
                    config["net0"] = config["net0"].replace("00:99:99", f"00:00:{vmid % 100:02d}")
                    config["smbios1"] = f"uuid=00000000-0000-4000-8000-{vmid:012d}"
                    self.add(vmid, config, node=act["node"], pool=act["wanted"]["pool"])
                elif action == "update":
                    self._set(vmid, act["options"])
                elif action == "resize":
                    bus = act["resize"]["disk"]
                    disk = self.configs[vmid][bus]
                    assert f"size={act['resize']['old']}" in disk
                    self.configs[vmid][bus] = disk.replace(
                        f"size={act['resize']['old']}", f"size={act['resize']['new']}"
                    )
                else:
                    self.vms[vmid]["status"] = "running"

    def _set(self, vmid: int, options: Json) -> None:
        forms = {
            "tags": lambda value: ";".join(sorted(value)),
            "sshkeys": lambda value: quote(value, safe=""),
            "nameserver": " ".join,
            "searchdomain": " ".join,
            "memory": str,
            "onboot": int,
            "description": lambda value: f"{value}\n",
        }
        for option, value in options.items():
            self.configs[vmid][option] = forms.get(option, lambda same: same)(value)


def two_nodes(cluster: Cluster) -> None:
    """Have a second node, like the first."""
    cluster.nodes["pve2"] = dict(cluster.nodes["pve1"])
    cluster.storages["pve2", "local-lvm"] = dict(cluster.storages["pve1", "local-lvm"])


def deployed(**options: Any) -> tuple[Cluster, Json]:
    """A cluster in which the VM of these options is there and runs."""
    cluster, told = Cluster(), variables(**options)
    cluster.run(told)
    return cluster, told


def actions(plan: Json) -> list[list[str]]:
    """What a plan does with each VM."""
    return [act["actions"] for act in plan["vms"]]


def someone(config: Json, **resource: Any) -> Callable[[Cluster], None]:
    """A change: the VMID is taken, by a clone with these options."""

    def change(cluster: Cluster) -> None:
        cluster.add(250, {**cluster.configs[9999], "template": 0, "name": "theirs", "tags": "", **config}, **resource)

    return change
