# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of Proxmox VE, and which of its hosts is asked. Pure: answers in, paths and lines for a person out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_world
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import PREFIX


def host(read: vm_world.Read, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The API host to use: the first that has answered.

    Args:
        read: Result of asking all hosts by the module ``proxmox_api_info``.
        wanted: See the filter ``proxmox_vm_wanted``.

    Returns:
        ``host``, ``problems`` and ``notes`` (hosts that did not answer).
    """
    lines = []
    for each in read.get("refused", []):
        line = f"{PREFIX}api_hosts = {each['host']}: {each['reason']}"
        if each["status"] == 401:
            token = f"{wanted['api']['user']}!{wanted['api']['token_id']}"
            line = (
                f"{PREFIX}api_token_id = {wanted['api']['token_id']}: {each['host']} refuses the token {token} "
                f"({each['reason']}). "
                f"Do: compare with `pveum user token list {wanted['api']['user']}`, and set {PREFIX}api_token_secret"
            )
        elif re.search(r"mismatch, certificate is not valid for|doesn't match", line):
            line += ". Do: write the node as its certificate names it (pvenode cert info tells how)"
        elif re.search("key usage extension|Authority Key Identifier", line):
            line += (
                ". Do: give the nodes a certificate by today's rules, which Python 3.13 and newer want: that of ACME, "
                "or of an own authority made anew (README of the role)"
            )
        elif "certificate verify failed" in line.lower():
            line += f". Do: set {PREFIX}ca_file to a copy of the cluster's /etc/pve/pve-root-ca.pem"
        elif "timed out" in line:
            line += (
                f". Do: see that it is on and reached from here, raise {PREFIX}api_timeout, or name another node of "
                "the cluster too"
            )
        else:
            line += ". Do: see that it is on and reached from here, or name another node of the cluster too"
        lines.append(line)
    if "host" in read:
        return {"host": read["host"], "problems": [], "notes": lines}
    return {"host": "", "problems": lines or [str(read.get("msg", "not asked"))], "notes": []}


def cloning(read: vm_world.Read) -> bool:
    """Whether an answer tells of a clone that is under way: a VM's configuration, or a node's tasks."""
    told = [each.data for each in vm_world.answers([read]).values()]
    tasks = [each for data in told if isinstance(data, list) for each in data]
    return any(each.get("type") == "qmclone" and not each.get("endtime") for each in tasks) or any(
        isinstance(data, Mapping) and data.get("lock") == "clone" for data in told
    )


def questions(wanted: Mapping[str, Any], read: vm_world.Read | None = None) -> list[str]:
    """What to ask the API: first of the cluster; with the answers to that, of the VMs and their templates."""
    if read is None:
        return list(vm_world.CLUSTER)
    seen = vm_world.world([read])
    found: list[str] = []
    for vm in wanted["vms"]:
        there = seen.vms.get(vm["vmid"])
        if there is not None and there.get("type") == "qemu":
            found += [vm_world.config_path(there), vm_world.status_path(there)]
            found += [vm_world.pending_path(there), vm_world.cloud_init_path(there)]
        elif there is None:
            up = seen.nodes.get(vm["node"], {}).get("status") == "online"
            for template in seen.find_template(vm["template"]):
                found += _of_a_clone(vm, template, seen.vms[template]["node"], vm["node"] if up else "")
            found.append(vm_world.RESOURCES)
    return _resources_last(found)


def _of_a_clone(vm: Mapping[str, Any], template: int, home: str, target: str) -> list[str]:
    """What to ask for a VM that is not seen, and may be one that is being cloned: it is there when that is done."""
    found = [vm_world.clones_path(home, template), vm_world.config_path({"node": home, "vmid": template})]
    for node in dict.fromkeys([home, target]):
        if node:
            own = {"node": node, "vmid": vm["vmid"]}
            found += [vm_world.config_path(own), vm_world.status_path(own)]
    return found


def _resources_last(paths: list[str]) -> list[str]:
    """Each path once, and last what tells which VMs there are: what is in it then has been asked for as it is."""
    return sorted(dict.fromkeys(paths), key=lambda path: path == vm_world.RESOURCES)


def again(plan: Mapping[str, Any]) -> list[str]:
    """What to ask when something was done: the VMs of a plan, on whichever node they are by now, and all there is."""
    found = [vm_world.RESOURCES]
    for act in plan["vms"]:
        if "create" in act["actions"]:
            found += _of_a_clone(act, act["template"], act["home"], act["node"])
        elif node := act.get("node"):
            vm = {"node": node, "vmid": act["vmid"]}
            found += [vm_world.config_path(vm), vm_world.status_path(vm)]
            if act.get("status") == "running":  # nothing is pending for one that is off
                found += [vm_world.pending_path(vm), vm_world.cloud_init_path(vm)]
    return _resources_last(found)
