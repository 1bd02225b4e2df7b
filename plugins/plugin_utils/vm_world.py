# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Proxmox VE's API was asked and has answered. Pure: results of the module ``proxmox_api_info``, *reads*, in; the
world out.

Proxmox VE says what is wrong in the HTTP reason phrase, and shows a token without privileges empty lists, with 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import OWNER, UNFINISHED

RESOURCES = "/cluster/resources"
STATUS = "/cluster/status"
PERMISSIONS = "/access/permissions"
#: What is asked first; what these say tells what to ask next.
CLUSTER = (RESOURCES, STATUS, PERMISSIONS)


@dataclass
class Answer:
    """One answer; `status` is -1 if nobody answered."""

    status: int
    data: Any
    reason: str

    @property
    def good(self) -> bool:
        return self.status == 200


#: One result of the module.
Read = Mapping[str, Any]


def answers(reads: Iterable[Read]) -> dict[str, Answer]:
    """Answers by what was asked, the path; a later one takes the place of an earlier one.

    If nobody answered a later read, what an earlier one told of the resources is no longer known.
    """
    found: dict[str, Answer] = {}
    for read in reads:
        if "answers" not in read:
            found[RESOURCES] = Answer(-1, None, str(read.get("msg", "not asked")))
        for each in read.get("answers", []):
            found[str(each["path"])] = Answer(int(each["status"] or -1), each["data"], str(each["reason"]).strip())
    return found


def answer(read: Read, path: str) -> Answer:
    """The answer to a path in one read."""
    return answers([read]).get(path) or Answer(-1, None, str(read.get("msg", "")))


@dataclass
class World:
    """What the API tells of a cluster; what it does not tell is empty or None."""

    version: tuple[int, int] = (0, 0)
    vms: dict[int, dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    storages: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    pools: set[str] = field(default_factory=set)
    quorate: bool = True
    permissions: dict[str, dict[str, Any]] | None = None
    answers: dict[str, Answer] = field(default_factory=dict)

    def config(self, vmid: int) -> dict[str, Any] | None:
        """A VM's configuration with its pending changes; None if it could not be read."""
        vm = self.vms.get(vmid)
        found = self.answers.get(config_path(vm)) if vm else None
        if found is None or not found.good or not isinstance(found.data, Mapping):
            return None
        return dict(found.data)

    def pending(self, vmid: int) -> list[str]:
        """The options whose change waits for the VM's next start; those of cloud-init are told by themselves."""
        vm = self.vms.get(vmid)
        found = [self.answers.get(path(vm)) for path in (pending_path, cloud_init_path)] if vm else []
        told = [each for answer in found if answer is not None and answer.good for each in answer.data or []]
        return sorted({each["key"] for each in told if "pending" in each or "delete" in each})

    def find_template(self, template: str) -> list[int]:
        """The VMIDs of what is called so: a VMID, or every template with that name."""
        if template.isdigit():
            return [int(template)] if int(template) in self.vms else []
        return sorted(
            vmid for vmid, vm in self.vms.items() if vm.get("name") == template and vm_config.yes(vm.get("template"))
        )


def config_path(vm: Mapping[str, Any]) -> str:
    """Where a VM's configuration is."""
    return f"/nodes/{vm['node']}/qemu/{vm['vmid']}/config"


def pending_path(vm: Mapping[str, Any]) -> str:
    """Where a VM's configuration is with what waits for its next start."""
    return f"/nodes/{vm['node']}/qemu/{vm['vmid']}/pending"


def cloud_init_path(vm: Mapping[str, Any]) -> str:
    """Where cloud-init's options are with what its drive does not have yet; it is written at the next start."""
    return f"/nodes/{vm['node']}/qemu/{vm['vmid']}/cloudinit"


def status_path(vm: Mapping[str, Any]) -> str:
    """Where it is told whether a VM runs; the list of all resources tells what its node has last told the others."""
    return f"/nodes/{vm['node']}/qemu/{vm['vmid']}/status/current"


def interfaces_path(vm: Mapping[str, Any]) -> str:
    """Where a VM's guest agent tells its addresses."""
    return f"/nodes/{vm['node']}/qemu/{vm['vmid']}/agent/network-get-interfaces"


def host_key_path(vm: Mapping[str, Any]) -> str:
    """Where a VM's guest agent tells its public host key."""
    return f"/nodes/{vm['node']}/qemu/{vm['vmid']}/agent/file-read?file=/etc/ssh/ssh_host_ed25519_key.pub"


def tasks_path(node: str, vmid: int, kind: str) -> str:
    """Where the last task of this kind is, as ``qmclone`` (of a template) or ``qmstart``."""
    return f"/nodes/{node}/tasks?vmid={vmid}&typefilter={kind}&limit=1&source=all"


def log_path(node: str, upid: str) -> str:
    """Where it is told what a task has written; one's own may be read without any privilege."""
    return f"/nodes/{node}/tasks/{upid}/log?limit=500"


def clones_path(node: str, template: int) -> str:
    """Where the clones of a template are told that are under way: one that goes into a pool is hidden until it is done
    from who is allowed there only. The tasks of the whole cluster, a token is not shown."""
    return f"/nodes/{node}/tasks?vmid={template}&typefilter=qmclone&source=active"


def world(reads: Iterable[Read]) -> World:
    """The world that these reads tell of, the newest last."""
    reads = list(reads)
    found = answers(reads)

    def data(path: str, kind: type) -> Any:
        answer = found.get(path)
        return answer.data if answer is not None and answer.good and isinstance(answer.data, kind) else kind()

    seen = World(answers=found)
    number = re.match(r"([0-9]+)\.([0-9]+)", next((str(read["version"]) for read in reads if "version" in read), ""))
    seen.version = (int(number[1]), int(number[2])) if number else (0, 0)
    for each in data(RESOURCES, list):
        kind = each.get("type")
        if kind in ("qemu", "lxc"):
            vm = {**each, "vmid": int(each["vmid"])}
            told = found.get(config_path(vm))
            if told is None or "does not exist" not in told.reason:  # gone since the list was made
                now = found.get(status_path(vm))
                if now is not None and now.good and isinstance(now.data, Mapping):
                    vm["status"] = now.data.get("status", vm.get("status"))
                seen.vms[vm["vmid"]] = vm
        elif kind == "node":
            seen.nodes[each["node"]] = each
        elif kind == "storage":
            seen.storages[each["node"], each["storage"]] = each
        elif kind == "pool":
            seen.pools.add(str(each.get("pool")))
    for each in data(STATUS, list):
        if each.get("type") == "cluster":
            seen.quorate = vm_config.yes(each.get("quorate", 1))
    if PERMISSIONS in found and found[PERMISSIONS].good:
        seen.permissions = data(PERMISSIONS, dict)
    return seen


def owned(vm: Mapping[str, Any], config: Mapping[str, Any] | None, wanted_pool: str = "") -> bool:
    """Whether a VM is ours: it has our tag, our word in its description, or the name that only we give; or it is in a
    pool that is said to be ours alone (`wanted_pool`)."""
    config = config or {}
    marks = vm_config.tags(vm.get("tags")) + vm_config.tags(config.get("tags"))
    return (
        OWNER in marks
        or OWNER in vm_config.description(config.get("description")).split()
        or unfinished(vm, config)
        or bool(wanted_pool and vm.get("pool") == wanted_pool)
    )


def unfinished(vm: Mapping[str, Any], config: Mapping[str, Any] | None) -> bool:
    """Whether a VM was cloned by us and not configured since."""
    return UNFINISHED in (vm.get("name"), (config or {}).get("name"))
