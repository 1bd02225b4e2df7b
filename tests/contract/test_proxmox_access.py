# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may do what: by the description's data, by what stands only in its prose, in Proxmox VE 8 and 9."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import requests
from proxmoxer import ProxmoxAPI, ResourceException

from tests.contract.proxmox import PRIVILEGES, SECRET, TOKEN, USER, Api, access
from tests.contract.test_proxmox_api import refusal
from tests.doubles.proxmox.access import Access, Refused
from tests.doubles.proxmox.server import Double, running

BOTH = (USER, f"{USER}!{TOKEN}")


def without(privilege: str) -> dict[str, Any]:
    return access([one for one in PRIVILEGES if one != privilege])


def _clone(api: Api) -> Any:
    return api.vm(9999).clone.post(newid=251, full=1)


def _config(**fields: Any) -> Any:
    return lambda api: api.vm(250).config.put(**fields)


def _resize(api: Api) -> Any:
    ended = api.wait(api.vm(250).resize.put(disk="scsi0", size="20G"))
    if ended != "OK":  # as the task checks it
        raise ResourceException(403, "Forbidden", ended)


# Privilege -> what cannot be done without it, and where it is missing. "prose": the description's data does not say so.
NEEDED = {
    "VM.Clone": (_clone, "/vms/9999, VM.Clone"),
    "SDN.Use": (_clone, "/sdn/zones/localnetwork/vmbr0, SDN.Use"),  # prose
    "Datastore.AllocateSpace": (_clone, "/storage/local-lvm, Datastore.AllocateSpace"),  # prose
    "VM.Config.CPU": (_config(cores=2), "/vms/250, VM.Config.CPU"),  # prose, as all that follow but the last four
    "VM.Config.Memory": (_config(memory=2048), "/vms/250, VM.Config.Memory"),
    "VM.Config.Options": (_config(onboot=1), "/vms/250, VM.Config.Options"),
    "VM.Config.HWType": (_config(vga="std"), "/vms/250, VM.Config.HWType"),
    "VM.Config.Disk": (_config(boot="order=scsi0"), "/vms/250, VM.Config.Disk"),
    "VM.PowerMgmt": (lambda api: api.vm(250).status.start.post(), "/vms/250, VM.PowerMgmt"),
    "VM.Audit": (lambda api: api.vm(250).config.get(), "/vms/250, VM.Audit"),
    "VM.GuestAgent.Audit": (
        lambda api: api.vm(250).agent("network-get-interfaces").get(),
        "/vms/250, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted",
    ),
}


@pytest.mark.parametrize("privilege", NEEDED)
def test_what_a_missing_privilege_forbids(pve_api: Api, pve_double: Double, privilege: str) -> None:
    pve_api.clone(250)
    pve_double.admin.access(**without(privilege))
    action, where = NEEDED[privilege]
    refused = refusal(action, pve_api)
    assert (refused.status_code, refused.content) == (403, f"Permission check failed ({where})")


def test_a_vm_cannot_come_or_go_without_allocate(pve_api: Api, pve_double: Double) -> None:
    pve_api.clone(250)
    pve_double.admin.access(**without("VM.Allocate"))
    assert refusal(_clone, pve_api).content == "Permission check failed"
    assert refusal(pve_api.vm(250).delete).content == "Permission check failed (/vms/250, VM.Allocate)"


def test_a_resize_needs_space_as_its_task_finds(pve_api: Api, pve_double: Double) -> None:
    pve_api.clone(250)
    pve_double.admin.access(**without("Datastore.AllocateSpace"))
    why = "Permission check failed (/storage/local-lvm, Datastore.AllocateSpace)"
    assert refusal(_resize, pve_api).content == why


def test_a_tag_needs_what_a_vlan_needs_and_a_card_its_bridge(pve_api: Api, pve_double: Double) -> None:
    """With a VLAN tag the privilege is asked for at the tag, which inherits the bridge's."""
    vm = pve_api.clone(250)
    rules = without("SDN.Use")
    rules["roles"]["Bridge"] = ["SDN.Use"]
    rules["acl"] += [{"path": "/sdn/zones/localnetwork/vmbr0/7", "who": who, "role": "Bridge"} for who in BOTH]
    # A role at a deeper place replaces what is inherited; that is why this rule is not at the root.
    pve_double.admin.access(**rules)
    why = "Permission check failed (/sdn/zones/localnetwork/vmbr0/8, SDN.Use)"
    assert refusal(vm.config.put, net1="virtio,bridge=vmbr0,tag=8").content == why
    vm.config.put(net1="virtio,bridge=vmbr0,tag=7")


@pytest.mark.parametrize("other", ["VM.Config.Cloudinit", "VM.Config.Network"])
def test_one_of_two_is_enough_for_cloud_init(pve_api: Api, pve_double: Double, other: str) -> None:
    vm = pve_api.clone(250)
    pve_double.admin.access(**without(other))
    vm.config.put(ciuser="debian")
    pve_double.admin.access(
        **access([one for one in PRIVILEGES if one not in NEEDED and "Config" not in one] + ["VM.Config.CPU"])
    )
    why = "Permission check failed (/vms/250, VM.Config.Cloudinit|VM.Config.Network)"
    assert refusal(vm.config.put, ciuser="me").content == why


def test_some_options_are_for_root_alone(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    assert refusal(vm.config.put, args="-cpu host").content == "only root can set 'args' config"
    assert refusal(vm.config.put, skiplock=1, cores=2).errors == {"skiplock": "Only root may use this option."}
    assert refusal(vm.config.put, startup="order=1").content == "Permission check failed (/, Sys.Modify)"
    assert refusal(vm.config.put, serial1="/dev/ttyS0").content == (
        "only root can modify 'serial1' config for real devices"
    )


PRIVILEGES_OF_A_CLONE = (
    "Datastore.AllocateSpace Datastore.Audit SDN.Use VM.Allocate VM.Audit VM.Clone VM.Config.Disk".split()
)


def test_without_privileges_lists_are_empty(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.access(**access([]))
    root = pve_api.root
    assert root.cluster.resources.get(type="vm") == []
    assert root.nodes("pve").qemu.get() == []
    assert root.storage.get() == []
    assert root.pools.get() == []
    assert root.nodes("pve").tasks.get(source="all") == []
    node = {"id": "node/pve", "node": "pve", "status": "online", "type": "node", "level": ""}
    assert root.nodes.get() == [node]  # there it is, but how it is, is not told
    assert root.access.permissions.get() == {}


def test_what_lists_show_and_to_whom(pve_api: Api, pve_double: Double) -> None:
    """As pve-manager's Tasks.pm, Pool.pm, API2Tools.pm and pve-storage's Status.pm, Storage.pm decide it."""
    clones = PRIVILEGES_OF_A_CLONE
    pve_double.admin.access(**access([*clones]))
    root, node = pve_api.root, pve_api.root.nodes("pve")
    pve_api.clone(250)
    ended = node.tasks.get(typefilter="qmclone")
    assert [(one["user"], one["status"]) for one in ended] == [(USER, "OK")]
    assert node.tasks.get(typefilter="qmcl") == node.tasks.get(errors=1) == []  # the whole type
    pve_double.admin.fault(task_hangs=True, task="qmclone", times=1)
    node.qemu(9999).clone.post(newid=251)
    pve_api.clone(252)
    told = node.tasks.get(source="all", typefilter="qmclone")
    runs = f"{USER}!{TOKEN}"
    assert [(one["user"], one["status"]) for one in told] == [(runs, "RUNNING"), (USER, "OK"), (USER, "OK")]
    assert node.tasks.get(source="all", limit=1)[0] == told[0]
    assert root.cluster.tasks.get() == []
    pve_double.admin.clear_faults()

    assert [one["storage"] for one in node.storage.get(content="images")] == ["local-lvm"]
    for unknown in ({"storage": "ceph"}, {"storage": "local-lvm", "content": "iso"}):
        assert refusal(node.storage.get, **unknown).errors == {"storage": "No such storage."}
    disks = node.storage("local-lvm").content.get
    assert {one["vmid"] for one in disks()} >= {250, 252, 9999}
    pve_double.admin.access(**access([one for one in clones if one != "VM.Config.Disk"]))
    assert disks() == []


def test_a_token_has_what_its_user_has_too(pve_api: Api, pve_double: Double) -> None:
    """Privilege separation: the intersection."""
    rules = access()
    rules["acl"] = [one for one in rules["acl"] if one["who"] != USER]
    pve_double.admin.access(**rules)
    assert pve_api.root.cluster.resources.get(type="vm") == []
    rules = access()
    rules["acl"] = [one for one in rules["acl"] if one["who"] == USER]
    pve_double.admin.access(**rules)
    assert pve_api.root.cluster.resources.get(type="vm") == []
    rules["users"][USER]["tokens"][TOKEN]["privsep"] = False
    pve_double.admin.access(**rules)
    assert len(pve_api.root.cluster.resources.get(type="vm")) == 1


def test_rules_by_the_book() -> None:
    found = Access(9)
    found.replace(
        {
            "users": {"a@pve": {"groups": ["team"]}},
            "roles": {"X": ["VM.Audit"], "Y": ["VM.Clone"], "Z": ["VM.PowerMgmt"]},
            "acl": [
                {"path": "/", "who": "a@pve", "role": "X"},
                {"path": "/vms/100", "who": "a@pve", "role": "Y"},
                {"path": "/vms/101", "who": "@team", "role": "Z"},
                {"path": "/vms/102", "who": "a@pve", "role": "NoAccess"},
                {"path": "/vms", "who": "@team", "role": "Y", "propagate": False},
                {"path": "/pool/ci", "who": "a@pve", "role": "Z"},
            ],
        }
    )
    found.pools["ci"] = {"/vms/103", "/vms/102"}
    has = {vmid: found.privileges("a@pve", f"/vms/{vmid}") for vmid in range(99, 104)}
    assert has == {
        99: {"VM.Audit"},  # from above; what does not propagate stays where it is
        100: {"VM.Clone"},  # deeper replaces
        101: {"VM.PowerMgmt"},  # a group's, deeper, too
        102: set(),  # nothing beats NoAccess
        103: {"VM.Audit", "VM.PowerMgmt"},  # the pool's are added
    }
    assert found.privileges("a@pve", "/vms") == {"VM.Clone"}
    assert found.privileges("nobody@pve", "/vms") == set()


@pytest.mark.parametrize(
    ("major", "privilege", "known"),
    [
        (8, "VM.Monitor", True),
        (9, "VM.Monitor", False),
        (8, "VM.GuestAgent.Audit", False),
        (9, "VM.GuestAgent.Audit", True),
    ],
)
def test_what_a_version_calls_them(major: int, privilege: str, known: bool) -> None:
    found = Access(major)
    if known:
        found.replace({"roles": {"R": [privilege]}})
    else:
        with pytest.raises(ValueError, match=f"invalid privilege '{privilege}'"):
            found.replace({"roles": {"R": [privilege]}})


EIGHT = [one for one in PRIVILEGES if "GuestAgent" not in one]


@pytest.mark.parametrize("pve_options", [{"settings": {"version": "8.4.14"}, "access": access([*EIGHT, "VM.Monitor"])}])
def test_the_agent_in_version_8(pve_api: Api, pve_double: Double) -> None:
    pve_api.clone(250)
    pve_api.start(250)
    assert pve_api.vm(250).agent("network-get-interfaces").get()["result"]
    pve_double.admin.access(**access(EIGHT))
    refused = refusal(pve_api.vm(250).agent("network-get-interfaces").get)
    assert refused.content == "Permission check failed (/vms/250, VM.Monitor)"


@pytest.mark.parametrize(
    ("user", "token", "secret", "why"),
    [
        (USER, TOKEN, "wrong", "invalid token value!"),
        (USER, "other", SECRET, f"no such token 'other' for user '{USER}'"),
        ("x@pve", TOKEN, SECRET, "no such user ('x@pve')"),
    ],
)
@pytest.mark.parametrize("version", ["9.2.2", "9.1.1"])
def test_a_wrong_token(pve_tls: Any, user: str, token: str, secret: str, why: str, version: str) -> None:
    """Since 9.2 nothing tells what is wrong with it."""
    settings = {"version": version, "unauthorized_seconds": 0}
    with running(cert=pve_tls[0], key=pve_tls[0], access=access(), settings=settings) as double:
        api = ProxmoxAPI(
            double.host, port=double.port, user=user, token_name=token, token_value=secret, verify_ssl=str(pve_tls[1])
        )
        refused = refusal(api.nodes.get)
    assert (refused.status_code, refused.content) == (401, why if version < "9.2" else "Authentication failed!")


@pytest.mark.parametrize("pve_options", [{"access": {"users": {"root@pam": {"password": "secret"}}}}])
def test_a_password(pve_double: Double, pve_tls: Any) -> None:
    where = {"port": pve_double.port, "verify_ssl": str(pve_tls[1])}
    api = ProxmoxAPI(pve_double.host, user="root@pam", password="secret", **where)
    assert api.nodes("pve").qemu(9999).clone.post(newid=250)
    with pytest.raises(Exception, match="Couldn't authenticate user"):
        ProxmoxAPI(pve_double.host, user="root@pam", password="wrong", **where)
    url = f"https://{pve_double.host}:{pve_double.port}/api2/json"
    login = {"username": "root@pam", "password": "secret"}
    ticket = requests.post(f"{url}/access/ticket", login, verify=str(pve_tls[1]), timeout=30).json()["data"]["ticket"]
    cookie = {"PVEAuthCookie": quote(ticket)}
    forged = requests.post(
        f"{url}/nodes/pve/qemu/9999/status/start", cookies=cookie, verify=str(pve_tls[1]), timeout=30
    )
    assert (forged.status_code, forged.reason) == (401, "Permission denied - invalid csrf token")
    entries = [one for one in pve_double.admin.journal()["entries"] if one["status"] == 200]
    assert "wrong" not in str(pve_double.admin.journal())
    assert [one["who"] for one in entries if one["write"]] == ["root@pam"]


@pytest.mark.parametrize(
    ("settings", "tag", "allowed"),
    [
        ({}, "own", True),
        ({"user_allow": "none"}, "own", False),
        ({"user_allow": "list", "user_allow_list": ["own"]}, "own", True),
        ({"user_allow": "list", "user_allow_list": ["other"]}, "own", False),
        ({"user_allow": "existing"}, "template", True),
        ({"user_allow": "existing"}, "own", False),
        ({"registered_tags": ["own"]}, "own", False),
    ],
)
def test_the_datacenters_tag_policy(
    pve_api: Api, pve_double: Double, settings: dict[str, Any], tag: str, allowed: bool
) -> None:
    pve_double.admin.define(vms={"9999": {"config": {"tags": "template"}}})
    vm = pve_api.clone(250)
    pve_double.admin.settings(**settings)
    if allowed:
        vm.config.put(tags=f"template;{tag}")
    else:
        why = f"Permission check failed (/, Sys.Modify for modifying tag '{tag}')"
        assert refusal(vm.config.put, tags=f"template;{tag}").content == why


def test_unknown_checks_are_refused() -> None:
    """What the double cannot judge it does not allow."""
    with pytest.raises(Refused):
        Access(9).check({"check": ["userid-group", ["User.Modify"]]}, USER, {})
    with pytest.raises(Refused):
        Access(9).check({}, USER, {})
