# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The double serves what Proxmox VE's description has, and the check of its answers finds what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.doubles.proxmox import schema
from tests.doubles.proxmox.api import OPERATIONS
from tests.doubles.proxmox.formats import Card, Drive, parse_size, print_size, unique_tags
from tests.gates import community_proxmox, wheels


@pytest.mark.parametrize("version", ["9.2", "9.1.11"])
def test_all_that_is_served_is_described(version: str) -> None:
    assert set(OPERATIONS) <= set(schema.load(version).operations)


UPID = "UPID:pve:000A0000:00010000:65000000:qmclone:9000:root@pam:"
TASK = {
    "upid": UPID,
    "node": "pve",
    "type": "qmclone",
    "id": "9000",
    "user": "root@pam",
    "pid": 1,
    "pstart": 1,
    "starttime": 1,
    "status": "running",
}
STATUS = {"status": "running", "vmid": 101, "ha": {"managed": 0}}


@pytest.mark.parametrize(
    ("method", "path", "data", "wrong"),
    [
        ("POST", "/nodes/pve/qemu/9000/clone", UPID, ""),
        ("POST", "/nodes/pve/qemu/9000/clone", None, "data: None is not a string"),
        ("PUT", "/nodes/pve/qemu/101/config", None, ""),
        ("PUT", "/nodes/pve/qemu/101/config", UPID, f"data: '{UPID}' is not null"),
        ("GET", f"/nodes/pve/tasks/{UPID}/status", TASK, ""),
        ("GET", f"/nodes/pve/tasks/{UPID}/status", {**TASK, "pid": "1"}, "data.pid: '1' is not an integer"),
        ("GET", f"/nodes/pve/tasks/{UPID}/status", {**TASK, "x": 1}, "data.x: not described"),
        (
            "GET",
            f"/nodes/pve/tasks/{UPID}/status",
            {**TASK, "status": "finished"},
            "data.status: 'finished': value 'finished' does not have a value in the enumeration 'running, stopped'",
        ),
        ("GET", "/nodes/pve/qemu/101/status/current", STATUS, ""),
        ("GET", "/nodes/pve/qemu/101/status/current", {"status": "running", "vmid": 101}, "data.ha: missing"),
        ("GET", "/nodes/pve/qemu/101/status/current", [], "data: not an object"),
        ("GET", "/nodes/pve/qemu", [{"status": "running", "vmid": 101}], ""),
        ("GET", "/nodes/pve/qemu", [{"status": "running"}], "data[0].vmid: missing"),
        ("GET", "/nodes/pve/qemu/101/config", {"digest": "x", "net0": "virtio=BC:24:11:00:00:01"}, ""),
        ("GET", "/nodes/pve/qemu/101/config", {"digest": "x", "onboot": "1"}, "data.onboot: '1' is not a boolean"),
        ("GET", "/nodes/pve/qemu/101/config", {"digest": "x", "cards0": "x"}, "data.cards0: not described"),
        ("GET", "/nodes/pve/qemu/101/config", {"digest": "x", "memory": 512}, "data.memory: 512 is not a string"),
        ("GET", "/cluster/nextid", "101", ""),
    ],
)
def test_the_check_of_answers(method: str, path: str, data: Any, wrong: str) -> None:
    found = schema.load().find(method, path)
    assert found
    assert schema.violations(found[0].returns, data) == ([wrong] if wrong else [])


def test_what_is_spelled_out_goes_first() -> None:
    found = schema.load().find("GET", "/nodes/pve/qemu/101/status/current")
    assert found
    assert found[0].template == "/nodes/{node}/qemu/{vmid}/status/current"
    assert found[1] == {"node": "pve", "vmid": "101"}
    assert schema.load().find("GET", "/no/such") is None
    assert schema.load().find("PATCH", "/version") is None


@pytest.mark.parametrize(
    ("text", "size", "again"), [("2252M", 2252 << 20, "2252M"), ("20480M", 20 << 30, "20G"), ("512", 512, "512")]
)
def test_sizes(text: str, size: int, again: str) -> None:
    assert (parse_size(text), print_size(size)) == (size, again)


def test_values_of_a_configuration() -> None:
    drive = Drive.parse("local-lvm:vm-250-disk-0,size=2252M,discard=on")
    assert (drive.storage, drive.size, str(drive)) == (
        "local-lvm",
        2252 << 20,
        "local-lvm:vm-250-disk-0,discard=on,size=2252M",
    )
    assert Drive.parse("local:250/vm-250-cloudinit.qcow2,media=cdrom").is_cloudinit
    assert not Drive.parse("local:iso/debian.iso,media=cdrom").is_cloudinit
    for text in ("virtio=bc:24:11:00:00:01,bridge=vmbr0", "model=virtio,bridge=vmbr0,macaddr=BC:24:11:00:00:01"):
        assert str(Card.parse(text)) == "virtio=BC:24:11:00:00:01,bridge=vmbr0"
    assert unique_tags("b, A;b") == "a;b"


def test_a_wheel_of_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(requirement: str, folder: Path) -> Path:
        (folder / "other.whl").write_bytes(b"other")
        return folder / "other.whl"

    monkeypatch.setattr(wheels, "_download", download)
    with pytest.raises(wheels.MissingWheel, match=r"other.whl has SHA-256 .*, not 00"):
        wheels.unpack("other==1", "00", "", tmp_path)


def test_a_wheel_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(wheels.MissingWheel, match="pip download no-such-package==1"):
        wheels.unpack("no-such-package==1", "00", "", tmp_path)


@pytest.mark.parametrize("major", [1, 2])
def test_the_collections_are_what_they_are_called(major: int) -> None:
    found = community_proxmox.path(major) / "ansible_collections/community/proxmox/MANIFEST.json"
    assert f'"version": "{community_proxmox.VERSIONS[major][0]}"' in found.read_text("utf-8")
