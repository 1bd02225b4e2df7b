# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that the role can ask Proxmox VE, to do and to tell: each request and each parameter is seen, and no other.

The double refuses what the vendor's description does not have, and fails the test if one of its own answers is not as
described; so what is seen here is vouched for. The token has what the role's README gives it, and no more.
"""

from __future__ import annotations

import pytest

from tests.contract.role import EVERYTHING as PRIVILEGED
from tests.contract.role import documented

from .conftest import Rig

VM = "/nodes/{node}/qemu/{vmid}"
OPTIONS = (
    "agent balloon ciuser cores cpu description ipconfig0 memory name nameserver net0 onboot searchdomain sshkeys tags"
)
#: What is written, with its parameters beside those in the path.
WRITTEN = {
    f"POST {VM}/clone": {"newid", "name", "full", "pool", "storage", "target"},
    f"PUT {VM}/config": set(OPTIONS.split()),
    f"PUT {VM}/resize": {"disk", "size"},
    f"POST {VM}/status/start": set(),
    f"POST {VM}/status/shutdown": {"forceStop", "timeout"},
    f"DELETE {VM}": {"purge"},
}
#: What is read by the role, with its parameters beside those in the path.
READ: dict[str, set[str]] = {
    "GET /version": set(),
    "GET /access/permissions": set(),
    "GET /cluster/resources": set(),
    "GET /cluster/status": set(),
    "GET /nodes/{node}/tasks": {"vmid", "typefilter", "source", "limit"},
    f"GET {VM}/config": set(),
    f"GET {VM}/pending": set(),
    f"GET {VM}/cloudinit": set(),
    f"GET {VM}/status/current": set(),
    f"GET {VM}/agent/network-get-interfaces": set(),
    f"GET {VM}/agent/file-read": {"file"},
}
#: What the modules of community.proxmox read besides, or one of their major versions does.
BESIDES = {
    "GET /nodes",
    "GET /cluster/nextid",
    "GET /nodes/{node}/qemu",
    "GET /nodes/{node}/tasks/{upid}/status",
    "GET /nodes/{node}/tasks/{upid}/log",
}
EVERYTHING = {
    **PRIVILEGED,
    "gateway": "192.0.2.1",
    "agent": True,
    "on_boot": True,
}


@pytest.mark.usefixtures("vm")
def test_all_that_is_asked(rig: Rig) -> None:
    disks = {
        "scsi0": "shared:9999/base-9999-disk-0.qcow2,size=2G",
        "ide2": "shared:9999/vm-9999-cloudinit.qcow2,media=cdrom",
    }
    rig.double.admin.define(
        nodes={"pve2": {"address": "127.0.0.2"}},
        storages={"shared": {"type": "nfs", "shared": True, "content": "images"}},
        vms={"9999": {"config": {**disks, "agent": None}}},
    )
    rules = documented(9)
    space = [rule for rule in rules["acl"] if rule["path"] == "/storage/local-lvm"]
    rules["acl"] += [{**rule, "path": "/storage/shared"} for rule in space]
    rig.double.admin.access(**rules)
    vms = [
        {"name": "gh-runner-01", "vmid": 250, "address": "dhcp", "gateway": "", "storage": "local-lvm"},
        {"name": "runner-b", "vmid": 251, "address": "192.0.2.51/24", "node": "pve2"},
        {"name": "runner-c", "vmid": 252, "address": "192.0.2.52/24", "full_clone": False},
    ]
    rig.double.admin.fault(task_fails="no space left", task="qmclone", times=1)
    rig.run(vms=vms[:1], **EVERYTHING).problems()
    rig.ok(vms=vms, **EVERYTHING)
    rig.ok(vms=vms[:1], wait=True, **EVERYTHING)
    assert [rig.vms()[vmid]["node"] for vmid in ("250", "251", "252")] == ["pve", "pve2", "pve"]
    assert rig.run(vms=vms, point="absent", **EVERYTHING).code == 0
    assert sorted(rig.vms()) == ["9999"]
    seen: dict[str, set[str]] = {}
    for entry in rig.double.admin.journal()["entries"]:
        assert entry["status"] == 200 or not entry["write"], entry
        found = seen.setdefault(f"{entry['method']} {entry['template']}", set())
        found |= {name for name in entry["parameters"] if f"{{{name}}}" not in entry["template"]}
    assert set(seen) - BESIDES == {*WRITTEN, *READ}
    for request, parameters in WRITTEN.items():
        assert (request, parameters ^ seen[request]) == (request, set())
    for request, parameters in READ.items():  # the modules may have some of their own
        assert (request, parameters - seen[request]) == (request, set())
