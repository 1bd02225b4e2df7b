# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm: what it decides by a Proxmox VE's own answers. Playbooks are in tests/proxmox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from proxmoxer import ResourceException

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_ask
from tests.contract.proxmox import USER
from tests.contract.role import Role, cluster, documented
from tests.doubles.proxmox.server import Double

pytestmark = pytest.mark.usefixtures("host_key")
OWNER = "ephemeral-github-runners"


@pytest.fixture
def pve_options() -> dict[str, Any]:
    """Proxmox VE 9."""
    return cluster()


def _change(**things: Any) -> Callable[[Double], object]:
    return lambda double: double.admin.define(**things)


def _template(**config: Any) -> Callable[[Double], object]:
    return _change(vms={"9999": {"config": config}})


def _access(audit: bool = False, **changes: Any) -> Callable[[Double], object]:
    rules = {**documented(9), **changes}
    if audit:
        rules["roles"]["Audit"] = ["Sys.Audit", "Datastore.Audit", "VM.Audit"]
        rules["acl"] += [{"path": "/", "who": who, "role": "Audit"} for who in (USER, f"{USER}!runners")]
    return lambda double: double.admin.access(**rules)


def _settings(**changes: Any) -> Callable[[Double], object]:
    return lambda double: double.admin.settings(**changes)


def _both(*changes: Callable[[Double], object]) -> Callable[[Double], object]:
    def change(double: Double) -> None:
        for each in changes:
            each(double)

    return change


def _vm(ours: bool = True, **config: Any) -> Callable[[Double], object]:
    """VM 250 is there, in our pool."""
    name, tags = ("gh-runner-01", OWNER) if ours else ("theirs", "")
    told = {"name": name, "tags": tags, "scsi0": "local-lvm:vm-250-disk-0,size=2G", "boot": "order=scsi0"}
    return _change(vms={"250": {"config": {**told, **config}}}, pools={"runners": {"vms": [250]}})


OFFLINE = _change(nodes={"pve2": {"address": "127.0.0.2", "online": False}})
#: What is wrong -> the role's options, how it comes about, and what is said of it.
WRONG: dict[str, tuple[dict[str, Any], Callable[[Double], object] | None, str]] = {
    "wrong token": ({"api_token_secret": "anotherSecret"}, None, "refuses the token ansible@pve!runners ("),
    "no privileges": ({}, _access(acl=[]), "api_token_id: the token has no privileges at all"),
    "own authority": ({"ca_file": ""}, None, "set proxmox_runner_vm_ca_file to a copy of the cluster's"),
    "nobody there": ({"api_hosts": ["127.0.0.9"]}, None, "see that it is on and reached from here"),
    "template": ({"template": 8888}, None, "template = 8888: there is no such template"),
    "template by name": ({"template": "debian"}, None, "template = debian: there is no such template"),
    "no template": (
        {"template": 300},
        _both(_access(audit=True), _change(vms={"300": {"config": {"name": "plain"}}})),
        "template = 300: plain is no template",
    ),
    "node": ({"node": "pve7"}, None, "node = pve7: no such node. Do: write one of pve"),
    "node down": ({"node": "pve2"}, OFFLINE, "node = pve2: the node pve2 is offline"),
    "vm on a node that is down": (
        {},
        _both(_vm(), OFFLINE, _change(vms={"250": {"node": "pve2"}})),
        "vmid = 250: its configuration cannot be read: No route to host",
    ),
    "storage": ({"storage": "ceph"}, None, "storage = ceph: there is no storage ceph on the node pve"),
    "storage for other things": (
        {"storage": "local"},
        _access(audit=True),
        "storage = local: the storage local takes no disks of VMs",
    ),
    "pool": ({"pool": "other"}, None, "api_token_id: the token lacks VM.Allocate"),
    "stranger": ({}, _vm(ours=False), "vmid = 250: theirs on pve has it, and is not ours"),
    "template as vm": ({"vmid": 9999}, None, "vmid = 9999: debian-13-cloud is a template"),
    "backup": ({}, _vm(lock="backup"), "vmid = 250: the VM is locked (backup)"),
    "HA": (
        {},
        _both(_vm(), _change(ha={"250": {"state": "stopped"}})),
        "vmid = 250: the VM is managed by HA (stopped)",
    ),
    "quorum": (
        {},
        _both(_access(audit=True), OFFLINE, _settings(quorate=False)),
        "api_hosts: the cluster has lost its quorum",
    ),
    "memory": ({"memory": "64G"}, _access(audit=True), "memory = 65536: the node pve has 32768 MiB"),
    "cores": ({"cores": 9}, _access(audit=True), "cores = 9: the node pve has 8"),
    "smaller disk": ({"disk_size": "1G"}, None, "disk_size = 1G: smaller than scsi0 is, 2252M"),
    "local disk": (
        {"node": "pve2"},
        _change(nodes={"pve2": {"address": "127.0.0.2"}}),
        "node = pve2: the template's disks are on local-lvm, which only pve has",
    ),
    "no cloud-init drive": ({}, _template(ide2=None), "template = 9999: it has no cloud-init drive"),
    "no boot disk": ({}, _template(boot="order=net0", scsi1="local-lvm:x,size=1G"), "its boot order names no disk"),
    "no network": ({}, _template(net0=None), "the template has no network device"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_beforehand(pve_double: Double, pve_tls: tuple[Path, Path], what: str) -> None:
    options, change, problem = WRONG[what]
    if change:
        change(pve_double)
    found = Role(pve_double, pve_tls[1], **options).problems()
    assert any(problem in line for line in found), found


def test_what_cloud_init_has_not_read_yet_waits_for_a_reboot(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """Proxmox VE does not call it pending; and where the VM will be, nobody answers yet."""
    role = Role(pve_double, pve_tls[1])
    role.do(role.plan()["vms"][0])
    assert role.plan()["vms"][0]["reboot"] == []
    role = Role(pve_double, pve_tls[1], address="192.0.2.99/24", user="admin")
    (act,) = role.plan()["vms"]
    assert act["reboot"] == ["ciuser", "ipconfig0"]
    role.do(act)
    (act,) = role.plan()["vms"]
    assert (act["actions"], act["reboot"]) == ([], ["ciuser", "ipconfig0"])
    (problem,) = role.reached()["problems"]
    assert "it has the address 192.0.2.99 after its next start only" in problem
    role.api.wait(role.api.vm(250).status.reboot.post(timeout=60))
    assert role.plan()["vms"][0]["reboot"] == []
    assert role.reached()["problems"] == []


def test_a_protected_vm_is_not_stopped_in_vain(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """A clone has that of its template, and Proxmox VE removes none."""
    _template(protection=1)(pve_double)
    role = Role(pve_double, pve_tls[1])
    role.do(role.plan()["vms"][0])
    found = role.plan("proxmox_vm_leave")
    assert "vmid = 250: the VM is protected" in found["problems"][0]
    with pytest.raises(ResourceException, match="protection mode enabled"):
        role.destroy()


def test_a_clone_to_another_node_takes_a_shared_storage(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    rules = documented(9)
    space = [rule for rule in rules["acl"] if rule["path"] == "/storage/local-lvm"]
    rules["acl"] += [{**rule, "path": "/storage/shared"} for rule in space]
    pve_double.admin.access(**rules)
    disks = {"scsi0": "shared:9999/base-9999-disk-0.qcow2,size=2G", "ide2": "shared:9999/vm-9999-cloudinit.qcow2"}
    pve_double.admin.define(
        nodes={"pve2": {"address": "127.0.0.2"}},
        storages={"shared": {"type": "nfs", "shared": True, "content": "images"}},
        vms={"9999": {"config": {**disks, "ide2": disks["ide2"] + ",media=cdrom"}}},
    )
    role = Role(pve_double, pve_tls[1], node="pve2", storage="local-lvm")
    plan = role.plan()
    assert ["storage = local-lvm: not shared by pve, where" in line for line in plan["problems"]] == [True]
    with pytest.raises(ResourceException, match="can't clone to non-shared storage 'local-lvm'"):
        role.do(plan["vms"][0])


def test_of_several_hosts_one_may_be_down(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    role = Role(pve_double, pve_tls[1], api_hosts=["127.0.0.9", pve_double.host])
    assert role.problems() == []
    found = role.host()
    assert found["host"] == pve_double.host
    assert "api_hosts = 127.0.0.9: " in found["notes"][0]


#: What only Proxmox VE itself can tell, when something is done -> options, how it comes about, its words, what to do.
REFUSED: dict[str, tuple[dict[str, Any], Callable[[Double], object], str, str]] = {
    "stranger unseen": (
        {},
        _change(vms={"250": {"config": {"name": "theirs"}}}),
        "unable to create VM 250: config file already exists",
        "write another proxmox_runner_vm_vmid",
    ),
    "tag policy": (
        {},
        _settings(user_allow="none"),
        f"Sys.Modify for modifying tag '{OWNER}'",
        "allow that tag at Datacenter > Options, or set proxmox_runner_vm_ownership: description",
    ),
    "quorum": ({}, _settings(quorate=False), "cluster not ready - no quorum?", "bring the cluster's nodes back"),
    "linked": (
        {"full_clone": False},
        _template(scsi0="local-lvm:vm-9999-disk-0,size=2G"),
        "Linked clone feature is not supported",
        "set proxmox_runner_vm_full_clone: true",
    ),
    "task": (
        {},
        lambda double: double.admin.fault(task_fails="clone failed: no space left", task="qmclone"),
        "clone failed: no space left",
        "see to that",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_proxmox_refuses_is_told_with_what_to_do(
    pve_double: Double, pve_tls: tuple[Path, Path], what: str
) -> None:
    """And the next run, when it is mended, goes on with what is there."""
    options, change, words, remedy = REFUSED[what]
    role = Role(pve_double, pve_tls[1], **options)
    (act,) = role.plan()["vms"]
    change(pve_double)
    with pytest.raises(ResourceException) as refused:
        role.do(act)
    (problem,) = role.left(act, refused.value)
    assert problem.startswith("gh-runner-01 (250 on pve): ")
    assert words in problem
    assert f"Do: {remedy}" in problem


def test_a_clone_into_the_pool_is_waited_for(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """It is hidden until it is done from a token that has its privileges on the pool: but for its task, on its node."""
    role = Role(pve_double, pve_tls[1])
    (act,) = role.plan()["vms"]
    pve_double.admin.fault(task_hangs=True, task="qmclone")
    clone = role.api.root.nodes("pve").qemu(9999).clone
    upid = clone.post(newid=250, name=act["unfinished"], pool="runners")
    assert role.api.root.cluster.tasks.get() == []
    first = role.read(vm_ask.questions(role.wanted))
    paths = vm_ask.questions(role.wanted, first)
    for asked in (paths, vm_ask.again({"vms": [act]})):
        assert vm_ask.cloning(role.read(asked))
    pve_double.admin.clear_faults()
    assert role.api.wait(upid) == "OK"
    last = role.read(paths)
    assert not vm_ask.cloning(last)
    plan = filters.proxmox_vm_plan(role.wanted, [first, last])
    assert (plan["problems"], plan["vms"][0]["actions"]) == ([], ["update", "start"])


@pytest.mark.parametrize("ownership", ["description", "pool"])
def test_a_tag_policy_is_no_matter_where_no_tags_are_wanted(
    pve_double: Double, pve_tls: tuple[Path, Path], ownership: str
) -> None:
    """Those of the template are not even taken away, which it would refuse, too."""
    rules = documented(9)
    rules["roles"]["GitHubRunners"].append("Pool.Audit")
    pve_double.admin.access(**rules)
    pve_double.admin.settings(user_allow="none")
    role = Role(pve_double, pve_tls[1], ownership=ownership)
    role.do(role.plan()["vms"][0])
    again = role.plan()
    assert (again["problems"], again["vms"][0]["actions"]) == ([], [])


def test_an_agent_that_never_answers(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    role = Role(pve_double, pve_tls[1])
    (act,) = role.plan()["vms"]
    role.do(act)
    pve_double.admin.fault(agent_silent=True)
    (problem,) = role.reached()["problems"]
    assert "its guest agent tells no address: QEMU guest agent is not running. Do: see that the image has" in problem


def test_two_clones_with_one_machine_id(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    pve_double.admin.define(vms={"9999": {"image": {"machine_id": "0123456789abcdef0123456789abcdef"}}})
    vms = [{"name": "runner-a", "vmid": 250}, {"name": "runner-b", "vmid": 251}]
    role = Role(pve_double, pve_tls[1], vms=vms)
    for act in role.plan()["vms"]:
        role.do(act)
    (problem,) = role.reached()["problems"]
    assert "runner-b (251 on pve): it has the address 192.0.2.100, as runner-a has. Do: empty /etc/" in problem
