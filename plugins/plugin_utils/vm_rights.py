# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which privileges what the role does needs at Proxmox VE, and which of them the token lacks. Pure.

From the API viewer's ``permissions``, and where that is silent from its prose and from qemu-server (``SDN.Use`` on the
bridge, ``Datastore.AllocateSpace`` on the storage, an option's ``VM.Config.*``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: What one may change by which privilege (qemu-server, `check_vm_modify_config_perm`).
OPTION_PRIVILEGES = {
    "cores": "VM.Config.CPU",
    "cpu": "VM.Config.CPU",
    "memory": "VM.Config.Memory",
    "balloon": "VM.Config.Memory",
    "net0": "VM.Config.Network",
    "ciuser": "VM.Config.Cloudinit",
    "sshkeys": "VM.Config.Cloudinit",
    "ipconfig0": "VM.Config.Cloudinit",
    "nameserver": "VM.Config.Cloudinit",
    "searchdomain": "VM.Config.Cloudinit",
    "name": "VM.Config.Options",
    "onboot": "VM.Config.Options",
    "agent": "VM.Config.Options",
    "tags": "VM.Config.Options",
    "description": "VM.Config.Options",
}


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


def agent_privilege(version: tuple[int, int], action: str) -> str:
    """What asking the guest agent needs: Proxmox VE 9 has privileges of its own for it."""
    return f"VM.GuestAgent.{action}" if version >= (9, 0) else "VM.Monitor"


def bridge_path(bridge: str, vlan: object) -> str:
    """Where the privilege to use a bridge is looked up; one of its VLANs is below it."""
    return f"/sdn/zones/localnetwork/{bridge}" + (f"/{vlan}" if vlan else "")


def missing(
    permissions: Mapping[str, Mapping[str, Any]], needed: Iterable[tuple[str, str, str]]
) -> list[tuple[str, str]]:
    """The pairs of path and privilege that are not held; a need may name a second path where it may be held, too."""
    found = []
    for path, privilege, instead in needed:
        if privilege not in held(permissions, path) and not (instead and privilege in held(permissions, instead)):
            found.append((path, privilege))
    return sorted(set(found))
