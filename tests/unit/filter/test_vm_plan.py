# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be done with each VM."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from .vm_cluster import KEY, OWNER, Cluster, Json, actions, deployed, two_nodes, variables


def test_a_new_vm() -> None:
    cluster = Cluster()
    plan = cluster.plan(variables(cores=16, memory=65536 // 2, disk_size="100G", ssh_keys=[KEY], user="admin", vlan=10))
    assert plan["problems"] == []
    (act,) = plan["vms"]
    assert act["actions"] == ["create", "update", "resize", "start"]
    assert (act["template"], act["home"], act["node"], act["target"]) == (9999, "pve1", "pve1", "")
    assert act["resize"] == {"disk": "scsi0", "old": "2252M", "new": "100G"}
    assert act["changes"]["tags"] == {"old": ["template"], "new": [OWNER]}  # a clone has those of its template
    assert act["changes"]["net0"]["new"] == "virtio,bridge=vmbr0,tag=10"
    assert act["options"] == {}  # what to set is told by the clone itself: the template's address is not the clone's
    assert plan["lines"][0] == "gh-runner-01 (250 on pve1): create + update + resize + start"


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "cores": st.integers(1, 16),
    "memory": st.sampled_from([512, 8192, "8192", "16G"]),
    "balloon": st.sampled_from(["", 0, 512]),
    "cpu_type": st.sampled_from(["", "host", "x86-64-v2-AES"]),
    "disk_size": st.sampled_from(["", "2252M", "20G", "20480M", "1T"]),
    "bridge": st.sampled_from(["", "vmbr0", "vmbr1"]),
    "vlan": st.sampled_from(["", 10, "4094"]),
    "address": st.sampled_from(["dhcp", "192.168.1.250/24"]),
    "nameservers": st.lists(st.sampled_from(["192.168.1.1", "9.9.9.9", "fd00::1"]), max_size=2, unique=True),
    "search_domain": st.sampled_from(["", "home.lan"]),
    "user": st.sampled_from(["", "admin"]),
    "ssh_keys": st.lists(st.sampled_from([KEY, "ssh-rsa AAAAB3+/= a b+c%20@ä"]), max_size=2, unique=True),
    "on_boot": st.booleans(),
    "tags": st.lists(st.sampled_from(["ci", "b.c", "a_b"]), max_size=3),
    "description": st.sampled_from(["", "two\nlines", "trailing\n\n"]),
    "ownership": st.sampled_from(["tag", "description"]),
}
CHOICES = st.fixed_dictionaries({}, optional=OPTIONS)


@given(CHOICES, st.sampled_from(["create", "update", "resize", "start"]))
def test_what_is_done_is_not_done_again(options: Json, until: str) -> None:
    """From any point at which a run may have ended, the next one ends in the same state; one more changes nothing."""
    cluster, told = Cluster(), variables(**options)
    before = copy.deepcopy((cluster.vms[9999], cluster.configs[9999]))
    cluster.run(told, until)
    second = cluster.plan(told)
    assert second["problems"] == []
    assert "create" not in second["vms"][0]["actions"]
    cluster.run(told)
    third = cluster.plan(told)
    assert (third["problems"], actions(third), third["vms"][0]["reboot"]) == ([], [[]], [])
    assert sorted(cluster.vms) == [250, 9999]
    assert (cluster.vms[9999], cluster.configs[9999]) == before
    assert cluster.configs[250]["name"] == "gh-runner-01"
    assert "BC:24:11:00:00:50" in cluster.configs[250]["net0"]


@given(CHOICES, CHOICES)
@example({"memory": 512}, {"balloon": 512})  # what the balloon is without a value changes with the memory
def test_a_change_changes_only_what_differs(old: Json, new: Json) -> None:
    """Whatever was before: afterwards nothing is left to do, and no option is written that was as wanted."""
    cluster, _told = deployed(**{**old, "disk_size": ""})
    told = variables(**new)
    plan = cluster.plan(told)
    assert plan["problems"] == []
    (act,) = plan["vms"]
    before = copy.deepcopy(cluster.configs[250])
    cluster.do(plan)
    for option in act["options"]:
        assert cluster.configs[250][option] != before.get(option)
    assert actions(cluster.plan(told)) == [[]]


@pytest.mark.parametrize("option", ["cores", "memory"])
def test_more_of_a_running_vm_wants_a_reboot(option: str) -> None:
    cluster, _told = deployed()
    plan = cluster.plan(variables(**{option: 16 if option == "cores" else 16384}))
    (act,) = plan["vms"]
    assert (act["actions"], list(act["options"]), act["reboot"]) == (["update"], [option], [option])
    assert "  a reboot is needed for: " + option in plan["lines"]


def test_what_waits_for_a_reboot_is_said_until_there_was_one() -> None:
    cluster, told = deployed()
    cluster.pending[250] = [
        {"key": "cores", "value": 4, "pending": 8},
        {"key": "balloon", "value": 512, "delete": 1},
        {"key": "memory", "value": "8192"},
    ]
    cluster.undriven[250] = [
        {"key": "ciuser", "value": "a", "pending": "b"},
        {"key": "net0", "value": "a", "pending": "b"},  # the VM has that at once
    ]
    (act,) = cluster.plan(told)["vms"]
    assert (act["actions"], act["reboot"]) == ([], ["balloon", "ciuser", "cores"])


def test_what_a_running_vm_has_at_once_wants_none() -> None:
    cluster, _told = deployed()
    (act,) = cluster.plan(variables(tags=["ci"], description="x", on_boot=False))["vms"]
    assert (set(act["options"]), act["reboot"]) == ({"tags", "description", "onboot"}, [])


def test_the_same_in_another_form_is_no_difference() -> None:
    cluster, told = deployed(tags=["b", "a"], ssh_keys=[KEY], disk_size="20480M", nameservers=["9.9.9.9", "1.1.1.1"])
    cluster.configs[250] |= {
        "tags": f"b;{OWNER};a;mine",  # somebody's own tag stays
        "memory": "current=8192",
        "agent": "1,fstrim_cloned_disks=1",
        "cpu": "cputype=host,flags=+aes",
        "nameserver": "9.9.9.9,1.1.1.1",
        "onboot": "1",
        "cores": "4",
    }
    assert actions(cluster.plan({**told, "proxmox_runner_vm_cpu_type": "host"})) == [[]]


def test_what_else_stands_in_an_option_is_kept() -> None:
    cluster, _told = deployed()
    cluster.configs[250] |= {
        "agent": "enabled=0,fstrim_cloned_disks=1",
        "cpu": "kvm64,flags=+aes",
        "net0": "virtio=BC:24:11:00:00:50,bridge=vmbr0,firewall=1,queues=4",
        "ipconfig0": "ip=dhcp,ip6=auto",
    }
    (act,) = cluster.plan(variables(cpu_type="host", vlan=7, address="10.0.0.5/24", gateway="10.0.0.1"))["vms"]
    assert {key: act["options"][key] for key in ("agent", "cpu", "net0", "ipconfig0")} == {
        "agent": "1,fstrim_cloned_disks=1",
        "cpu": "host,flags=+aes",
        "net0": "virtio=BC:24:11:00:00:50,bridge=vmbr0,firewall=1,queues=4,tag=7",
        "ipconfig0": "ip=10.0.0.5/24,gw=10.0.0.1,ip6=auto",
    }


def test_several_vms_from_one_definition() -> None:
    other = {"name": "b", "vmid": 251, "cores": 8, "node": "pve2", "address": "10.0.0.6/24", "template": 9998}
    cluster = Cluster()
    two_nodes(cluster)
    cluster.add(9998, dict(cluster.configs[9999]), node="pve2", template=1)
    for here, there in (("/vms/250", "/vms/251"), ("/vms/9999", "/vms/9998")):
        cluster.permissions[there] = cluster.permissions[here]
    told = variables(vms=[{"name": "a", "vmid": 250}, other], address="10.0.0.5/24")
    cluster.run(told)
    assert [
        (cluster.vms[vmid]["node"], *(cluster.configs[vmid][option] for option in ("name", "cores", "ipconfig0")))
        for vmid in (250, 251)
    ] == [("pve1", "a", 4, "ip=10.0.0.5/24"), ("pve2", "b", 8, "ip=10.0.0.6/24")]
    assert actions(cluster.plan(told)) == [[], []]
