# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role proxmox_runner_vm is to ask, to do and to say.

Pure, but for `proxmox_vm_missing`: variables and answers in, a plan and lines for a person out. No line or plan shows
the token's secret. The parts are in ``plugins/plugin_utils/vm_*.py``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import (
    vm_absent,
    vm_ask,
    vm_reach,
    vm_seed,
    vm_world,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import wanted
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_plan import left_over, plan


def proxmox_vm_missing(collections: Iterable[str]) -> list[str]:
    """Lines about those of these collections that are not installed where Ansible runs."""
    return [
        f"the collection {name} is not installed where Ansible runs. "
        f"Do: ansible-galaxy collection install {name}, or let ANSIBLE_COLLECTIONS_PATH name the folder that has it"
        for name in collections
        if not _is_installed(name)
    ]


def _is_installed(collection: str) -> bool:
    try:
        return importlib.util.find_spec(f"ansible_collections.{collection}") is not None
    except ModuleNotFoundError:  # nothing of that namespace is
        return False


def proxmox_vm_plan(wanted: Mapping[str, Any], reads: Sequence[vm_world.Read]) -> dict[str, Any]:
    """The plan for all VMs, see `plan` in ``plugin_utils/vm_plan.py``."""
    return plan(wanted, vm_world.world(reads))


def proxmox_vm_leave(
    wanted: Mapping[str, Any], reads: Sequence[vm_world.Read], drained: Collection[str] | None = None
) -> dict[str, Any]:
    """What is to be destroyed, see ``plugin_utils/vm_absent.py``."""
    return vm_absent.leave(wanted, vm_world.world(reads), drained)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {
            "proxmox_vm_missing": proxmox_vm_missing,
            "proxmox_vm_wanted": wanted,
            "proxmox_vm_host": vm_ask.host,
            "proxmox_vm_cloning": vm_ask.cloning,
            "proxmox_vm_questions": vm_ask.questions,
            "proxmox_vm_again": vm_ask.again,
            "proxmox_vm_plan": proxmox_vm_plan,
            "proxmox_vm_left": left_over,
            "proxmox_vm_leave": proxmox_vm_leave,
            "proxmox_vm_running": vm_reach.running,
            "proxmox_vm_addresses": vm_reach.addresses,
            "proxmox_vm_key": vm_reach.host_key,
            "proxmox_vm_seed": vm_seed.seed,
        }
