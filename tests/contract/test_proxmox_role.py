# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm: what it decides by a Proxmox VE's own answers. Playbooks are in tests/proxmox."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from proxmoxer import ResourceException

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_ask
from tests.contract.proxmox import SECRET, USER
from tests.contract.role import KEY_FILE, VERSIONS, Role, documented, without
from tests.doubles.proxmox import pveum
from tests.doubles.proxmox.machines import MachinesInMemory
from tests.doubles.proxmox.server import Double
from tests.gates import community_proxmox
from tests.lab.common import CHECKOUT

OWNER = "ephemeral-github-runners"
#: All that takes a privilege.
EVERYTHING = {
    "cores": 2,
    "memory": 2048,
    "balloon": 512,
    "cpu_type": "host",
    "disk_size": "20G",
    "bridge": "vmbr0",
    "vlan": 7,
    "user": "admin",
    "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst one@host"],
    "nameservers": ["192.0.2.1"],
    "search_domain": "home.lan",
    "tags": ["ci"],
    "description": "text",
}


def cluster(major: int = 9, **changes: Any) -> dict[str, Any]:
    """What the double is to be: one that an administrator has prepared as the README says."""
    usual = {"access": documented(major), "settings": {"version": VERSIONS[major]}}
    return {**usual, "cluster": {"pools": {"runners": {}}, **changes.pop("cluster", {})}, **changes}


def versions() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pve_options", [cluster(8), cluster(9)], ids=["8", "9"])


@pytest.fixture(autouse=True)
def host_key(pve_double: Double) -> None:
    """Each VM has one that looks like one."""
    assert isinstance(pve_double.machines, MachinesInMemory)
    pve_double.machines.files[KEY_FILE] = f"ssh-ed25519 {'A' * 68} root@runner\n".encode()


@pytest.fixture
def pve_options() -> dict[str, Any]:
    """Proxmox VE 9."""
    return cluster()


@versions()
def test_what_is_documented_is_enough(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """From nothing to a VM with an address and a host key, and back."""
    role = Role(pve_double, pve_tls[1], **EVERYTHING)
    plan = role.plan()
    assert plan["problems"] == []
    (act,) = plan["vms"]
    assert act["actions"] == ["create", "update", "resize", "start"]
    role.do(act)
    again = role.plan()
    assert (again["problems"], again["vms"][0]["actions"]) == ([], [])
    found = role.reached()
    assert (found["problems"], found["key"]["from_agent"]) == ([], True)
    role.destroy()
    assert list(pve_double.admin.state()["vms"]) == ["9999"]


#: Each privilege of the README: version, role, privilege.
LISTED = [
    (major, role, privilege)
    for major in VERSIONS
    for role, privileges in documented(major)["roles"].items()
    for privilege in privileges
]


@pytest.mark.parametrize(
    ("pve_options", "role_name", "privilege"),
    [(cluster(major), role, privilege) for major, role, privilege in LISTED],
    ids=[f"{major}-{role}-{privilege}" for major, role, privilege in LISTED],
)
def test_any_privilege_less_is_named(
    pve_options: dict[str, Any], pve_double: Double, pve_tls: tuple[Path, Path], role_name: str, privilege: str
) -> None:
    """It is told beforehand which one; and Proxmox VE refuses without it, so that none is documented in vain."""
    rules = pve_options["access"]
    role = Role(pve_double, pve_tls[1], **EVERYTHING)
    (act,) = role.plan()["vms"]
    pve_double.admin.access(**without(rules, role_name, privilege))
    if privilege == "VM.GuestAgent.FileRead":  # a run goes on without it, and says so
        assert role.problems() == []
        role.do(act)
        key = role.reached()["key"]
        assert (key["from_agent"], privilege in key["why_not"]) == (False, True)
        return
    problem = "\n".join(role.problems())
    assert privilege in problem
    where = {entry["path"] for entry in rules["acl"] if entry["role"] == role_name}
    assert any(path in problem or path.rpartition("/")[2] in problem for path in where)
    if (role_name, privilege) == ("GitHubRunnersTemplate", "VM.Audit"):
        assert role.ask("/nodes/pve/qemu/9999/config")["status"] == 403
        return
    if privilege == "Datastore.Audit":  # to clone takes none, to look beforehand does
        assert "storage" not in {each["type"] for each in role.ask("/cluster/resources")["data"]}
        return
    # Of all these it is only VM.Allocate that Proxmox VE does not name itself.
    words = "Permission check failed$" if privilege == "VM.Allocate" else privilege
    with pytest.raises(ResourceException, match=words):
        role.do(act)


def test_what_an_administrator_may_not_type_twice() -> None:
    """The commands are not for a shell that would stumble: the double's own check of them."""
    with pytest.raises(ValueError, match="R is there already"):
        pveum.rules("pveum role add R --privs VM.Audit\npveum role add R --privs VM.Audit", SECRET)
    with pytest.raises(ValueError, match="no such command"):
        pveum.rules("pveum role delete R", SECRET)
    assert documented(9)["users"][USER]["tokens"]["runners"]["privsep"]


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


@pytest.mark.parametrize("major", [1, 2], ids=["community1", "community2"])
def test_the_inventory_that_is_shipped(
    pve_double: Double, pve_tls: tuple[Path, Path], tmp_path: Path, major: int
) -> None:
    """Ours that run, by tag or description, with the address of the agent or of cloud-init, or none; no stranger and no
    template. And whoever follows what it says of the authority still trusts GitHub's."""
    role = Role(pve_double, pve_tls[1], user="admin")
    role.do(role.plan()["vms"][0])
    usual = {"net0": "virtio=BC:24:11:00:02:51,bridge=vmbr0", "ipconfig0": "ip=192.0.2.51/24,gw=192.0.2.1"}
    pve_double.admin.define(
        vms={
            "251": {"config": {**usual, "name": "described", "description": f"Mine\n\n{OWNER}\n"}},
            "252": {"config": {**usual, "name": "theirs", "tags": "ci"}},
            "253": {"config": {**usual, "name": "model", "tags": OWNER, "template": 1}},
            "254": {"config": {**usual, "name": "off", "tags": OWNER}},
            "255": {"config": {**usual, "name": "silent", "tags": OWNER, "ipconfig0": "ip=dhcp", "agent": "1"}},
            "256": {"config": {"name": "bare", "tags": OWNER}},
        },
        pools={"runners": {"vms": [251, 252, 253, 254, 255, 256]}},
    )
    pve_double.admin.fault(agent_silent=True, vmid=255)
    for vmid in (251, 255, 256):
        role.api.wait(role.api.vm(vmid).status.start.post())
    source = tmp_path / "inventory.proxmox.yml"
    shutil.copy(CHECKOUT / source.name, source)
    told = {
        "PROXMOX_URL": f"https://{pve_double.host}:{pve_double.port}",
        "PROXMOX_TOKEN_SECRET": SECRET,
        "REQUESTS_CA_BUNDLE": _followed(source, pve_tls[1]),
        "ANSIBLE_COLLECTIONS_PATH": str(community_proxmox.path(major)),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "inventory", "-i", str(source), "--list", "--export"],
        env={**{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}, **told},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert sorted(found["github_runners"]["hosts"]) == ["bare", "described", "gh-runner-01", "silent"]
    hosts = found["_meta"]["hostvars"]
    addresses = {name: _plain(told["ansible_host"]) for name, told in hosts.items() if "ansible_host" in told}
    ours = {"gh-runner-01": "192.0.2.100", "described": "192.0.2.51"}
    assert {name: addresses[name] for name in found["github_runners"]["hosts"] if name in addresses} == ours
    assert (_plain(hosts["gh-runner-01"]["ansible_user"]), "ansible_user" in hosts["described"]) == ("admin", False)


def _followed(inventory: Path, authority: Path) -> str:
    """REQUESTS_CA_BUNDLE, as who follows the inventory's words has it. It takes the place of all other authorities."""
    system = inventory.parent / "ca-certificates.crt"
    system.write_text("the system's\n")
    shutil.copy(authority, inventory.parent / "pve-root-ca.pem")
    said = re.findall(r"^#   ((?:cat|export) .+)$", inventory.read_text("utf-8"), re.MULTILINE)
    script = "\n".join(["set -eu", *said, 'printf %s "$REQUESTS_CA_BUNDLE"'])
    assert f"/etc/ssl/certs/{system.name}" in script
    script = script.replace(f"/etc/ssl/certs/{system.name}", str(system))
    done = subprocess.run(["bash", "-c", script], cwd=inventory.parent, capture_output=True, text=True, check=True)
    assert Path(done.stdout).read_text("utf-8") == system.read_text("utf-8") + authority.read_text("utf-8")
    return done.stdout


def _plain(value: Any) -> Any:
    """A text that came from outside, whichever way Ansible exports it."""
    return value["__ansible_unsafe"] if isinstance(value, dict) else value
