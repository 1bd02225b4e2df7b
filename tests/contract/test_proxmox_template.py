# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The template: what is decided by a Proxmox VE's own answers, done by the plain API, with what the README
gives a token.

And the README's way to make one by hand: the double takes its `qm` for what they are, requests to the API.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI, ResourceException

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_template
from tests.contract.proxmox import SECRET
from tests.contract.role import README, VERSIONS, Role, documented, without
from tests.doubles.proxmox import pveum
from tests.doubles.proxmox.server import CLUSTER, Double
from tests.e2e.readme import Place, blocks
from tests.lab.common import CHECKOUT

Json = dict[str, Any]
URL = "https://cloud.example/debian-13-genericcloud-amd64.qcow2"
CONTENT = "the image"
SUM = hashlib.sha512(CONTENT.encode()).hexdigest()
REMOTE = {URL: {"content": CONTENT, "size": "3G", "image": {"agent": False}}}


def cluster(major: int = 9) -> Json:
    """A Proxmox VE without a template that an administrator has prepared as the README says, and what is at the URL."""
    there = {name: things for name, things in CLUSTER.items() if name != "vms"}
    return {
        "access": documented(major, template=True),
        "settings": {"version": VERSIONS[major]},
        "bare": True,
        "cluster": {**there, "pools": {"runners": {}}, "urls": REMOTE},
    }


@pytest.fixture
def pve_options() -> Json:
    """Proxmox VE 9."""
    return cluster()


class Template(Role):
    """The questions and decisions of the entry point `template`, and its writing by the plain API."""

    def __init__(self, double: Double, ca: Path, **options: Any) -> None:
        super().__init__(double, ca, **{"image_url": URL, "image_checksum": f"sha512:{SUM}", **options})
        self.template = vm_template.wanted(self.variables)
        assert self.template["problems"] == []

    def planned(self, due: tuple[str, ...] = (), did: Json | None = None) -> Json:
        """What is to be done."""
        first = self.read(vm_template.questions(self.template))
        look = self.read(vm_template.questions(self.template, first))
        return vm_template.plan(self.template, [first, look], {}, due, did)

    def make(self, made: Json) -> None:
        """Do what is planned. Raises ResourceException with Proxmox VE's words if it refuses."""
        node = self.api.root.nodes(made["node"])
        for action in made["actions"]:
            vm = node.qemu(self.template["vmid"])
            if action == "download":
                image = made["image"]
                fields = {"content": "import", "url": self.template["url"], "filename": image["filename"]}
                fields |= {"checksum": image["checksum"], "checksum-algorithm": self.template["algorithm"]}
                self._wait(node.storage(self.template["image_storage"])("download-url").post(**fields))
            elif action == "create":
                self._wait(node.qemu.post(vmid=self.template["vmid"], **made["options"]))
            elif action == "convert":
                self._wait(vm.template.post())
            else:
                vm.config.put(name=self.template["name"])


@pytest.mark.parametrize("pve_options", [cluster(8), cluster(9)], ids=["8", "9"])
def test_what_is_documented_is_enough(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """From nothing to a template that a run has nothing to say about, and a clone of it."""
    role = Template(pve_double, pve_tls[1], address="192.0.2.50/24")
    made = role.planned()
    assert (made["problems"], made["actions"]) == ([], ["download", "create", "convert", "rename"])
    role.make(made)
    again = role.planned()
    assert (again["problems"], again["actions"], again["notes"]) == ([], [], [])
    config = pve_double.admin.state()["vms"]["9999"]["config"]
    assert config["scsi0"] == "local-lvm:base-9999-disk-0,discard=on,size=3G"
    assert (config["name"], config["template"]) == ("debian-13-cloud", 1)
    plan = role.plan()
    assert (plan["problems"], plan["notes"]) == ([], [])
    assert role.api.wait(role.api.vm(9999).clone.post(newid=250, full=1, pool="runners")) == "OK"
    assert not pve_double.admin.state()["vms"]["250"]["image"]["agent"]


@pytest.mark.parametrize("major", VERSIONS)
def test_the_collections_page_gives_the_same(major: int) -> None:
    """Its one block, with what it says about version 8: the privileges that are tried here, and no other."""
    page = (CHECKOUT / "README.md").read_text("utf-8")
    (block,) = [block for block in blocks(page) if block.place is Place.NODE]
    text = f"pvesh() {{ :; }}\n{block.text}"
    if major == 8:
        assert "On Proxmox VE 8 write `VM.Monitor` in place of the two `VM.GuestAgent.…`." in " ".join(page.split())
        text, replaced = re.subn(r"VM\.GuestAgent\.\w+ VM\.GuestAgent\.\w+", "VM.Monitor", text)
        assert replaced == 1
    rules, pools = pveum.rules(text, SECRET)
    there = documented(major, template=True)
    assert pools == ["runners"]
    assert (rules["users"], rules["roles"]) == (there["users"], there["roles"])
    assert sorted(map(repr, rules["acl"])) == sorted(map(repr, there["acl"]))


PLANNED = documented(9, template=True)
#: Each privilege of the README that making a template takes: role, privilege.
LISTED = [
    (role, privilege)
    for role in ("GitHubRunnersTemplateMaker", "GitHubRunnersImage", "GitHubRunnersDownload")
    for privilege in PLANNED["roles"][role]
] + [("GitHubRunnersStorage", "Datastore.AllocateSpace"), ("GitHubRunnersNetwork", "SDN.Use")]


@pytest.mark.parametrize(("role_name", "privilege"), LISTED, ids="-".join)
def test_any_privilege_less_is_named(
    pve_double: Double, pve_tls: tuple[Path, Path], role_name: str, privilege: str
) -> None:
    """It is told beforehand; and Proxmox VE refuses without it, so that none is documented in vain."""
    role = Template(pve_double, pve_tls[1])
    made = role.planned()
    pve_double.admin.access(**without(PLANNED, role_name, privilege))
    told = "\n".join(role.planned()["problems"])
    # A storage on which the token may nothing is not shown to it.
    assert privilege in told or "there is no such storage on the node pve that the token may see" in told
    with pytest.raises(ResourceException):
        role.make(made)


def test_a_wrong_checksum(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """Nothing is there then, and it is told in Proxmox VE's words."""
    role = Template(pve_double, pve_tls[1], image_checksum=f"sha512:{'0' * 128}")
    with pytest.raises(ResourceException, match="checksum mismatch: got"):
        role.make(role.planned())
    (problem,) = role.planned(("download",), {"msg": "Task error: checksum mismatch"})["problems"]
    assert f"download failed: checksum mismatch: got '{SUM}' != expect" in problem
    assert "Do: compare proxmox_runner_vm_image_checksum with what the distribution publishes" in problem
    assert not [volume for volume in pve_double.admin.state()["volumes"] if ":import/" in volume]


def test_what_the_double_refuses_as_proxmox_does(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """Names, contents and sources of images."""
    role = Template(pve_double, pve_tls[1])
    made = role.planned()
    node = role.api.root.nodes("pve")
    download, usual = node.storage("local")("download-url"), {"content": "import", "url": URL}
    for fields, words in (
        ({"filename": "debian.img"}, "invalid filename or wrong extension"),
        ({"filename": "a.qcow2", "checksum": SUM}, "missing property required by 'checksum'"),
        ({"filename": "a.qcow2", "url": "ftp://x/a.qcow2"}, "value does not match the regex pattern"),
    ):
        with pytest.raises(ResourceException, match=words):
            download.post(**{**usual, **fields})
    with pytest.raises(ResourceException, match="exit code 8"):
        role._wait(download.post(filename="a.qcow2", content="import", url="https://nobody.example/a.qcow2"))
    pve_double.admin.define(storages={"local": {"content": "iso"}})
    with pytest.raises(ResourceException, match="is not configured for content-type 'import'"):
        download.post(filename="a.qcow2", **usual)
    pve_double.admin.define(storages={"local": {"content": "iso,import"}})
    for disk, words in (
        ("local-lvm:0,import-from=/var/tmp/a.qcow2", "Only root can pass arbitrary filesystem paths"),
        ("local-lvm:1,import-from=local:import/a.qcow2", "requires special syntax"),
        ("local:0,import-from=local:import/a.qcow2", "Datastore.AllocateSpace"),
    ):
        with pytest.raises(ResourceException, match=words):
            node.qemu.post(vmid=9999, scsi0=disk)
    with pytest.raises(ResourceException, match=r"volume 'local:import/.*' does not exist"):
        role.make({**made, "actions": ["create"]})


def commands() -> list[list[str]]:
    """The arguments of each `qm` that the README has for a template by hand."""
    text = README.read_text("utf-8").partition("### The template by hand")[2]
    (script,) = re.findall(r"```bash\n(.*?)```", text.partition("\n### ")[0], re.DOTALL)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "--install qemu-guest-agent" in script and "--truncate /etc/machine-id" in script
    assert "sha512sum --check" in script
    lines = script.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("qm ")]


def test_the_template_that_is_documented_lacks_nothing(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """Its `qm` are what the vendor's description has, and a run has nothing to say about what they make."""
    image = "/var/tmp/debian-13-genericcloud-amd64.qcow2"
    rules = documented(9)
    pve_double.admin.access(**{**rules, "users": {**rules["users"], "root@pam": {"password": "p"}}})
    pve_double.admin.define(urls={image: {"size": "3G"}})
    root = ProxmoxAPI(pve_double.host, port=pve_double.port, user="root@pam", password="p", verify_ssl=str(pve_tls[1]))
    role = Role(pve_double, pve_tls[1])
    for verb, vmid, *rest in commands():
        options = dict(zip([name.removeprefix("--") for name in rest[::2]], rest[1::2], strict=True))
        vm = root.nodes("pve").qemu
        upid = vm.post(vmid=vmid, **options) if verb == "create" else vm(vmid)(verb).post(**options)
        assert _ended(root, upid) == "OK"
    plan = role.plan()
    assert (plan["problems"], plan["notes"]) == ([], [])
    # And it is what the playbook makes, but for the name, the notes, and where the image comes from.
    ours = Template(pve_double, pve_tls[1], template=9998).planned()["options"]
    theirs = dict(zip([name.removeprefix("--") for name in commands()[0][2::2]], commands()[0][3::2], strict=True))
    for options in (ours, theirs):
        for name in ("name", "description"):
            options.pop(name, None)
        options["scsi0"] = re.sub(r"import-from=[^,]+", "import-from=…", options["scsi0"])
    assert ours == theirs


def _ended(root: ProxmoxAPI, upid: str) -> str:
    while (task := root.nodes("pve").tasks(upid).status.get())["status"] != "stopped":
        time.sleep(0.05)
    return str(task["exitstatus"])
