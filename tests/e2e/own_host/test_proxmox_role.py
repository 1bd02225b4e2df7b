# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm with machines that boot: host key, cloud-init, package lock, and a machine made anew."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.role import documented, without
from tests.doubles.proxmox.server import Double, running
from tests.e2e.rig import GROUP
from tests.lab.keys import ssh_key
from tests.lab.lab import GITHUB_NAME, VM, Lab
from tests.lab.project import COLLECTION, Project, Result, with_variables
from tests.lab.proxmox import LabMachines
from tests.proxmox.conftest import SECRET, TOKEN, USER, Rig


@pytest.fixture
def machines(lab: Lab) -> LabMachines:
    """Machines that boot."""
    return LabMachines(lab)


@pytest.fixture
def double(machines: LabMachines, tmp_path: Path) -> Iterator[Double]:
    """Proxmox VE, with a template that wants no upgrade of packages at the first boot: that would take an archive."""
    authority, own = trustme.CA(), tmp_path / "own.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    cluster = {"pools": {"runners": {}}, "vms": {"9999": {"config": {"ciupgrade": 0}}}}
    with running(cert=own, key=own, access=documented(9), machines=machines, cluster=cluster) as double:
        yield double


@pytest.fixture
def vm(lab: Lab, machines: LabMachines, tmp_path: Path) -> dict[str, Any]:
    """What the VM shall be, as the role's variables without their prefix."""
    return {
        "wait": True,
        "cores": 1,
        "memory": 512,
        "user": "debian",
        "ssh_keys": [ssh_key(tmp_path / "key")],
        "address": f"{lab.subnet()[250]}/{lab.subnet().prefixlen}",
        "gateway": str(lab.subnet()[1]),
        "nameservers": [machines.nameserver],
        "start_timeout": 120,
        "shutdown_timeout": 60,
    }


@pytest.fixture
def ssh(tmp_path: Path) -> list[str]:
    """The words for ansible-playbook by which it logs in, and trusts what is recorded and nothing else."""
    return [
        "--private-key",
        str(tmp_path / "key"),
        "--ssh-common-args",
        f"-o UserKnownHostsFile={tmp_path}/known_hosts",
    ]


def left(lab: Lab) -> list[str]:
    """What there is of VMs in the engine."""
    there = [*lab.client.containers.list(all=True), *lab.client.volumes.list()]
    return [str(one.name) for one in there if str(one.name).startswith(f"{lab.prefix}-{VM}")]


@pytest.fixture
def others(tmp_path: Path) -> str:
    """What somebody else has written into known_hosts, before us."""
    text = f"# mine\nexample.org {' '.join(ssh_key(tmp_path / 'theirs').split()[:2])}\n"
    (tmp_path / "known_hosts").write_text(text)
    return text


def test_a_vm_that_boots_can_be_used(
    double: Double, machines: LabMachines, vm: dict[str, Any], ssh: list[str], others: str, tmp_path: Path
) -> None:
    rig = Rig(double, tmp_path / "ca.pem", tmp_path, 2)
    rig.ok(*ssh, **vm)
    address, key = vm["address"].partition("/")[0], machines.read(250, "/etc/ssh/ssh_host_ed25519_key.pub").decode()
    known = (tmp_path / "known_hosts").read_text()
    assert known.startswith(others)
    assert f"{address} {' '.join(key.split()[:2])}\n" in known
    assert machines.run(250, ["cloud-init", "status"], b"")[1].strip() == "status: done"
    assert machines.run(250, ["systemctl", "is-active", "package-lock"], b"")[1].strip() == "inactive"
    assert machines.run(250, ["hostname"], b"")[1] == "gh-runner-01\n"
    assert machines.run(250, ["getent", "hosts", GITHUB_NAME], b"")[0] == 0

    rig.writes()
    said = rig.ok(*ssh, **vm)
    assert (said.changed, rig.writes()) == (0, [])

    rig.ok(*ssh, point="absent", **vm)
    assert (tmp_path / "known_hosts").read_text() == others
    assert left(machines.lab) == []


def test_a_vm_made_anew_behind_our_back_is_trusted_by_its_own_key(
    double: Double, machines: LabMachines, vm: dict[str, Any], ssh: list[str], others: str, tmp_path: Path
) -> None:
    """Without the right to read files by the agent: on trust, and said."""
    double.admin.access(**without(documented(9), "GitHubRunners", "VM.GuestAgent.FileRead"))
    rig = Rig(double, tmp_path / "ca.pem", tmp_path, 2)
    keys = []
    for _time in range(2):
        said = rig.ok(*ssh, **vm)
        assert "the host key is that of whoever answered" in said.text
        keys.append(machines.read(250, "/etc/ssh/ssh_host_ed25519_key.pub").decode().split()[1])
        known = (tmp_path / "known_hosts").read_text()
        assert known.startswith(others)
        assert [key in known for key in keys] == [False] * (len(keys) - 1) + [True]
        double.admin.remove_vm(250)
    assert keys[0] != keys[1]


def test_site_makes_a_vm_and_a_runner_that_does_a_job(
    lab: Lab, double: Double, vm: dict[str, Any], ssh: list[str], artifact: Path, tmp_path: Path
) -> None:
    """As a user: `init`, `site`, a job, `destroy`."""
    project = Project(tmp_path, proxy=lab.proxy_url)
    project.install(artifact)

    def play(name: str, *words: str) -> Result:
        done = project.run("ansible-playbook", f"{COLLECTION}.{name}", *words)
        assert done.rc == 0, done.output[-6000:]
        return done

    play("init", "-e", f"dest={project.folder}", "-e", "proxmox=true")
    project.write_inventory(GROUP, {})
    token = f"ghp_{secrets.token_hex(18)}"
    lab.github.credentials({"site": {"token": token, "scopes": {"my-org": "write"}}})
    project.set_variables(
        GROUP,
        github_docker_runners_scope="my-org",
        github_docker_runners_token=token,
        github_docker_runners_api_url=lab.api_url,
        github_docker_runners_ca_file=str(lab.authority.path),
        github_docker_runners_image=lab.push_runner().reference,
        github_docker_runners_docker="none",
        github_docker_runners_count=1,
        github_docker_runners_extra_labels=["site"],
    )
    wanted = {
        **vm,
        "api_hosts": [double.host],
        "api_port": double.port,
        "ca_file": str(tmp_path / "ca.pem"),
        "api_user": USER,
        "api_token_id": TOKEN,
        "api_token_secret": SECRET,
        "disk_size": "20G",
        "known_hosts_file": str(tmp_path / "known_hosts"),
    }
    settings = project.folder / "proxmox.yml"
    changes = {f"proxmox_runner_vm_{name}": value for name, value in wanted.items()}
    settings.write_text(with_variables(settings.read_text(), changes))

    play("site", "-i", "inventory.ini", "-e", "@proxmox.yml", *ssh)
    job = lab.github.wait_job(lab.github.queue_job("echo hello", labels=["site"]))
    assert job["result"] == "Succeeded" and job["runner_name"].startswith("gh-runner-01"), job

    play("destroy", "-e", "@proxmox.yml")
    assert "250" not in double.admin.state()["vms"]
    assert left(lab) == []
