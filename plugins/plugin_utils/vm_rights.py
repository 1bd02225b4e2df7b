# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which privileges what the role does needs at Proxmox VE, and which of them the token lacks. Pure.

From the API viewer's ``permissions``, and where that is silent from its prose and from qemu-server (``SDN.Use`` on the
bridge, ``Datastore.AllocateSpace`` on the storage, an option's ``VM.Config.*``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_CLOUD_INIT = ("VM.Config.Cloudinit", "VM.Config.Network")
#: What one may change by which privilege, or by any of several (qemu-server, `check_vm_modify_config_perm`).
OPTION_PRIVILEGES: dict[str, tuple[str, ...]] = {
    "cores": ("VM.Config.CPU",),
    "cpu": ("VM.Config.CPU",),
    "memory": ("VM.Config.Memory",),
    "balloon": ("VM.Config.Memory",),
    "net0": ("VM.Config.Network",),
    "ciuser": _CLOUD_INIT,
    "sshkeys": _CLOUD_INIT,
    "ipconfig0": _CLOUD_INIT,
    "nameserver": _CLOUD_INIT,
    "searchdomain": _CLOUD_INIT,
    "name": ("VM.Config.Options",),
    "onboot": ("VM.Config.Options",),
    "agent": ("VM.Config.Options",),
    "tags": ("VM.Config.Options",),
    "description": ("VM.Config.Options",),
}


@dataclass(frozen=True)
class Need:
    """A privilege, or any of several, at a path; or at a second path, where it may be held instead."""

    path: str
    privileges: tuple[str, ...]
    instead: str = ""


def held(permissions: Mapping[str, Mapping[str, Any]], path: str) -> set[str]:
    """The privileges at a path: those of the nearest path that is told, from one above it only what is handed down."""
    own = permissions.get(path)
    if own is not None:
        return set(own)
    above = path
    while above != "/":
        above = above.rpartition("/")[0] or "/"
        if above in permissions:
            return {privilege for privilege, down in permissions[above].items() if str(down) == "1"}
    return set()


def agent_privileges(version: tuple[int, int]) -> tuple[str, ...]:
    """What allows to ask the guest agent for addresses: Proxmox VE 9 has privileges of its own for the agent."""
    return ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted") if version >= (9, 0) else ("VM.Monitor",)


def bridge_path(bridge: str, vlan: object) -> str:
    """Where the privilege to use a bridge is looked up; one of its VLANs is below it."""
    return f"/sdn/zones/localnetwork/{bridge}" + (f"/{vlan}" if vlan else "")


def missing(permissions: Mapping[str, Mapping[str, Any]], needs: Iterable[Need]) -> dict[str, list[str]]:
    """The privileges that are not held, by the path where they are to be given; the first of a choice.

    That path is the second one if there is one: what is granted on a VM goes with it.
    """
    lacking: dict[str, list[tuple[str, ...]]] = {}
    for need in needs:
        has = held(permissions, need.path) | (held(permissions, need.instead) if need.instead else set())
        if not has & set(need.privileges):
            lacking.setdefault(need.instead or need.path, []).append(need.privileges)
    found: dict[str, list[str]] = {}
    for path, choices in sorted(lacking.items()):
        alone = {choice[0] for choice in choices if len(choice) == 1}
        # Where one of a choice is lacking by itself, too, that one is enough.
        found[path] = sorted(alone | {choice[0] for choice in choices if not alone & set(choice)})
    return found
