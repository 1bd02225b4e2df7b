# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that Proxmox VE writes to a cloud-init drive (NoCloud, what it does for Linux). Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from .formats import Card

#: Settings that end up on the drive; a change of one shows in GET cloudinit until the drive is written anew.
OPTIONS = ("cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "name", "nameserver", "searchdomain", "sshkeys")


def is_option(name: str) -> bool:
    """Whether a setting ends up on the drive."""
    return name in OPTIONS or bool(re.fullmatch(r"(ipconfig|net)\d+", name))


def files(vmid: int, config: Mapping[str, Any]) -> dict[str, str]:
    """user-data, network-config and meta-data for a configuration."""
    user, network = user_data(vmid, config), network_config(config)
    instance = hashlib.sha1((user + network).encode(), usedforsecurity=False).hexdigest()
    return {"user-data": user, "network-config": network, "meta-data": f"instance-id: {instance}\n"}


def user_data(vmid: int, config: Mapping[str, Any]) -> str:
    """`qm cloudinit dump VMID user`."""
    name = str(config.get("name", f"VM{vmid}"))
    host = name.partition(".")[0]
    domain = str(config.get("searchdomain", "")).partition(" ")[0]
    lines = ["#cloud-config", f"hostname: {host}", "manage_etc_hosts: true"]
    lines.append(f"fqdn: {name if '.' in name or not domain else f'{name}.{domain}'}")
    user = config.get("ciuser")
    if user is not None:
        lines.append(f"user: {user}")
    if user == "root":
        lines.append("disable_root: False")
    if "cipassword" in config:
        lines.append(f"password: {config['cipassword']}")
    if "sshkeys" in config:
        lines.append("ssh_authorized_keys:")
        lines += [f"  - {key}" for key in unquote(str(config["sshkeys"])).splitlines() if key.strip()]
    lines += ["chpasswd:", "  expire: False"]
    if user != "root":
        lines += ["users:", "  - default"]
    if config.get("ciupgrade", 1):
        lines.append("package_upgrade: true")
    return "\n".join(lines) + "\n"


def network_config(config: Mapping[str, Any]) -> str:
    """`qm cloudinit dump VMID network`: version 1. A card without `ipconfigN` is left out."""
    lines = ["version: 1", "config:"]
    for key in sorted(config):
        found = re.fullmatch(r"net(\d+)", key)
        if not found or f"ipconfig{found[1]}" not in config:
            continue
        parts = dict(part.partition("=")[::2] for part in str(config[f"ipconfig{found[1]}"]).split(","))
        lines += ["    - type: physical", f"      name: eth{found[1]}"]
        lines += [f"      mac_address: '{Card.parse(str(config[key])).mac.lower()}'", "      subnets:"]
        lines += _subnet4(parts) + _subnet6(parts)
    servers, domains = str(config.get("nameserver", "")).split(), str(config.get("searchdomain", "")).split()
    if servers or domains:
        lines.append("    - type: nameserver")
        for title, values in (("address", servers), ("search", domains)):
            if values:
                lines += [f"      {title}:", *(f"      - '{value}'" for value in values)]
    return "\n".join(lines) + "\n"


def _subnet4(parts: Mapping[str, str]) -> list[str]:
    if "ip" not in parts:
        return []
    if parts["ip"] == "dhcp":
        return ["      - type: dhcp4"]
    address = ipaddress.IPv4Interface(parts["ip"])
    lines = ["      - type: static", f"        address: '{address.ip}'", f"        netmask: '{address.netmask}'"]
    return lines + ([f"        gateway: '{parts['gw']}'"] if "gw" in parts else [])


def _subnet6(parts: Mapping[str, str]) -> list[str]:
    if "ip6" not in parts:
        return []
    if parts["ip6"] in ("dhcp", "auto"):
        return [f"      - type: {'dhcp6' if parts['ip6'] == 'dhcp' else 'ipv6_slaac'}"]
    lines = ["      - type: static6", f"        address: '{parts['ip6']}'"]
    return lines + ([f"        gateway: '{parts['gw6']}'"] if "gw6" in parts else [])
