# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm with machines that boot, as a user has it: from nothing to jobs, and back."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
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
from tests.proxmox.conftest import SECRET, TOKEN, USER

Play = Callable[..., Result]
#: Name -> VMID, which is the last number of the address, too.
VMS = {"gh-runner-01": 250, "gh-runner-02": 251}
SITE = ("site", "-i", "inventory.ini", "-e", "@proxmox.yml")


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
def play(lab: Lab, machines: LabMachines, double: Double, artifact: Path, tmp_path: Path) -> Play:
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
        "cores": 1,
        "memory": 512,
        "disk_size": "20G",
        "vms": [
            {"name": name, "vmid": vmid, "address": f"{lab.subnet()[vmid]}/{lab.subnet().prefixlen}"}
            for name, vmid in VMS.items()
        ],
        "ssh_timeout": 60,
        "gateway": str(lab.subnet()[1]),
        "nameservers": [machines.nameserver],
        "user": "debian",
        "ssh_keys": [ssh_key(tmp_path / "key")],
    }
    settings = project.folder / "proxmox.yml"
    changes = {f"proxmox_runner_vm_{name}": value for name, value in vm.items()}
    settings.write_text(with_variables(settings.read_text(), changes))
    return run


@pytest.mark.timeout(1800)
def test_from_nothing_to_runners_and_back(
    lab: Lab, machines: LabMachines, double: Double, play: Play, tmp_path: Path
) -> None:
    address = str(lab.subnet()[250])
    known_hosts = tmp_path / "known_hosts"
    key = " ".join(ssh_key(tmp_path / "another").split()[:2])
    others = f"# mine\nexample.org {key}\n"
    # A VM of this VMID was there before, at the same address.
    block = "# {} ephemeral.github_runners VM 250\n"
    known_hosts.write_text(f"{others}{block.format('BEGIN')}# machine a\n{address} {key}\n{block.format('END')}")

    play(*SITE)
    told = machines.read(250, "/etc/ssh/ssh_host_ed25519_key.pub").decode()
    recorded = f"{address} {' '.join(told.split()[:2])}\n"
    known = known_hosts.read_text()
    assert known.startswith(others)
    assert recorded in known
    assert f"{address} {key}" not in known
    for name, vmid in VMS.items():
        for command, said in {
            "hostname": f"{name}\n",
            "cloud-init status": "status: done\n",
            "systemctl is-active package-lock": "inactive\n",
        }.items():
            assert machines.run(vmid, command.split(), b"")[1] == said
        assert machines.run(vmid, ["getent", "hosts", GITHUB_NAME], b"")[0] == 0
        assert slots(machines, vmid) == ["idle"] * 3
        job = lab.github.wait_job(lab.github.queue_job("echo hello", labels=[name]))
        assert job["result"] == "Succeeded" and job["runner_name"].startswith(f"{name}-runner-"), job

    assert play(*SITE).changed == 0

    # The same machine with other keys, as cloud-init makes them when a drive has changed: its agent's word is enough.
    anew = "rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh"
    assert machines.run(250, ["sh", "-c", anew], b"")[0] == 0
    assert play("provision", "-e", "@proxmox.yml").changed == 1
    told = machines.read(250, "/etc/ssh/ssh_host_ed25519_key.pub").decode()
    assert recorded not in known_hosts.read_text()
    recorded = f"{address} {' '.join(told.split()[:2])}\n"
    assert recorded in known_hosts.read_text()

    # Somebody who has not recorded the keys, and may not read files by the agent: on trust, and said. No other change.
    double.admin.access(**without(documented(9), "GitHubRunners", "VM.GuestAgent.FileRead"))
    known_hosts.write_text(others)
    again = play("provision", "-e", "@proxmox.yml")
    assert "the host key is that of whoever answered" in again.output
    assert recorded in known_hosts.read_text()
    assert again.changed == 2

    # One is down: the other gets what was asked for, and the run says which one did not.
    assert machines.run(251, ["systemctl", "stop", "ssh.socket", "ssh.service"], b"")[0] == 0
    broken = play(*SITE, ends=2, count=2)
    assert "gh-runner-02 (251 on pve): no SSH at" in broken.output
    assert (broken.hosts["gh-runner-01"].failed, broken.hosts["gh-runner-02"].failed) == (0, 1), broken.hosts
    lab.github.wait_runners(lambda found: len(ours(found)) == 5)
    assert (slots(machines, 250), slots(machines, 251)) == (["idle"] * 2, ["idle"] * 3)
    assert machines.run(251, ["systemctl", "start", "ssh.service"], b"")[0] == 0
    limited = play(*SITE, "--limit", "localhost,gh-runner-02")
    assert limited.hosts.keys() == {"localhost", "gh-runner-02"}
    lab.github.wait_runners(lambda found: len(ours(found)) == 4)
    assert slots(machines, 251) == ["idle"] * 2

    play("destroy", "-i", "inventory.ini", "-e", "@proxmox.yml")
    assert ours(lab.github.runners()) == []
    assert known_hosts.read_text() == others
    assert not {"250", "251"} & double.admin.state()["vms"].keys()
    there = [*lab.client.containers.list(all=True), *lab.client.volumes.list()]
    assert [one.name for one in there if str(one.name).startswith(f"{lab.prefix}-{VM}")] == []


def slots(machines: LabMachines, vmid: int) -> list[str]:
    """The states of a host's slots."""
    return [slot["state"] for slot in json.loads(machines.run(vmid, ["runnerd", "status", "--json"], b"")[1])["slots"]]


def ours(found: list[dict[str, Any]]) -> list[str]:
    """The runners of these VMs; the lab may have others."""
    return [one["name"] for one in found if one["name"].startswith(tuple(VMS))]
