# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README.md, walked from its first block to its last by somebody who has nothing but it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.doubles.proxmox import pveum
from tests.doubles.proxmox.server import Double, running
from tests.e2e.readme import Block, Place, blocks, storages, substituted
from tests.e2e.rig import GROUP
from tests.gates import community_proxmox
from tests.lab.common import CHECKOUT
from tests.lab.host import Host
from tests.lab.keys import write_private
from tests.lab.lab import VM, Lab
from tests.lab.project import recaps, user_environment, with_hosts, with_variables
from tests.lab.proxmox import LabMachines

README = CHECKOUT / "README.md"
ORGANIZATION = "readme-org"
#: What the README speaks of.
SCOPES = (ORGANIZATION, f"{ORGANIZATION}/infrastructure")
HOST = "gh-runner-01"
VMID = 250
DEPLOY = "ansible-playbook ephemeral.github_runners.deploy -i inventory.ini"
SITE = "ansible-playbook ephemeral.github_runners.site -i inventory.ini -e @proxmox.yml"
#: What asks GitHub from the reader's own machine.
ASKING = ("github_runners.deploy", "github_runners.site")
#: What the distribution's image is at Proxmox VE's stand-in; Debian's own one has no guest agent, either.
IMAGE = "https://cloud.example/debian-13-genericcloud-amd64.qcow2"
CONTENT = "Debian's cloud image"
SECRET = "11111111-2222-3333-4444-555555555555"
#: What the node's storage keeps after an installation.
KEEPS = "iso,vztmpl,backup"
#: What a block that says "instead of …" stands for.
INSTEAD = {"the token": ["github_docker_runners_token"], "the count": ["github_docker_runners_count"]}
#: Seconds for one block; the longest is the demo.
LIMIT = 1200


class Newcomer:
    """Somebody with a home, a shell, a Proxmox VE on which there is nothing, and a host."""

    def __init__(self, lab: Lab, artifact: Path, home: Path, double: Double, nameserver: str) -> None:
        self.lab = lab
        self.home = home
        self.double = double
        self.server = lab.host("newcomer")
        # SSH looks for the key at the home of who runs this; so it is said where it is. The page has it made.
        (home / ".ssh").mkdir(mode=0o700)
        key = home / ".ssh" / "id_ed25519"
        self.machine = dataclasses.replace(lab.machine(VMID, str(lab.subnet()[VMID]), "admin"), key=key)
        self.token = f"ghp_{secrets.token_hex(18)}"
        lab.github.credentials({"readme": {"token": self.token, "scopes": dict.fromkeys(SCOPES, "write")}})
        self.image = lab.push_runner("1")
        self.state = home / ".state"
        # What Galaxy would install beside ours, the newest; it cannot be reached from everywhere. The demo and molecule
        # have the other major version.
        needed = Path("ansible_collections", "community", "proxmox")
        shutil.copytree(community_proxmox.path(2) / needed, home / ".ansible" / "collections" / needed)
        tools = os.pathsep.join(
            part for part in os.environ["PATH"].split(os.pathsep) if not part.startswith(str(CHECKOUT))
        )
        self.environment = user_environment({**os.environ, "PATH": tools}, home, Path("/usr/bin"))
        del self.environment["ANSIBLE_COLLECTIONS_PATH"]
        #: All that is put in place of what the README says.
        self.table = {
            # The collection is not on Galaxy yet: the artifact as it would be there.
            "collection install ephemeral.github_runners": f"collection install {shlex.quote(str(artifact))}",
            "my-org": ORGANIZATION,
        }
        #: What the reader's own GitHub, image and address are.
        self.own = {
            "github_docker_runners_api_url": lab.api_url,
            "github_docker_runners_ca_file": str(lab.authority.path),
            "github_docker_runners_image": self.image.reference,
            "github_docker_runners_dind_image": lab.push_dind().reference,
        }
        #: What the reader's own Proxmox VE and network are.
        self.own_vm = {
            "proxmox_runner_vm_api_hosts": [double.host],
            "proxmox_runner_vm_api_port": double.port,
            "proxmox_runner_vm_ca_file": str(lab.authority.path),
            "proxmox_runner_vm_address": f"{self.machine.address}/{lab.subnet().prefixlen}",
            "proxmox_runner_vm_gateway": str(lab.subnet()[1]),
            "proxmox_runner_vm_nameservers": [nameserver],
            "proxmox_runner_vm_image_url": IMAGE,
            "proxmox_runner_vm_image_checksum": f"sha256:{hashlib.sha256(CONTENT.encode()).hexdigest()}",
            # SSH does not look into the home that the reader is told to have.
            "proxmox_runner_vm_known_hosts_file": str(self.machine.known_hosts),
        }
        self.log: list[str] = []
        self.later: list[tuple[Block, str]] = []
        #: What the second run of `site` has changed, by host.
        self.repeated: dict[str, int] = {}
        self.make_app()

    @property
    def host(self) -> Host:
        """Where the runners are: on the VM, while there is one."""
        if str(VMID) not in self.double.admin.state()["vms"]:
            return self.server
        container = self.lab.container(f"{VM}{VMID}")
        return Host(HOST, container, self.machine.key, self.machine.known_hosts, self.machine.sockets)

    def read(self, block: Block) -> None:
        """Do what a block says."""
        text = substituted(block.text, self.table)
        if block.place is Place.FILE and block.name.startswith(".github/"):
            self.workflow(text)
        elif block.place is Place.FILE:
            self.edit(block.name, text)
        elif block.place is Place.OTHERWISE:
            self.otherwise(block, text)
        elif block.place is Place.HOST:
            self.log.append(self.host.exec("bash", "-euxc", text, timeout=LIMIT).stdout)
        elif block.place is Place.NODE:
            self.node(text)
        elif block.place is Place.CHECKOUT:
            self.log.append(self.shell(text, CHECKOUT))
        else:
            said = self.shell(text, None)
            self.log.append(said)
            if SITE in text:
                self.online(said)

    def shell(self, text: str, folder: Path | None) -> str:
        """Type it. What a shell remembers, its variables and its folder, the next block finds."""
        state = shlex.quote(str(self.state))
        script = f"set -euo pipefail\n[ ! -e {state} ] || . {state}\n{text}\n"
        if folder is None:
            kept = r"grep -v '^declare -x \(PWD\|https_proxy\|no_proxy\)='"
            script += f'{{ export -p | {kept}; echo cd "${{PWD@Q}}"; }} >{state}\n'
        # README.md speaks of both, for who is behind a proxy.
        asks = any(playbook in text for playbook in ASKING)
        way = {"https_proxy": self.lab.proxy_url, "no_proxy": self.double.host} if asks else {}
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder or self.home,
            env={**self.environment, **way},
            input=f"{SECRET if 'PROXMOX_TOKEN_SECRET' in text else self.token}\n",  # all that a block asks for
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout[-6000:]}"
        return done.stdout

    @property
    def project(self) -> Path:
        """The folder that the reader was told to make."""
        return self.home / "github-runners"

    def edit(self, name: str, text: str) -> None:
        """Make a file say what the block says; what else is in it stays."""
        path = self.project / name
        if name.endswith(".ini"):
            assert f"{HOST} ansible_host=192.168.1.250 ansible_user=root" in text
            path.write_text(with_hosts(path.read_text(), GROUP, {HOST: self.server.connection()}))
        else:
            own = self.own_vm if name == "proxmox.yml" else {**self.own, **self.machine.connection()}
            path.write_text(with_variables(path.read_text(), {**yaml.safe_load(text), **own}))

    def node(self, text: str) -> None:
        """Type it as root on the node."""
        rules, pools = pveum.rules(f"pvesh() {{ :; }}\n{text}", SECRET)
        kept = storages(text, {"local": KEEPS})
        self.double.admin.define(
            pools={pool: {} for pool in pools},
            storages={name: {"type": "dir", "content": ",".join(content)} for name, content in kept.items()},
        )
        self.double.admin.access(**rules)

    def online(self, said: str) -> None:
        """`site` has run: the first time it prints the VM's line for the inventory, from then on it changes nothing."""
        if self.named():
            self.repeated = {name: recap.changed for name, recap in recaps(said).items()}
            return
        (line,) = set(re.findall(rf'"({HOST} ansible_host=\S+ ansible_user=\S+)"', said))
        path = self.project / "inventory.ini"
        how = dict(word.split("=", 1) for word in line.split()[1:])
        path.write_text(with_hosts(path.read_text(), GROUP, {HOST: how}))
        for waiting in self.later:
            self.otherwise(*waiting)

    def named(self) -> bool:
        """Whether the inventory has a host."""
        inventory = (self.project / "inventory.ini").read_text()
        return re.search("^[^#\n]* ansible_host=", inventory, re.MULTILINE) is not None

    def workflow(self, text: str) -> None:
        """Push it: each job finds a runner by its labels, and succeeds."""
        for job in yaml.safe_load(text)["jobs"].values():
            script = "\n".join(step["run"] for step in job["steps"])
            number = self.lab.github.queue_job(script, repository=f"{ORGANIZATION}/app", labels=job["runs-on"])
            done = self.lab.github.wait_job(number)
            assert done["result"] == "Succeeded", done

    def otherwise(self, block: Block, text: str) -> None:
        """Another way to write the variables is fit for use, too: every check passes, as soon as there is a host."""
        if not self.named():
            self.later.append((block, text))
            return
        path = self.project / "group_vars" / f"{GROUP}.yml"
        walked = path.read_text()
        instead: dict[str, None] = dict.fromkeys(INSTEAD[block.name])
        path.write_text(with_variables(walked, {**instead, **yaml.safe_load(text), **self.own}))
        self.shell(f"{DEPLOY} --check", None)
        path.write_text(walked)

    def make_app(self) -> None:
        """The App that the README speaks of, with its key where the README has it."""
        rights = {"organization_self_hosted_runners": "write", "metadata": "read"}
        self.lab.github.apps({"mine": {"id": 123456, "permissions": rights, "installations": {ORGANIZATION: {}}}})
        write_private(self.home / "my-app.private-key.pem", self.lab.github.app_key("mine").encode())


@pytest.fixture(scope="module")
def newcomer(lab: Lab, artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """One, with a home of their own, and a node as it is after its installation."""
    folder = tmp_path_factory.mktemp("proxmox")
    cert, key = folder / "pve.pem", folder / "pve.key"
    for path, content in zip((cert, key), lab.authority.issue("127.0.0.1"), strict=True):
        write_private(path, content)
    machines = LabMachines(lab)
    cluster = {
        "nodes": {"pve": {}},
        "storages": {"local-lvm": {}, "local": {"type": "dir", "content": KEEPS}},
        "urls": {IMAGE: {"content": CONTENT, "size": "3G", "image": {"agent": False}}},
    }
    with running(cert=cert, key=key, machines=machines, cluster=cluster, bare=True) as double:
        yield Newcomer(lab, artifact, tmp_path_factory.mktemp("newcomer"), double, machines.nameserver)


@pytest.mark.timeout(2400)
def test_every_block_runs(newcomer: Newcomer) -> None:
    page = blocks(README.read_text("utf-8"))
    for block in page:
        if not block.not_run:
            try:
                newcomer.read(block)
            except Exception as error:
                error.add_note(f"README.md:{block.line}")
                raise
    assert newcomer.repeated == {"localhost": 0, HOST: 0}
    # `destroy` was a block: the template is still there. The last two drain and remove: nothing is left, here or at
    # GitHub.
    assert set(newcomer.double.admin.state()["vms"]) == {"9999"}
    left = newcomer.server.docker("ps", "--all", "--quiet")
    assert not left
    assert not [one for one in newcomer.lab.github.runners() if one["name"].startswith(HOST)]
