# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine of the lab takes from its drive, and what its agent says of it."""

from __future__ import annotations

from typing import Any

from tests.doubles.proxmox import cloudinit
from tests.doubles.proxmox.machines import Boot, Image
from tests.lab import proxmox

MAC = "BC:24:11:00:00:01"


def boot(drive: bool = True, **config: Any) -> Boot:
    whole = {"name": "runner-1", "net0": f"virtio={MAC},bridge=vmbr0", **config}
    files = cloudinit.files(250, whole) if drive else None
    return Boot("pve", 250, "disk-1", Image(), ((MAC, "vmbr0", ""),), 1, 1024, files, True)


def test_the_drive_is_laid_down_as_it_is() -> None:
    made = boot(ciuser="debian")
    assert made.cloudinit
    files = proxmox.seed(made.cloudinit)
    assert {name.rpartition("/")[2]: file.content.decode() for name, file in files.items()} == made.cloudinit
    assert proxmox.seed(None) == {}


def test_what_the_agent_says() -> None:
    found = [
        {"ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {
            "ifname": "eth0",
            "address": "bc:24:11:00:00:01",
            "addr_info": [{"local": "198.18.0.9", "prefixlen": 24}, {"local": "fe80::1", "prefixlen": 64}],
        },
    ]
    said = proxmox.inside(found)
    assert [(one["name"], one["hardware-address"]) for one in said] == [
        ("lo", "00:00:00:00:00:00"),
        ("eth0", "bc:24:11:00:00:01"),
    ]
    assert [[each["ip-address"] for each in one["ip-addresses"]] for one in said] == [
        ["127.0.0.1"],
        ["198.18.0.9", "fe80::1"],
    ]
