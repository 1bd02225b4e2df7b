# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands against a plan, and what is only said: the template, the node, the storages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_ask

from .vm_cluster import CLONES, OWNER, Cluster, Json, actions, deployed, someone, two_nodes, variables


def _template(**changes: Any) -> Callable[[Cluster], None]:
    def change(cluster: Cluster) -> None:
        config = {**cluster.configs[9999], **changes}
        cluster.configs[9999] = {key: value for key, value in config.items() if value is not None}

    return change


def _set(**attributes: Any) -> Callable[[Cluster], None]:
    def change(cluster: Cluster) -> None:
        for name, value in attributes.items():
            setattr(cluster, name, value)

    return change


def _node(**changes: Any) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.nodes["pve1"].update(changes)


OURS = {"tags": OWNER, "name": "gh-runner-01"}


@pytest.mark.parametrize(
    ("options", "change", "problem"),
    [
        ({}, someone({}), "vmid = 250: theirs on pve1 has it, and is not ours"),
        ({}, someone({}, type="lxc"), "vmid = 250: theirs is a container"),
        ({}, someone({**OURS, "template": 1}, template=1), "vmid = 250: gh-runner-01 is a template"),
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
        ({"node": "pve2"}, two_nodes, "node = pve2: the template's disks are on local-lvm, which only pve1 has"),
        ({"disk_size": "1G"}, None, "disk_size = 1G: smaller than scsi0 is, 2252M, and a disk only grows"),
        ({"disk_size": "1G"}, someone(OURS), "disk_size = 1G: smaller than scsi0 is"),
        ({}, someone({**OURS, "lock": "backup"}), "vmid = 250: the VM is locked (backup)"),
        ({}, someone({**OURS, "lock": "clone", "cores": 1}), "vmid = 250: it is still being cloned after 900 s"),
        ({}, someone(OURS, hastate="stopped"), "vmid = 250: the VM is managed by HA (stopped)"),
        ({}, someone(OURS, node="pve2"), "no such node"),
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
    two_nodes(cluster)
    for storage in cluster.storages.values():
        storage["shared"] = 1
    cluster.configs[9999]["ide2"] = "local:9999/vm-9999-cloudinit.qcow2,media=cdrom"
    assert cluster.plan(variables(node="pve2"))["problems"] == []  # the token does not see that storage
    cluster.storages["pve1", "local"] = {"status": "available", "content": "images", "shared": 0}
    (problem,) = cluster.plan(variables(node="pve2"))["problems"]
    assert "node = pve2: the template's disks are on local, which only pve1 has" in problem


def test_a_clone_to_another_node_takes_a_storage_that_both_have() -> None:
    cluster = Cluster()
    two_nodes(cluster)
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
    two_nodes(cluster)
    for storage in cluster.storages.values():
        storage["shared"] = 1
    (act,) = cluster.plan(variables(node="pve2"))["vms"]
    assert (act["home"], act["node"], act["target"]) == ("pve1", "pve2", "pve2")
    paths = vm_ask.again({"vms": [act]})
    assert paths[0] == CLONES
    assert {"/nodes/pve1/qemu/250/config", "/nodes/pve2/qemu/250/config"} < set(paths)


def test_a_vm_that_was_just_made_a_template_is_one() -> None:
    """The list of all resources tells so some seconds later."""
    cluster, told = deployed()
    cluster.configs[250]["template"] = 1
    assert "gh-runner-01 is a template" in cluster.plan(told)["problems"][0]
    assert "gh-runner-01 is a template" in cluster.plan(told, "proxmox_vm_leave")["problems"][0]


@pytest.mark.parametrize("name", ["proxmox_vm_plan", "proxmox_vm_leave"])
def test_an_old_proxmox_ve_is_refused_by_its_version(name: str) -> None:
    """Before anything else is said of it: it has other privileges and other requests."""
    cluster = Cluster()
    for version, refused in (("7.4-17", True), ("8.0.3", False), ("9.2.2", False)):
        cluster.version = version
        problems = [line for line in cluster.plan(variables(), name)["problems"] if "not supported" in line]
        words = "proxmox_runner_vm_api_hosts: Proxmox VE 7.4 is not supported, 8 and 9 are. Do: update it ("
        assert [line.startswith(words) for line in problems] == [True] * refused
