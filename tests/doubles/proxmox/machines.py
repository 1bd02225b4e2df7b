# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs when a VM is started: the interface, and machines that exist in memory only.

The lab has machines that boot (`tests/lab/proxmox.py`, `tests/lab/qemu.py`). Whatever a machine knows of its
configuration it has read from the files on its cloud-init drive, as a real guest does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import yaml


class MachineError(Exception):
    """It cannot be started; the text goes into the task's log."""


@dataclasses.dataclass(frozen=True)
class Image:
    """What is on a template's disk, as far as it matters; clones inherit it."""

    machine_id: str = ""  # baked in: every clone has this one, and asks DHCP with it; empty = made at first boot
    agent: bool = True  # qemu-guest-agent is installed
    agent_after: float = 0.2  # seconds from the start until it answers
    obeys_shutdown: bool = True  # False: ACPI's button and the agent's word are ignored


@dataclasses.dataclass(frozen=True)
class Boot:
    """All that a machine gets when it is switched on."""

    node: str
    vmid: int
    disk: str  # the boot disk's identity: a new one means a machine that was never booted
    image: Image
    cards: tuple[tuple[str, str, str], ...]  # MAC address, bridge, VLAN tag (or empty), in order
    cores: int
    memory: int  # MiB
    cloudinit: Mapping[str, str] | None  # files of the drive `cidata`: user-data, meta-data, network-config
    agent: bool  # the configuration has a channel for the agent


class Machines(Protocol):
    """Machines by VMID. All calls may block; they are made in threads, for one machine never two at a time."""

    def start(self, boot: Boot) -> None:
        """Switch it on; returns when it runs, not when it has booted. Raises MachineError."""

    def shutdown(self, vmid: int) -> None:
        """Ask it to power itself off."""

    def stop(self, vmid: int) -> None:
        """Pull the plug; its disk stays."""

    def destroy(self, vmid: int) -> None:
        """Remove its disk; it is stopped. Does nothing for one that was never started."""

    def running(self, vmid: int) -> bool:
        """Whether it is on."""

    def interfaces(self, vmid: int) -> list[dict[str, Any]] | None:
        """As the agent's `network-get-interfaces`; None while no agent answers."""

    def run(self, vmid: int, command: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
        """As the agent's `exec`: exit code, output, errors."""

    def read(self, vmid: int, path: str) -> bytes:
        """As the agent's `file-read`. Raises FileNotFoundError."""


def interface(name: str, mac: str, addresses: Sequence[str]) -> dict[str, Any]:
    """One interface in the agent's form. Addresses as `10.0.0.5/24`."""
    found = []
    for one in addresses:
        address, prefix = one.split("/")
        kind = "ipv6" if ":" in address else "ipv4"
        found.append({"ip-address": address, "ip-address-type": kind, "prefix": int(prefix)})
    numbers = dict.fromkeys(
        ["rx-bytes", "rx-packets", "rx-errs", "rx-dropped", "tx-bytes", "tx-packets", "tx-errs", "tx-dropped"], 0
    )
    return {"name": name, "hardware-address": mac.lower(), "ip-addresses": found, "statistics": numbers}


@dataclasses.dataclass
class _InMemory:
    boot: Boot
    machine_id: str
    since: float
    on: bool = True
    falls_at: float | None = None  # asked to power off


class MachinesInMemory:
    """Nothing boots. An address is what the network configuration on the drive says; DHCP gives one per machine-id."""

    NETWORK = "192.0.2"

    def __init__(self, shutdown_seconds: float = 0.3) -> None:
        self.shutdown_seconds = shutdown_seconds
        self._machines: dict[int, _InMemory] = {}
        self._leases: dict[str, str] = {}
        self.files: dict[str, bytes] = {"/etc/ssh/ssh_host_ed25519_key.pub": b"ssh-ed25519 AAAAhost root@guest\n"}

    def start(self, boot: Boot) -> None:
        """See Machines."""
        known = self._machines.get(boot.vmid)
        fresh = known is None or known.boot.disk != boot.disk
        made = hashlib.sha256(boot.disk.encode()).hexdigest()[:32]
        machine_id = (boot.image.machine_id or made) if fresh or known is None else known.machine_id
        self._machines[boot.vmid] = _InMemory(boot, machine_id, time.monotonic())

    def shutdown(self, vmid: int) -> None:
        """See Machines."""
        machine = self._machines[vmid]
        if machine.boot.image.obeys_shutdown:
            machine.falls_at = time.monotonic() + self.shutdown_seconds

    def stop(self, vmid: int) -> None:
        """See Machines."""
        self._machines[vmid].on = False

    def destroy(self, vmid: int) -> None:
        """See Machines."""
        self._machines.pop(vmid, None)

    def running(self, vmid: int) -> bool:
        """See Machines."""
        machine = self._machines.get(vmid)
        if machine and machine.falls_at is not None and time.monotonic() >= machine.falls_at:
            machine.on = False
        return bool(machine and machine.on)

    def _agent_answers(self, machine: _InMemory) -> bool:
        image = machine.boot.image
        return machine.boot.agent and image.agent and time.monotonic() >= machine.since + image.agent_after

    def interfaces(self, vmid: int) -> list[dict[str, Any]] | None:
        """See Machines."""
        machine = self._machines[vmid]
        if not self._agent_answers(machine):
            return None
        found = [interface("lo", "00:00:00:00:00:00", ["127.0.0.1/8", "::1/128"])]
        wanted = configured(machine.boot.cloudinit)
        for number, mac in enumerate(card[0] for card in machine.boot.cards):
            addresses = wanted.get(mac.lower())
            if addresses is None:
                addresses = [self._lease(f"{machine.machine_id}/{number}")]
            addresses = [self._lease(f"{machine.machine_id}/{number}") if one == "dhcp" else one for one in addresses]
            found.append(interface(f"eth{number}", mac, [*addresses, f"fe80::{vmid:x}:{number + 1}/64"]))
        found.append(interface("docker0", "02:42:00:00:00:01", ["172.17.0.1/16"]))
        return found

    def _lease(self, client: str) -> str:
        if client not in self._leases:
            self._leases[client] = f"{self.NETWORK}.{100 + len(self._leases)}/24"
        return self._leases[client]

    def run(self, vmid: int, command: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
        """See Machines: a shell that knows nothing but `true`, `cloud-init`, `hostname` and `cat`."""
        if command[0] == "hostname":
            drive = self._machines[vmid].boot.cloudinit or {"user-data": "hostname: localhost"}
            return 0, yaml.safe_load(drive["user-data"])["hostname"] + "\n", ""
        if command[0] == "cat":
            try:
                return 0, "".join(self.read(vmid, path).decode() for path in command[1:]) or stdin.decode(), ""
            except FileNotFoundError as error:
                return 1, "", f"cat: {error}: No such file or directory\n"
        return (0 if command[0] in ("true", "cloud-init") else 1), "", ""

    def read(self, vmid: int, path: str) -> bytes:
        """See Machines."""
        machine = self._machines[vmid]
        if path == "/etc/machine-id":
            return f"{machine.machine_id}\n".encode()
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]


def configured(drive: Mapping[str, str] | None) -> dict[str, list[str]]:
    """MAC address -> addresses (`10.0.0.5/24`, `dhcp`), from the drive's network configuration."""
    found: dict[str, list[str]] = {}
    if not drive:
        return found
    for item in (yaml.safe_load(drive["network-config"]) or {}).get("config") or []:
        if item["type"] != "physical":
            continue
        addresses = []
        for subnet in item.get("subnets") or []:
            if subnet["type"] == "static":
                prefix = bin(int.from_bytes(bytes(map(int, subnet["netmask"].split("."))), "big")).count("1")
                addresses.append(f"{subnet['address']}/{prefix}")
            elif subnet["type"] == "static6":
                addresses.append(subnet["address"])
            elif subnet["type"] == "dhcp4":
                addresses.append("dhcp")
        found[item["mac_address"]] = addresses
    return found
