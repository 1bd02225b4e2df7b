# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines that boot, for the Proxmox VE double: each is a container of the lab with systemd, SSH and cloud-init.

What a machine becomes it reads, with cloud-init itself, from the files of the drive that Proxmox VE has written: name,
user, keys. Its address is taken from the same files by whoever makes the container, since a container's network is the
engine's. It is reached at that address from the machine that the engine runs on.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker.errors
from docker.models.containers import Container

from tests.doubles.proxmox.machines import Boot, MachineError, configured, interface
from tests.lab.host import execute
from tests.lab.images import File, tarball
from tests.lab.lab import VM, Lab

SEED = "var/lib/cloud/seed/nocloud"


@dataclass
class Machine:
    """One that was started once.

    Attributes:
        boot: what it got when it was last switched on.
        address: what it believes to have, `10.0.0.5/24`; another one may believe the same.
    """

    container: Container
    boot: Boot
    address: str = ""


class LabMachines:
    """Machines by VMID; see `tests.doubles.proxmox.machines.Machines`.

    Args:
        lab: where they are made.
        package_lock: seconds that a new machine's package lock is held after its first boot.
    """

    def __init__(self, lab: Lab, package_lock: float = 20) -> None:
        self.lab = lab
        self.package_lock = package_lock
        self.machines: dict[int, Machine] = {}
        self._leases: dict[str, str] = {}  # machine-id -> address: what a DHCP server does
        self._lock = threading.Lock()

    def start(self, boot: Boot) -> None:
        """Make it, unless its disk has been booted before; lay the drive down; switch it on."""
        known = self.machines.get(boot.vmid)
        if known is not None and known.boot.disk != boot.disk:
            self.destroy(boot.vmid)
            known = None
        wanted = static_address(boot)
        try:
            if known is None:
                known = Machine(self._make(boot, wanted), boot)
                self.machines[boot.vmid] = known
            elif wanted and wanted != known.address:
                self.lab.readdress(known.container, f"{VM}{boot.vmid}", wanted.partition("/")[0])
            known.boot = boot
            known.container.put_archive("/", tarball(seed(boot.cloudinit)))
            known.container.start()
        except docker.errors.APIError as error:
            raise MachineError(str(error.explanation)) from error
        known.address = wanted or self._lease(known)

    def _make(self, boot: Boot, address: str) -> Container:
        files = {"etc/machine-id": File(f"{boot.image.machine_id}\n".encode() if boot.image.machine_id else b"", 0o444)}
        files["etc/lab/package-lock"] = File(f"{self.package_lock:g}\n".encode())
        placed = [("/", files, 0)]
        name, plain = f"{VM}{boot.vmid}", address.partition("/")[0]
        # Two machines of one address can be switched on; for the engine the second one gets another.
        taken = any(one.address.partition("/")[0] == plain for one in self.machines.values())
        return self.lab.vm(name, "" if taken else plain, placed)

    def _lease(self, machine: Machine) -> str:
        """What DHCP gives: one address for one machine-id, whoever has it."""
        client = machine.boot.image.machine_id or machine.boot.disk
        machine.container.reload()
        network = next(iter(machine.container.attrs["NetworkSettings"]["Networks"].values()))
        with self._lock:
            return self._leases.setdefault(client, f"{network['IPAddress']}/{network['IPPrefixLen']}")

    def shutdown(self, vmid: int) -> None:
        """As ACPI's button does."""
        machine = self.machines[vmid]
        if machine.boot.image.obeys_shutdown:
            execute(machine.container, ["systemctl", "poweroff", "--no-block"])

    def stop(self, vmid: int) -> None:
        """Pull the plug."""
        try:
            self.machines[vmid].container.kill()
        except docker.errors.APIError as error:
            if error.status_code != 409:  # it is off already
                raise

    def destroy(self, vmid: int) -> None:
        """Remove container and volume."""
        machine = self.machines.pop(vmid, None)
        if machine is not None:
            machine.container.remove(force=True, v=True)
            self.lab.client.volumes.get(f"{self.lab.prefix}-{VM}{vmid}-docker").remove()

    def running(self, vmid: int) -> bool:
        """Whether it is on."""
        machine = self.machines.get(vmid)
        if machine is None:
            return False
        try:
            machine.container.reload()
        except docker.errors.NotFound:
            return False
        return str(machine.container.status) == "running"

    def interfaces(self, vmid: int) -> list[dict[str, Any]] | None:
        """What is inside, with the address that it believes to have; None before systemd is up."""
        machine = self.machines[vmid]
        if not (machine.boot.agent and machine.boot.image.agent):
            return None
        rc, out = self.run(vmid, ["systemctl", "is-active", "sysinit.target"], b"")[:2]
        if rc or out.strip() != "active":
            return None
        rc, out = self.run(vmid, ["ip", "-json", "address"], b"")[:2]
        return None if rc else inside(json.loads(out), machine.boot, machine.address)

    def run(self, vmid: int, command: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
        """As root, inside."""
        words = list(command)
        if stdin:
            words = ["sh", "-c", 'printf %s "$STDIN" | base64 -d | "$@"', "sh", *words]
        environment = {"STDIN": base64.b64encode(stdin).decode()} if stdin else {}
        done = execute(self.machines[vmid].container, words, environment=environment)
        return done.rc, done.stdout, done.stderr

    def read(self, vmid: int, path: str) -> bytes:
        """A file inside."""
        rc, out, _err = self.run(vmid, ["base64", "--wrap=0", path], b"")
        if rc:
            raise FileNotFoundError(path)
        return base64.b64decode(out)


def static_address(boot: Boot) -> str:
    """The first card's address, `10.0.0.5/24`, as the drive's network configuration has it; empty for DHCP or none."""
    if not boot.cards:
        return ""
    found = configured(boot.cloudinit).get(boot.cards[0][0].lower(), [])
    return next((one for one in found if one != "dhcp" and ":" not in one), "")


def seed(drive: Mapping[str, str] | None) -> dict[str, File]:
    """The drive as the folder in which cloud-init looks for one. Without a drive cloud-init finds nothing."""
    return {f"{SEED}/{name}": File(text.encode(), 0o600) for name, text in (drive or {}).items()}


def inside(found: Sequence[Mapping[str, Any]], boot: Boot, address: str) -> list[dict[str, Any]]:
    """`ip -json address` in the agent's form; the first card has the address and MAC that the VM believes to have."""
    made = []
    for one in found:
        name, mac = str(one["ifname"]), str(one.get("address", "00:00:00:00:00:00"))
        addresses = [f"{each['local']}/{each['prefixlen']}" for each in one["addr_info"]]
        if name == "eth0" and boot.cards:
            mac = boot.cards[0][0]
            addresses = [address, *(each for each in addresses if ":" in each)]
        # What a person would not call an interface of the machine: the address that the lab's resolver has.
        made.append(interface(name, mac, [each for each in addresses if not each.startswith("169.254.53.53/")]))
    return made
