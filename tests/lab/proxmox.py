# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines that boot, for the Proxmox VE double: each is a container of the lab with systemd, SSH and cloud-init.

What a machine becomes it reads, with cloud-init itself, from the files of the drive that Proxmox VE has written: name,
user, keys, address, nameserver. Of the engine it has a cable only, and the lab's `router` serves DHCP. It is reached at
its address from the machine that the engine runs on. The other kind, with a kernel of its own, is in `tests.lab.qemu`.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker.errors
from docker.models.containers import Container

from tests.doubles.proxmox.machines import Boot, MachineError, interface
from tests.lab.host import execute
from tests.lab.images import File, tarball
from tests.lab.lab import VM, Lab

SEED = "var/lib/cloud/seed/nocloud"


@dataclass
class Machine:
    """One that was started once, and what it got when it was last switched on."""

    container: Container
    boot: Boot


class ContainerMachines(ABC):
    """Machines by VMID, each with a container that runs while it is on; see `tests.doubles.proxmox.machines.Machines`.

    Args:
        lab: where they are made.

    Attributes:
        nameserver: the address of one that knows the lab's servers; DHCP names it, too.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nameserver = lab.router()
        self._machines: dict[int, Machine] = {}

    @abstractmethod
    def _make(self, boot: Boot) -> Container:
        """The container of a machine whose disk was never booted; it is not started."""

    @abstractmethod
    def _laid_down(self, boot: Boot) -> dict[str, File]:
        """What is put into the container each time before it starts."""

    def start(self, boot: Boot) -> None:
        """Make it, unless its disk has been booted before; lay the drive down; switch it on."""
        if len(boot.cards) != 1:
            raise MachineError(f"{boot.vmid} has {len(boot.cards)} network cards; machines of the lab have one")
        known = self._machines.get(boot.vmid)
        if known is not None and known.boot.disk != boot.disk:
            self.destroy(boot.vmid)
            known = None
        try:
            if known is None:
                known = self._machines[boot.vmid] = Machine(self._make(boot), boot)
            known.boot = boot
            known.container.put_archive("/", tarball(self._laid_down(boot)))
            known.container.start()
        except docker.errors.APIError as error:
            raise MachineError(str(error.explanation)) from error

    def stop(self, vmid: int) -> None:
        """Pull the plug."""
        try:
            self._machines[vmid].container.kill()
        except docker.errors.APIError as error:
            if error.status_code != 409:  # it is off already
                raise

    def destroy(self, vmid: int) -> None:
        """Remove the container."""
        machine = self._machines.pop(vmid, None)
        if machine is not None:
            machine.container.remove(force=True, v=True)

    def running(self, vmid: int) -> bool:
        """Whether it is on."""
        machine = self._machines.get(vmid)
        if machine is None:
            return False
        try:
            machine.container.reload()
        except docker.errors.NotFound:
            return False
        return str(machine.container.status) == "running"

    @abstractmethod
    def shutdown(self, vmid: int) -> None:
        """Ask it to power itself off."""

    @abstractmethod
    def interfaces(self, vmid: int) -> list[dict[str, Any]] | None:
        """What is inside; None while no agent answers."""

    @abstractmethod
    def run(self, vmid: int, command: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
        """As root, inside."""

    def read(self, vmid: int, path: str) -> bytes:
        """A file inside."""
        rc, out, _err = self.run(vmid, ["base64", "--wrap=0", path], b"")
        if rc:
            raise FileNotFoundError(path)
        return base64.b64decode(out)

    def _trusted(self) -> bytes:
        """For cloud-init: what all machines of a company shall trust."""
        return json.dumps({"ca_certs": {"trusted": [self.lab.authority.certificate.decode()]}}).encode()


class LabMachines(ContainerMachines):
    """Each is a container: it boots within two seconds.

    Args:
        lab: where they are made.
        package_lock: seconds. A new machine's package lock is held from its first boot until somebody waits for it,
            and for so long.
    """

    def __init__(self, lab: Lab, package_lock: float = 1) -> None:
        super().__init__(lab)
        self.package_lock = package_lock

    def _make(self, boot: Boot) -> Container:
        files = {"etc/machine-id": File(f"{boot.image.machine_id}\n".encode() if boot.image.machine_id else b"", 0o444)}
        files["etc/lab/package-lock"] = File(f"{self.package_lock:g}\n".encode())
        files["etc/cloud/cloud.cfg.d/98-trusted.cfg"] = File(self._trusted())  # it is on the template's disk
        return self.lab.vm(f"{VM}{boot.vmid}", [("/", files, 0)])

    def _laid_down(self, boot: Boot) -> dict[str, File]:
        return {"etc/lab/mac": File(f"{boot.cards[0][0]}\n".encode()), **seed(boot.cloudinit)}

    def shutdown(self, vmid: int) -> None:
        """As ACPI's button does."""
        machine = self._machines[vmid]
        if machine.boot.image.obeys_shutdown:
            execute(machine.container, ["systemctl", "poweroff", "--no-block"])

    def destroy(self, vmid: int) -> None:
        """Remove container and volume."""
        known = vmid in self._machines
        super().destroy(vmid)
        if known:
            self.lab.client.volumes.get(f"{self.lab.prefix}-{VM}{vmid}-docker").remove()

    def interfaces(self, vmid: int) -> list[dict[str, Any]] | None:
        """What is inside; None before systemd is up."""
        machine = self._machines[vmid]
        if not (machine.boot.agent and machine.boot.image.agent and self.running(vmid)):
            return None
        rc, out = self.run(vmid, ["systemctl", "is-active", "sysinit.target"], b"")[:2]
        if rc or out.strip() != "active":
            return None
        rc, out = self.run(vmid, ["ip", "-json", "address"], b"")[:2]
        return None if rc else inside(json.loads(out))

    def run(self, vmid: int, command: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
        """As root, inside."""
        words = list(command)
        if stdin:
            words = ["sh", "-c", 'printf %s "$STDIN" | base64 -d | "$@"', "sh", *words]
        environment = {"STDIN": base64.b64encode(stdin).decode()} if stdin else {}
        done = execute(self._machines[vmid].container, words, environment=environment)
        return done.rc, done.stdout, done.stderr


def seed(drive: Mapping[str, str] | None) -> dict[str, File]:
    """The drive as the folder in which cloud-init looks for one. Without a drive cloud-init finds nothing."""
    return {f"{SEED}/{name}": File(text.encode(), 0o600) for name, text in (drive or {}).items()}


def inside(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`ip -json address` in the agent's form."""
    return [
        interface(
            str(one["ifname"]),
            str(one.get("address", "00:00:00:00:00:00")),
            [f"{each['local']}/{each['prefixlen']}" for each in one["addr_info"]],
        )
        for one in found
    ]
