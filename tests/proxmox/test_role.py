# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm from nothing to VMs that run, their changes, and back."""

from __future__ import annotations

import pytest

from tests.contract.role import documented

from .conftest import EITHER_MAJOR, OWNER, Rig, ends

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst one@host"


def test_a_vm_comes_and_a_second_run_changes_nothing(rig: Rig) -> None:
    """Traps: duplicate clone, the template's VMID, an update that is always a change, encoded keys, 20480M and 20G,
    a clone that takes longer than the module waits."""
    template = rig.vms()["9999"]
    rig.double.admin.settings(clone_seconds=3)
    options = {
        "cores": 2,
        "memory": 2048,
        "disk_size": "20480M",
        "ssh_keys": [KEY],
        "user": "admin",
        "tags": ["b", "A"],
    }
    said = rig.ok(**options)
    assert "HOST gh-runner-01 192.0.2.100" in said.text
    assert "gh-runner-01 ansible_host=192.0.2.100 ansible_user=admin" in said.text  # the line for an inventory
    writes = rig.writes()
    assert ends(writes) == ["clone", "config", "resize", "start"], writes
    config = rig.config()
    assert (config["name"], config["cores"], config["tags"]) == ("gh-runner-01", 2, f"a;b;{OWNER}")
    assert config["scsi0"].endswith("size=20G")
    assert rig.vms()["250"]["running"]

    said = rig.ok(**options)
    assert (said.changed, rig.writes()) == (0, [])
    assert rig.config() == config
    assert sorted(rig.vms()) == ["250", "9999"]
    assert rig.vms()["9999"] == template

    found = rig.inventory()
    assert found["github_runners"]["hosts"] == ["gh-runner-01"]
    address = found["_meta"]["hostvars"]["gh-runner-01"]["ansible_host"]
    assert address in ("192.0.2.100", {"__ansible_unsafe": "192.0.2.100"})


@EITHER_MAJOR
def test_check_mode_says_what_would_be_done_and_sends_no_write(rig: Rig) -> None:
    said = rig.run("--check", cores=2, memory=2048)
    assert "gh-runner-01 (250 on pve): create + update + start" in said.text
    assert "memory: 1024 -> 2048" in said.text
    assert said.changed == 1
    assert rig.writes() == []
    assert sorted(rig.vms()) == ["9999"]


@EITHER_MAJOR
def test_check_mode_does_not_wait_for_an_agent(rig: Rig) -> None:
    rig.ok(cores=2, memory=2048)
    rig.double.admin.fault(agent_silent=True)
    last = rig.double.admin.journal()["last"]
    said = rig.ok("--check", cores=2, memory=2048, address_timeout=300)
    assert "its guest agent tells no address: QEMU guest agent is not running" in said.text
    assert "(--check has asked once; a run asks until proxmox_runner_vm_address_timeout is over)" in said.text
    assert "HOST gh-runner-01" not in said.text
    paths = [entry["path"] for entry in rig.double.admin.journal(last)["entries"]]
    assert ends(paths).count("network-get-interfaces") == 1


def test_more_cores_change_only_that_and_want_a_reboot(rig: Rig) -> None:
    rig.ok(cores=2, memory=2048, agent=True)
    rig.writes()
    before = rig.config()
    said = rig.ok(cores=4, memory=2048)
    assert "a reboot is needed for: cores" in said.text
    assert ends(rig.writes()) == ["config"]
    vm = rig.vms()["250"]
    assert vm["pending"] == {"cores": 4}
    assert {key for key in before if vm["config"].get(key) != before[key]} <= {"digest"}
    said = rig.ok(cores=4, memory=2048)
    assert "a reboot is needed for: cores" in said.text  # until there was one
    assert (said.changed, rig.writes()) == (0, [])

    # Trap: a network without its address would get another one.
    device = rig.config()["net0"]
    rig.ok(cores=4, memory=2048, vlan=7)
    assert set(rig.config()["net0"].split(",")) == {*device.split(","), "tag=7"}


def test_several_vms_each_with_its_own(rig: Rig) -> None:
    vms = [{"name": "runner-a", "vmid": 250}, {"name": "runner-b", "vmid": 251, "address": "192.0.2.7/24", "cores": 2}]
    said = rig.ok(vms=vms, cores=1, memory=512, full_clone=False)
    assert "HOST runner-a 192.0.2.100" in said.text
    assert "HOST runner-b 192.0.2.7" in said.text
    assert [rig.config(vmid)["cores"] for vmid in (250, 251)] == [1, 2]
    macs = {rig.config(vmid)["net0"] for vmid in (250, 251, 9999)}
    assert len(macs) == 3
    clones = [each for each in rig.double.admin.journal()["entries"] if each["path"].endswith("/clone")]
    assert [each["parameters"]["full"] for each in clones] == ["0", "0"]


@EITHER_MAJOR
def test_two_vms_with_one_machine_id_are_named(rig: Rig) -> None:
    rig.double.admin.define(vms={"9999": {"image": {"machine_id": "0123456789abcdef0123456789abcdef"}}})
    vms = [{"name": "runner-a", "vmid": 250}, {"name": "runner-b", "vmid": 251}]
    text = rig.run(vms=vms, cores=1, memory=512).problems()
    assert "runner-b (251 on pve): it has the address 192.0.2.100, as runner-a has. Do: empty /etc/machine-id" in text


def test_absent_of_a_vm_that_does_not_heed(rig: Rig) -> None:
    """Trap: `absent` does nothing to a VM that runs, and waits no longer than the VM is given."""
    rig.double.admin.define(vms={"9999": {"image": {"obeys_shutdown": False}}})
    rig.ok(cores=1, memory=512)
    rig.writes()
    said = rig.run("--check", point="absent")
    assert "gh-runner-01 (250 on pve): destroy" in said.text
    assert (said.changed, rig.writes()) == (1, [])
    assert rig.run(point="absent").code == 0
    assert sorted(rig.vms()) == ["9999"]
    rig.writes()
    said = rig.run(point="absent")
    assert "none of these VMs is there" in said.text
    assert (said.code, said.changed, rig.writes()) == (0, 0, [])


@EITHER_MAJOR
@pytest.mark.parametrize("point", ["main", "absent"])
def test_a_stranger_is_never_touched(rig: Rig, point: str) -> None:
    theirs = {"config": {"name": "theirs", "scsi0": "local-lvm:vm-250-disk-0,size=2G"}}
    rig.double.admin.define(vms={"250": theirs}, pools={"runners": {"vms": [250]}})
    before = rig.vms()
    assert "vmid = 250: theirs on pve has it, and is not ours" in rig.run(point=point).problems()
    assert (rig.vms(), rig.writes()) == (before, [])


def test_a_stranger_that_the_token_does_not_see(rig: Rig) -> None:
    rig.double.admin.define(vms={"250": {"config": {"name": "theirs"}}})
    before = rig.vms()
    assert (
        "create failed: 500 Internal Server Error: unable to create VM 250: config file already"
        in rig.run(cores=1, memory=512).problems()
    )
    assert rig.vms() == before


@EITHER_MAJOR
def test_info_reads_only(rig: Rig) -> None:
    said = rig.run(point="info")
    assert "gh-runner-01 (250 on pve): create" in said.text
    assert (said.code, said.changed, rig.writes()) == (0, 0, [])


@EITHER_MAJOR
@pytest.mark.parametrize("pve", [8])
def test_proxmox_ve_8_and_a_pool_of_ours(rig: Rig) -> None:
    """The documented role of version 8 is enough; the pool tells our VMs where tags are not allowed."""
    rig.double.admin.settings(user_allow="none")
    told = documented(8)
    told["roles"]["GitHubRunners"].append("Pool.Audit")
    rig.double.admin.access(**told)
    options = {"cores": 1, "memory": 512, "ownership": "pool"}
    rig.ok(**options)
    assert rig.vms()["250"]["pool"] == "runners"
    rig.writes()
    assert (rig.ok(**options).changed, rig.writes()) == (0, [])
