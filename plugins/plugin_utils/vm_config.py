# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Proxmox VE writes a VM's configuration, and what that means: read and written here, and nowhere else. Pure.

The forms are those of the API viewer's ``/nodes/{node}/qemu/{vmid}/config`` and of qemu-server's own parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
#: Where a disk may hang; the boot order names other devices too.
DISK = re.compile(r"(?:ide|sata|scsi|virtio)[0-9]+")
#: The keys without which a part of a property string is its first value.
_DEFAULT_KEYS = {"agent": "enabled", "cpu": "cputype", "memory": "current", "boot": "legacy", "net": "model"}


def size_bytes(text: object) -> int | None:
    """The bytes that ``2252M``, ``20G`` or ``1.5T`` stand for; None if it is no size. A number alone means bytes."""
    match = _SIZE.fullmatch(str(text))
    return int(float(match[1]) * _UNITS[match[2].upper()]) if match else None


def size_text(size: int) -> str:
    """`size` bytes as Proxmox VE writes them: in the largest unit that leaves a whole number."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def properties(text: object, default_key: str = "") -> dict[str, str]:
    """A property string such as ``virtio=BC:24:11:2E:00:01,bridge=vmbr0,tag=10`` by its keys, in order."""
    found = {}
    for part in str(text or "").split(","):
        key, equals, value = part.strip().partition("=")
        if equals:
            found[key] = value
        elif key:
            found[default_key] = key
    return found


def property_string(values: Mapping[str, str], default_key: str = "") -> str:
    """The property string of these keys; the value of the default key stands alone."""
    return ",".join(value if key == default_key else f"{key}={value}" for key, value in values.items())


def default_key(option: str) -> str:
    """The key that may be left out in the property string of this option."""
    return _DEFAULT_KEYS.get(option.rstrip("0123456789"), "")


def yes(value: object) -> bool:
    """What Proxmox VE takes for true: a boolean is a number, as text or not."""
    return str(value).strip().lower() in ("1", "true", "yes", "on")


def tags(value: object) -> list[str]:
    """A VM's tags: written with commas, returned with semicolons; order means nothing.

    Nor does case, as the datacenter's settings have it by default, which returns them in small letters.
    """
    parts = value if isinstance(value, (list, tuple)) else re.split(r"[;,\s]+", str(value or ""))
    return sorted({str(part).strip().lower() for part in parts} - {""})


def words(value: object) -> list[str]:
    """Name servers and search domains, whose order means something."""
    parts = value if isinstance(value, (list, tuple)) else re.split(r"[;,\s]+", str(value or ""))
    return [str(part).strip() for part in parts if str(part).strip()]


def ssh_keys(value: object) -> list[str]:
    """Public keys as lines; Proxmox VE stores and returns the text URL-encoded."""
    text = "\n".join(str(line) for line in value) if isinstance(value, (list, tuple)) else str(value or "")
    if "%" in text and not re.search(r"\s", text.strip()):  # a key itself has spaces: so this one is encoded
        text = unquote(text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def agent(value: object) -> bool:
    """Whether the guest agent's channel is on: ``1``, ``enabled=1,fstrim_cloned_disks=1``."""
    return yes(properties(value, "enabled").get("enabled", "0"))


def memory(value: object) -> int:
    """MiB; since Proxmox VE 8.1 a property string (``current=8192``), 512 if there is none."""
    number = properties(value, "current").get("current", "512")
    return int(number) if number.isdigit() else 512


def description(value: object) -> str:
    """A VM's notes; Proxmox VE ends them with a line break."""
    return str(value or "").rstrip()


def network(value: object) -> dict[str, str]:
    """A network device: ``model``, ``macaddr``, ``bridge``, ``tag`` … whichever way its model is written."""
    found = properties(value, "model")
    if "model" not in found and found:
        # `virtio=MAC`: the model's own name is the key of the MAC address.
        model, address = next(iter(found.items()))
        if re.fullmatch(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}", address) and model != "macaddr":
            found = {"model": model, "macaddr": address, **{key: found[key] for key in found if key != model}}
    return {key: value.upper() if key == "macaddr" else value for key, value in found.items()}


def network_string(device: Mapping[str, str]) -> str:
    """A network device as Proxmox VE returns it, with its address, so that an update makes no new one."""
    rest = {key: value for key, value in device.items() if key not in ("model", "macaddr")}
    model = device.get("model", "virtio")
    first = f"{model}={device['macaddr']}" if "macaddr" in device else model
    return ",".join([first, *(f"{key}={value}" for key, value in rest.items())])


def disks(config: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """The disks of a VM by their bus, with ``volume``, ``size`` … CD-ROM drives and the cloud-init drive are none."""
    found = {}
    for bus, value in config.items():
        if DISK.fullmatch(bus):
            disk = properties(value, "volume")
            disk["volume"] = disk.get("volume", disk.pop("file", ""))
            if disk.get("media") != "cdrom" and not is_cloud_init(value):
                found[bus] = disk
    return found


def storages(config: Mapping[str, object], *, drives: bool = False) -> list[str]:
    """The storages of a VM's disks, its EFI variables and its TPM; with `drives` of its CD-ROM drives, too."""
    found = set()
    for bus, value in config.items():
        if DISK.fullmatch(bus) or bus in ("efidisk0", "tpmstate0"):
            drive = properties(value, "volume")
            volume = drive.get("volume", drive.get("file", ""))
            if ":" in volume and (drives or not (drive.get("media") == "cdrom" or is_cloud_init(value))):
                found.add(volume.partition(":")[0])
    return sorted(found)


def storage_of(disk: Mapping[str, str]) -> str:
    """The storage that a disk's volume is on."""
    return disk.get("volume", "").partition(":")[0]


def is_cloud_init(value: object) -> bool:
    """Whether a drive is cloud-init's."""
    drive = properties(value, "volume")
    volume = drive.get("volume", drive.get("file", ""))
    return bool(re.search(r"[:/](?:vm-[0-9]+-)?cloudinit(?:\.[a-z0-9]+)?$", volume))


def has_cloud_init(config: Mapping[str, object]) -> bool:
    """Whether there is a cloud-init drive; without one its settings are accepted and ignored."""
    return any(is_cloud_init(value) for bus, value in config.items() if DISK.fullmatch(bus))


def boot_disk(config: Mapping[str, object]) -> str | None:
    """The disk that the VM boots from: the first of ``boot: order=…``, or ``bootdisk``, or the only one there is."""
    there = disks(config)
    order = properties(config.get("boot"), "legacy").get("order", "").split(";")
    for bus in [*order, str(config.get("bootdisk", ""))]:
        if bus in there:
            return bus
    return next(iter(there)) if len(there) == 1 else None


def addresses(interfaces: Iterable[Mapping[str, object]], hardware: str) -> list[str]:
    """The IPv4 addresses that the guest agent tells of the device with this hardware address, in order."""
    found = []
    for each in interfaces:
        if str(each.get("hardware-address", "")).upper() != hardware.upper():
            continue
        told = each.get("ip-addresses")
        for address in told if isinstance(told, list) else []:
            text = str(address.get("ip-address", ""))
            if address.get("ip-address-type") == "ipv4" and not text.startswith(("127.", "169.254.")):
                found.append(text)
    return found
