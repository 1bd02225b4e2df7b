# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role proxmox_runner_vm is to ask, to do and to say.

Pure: variables and answers in, a plan and lines for a person out. No line or plan shows the token's secret. The parts
are in ``plugins/plugin_utils/vm_*.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_absent, vm_reach, vm_seed, vm_world
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import PREFIX, wanted
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_plan import left_over, plan

Results = Sequence[Mapping[str, Any]]


def _world(hosts: Results, results: Results) -> vm_world.World:
    found = vm_world.answers(results)
    told = [vm_world.answer(result) for result in hosts]
    good = [each for each in told if each.good]
    return vm_world.world({**found, **({vm_world.VERSION: good[0]} if good else {})})


def proxmox_vm_host(hosts: Results, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The API host to use: the first that has answered.

    Args:
        hosts: Results of asking each host for ``/version``, in the order in which they are wanted.
        wanted: See the filter ``proxmox_vm_wanted``.

    Returns:
        ``host``, ``url`` (of the API), ``problems`` and ``notes`` (hosts that did not answer).
    """
    port = wanted["api"]["port"]
    problems: list[str] = []
    notes: list[str] = []
    for result in hosts:
        name, answer = str(result["item"]), vm_world.answer(result)
        if answer.good:
            return {"host": name, "url": url_of(name, port), "problems": [], "notes": notes}
        line = f"{PREFIX}api_hosts = {name}: {answer.reason or 'no answer'}"
        if answer.status == 401:
            token = f"{wanted['api']['user']}!{wanted['api']['token_id']}"
            line = (
                f"{PREFIX}api_token_id = {wanted['api']['token_id']}: {name} refuses the token {token} "
                f"({answer.reason}). "
                f"Do: compare with `pveum user token list {wanted['api']['user']}`, and set {PREFIX}api_token_secret"
            )
        elif "CERTIFICATE_VERIFY_FAILED" in line or "certificate verify failed" in line.lower():
            line += f". Do: set {PREFIX}ca_file to a copy of the cluster's /etc/pve/pve-root-ca.pem"
        else:
            line += ". Do: see that it is on and reached from here, or name another node of the cluster too"
        notes.append(line)
        problems.append(line)
    return {"host": "", "url": "", "problems": problems, "notes": []}


def url_of(host: str, port: int) -> str:
    """The address of the API on a host."""
    plain = host.strip("[]")
    return f"https://{f'[{plain}]' if ':' in plain else plain}:{port}/api2/json"


def proxmox_vm_url(host: str, wanted: Mapping[str, Any]) -> str:
    """The address of the API on a host."""
    return url_of(host, wanted["api"]["port"])


def proxmox_vm_cloning(result: Mapping[str, Any]) -> bool:
    """Whether an answer tells of a clone that is under way: a VM's configuration, or the tasks of the nodes."""
    data = vm_world.answer(result).data
    if isinstance(data, list):
        return any(each.get("type") == "qmclone" and not each.get("endtime") for each in data)
    return isinstance(data, Mapping) and data.get("lock") == "clone"


def proxmox_vm_questions(wanted: Mapping[str, Any], results: Results | None = None) -> list[str]:
    """What to ask the API: first of the cluster; with the answers to that, of the VMs and their templates."""
    if results is None:
        return list(vm_world.CLUSTER)
    seen = _world([], results)
    found: list[str] = []
    for vm in wanted["vms"]:
        there = seen.vms.get(vm["vmid"])
        if there is not None and there.get("type") == "qemu":
            found += [vm_world.config_path(there), vm_world.pending_path(there), vm_world.status_path(there)]
        elif there is None:
            found += [vm_world.config_path(seen.vms[vmid]) for vmid in seen.find_template(vm["template"])]
    return list(dict.fromkeys(found))


def proxmox_vm_again(plan: Mapping[str, Any]) -> list[str]:
    """What to ask when something was done: the VMs of a plan, on whichever node they are by now, and all there is."""
    found = [vm_world.TASKS]
    for act in plan["vms"]:
        for node in dict.fromkeys([act.get("home"), act.get("node")]):
            if node:
                vm = {"node": node, "vmid": act["vmid"]}
                found += [vm_world.config_path(vm), vm_world.status_path(vm)]
                if act.get("status") == "running":  # nothing is pending for one that is off
                    found.append(vm_world.pending_path(vm))
    return [*found, vm_world.RESOURCES]


def proxmox_vm_plan(wanted: Mapping[str, Any], hosts: Results, results: Results) -> dict[str, Any]:
    """The plan for all VMs, see `plan` in ``plugin_utils/vm_plan.py``."""
    return plan(wanted, _world(hosts, results))


def proxmox_vm_leave(wanted: Mapping[str, Any], hosts: Results, results: Results) -> dict[str, Any]:
    """What is to be destroyed, see ``plugin_utils/vm_absent.py``."""
    return vm_absent.leave(wanted, _world(hosts, results))


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {
            "proxmox_vm_wanted": wanted,
            "proxmox_vm_host": proxmox_vm_host,
            "proxmox_vm_url": proxmox_vm_url,
            "proxmox_vm_cloning": proxmox_vm_cloning,
            "proxmox_vm_questions": proxmox_vm_questions,
            "proxmox_vm_again": proxmox_vm_again,
            "proxmox_vm_plan": proxmox_vm_plan,
            "proxmox_vm_left": left_over,
            "proxmox_vm_leave": proxmox_vm_leave,
            "proxmox_vm_address": vm_reach.address,
            "proxmox_vm_addresses": vm_reach.addresses,
            "proxmox_vm_known": vm_reach.known,
            "proxmox_vm_key": vm_reach.host_key,
            "proxmox_vm_seed": vm_seed.seed,
        }
