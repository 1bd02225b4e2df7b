# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM's variable names of the homelab playbooks that this collection grew from, in its own words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import PREFIX

#: The seed's names, and ours.
NAMES = {
    "runner_vm_id": "vmid",
    "runner_vm_cores": "cores",
    "runner_vm_memory_mb": "memory",
    "runner_vm_ip": "address",
}


def seed(told: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The seed's variables by the role's names.

    Args:
        told: The seed's variables that are set, by name.
        own: The variables of the role that are set, by full name, without its defaults.

    Returns:
        ``variables``: what is to be set, by full name; ``problems``: lines ``variable = value: why. Do: …``;
        ``notes``: what a person should hear.
    """
    variables: dict[str, Any] = {}
    problems, notes = [], []
    for name, option in NAMES.items():
        if name not in told:
            continue
        value = told[name]
        if option == "address" and value != "dhcp" and "/" not in str(value):
            value = f"{value}/24"
            notes.append(
                f"{name} = {told[name]}: taken for {value}. Do: set {PREFIX}address, with the network's length"
            )
        mine = own.get(PREFIX + option)
        if PREFIX + option not in own:
            variables[PREFIX + option] = value
        elif str(mine) != str(value):
            problems.append(
                f"{PREFIX}{option} = {json.dumps(mine, default=str)}: {name} says {json.dumps(value, default=str)}. "
                f"Do: keep {PREFIX}{option} only"
            )
    return {"variables": variables, "problems": problems, "notes": notes}
