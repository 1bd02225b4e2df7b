# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The homelab seed's names of the VM's variables."""

from __future__ import annotations

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import wanted
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_seed import seed

from .vm_cluster import variables

#: What the seed's own documentation shows.
SEED = {"runner_vm_cores": 16, "runner_vm_memory_mb": 65536, "runner_vm_id": 250, "runner_vm_ip": "192.168.1.250"}


def test_the_seed_is_taken_over() -> None:
    found = seed(SEED, {})
    assert found["problems"] == []
    (vm,) = wanted({**variables(), **found["variables"]})["vms"]
    assert (vm["cores"], vm["memory"], vm["vmid"], vm["address"]) == (16, 65536, 250, "192.168.1.250/24")
    assert "taken for 192.168.1.250/24" in found["notes"][0]


def test_both_spellings_may_agree() -> None:
    own = {"proxmox_runner_vm_cores": "16", "proxmox_runner_vm_address": "192.168.1.250/24"}
    found = seed(SEED, own)
    assert found["problems"] == []
    assert not set(own) & set(found["variables"])


def test_both_spellings_may_not_differ() -> None:
    (problem,) = seed(SEED, {"proxmox_runner_vm_vmid": 251})["problems"]
    assert problem == "proxmox_runner_vm_vmid = 251: runner_vm_id says 250. Do: keep proxmox_runner_vm_vmid only"


def test_nothing_of_the_seed_is_nothing_to_do() -> None:
    assert seed({}, {"proxmox_runner_vm_cores": 3}) == {"variables": {}, "problems": [], "notes": []}
