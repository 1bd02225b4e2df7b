# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be done with each VM, and what stands against it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import COMMON_OPTIONS

from .vm_cluster import OWNER, PRIVILEGES, SECRET, Cluster, Json, variables

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@home"


def deployed(**options: Any) -> tuple[Cluster, Json]:
    """A cluster in which the VM of these options is there and runs."""
    cluster, told = Cluster(), variables(**options)
    cluster.run(told)
    return cluster, told


def actions(plan: Json) -> list[list[str]]:
    return [act["actions"] for act in plan["vms"]]


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
    _two_nodes(cluster)
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


def _template(**changes: Any) -> Callable[[Cluster], None]:
    def change(cluster: Cluster) -> None:
        config = {**cluster.configs[9999], **changes}
        cluster.configs[9999] = {key: value for key, value in config.items() if value is not None}

    return change


def _vm(config: Json, **resource: Any) -> Callable[[Cluster], None]:
    def change(cluster: Cluster) -> None:
        cluster.add(250, {**cluster.configs[9999], "template": 0, "name": "theirs", "tags": "", **config}, **resource)

    return change


def _set(**attributes: Any) -> Callable[[Cluster], None]:
    def change(cluster: Cluster) -> None:
        for name, value in attributes.items():
            setattr(cluster, name, value)

    return change


def _two_nodes(cluster: Cluster) -> None:
    cluster.nodes["pve2"] = dict(cluster.nodes["pve1"])
    cluster.storages["pve2", "local-lvm"] = dict(cluster.storages["pve1", "local-lvm"])


def _node(**changes: Any) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.nodes["pve1"].update(changes)


OURS = {"tags": OWNER, "name": "gh-runner-01"}


@pytest.mark.parametrize(
    ("options", "change", "problem"),
    [
        ({}, _vm({}), "vmid = 250: theirs on pve1 has it, and is not ours"),
        ({}, _vm({}, type="lxc"), "vmid = 250: theirs is a container"),
        ({}, _vm({**OURS, "template": 1}, template=1), "vmid = 250: gh-runner-01 is a template"),
        ({"vmid": 9999}, None, "vmid = 9999: debian-13-cloud is a template"),
        ({"template": 8888}, None, "template = 8888: there is no such template"),
        ({"template": "debian"}, None, "template = debian: there is no such template"),
        ({"template": 300}, lambda c: c.add(300, {"name": "plain"}), "template = 300: plain is no template"),
        (
            {"template": "twin"},
            lambda c: [c.add(n, {"name": "twin"}, template=1) for n in (300, 301)],
            "several templates",
        ),
        ({}, _template(ide2=None), "template = 9999: it has no cloud-init drive"),
        ({}, _template(ide2="none,media=cdrom"), "template = 9999: it has no cloud-init drive"),
        (
            {},
            _template(boot="order=net0", scsi1="local-lvm:x,size=1G"),
            "template = 9999: its boot order names no disk",
        ),
        (
            {"template": 9999},
            _template(description=f"{OWNER}-template\n\nhttps://cloud.debian.org/images/a.qcow2 sha512:ab\n"),
            "address = dhcp: the template 9999 was made of a distribution's image, which has no guest agent",
        ),
        ({}, _template(net0=None), 'bridge = "": not set, and the template has no network device'),
        ({"node": "pve7"}, None, "node = pve7: no such node. Do: write one of pve1"),
        ({}, _node(status="offline"), "template = 9999: the node pve1 is offline"),
        ({"node": "pve1"}, _node(status="offline"), "node = pve1: the node pve1 is offline"),
        ({"memory": "128G"}, None, "memory = 131072: the node pve1 has 65536 MiB"),
        ({"cores": 32}, None, "cores = 32: the node pve1 has 16"),
        ({"storage": "ceph"}, None, "storage = ceph: there is no storage ceph on the node pve1"),
        ({}, _set(storages={("pve1", "local-lvm"): {"status": "unknown"}}), "the storage local-lvm is unknown"),
        ({}, _set(storages={("pve1", "local-lvm"): {"content": "iso"}}), "the storage local-lvm takes no disks"),
        ({"node": "pve2"}, _two_nodes, "node = pve2: the template's disks are on local-lvm, which only pve1 has"),
        ({"disk_size": "1G"}, None, "disk_size = 1G: smaller than scsi0 is, 2252M, and a disk only grows"),
        ({"disk_size": "1G"}, _vm(OURS), "disk_size = 1G: smaller than scsi0 is"),
        ({}, _vm({**OURS, "lock": "backup"}), "vmid = 250: the VM is locked (backup)"),
        ({}, _vm({**OURS, "lock": "clone", "cores": 1}), "vmid = 250: it is still being cloned after 900 s"),
        ({}, _vm(OURS, hastate="stopped"), "vmid = 250: the VM is managed by HA (stopped)"),
        ({}, _vm(OURS, node="pve2"), "no such node"),
        ({}, _set(quorate=0), "the cluster has lost its quorum"),
        ({}, _set(permissions={}), "api_token_id: the token has no privileges at all"),
    ],
)
def test_problems(options: Json, change: Callable[[Cluster], object] | None, problem: str) -> None:
    cluster = Cluster()
    if change:
        change(cluster)
    plan = cluster.plan(variables(**options))
    assert any(line.startswith("proxmox_runner_vm_") and problem in line for line in plan["problems"]), plan["problems"]
    assert all(". Do: " in line for line in plan["problems"])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({}, ""),
        ({"serial0": None}, "template 9999: no serial console, which cloud images want. Do: qm set 9999 --serial0"),
        (
            {"sockets": 2},
            "template 9999: it has 2 sockets, so that a VM has that many times its cores. Do: qm set 9999",
        ),
        ({"agent": None}, "template 9999: the guest agent is off; it has to be installed in the image, too"),
        ({"agent": "0,type=virtio"}, "template 9999: the guest agent is off"),
        ({"scsihw": None}, "template 9999: the controller of scsi0 is lsi, for which"),
        ({"scsihw": "megasas"}, "template 9999: the controller of scsi0 is megasas, for which"),
        ({"scsi0": None, "ide0": "local-lvm:x,size=2G", "boot": "order=ide0"}, "the boot disk is ide0, which is slow"),
        ({"scsi0": None, "sata0": "local-lvm:x,size=2G", "boot": "order=sata0"}, "the boot disk is sata0, which is"),
        ({"scsi0": None, "virtio0": "local-lvm:x,size=2G", "boot": "order=virtio0", "scsihw": None}, ""),
    ],
)
def test_what_a_template_should_have_is_said(change: Json, note: str) -> None:
    """It may be cloned all the same: what is in the image cannot be seen from outside."""
    cluster = Cluster()
    _template(**change)(cluster)
    plan = cluster.plan(variables())
    assert plan["problems"] == []
    assert len(plan["notes"]) == bool(note)
    assert note in "".join(plan["notes"])


@pytest.mark.parametrize(
    ("address", "notes"),
    [
        ("192.168.1.250/24", f"{OWNER}-template\n\nhttps://cloud.debian.org/a.qcow2"),
        ("dhcp", f"{OWNER}-template\n\nhttps://images.home.lan/debian-with-the-agent.qcow2"),
        ("dhcp", "by hand from https://cloud.debian.org/a.qcow2, with the agent"),
    ],
)
def test_an_agent_may_be_in_an_image_that_nobody_knows(address: str, notes: str) -> None:
    cluster = Cluster()
    _template(description=notes)(cluster)
    assert cluster.plan(variables(address=address))["problems"] == []


def test_all_that_a_clone_takes_space_of() -> None:
    """Disk, EFI variables and TPM; the cloud-init drive is for whoever may clone, and yet keeps it on its node."""
    cluster = Cluster()
    _template(efidisk0="efi:base-9999-disk-1,size=4M", tpmstate0="file=tpm:base-9999-disk-2,size=4M")(cluster)
    cluster.configs[9999]["ide2"] = "local:9999/vm-9999-cloudinit.qcow2,media=cdrom"
    problems = cluster.plan(variables())["problems"]
    assert [line.split(". Do:")[0] for line in problems] == [
        f"proxmox_runner_vm_template = 9999: there is no storage {name} on the node pve1 that the token may see"
        for name in ("efi", "tpm")
    ]
    assert cluster.plan(variables(storage="local-lvm"))["problems"] == []


def test_a_local_cloud_init_drive_keeps_a_clone_on_its_node() -> None:
    cluster = Cluster()
    _two_nodes(cluster)
    for storage in cluster.storages.values():
        storage["shared"] = 1
    cluster.configs[9999]["ide2"] = "local:9999/vm-9999-cloudinit.qcow2,media=cdrom"
    assert cluster.plan(variables(node="pve2"))["problems"] == []  # the token does not see that storage
    cluster.storages["pve1", "local"] = {"status": "available", "content": "images", "shared": 0}
    (problem,) = cluster.plan(variables(node="pve2"))["problems"]
    assert "node = pve2: the template's disks are on local, which only pve1 has" in problem


def test_a_clone_to_another_node_takes_a_storage_that_both_have() -> None:
    cluster = Cluster()
    _two_nodes(cluster)
    cluster.storages["pve1", "local-lvm"]["shared"] = 1
    told = variables(node="pve2", storage="fast")
    for shared, here, problems in ((0, True, 1), (1, False, 1), (1, True, 0)):
        fast = {"status": "available", "content": "images", "shared": shared}
        cluster.storages |= {("pve2", "fast"): fast, ("pve1" if here else "pve3", "fast"): fast}
        cluster.permissions["/storage/fast"] = {"Datastore.AllocateSpace": 1}
        found = cluster.plan(told)["problems"]
        assert len(found) == problems, found
        assert all("storage = fast: not shared by pve1" in line for line in found)
        cluster.storages.pop(("pve1", "fast"), None)


def test_all_problems_at_once() -> None:
    cluster = Cluster()
    _template(ide2=None)(cluster)
    assert len(cluster.plan(variables(memory="128G", storage="ceph", disk_size="1G"))["problems"]) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: cluster.vms[250].update(hastate="started"),
        lambda cluster: cluster.vms[250].update(hastate="ignored", status="stopped"),
        lambda cluster: cluster.configs[250].update(lock="backup"),
        lambda cluster: setattr(cluster, "quorate", 0),
        lambda cluster: cluster.permissions.clear() or cluster.permissions.update({"/vms/250": {"VM.Audit": 1}}),
    ],
)
def test_what_is_not_touched_needs_nothing(change: Callable[[Cluster], object]) -> None:
    cluster, told = deployed(address="10.0.0.5/24")
    change(cluster)
    plan = cluster.plan(told)
    assert [line for line in plan["problems"] if "PowerMgmt" not in line] == []


def test_a_vm_that_was_moved_stays_where_it_is() -> None:
    cluster, told = deployed(node="pve1")
    cluster.nodes["pve2"] = dict(cluster.nodes["pve1"])
    cluster.vms[250]["node"] = "pve2"
    plan = cluster.plan(told)
    assert (plan["problems"], actions(plan)) == ([], [[]])
    assert plan["vms"][0]["node"] == "pve2"
    assert plan["notes"] == ["gh-runner-01: it is on the node pve2, and stays there; pve1 is for new ones"]


def test_a_clone_to_another_node_on_shared_storage() -> None:
    cluster = Cluster()
    _two_nodes(cluster)
    for storage in cluster.storages.values():
        storage["shared"] = 1
    (act,) = cluster.plan(variables(node="pve2"))["vms"]
    assert (act["home"], act["node"], act["target"]) == ("pve1", "pve2", "pve2")
    paths = filters.proxmox_vm_again({"vms": [act]})
    assert paths[0] == CLONES
    assert {"/nodes/pve1/qemu/250/config", "/nodes/pve2/qemu/250/config"} < set(paths)


def test_ownership() -> None:
    for mode, theirs in (("tag", {}), ("description", {"description": f"x\n\n{OWNER}\n"})):
        cluster, told = deployed(ownership=mode, description="x")
        assert OWNER in str(cluster.configs[250].get({"tag": "tags"}.get(mode, mode)))
        assert actions(cluster.plan(told)) == [[]]
        _vm({**theirs, "name": "gh-runner-01"})(cluster)
        assert bool(cluster.plan(told)["problems"]) is (mode == "tag")


def test_a_vm_that_is_handed_over_keeps_its_tags() -> None:
    cluster, told = deployed()
    cluster.configs[250]["tags"] = "a;B"
    assert f"is not ours (it has no tag {OWNER})" in cluster.plan(told)["problems"][0]
    assert cluster.plan(told)["problems"][0].endswith(f"qm set 250 --tags a,B,{OWNER}")


def test_a_vm_that_was_just_made_a_template_is_one() -> None:
    """The list of all resources tells so some seconds later."""
    cluster, told = deployed()
    cluster.configs[250]["template"] = 1
    assert "gh-runner-01 is a template" in cluster.plan(told)["problems"][0]
    assert "gh-runner-01 is a template" in cluster.plan(told, "proxmox_vm_leave")["problems"][0]


def test_ownership_by_pool() -> None:
    cluster = Cluster()
    cluster.permissions["/pool/runners"] = cluster.permissions.pop("/vms/250")
    told = variables(ownership="pool", pool="runners")
    (problem,) = cluster.plan(told)["problems"]  # else the VM is nobody's as soon as it has its name
    assert "the token lacks Pool.Audit on /pool/runners. Do:" in problem
    cluster.permissions["/pool/runners"]["Pool.Audit"] = 1
    cluster.pools.append("runners")
    plan = cluster.plan(told)
    assert plan["problems"] == []
    assert "tags" not in plan["vms"][0]["changes"]  # a tag policy may refuse to take away those of the template, too
    cluster.run(told)
    assert actions(cluster.plan(told)) == [[]]
    cluster.vms[250]["pool"] = "others"
    assert "is not ours (it is not in the pool runners)" in cluster.plan(told)["problems"][0]
    assert "put it there: pveum pool modify runners --vms 250" in cluster.plan(told)["problems"][0]


def test_a_pool_is_for_new_vms_and_hidden_from_who_may_not_look() -> None:
    cluster = Cluster()
    cluster.run(variables())
    told = variables(pool="runners")
    assert cluster.plan(told)["notes"] == []
    cluster.permissions["/pool/runners"] = {"Pool.Audit": 1}
    assert cluster.plan(told)["notes"] == ["gh-runner-01: it is not in the pool runners, which is for new ones"]
    cluster.vms[250]["pool"] = "runners"
    assert cluster.plan(told)["notes"] == []


#: All privileges that a new VM with everything wants, and where.
PAIRS = [(path, privilege) for path, privileges in PRIVILEGES.items() for privilege in privileges]


@pytest.mark.parametrize(("path", "privilege"), [pair for pair in PAIRS if pair != ("/vms/9999", "VM.Audit")])
def test_any_privilege_less_is_told(path: str, privilege: str) -> None:
    cluster, told = Cluster(), variables(cores=8, disk_size="20G", vlan=7, user="admin")
    assert cluster.plan(told)["problems"] == []
    del cluster.permissions[path][privilege]
    problems = cluster.plan(told)["problems"]
    # That of the template, which a clone has at first, and that of the VM.
    bridges = ["/sdn/zones/localnetwork/vmbr0", "/sdn/zones/localnetwork/vmbr0/7"]
    places = bridges if privilege == "SDN.Use" else [path]
    assert [line.split(". Do:")[0] for line in problems] == [
        f"proxmox_runner_vm_api_token_id: the token lacks {privilege} on {where}" for where in places
    ]


def test_either_of_two_is_enough() -> None:
    """Cloud-init's options are for who may change the network, too, and the agent's addresses for who may do all."""
    told = variables(user="admin", ssh_keys=[KEY])
    for has, other in (
        ("VM.Config.Network", "VM.Config.Cloudinit"),
        ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"),
    ):
        cluster = Cluster()
        del cluster.permissions["/vms/250"][has]
        (problem,) = cluster.plan(told)["problems"]
        assert f"the token lacks {min(has, other)} on /vms/250. Do:" in problem
        cluster.permissions["/vms/250"][other] = 1
        assert cluster.plan(told)["problems"] == []
    cluster = Cluster()
    del cluster.permissions["/vms/250"]["VM.Config.Network"]
    (problem,) = cluster.plan({**told, "proxmox_runner_vm_vlan": 7})["problems"]
    assert "the token lacks VM.Config.Network on /vms/250. Do:" in problem  # the one that is enough for both


def test_what_is_lacking_is_to_be_given_on_the_pool() -> None:
    """What is granted on a VM goes when that is destroyed."""
    cluster = Cluster()
    cluster.permissions["/pool/runners"] = cluster.permissions.pop("/vms/250")
    del cluster.permissions["/pool/runners"]["VM.PowerMgmt"]
    (problem,) = cluster.plan(variables(pool="runners"))["problems"]
    assert "the token lacks VM.PowerMgmt on /pool/runners. Do: give it a role with that there" in problem


def test_privileges_of_proxmox_ve_8() -> None:
    cluster, told = Cluster(), variables()
    cluster.version = "8.4.1"
    (problem,) = cluster.plan(told)["problems"]
    assert "lacks VM.Monitor on /vms/250" in problem
    cluster.permissions["/vms/250"]["VM.Monitor"] = 1
    assert cluster.plan(told)["problems"] == []


@pytest.mark.parametrize("name", ["proxmox_vm_plan", "proxmox_vm_leave"])
def test_an_old_proxmox_ve_is_refused_by_its_version(name: str) -> None:
    """Before anything else is said of it: it has other privileges and other requests."""
    cluster = Cluster()
    for version, refused in (("7.4-17", True), ("8.0.3", False), ("9.2.2", False)):
        cluster.version = version
        problems = [line for line in cluster.plan(variables(), name)["problems"] if "not supported" in line]
        words = "proxmox_runner_vm_api_hosts: Proxmox VE 7.4 is not supported, 8 and 9 are. Do: update it ("
        assert [line.startswith(words) for line in problems] == [True] * refused


def test_a_collection_that_is_not_installed_is_named() -> None:
    words = "the collection {0} is not installed where Ansible runs. Do: ansible-galaxy collection install {0}, or"
    missing = ["nobody.has_this", "community.nobody_has_this"]
    lines = filters.proxmox_vm_missing(["ephemeral.github_runners", *missing])
    assert [line.startswith(words.format(name)) for line, name in zip(lines, missing, strict=True)] == [True, True]


def test_privileges_are_handed_down() -> None:
    cluster, told = Cluster(), variables()
    everything = {privilege for privileges in PRIVILEGES.values() for privilege in privileges}
    for down in (1, 0):
        cluster.permissions = {"/": dict.fromkeys(everything, down)}
        assert bool(cluster.plan(told)["problems"]) is (down == 0)


def test_absent() -> None:
    cluster, told = deployed()
    found = cluster.plan(told, "proxmox_vm_leave")
    assert (found["problems"], [vm["vmid"] for vm in found["vms"]]) == ([], [250])
    for change, problem in (
        ({"tags": "", "name": "theirs"}, "is not ours"),
        ({"lock": "backup"}, "locked (backup)"),
        ({"protection": 1}, "the VM is protected"),  # told before it is stopped
    ):
        other = copy.deepcopy(cluster)
        other.configs[250] |= change
        assert problem in other.plan(told, "proxmox_vm_leave")["problems"][0]
    cluster.vms[250]["hastate"] = "started"
    assert "managed by HA" in cluster.plan(told, "proxmox_vm_leave")["problems"][0]
    assert Cluster().plan(told, "proxmox_vm_leave") == {"problems": [], "vms": [], "lines": []}
    assert "is a template" in Cluster().plan(variables(vmid=9999), "proxmox_vm_leave")["problems"][0]


def test_a_vm_that_was_not_drained_stays() -> None:
    cluster, told = deployed()

    def problems(drained: list[str] | None) -> list[str]:
        return list(cluster.plan(told, "proxmox_vm_leave", drained)["problems"])

    assert problems(None) == problems(["gh-runner-01"]) == []
    (problem,) = problems([])
    assert problem.startswith("gh-runner-01 (250 on pve1): it runs, and its runners were not drained. Do: ")
    cluster.vms[250]["status"] = "stopped"
    assert problems([]) == []  # no job runs on it


def test_what_was_not_done_is_told_with_its_reason() -> None:
    cluster, told = Cluster(), variables()
    plan = cluster.plan(told)
    results = [{"item": {"vmid": 250}, "msg": "Reached timeout while waiting for creating VM. Last line: x"}]
    left = filters.left_over(plan, ["create"], results)
    assert left["paths"] == ["/nodes/pve1/tasks?vmid=9999&typefilter=qmclone&limit=1&source=all"]
    answer = {"path": left["paths"][0], "status": 200, "reason": "", "data": [{"upid": "it runs"}]}
    read = {"answers": [answer]}
    (problem,) = filters.left_over(plan, ["create"], results, read)["problems"]
    assert "create failed: it is still being cloned (that goes on, and nothing is lost). Do: raise proxmox_" in problem
    answer["data"] = [{"endtime": 1, "status": "clone failed: no space left"}]
    (problem,) = filters.left_over(plan, ["create"], results, read)["problems"]
    assert problem.startswith("gh-runner-01 (250 on pve1): create failed: clone failed: no space left (nothing of it")
    for between in (": ", "="):  # versions 2 and 1 of the module
        refused = [{"item": {"vmid": 250}, "msg": f"Unable to clone vm x from vmid 9999{between}403 Forbidden: no"}]
        (problem,) = filters.left_over(plan, ["create"], refused, read)["problems"]
        assert "create failed: 403 Forbidden: no (" in problem
    slow = "HTTPSConnectionPool(host='pve1.lan', port=8006): Read timed out. (read timeout=30)"
    (problem,) = filters.left_over(plan, ["create"], [{"item": {"vmid": 250}, "msg": slow}])["problems"]
    assert f"create failed: {slow} (nothing of it is there). Do: raise proxmox_runner_vm_api_timeout" in problem
    cluster.run(told)
    assert filters.left_over(cluster.plan(told), ["create", "update", "start"])["problems"] == []


def test_why_qemu_did_not_start_is_told_in_its_own_words() -> None:
    cluster, told = Cluster(), variables()
    cluster.run(told, until="update")
    plan = cluster.plan(told)
    results = [{"item": {"vmid": 250}, "msg": "Reached timeout while waiting for starting VM. Last line: x"}]
    path, log = (
        "/nodes/pve1/tasks?vmid=250&typefilter=qmstart&limit=1&source=all",
        "/nodes/pve1/tasks/UPID:1/log?limit=500",
    )
    ended = {"upid": "UPID:1", "endtime": 1, "status": "start failed: QEMU exited with code 1"}
    read = {"answers": [{"path": path, "status": 200, "reason": "", "data": [ended]}]}
    left = filters.left_over(plan, ["start"], results, read)
    assert (left["paths"], left["logs"]) == ([path], [log])
    why = "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory"
    lines = ["generating cloud-init ISO", why, "TASK ERROR: start failed: QEMU exited with code 1"]
    answer = {"path": log, "status": 200, "reason": "", "data": [{"n": n, "t": t} for n, t in enumerate(lines, 1)]}
    (problem,) = filters.left_over(plan, ["start"], results, read, {"answers": [answer]})["problems"]
    assert f"start failed: start failed: QEMU exited with code 1; {why} (what is there stays" in problem
    assert "Do: write less proxmox_runner_vm_memory, or stop another VM" in problem
    ended["status"] = "OK"
    assert filters.left_over(plan, ["start"], results, read)["logs"] == []


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


def _refused(name: str, status: int | None, reason: str) -> Json:
    return {"host": name, "status": status, "reason": reason}


def test_the_first_host_that_answers_is_asked() -> None:
    wanted = filters.wanted(variables(api_hosts=["pve1", "pve2"]))
    down = _refused("pve1", None, "[Errno 111] refused")
    found = filters.proxmox_vm_host({"refused": [down], "host": "pve2", "answers": []}, wanted)
    assert (found["host"], found["problems"]) == ("pve2", [])
    assert "Errno 111" in found["notes"][0]
    found = filters.proxmox_vm_host({"refused": [down, down]}, wanted)
    assert found["host"] == ""
    assert "see that it is on" in found["problems"][0]


@pytest.mark.parametrize(
    ("status", "reason", "problem"),
    [
        (401, "No ticket", "pve1 refuses the token ansible@pve!runners (No ticket)"),
        (
            None,
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get",
            "set proxmox_runner_vm_ca_file",
        ),
        (
            None,
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid "
            "for 'pve1'. (_ssl.c:1006)",
            "write the node as its certificate names it",
        ),
        (
            None,
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: CA cert does not include key usage extension",
            "give the nodes a certificate by today's rules",
        ),
        (596, "tls_process_server_certificate", "tls_process_server_certificate"),
    ],
)
def test_hosts_that_do_not_answer(status: int | None, reason: str, problem: str) -> None:
    found = filters.proxmox_vm_host({"refused": [_refused("pve1", status, reason)]}, filters.wanted(variables()))
    assert problem in found["problems"][0]


def test_what_the_module_says_where_no_host_was_asked() -> None:
    found = filters.proxmox_vm_host({"msg": "no proxmoxer"}, filters.wanted(variables()))
    assert (found["host"], found["problems"]) == ("", ["no proxmoxer"])


def test_what_nobody_tells_any_more_is_not_taken_for_absent() -> None:
    """The host goes between two looks: an old list of what there is would have the VM cloned, or called undone."""
    cluster, told = Cluster(), variables()
    wanted = filters.wanted(told)
    reads = [
        cluster.read(filters.proxmox_vm_questions(wanted)),
        {"msg": "api_hosts = pve1.lan: no answer", "refused": []},
    ]
    plan = filters.proxmox_vm_plan(wanted, reads)
    assert plan["vms"] == []
    assert "api_hosts = pve1.lan: no answer" in plan["problems"][0]


CLONE = {"type": "qmclone", "starttime": 1}
#: A token is not shown its own tasks in those of the cluster.
CLONES = "/nodes/pve1/tasks?vmid=9999&typefilter=qmclone&source=active"


@pytest.mark.parametrize(
    ("path", "data", "cloning"),
    [
        (CLONES, [CLONE], True),
        (CLONES, [{**CLONE, "endtime": 2}, {"type": "qmstart"}], False),
        (CLONES, None, False),
        ("/nodes/pve1/qemu/250/config", {"lock": "clone"}, True),
        ("/nodes/pve1/qemu/250/config", {"lock": "backup"}, False),
    ],
)
def test_a_clone_that_is_under_way(path: str, data: Any, cloning: bool) -> None:
    other = {"path": "/access/permissions", "status": 200, "reason": "", "data": {}}
    read = {"answers": [other, {"path": path, "status": 200, "reason": "", "data": data}]}
    assert filters.proxmox_vm_cloning(read) is cloning
    assert not filters.proxmox_vm_cloning({"msg": "no answer"})


def test_a_template_is_asked_for_as_long_as_there_is_no_clone() -> None:
    cluster, told = Cluster(), variables()
    template = "/nodes/pve1/qemu/9999/config"
    assert template in filters.proxmox_vm_again(cluster.plan(told))
    cluster.run(told)
    assert template not in filters.proxmox_vm_again(cluster.plan(told))
