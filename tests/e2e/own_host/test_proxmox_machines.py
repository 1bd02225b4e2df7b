# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM of the Proxmox VE double is a machine that boots, and becomes what its cloud-init drive says."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import trustme

from tests.contract.proxmox import Api, access
from tests.doubles.proxmox.server import running
from tests.lab.keys import ssh_key
from tests.lab.lab import Lab
from tests.lab.proxmox import LabMachines


def test_a_clone_boots_and_is_reached_by_its_own_key(lab: Lab, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    public = ssh_key(tmp_path / "key")
    machines = LabMachines(lab, package_lock=5)
    address = str(lab.subnet()[250])
    network = f"ip={address}/{lab.subnet().prefixlen},gw={lab.subnet()[1]}"
    own = tmp_path / "own.pem"
    with running(cert=own, key=own, access=access(), machines=machines) as double:
        api = Api(double, tmp_path / "ca.pem")
        vm = api.clone(250, full=1)
        vm.config.put(ciuser="debian", sshkeys=quote(public, safe=""), ipconfig0=network, ciupgrade=0)
        api.start(250)
        found = vm.agent("network-get-interfaces").get()["result"]
        assert address in [one["ip-address"] for card in found for one in card["ip-addresses"]]

        def ssh(*words: str) -> subprocess.CompletedProcess[str]:
            options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={tmp_path / 'known'}", "IdentitiesOnly=yes"]
            command = ["ssh", "-i", str(tmp_path / "key"), *[word for one in options for word in ("-o", one)]]
            said = [*command, f"debian@{address}", *words]
            return subprocess.run(said, capture_output=True, text=True, timeout=60, check=False)

        end = time.monotonic() + 120
        while (done := ssh("hostname")).returncode and time.monotonic() < end:
            time.sleep(1)
        assert (done.returncode, done.stdout) == (0, "runner-250\n"), done.stderr
        waited = ssh("cloud-init", "status", "--wait", "--long")
        assert "status: done" in waited.stdout, waited.stdout + waited.stderr
        assert ssh("sudo", "-n", "id", "-u").stdout == "0\n"
        key = vm.agent("file-read").get(file="/etc/ssh/ssh_host_ed25519_key.pub")["content"]
        assert key.split()[1] in (tmp_path / "known").read_text()
        assert api.wait(vm.status.shutdown.post(timeout=60)) == "OK"
        assert vm.status.current.get()["status"] == "stopped"
        api.start(250)
        assert api.wait(vm.status.stop.post()) == "OK"
        assert api.wait(vm.delete()) == "OK"
    assert not [one for one in lab.client.containers.list(all=True) if str(one.name).startswith(f"{lab.prefix}-vm-")]
