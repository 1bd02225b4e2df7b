# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's variables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import COMMON_OPTIONS

from .vm_cluster import SECRET, variables

WRONG: list[tuple[str, Any, str]] = [
    ("api_hosts", None, "not set"),
    ("api_hosts", ["https://pve1"], "is not a host's name"),
    ("api_port", 0, "not a whole number"),
    ("api_user", "ansible", "not a user with a realm"),
    ("api_token_id", "ansible@pve!runners", "write runners"),
    ("api_token_id", "", "not a token's name"),
    ("api_token_secret", "", "(hidden): not a token's secret"),
    ("api_token_secret", "", "read -rs PROXMOX_TOKEN_SECRET && export PROXMOX_TOKEN_SECRET"),
    ("api_timeout", "soon", "not a whole number"),
    ("ca_file", "ca.pem", "not an absolute path"),
    ("validate_certs", "maybe", "not true or false"),
    ("ownership", "name", "not tag or pool or description"),
    ("ownership", "pool", "it is what tells our VMs"),
    ("known_hosts_file", "known_hosts", "not an absolute path"),
    ("wait", 3, "not true or false"),
    ("vms", {"name": "a"}, "not a list of VMs"),
    ("vms", [{"name": "a"}], "vms[a].vmid = null: not a whole number"),
    ("vms", [{"vmid": 1000}], "vms[1].name = null: not a host name"),
    ("vms", [{"name": "a", "vmid": 250}, {"name": "b", "vmid": "250"}], "vms[b].vmid = 250: a has it too"),
    ("vms", [{"name": "a", "vmid": 250, "disk": 3}], "vms[a].disk = (hidden): a VM has no such option"),
    ("vmid", None, "not a whole number"),
    ("vmid", 99, "not a whole number from 100"),
    ("name", "gh_runner", "not a host name"),
    ("node", "pve.lan", "not a node's name"),
    ("template", "", "not a VMID and not a name"),
    ("template", True, "not a VMID and not a name"),
    ("full_clone", "x", "not true or false"),
    ("storage", "local lvm", "not a storage's name"),
    ("pool", "a b", "not a pool's name"),
    ("cores", 0, "not a whole number"),
    ("memory", "64", "not a whole number"),
    ("memory", "8.0001G", "not a whole number"),
    ("balloon", 9000, "not a whole number from 0 to 8192"),
    ("cpu_type", "a,b", "not a CPU type"),
    ("disk_size", 100, "not a size"),
    ("disk_size", "+5G", "not a size"),
    ("bridge", "vmbr0,tag=3", "not a bridge's name"),
    ("vlan", 4095, "not a whole number"),
    ("address", "192.168.1.250", "not dhcp and not an IPv4 address with its length"),
    ("address", "192.168.1.0/24", "no host's address"),
    ("gateway", "192.168.1.1", "DHCP tells the gateway"),
    ("nameservers", "dns.lan", "is not an address"),
    ("search_domain", "home lan", "not a domain"),
    ("user", "Admin", "not a user's name"),
    ("ssh_keys", ["AAAA"], "is not a public key"),
    ("on_boot", "later", "not true or false"),
    ("tags", ["a b"], "is not a tag"),
    ("agent", False, "with DHCP only the agent tells"),
    ("clone_timeout", 0, "not a whole number"),
    ("clone_timout", 5, "no such variable. Do: write proxmox_runner_vm_clone_timeout"),
]


@pytest.mark.parametrize(("option", "value", "problem"), WRONG)
def test_wrong_variables(option: str, value: Any, problem: str) -> None:
    found = filters.wanted(variables(**{option: value}))["problems"]
    assert any(problem in line for line in found), found
    assert all(line.startswith("proxmox_runner_vm_") and ". Do: " in line for line in found)
    assert SECRET not in repr(found)


def test_every_option_is_judged() -> None:
    judged = {option for option, _value, _problem in WRONG}
    assert set(COMMON_OPTIONS) <= judged


def test_a_linked_clone_stays_on_its_storage() -> None:
    (problem,) = filters.wanted(variables(full_clone=False, storage="ceph"))["problems"]
    assert "a linked clone stays on the template's storage" in problem
    (problem,) = filters.wanted(variables(address="10.0.0.5/24", gateway="10.0.1.1"))["problems"]
    assert "gateway = 10.0.1.1: not in the VM's own network 10.0.0.0/24" in problem


def test_a_collection_that_is_not_installed_is_named() -> None:
    words = "the collection {0} is not installed where Ansible runs. Do: ansible-galaxy collection install {0}, or"
    missing = ["nobody.has_this", "community.nobody_has_this"]
    lines = filters.proxmox_vm_missing(["ephemeral.github_runners", *missing])
    assert [line.startswith(words.format(name)) for line, name in zip(lines, missing, strict=True)] == [True, True]
