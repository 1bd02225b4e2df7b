# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the role proxmox_runner_vm, and the VMs that they describe. Pure; nothing is raised."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import Check, shown

PREFIX = "proxmox_runner_vm_"
#: Says that a VM is ours: it is a tag, or stands in the description.
OWNER = "ephemeral-github-runners"
#: What a VM is called from its cloning until it is configured; says that it is ours, too, before a tag can.
UNFINISHED = f"{OWNER}-unfinished"
#: Says in a template's notes that this role has made it. A clone inherits the notes, so it is not the word for our VMs.
TEMPLATE_MARK = f"{OWNER}-template"

#: What each VM may set for itself; the flat variable of the same name is its default.
VM_OPTIONS = (
    "name",
    "vmid",
    "node",
    "template",
    "full_clone",
    "storage",
    "pool",
    "cores",
    "memory",
    "balloon",
    "cpu_type",
    "disk_size",
    "bridge",
    "vlan",
    "address",
    "gateway",
    "nameservers",
    "search_domain",
    "user",
    "ssh_keys",
    "on_boot",
    "tags",
    "description",
    "agent",
)
COMMON_OPTIONS = (
    "vms",
    "api_hosts",
    "api_port",
    "api_user",
    "api_token_id",
    "api_token_secret",
    "api_timeout",
    "ca_file",
    "validate_certs",
    "ownership",
    "wait",
    "known_hosts_file",
)
#: What only the entry point `template` asks for, see vm_template.py.
TEMPLATE_OPTIONS = (
    "template_name",
    "template_storage",
    "image_url",
    "image_checksum",
    "image_storage",
    "download_timeout",
    "import_timeout",
)
#: Seconds, each with the least that makes sense.
LIMITS = ("clone", "resize", "start", "address", "ssh", "cloud_init", "package_lock", "shutdown")

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:]+:[0-9A-Fa-f:.]+\]?")
NAME = re.compile(
    r"(?=.{1,63}$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.+-]*")
_KEY = re.compile(r"(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+(?: .*)?")


def optional(check: Check, option: str, pattern: str, why: str, remedy: str) -> str:
    """A text, or nothing; a number will do where Ansible made one of a text."""
    value = check.values.get(option)
    if value in (None, ""):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and re.fullmatch(pattern, value):
        return value
    check.wrong(option, why, remedy)
    return ""


def _list(check: Check, option: str, pattern: re.Pattern[str], what: str, example: str) -> list[str]:
    value = check.values.get(option)
    if value in (None, ""):
        return []
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        check.wrong(option, "not a list", f"write a list, such as [{example}]")
        return []
    texts = [str(part).strip() for part in parts]
    if option == "ssh_keys":
        texts = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    for text in texts:
        if not pattern.fullmatch(text):
            check.wrong(option, f"{shown(text)} is not {what}", f"write {what}, such as {example}")
            return []
    return texts


def maybe_integer(check: Check, option: str, minimum: int, example: int, maximum: int) -> int | None:
    if check.values.get(option) in (None, ""):
        return None
    return check.integer(option, minimum, example, maximum=maximum)


def _address(check: Check) -> tuple[str, str]:
    """``dhcp`` or an address with its network's length; and the gateway."""
    value, gateway = check.values.get("address"), check.values.get("gateway") or ""
    if value == "dhcp":
        if gateway:
            check.wrong("gateway", "DHCP tells the gateway", f"take it out, or give {check.place('address')}address")
        return "dhcp", ""
    try:
        interface = ipaddress.IPv4Interface(str(value))
        if "/" not in str(value):
            raise ValueError
    except ValueError:
        check.wrong("address", "not dhcp and not an IPv4 address with its length", "write dhcp, or as 192.168.1.250/24")
        return "dhcp", ""
    network = interface.network
    if network.prefixlen < 31 and interface.ip in (network.network_address, network.broadcast_address):
        check.wrong("address", f"no host's address in {network}", "write the address of the VM itself")
    if gateway:
        try:
            if ipaddress.IPv4Address(str(gateway)) not in network:
                check.wrong("gateway", f"not in the VM's own network {network}", f"write an address of {network}")
        except ValueError:
            check.wrong("gateway", "not an IPv4 address", f"write the router's address in {network}")
    return str(interface), str(gateway)


def _memory(check: Check) -> int:
    """MiB; a text may have a unit."""
    value = check.values.get("memory")
    if isinstance(value, str) and re.search(r"[KMGTkmgt]", value):
        size = vm_config.size_bytes(value)
        if size is not None and size % 2**20 == 0 and size >= 512 * 2**20:
            return size // 2**20
    return check.integer("memory", 512, 8192, maximum=4 * 2**20, unit="MiB")


def _disk_size(check: Check) -> int | None:
    value = check.values.get("disk_size")
    if value in (None, ""):
        return None
    size = vm_config.size_bytes(value) if re.search(r"[MGT]", str(value), re.IGNORECASE) else None
    if size is None or size % 2**20:
        check.wrong(
            "disk_size", "not a size", "write a number and a unit, such as 100G; leave it out for the template's"
        )
        return None
    return size


def _template(check: Check) -> str:
    value = check.values.get("template")
    text = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[1-9][0-9]{2,8}", text) and not (text and not text.isdigit() and NAME.fullmatch(text)):
        check.wrong("template", "not a VMID and not a name", "write the template's VMID, such as 9999, or its name")
        return ""
    return text


def _vm(check: Check, ownership: str) -> dict[str, Any]:
    """One VM as it is wanted; an option that is empty or None leaves what the template brought."""
    address, gateway = _address(check)
    agent = check.yes("agent")
    if address == "dhcp" and not agent:
        check.wrong("agent", "with DHCP only the agent tells the VM's address", "write true, or give an address")
    pool = optional(check, "pool", r"[A-Za-z0-9_.][A-Za-z0-9_./-]*", "not a pool's name", "write the pool's name")
    if ownership == "pool" and not pool:
        check.wrong(
            "pool",
            "not set, and it is what tells our VMs",
            f"name a pool that has no other VMs, or change {PREFIX}ownership",
        )
    full, storage = (
        check.yes("full_clone"),
        optional(
            check,
            "storage",
            r"[A-Za-z][A-Za-z0-9._-]*",
            "not a storage's name",
            "write the storage's name, such as local-lvm",
        ),
    )
    if storage and not full:
        check.wrong(
            "storage", "a linked clone stays on the template's storage", f"take it out, or set {PREFIX}full_clone: true"
        )
    memory = _memory(check)
    balloon = maybe_integer(check, "balloon", 0, 0, memory)
    own = [OWNER] if ownership == "tag" else []
    return {
        "vmid": check.integer("vmid", 100, 250, maximum=999999999),
        "name": check.text("name", NAME, "not a host name", "write letters, digits and hyphens, such as gh-runner-01"),
        "node": optional(
            check, "node", r"[A-Za-z0-9][A-Za-z0-9-]*", "not a node's name", "write it as Proxmox VE shows it"
        ),
        "template": _template(check),
        "full_clone": full,
        "storage": storage,
        "pool": pool,
        "cores": check.integer("cores", 1, 4, maximum=1024),
        "memory": memory,
        "balloon": balloon,
        "cpu_type": optional(
            check, "cpu_type", r"[A-Za-z0-9][A-Za-z0-9._-]*", "not a CPU type", "write a type such as host"
        ),
        "disk_size": _disk_size(check),
        "bridge": optional(check, "bridge", r"[A-Za-z][A-Za-z0-9_.-]*", "not a bridge's name", "write it as vmbr0"),
        "vlan": maybe_integer(check, "vlan", 1, 10, 4094),
        "address": address,
        "gateway": gateway,
        "nameservers": _list(check, "nameservers", re.compile(r"[0-9A-Fa-f.:]+"), "an address", "192.168.1.1"),
        "search_domain": optional(check, "search_domain", r"[A-Za-z0-9.-]+", "not a domain", "write it as home.lan"),
        "user": optional(check, "user", r"[a-z_][a-z0-9_-]*", "not a user's name", "write a plain name, such as admin"),
        "ssh_keys": _list(check, "ssh_keys", _KEY, "a public key", "ssh-ed25519 AAAA… me@home"),
        "on_boot": check.yes("on_boot"),
        "tags": vm_config.tags([*_list(check, "tags", _TAG, "a tag", "ci"), *own]),
        "description": optional(check, "description", r"(?s).*", "not a text", "write a text").rstrip(),
        "agent": agent,
    }


def _vms(values: Mapping[str, Any], problems: list[str]) -> list[Check]:
    """Each VM's values, those of the flat variables where it has none of its own."""
    flat = {option: values.get(option) for option in VM_OPTIONS}
    listed = values.get("vms") or []
    if not listed:
        return [Check(flat, problems, PREFIX, frozenset(), PREFIX)]
    top = Check({"vms": listed}, problems, PREFIX)
    if not isinstance(listed, (list, tuple)) or not all(isinstance(vm, Mapping) for vm in listed):
        top.wrong("vms", "not a list of VMs", "write a list with `- name: …` and `vmid: …` for each VM", secret=True)
        return []
    found = []
    for number, vm in enumerate(listed, 1):
        where = f"{PREFIX}vms[{vm.get('name') or number}]."
        check = Check({**flat, **vm}, problems, where, frozenset(flat) - frozenset(vm), PREFIX)
        for option in sorted(set(vm) - set(VM_OPTIONS)):
            check.wrong(option, "a VM has no such option", f"use one of {', '.join(VM_OPTIONS)}", secret=True)
        for option in ("name", "vmid"):
            if option not in vm:
                check.values = {**check.values, option: None}
                check.inherited -= {option}
        found.append(check)
    return found


def _unique(vms: list[dict[str, Any]], problems: list[str]) -> None:
    for option in ("vmid", "name", "address"):
        seen: dict[Any, str] = {}
        for vm in vms:
            value = str(vm[option]).partition("/")[0]
            if not value or value == "dhcp":
                continue
            if value in seen:
                problems.append(
                    f"{PREFIX}vms[{vm['name']}].{option} = {value}: {seen[value]} has it too. Do: give each VM its own"
                )
            seen.setdefault(value, str(vm["name"]))


def misspelt(own: Check) -> None:
    """Write down the variables that are nearly one of the role's."""
    known = {*VM_OPTIONS, *COMMON_OPTIONS, *TEMPLATE_OPTIONS, *(f"{name}_timeout" for name in LIMITS)}
    for name in sorted(set(own.values) - known):
        if near := difflib.get_close_matches(name, known, 1, 0.8):
            own.wrong(name, "no such variable", f"write {PREFIX}{near[0]}", secret=True)


def api(own: Check) -> dict[str, Any]:
    """Where Proxmox VE's API is, and who asks it; never the secret."""
    hosts = _list(own, "api_hosts", _HOST, "a host's name", "pve1.lan")
    if not hosts and own.values.get("api_hosts") in (None, "", []):
        own.wrong(
            "api_hosts",
            "not set, and there is no default: perhaps Ansible did not read your variables",
            "write the name of a Proxmox VE node, or of several of one cluster",
        )
    user = own.text(
        "api_user", r"[^\s!@:/]+@[A-Za-z][A-Za-z0-9._-]+", "not a user with a realm", "write it as ansible@pve"
    )
    token = own.values.get("api_token_id")
    if isinstance(token, str) and "!" in token:
        own.wrong("api_token_id", "the token's name alone is wanted", f"write {token.rpartition('!')[2]}")
    else:
        own.text(
            "api_token_id",
            r"[A-Za-z][A-Za-z0-9._-]+",
            "not a token's name",
            "write what stands after the ! in the token's ID",
        )
    secret = own.values.get("api_token_secret")
    if not isinstance(secret, str) or not secret or re.search(r"\s", secret):
        own.wrong(
            "api_token_secret",
            "not a token's secret",
            "write what `pveum user token add` has shown, encrypted by ansible-vault; where it is taken from the "
            "environment, as in proxmox.example.yml: read -rs PROXMOX_TOKEN_SECRET && export PROXMOX_TOKEN_SECRET",
            secret=True,
        )
    ca_file = own.values.get("ca_file") or ""
    if not isinstance(ca_file, str) or (ca_file and not ca_file.startswith("/")):
        own.wrong("ca_file", "not an absolute path", "write it as {{ inventory_dir }}/pve-root-ca.pem")
    return {
        "hosts": hosts,
        "port": own.integer("api_port", 1, 8006, maximum=65535),
        "user": user,
        "token_id": str(token or ""),
        "timeout": own.integer("api_timeout", 1, 30, unit="seconds"),
        "ca_file": ca_file if isinstance(ca_file, str) else "",
        "validate_certs": own.yes("validate_certs"),
    }


def wanted(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the role is told, judged.

    Args:
        variables: The role's variables by full name, defaults included; unknown ones are looked at for misspellings.

    Returns:
        ``problems`` (lines ``variable = value: why. Do: …``; the rest may be used only if there are none), ``api``
        (``hosts``, ``port``, ``user``, ``token_id``, ``timeout``, ``ca_file``, ``validate_certs``; never the secret),
        ``ownership``, ``limits`` (seconds, by name), ``wait``, ``known_hosts_file`` and ``vms``.
    """
    problems: list[str] = []
    values = {name.removeprefix(PREFIX): value for name, value in variables.items()}
    own = Check(values, problems, PREFIX, frozenset(), PREFIX)
    misspelt(own)
    ownership = own.choice("ownership", ("tag", "pool", "description")) or "tag"
    limits = {name: own.integer(f"{name}_timeout", 1, 300, unit="seconds") for name in LIMITS}
    vms = [_vm(check, ownership) for check in _vms(values, problems)]
    _unique(vms, problems)
    return {
        "problems": problems,
        "api": api(own),
        "ownership": ownership,
        "limits": limits,
        "wait": own.yes("wait"),
        "known_hosts_file": own.text(
            "known_hosts_file", r"[/~].*", "not an absolute path", "write it as ~/.ssh/known_hosts"
        ),
        "vms": vms,
    }
