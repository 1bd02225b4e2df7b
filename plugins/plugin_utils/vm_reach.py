# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a VM is reached, and by which host key it is known. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import PREFIX
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_world import (
    Answer,
    Read,
    answer,
    host_key_path,
    interfaces_path,
)

#: The line that says of which machine the keys below it are: a VM that was made anew has another UUID.
_MACHINE = "# machine "
_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[a-z0-9@.-]+) ([A-Za-z0-9+/=]{40,})")


def address(told: Answer, vm: Mapping[str, Any]) -> str:
    """The IPv4 address of a VM by what its guest agent answered; empty if it has none yet.

    Args:
        told: Answer to `interfaces_path`.
        vm: Its part of a plan, whose ``network`` names the hardware address; Docker's bridges have others.
    """
    interfaces = told.data.get("result") if told.good and isinstance(told.data, Mapping) else None
    if not isinstance(interfaces, list):
        return ""
    found = vm_config.addresses(interfaces, vm["network"].get("macaddr", ""))
    return found[0] if found else ""


def running(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The VMs of a plan that can be hosts. One whose node tells nothing of it may run, so it counts as running.

    Returns:
        ``vms`` (their parts of the plan) and ``off`` (lines of the others that are there).
    """
    found = [vm for vm in plan["vms"] if vm["status"] not in ("absent", "stopped")]
    off = [
        f"{vm['name']} ({vm['vmid']} on {vm['node']}): off, so that no job runs on it"
        for vm in plan["vms"]
        if vm["status"] == "stopped"
    ]
    return {"vms": found, "off": off}


def addresses(plan: Mapping[str, Any], read: Read | None = None, check: bool = False) -> dict[str, Any]:
    """All VMs with their addresses: the configured one, or what the agent told.

    Args:
        plan: With VMs that run.
        read: Of ``paths``, if they were asked.
        check: They were asked once, in check mode: one that tells nothing may do so later, so that is no problem but
            a note, and that VM is no host.

    Returns:
        ``paths`` (of the agents that are to be asked), ``waiting`` (the VMs of these that have no address yet),
        ``hosts`` (each with ``name``, ``address``, ``user``, ``vmid``, ``node``, ``uuid``, ``key_path``, where the
        agent tells its host key, and ``problem``, why it cannot be used, or empty), ``lines`` (of an inventory, for
        those that can), ``problems`` and ``notes``.
    """
    paths, waiting, hosts, notes = [], [], [], []
    seen: dict[str, dict[str, Any]] = {}
    for vm in plan["vms"]:
        own = vm["wanted"]
        where = f"{vm['name']} ({vm['vmid']} on {vm.get('node')})"
        found, problem = str(own["address"]).partition("/")[0], ""
        if found == "dhcp":
            paths.append(interfaces_path(vm))
            told = answer(read or {}, paths[-1])
            found = address(told, vm)
            if not found:
                waiting.append(vm["name"])
                problem = (
                    f"{where}: its guest agent tells no address: {told.reason or 'none so far'}. Do: see that the "
                    f"image has qemu-guest-agent and the network a DHCP server (qm terminal {vm['vmid']}), raise "
                    f"{PREFIX}address_timeout, or give {PREFIX}address"
                )
                if check:
                    notes.append(
                        f"{problem} (--check has asked once; a run asks until {PREFIX}address_timeout is over)"
                    )
                    continue
        elif "ipconfig0" in vm.get("reboot", []) and "ipconfig0" not in vm["changes"]:
            problem = (
                f"{where}: it has the address {found} after its next start only, which writes the cloud-init drive. "
                f"Do: when no job runs on it, qm reboot {vm['vmid']}, and run this again"
            )
        host = {key: vm.get(key) for key in ("name", "vmid", "node", "uuid")}
        host |= {"address": found, "user": own["user"], "key_path": host_key_path(vm), "problem": problem}
        if found in seen and not problem:
            host["problem"] = (
                f"{where}: it has the address {found}, as {seen[found]['name']} has. Do: empty /etc/machine-id in the "
                f"template {own['template']} (truncate -s 0), since DHCP knows machines by it, and make these VMs anew"
            )
            seen[found]["problem"] = seen[found]["problem"] or host["problem"]  # either may be who answers there
        elif not problem:
            seen[found] = host
        hosts.append(host)
    lines = [
        f"{host['name']} ansible_host={host['address']}" + (f" ansible_user={host['user']}" if host["user"] else "")
        for host in hosts
        if not host["problem"]
    ]
    problems = list(dict.fromkeys(host["problem"] for host in hosts if host["problem"]))
    return {
        "paths": paths,
        "waiting": waiting,
        "hosts": hosts,
        "problems": problems,
        "lines": lines,
        "notes": notes,
    }


def marker(vmid: int) -> str:
    """What stands around the keys that we recorded, as ``ansible.builtin.blockinfile`` has it."""
    return f"# {{mark}} ephemeral.github_runners VM {vmid}"


def _recorded(text: str, vmid: int) -> list[str]:
    """The lines between our markers."""
    begin, end = (marker(vmid).replace("{mark}", word) for word in ("BEGIN", "END"))
    inside: list[str] = []
    now = False
    for line in text.splitlines():
        if line.strip() in (begin, end):
            now = line.strip() == begin
        elif now:
            inside.append(line)
    return inside


def host_key(
    host: Mapping[str, Any],
    read: Read,
    scanned: Mapping[str, Any] | None = None,
    text: str = "",
    others: str = "",
) -> dict[str, Any]:
    """The key to record for a VM, from its agent, or else from whoever answers at its address.

    An agent's word is good for the key of now: a VM may have another since it was recorded (cloud-init makes new ones
    where a setting on its drive has changed). Without it a key is good that we recorded of this very machine there.

    Args:
        host: One of `addresses`.
        read: Of the host's ``key_path``.
        scanned: Result of ``ssh-keyscan``.
        text: The ``known_hosts`` file.
        others: What ``ssh-keygen -F`` found there of the address, hashed names included.

    Returns:
        ``recorded`` (nothing is to be done), ``block`` (to record; empty if there is no key), ``from_agent``,
        ``why_not`` (the agent's reason) and ``problem`` (another key stands in the file, which we did not record; or
        there is none to be had).
    """
    told = answer(read, host["key_path"])
    content = str(told.data.get("content", "")) if told.good and isinstance(told.data, Mapping) else ""
    key = _KEY.search(content)
    from_agent = key is not None
    for line in str((scanned or {}).get("stdout", "")).splitlines() if key is None else []:
        key = key or (None if line.startswith("#") else _KEY.search(line))
    inside = _recorded(text, host["vmid"])
    machine = f"{_MACHINE}{host['uuid']}"
    result = {"from_agent": from_agent, "why_not": "" if from_agent else told.reason}
    if key is None:
        recorded = machine in inside and any(line.startswith(f"{host['address']} ") for line in inside)
        problem = (
            f"{host['name']}: no host key to be had at {host['address']}. "
            f"Do: look at its sshd (qm terminal {host['vmid']})"
        )
        return {"recorded": recorded, "block": "", "problem": problem} | result
    block = [machine, f"{host['address']} {key[1]} {key[2]}"]
    ours = {match[0] for each in inside if (match := _KEY.search(each))}
    foreign = {match[0] for each in others.splitlines() if not each.startswith("#") and (match := _KEY.search(each))}
    strange = {each for each in foreign - ours if each.split(" ")[0] == key[1] and each != key[0]}
    problem = (
        f"{host['name']}: known_hosts has another key for {host['address']}, which was not recorded by us. "
        f"Do: if that machine is gone, ssh-keygen -R {host['address']}, and run this again"
        if strange
        else ""
    )
    return {"recorded": inside == block, "block": "\n".join(block), "problem": problem} | result
