# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with each VM, and what stands against it. Pure: what is wanted and the world in, a plan out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_changes import AT_ONCE, changes_of
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_judge import (
    Place,
    is_locked,
    is_taken,
    judge_cluster,
    judge_host,
    judge_node,
    judge_powers,
    judge_privileges,
    judge_resize,
    judge_storages,
    judge_template,
    lacking,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import PREFIX, UNFINISHED
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_rights import Need, held
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_world import (
    Answer,
    Read,
    World,
    answers,
    config_path,
    log_path,
    tasks_path,
    unfinished,
)

_STILL = "it is still being cloned"
#: What to do about what only Proxmox VE itself could tell, by its words.
_REMEDIES = (
    (
        r"config file already exists|already exists on node",
        f"write another {PREFIX}vmid: a VM has it that the token may not see",
    ),
    (_STILL, f"raise {PREFIX}clone_timeout"),
    (r"timed out\. \(", f"raise {PREFIX}api_timeout, which community.proxmox 1.6 and newer heed"),
    (r"Reached timeout .*resizing", f"look at that task at Proxmox VE, or raise {PREFIX}resize_timeout"),
    (r"Reached timeout .*starting", f"look at that task at Proxmox VE, or raise {PREFIX}start_timeout"),
    (r"for modifying tag", f"allow that tag at Datacenter > Options, or set {PREFIX}ownership: description"),
    (r"Permission check failed", "give the token a role with that there (README of the role)"),
    (r"no quorum", "bring the cluster's nodes back (pvecm status)"),
    (r"Cannot allocate memory", f"write less {PREFIX}memory, or stop another VM of that node"),
    (r"Linked clone feature is not supported", f"set {PREFIX}full_clone: true, or use a template on another storage"),
    (r"VM is locked", "wait until that has ended (a lock that was left behind goes with qm unlock)"),
)


def plan_vm(vm: Mapping[str, Any], wanted: Mapping[str, Any], world: World, place: Place) -> dict[str, Any]:
    """The plan for one VM: see `plan`."""
    act: dict[str, Any] = {
        "vmid": vm["vmid"],
        "name": vm["name"],
        "status": "absent",
        "actions": [],
        "changes": {},
        "options": {},
        "resize": None,
        "reboot": [],
        "notes": [],
        "template": None,
        "target": "",
        "pool": "",
        "network": {},
        "uuid": "",
        "unfinished": UNFINISHED,
        "wanted": dict(vm),
    }
    pool = vm["pool"] if wanted["ownership"] == "pool" else ""
    if pool:  # else a VM is nobody's as soon as it has its name
        place.problems += lacking([Need(f"/pool/{pool}", ("Pool.Audit",))], world)
    there = world.vms.get(vm["vmid"])
    if there is None:
        return _plan_new(vm, wanted, world, place, act)
    config = world.config(vm["vmid"])
    act.update(node=there["node"], status=there.get("status", "unknown"), pool=there.get("pool") or vm["pool"])
    if config is None and not vm_config.yes(there.get("template")) and there.get("type") == "qemu":
        answer = world.answers.get(config_path(there))
        place.wrong(
            "vmid",
            f"its configuration cannot be read: {answer.reason if answer else 'not asked'}",
            "look at that; the token needs VM.Audit on it",
        )
        return act
    if is_taken(place, there, config, pool) or config is None:
        return act
    running = there.get("status") == "running"
    changes = changes_of(vm, config, wanted["ownership"])
    resize = judge_resize(place, vm, config)
    act.update(
        changes={key: {"old": each["old"], "new": each["new"]} for key, each in changes.items()},
        options={key: each["value"] for key, each in changes.items()},
        resize=resize,
        network=vm_config.network((changes.get("net0") or {}).get("new") or config.get("net0")),
        uuid=vm_config.properties(config.get("smbios1")).get("uuid", ""),
    )
    act["actions"] = [
        action for action, due in (("update", bool(changes)), ("resize", bool(resize)), ("start", not running)) if due
    ]
    if vm["node"] and vm["node"] != there["node"]:
        act["notes"].append(
            f"{vm['name']}: it is on the node {there['node']}, and stays there; {vm['node']} is for new ones"
        )
    if vm["pool"] and vm["pool"] != there.get("pool") and _sees_pool(vm["pool"], world):
        act["notes"].append(f"{vm['name']}: it is not in the pool {vm['pool']}, which is for new ones")
    if running:
        waits = {*({*world.pending(vm["vmid"]), *changes} - AT_ONCE), *(["disk"] if resize else [])}
        act["reboot"] = sorted(waits)
    if unfinished(there, config):
        act["notes"].append(f"{vm['name']}: an earlier run has cloned it, this one finishes it")
    if act["actions"]:
        if not is_locked(place, there, config, wanted["limits"]["clone"]):
            judge_node(place, vm, there["node"], world)
            judge_powers(place, there, act)
            judge_privileges(
                place, vm, act, [vm_config.storage_of(vm_config.disks(config)[resize["disk"]])] if resize else [], world
            )
    return act


def _plan_new(
    vm: Mapping[str, Any], wanted: Mapping[str, Any], world: World, place: Place, act: dict[str, Any]
) -> dict[str, Any]:
    source, notes = judge_template(place, vm, world)
    act["notes"] += notes
    if source is None:
        if vm["node"]:
            judge_node(place, vm, vm["node"], world)
        return act
    home = world.vms[source]["node"]
    node = vm["node"] or home
    judge_node(place, vm, node, world)
    storages = judge_storages(place, vm, source, node, world)
    if vm["pool"] and vm["pool"] not in world.pools and _sees_pool(vm["pool"], world):
        place.wrong(
            "pool",
            "there is no such pool",
            f"`pveum pool add {vm['pool']}`, or take it out",
        )
    config = {**(world.config(source) or {}), "name": UNFINISHED}
    device = vm_config.network(config.get("net0"))
    device.pop("macaddr", None)  # a clone gets one of its own
    config["net0"] = vm_config.network_string(device) if device else None
    changes = changes_of(vm, config, wanted["ownership"])
    resize = judge_resize(place, vm, config)
    act.update(
        node=node,
        template=source,
        home=home,
        pool=vm["pool"],
        target=node if node != home else "",
        actions=["create", "update", *(["resize"] if resize else []), "start"],
        changes={key: {"old": each["old"], "new": each["new"]} for key, each in changes.items()},
        options={key: each["value"] for key, each in changes.items()},
        resize=resize,
        network=vm_config.network((changes.get("net0") or {}).get("new") or config.get("net0")),
    )
    act["changes"]["name"] = {"old": None, "new": vm["name"]}
    judge_privileges(place, vm, act, storages, world)
    act["options"] = {}  # what to set is told by the clone itself, when it is there
    return act


def _sees_pool(pool: str, world: World) -> bool:
    """Whether the token is shown this pool, and which VMs are in it."""
    return "Pool.Audit" in held(world.permissions or {}, f"/pool/{pool}")


def lines_of(act: Mapping[str, Any]) -> list[str]:
    """The plan for one VM in words for a person."""
    head = f"{act['name']} ({act['vmid']} on {act.get('node', '?')})"
    lines = [f"{head}: {' + '.join(act['actions']) or 'nothing'}"]
    lines += [f"  {option}: {_word(each['old'])} -> {_word(each['new'])}" for option, each in act["changes"].items()]
    if act["resize"]:
        lines.append(f"  {act['resize']['disk']}: {act['resize']['old']} -> {act['resize']['new']}")
    if act["reboot"]:
        lines.append(f"  a reboot is needed for: {', '.join(act['reboot'])}")
    return lines


def _word(value: object) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def plan(wanted: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The plan for all VMs.

    Returns:
        ``problems`` (lines ``variable = value: why. Do: …``; nothing may be done if there are any), ``vms`` (each with
        ``vmid``, ``name``, ``node``, ``status``, ``actions`` (of create, update, resize, start, in order), ``changes``
        (``old``, ``new`` by the API's option), ``options`` (what to set, by the API's option), ``resize`` (``disk``,
        ``old``, ``new``, or None), ``reboot`` (what waits for one), ``notes``, ``template``, ``home`` and ``target``
        (nodes, for a clone), ``unfinished`` (what a clone is called), ``network`` (the first device), ``uuid`` (of the
        machine), ``wanted``), ``lines`` (for a person) and ``notes``.
    """
    problems: list[str] = []
    judge_host(world, problems)
    several = len(wanted["vms"]) > 1
    acts = []
    if world.permissions != {} and not problems:
        acts = [plan_vm(vm, wanted, world, Place(vm, several, problems)) for vm in wanted["vms"]]
    judge_cluster(world, any(act["actions"] for act in acts), problems)
    return {
        "problems": list(dict.fromkeys(problems)),
        "vms": acts,
        "lines": [line for act in acts for line in lines_of(act)],
        "notes": list(dict.fromkeys(note for act in acts for note in act["notes"])),
    }


def left_over(
    plan: Mapping[str, Any],
    actions: Sequence[str],
    results: Sequence[Mapping[str, Any]] = (),
    *reads: Read,
) -> dict[str, Any]:
    """What should have been done by now, and was not: told by the API, whatever a module said.

    Args:
        plan: Made after the actions.
        actions: Those that must be done by now.
        results: Of the modules that did them; their ``item`` is the VM's part of the plan.
        reads: Of ``paths``, and then of ``logs``, if they were asked.

    Returns:
        ``paths`` (where the API tells how its last tasks ended), ``logs`` (where it tells why a start failed) and
        ``problems`` (lines).
    """
    paths, logs, problems = [], [], list(plan["problems"])
    told = answers(reads)
    for act in plan["vms"]:
        undone = [action for action in act["actions"] if action in actions]
        if not undone:
            continue
        said = [
            str(result.get("msg", "")) for result in results if (result.get("item") or {}).get("vmid") == act["vmid"]
        ]
        reasons = [_brief(text) for text in said if text]
        goes_on = False
        kind, of, node = (
            ("qmclone", act["template"], act.get("home"))
            if "create" in undone
            else ("qmstart", act["vmid"], act.get("node"))
        )
        if node and of and undone[0] in ("create", "start"):
            path = tasks_path(node, of, kind)
            paths.append(path)
            last = (told[path].data if path in told and told[path].good else None) or []
            ended = [str(task["status"]) for task in last if task.get("status") not in (None, "OK", "RUNNING")]
            if not reasons or any("Reached timeout" in reason for reason in reasons):
                reasons = ended or reasons
                if kind == "qmstart" and ended and reasons == ended:
                    log = log_path(node, str(last[0].get("upid")))
                    logs.append(log)
                    reasons = [*ended, *_words_of_qemu(told.get(log))]
                # Into a pool: until it is done, who has been given that pool only does not see the VM.
                goes_on = "create" in undone and any("endtime" not in task for task in last)
        if goes_on:
            reasons = [_STILL]
        if "update" in undone:
            reasons.append(f"{', '.join(act['changes'])} not as wanted")
        why = "; ".join(dict.fromkeys(reasons)) or "Proxmox VE gave no reason"
        remedy = next((remedy for words, remedy in _REMEDIES if re.search(words, why)), "see to that")
        if goes_on:
            done = "that goes on, and nothing is lost"
        elif "create" in undone:
            done = "nothing of it is there"
        else:
            done = "what is there stays, and the next run goes on with it"
        problems.append(
            f"{act['name']} ({act['vmid']} on {act.get('node')}): {' + '.join(undone)} failed: {why} ({done}). "
            f"Do: {remedy}, and run this again"
        )
    return {"paths": list(dict.fromkeys(paths)), "logs": logs, "problems": problems}


def _words_of_qemu(log: Answer | None) -> list[str]:
    """What QEMU itself, or who gives it its network, has said in a task's log."""
    lines = [str(line.get("t")) for line in (log.data if log is not None and log.good else None) or []]
    return [line for line in lines if re.match(r"kvm: |bridge '.*' does not exist", line)]


def _brief(text: str) -> str:
    """What a module said, without the words that all its errors begin with."""
    return re.sub(
        r"^(?:Unable to \w+ vm .*? vmid \d+|(?:starting|stopping) of VM \d+ failed with exception)(?:: |=)", "", text
    ).strip()
