# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Proxmox VE double, and the role run against it with either major version of community.proxmox.

Its token has what the role's README gives it, and no more.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.contract import proxmox
from tests.contract.role import VERSIONS, documented
from tests.doubles.proxmox.server import Double, running
from tests.gates import community_proxmox, tree

from .guest import Guest, guest

USER, TOKEN, SECRET = proxmox.USER, proxmox.TOKEN, proxmox.SECRET
ROLE = "ephemeral.github_runners.proxmox_runner_vm"
OWNER = "ephemeral-github-runners"
#: All that a user may ask to be told, when something goes wrong: the secret may not be in it.
VERBOSE = "-vvvvv"
#: For a test that ends before a module of community.proxmox writes, or is about Proxmox VE's answers to ours only.
EITHER_MAJOR = pytest.mark.parametrize("major", [2])


def ends(writes: list[str]) -> list[str]:
    """The last word of each request's path."""
    return [each.rsplit("/", 1)[-1] for each in writes]


@dataclass
class Said:
    """What a run of ansible-playbook said."""

    code: int
    text: str
    changed: int

    def problems(self) -> str:
        """Why it failed."""
        assert self.code != 0, self.text
        return self.text


@dataclass
class Rig:
    """A double, and the role run against it."""

    double: Double
    ca: Path
    folder: Path
    major: int
    seen: int = 0
    more: dict[str, str] = field(default_factory=dict)  # of the environment

    def run(self, *words: str, point: str = "main", environ: dict[str, str] | None = None, **options: Any) -> Said:
        """Run the role; its variables without their prefix."""
        usual = {
            "api_hosts": [self.double.host],
            "api_port": self.double.port,
            "api_user": USER,
            "api_token_id": TOKEN,
            "api_token_secret": SECRET,
            "ca_file": str(self.ca),
            "vmid": 250,
            "pool": "runners",
            "wait": False,
            "known_hosts_file": str(self.folder / "known_hosts"),
            "clone_timeout": 20,
            "start_timeout": 10,
            "address_timeout": 15,
            "shutdown_timeout": 3,
        }
        told = {f"proxmox_runner_vm_{name}": value for name, value in {**usual, **options}.items()}
        play = [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "tasks": [{"ansible.builtin.include_role": {"name": ROLE, "tasks_from": point}}],
            },
            {
                "hosts": "github_runners",
                "gather_facts": False,
                "tasks": [{"ansible.builtin.debug": {"msg": "HOST {{ inventory_hostname }} {{ ansible_host }}"}}],
            },
        ]
        (self.folder / "variables.yml").write_text(json.dumps({k: v for k, v in told.items() if v is not None}))
        (self.folder / "playbook.yml").write_text(yaml.safe_dump(play, sort_keys=False))
        return self.play("playbook.yml", "-e", "@variables.yml", *words, environ=environ)

    def environ(self) -> dict[str, str]:
        """Ansible's environment, with this major version of the collection before any other."""
        outside = re.compile(r"(?i).*_proxy|PROXMOX_.*|.*_CA_BUNDLE|NETRC|ANSIBLE_.*")
        kept = {name: value for name, value in os.environ.items() if not outside.fullmatch(name)}
        paths = [str(community_proxmox.path(self.major)), str(tree.ensure())]
        return {
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(paths),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_PIPELINING": "true",  # fewer processes for each module
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callbacks")),
            "ANSIBLE_CALLBACKS_ENABLED": "filters",
            "HOME": str(self.folder),
            **self.more,
        }

    def play(self, *words: str, environ: dict[str, str] | None = None) -> Said:
        """Run ansible-playbook. No word of it may show the secret."""
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", VERBOSE, "--diff", *words],
            cwd=self.folder,
            env={**self.environ(), **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            start_new_session=True,  # a process group of its own, which may be killed
        )
        assert SECRET not in done.stdout
        changed = sum(int(each) for each in re.findall(r"changed=(\d+)", done.stdout))
        return Said(done.returncode, done.stdout, changed)

    def inventory(self) -> dict[str, Any]:
        """What the shipped inventory finds."""
        source = self.folder / "inventory.proxmox.yml"
        shutil.copy(tree.ROOT / source.name, source)
        told = {
            "PROXMOX_URL": f"https://{self.double.host}:{self.double.port}",
            "PROXMOX_USER": USER,
            "PROXMOX_TOKEN_ID": TOKEN,
            "PROXMOX_TOKEN_SECRET": SECRET,
            "REQUESTS_CA_BUNDLE": str(self.ca),
        }
        command = [sys.executable, "-m", "ansible", "inventory", "-i", str(source), "--list"]
        done = subprocess.run(
            command, cwd=self.folder, env={**self.environ(), **told}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def ok(self, *words: str, **options: Any) -> Said:
        """Run the role; it must end well."""
        said = self.run(*words, **options)
        assert said.code == 0, said.text
        return said

    def writes(self) -> list[str]:
        """The requests that change something, as `METHOD path`, since the last call."""
        journal = self.double.admin.journal(self.seen)
        self.seen = journal["last"]
        return [f"{entry['method']} {entry['path']}" for entry in journal["entries"] if entry["write"]]

    def vms(self) -> dict[str, Any]:
        """All VMs by VMID."""
        return dict(self.double.admin.state()["vms"])

    def config(self, vmid: int = 250) -> dict[str, Any]:
        """A VM's configuration."""
        return dict(self.vms()[str(vmid)]["config"])


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=[1, 2], ids=["community1", "community2"])
def major(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def pve() -> int:
    """The major version of Proxmox VE; a test may set it as a parameter."""
    return 9


@pytest.fixture
def rig(authority: trustme.CA, tmp_path: Path, major: int, pve: int) -> Iterator[Rig]:
    ca, cert, key = tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(ca)
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(key)
    for number, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(cert, append=number > 0)
    settings = {"version": VERSIONS[pve]}
    cluster = {"pools": {"runners": {}}}
    with running(cert=cert, key=key, access=documented(pve), cluster=cluster, settings=settings) as double:
        yield Rig(double, ca, tmp_path, major)


@pytest.fixture
def vm(rig: Rig) -> Iterator[Guest]:
    """What stands in for the VM, for a run that waits until it can be used."""
    with guest(rig.double, rig.folder) as found:
        rig.more |= found.environ
        yield found
