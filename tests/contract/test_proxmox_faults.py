# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong in a cluster, and what a test can order to go wrong."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from proxmoxer import ProxmoxAPI

from tests.contract.proxmox import SECRET, TOKEN, USER, Api
from tests.contract.test_proxmox_api import refusal
from tests.doubles.proxmox.cli import AdminError
from tests.doubles.proxmox.server import Double, DoubleFailed, running

TWO = {
    "cluster": {
        "nodes": {"pve": {}, "pve2": {"address": "127.0.0.2"}},
        "storages": {"shared": {"type": "nfs", "shared": True}, "only-pve": {"nodes": ["pve"]}},
    }
}
two_nodes = pytest.mark.parametrize("pve_options", [TWO])


def by(double: Double, node: str, ca: Any) -> ProxmoxAPI:
    """The API of another node of the cluster."""
    host = "127.0.0.2" if node == "pve2" else "127.0.0.1"
    return ProxmoxAPI(
        host, port=double.ports[node], user=USER, token_name=TOKEN, token_value=SECRET, verify_ssl=str(ca)
    )


# --- a VM that is not as one would wish


def test_a_locked_vm(pve_api: Api, pve_double: Double) -> None:
    vm = pve_api.clone(250)
    pve_double.admin.define(vms={"250": {"config": {"lock": "backup"}}})
    assert vm.status.current.get()["lock"] == "backup"
    assert refusal(vm.config.put, cores=2).content == "VM is locked (backup)"
    assert refusal(vm.clone.post, newid=251).content == "VM is locked (backup)"
    assert pve_api.wait(vm.status.start.post()) == "VM is locked (backup)"
    assert pve_api.wait(vm.resize.put(disk="scsi0", size="20G")) == "VM is locked (backup)"
    assert pve_api.wait(vm.delete()) == "VM is locked (backup)"


def test_a_protected_vm(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    vm.config.put(protection=1)
    assert refusal(vm.delete).content == "can't remove VM 250 - protection mode enabled"


def test_an_ha_managed_vm(pve_api: Api, pve_double: Double) -> None:
    vm = pve_api.clone(250)
    pve_double.admin.define(ha={"250": {}})
    upid = vm.status.start.post()
    assert ":hastart:" in upid
    assert pve_api.wait(upid) == "OK"
    assert vm.status.current.get()["status"] == "stopped"  # the task is over, and the VM is still off
    assert pve_double.admin.wait(lambda state: state["vms"]["250"]["running"])
    assert vm.status.current.get()["ha"] == {"managed": 1, "state": "started"}
    assert ":hastop:" in vm.status.stop.post()
    assert pve_double.admin.wait(lambda state: not state["vms"]["250"]["running"])
    why = "unable to remove VM 250 - used in HA resources and purge parameter not set."
    assert refusal(vm.delete).content == why
    assert pve_api.wait(vm.delete(purge=1)) == "OK"


def test_a_stranger_has_the_number(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.define(vms={"250": {"config": {"name": "database"}}})
    why = "unable to create VM 250: config file already exists"
    assert refusal(pve_api.vm(9999).clone.post, newid=250).content == why


def test_somebody_removes_it(pve_api: Api, pve_double: Double) -> None:
    before = pve_double.admin.state()["volumes"]
    vm = pve_api.clone(250)
    pve_double.admin.remove_vm(250)
    assert refusal(vm.config.get).content == "Configuration file 'nodes/pve/qemu-server/250.conf' does not exist"
    assert pve_double.admin.state()["volumes"] == before


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"memory": 32769}, "start failed: QEMU exited with code 1"),
        ({"cores": 9}, "MAX 8 vcpus allowed per VM on this node"),
        ({"net0": "virtio,bridge=vmbr7"}, "start failed: QEMU exited with code 1"),
    ],
)
def test_what_the_node_does_not_have(pve_api: Api, fields: dict[str, Any], why: str) -> None:
    vm = pve_api.clone(250)
    vm.config.put(**fields)
    assert pve_api.wait(vm.status.start.post()) == why
    assert vm.status.current.get()["status"] == "stopped"


def test_memory_is_what_the_others_leave(pve_api: Api) -> None:
    for vmid, ended in ((250, "OK"), (251, "start failed: QEMU exited with code 1")):
        pve_api.clone(vmid).config.put(memory=20000)
        assert pve_api.wait(pve_api.vm(vmid).status.start.post()) == ended


# --- the cluster


def test_no_quorum(pve_api: Api, pve_double: Double) -> None:
    vm = pve_api.clone(250)
    pve_double.admin.settings(quorate=False)
    assert refusal(vm.clone.post, newid=251).content == "cluster not ready - no quorum?"
    assert refusal(vm.status.start.post).content == "cluster not ready - no quorum?"
    why = refusal(vm.config.put, cores=2).content
    assert why.startswith("unable to open file '/etc/pve/nodes/pve/qemu-server/250.conf.tmp.")
    assert why.endswith("' - Permission denied")
    assert vm.config.get()["cores"] == 1  # reading goes on


@two_nodes
def test_a_node_that_is_down(pve_api: Api, pve_double: Double, pve_tls: Any) -> None:
    pve_double.admin.define(nodes={"pve2": {"online": False}})
    assert {one["node"]: one["status"] for one in pve_api.root.nodes.get()} == {"pve": "online", "pve2": "offline"}
    refused = refusal(pve_api.root.nodes("pve2").qemu.get)
    assert (refused.status_code, refused.content) == (595, "No route to host")
    with pytest.raises(requests.exceptions.ConnectionError):
        by(pve_double, "pve2", pve_tls[1]).nodes.get()
    pve_double.admin.define(nodes={"pve2": {"online": True}})
    assert len(by(pve_double, "pve2", pve_tls[1]).nodes.get()) == 2


@two_nodes
def test_every_node_answers_for_all(pve_api: Api, pve_double: Double, pve_tls: Any) -> None:
    pve_double.admin.define(nodes={"pve": {"online": False}})
    other = by(pve_double, "pve2", pve_tls[1])
    assert [one["status"] for one in other.cluster.resources.get(type="vm")] == ["unknown"]
    assert refusal(other.nodes("pve").qemu(9999).config.get).status_code == 595


@two_nodes
def test_a_clone_for_another_node_needs_shared_storage(pve_api: Api, pve_double: Double) -> None:
    clone = pve_api.vm(9999).clone.post
    why = "can't clone VM to node 'pve2' (VM uses local storage)"
    assert refusal(clone, newid=250, full=1, target="pve2").content == why
    why = "can't clone to non-shared storage 'local-lvm'"
    assert refusal(clone, newid=250, full=1, target="pve2", storage="local-lvm").content == why
    why = "storage 'only-pve' is not available on node 'pve2'"
    assert refusal(clone, newid=250, full=1, target="pve2", storage="only-pve").content == why
    disks = {"scsi0": "shared:9999/base-9999-disk-0.qcow2,size=2G", "ide2": "shared:9999/vm-9999-cloudinit.qcow2"}
    pve_double.admin.define(vms={"9999": {"config": {**disks, "boot": "order=scsi0"}}})
    assert pve_api.wait(clone(newid=250, full=1, target="pve2")) == "OK"
    pve_api.node = "pve2"
    assert pve_api.vm(250).config.get()["scsi0"] == "shared:250/vm-250-disk-0.qcow2,size=2G"
    pve_api.node = "pve"
    assert refusal(pve_api.vm(250).config.get).status_code == 500  # it is not there


# --- what a test orders


def test_an_answer_that_is_lost(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.fault(cut="after", method="POST", path="/clone$", times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        pve_api.vm(9999).clone.post(newid=250)
    assert pve_double.admin.vm(250)  # done all the same
    entry = pve_double.admin.journal()["entries"][-1]
    assert (entry["status"], entry["path"]) == (None, "/nodes/pve/qemu/9999/clone")


def test_a_request_that_is_lost(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.fault(cut="before", method="POST", times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        pve_api.vm(9999).clone.post(newid=250)
    assert pve_double.admin.vm(250) is None


def test_a_status_and_its_reason(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.fault(status=596, message="Broken pipe", path="/config", skip=1, times=1)
    config = pve_api.vm(9999).config
    assert config.get()
    refused = refusal(config.get)
    assert (refused.status_code, refused.content) == (596, "Broken pipe")
    assert config.get()


def test_what_is_no_json(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.fault(malformed=True, path="/version")
    found = pve_api.root.version.get()
    assert found == {"errors": b"<html><body>Welcome</body></html>"}  # proxmoxer takes it for an answer


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({}, "a fault has exactly one"),
        ({"status": 500, "cut": "before"}, "a fault has exactly one"),
        ({"cut": "sometimes"}, "write one of before, after"),
        ({"status": "500"}, "wrong kind of value"),
        ({"status": 500, "bogus": 1}, "bogus = 1: unknown"),
        ({"status": 500, "path": "("}, "not a regular expression"),
        ({"delay": -1}, "must not be negative"),
    ],
)
def test_a_fault_that_makes_no_sense(pve_double: Double, fault: dict[str, Any], why: str) -> None:
    with pytest.raises(AdminError, match=why):
        pve_double.admin.call("POST", "/_admin/faults", fault)


@pytest.mark.parametrize(
    ("method", "path", "body", "why"),
    [
        ("PATCH", "/_admin/settings", {"bogus": 1}, "no such setting"),
        ("PATCH", "/_admin/settings", {"version": "8.4.14"}, "the major version is set once"),
        ("PUT", "/_admin/cluster", {"bogus": {}}, "Use: nodes, storages, vms, pools, ha"),
        ("PUT", "/_admin/cluster", {"vms": {"250": {"node": "nowhere"}}}, "no such node"),
        ("PUT", "/_admin/cluster", {"nodes": {"pve": {"bogus": 1}}}, "bogus"),
        ("PUT", "/_admin/access", {"acl": [{"path": "/", "who": USER, "role": "None"}]}, "does not exist"),
        ("DELETE", "/_admin/vms/1", None, "There is no VM 1"),
        ("DELETE", "/_admin/faults/1", None, "There is no fault 1"),
    ],
)
def test_the_admin_port_says_what_is_wrong(pve_double: Double, method: str, path: str, body: Any, why: str) -> None:
    with pytest.raises(AdminError, match=why):
        pve_double.admin.call(method, path, body)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"settings": {"version": "7.4"}}, "only 8 and 9 are known"),
        ({"access": {"roles": {"R": ["VM.Bogus"]}}}, "invalid privilege 'VM.Bogus'"),
        ({"access": {"users": {"ansible": {}}}}, "write it as name@realm"),
        ({"access": {"bogus": {}}}, "Use: users, roles, acl"),
        ({"bare": True}, "a cluster has at least one"),
        ({"cluster": {"vms": {"250": {"config": {"scsi0": "nowhere:vm-250-disk-0"}}}}}, "'nowhere' does not exist"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        with running(**options):
            pass


def test_the_journal_has_no_secret(pve_api: Api, pve_double: Double) -> None:
    pve_api.clone(250).config.put(cipassword="thePassword", ciuser="debian")
    entries = pve_double.admin.journal()["entries"]
    assert SECRET not in str(entries)
    assert "thePassword" not in str(entries)
    change = entries[-1]
    assert (change["method"], change["template"]) == ("PUT", "/nodes/{node}/qemu/{vmid}/config")
    assert (change["who"], change["write"], change["status"]) == (f"{USER}!{TOKEN}", True, 200)
    assert change["parameters"]["ciuser"] == "debian"
    assert pve_api.vm(250).config.get()["cipassword"] == "**********"


def test_what_the_double_does_not_serve_fails_the_test(pve_tls: Any) -> None:
    with pytest.raises(DoubleFailed, match=r"GET /nodes/\{node\}/apt/versions: the double"):
        with running(cert=pve_tls[0], key=pve_tls[0], access={"users": {"root@pam": {"password": "x"}}}) as double:
            api = ProxmoxAPI(double.host, port=double.port, user="root@pam", password="x", verify_ssl=str(pve_tls[1]))
            refusal(api.nodes("pve").apt.versions.get)
