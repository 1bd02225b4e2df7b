# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM of the Proxmox VE double is a machine that boots, and becomes what its cloud-init drive says."""

from __future__ import annotations

import ipaddress
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


def test_a_clone_boots_and_becomes_what_its_drive_says(lab: Lab, tmp_path: Path) -> None:
    authority = trustme.CA()
    own = tmp_path / "own.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    public = ssh_key(tmp_path / "key")
    machines, network = LabMachines(lab), lab.subnet()
    with running(cert=own, key=own, access=access(), machines=machines) as double:
        api = Api(double, tmp_path / "ca.pem")
        vm = api.clone(250, full=1)

        def address() -> str:
            """What the agent says that the VM has."""
            end = time.monotonic() + 60
            while time.monotonic() < end:
                cards = vm.agent("network-get-interfaces").get()["result"]
                found = [one["ip-address"] for card in cards if card["name"] == "eth0" for one in card["ip-addresses"]]
                if ours := [one for one in found if ":" not in one]:
                    return str(ours[0])
                time.sleep(0.5)
            raise TimeoutError(cards)

        def ssh(address: str, *words: str) -> str:
            options = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={tmp_path / 'known'}", "IdentitiesOnly=yes"]
            command = ["ssh", "-i", str(tmp_path / "key"), *[word for one in options for word in ("-o", one)]]
            said = [*command, f"debian@{address}", *words]
            done = subprocess.run(said, capture_output=True, text=True, timeout=60, check=False)
            return done.stdout or done.stderr

        def logged_in(address: str) -> str:
            """Wait until cloud-init has made the user, and is done; return the host key, which the agent tells."""
            end = time.monotonic() + 120
            while (said := machines.run(250, ["cloud-init", "status", "--wait"], b"")[1]).strip() != "status: done":
                assert time.monotonic() < end, said
            key = str(vm.agent("file-read").get(file="/etc/ssh/ssh_host_ed25519_key.pub")["content"])
            (tmp_path / "known").write_text(f"{address} {key}")
            return key

        vm.config.put(ciuser="debian", sshkeys=quote(public, safe=""), ipconfig0="ip=dhcp", ciupgrade=0)
        api.start(250)
        first = address()
        key = logged_in(first)
        assert network[128] <= ipaddress.IPv4Address(first) <= network[239]
        assert ssh(first, "hostname") == "runner-250\n"
        assert ssh(first, "sudo", "-n", "id", "-u") == "0\n"
        assert ssh(first, "resolvectl", "dns", "eth0").split()[-1] == machines.nameserver

        # Other values, which the next start applies: for cloud-init it is another instance, with new host keys.
        assert api.wait(vm.status.shutdown.post(timeout=60)) == "OK"
        assert vm.status.current.get()["status"] == "stopped"
        second = str(network[250])
        vm.config.put(
            name="renamed", ipconfig0=f"ip={second}/{network.prefixlen},gw={network[1]}", nameserver="192.0.2.53"
        )
        api.start(250)
        assert address() == second
        assert logged_in(second) != key
        assert ssh(second, "hostname") == "renamed\n"
        assert ssh(second, "resolvectl", "dns", "eth0").split()[-1] == "192.0.2.53"

        assert api.wait(vm.status.stop.post()) == "OK"
        assert api.wait(vm.delete()) == "OK"
    there = [*lab.client.containers.list(all=True), *lab.client.volumes.list()]
    assert [one.name for one in there if str(one.name).startswith(f"{lab.prefix}-vm-")] == []
