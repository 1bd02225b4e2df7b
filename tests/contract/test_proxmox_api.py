# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Proxmox VE stores, returns and refuses, as its clients meet it: the real proxmoxer over TLS."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

import pytest
import requests
import yaml
from proxmoxer import ResourceException

from tests.contract import proxmox
from tests.contract.proxmox import Api
from tests.doubles.proxmox.server import Double

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst one@host"


def refusal(action: Any, *arguments: Any, **fields: Any) -> ResourceException:
    """What the action is refused with."""
    with pytest.raises(ResourceException) as caught:
        action(*arguments, **fields)
    return caught.value


# --- clone


def test_a_clone_takes_everything_but_what_must_be_its_own(pve_api: Api) -> None:
    template = pve_api.vm(9999).config.get()
    clone = pve_api.clone(250, description="made\n", full=1).config.get()
    assert {key for key in clone if clone[key] != template.get(key)} == {
        "description",
        "digest",
        "ide2",
        "name",
        "net0",
        "scsi0",
        "smbios1",
        "vmgenid",
    }
    assert clone["tags"] == "template"  # copied: whoever looks for its own tag must set it
    assert clone["description"] == "made"
    assert clone["scsi0"] == "local-lvm:vm-250-disk-0,discard=on,size=2252M"
    assert clone["ide2"] == "local-lvm:vm-250-cloudinit,media=cdrom,size=4M"
    assert re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0", clone["net0"])
    assert "template" not in clone


def test_a_name_is_made_up(pve_api: Api) -> None:
    pve_api.wait(pve_api.vm(9999).clone.post(newid=250))
    assert pve_api.vm(250).config.get()["name"] == "Copy-of-VM-debian-13-cloud"


def test_while_it_is_made_it_is_locked(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.settings(clone_seconds=1)
    upid = pve_api.vm(9999).clone.post(newid=250, full=1)
    assert pve_api.vm(250).config.get()["lock"] == "clone"
    refused = refusal(pve_api.vm(250).config.put, cores=2)
    assert (refused.status_code, refused.content) == (500, "VM is locked (clone)")
    assert pve_api.wait(upid) == "OK"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"newid": 9999}, "unable to create VM 9999: config file already exists"),
        ({"newid": 250, "full": 0, "storage": "local-lvm"}, "parameter 'storage' not allowed for linked clones"),
        ({"newid": 250, "full": 0, "format": "raw"}, "parameter 'format' not allowed for linked clones"),
        ({"newid": 250, "full": 1, "storage": "nowhere"}, "storage 'nowhere' does not exist"),
        ({"newid": 250, "target": "nowhere"}, "no such cluster node 'nowhere'"),
        ({"newid": 250, "snapname": "before"}, "snapshot 'before' does not exist"),
    ],
)
def test_a_clone_is_refused(pve_api: Api, pve_double: Double, fields: dict[str, Any], why: str) -> None:
    refused = refusal(pve_api.vm(9999).clone.post, **fields)
    assert (refused.status_code, refused.content) == (500, why)
    assert set(pve_double.admin.state()["vms"]) == {"9999"}


def test_an_unknown_node_is_looked_up_in_vain(pve_api: Api) -> None:
    pve_api.node = "nowhere"
    why = "hostname lookup 'nowhere' failed - failed to get address info for: nowhere: Name or service not known"
    assert refusal(pve_api.vm(9999).clone.post, newid=250).content == why


def test_an_unknown_template(pve_api: Api) -> None:
    why = "Configuration file 'nodes/pve/qemu-server/9000.conf' does not exist"
    assert refusal(pve_api.vm(9000).clone.post, newid=250).content == why


def test_a_linked_clone_holds_its_template(pve_api: Api, pve_double: Double) -> None:
    pve_api.clone(250, full=0)
    assert pve_double.admin.state()["volumes"]["local-lvm:vm-250-disk-0"]["base"] == "local-lvm:base-9999-disk-0"
    ended = pve_api.wait(pve_api.vm(9999).delete())
    assert ended == "base volume 'local-lvm:base-9999-disk-0' is still in use by linked cloned"


def test_a_clone_that_fails_leaves_nothing(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.fault(task_fails="clone failed: no space left", task="qmclone")
    assert pve_api.wait(pve_api.vm(9999).clone.post(newid=250)) == "clone failed: no space left"
    state = pve_double.admin.state()
    assert (set(state["vms"]), [one for one in state["volumes"] if "250" in one]) == ({"9999"}, [])


def test_a_template_from_nothing(pve_api: Api, pve_double: Double) -> None:
    made = pve_api.root.nodes("pve").qemu.post(
        vmid=9001,
        name="own",
        scsi0="local-lvm:8,discard=on",
        ide2="local-lvm:cloudinit",
        boot="order=scsi0",
        net0="virtio,bridge=vmbr0",
        serial0="socket",
        agent=1,
    )
    assert pve_api.wait(made) == "OK"
    found = pve_api.vm(9001).config.get()
    assert found["scsi0"] == "local-lvm:vm-9001-disk-0,discard=on,size=8G"
    assert found["ide2"] == "local-lvm:vm-9001-cloudinit,media=cdrom,size=4M"
    linked = {"newid": 250, "full": 0}
    why = "Linked clone feature is not supported for 'local-lvm:vm-9001-disk-0' (scsi0)"
    assert refusal(pve_api.vm(9001).clone.post, **linked).content == why
    assert pve_api.wait(pve_api.vm(9001).template.post()) == "OK"
    assert refusal(pve_api.vm(9001).template.post).content == "VM 9001 is already a template"
    assert pve_api.wait(pve_api.vm(9001).clone.post(**linked)) == "OK"
    assert pve_double.admin.state()["volumes"]["local-lvm:vm-250-disk-0"]["base"] == "local-lvm:base-9001-disk-0"
    again = refusal(pve_api.root.nodes("pve").qemu.post, vmid=250).content
    assert again == "unable to create VM 250 - VM 250 already exists on node 'pve'"


def test_drives_come_and_go(pve_api: Api, pve_double: Double) -> None:
    vm = pve_api.clone(250)
    vm.config.put(scsi1="local-lvm:4")
    assert vm.config.get()["scsi1"] == "local-lvm:vm-250-disk-1,size=4G"
    vm.unlink.put(idlist="scsi1")
    assert vm.config.get()["unused0"] == "local-lvm:vm-250-disk-1"
    vm.config.put(delete="ide2")
    assert "local-lvm:vm-250-cloudinit" not in pve_double.admin.state()["volumes"]
    vm.config.put(ide2="local-lvm:cloudinit")
    assert vm.config.get()["ide2"] == "local-lvm:vm-250-cloudinit,media=cdrom,size=4M"
    assert refusal(vm.unlink.put, idlist="cores").errors == {"idlist": "unable to unlink 'cores'"}


# --- what is sent, and what comes back


def test_what_is_sent_is_not_what_comes_back(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    encoded = quote(f"{KEY}\n", safe="")
    vm.config.put(
        sshkeys=encoded, tags="b, A;b", cores="2", memory="4096", onboot="1", description="words \n", net0="e1000,tag=7"
    )
    found = vm.config.get()
    assert found["sshkeys"] == encoded
    assert found["tags"] == "a;b"
    assert (found["cores"], found["memory"], found["onboot"]) == (2, "4096", 1)
    assert found["description"] == "words"
    assert re.fullmatch(r"e1000=BC:24:11(:[0-9A-F]{2}){3},tag=7", found["net0"])


def test_a_card_without_an_address_gets_a_new_one_each_time(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    found = set()
    for _time in range(2):
        vm.config.put(net0="virtio,bridge=vmbr0")
        found.add(vm.config.get()["net0"])
    assert len(found) == 2


def test_sizes_are_written_in_the_largest_unit(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    for size, written in (("+100M", "2352M"), ("20480M", "20G"), ("20G", "20G")):
        assert pve_api.wait(vm.resize.put(disk="scsi0", size=size)) == "OK"
        assert vm.config.get()["scsi0"].endswith(f",size={written}")


@pytest.mark.parametrize(
    ("disk", "size", "why"),
    [
        ("scsi0", "2251M", "shrinking disks is not supported"),
        ("virtio0", "20G", "disk 'virtio0' does not exist"),
        ("ide2", "20G", "you can't resize a cdrom"),
    ],
)
def test_a_resize_fails_in_its_task(pve_api: Api, disk: str, size: str, why: str) -> None:
    assert pve_api.wait(pve_api.clone(250).resize.put(disk=disk, size=size)) == why


def test_a_stale_digest_is_refused(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    digest = vm.config.get()["digest"]
    vm.config.put(cores=2, digest=digest)
    assert refusal(vm.config.put, cores=3, digest=digest).content == "checksum mismatch (file change by other user?)"


def test_a_boot_order_names_what_is_there(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    assert refusal(vm.config.put, boot="order=virtio0").content == "invalid bootorder: device 'virtio0' does not exist'"


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        (
            {"bogus": 1},
            {"bogus": "property is not defined in schema and the schema does not allow additional properties"},
        ),
        ({"cores": "many"}, {"cores": "type check ('integer') failed - got 'many'"}),
        ({"cores": 0}, {"cores": "value must have a minimum value of 1"}),
        ({"onboot": "true"}, {"onboot": "type check ('boolean') failed - got 'true'"}),
        ({"bios": "x"}, {"bios": "value 'x' does not have a value in the enumeration 'seabios, ovmf'"}),
        ({"sshkeys": KEY}, {"sshkeys": f"invalid format - invalid urlencoded string: {KEY}"}),
        ({"tags": "a:b"}, {"tags": "invalid format - invalid characters in tag"}),
        ({"name": "a_b"}, {"name": "invalid format - value does not look like a valid DNS name"}),
        ({"net0": "virtio,bogus=1"}, {"net0": "invalid format - invalid key in comma-separated list property: bogus"}),
        ({"force": 1}, {"delete": "missing property required by 'force'"}),
    ],
)
def test_wrong_parameters(pve_api: Api, fields: dict[str, Any], errors: dict[str, str]) -> None:
    refused = refusal(pve_api.clone(250).config.put, **fields)
    assert (refused.status_code, refused.content, refused.errors) == (400, "Parameter verification failed.", errors)


def test_a_missing_parameter(pve_api: Api) -> None:
    refused = refusal(pve_api.vm(9999).clone.post, name="runner-1")
    assert refused.errors == {"newid": "property is missing and it is not optional"}


def test_a_value_of_the_path_cannot_be_contradicted(pve_api: Api) -> None:
    refused = refusal(pve_api.clone(250).config.put, vmid=251, cores=2)
    assert refused.errors == {"vmid": "duplicate parameter (already defined in URI) with conflicting values!"}


def test_keys_have_to_be_keys(pve_api: Api) -> None:
    assert refusal(pve_api.clone(250).config.put, sshkeys=quote("no key")).content == "SSH public key validation error"


def test_the_reason_and_the_body_of_an_error(pve_double: Double, pve_tls: Any) -> None:
    url = f"https://{pve_double.host}:{pve_double.port}/api2/json/nodes/pve/qemu/250/config"
    headers = {"Authorization": f"PVEAPIToken={proxmox.USER}!{proxmox.TOKEN}={proxmox.SECRET}"}
    answer = requests.get(url, headers=headers, verify=str(pve_tls[1]), timeout=30)
    why = "Configuration file 'nodes/pve/qemu-server/250.conf' does not exist"
    assert (answer.status_code, answer.reason, answer.json()) == (500, why, {"data": None, "message": f"{why}\n"})


def test_an_unknown_path(pve_api: Api) -> None:
    refused = refusal(pve_api.root("no/such/thing").get)
    assert (refused.status_code, refused.content) == (501, "Method 'GET /no/such/thing' not implemented")


# --- a running guest


def test_what_a_running_guest_cannot_take_is_pending(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    pve_api.start(250)
    vm.config.put(cores=8, memory=4096, tags="x", ciuser="me")
    found = {one["key"]: one for one in vm.pending.get()}
    assert (found["cores"]["value"], found["cores"]["pending"]) == ("1", "8")
    assert (found["memory"]["value"], found["memory"]["pending"]) == ("1024", "4096")
    assert "pending" not in found["tags"]
    assert "pending" not in found["ciuser"]
    assert vm.config.get()["cores"] == 8
    assert vm.config.get(current=1)["cores"] == 1
    assert pve_api.wait(vm.status.reboot.post()) == "OK"
    assert vm.config.get(current=1)["cores"] == 8


def test_a_pending_change_can_be_taken_back(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    pve_api.start(250)
    vm.config.put(cores=8)
    vm.config.put(revert="cores")
    assert vm.config.get()["cores"] == 1


def test_reset_applies_nothing(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    pve_api.start(250)
    vm.config.put(cores=8)
    assert pve_api.wait(vm.status.reset.post()) == "OK"
    assert vm.config.get(current=1)["cores"] == 1


def test_a_running_guest_is_not_removed(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    pve_api.start(250)
    assert refusal(vm.delete).content == "VM 250 is running - destroy failed"


def test_a_guest_that_ignores_the_button(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.define(vms={"9999": {"image": {"obeys_shutdown": False}}})
    vm = pve_api.clone(250)
    pve_api.start(250)
    assert pve_api.wait(vm.status.shutdown.post(timeout=1)) == "VM quit/powerdown failed - got timeout"
    assert vm.status.current.get()["status"] == "running"
    assert pve_api.wait(vm.status.shutdown.post(timeout=1, forceStop=1)) == "OK"
    assert vm.status.current.get()["status"] == "stopped"


def test_a_guest_that_powers_itself_off(pve_api: Api, pve_double: Double) -> None:
    vm = pve_api.clone(250)
    pve_api.start(250)
    pve_double.admin.power_off(250)
    assert vm.status.current.get()["status"] == "stopped"


def test_a_template_does_not_start(pve_api: Api) -> None:
    assert pve_api.wait(pve_api.vm(9999).status.start.post()) == "you can't start a vm if it's a template"


def test_a_second_start(pve_api: Api) -> None:
    vm = pve_api.clone(250)
    pve_api.start(250)
    assert pve_api.wait(vm.status.start.post()) == "VM 250 already running"


# --- cloud-init and the agent


def test_the_drive_is_written_when_it_starts(pve_api: Api, pve_double: Double) -> None:
    vm = pve_api.clone(250)
    vm.config.put(
        ciuser="debian",
        sshkeys=quote(KEY, safe=""),
        ipconfig0="ip=10.0.0.5/24,gw=10.0.0.1",
        nameserver="10.0.0.1",
        searchdomain="example.org",
        ciupgrade=0,
    )
    assert pve_double.admin.state()["vms"]["250"]["drive"] is None
    pve_api.start(250)
    drive = pve_double.admin.state()["vms"]["250"]["drive"]
    assert yaml.safe_load(drive["user-data"]) == {
        "hostname": "runner-250",
        "manage_etc_hosts": True,
        "fqdn": "runner-250.example.org",
        "user": "debian",
        "ssh_authorized_keys": [KEY],
        "chpasswd": {"expire": False},
        "users": ["default"],
    }
    card, names = yaml.safe_load(drive["network-config"])["config"]
    static = {"type": "static", "address": "10.0.0.5", "netmask": "255.255.255.0", "gateway": "10.0.0.1"}
    assert (card["name"], card["subnets"]) == ("eth0", [static])
    assert names == {"type": "nameserver", "address": ["10.0.0.1"], "search": ["example.org"]}
    vm.config.put(ciuser="other")
    assert pve_double.admin.state()["vms"]["250"]["drive"] == drive
    assert vm.cloudinit.dump.get(type="user").splitlines()[4] == "user: other"
    vm.cloudinit.put()
    assert "user: other" in pve_double.admin.state()["vms"]["250"]["drive"]["user-data"]


def test_without_a_drive_the_settings_go_nowhere(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.define(vms={"9999": {"config": {"ide2": None}}})
    vm = pve_api.clone(250)
    vm.config.put(ciuser="debian", ipconfig0="ip=10.0.0.5/24")
    pve_api.start(250)
    assert pve_double.admin.state()["vms"]["250"]["drive"] is None
    found = vm.agent("network-get-interfaces").get()["result"][1]["ip-addresses"][0]["ip-address"]
    assert found != "10.0.0.5"


def address(api: Api, vmid: int) -> str:
    found = api.vm(vmid).agent("network-get-interfaces").get()["result"]
    return str(found[1]["ip-addresses"][0]["ip-address"])


def test_two_clones_with_one_machine_id_have_one_address(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.define(vms={"9999": {"image": {"machine_id": "0" * 32}}})
    for vmid in (250, 251):
        pve_api.clone(vmid).config.put(ipconfig0="ip=dhcp")
        pve_api.start(vmid)
    assert address(pve_api, 250) == address(pve_api, 251)
    assert pve_api.vm(250).agent("file-read").get(file="/etc/machine-id")["content"] == "0" * 32 + "\n"


def test_two_clones_with_their_own_have_two(pve_api: Api) -> None:
    for vmid in (250, 251):
        pve_api.clone(vmid).config.put(ipconfig0="ip=dhcp")
        pve_api.start(vmid)
    assert address(pve_api, 250) != address(pve_api, 251)


def test_the_agent_runs_and_reads(pve_api: Api, pve_double: Double) -> None:
    rules = proxmox.access([*proxmox.PRIVILEGES, "VM.GuestAgent.Unrestricted"])
    pve_double.admin.access(**rules)
    pve_api.clone(250)
    pve_api.start(250)
    agent = pve_api.vm(250).agent
    assert agent("get-host-name").get() == {"result": {"host-name": "runner-250"}}
    started = agent.exec.post(command=["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])
    status = agent("exec-status")
    done = status.get(pid=started["pid"])
    assert (done["exited"], done["exitcode"], done["out-data"].split()[0]) == (1, 0, "ssh-ed25519")
    assert refusal(status.get, pid=started["pid"]).content == f"Agent error: PID {started['pid']} does not exist"
    why = "Agent error: failed to open file '/no' (mode: 'r'): No such file or directory"
    assert refusal(agent("file-read").get, file="/no").content == why


def test_what_the_agent_is_missing(pve_api: Api, pve_double: Double) -> None:
    ask = pve_api.clone(250).agent("network-get-interfaces").get
    assert refusal(ask).content == "VM 250 is not running"
    pve_double.admin.define(vms={"250": {"image": {"agent_after": 3600}}})
    pve_api.wait(pve_api.vm(250).status.start.post())
    assert refusal(ask).content == "QEMU guest agent is not running"
    pve_double.admin.define(vms={"250": {"config": {"agent": None}}})
    assert refusal(ask).content == "No QEMU guest agent configured"


def test_the_agent_needs_a_power_cycle(pve_api: Api, pve_double: Double) -> None:
    """Its channel is a device, and QEMU gets its devices when it starts."""
    pve_double.admin.define(vms={"9999": {"config": {"agent": "0"}}})
    vm = pve_api.clone(250)
    pve_api.wait(vm.status.start.post())
    vm.config.put(agent="enabled=1")
    time.sleep(0.4)
    assert refusal(vm.agent.ping.post).content == "QEMU guest agent is not running"
    assert pve_api.wait(vm.status.stop.post()) == "OK"
    pve_api.start(250)


# --- tasks


def test_a_task_from_beginning_to_end(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.settings(task_seconds=0.5)
    pve_api.clone(250)
    upid = pve_api.vm(250).status.start.post()
    who = re.escape(f"{proxmox.USER}!{proxmox.TOKEN}")
    assert re.fullmatch(rf"UPID:pve:[0-9A-F]{{8}}:[0-9A-F]{{8}}:[0-9A-F]{{8}}:qmstart:250:{who}:", upid)
    found = pve_api.root.nodes("pve").tasks(upid).status.get()
    assert (found["status"], found["type"], found["id"]) == ("running", "qmstart", "250")
    assert "exitstatus" not in found
    assert pve_api.wait(upid) == "OK"
    assert pve_api.root.nodes("pve").tasks(upid).log.get()[-1]["t"] == "TASK OK"


def test_a_task_that_never_ends(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.fault(task_hangs=True, task="qmclone")
    upid = pve_api.vm(9999).clone.post(newid=250)
    time.sleep(0.2)
    task = pve_api.root.nodes("pve").tasks(upid)
    assert task.status.get()["status"] == "running"
    assert [one["upid"] for one in pve_api.root.nodes("pve").tasks.get(source="active")] == [upid]
    task.delete()
    assert pve_api.wait(upid) == "interrupted by signal"
    assert pve_double.admin.vm(250) is None


@pytest.mark.parametrize(
    ("upid", "why"),
    [("bogus", "unable to parse worker upid"), ("UPID:pve:00000001:00000001:00000001:qmstart:1:a@b:", "no such task")],
)
def test_a_task_that_is_not_there(pve_api: Api, upid: str, why: str) -> None:
    assert refusal(pve_api.root.nodes("pve").tasks(upid).status.get).errors == {"upid": why}


def test_changes_of_one_guest_wait_for_each_other(pve_api: Api, pve_double: Double) -> None:
    vm = pve_api.clone(250)
    upids = [vm.resize.put(disk="scsi0", size="+1G") for _time in range(3)]
    assert [pve_api.wait(upid) for upid in upids] == ["OK"] * 3
    assert vm.config.get()["scsi0"].endswith("size=5324M")


# --- numbers, pools, lists


def test_the_next_number_is_a_string(pve_api: Api) -> None:
    assert pve_api.root.cluster.nextid.get() == "100"
    assert refusal(pve_api.root.cluster.nextid.get, vmid=9999).errors == {"vmid": "VM 9999 already exists"}


def test_the_overview_lags(pve_api: Api, pve_double: Double) -> None:
    """A VM's name and status are told to the cluster every ten seconds; its tags and lock are known at once."""
    overview = pve_api.root.cluster.resources.get
    overview(type="vm")
    pve_double.admin.settings(stats_seconds=3600)
    pve_api.clone(250).config.put(tags="own")
    found = next(one for one in overview(type="vm") if one["vmid"] == 250)
    assert found == {"id": "qemu/250", "vmid": 250, "node": "pve", "type": "qemu", "status": "unknown", "tags": "own"}
    pve_double.admin.settings(stats_seconds=0)
    assert [one["status"] for one in overview(type="vm")] == ["stopped", "stopped"]
    pve_double.admin.settings(stats_seconds=3600)
    pve_api.start(250)
    assert [one["status"] for one in overview(type="vm")] == ["stopped", "stopped"]
    assert pve_api.vm(250).status.current.get()["status"] == "running"


@pytest.mark.parametrize("pve_options", [{"cluster": {"pools": {"ci": {}}}}])
def test_a_clone_goes_into_its_pool(pve_api: Api, pve_double: Double) -> None:
    pve_api.clone(250, pool="ci")
    assert [one["vmid"] for one in pve_api.root.pools.get(poolid="ci")[0]["members"]] == [250]
    assert [one.get("pool") for one in pve_api.root.cluster.resources.get(type="vm")] == [None, "ci"]
    pve_double.admin.access(**proxmox.access([one for one in proxmox.PRIVILEGES if one != "Pool.Audit"]))
    assert [one.get("pool") for one in pve_api.root.cluster.resources.get(type="vm")] == [None, None]
    pve_double.admin.access(**proxmox.access())
    assert pve_api.wait(pve_api.vm(250).delete()) == "OK"
    assert pve_api.root.pools("ci").get()["members"] == []


def test_pools_come_and_go(pve_api: Api, pve_double: Double) -> None:
    pve_double.admin.access(**proxmox.access([*proxmox.PRIVILEGES, "Pool.Allocate"]))
    pools = pve_api.root.pools
    pools.post(poolid="ci", comment="runners")
    assert refusal(pools.post, poolid="ci").content == "create pool failed: pool 'ci' already exists"
    pve_api.clone(250)
    pools.put(poolid="ci", vms="250")
    why = "update pools failed: VM 250 is already a pool member"
    assert refusal(pools("ci").put, vms="250").content == why
    pools.post(poolid="other")
    why = "update pools failed: VM 250 belongs already to pool 'ci' and 'allow-move' is not set"
    assert refusal(pools.put, poolid="other", vms="250").content == why
    pools.put(poolid="other", vms="250", **{"allow-move": 1})
    why = "delete pool failed: pool 'other' is not empty (contains VM 250)"
    assert refusal(pools.delete, poolid="other").content == why
    pools.put(poolid="other", vms="250", delete=1)
    pools.delete(poolid="other")
    assert [one["poolid"] for one in pools.get()] == ["ci"]
    assert refusal(pools.get, poolid="other").content == "pool 'other' does not exist"


def test_a_vm_takes_its_access_rules_with_it(pve_api: Api, pve_double: Double) -> None:
    """As Proxmox VE does: the next VM of that number begins without."""
    rules = proxmox.access()
    rules["acl"] += [{"path": "/vms/250", "who": proxmox.USER, "role": "PVEVMAdmin"}]
    rules["acl"] += [{"path": "/vms/250", "who": f"{proxmox.USER}!{proxmox.TOKEN}", "role": "PVEVMAdmin"}]
    pve_double.admin.access(**rules)
    ask = pve_api.root.access.permissions.get
    pve_api.clone(250)
    assert "VM.Console" in ask(path="/vms/250")["/vms/250"]
    assert pve_api.wait(pve_api.vm(250).delete()) == "OK"
    assert "VM.Console" not in ask(path="/vms/250")["/vms/250"]


def test_everything_can_be_listed(pve_api: Api) -> None:
    """Each answer is held to the description when the test is over."""
    root, node = pve_api.root, pve_api.root.nodes("pve")
    assert [one["node"] for one in root.nodes.get()] == ["pve"]
    assert [one["type"] for one in root.cluster.resources.get()] == ["qemu", "node", "storage", "storage"]
    assert [one["name"] for one in root.cluster.status.get()] == ["pve"]
    assert node.status.get()["memory"]["total"] == 32768 << 20
    assert [one["storage"] for one in node.storage.get(content="images")] == ["local-lvm"]
    assert [one["storage"] for one in root.storage.get()] == ["local-lvm", "local"]
    assert node.storage("local").status.get()["avail"] == 512 << 30
    assert node.version.get() == root.version.get()
    assert "PVEVMAdmin" in [one["roleid"] for one in root.access.roles.get()]
    volumes = [one["volid"] for one in node.storage("local-lvm").content.get(content="images")]
    assert volumes == ["local-lvm:base-9999-disk-0", "local-lvm:vm-9999-cloudinit"]
    assert node.lxc.get() == []
    assert [one["vmid"] for one in node.qemu.get()] == [9999]
    assert root.cluster.ha.resources.get() == []
    assert root.cluster.options.get() == {"keyboard": "en-us"}
    assert pve_api.vm(9999).snapshot.get() == [{"name": "current", "description": "You are here!"}]
    assert pve_api.vm(9999).cloudinit.get()[0] == {"key": "name", "value": "debian-13-cloud"}
