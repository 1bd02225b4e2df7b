# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Proxmox VE writes a VM's configuration."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_config

MAC = "BC:24:11:00:99:99"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20G", 20 * 2**30),
        ("20480M", 20 * 2**30),
        ("2252M", 2252 * 2**20),
        ("1.5T", 3 * 2**39),
        ("4096", 4096),
        ("20GiB", 20 * 2**30),
        ("20g", 20 * 2**30),
        ("", None),
        ("twenty", None),
        ("-1G", None),
        (None, None),
    ],
)
def test_sizes(text: object, size: int | None) -> None:
    assert vm_config.size_bytes(text) == size


@given(st.integers(0, 2**50))
def test_a_size_is_the_same_after_writing(size: int) -> None:
    assert vm_config.size_bytes(vm_config.size_text(size)) == size


def test_a_size_is_written_as_proxmox_does() -> None:
    """`proxmox_disk` compares texts: 20480M would be set again at every run."""
    assert [vm_config.size_text(each * 2**20) for each in (20480, 2252, 2**20)] == ["20G", "2252M", "1T"]


KEYS = st.lists(
    st.from_regex(r"ssh-ed25519 [A-Za-z0-9+/]{4,20}={0,2} [a-z%+ ]{0,5}[a-z]@[a-zäß]{1,5}", fullmatch=True), max_size=3
)


@given(KEYS)
def test_keys_are_the_same_encoded_or_not(keys: list[str]) -> None:
    """The module encodes the text once, and Proxmox VE returns it so."""
    text = "\n".join(keys)
    assert vm_config.ssh_keys(quote(text + "\n", safe="")) == vm_config.ssh_keys(text) == vm_config.ssh_keys(keys)


@given(st.lists(st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_.+-]{0,6}", fullmatch=True), max_size=4))
def test_tags_are_the_same_however_joined(tags: list[str]) -> None:
    found = vm_config.tags(tags)
    assert found == sorted({tag.lower() for tag in tags})  # as the datacenter returns them
    assert all(vm_config.tags(joint.join(tags)) == found for joint in (",", ";", " ", "; "))


@pytest.mark.parametrize(
    ("value", "enabled"),
    [
        ("1", True),
        ("enabled=1,fstrim_cloned_disks=1", True),
        ("1,type=isa", True),
        (1, True),
        ("0", False),
        ("enabled=0", False),
        (None, False),
        ("", False),
    ],
)
def test_agent(value: object, enabled: bool) -> None:
    assert vm_config.agent(value) is enabled


@pytest.mark.parametrize(("value", "mib"), [("8192", 8192), ("current=8192", 8192), (8192, 8192), (None, 512)])
def test_memory(value: object, mib: int) -> None:
    assert vm_config.memory(value) == mib


@pytest.mark.parametrize(
    "text", [f"virtio={MAC},bridge=vmbr0,tag=10", f"model=virtio,macaddr={MAC},bridge=vmbr0,tag=10"]
)
def test_network(text: str) -> None:
    device = vm_config.network(text)
    assert device == {"model": "virtio", "macaddr": MAC, "bridge": "vmbr0", "tag": "10"}
    assert vm_config.network_string(device) == f"virtio={MAC},bridge=vmbr0,tag=10"


def test_a_network_device_without_an_address() -> None:
    assert vm_config.network("virtio,bridge=vmbr0") == {"model": "virtio", "bridge": "vmbr0"}
    assert vm_config.network_string({"model": "virtio", "bridge": "vmbr0"}) == "virtio,bridge=vmbr0"


DISKS = {
    "scsi0": "local-lvm:vm-250-disk-0,discard=on,size=2252M",
    "scsi1": "file=local-lvm:vm-250-disk-1,size=8G",
    "ide2": "local-lvm:vm-250-cloudinit,media=cdrom,size=4M",
    "ide0": "none,media=cdrom",
    "efidisk0": "local-lvm:vm-250-disk-9,size=4M",
    "scsihw": "virtio-scsi-single",
}


def test_disks() -> None:
    found = vm_config.disks(DISKS)
    assert {bus: disk["volume"] for bus, disk in found.items()} == {
        "scsi0": "local-lvm:vm-250-disk-0",
        "scsi1": "local-lvm:vm-250-disk-1",
    }
    assert vm_config.storage_of(found["scsi1"]) == "local-lvm"


@pytest.mark.parametrize(
    ("boot", "disk"),
    [
        ({"boot": "order=scsi1;net0"}, "scsi1"),
        ({"boot": "order=ide2;net0;scsi0"}, "scsi0"),
        ({"boot": "c", "bootdisk": "scsi1"}, "scsi1"),
        ({"boot": "order=net0"}, None),  # two disks: none is assumed
        ({}, None),
    ],
)
def test_the_boot_disk_is_read(boot: dict[str, object], disk: str | None) -> None:
    assert vm_config.boot_disk({**DISKS, **boot}) == disk


def test_an_only_disk_needs_no_order() -> None:
    assert vm_config.boot_disk({"virtio0": "ceph:vm-1-disk-0,size=2G", "ide2": DISKS["ide2"]}) == "virtio0"


@pytest.mark.parametrize(
    ("drive", "there"),
    [
        ("local-lvm:vm-9999-cloudinit,media=cdrom", True),
        ("local:9999/vm-9999-cloudinit.qcow2,media=cdrom", True),
        ("local-lvm:cloudinit", True),
        ("local:iso/cloudinit-debian.iso,media=cdrom", False),
        ("none,media=cdrom", False),
    ],
)
def test_cloud_init_drive(drive: str, there: bool) -> None:
    assert vm_config.has_cloud_init({"ide2": drive}) is there
    assert not vm_config.has_cloud_init({"description": drive})


def test_addresses_are_those_of_our_device() -> None:
    def interface(mac: str, *addresses: str) -> dict[str, object]:
        told = [{"ip-address": each, "ip-address-type": "ipv6" if ":" in each else "ipv4"} for each in addresses]
        return {"name": "x", "hardware-address": mac, "ip-addresses": told}

    interfaces = [
        interface("00:00:00:00:00:00", "127.0.0.1"),
        interface("02:42:00:00:00:01", "172.17.0.1"),
        {"name": "down", "hardware-address": MAC.lower()},
        interface(MAC.lower(), "fe80::1", "169.254.3.4", "192.0.2.100"),
    ]
    assert vm_config.addresses(interfaces, MAC) == ["192.0.2.100"]
    assert vm_config.addresses(interfaces, "BC:24:11:00:00:00") == []
