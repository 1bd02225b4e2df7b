# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a template is made of a distribution's cloud image. Pure: variables and answers in, a plan and lines out.

What the API can is from the API viewer, which privileges it takes from pve-storage and qemu-server (`download_url`,
`check_volume_access`, `check_storage_access`): an image of the content `import` since Proxmox VE 8.4, where
libpve-storage-perl 8.3.6 has begun to take qcow2 and raw there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config, vm_judge, vm_world
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import (
    NAME,
    PREFIX,
    TEMPLATE_MARK,
    api,
    maybe_integer,
    misspelt,
    optional,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_rights import Need, bridge_path, held

#: What it is called until it is a template; no clone of it has this name.
UNFINISHED = f"{TEMPLATE_MARK}-unfinished"
#: Hexadecimal digits of a checksum.
_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
#: A file's ending -> the format that Proxmox VE takes it for; by its own ending it would refuse `.img`.
_FORMATS = {".qcow2": "qcow2", ".img": "qcow2", ".raw": "raw"}
#: What is done -> the task of Proxmox VE that does it.
_TASKS = {"download": "download", "create": "qmcreate", "convert": "qmtemplate"}
_STILL = "its task is still running"
#: What to do about what only Proxmox VE itself could tell, by its words.
_REMEDIES = (
    (_STILL, f"raise {PREFIX}download_timeout or {PREFIX}import_timeout"),
    (r"timed out\. \(", f"raise {PREFIX}api_timeout, which community.proxmox 1.6 and newer heed"),
    (r"checksum mismatch", f"compare {PREFIX}image_checksum with what the distribution publishes"),
    (r"download failed", f"see that the node reaches {PREFIX}image_url"),
    (r"already exists", f"write another {PREFIX}template: a VM has it that the token may not see"),
    (r"Permission check failed", "give the token a role with that there (README of the role)"),
    (r"no quorum", "bring the cluster's nodes back (pvecm status)"),
)


def wanted(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the entry point `template` is told, judged.

    Args:
        variables: The role's variables by full name, defaults included; unknown ones are looked at for misspellings.

    Returns:
        ``problems`` (lines ``variable = value: why. Do: …``; the rest may be used only if there are none), ``api``
        (never the secret), ``limits`` (seconds, by name), ``vmid``, ``name``, ``node``, ``storage``, ``network``,
        ``url``, ``image_storage``, ``algorithm``, and ``checksum`` or ``sums`` (where it is published).
    """
    problems: list[str] = []
    values = {name.removeprefix(PREFIX): value for name, value in variables.items()}
    own = Check(values, problems, PREFIX, frozenset(), PREFIX)
    misspelt(own)
    bridge = optional(own, "bridge", r"[A-Za-z][A-Za-z0-9_.-]*", "not a bridge's name", "write it as vmbr0")
    vlan = maybe_integer(own, "vlan", 1, 10, 4094)
    url = own.text("image_url", r"https?://[^\s,]+", "not a URL", "write where the distribution has its cloud image")
    if url and not any(urlsplit(url).path.endswith(ending) for ending in _FORMATS):
        own.wrong("image_url", "not a disk image", f"write a file that ends in {', '.join(_FORMATS)}")
    return {
        "problems": problems,
        "api": api(own),
        "limits": {name: own.integer(f"{name}_timeout", 1, 900, unit="seconds") for name in ("download", "import")},
        "vmid": own.integer("template", 100, 9999, maximum=999999999),
        "name": own.text("template_name", NAME, "not a host name", "write letters, digits and hyphens"),
        "node": optional(own, "node", r"[A-Za-z0-9][A-Za-z0-9-]*", "not a node's name", "write it as Proxmox VE does"),
        "storage": own.text("template_storage", _STORAGE, "not a storage's name", "write it, such as local-lvm"),
        "image_storage": own.text("image_storage", _STORAGE, "not a storage's name", "write it, such as local"),
        "network": {"model": "virtio", "bridge": bridge or "vmbr0", **({"tag": str(vlan)} if vlan else {})},
        "url": url,
        **_checksum(own),
    }


_STORAGE = r"[A-Za-z][A-Za-z0-9._-]*"


def _checksum(own: Check) -> dict[str, str]:
    """``algorithm``, and ``checksum`` or ``sums``; the other one is empty."""
    text = own.text(
        "image_checksum",
        r"(?:sha256|sha384|sha512):(?:[0-9A-Fa-f]+|https://\S+)",
        "not a checksum, nor https where it is published",
        "write it as sha512:0123…, or as sha512:https://…/SHA512SUMS",
    )
    algorithm, _colon, value = text.partition(":")
    if value.startswith("https:"):
        return {"algorithm": algorithm, "checksum": "", "sums": value}
    if text and len(value) != _DIGITS[algorithm]:
        own.wrong("image_checksum", f"not {_DIGITS[algorithm]} digits, as {algorithm} has", "copy all of it")
    return {"algorithm": algorithm, "checksum": value.lower(), "sums": ""}


def published(text: str, name: str) -> str:
    """The checksum of a file in what `sha512sum` has written, or BSD's `SHA512 (name) = …`; empty if it is not there.

    >>> published("abc0  other.qcow2\\nAB12 *debian.qcow2\\n", "debian.qcow2")
    'ab12'
    >>> published("SHA256 (debian.qcow2) = ab12", "debian.qcow2")
    'ab12'
    """
    file = re.escape(name)
    found = re.search(rf"^([0-9A-Fa-f]+)[ \t]+\*?(?:\./)?{file}$|^\w+ \({file}\) = ([0-9A-Fa-f]+)$", text, re.MULTILINE)
    return (found[1] or found[2]).lower() if found else ""


def filename(url: str, checksum: str) -> str:
    """What the image is called on its storage: with its checksum, so that what has this name is that image.

    Proxmox VE gives a download its name only when the checksum has been right.
    """
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    stem, _dot, _ending = name.rpartition(".")
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', stem)}-{checksum[:16]}.{_FORMATS[name[len(stem) :]]}"


def questions(wanted: Mapping[str, Any], read: vm_world.Read | None = None) -> list[str]:
    """What to ask: first of the cluster; with the answers to that, of the template and its image. Both have all that
    a plan is made of, so that the second takes the place of the first."""
    if read is None:
        return list(vm_world.CLUSTER)
    seen = vm_world.world([read])
    there = seen.vms.get(wanted["vmid"])
    node = there["node"] if there else _node(wanted, seen)
    found = [vm_world.RESOURCES]
    if node:
        config = vm_world.config_path({"node": node, "vmid": wanted["vmid"]})
        found += [config, _content_path(wanted, node), _tasks_path(node)]
    return found


def _node(wanted: Mapping[str, Any], seen: vm_world.World) -> str:
    """The node for a new template; empty if that is not told."""
    return str(wanted["node"]) or (next(iter(seen.nodes)) if len(seen.nodes) == 1 else "")


def _content_path(wanted: Mapping[str, Any], node: str) -> str:
    return f"/nodes/{node}/storage/{wanted['image_storage']}/content?content=import"


def _tasks_path(node: str) -> str:
    """The node's last fifty tasks, those that go on among them; of the cluster's a token is not shown its own."""
    return f"/nodes/{node}/tasks?source=all"


def plan(
    wanted: Mapping[str, Any],
    reads: Sequence[vm_world.Read],
    sums: Mapping[str, Any] | None = None,
    due: Sequence[str] = (),
    did: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The plan for the template.

    Args:
        wanted: See `wanted`.
        reads: Results of the module ``proxmox_api_info``, the newest last.
        sums: What ``ansible.builtin.uri`` returned for ``wanted.sums``; it is needed only where ``sums`` is said.
        due: Actions that should have been done by now.
        did: What the module returned that was to do the last of them.

    Returns:
        ``problems`` (lines; nothing may be done if there are any), ``actions`` (of download, create, convert, rename,
        in order), ``sums`` (whether the published checksums are to be read), ``busy`` (Proxmox VE is at it), ``node``,
        ``image`` (``filename``, ``checksum``), ``options`` (of the new VM, by the API's option), ``lines`` and
        ``notes`` (for a person).
    """
    seen = vm_world.world(reads)
    made: dict[str, Any] = {"problems": [], "actions": [], "sums": False, "busy": False, "node": "", "image": {}}
    made |= {"options": {}, "lines": [], "notes": []}
    problems: list[str] = made["problems"]
    vm_judge.judge_host(seen, problems)
    if problems:
        return made
    there = seen.vms.get(wanted["vmid"])
    made["node"] = there["node"] if there else _node(wanted, seen)
    if there:
        _plan_there(wanted, seen, there, made)
    else:
        _plan_new(wanted, seen, sums, made)
    made["busy"] = made["busy"] or any(
        _is_ours(task, wanted, made) and not task.get("endtime") for task in _tasks(seen, made["node"])
    )
    vm_judge.judge_cluster(seen, bool(made["actions"]), problems)
    undone = [action for action in made["actions"] if action in due]
    if (undone or made["busy"]) and not problems:
        problems.append(_undone(wanted, seen, made, [*undone, *made["actions"], "create"][0], did or {}))
    if not problems:
        what = " + ".join(made["actions"]) or "nothing"
        made["lines"].insert(0, f"template {wanted['vmid']} on {made['node']}: {what}")
    return made


def _tasks(seen: vm_world.World, node: str) -> list[dict[str, Any]]:
    found = seen.answers.get(_tasks_path(node))
    return list(found.data or []) if found is not None and found.good else []


def _is_ours(task: Mapping[str, Any], wanted: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    """Whether a task of Proxmox VE makes this template."""
    of = made["image"].get("filename") if task.get("type") == "download" else str(wanted["vmid"])
    return task.get("type") in _TASKS.values() and unquote(str(task.get("id"))) == of


def _wrong(made: dict[str, Any], option: str, value: object, why: str, remedy: str) -> None:
    made["problems"].append(f"{PREFIX}{option} = {value}: {why}. Do: {remedy}")


def _plan_there(
    wanted: Mapping[str, Any], seen: vm_world.World, there: Mapping[str, Any], made: dict[str, Any]
) -> None:
    """What is to be done with what has the VMID: finish ours; leave everything else as it is."""
    vmid, config = wanted["vmid"], seen.config(wanted["vmid"])
    if config is None or there.get("type") != "qemu":
        answer = seen.answers.get(vm_world.config_path(there))
        why = "a container has it" if there.get("type") != "qemu" else answer.reason if answer else "not asked"
        _wrong(made, "template", vmid, why, "look at that, or write a VMID that is free")
        return
    if config.get("lock") == "create":
        made["busy"] = True
        made["actions"] = ["create", "convert", "rename"]
        return
    notes = vm_config.description(config.get("description"))
    ours, unfinished = TEMPLATE_MARK in notes.split(), config.get("name") == UNFINISHED
    if vm_config.yes(config.get("template")):
        if not ours:
            place = vm_judge.Place({"name": "", "template": str(vmid)}, False, made["problems"])
            lacks = vm_judge.judge_template(place, {"template": str(vmid), "bridge": "any"}, seen)[1]
            made["notes"] += [f"template {vmid}: it was not made by this role, and is left as it is", *lacks]
        elif wanted["url"] not in notes.split() or wanted["checksum"] not in notes:
            _wrong(
                made,
                "image_url",
                wanted["url"],
                f"the template {vmid} was made of another image, and a template does not change",
                f"write another {PREFIX}template; or remove it, which no full clone minds: qm destroy {vmid}, and then "
                f"give the token its roles on /vms/{vmid} again, which go with it (README of the role)",
            )
        elif unfinished:
            made["actions"] = ["rename"]
    elif ours and unfinished:
        made["actions"] = ["convert", "rename"]
        made["notes"].append(f"template {vmid}: an earlier run has begun it, this one finishes it")
    else:
        _wrong(
            made,
            "template",
            vmid,
            f"{config.get('name')} on {there['node']} has it, and is no template of ours",
            "write a VMID that is free",
        )
    _judge_privileges(wanted, seen, made)


def _plan_new(
    wanted: Mapping[str, Any], seen: vm_world.World, sums: Mapping[str, Any] | None, made: dict[str, Any]
) -> None:
    node = made["node"]
    if not node or node not in seen.nodes:
        known = ", ".join(sorted(seen.nodes))
        why = "no such node" if node else "not set, and there are several"
        _wrong(made, "node", node or '""', why, f"write one of {known}")
        return
    if seen.nodes[node].get("status") not in (None, "online", "unknown"):
        _wrong(made, "node", node, f"it is {seen.nodes[node]['status']}", "start it, or write another")
    if seen.version < (8, 4):
        made["problems"].append(
            f"{PREFIX}api_hosts: Proxmox VE {seen.version[0]}.{seen.version[1]} takes no disk image by its API, "
            "8.4 does. Do: update it, or make the template on the node (README of the role, The template by hand)"
        )
    for option, name, content in (
        ("template_storage", wanted["storage"], "images"),
        ("image_storage", wanted["image_storage"], "import"),
    ):
        _judge_storage(seen, made, option, name, content)
    made["actions"] = ["download", "create", "convert", "rename"]
    checksum = wanted["checksum"] or _published(wanted, sums, made)
    if checksum:
        name = filename(wanted["url"], checksum)
        made["image"] = {"filename": name, "checksum": checksum}
        volume = f"{wanted['image_storage']}:import/{name}"
        answer = seen.answers.get(_content_path(wanted, node))
        if any(each.get("volid") == volume for each in (answer.data if answer is not None and answer.good else [])):
            made["actions"].remove("download")
        made["options"] = _options(wanted, volume, checksum)
        made["lines"] = [f"  {option}: {value}" for option, value in sorted(made["options"].items())]
    made["notes"].append(
        f"template {wanted['vmid']}: the image is as the distribution made it. Without qemu-guest-agent in it, as "
        f"Debian's, nobody tells an address that DHCP gave. Do: give each VM {PREFIX}address, or make the template "
        "with the agent (README of the role)"
    )
    _judge_privileges(wanted, seen, made)


def _published(wanted: Mapping[str, Any], sums: Mapping[str, Any] | None, made: dict[str, Any]) -> str:
    """The image's checksum by what was published; empty if it was not asked for, or is not there."""
    made["sums"] = sums is None
    if sums is None:
        return ""
    name = unquote(urlsplit(wanted["url"]).path.rpartition("/")[2])
    found = published(str(sums.get("content", "")), name)
    if len(found) == _DIGITS[wanted["algorithm"]]:
        return found
    why = f"it has no {wanted['algorithm']} of {name}" if sums.get("content") else sums.get("msg", "no answer")
    _wrong(made, "image_checksum", f"{wanted['algorithm']}:{wanted['sums']}", str(why), "write the checksum itself")
    return ""


def _judge_storage(seen: vm_world.World, made: dict[str, Any], option: str, name: str, content: str) -> None:
    there = seen.storages.get((made["node"], name))
    kinds = str((there or {}).get("content", content)).split(",")
    if there is None:
        known = sorted(storage for on, storage in seen.storages if on == made["node"])
        why = f"there is no such storage on the node {made['node']} that the token may see"
        _wrong(made, option, name, why, f"write one of {', '.join(known) or 'those that the token may see'}")
    elif there.get("status") not in (None, "available"):
        _wrong(made, option, name, f"it is {there['status']}", "look at it at Proxmox VE")
    elif content not in kinds:
        enable = f"pvesm set {name} --content {','.join(sorted({*kinds, content}))}"
        remedy = f"as root on a node: {enable}" if content == "import" else "write one that has the content `images`"
        _wrong(made, option, name, f"the storage has not the content `{content}`", remedy)


def _options(wanted: Mapping[str, Any], volume: str, checksum: str) -> dict[str, str]:
    """The new VM, by the API's options; those of the role's README, The template by hand."""
    return {
        "name": UNFINISHED,
        "description": f"{TEMPLATE_MARK}\n\n{wanted['url']} {wanted['algorithm']}:{checksum}",
        "ostype": "l26",
        "cores": "2",
        "memory": "2048",
        "agent": "enabled=1",
        "net0": vm_config.network_string(wanted["network"]),
        "scsihw": "virtio-scsi-single",
        "scsi0": f"{wanted['storage']}:0,import-from={volume},discard=on",
        "ide2": f"{wanted['storage']}:cloudinit",
        "boot": "order=scsi0",
        "serial0": "socket",
        "vga": "serial0",
    }


def _judge_privileges(wanted: Mapping[str, Any], seen: vm_world.World, made: dict[str, Any]) -> None:
    """Whether the token may do what is planned."""
    own, image, needed = f"/vms/{wanted['vmid']}", f"/storage/{wanted['image_storage']}", []
    if "download" in made["actions"]:
        needed.append(Need(image, ("Datastore.AllocateTemplate",)))
        if not {"Sys.Audit", "Sys.Modify"} <= held(seen.permissions or {}, "/"):
            needed.append(Need(f"/nodes/{made['node']}", ("Sys.AccessNetwork",)))
    if "create" in made["actions"]:
        options = ("CPU", "Disk", "HWType", "Memory", "Network", "Options")
        needed += [Need(own, (f"VM.Config.{option}",)) for option in options]
        needed.append(Need(image, ("Datastore.Audit", "Datastore.AllocateSpace", "Datastore.Allocate")))
        needed.append(Need(f"/storage/{wanted['storage']}", ("Datastore.AllocateSpace",)))
        bridge = wanted["network"]["bridge"]
        if re.fullmatch(r"vmbr[0-9]+", bridge):  # others may be of zones that are not told here
            needed.append(Need(bridge_path(bridge, wanted["network"].get("tag")), ("SDN.Use",)))
    if "convert" in made["actions"]:
        needed += [Need(own, (privilege,)) for privilege in ("VM.Allocate", "VM.Audit")]
    if "rename" in made["actions"]:
        needed.append(Need(own, ("VM.Config.Options",)))
    made["problems"] += vm_judge.lacking(needed, seen)


def _undone(
    wanted: Mapping[str, Any],
    seen: vm_world.World,
    made: Mapping[str, Any],
    action: str,
    did: Mapping[str, Any],
) -> str:
    """The line about what should have been done by now, or goes on for too long."""
    said = str(did.get("msg", ""))
    kind = _TASKS.get(action)
    last = next(
        (task for task in _tasks(seen, made["node"]) if task.get("type") == kind and _is_ours(task, wanted, made)), {}
    )
    ended = str(last.get("status") or "")
    # Where the request itself was refused, the last task is not of this run.
    refused = re.search(r"\b[45][0-9][0-9] ", said) and "timed out" not in said
    if made["busy"]:
        why = _STILL
    elif ended not in ("", "OK") and not refused:
        why = ended
    else:
        why = said or "Proxmox VE gave no reason"
    remedy = next((remedy for words, remedy in _REMEDIES if re.search(words, why)), "see to that")
    return (
        f"template {wanted['vmid']} on {made['node']}: {action} failed: {why} (what is there stays, and the next run "
        f"goes on with it). Do: {remedy}, and run this again"
    )
