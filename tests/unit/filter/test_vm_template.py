# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The template: what is planned, by answers in Proxmox VE's own form. The double is in tests/contract."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_template
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import OWNER, TEMPLATE_MARK

from .vm_cluster import SECRET, Cluster, variables

HEX = "0123456789abcdef" * 8
URL = "https://cloud.example/trixie/debian-13.qcow2"
SAID = {"image_url": URL, "image_checksum": f"sha512:{HEX}"}
VOLUME = "local:import/debian-13-0123456789abcdef.qcow2"
CREATING = ["create", "convert", "rename"]
NOTES = f"{TEMPLATE_MARK}\n\n{URL} sha512:{HEX}\n"


class Lab(Cluster):
    """A cluster without a template, and a token that may make one."""

    def __init__(self) -> None:
        super().__init__()
        self.content: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        del self.vms[9999]
        self.storages["pve1", "local"] = {"status": "available", "content": "iso,import", "shared": 0}
        options = ("CPU", "Disk", "HWType", "Memory", "Network", "Options")
        self.permissions |= {
            "/vms/9999": dict.fromkeys(["VM.Allocate", "VM.Audit", *(f"VM.Config.{each}" for each in options)], 1),
            "/storage/local": {"Datastore.AllocateTemplate": 1, "Datastore.Audit": 1},
            "/nodes/pve1": {"Sys.AccessNetwork": 1},
        }

    def get(self, path: str) -> dict[str, Any]:
        """The answer to a path."""
        if "/content?" in path:
            return {"path": path, "status": 200, "reason": "", "data": self.content}
        if path == "/nodes/pve1/tasks?source=all":
            return {"path": path, "status": 200, "reason": "", "data": self.tasks}
        return super().get(path)


def wanted(**options: Any) -> dict[str, Any]:
    """What these variables ask for."""
    found = vm_template.wanted(variables(**{**SAID, **options}))
    assert found["problems"] == []
    return found


def plan(lab: Lab, sums: Any = None, due: Any = (), did: Any = None, **options: Any) -> dict[str, Any]:
    """The plan; no word of it may show the secret."""
    told = wanted(**options)
    first = lab.read(vm_template.questions(told))
    reads = [first, lab.read(vm_template.questions(told, first))]
    found = vm_template.plan(told, reads, sums, due, did)
    assert SECRET not in repr(found)
    assert all(". Do: " in line for line in found["problems"]), found["problems"]
    return found


def test_nothing_there() -> None:
    found = plan(Lab())
    assert (found["problems"], found["actions"]) == ([], ["download", *CREATING])
    assert found["image"] == {"filename": VOLUME.rpartition("/")[2], "checksum": HEX}
    assert found["options"]["scsi0"] == f"local-lvm:0,import-from={VOLUME},discard=on"
    assert found["lines"][0] == "template 9999 on pve1: download + create + convert + rename"
    assert "Without qemu-guest-agent in it" in found["notes"][0]


def test_what_is_downloaded_is_not_again() -> None:
    lab = Lab()
    lab.content = [{"volid": VOLUME}]
    assert plan(lab)["actions"] == CREATING


@pytest.mark.parametrize(
    ("config", "actions"),
    [
        ({"name": vm_template.UNFINISHED, "description": NOTES}, ["convert", "rename"]),
        ({"name": vm_template.UNFINISHED, "description": NOTES, "template": 1}, ["rename"]),
        ({"name": "debian-13-cloud", "description": NOTES, "template": 1}, []),
    ],
)
def test_ours_is_finished_from_wherever_it_is(config: dict[str, Any], actions: list[str]) -> None:
    lab = Lab()
    lab.add(9999, config)
    found = plan(lab)
    assert (found["problems"], found["actions"], found["sums"]) == ([], actions, False)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"name": "theirs"}, "template = 9999: theirs on pve1 has it, and is no template of ours"),
        # A clone of our template that somebody made by hand has its notes.
        ({"name": "theirs", "description": NOTES}, "theirs on pve1 has it"),
        ({"name": vm_template.UNFINISHED, "description": "theirs"}, "has it, and is no template of ours"),
        ({"name": "old", "description": f"{TEMPLATE_MARK} http://x", "template": 1}, "made of another image"),
        (
            {"name": "old", "description": f"{TEMPLATE_MARK} http://x", "template": 1},
            "qm destroy 9999, and then give the token its roles on /vms/9999 again",
        ),
    ],
)
def test_a_strangers_is_never_touched(config: dict[str, Any], problem: str) -> None:
    lab = Lab()
    lab.add(9999, config)
    found = plan(lab)
    assert found["actions"] == []
    assert any(problem in line for line in found["problems"]), found["problems"]


def test_a_template_that_somebody_else_made_will_do() -> None:
    lab = Lab()
    lab.add(9999, lab.configs[9999], template=1)
    found = plan(lab)
    assert (found["problems"], found["actions"]) == ([], [])
    assert found["notes"] == ["template 9999: it was not made by this role, and is left as it is"]
    del lab.configs[9999]["ide2"]
    assert "it has no cloud-init drive" in plan(lab)["problems"][0]


def test_a_clone_is_no_runners_vm() -> None:
    """It inherits the template's notes, by whose words a runner's VM is known, too."""
    assert OWNER not in plan(Lab())["options"]["description"].split()


WRONG: list[tuple[str, Any, str]] = [
    ("node", "pve7", "node = pve7: no such node. Do: write one of pve1"),
    ("template_storage", "ceph", "template_storage = ceph: there is no such storage on the node pve1"),
    ("template_storage", "local", "template_storage = local: the storage has not the content `images`"),
    ("image_storage", "local-lvm", "Do: as root on a node: pvesm set local-lvm --content images,import,rootdir"),
    ("bridge", "vmbr7", ""),
]


@pytest.mark.parametrize(("option", "value", "problem"), WRONG)
def test_what_is_wrong_is_told_beforehand(option: str, value: Any, problem: str) -> None:
    found = plan(Lab(), **{option: value})["problems"]
    assert any(problem in line for line in found) if problem else found == [], found


def test_what_the_cluster_stands_in_the_way_with() -> None:
    lab = Lab()
    lab.version = "8.3.5"
    assert "Proxmox VE 8.3 takes no disk image by its API, 8.4 does" in plan(lab)["problems"][0]
    lab = Lab()
    lab.nodes["pve2"] = {"status": "online"}
    assert 'node = "": not set, and there are several. Do: write one of pve1, pve2' in plan(lab)["problems"][0]
    lab = Lab()
    lab.nodes["pve1"]["status"] = "offline"
    assert "node = pve1: it is offline" in plan(lab)["problems"][0]
    lab = Lab()
    lab.quorate = 0
    assert "lost its quorum" in plan(lab)["problems"][0]
    lab = Lab()
    lab.permissions["/nodes/pve1"] = {}
    assert "the token lacks Sys.AccessNetwork on /nodes/pve1" in plan(lab)["problems"][0]
    lab.permissions["/"] = {"Sys.Audit": 1, "Sys.Modify": 1}
    assert plan(lab)["problems"] == []


def test_a_checksum_that_is_published() -> None:
    told = {"image_checksum": "sha512:https://cloud.example/SHA512SUMS"}
    assert plan(Lab(), **told)["sums"]
    found = plan(Lab(), {"content": f"{HEX[::-1]}  other.qcow2\n{HEX}  debian-13.qcow2\n"}, **told)
    assert (found["problems"], found["sums"], found["image"]["checksum"]) == ([], False, HEX)
    (problem,) = plan(Lab(), {"content": f"{HEX}  other.qcow2\n"}, **told)["problems"]
    assert "image_checksum = sha512:https://cloud.example/SHA512SUMS: it has no sha512 of debian-13.qcow2" in problem
    (problem,) = plan(Lab(), {"content": f"{HEX[:64]}  debian-13.qcow2\n"}, **told)["problems"]
    assert "it has no sha512 of debian-13.qcow2" in problem
    (problem,) = plan(Lab(), {"msg": "Connection refused"}, **told)["problems"]
    assert "SHA512SUMS: Connection refused. Do: " in problem


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "debian-13-0123456789abcdef.qcow2"),
        ("https://x/noble-server-cloudimg-amd64.img?a=b", "noble-server-cloudimg-amd64-0123456789abcdef.qcow2"),
        ("https://x/a%20b.c.raw", "a_b.c-0123456789abcdef.raw"),
    ],
)
def test_the_name_of_an_image(url: str, name: str) -> None:
    assert vm_template.filename(url, HEX) == name


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("template", "debian-13-cloud", "template = debian-13-cloud: not a whole number"),
        ("template_name", "a b", "template_name = a b: not a host name"),
        ("template_storage", "", "not a storage's name"),
        ("image_storage", "local:import", "not a storage's name"),
        ("image_url", "ftp://x/a.qcow2", "not a URL"),
        ("image_url", "https://x/a.tar.xz", "image_url = https://x/a.tar.xz: not a disk image"),
        ("image_checksum", "md5:0123", "not a checksum"),
        ("image_checksum", "sha512:http://x/SUMS", "not a checksum, nor https"),
        ("image_checksum", f"sha256:{HEX}", "not 64 digits, as sha256 has"),
        ("download_timeout", 0, "not a whole number"),
        ("import_timeout", "soon", "not a whole number"),
        ("image_chekcsum", "", "no such variable. Do: write proxmox_runner_vm_image_checksum"),
    ],
)
def test_wrong_variables(option: str, value: Any, problem: str) -> None:
    found = vm_template.wanted(variables(**{**SAID, option: value}))["problems"]
    assert any(problem in line for line in found), found
    assert all(line.startswith("proxmox_runner_vm_") and ". Do: " in line for line in found)


def test_a_task_that_goes_on_is_waited_for() -> None:
    lab = Lab()
    lab.tasks = [{"type": "download", "id": VOLUME.rpartition("/")[2], "upid": "x"}]
    found = plan(lab)
    assert found["busy"]
    assert "download failed: its task is still running" in found["problems"][0]
    lab.tasks = [{"type": "download", "id": "other.iso"}, {"type": "qmcreate", "id": "100"}]
    assert not plan(lab)["busy"]
    lab.add(9999, {"lock": "create"})
    assert plan(lab)["busy"]


@pytest.mark.parametrize(
    ("ended", "said", "problem"),
    [
        ("checksum mismatch: got 'a'", "Task error: checksum mismatch", "download failed: checksum mismatch: got 'a'"),
        ("checksum mismatch: got 'a'", "403 Forbidden: Permission check failed", "download failed: 403 Forbidden"),
        ("OK", "Reached timeout", "download failed: Reached timeout"),
        ("", "", "download failed: Proxmox VE gave no reason"),
        ("", "Read timed out. (read timeout=30)", "Do: raise proxmox_runner_vm_api_timeout"),
    ],
)
def test_why_something_was_not_done(ended: str, said: str, problem: str) -> None:
    lab = Lab()
    name = VOLUME.rpartition("/")[2]
    lab.tasks = [{"type": "download", "id": name, "status": ended, "endtime": 1}] if ended else []
    (line,) = plan(lab, due=["download"], did={"msg": said})["problems"]
    assert problem in line
    assert "and run this again" in line
