# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook that makes a template, from an empty Proxmox VE to a VM of it."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.contract.role import documented

from .conftest import EITHER_MAJOR, SECRET, TOKEN, USER, Rig, Said, ends

NAME = "debian-13-genericcloud-amd64.qcow2"
URL = f"https://cloud.example/{NAME}"
CONTENT = "the image"
SUM = hashlib.sha512(CONTENT.encode()).hexdigest()
FILE = f"debian-13-genericcloud-amd64-{SUM[:16]}.qcow2"
WANTED = {
    "agent": "enabled=1",
    "boot": "order=scsi0",
    "ide2": "local-lvm:vm-9999-cloudinit,media=cdrom,size=4M",
    "ostype": "l26",
    "scsi0": "local-lvm:base-9999-disk-0,discard=on,size=3G",
    "scsihw": "virtio-scsi-single",
    "serial0": "socket",
    "vga": "serial0",
    "description": f"ephemeral-github-runners-template\n\n{URL} sha512:{SUM}",
}
#: All that making one writes, and each parameter of it; what a run of `main` writes is in test_requests.py.
WRITTEN = {
    "POST /nodes/{node}/storage/{storage}/download-url": {
        *("content", "filename", "url", "checksum", "checksum-algorithm")
    },
    "POST /nodes/{node}/qemu": {
        *(
            "vmid",
            "name",
            "description",
            "ostype",
            "cores",
            "memory",
            "agent",
            "net0",
            "scsihw",
            "scsi0",
            "ide2",
            "boot",
        ),
        *("serial0", "vga"),
    },
    "POST /nodes/{node}/qemu/{vmid}/template": set(),
    "PUT /nodes/{node}/qemu/{vmid}/config": {"name"},
}
UNFINISHED = "ephemeral-github-runners-template-unfinished"


class Sums(BaseHTTPRequestHandler):
    """What a distribution publishes next to its images."""

    def do_GET(self) -> None:
        """Answer with it."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{'0' * 128}  other.qcow2\n{SUM}  {NAME}\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def published(rig: Rig) -> Iterator[str]:
    """Where the checksum is published, by https."""
    server = HTTPServer(("127.0.0.1", 0), Sums)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(rig.folder / "cert.pem", rig.folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/SHA512SUMS"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def newcomer(rig: Rig, pve: int) -> Rig:
    """There is no template, and the token may make one."""
    rig.double.admin.remove_vm(9999)
    rig.double.admin.access(**documented(pve, template=True))
    rig.double.admin.define(urls={URL: {"content": CONTENT, "image": {"agent": False}}})
    return rig


def play(rig: Rig, *words: str, **options: object) -> Said:
    """Run the playbook; no VM is described for it."""
    own = {
        "api_hosts": rig.double.host,
        "api_port": rig.double.port,
        "api_user": USER,
        "api_token_id": TOKEN,
        "api_token_secret": SECRET,
        "ca_file": str(rig.ca),
        "image_url": URL,
        "image_checksum": f"sha512:{SUM}",
    }
    told = {f"proxmox_runner_vm_{name}": value for name, value in {**own, **options}.items()}
    (rig.folder / "template.yml").write_text(json.dumps(told))
    environ = {"SSL_CERT_FILE": str(rig.ca)}
    return rig.play("ephemeral.github_runners.template", "-e", "@template.yml", *words, environ=environ)


@pytest.mark.parametrize(("major", "pve"), [(1, 8), (2, 9)])
def test_from_nothing_to_a_template_and_a_vm_of_it(newcomer: Rig) -> None:
    """And a second run changes nothing."""
    rig = newcomer
    with published(rig) as sums:
        said = play(rig, "--check", image_checksum=f"sha512:{sums}")
        assert "template 9999 on pve: download + create + convert + rename" in said.text
        assert (said.code, said.changed, rig.writes(), rig.vms()) == (0, 1, [], {})
        said = play(rig, image_checksum=f"sha512:{sums}", vlan=7)
    assert said.code == 0, said.text
    written = {
        f"{entry['method']} {entry['template']}": {
            name for name in entry["parameters"] if f"{{{name}}}" not in entry["template"]
        }
        for entry in rig.double.admin.journal()["entries"]
        if entry["write"]
    }
    assert written == WRITTEN
    rig.writes()
    config = rig.config(9999)
    assert config["net0"].endswith(",bridge=vmbr0,tag=7")
    assert (config["name"], config["template"]) == ("debian-13-cloud", 1)
    assert {name: config[name] for name in WANTED} == WANTED
    assert f"local:import/{FILE}" in rig.double.admin.state()["volumes"]
    said = play(rig, image_checksum="sha512:https://127.0.0.1:1/nobody-is-asked")
    assert (said.code, said.changed, rig.writes()) == (0, 0, []), said.text
    rig.ok(cores=1, memory=512, address="192.0.2.50/24")
    assert rig.vms()["250"]["running"]


def test_a_download_that_goes_on_and_a_run_that_finishes_it(newcomer: Rig) -> None:
    """A checksum that is wrong; a node that is slow; a VM that was made and not converted."""
    rig = newcomer
    text = play(rig, image_checksum=f"sha512:{'0' * 128}").problems()
    assert f"download failed: checksum mismatch: got '{SUM}' != expect" in text
    rig.double.admin.fault(task_hangs=True, task="download")
    text = play(rig, download_timeout=3).problems()
    assert "download failed: its task is still running" in text and "raise proxmox_runner_vm_download_timeout" in text
    rig.double.admin.clear_faults()
    rig.double.admin.fault(task_hangs=True, task="qmcreate")
    text = play(rig, import_timeout=3).problems()
    assert "create failed: its task is still running" in text and "proxmox_runner_vm_import_timeout" in text
    rig.double.admin.clear_faults()
    rig.double.admin.fault(task_fails="no space left on device", task="qmtemplate", times=1)
    text = play(rig).problems()
    assert "convert failed: no space left on device (what is there stays" in text
    assert rig.config(9999)["name"] == UNFINISHED
    rig.writes()
    said = play(rig)
    assert said.code == 0, said.text
    assert ends(rig.writes()) == ["template", "config"]


@EITHER_MAJOR
def test_a_stranger_is_never_touched(newcomer: Rig) -> None:
    newcomer.double.admin.define(vms={"9999": {"config": {"name": "theirs"}}})
    text = play(newcomer).problems()
    assert "template = 9999: theirs on pve has it, and is no template of ours" in text
    assert newcomer.writes() == []
