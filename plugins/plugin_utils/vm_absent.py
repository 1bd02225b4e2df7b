# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs are to be destroyed, and what stands against it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_judge import (
    Place,
    is_locked,
    is_taken,
    judge_cluster,
    judge_host,
    lacking,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_rights import Need
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_world import World


def leave(wanted: Mapping[str, Any], world: World, drained: Collection[str] | None = None) -> dict[str, Any]:
    """What is to be destroyed.

    Args:
        wanted: The role's variables, judged.
        world: What there is.
        drained: The names of the VMs whose runners have finished, if that matters: no other one that runs may go.

    Returns:
        ``problems``, ``vms`` (those that are there and ours: ``vmid``, ``name``, ``node``, ``status``, ``running``) and
        ``lines`` (for a person).
    """
    problems: list[str] = []
    judge_host(world, problems)
    found = []
    for vm in wanted["vms"] if not problems else []:
        there = world.vms.get(vm["vmid"])
        if there is None:
            continue
        place = Place(vm, len(wanted["vms"]) > 1, problems)
        config = world.config(vm["vmid"])
        if is_taken(place, there, config, vm["pool"] if wanted["ownership"] == "pool" else ""):
            continue
        is_locked(place, there, config or {}, wanted["limits"]["clone"])
        managed = there.get("hastate")
        if managed and managed != "ignored":
            place.wrong("vmid", f"the VM is managed by HA ({managed})", f"`ha-manager remove vm:{vm['vmid']}`")
        if vm_config.yes((config or {}).get("protection", 0)):
            place.wrong(
                "vmid",
                "the VM is protected, so Proxmox VE does not remove it (a clone has that of its template)",
                f"`qm set {vm['vmid']} --protection 0`",
            )
        own = f"/vms/{vm['vmid']}"
        running = there.get("status") != "stopped"
        needed = ("VM.Allocate", *(["VM.PowerMgmt"] if running else []))
        problems += lacking([Need(own, (privilege,)) for privilege in needed], world)
        if running and drained is not None and vm["name"] not in drained:
            problems.append(
                f"{vm['name']} ({vm['vmid']} on {there['node']}): it runs, and its runners were not drained. "
                "Do: mend what the run says of it above, and run this again; or give up its jobs, by "
                "-e github_docker_runners_remove_now=true"
            )
        found.append(
            {
                "vmid": vm["vmid"],
                "name": vm["name"],
                "node": there["node"],
                "status": there.get("status", "unknown"),
                "running": running,
            }
        )
    judge_cluster(world, bool(found), problems)
    return {
        "problems": list(dict.fromkeys(problems)),
        "vms": found,
        "lines": [f"{vm['name']} ({vm['vmid']} on {vm['node']}): destroy" for vm in found],
    }
