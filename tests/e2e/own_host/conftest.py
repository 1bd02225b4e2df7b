# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that bring hosts of their own: nothing of one finds what another one left.

Those of Proxmox VE say by the fixtures `machines` and `vm_settings` what boots, and which machines are wanted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.role import documented
from tests.doubles.proxmox.server import Double, running
from tests.e2e.rig import GROUP
from tests.e2e.vms import Play
from tests.lab.keys import ssh_key
from tests.lab.lab import Lab
from tests.lab.project import COLLECTION, Project, Result, with_variables
from tests.lab.proxmox import ContainerMachines
from tests.proxmox.conftest import SECRET, TOKEN, USER


@pytest.fixture(scope="session")
def purpose() -> str:
    """The name of this folder's lab."""
    return "own"


@pytest.fixture
def double(machines: ContainerMachines, tmp_path: Path) -> Iterator[Double]:
    """Proxmox VE, with a template that wants no upgrade of packages at the first boot: that would take an archive."""
    authority, own = trustme.CA(), tmp_path / "own.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    cluster = {"pools": {"runners": {}}, "vms": {"9999": {"config": {"ciupgrade": 0}}}}
    with running(cert=own, key=own, access=documented(9), machines=machines, cluster=cluster) as double:
        yield double


@pytest.fixture
def play(
    lab: Lab,
    machines: ContainerMachines,
    double: Double,
    vm_settings: Mapping[str, Any],
    artifact: Path,
    tmp_path: Path,
) -> Play:
    """Runs a playbook of a user who has written `proxmox.yml` and the group's variables, and trusts `known_hosts`."""
    token = f"ghp_{secrets.token_hex(18)}"
    lab.github.credentials({"site": {"token": token, "scopes": {"my-org": "write"}}})
    project = Project(tmp_path, proxy=lab.proxy_url)
    project.install(artifact)

    def run(name: str, *words: str, ends: int = 0, **changes: Any) -> Result:
        """Changes: variables of the group's, by their names without prefix."""
        project.set_variables(GROUP, **{f"github_docker_runners_{name}": value for name, value in changes.items()})
        ssh = ["--private-key", str(tmp_path / "key"), "--ssh-common-args"]
        ssh += [f"-o UserKnownHostsFile={tmp_path}/known_hosts -o IdentitiesOnly=yes"]
        done = project.run("ansible-playbook", f"{COLLECTION}.{name}", *words, *ssh)
        assert done.rc == ends, done.output[-6000:]
        return done

    run("init", "-e", f"dest={project.folder}", "-e", "proxmox=true")
    project.write_inventory(GROUP, {})
    runners = {
        "scope": "my-org",
        "token": token,
        "api_url": lab.api_url,
        "ca_file": str(lab.authority.path),
        "image": lab.push_runner().reference,
        "docker": "none",
        "count": 3,
        "extra_labels": ["{{ inventory_hostname }}"],
    }
    project.set_variables(GROUP, **{f"github_docker_runners_{name}": value for name, value in runners.items()})
    vm = {
        "api_hosts": [double.host],
        "api_port": double.port,
        "ca_file": str(tmp_path / "ca.pem"),
        "api_user": USER,
        "api_token_id": TOKEN,
        "api_token_secret": SECRET,
        "known_hosts_file": str(tmp_path / "known_hosts"),
        "disk_size": "20G",
        "gateway": str(lab.subnet()[1]),
        "nameservers": [machines.nameserver],
        "user": "debian",
        "ssh_keys": [ssh_key(tmp_path / "key")],
        **vm_settings,
    }
    settings = project.folder / "proxmox.yml"
    changes = {f"proxmox_runner_vm_{name}": value for name, value in vm.items()}
    settings.write_text(with_variables(settings.read_text(), changes))
    return run
