# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands against a plan for a VM: lines ``variable = value: why. Do: …``. Pure; nothing is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import OWNER, PREFIX, TEMPLATE_MARK
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_rights import (
    OPTION_PRIVILEGES,
    Need,
    agent_privileges,
    bridge_path,
    missing,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_world import (
    PERMISSIONS,
    RESOURCES,
    World,
    config_path,
    owned,
)

#: The oldest version of Proxmox VE that the role is tested with.
OLDEST = (8, 0)
#: Whose cloud images have no qemu-guest-agent, by where our templates' notes say that they are from.
_AGENTLESS = r"https?://(?:[a-z.-]+\.)?(?:debian\.org|ubuntu\.com)/.*"


class Place:
    """Where lines about one VM begin."""

    def __init__(self, vm: Mapping[str, Any], several: bool, problems: list[str]) -> None:
        self.where = f"{PREFIX}vms[{vm['name']}]." if several else PREFIX
        self.vm, self.problems = vm, problems

    def wrong(self, option: str, why: str, remedy: str) -> None:
        """Write down that `option` does not do."""
        value = self.vm.get(option)
        if option == "disk_size" and value:
            value = vm_config.size_text(value)
        text = value if isinstance(value, str) and value else json.dumps(value)
        self.problems.append(f"{self.where}{option} = {text}: {why}. Do: {remedy}")


def judge_resize(place: Place, vm: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the boot disk is to grow; None if it is not."""
    if vm["disk_size"] is None:
        return None
    bus = vm_config.boot_disk(config)
    if bus is None:
        place.wrong("disk_size", "the boot order names no disk", "set boot: order=… at Proxmox VE, or take this out")
        return None
    now = vm_config.size_bytes(vm_config.disks(config)[bus].get("size", ""))
    if now is None:
        place.wrong(
            "disk_size",
            f"Proxmox VE does not tell how large {bus} is",
            "rescan with `qm disk rescan`, or take this out",
        )
        return None
    if vm["disk_size"] < now:
        place.wrong(
            "disk_size",
            f"smaller than {bus} is, {vm_config.size_text(now)}, and a disk only grows",
            f"write {vm_config.size_text(now)} or more, or take it out",
        )
        return None
    if vm["disk_size"] == now:
        return None
    return {"disk": bus, "old": vm_config.size_text(now), "new": vm_config.size_text(vm["disk_size"])}


def judge_template(place: Place, vm: Mapping[str, Any], world: World) -> tuple[int | None, list[str]]:
    """The template's VMID if it may be cloned, and what a person should hear of it."""
    ids = world.find_template(vm["template"])
    if len(ids) != 1:
        why = "several templates have this name" if ids else "there is no such template, or the token may not see it"
        place.wrong("template", why, "write a template's VMID; the token needs VM.Audit and VM.Clone on /vms/VMID")
        return None, []
    vmid = ids[0]
    source = world.vms[vmid]
    if not vm_config.yes(source.get("template")) or source.get("type") != "qemu":
        place.wrong(
            "template", f"{source.get('name')} is no template", f"convert it with `qm template {vmid}`, or name another"
        )
        return None, []
    config = world.config(vmid)
    if config is None:
        answer = world.answers.get(config_path(source))
        place.wrong(
            "template", f"its configuration cannot be read: {answer.reason if answer else 'not asked'}", "look at that"
        )
        return None, []
    if not vm_config.has_cloud_init(config):
        place.wrong(
            "template",
            "it has no cloud-init drive, so user, keys and address would be ignored",
            f"add one with `qm set {vmid} --ide2 STORAGE:cloudinit`",
        )
    bus = vm_config.boot_disk(config)
    notes = []
    if bus is None:
        place.wrong("template", "its boot order names no disk", f"set it with `qm set {vmid} --boot order=scsi0`")
    elif bus.startswith(("ide", "sata")):
        notes.append(f"template {vmid}: the boot disk is {bus}, which is slow. Do: use scsi0 with virtio-scsi-single")
    elif bus.startswith("scsi") and not str(config.get("scsihw", "lsi")).startswith("virtio"):
        notes.append(
            f"template {vmid}: the controller of {bus} is {config.get('scsihw', 'lsi')}, for which the kernels of "
            f"cloud images may have no driver. Do: qm set {vmid} --scsihw virtio-scsi-single"
        )
    if int(config.get("sockets", 1)) > 1:
        notes.append(
            f"template {vmid}: it has {config['sockets']} sockets, so that a VM has that many times its cores. "
            f"Do: qm set {vmid} --sockets 1"
        )
    if not any(key.startswith("serial") for key in config):
        notes.append(
            f"template {vmid}: no serial console, which cloud images want. "
            f"Do: qm set {vmid} --serial0 socket --vga serial0"
        )
    if not vm_config.agent(config.get("agent")):
        notes.append(f"template {vmid}: the guest agent is off; it has to be installed in the image, too, to be asked")
    words = vm_config.description(config.get("description")).split()
    if vm.get("address") == "dhcp" and TEMPLATE_MARK in words and any(re.fullmatch(_AGENTLESS, word) for word in words):
        place.wrong(
            "address",
            f"the template {vmid} was made of a distribution's image, which has no guest agent to tell DHCP's address",
            f"write an address, as 192.168.1.250/24, and {PREFIX}gateway; or make a template with the agent (README of "
            "the role, The template by hand)",
        )
    if "net0" not in config and not vm["bridge"]:
        place.wrong("bridge", "not set, and the template has no network device", "write a bridge, such as vmbr0")
    return vmid, notes


def judge_node(place: Place, vm: Mapping[str, Any], node: str, world: World) -> None:
    there = world.nodes.get(node)
    option = "node" if vm["node"] else "template"
    if there is None:
        place.wrong("node", "no such node", f"write one of {', '.join(sorted(world.nodes)) or 'those of the cluster'}")
        return
    if there.get("status") not in (None, "online", "unknown"):
        place.wrong(option, f"the node {node} is {there['status']}", "start it, or wait for it")
        return
    total = int(there.get("maxmem") or 0) // 2**20
    if total and vm["memory"] > total:
        place.wrong("memory", f"the node {node} has {total} MiB", "write less, or take another node")
    cores = int(there.get("maxcpu") or 0)
    if cores and vm["cores"] > cores:
        place.wrong("cores", f"the node {node} has {cores}", f"write at most {cores}")


def judge_storages(place: Place, vm: Mapping[str, Any], source: int, node: str, world: World) -> list[str]:
    """The storages that a new VM takes space of, of those that are there; what is wrong with them is written down."""
    config = world.config(source) or {}
    names = [vm["storage"]] if vm["storage"] else vm_config.storages(config)
    option = "storage" if vm["storage"] else "template"
    for name in names:
        there = world.storages.get((node, name))
        if there is None:
            known = ", ".join(sorted(storage for on, storage in world.storages if on == node))
            place.wrong(
                option,
                f"there is no storage {name} on the node {node} that the token may see",
                f"write one that is there ({known or 'the token sees none'}), or give the token Datastore.Audit and "
                f"Datastore.AllocateSpace on /storage/{name}",
            )
        elif there.get("status") not in (None, "available"):
            place.wrong(option, f"the storage {name} is {there['status']}", "look at it at Proxmox VE")
        elif "content" in there and "images" not in str(there["content"]).split(","):
            place.wrong(option, f"the storage {name} takes no disks of VMs", "write one that has the content `images`")
    home = world.vms[source]["node"]
    if node != home:
        # Proxmox VE counts the cloud-init drive, too. What the token does not see is left to the API to refuse.
        local = [
            name
            for name in vm_config.storages(config, drives=True)
            if (home, name) in world.storages and not vm_config.yes(world.storages[home, name].get("shared", 0))
        ]
        if local:
            place.wrong(
                "node",
                f"the template's disks are on {', '.join(local)}, which only {home} has",
                f"write {home}, or use a template on shared storage",
            )
        there = world.storages.get((node, vm["storage"]))
        if there is not None and not (
            vm_config.yes(there.get("shared", 0)) and (home, vm["storage"]) in world.storages
        ):
            place.wrong(
                "storage",
                f"not shared by {home}, where the template is, and {node}, and a clone to another node takes that",
                "write one that both have, or leave it out",
            )
    return [name for name in names if (node, name) in world.storages]


def _needs(vm: Mapping[str, Any], act: Mapping[str, Any], storages: list[str], world: World) -> list[Need]:
    """The privileges that these actions need."""
    own, pool = f"/vms/{vm['vmid']}", f"/pool/{act['pool']}" if act["pool"] else ""
    needed = [Need(own, OPTION_PRIVILEGES[option], pool) for option in act["options"]]
    space = [Need(f"/storage/{name}", ("Datastore.AllocateSpace",)) for name in storages]
    if "create" in act["actions"]:
        needed += [Need(f"/vms/{act['template']}", ("VM.Clone",)), *space]
        needed += [Need(own, (privilege,), pool) for privilege in ("VM.Allocate", "VM.Audit")]
    if "create" in act["actions"] or "net0" in act["options"]:
        # To clone takes the bridges that the template has, too.
        source = (world.config(act["template"]) or {}) if "create" in act["actions"] else {}
        devices = [vm_config.network(value) for key, value in source.items() if re.fullmatch(r"net[0-9]+", key)]
        for device in [*devices, act["network"]]:
            # Other names may be those of networks in zones that are not told here; the API refuses these by itself.
            if world.version >= (8, 0) and re.fullmatch(r"vmbr[0-9]+", device.get("bridge", "")):
                needed.append(Need(bridge_path(device["bridge"], device.get("tag")), ("SDN.Use",)))
    if "resize" in act["actions"]:
        needed += [Need(own, ("VM.Config.Disk",), pool), *space]
    if "start" in act["actions"]:
        needed.append(Need(own, ("VM.PowerMgmt",), pool))
    if vm["address"] == "dhcp":
        needed.append(Need(own, agent_privileges(world.version), pool))
    return needed


def judge_host(world: World, problems: list[str]) -> None:
    """Whether the API is one that we know, and tells enough to plan by."""
    if (0, 0) < world.version < OLDEST:
        now = ".".join(map(str, world.version))
        problems.append(
            f"{PREFIX}api_hosts: Proxmox VE {now} is not supported, {OLDEST[0]} and 9 are. "
            "Do: update it (https://pve.proxmox.com/wiki/Upgrade_from_7_to_8), or name another cluster's hosts"
        )
    for path in (RESOURCES, PERMISSIONS):
        answer = world.answers.get(path)
        if answer is not None and not answer.good:
            problems.append(
                f"{PREFIX}api_hosts: {path} was answered with {answer.status} {answer.reason}. Do: look at that node"
            )
    if world.permissions == {}:
        problems.append(
            f"{PREFIX}api_token_id: the token has no privileges at all, so that all lists are empty. "
            "Do: give the token a role of its own (README of the role); with privilege separation it does not have "
            "those of its user"
        )


def is_taken(place: Place, there: Mapping[str, Any], config: Mapping[str, Any] | None, pool: str) -> bool:
    """Whether the VMID belongs to something that is not ours to touch."""
    vmid = place.vm["vmid"]
    config = config or {}
    if vm_config.yes(there.get("template")) or vm_config.yes(config.get("template")):  # the first may be old
        place.wrong("vmid", f"{there.get('name')} is a template", "write a VMID that is free")
    elif there.get("type") != "qemu":
        place.wrong("vmid", f"{there.get('name')} is a container", "write a VMID that is free")
    elif not owned(there, config, pool):
        lacks = f"is not in the pool {pool}" if pool else f"has no tag {OWNER}"
        tags = ",".join([*vm_config.words(config.get("tags")), OWNER])  # --tags sets all of them
        give = f"put it there: pveum pool modify {pool} --vms {vmid}" if pool else f"qm set {vmid} --tags {tags}"
        place.wrong(
            "vmid",
            f"{there.get('name')} on {there['node']} has it, and is not ours (it {lacks})",
            f"write a VMID that is free; or, to hand that VM over, {give}",
        )
    else:
        return False
    return True


def is_locked(place: Place, there: Mapping[str, Any], config: Mapping[str, Any], limit: int) -> bool:
    lock = config.get("lock") or there.get("lock")
    if lock == "clone":
        place.wrong(
            "vmid",
            f"it is still being cloned after {limit} s",
            f"raise {PREFIX}clone_timeout, and run this again: nothing is lost",
        )
    elif lock:
        place.wrong(
            "vmid",
            f"the VM is locked ({lock})",
            f"wait until that has ended; a lock that was left behind goes with `qm unlock {place.vm['vmid']}`",
        )
    return bool(lock)


def judge_powers(place: Place, there: Mapping[str, Any], act: Mapping[str, Any]) -> None:
    managed = there.get("hastate")
    if managed and managed != "ignored" and "start" in act["actions"]:
        vmid = act["vmid"]
        place.wrong(
            "vmid",
            f"the VM is managed by HA ({managed}), which decides when it runs",
            f"`ha-manager set vm:{vmid} --state started`, or `ha-manager remove vm:{vmid}`",
        )


def judge_privileges(
    place: Place, vm: Mapping[str, Any], act: Mapping[str, Any], storages: list[str], world: World
) -> None:
    """Whether the token may do what is planned."""
    place.problems += lacking(_needs(vm, act, storages, world), world)


def lacking(needed: list[Need], world: World) -> list[str]:
    """Lines for the privileges that are needed and not held; none if they could not be asked for."""
    if not world.permissions:  # empty is told by itself
        return []
    return [
        f"{PREFIX}api_token_id: the token lacks {', '.join(privileges)} on {path}. "
        f"Do: give it a role with that there (README of the role): pveum acl modify {path} --tokens … --roles …"
        for path, privileges in missing(world.permissions, needed).items()
    ]


def judge_cluster(world: World, busy: bool, problems: list[str]) -> None:
    """Whether the cluster can be changed, if there is anything to do."""
    if busy and not world.quorate:
        problems.append(
            f"{PREFIX}api_hosts: the cluster has lost its quorum, nothing can be changed. "
            "Do: bring its nodes back (pvecm status)"
        )
