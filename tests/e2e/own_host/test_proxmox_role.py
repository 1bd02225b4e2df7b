# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm with machines that boot: host key, cloud-init, package lock, and a machine made anew."""

from __future__ import annotations

from pathlib import Path

import trustme

from tests.doubles.proxmox.server import running
from tests.lab.keys import ssh_key
from tests.lab.lab import GITHUB_NAME, Lab
from tests.lab.proxmox import LabMachines
from tests.proxmox.conftest import Rig, access


def test_a_vm_that_boots_can_be_used(lab: Lab, tmp_path: Path) -> None:
    authority = trustme.CA()
    own, ca = tmp_path / "own.pem", tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(ca))
    public = ssh_key(tmp_path / "key")
    address = str(lab.subnet()[250])
    others = f"# mine\nexample.org {public.split(' me')[0]}\n"
    (tmp_path / "known_hosts").write_text(others)
    options = {
        "wait": True,
        "cores": 1,
        "memory": 512,
        "user": "debian",
        "ssh_keys": [public],
        "address": f"{address}/{lab.subnet().prefixlen}",
        "gateway": str(lab.subnet()[1]),
        "start_timeout": 120,
        "shutdown_timeout": 60,
    }
    words = [
        "--private-key",
        str(tmp_path / "key"),
        "--ssh-common-args",
        f"-o UserKnownHostsFile={tmp_path}/known_hosts",
    ]
    machines = LabMachines(lab)
    options["nameservers"] = [machines.nameserver]
    # No upgrade of packages at the first boot, which would need an archive.
    cluster = {"pools": {"runners": {}}, "vms": {"9999": {"config": {"ciupgrade": 0}}}}
    with running(cert=own, key=own, access=access(), machines=machines, cluster=cluster) as double:
        rig = Rig(double, ca, tmp_path, 2)
        rig.ok(*words, **options)
        known = (tmp_path / "known_hosts").read_text()
        assert known.startswith(others)
        key = machines.read(250, "/etc/ssh/ssh_host_ed25519_key.pub").decode().split()[1]
        assert f"{address} ssh-ed25519 {key}\n" in known
        assert machines.run(250, ["cloud-init", "status"], b"")[1].strip() == "status: done"
        assert machines.run(250, ["systemctl", "is-active", "package-lock"], b"")[1].strip() == "inactive"
        assert machines.run(250, ["hostname"], b"")[1] == "gh-runner-01\n"
        assert machines.run(250, ["getent", "hosts", GITHUB_NAME], b"")[0] == 0
        rig.writes()
        said = rig.ok(*words, **options)
        assert (said.changed, rig.writes()) == (0, [])

        # Without the right to read files by the agent: on trust, and said. The VM is another one, at the same address.
        rig.ok(*words, point="absent", **options)
        assert (tmp_path / "known_hosts").read_text() == others
        double.admin.access(**access(without=("/pool/runners", "VM.GuestAgent.FileRead")))
        said = rig.ok(*words, **options)
        assert "the host key is that of whoever answered" in said.text
        assert key not in (tmp_path / "known_hosts").read_text()

        # A machine that was made anew behind our back: only what we recorded is replaced.
        double.admin.remove_vm(250)
        rig.ok(*words, **options)
        assert (tmp_path / "known_hosts").read_text().startswith(others)
