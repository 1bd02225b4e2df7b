# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Proxmox VE writes values: property strings (`key=value,…`), drives, network cards, sizes, lists, tags. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

DRIVE = re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class PropertyStringError(ValueError):
    """A value has not the form it must have; the text is Proxmox VE's."""


def split_list(text: str) -> list[str]:
    """A list as clients write it: separated by commas, semicolons, spaces or (repeated parameters) zero bytes."""
    return [part for part in re.split(r"[,;\s\0]+", text) if part]


def _matches(pattern: str, complaint: str) -> Callable[[str], None]:
    compiled = re.compile(pattern)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise PropertyStringError(complaint.format(text))

    return check


def _address(kind: Callable[[str], object], complaint: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        try:
            kind(text)
        except ValueError:
            raise PropertyStringError(complaint) from None

    return check


_NAME = r"([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)"
_IP = _address(ipaddress.ip_address, "value does not look like a valid IP address\n".strip())


def _network(text: str) -> None:
    if "/" not in text:
        raise ValueError(text)
    ipaddress.ip_interface(text)


def _ip_or_name(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        _matches(rf"{_NAME}(\.{_NAME})*", "value does not look like a valid address: {}")(text)


def _ipconfig(text: str) -> None:
    """`ip=dhcp`, `ip=10.0.0.5/24,gw=10.0.0.1` and the same for IPv6; a gateway needs its address."""
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    unknown = set(parts) - {"ip", "gw", "ip6", "gw6"}
    if unknown:
        raise PropertyStringError(f"invalid key in comma-separated list property: {min(unknown)}")
    for six in ("", "6"):
        address, gateway = parts.get(f"ip{six}"), parts.get(f"gw{six}")
        if address is not None and address not in (("dhcp", "auto") if six else ("dhcp",)):
            try:
                _network(address)
            except ValueError:
                version = "6" if six else "4"
                raise PropertyStringError(
                    f"format error\nip{six}: invalid format - value does not look like a valid ipv{version} network "
                    "configuration"
                ) from None
        if gateway is not None:
            _IP(gateway)
            if address is None:
                raise PropertyStringError(f"format error\nip{six}: missing property required by 'gw{six}'")
            if address in ("dhcp", "auto"):
                raise PropertyStringError(f"gateway specified, but ip{six} is '{address}'")


def _boot(text: str) -> None:
    """`order=scsi0;net0`, or the old letters."""
    order = text.removeprefix("order=") if text.startswith("order=") else None
    if order is None:
        _matches(r"(legacy=)?[acdn]{1,4}", "invalid boot order '{}'")(text)
        return
    for device in split_list(order):
        _matches(r"((ide|sata|scsi|virtio|net|usb|hostpci)\d+)", "invalid boot device '{}'")(device)


_CHECKS: dict[str, Callable[[str], None]] = {
    "pve-vmid": _matches(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-node": _matches(_NAME, "value does not look like a valid node name"),
    "dns-name": _matches(rf"{_NAME}(\.{_NAME})*", "value does not look like a valid DNS name"),
    "pve-configid": _matches(r"[a-zA-Z][A-Za-z0-9_-]+", "invalid configuration ID '{}'"),
    "pve-storage-id": _matches(r"[a-zA-Z][A-Za-z0-9\-\_\.]*[A-Za-z0-9]", "storage ID '{}' contains illegal characters"),
    "pve-poolid": _matches(r"[A-Za-z0-9\.\-_]+(/[A-Za-z0-9\.\-_]+){0,2}", "value '{}' is not a valid pool name"),
    "pve-bridge-id": _matches(r"[-_.\w\d]+", "invalid bridge ID '{}'"),
    "urlencoded": _matches(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: {}"),
    "pve-tag": _matches(r"[A-Za-z0-9_][A-Za-z0-9_\-\+\.]*", "invalid characters in tag"),
    "mac-addr": _matches(
        r"[a-fA-F0-9][02468aceACE](:[a-fA-F0-9]{2}){5}", "value does not look like a valid unicast MAC address"
    ),
    "disk-size": _matches(r"\d+(\.\d+)?[KMGT]?", "value does not look like a valid disk size: {}"),
    "pve-startup-order": _matches(r"(order=)?\d*(,?(up|down)=\d+)*", "unable to parse startup options"),
    "pve-qm-ipconfig": _ipconfig,
    "pve-qm-boot": _boot,
    "ip": _IP,
    "ipv4": _address(ipaddress.IPv4Address, "value does not look like a valid IPv4 address"),
    "ipv6": _address(ipaddress.IPv6Address, "value does not look like a valid IPv6 address"),
    "CIDR": _address(_network, "value does not look like a valid CIDR network"),
    "address": _ip_or_name,
}


def check_format(name: str, text: str) -> None:
    """Check a value against a named format; a name that is not known here passes. Raises PropertyStringError."""
    if name.endswith("-list"):
        for part in split_list(text):
            check_format(name.removesuffix("-list"), part)
    elif name in _CHECKS:
        _CHECKS[name](text)


def parse_property_string(form: Mapping[str, Any], text: str) -> dict[str, str]:
    """`virtio,bridge=vmbr0` by the description of its keys, aliases resolved. Raises PropertyStringError."""
    found: dict[str, str] = {}
    default = next((key for key, one in form.items() if one.get("default_key")), None)
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals:
            if default is None:
                raise PropertyStringError("value without key, but schema does not define a default key")
            key, value = default, part
        elif not key or not value:
            raise PropertyStringError("missing key in comma-separated list property")
        one = form.get(key)
        if one is not None and "alias" in one:
            if "keyAlias" in one:
                found[one["keyAlias"]] = key
            key = one["alias"]
            one = form.get(key)
        if one is None:
            raise PropertyStringError(f"invalid key in comma-separated list property: {key}")
        if key in found:
            raise PropertyStringError(f"duplicate key in comma-separated list property: {key}")
        _check_member(key, one, value)
        found[key] = value
    missing = [key for key, one in form.items() if key not in found and "alias" not in one and not one.get("optional")]
    # A key with a default is written as mandatory in places (`model`, `current`), and left out by everybody.
    for key in missing:
        if form[key].get("default_key") and "default" not in form[key]:
            raise PropertyStringError(f"format error\n{key}: property is missing and it is not optional")
    return found


def _check_member(key: str, one: Mapping[str, Any], value: str) -> None:
    def wrong(why: str) -> PropertyStringError:
        return PropertyStringError(f"format error\n{key}: {why}")

    kind = one.get("type")
    if kind == "boolean" and not re.fullmatch(r"1|0|on|off|yes|no|true|false", value, re.IGNORECASE):
        raise wrong(f"type check ('boolean') failed - got '{value}'")
    if kind == "integer" and not re.fullmatch(r"[+-]?\d+", value):
        raise wrong(f"type check ('integer') failed - got '{value}'")
    if kind == "number" and not re.fullmatch(r"[+-]?\d+(\.\d*)?", value):
        raise wrong(f"type check ('number') failed - got '{value}'")
    if "enum" in one and value not in one["enum"]:
        raise wrong(f"value '{value}' does not have a value in the enumeration '{', '.join(one['enum'])}'")
    if isinstance(one.get("format"), str):
        try:
            check_format(one["format"], value)
        except PropertyStringError as error:
            raise wrong(f"invalid format - {error}") from None
    if kind in ("integer", "number"):
        if "minimum" in one and float(value) < float(one["minimum"]):
            raise wrong(f"value must have a minimum value of {one['minimum']}")
        if "maximum" in one and float(value) > float(one["maximum"]):
            raise wrong(f"value must have a maximum value of {one['maximum']}")


def parse_boolean(text: str) -> bool:
    """`1`, `on`, `yes` and `true` are true; whatever else is not."""
    return text.lower() in ("1", "on", "yes", "true")


def parse_size(text: str) -> int:
    """`2252M`, `20G`, a plain number of bytes. Raises PropertyStringError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not found:
        raise PropertyStringError(f"value does not look like a valid disk size: {text}")
    return int(float(found[1]) * UNITS[found[2]])


def print_size(size: int) -> str:
    """Bytes in the largest unit that needs no fraction: 20G, 2252M."""
    for unit in ("T", "G", "M", "K"):
        if size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return str(size)


def unique_tags(text: str) -> str:
    """Tags as they are stored: lower case, sorted, once each, joined by semicolons."""
    return ";".join(sorted({tag.lower() for tag in split_list(text)}))


@dataclasses.dataclass
class Drive:
    """The value of `scsi0` and its like."""

    volume: str  # STORAGE:NAME, or `none`, `cdrom`
    options: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Drive:
        """From a configuration."""
        options = {}
        volume = ""
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if not equals or key in ("file", "volume"):
                volume = value if equals else part
            else:
                options[key] = value
        return cls(volume, options)

    def __str__(self) -> str:
        return ",".join([self.volume, *(f"{key}={self.options[key]}" for key in sorted(self.options))])

    @property
    def storage(self) -> str:
        """The storage its volume is on; empty for none."""
        return self.volume.partition(":")[0] if ":" in self.volume else ""

    @property
    def is_cloudinit(self) -> bool:
        """Whether it is the drive that Proxmox VE writes cloud-init's settings to."""
        return bool(re.search(r":(\d+/)?vm-\d+-cloudinit(\.\w+)?$", self.volume)) or self.volume.endswith(":cloudinit")

    @property
    def is_cdrom(self) -> bool:
        """Whether it is a CD-ROM; the cloud-init drive is one."""
        return self.options.get("media") == "cdrom" or self.volume == "none"

    @property
    def size(self) -> int:
        """Bytes; 0 when it does not say."""
        return parse_size(self.options["size"]) if "size" in self.options else 0


@dataclasses.dataclass
class Card:
    """The value of `net0` and its like."""

    model: str
    mac: str  # empty: one has to be made
    options: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Card:
        """From a configuration, or from what a client sent: `virtio,bridge=vmbr0`, `model=virtio,macaddr=…`."""
        model, mac, options = "virtio", "", {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if not equals:
                model = part
            elif key == "model":
                model = value
            elif key == "macaddr":
                mac = value
            elif re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", value):
                model, mac = key, value
            else:
                options[key] = value
        return cls(model, mac.upper(), options)

    def __str__(self) -> str:
        return ",".join([f"{self.model}={self.mac}", *(f"{key}={self.options[key]}" for key in sorted(self.options))])
