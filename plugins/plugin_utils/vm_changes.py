# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between a VM as it is wanted and as Proxmox VE has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import OWNER, UNFINISHED

#: What a running VM has at once. The rest waits for a reboot: Proxmox VE calls it pending, or (cloud-init's settings,
#: the size of a file system) only a boot reads it.
AT_ONCE = {"description", "net0", "onboot", "tags"}


def _description(vm: Mapping[str, Any], ownership: str, fresh: bool) -> str | None:
    """The description to have; None to leave what is there."""
    text = vm["description"]
    if ownership == "description":
        return f"{text}\n\n{OWNER}".strip()
    if text or not fresh:
        return text or None
    return "GitHub Actions runners, made by the role ephemeral.github_runners.proxmox_runner_vm"


def _property(current: object, default_key: str, value: str) -> str:
    """A property string with another first value, and all else that it had."""
    return vm_config.property_string({**vm_config.properties(current, default_key), default_key: value}, default_key)


def changes_of(vm: Mapping[str, Any], config: Mapping[str, Any], ownership: str) -> dict[str, dict[str, Any]]:
    """The options of a VM that differ from what is wanted.

    Returns:
        By the API's name for the option: ``old`` and ``new`` for a person, and ``value`` as the module proxmox_kvm
        takes it. What means the same in another form is no difference.
    """
    found: dict[str, dict[str, Any]] = {}
    fresh = config.get("name") == UNFINISHED

    def compare(option: str, old: object, new: object, value: object = None) -> None:
        if old != new:
            found[option] = {"old": old, "new": new, "value": new if value is None else value}

    compare("name", config.get("name"), vm["name"])
    compare("cores", int(config.get("cores", 1)), vm["cores"])
    compare("memory", vm_config.memory(config.get("memory")), vm["memory"])
    if vm["balloon"] is not None:
        # Without a value the balloon's target is the memory itself, as it will be.
        compare("balloon", int(config.get("balloon", vm["memory"])), vm["balloon"])
    if vm["cpu_type"]:
        now = vm_config.properties(config.get("cpu"), "cputype").get("cputype", "kvm64")
        compare("cpu", now, vm["cpu_type"], _property(config.get("cpu"), "cputype", vm["cpu_type"]))
    compare("onboot", vm_config.yes(config.get("onboot", 0)), vm["on_boot"])
    enabled = "1" if vm["agent"] else "0"
    rest = vm_config.properties(config.get("agent"), "enabled")
    compare(
        "agent",
        vm_config.agent(config.get("agent")),
        vm["agent"],
        vm_config.property_string({**rest, "enabled": enabled}, "enabled"),
    )
    if vm["user"]:
        compare("ciuser", config.get("ciuser"), vm["user"])
    if vm["ssh_keys"]:
        old = vm_config.ssh_keys(config.get("sshkeys"))
        compare("sshkeys", sorted(old), sorted(vm["ssh_keys"]), "\n".join(vm["ssh_keys"]))
    wanted_address = {"ip": vm["address"], **({"gw": vm["gateway"]} if vm["gateway"] else {})}
    now_address = vm_config.properties(config.get("ipconfig0"))
    told = {key: now_address[key] for key in ("ip", "gw") if key in now_address}
    if told != wanted_address and (told or wanted_address != {"ip": "dhcp"} or fresh):
        more = {key: value for key, value in now_address.items() if key not in ("ip", "gw")}
        new = vm_config.property_string({**wanted_address, **more})
        compare("ipconfig0", config.get("ipconfig0"), new)
    if vm["nameservers"]:
        compare("nameserver", vm_config.words(config.get("nameserver")), vm["nameservers"])
    if vm["search_domain"]:
        compare("searchdomain", vm_config.words(config.get("searchdomain")), [vm["search_domain"]])
    _compare_network(vm, config, compare)
    if vm["tags"]:  # without, nothing that a tag policy could refuse
        # A clone has its template's tags; later ones are the user's own.
        kept = [] if fresh else vm_config.tags(config.get("tags"))
        compare("tags", vm_config.tags(config.get("tags")), sorted({*kept, *vm["tags"]}))
    text = _description(vm, ownership, fresh)
    if text is not None:
        compare("description", vm_config.description(config.get("description")), text)
    return found


def _compare_network(vm: Mapping[str, Any], config: Mapping[str, Any], compare: Any) -> None:
    device = vm_config.network(config.get("net0"))
    new = {**device, **({"bridge": vm["bridge"]} if vm["bridge"] else {})}
    if vm["vlan"]:
        new["tag"] = str(vm["vlan"])
    if new and new != device:
        new.setdefault("model", "virtio")
        compare("net0", vm_config.network_string(device) if device else None, vm_config.network_string(new))
