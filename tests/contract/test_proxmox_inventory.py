# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of Proxmox VE that is shipped: which VMs it finds, with which address, and the authority."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.proxmox import SECRET
from tests.contract.role import Role, cluster
from tests.doubles.proxmox.server import Double
from tests.gates import community_proxmox
from tests.lab.common import CHECKOUT

pytestmark = pytest.mark.usefixtures("host_key")
OWNER = "ephemeral-github-runners"


@pytest.fixture
def pve_options() -> dict[str, Any]:
    """Proxmox VE 9."""
    return cluster()


@pytest.mark.parametrize("major", [1, 2], ids=["community1", "community2"])
def test_the_inventory_that_is_shipped(
    pve_double: Double, pve_tls: tuple[Path, Path], tmp_path: Path, major: int
) -> None:
    """Ours that run, by tag or description, with the address of the agent or of cloud-init, or none; no stranger and no
    template. And whoever follows what it says of the authority still trusts GitHub's."""
    role = Role(pve_double, pve_tls[1], user="admin")
    role.do(role.plan()["vms"][0])
    usual = {"net0": "virtio=BC:24:11:00:02:51,bridge=vmbr0", "ipconfig0": "ip=192.0.2.51/24,gw=192.0.2.1"}
    pve_double.admin.define(
        vms={
            "251": {"config": {**usual, "name": "described", "description": f"Mine\n\n{OWNER}\n"}},
            "252": {"config": {**usual, "name": "theirs", "tags": "ci"}},
            "253": {"config": {**usual, "name": "model", "tags": OWNER, "template": 1}},
            "254": {"config": {**usual, "name": "off", "tags": OWNER}},
            "255": {"config": {**usual, "name": "silent", "tags": OWNER, "ipconfig0": "ip=dhcp", "agent": "1"}},
            "256": {"config": {"name": "bare", "tags": OWNER}},
        },
        pools={"runners": {"vms": [251, 252, 253, 254, 255, 256]}},
    )
    pve_double.admin.fault(agent_silent=True, vmid=255)
    for vmid in (251, 255, 256):
        role.api.wait(role.api.vm(vmid).status.start.post())
    source = tmp_path / "inventory.proxmox.yml"
    shutil.copy(CHECKOUT / source.name, source)
    told = {
        "PROXMOX_URL": f"https://{pve_double.host}:{pve_double.port}",
        "PROXMOX_TOKEN_SECRET": SECRET,
        "REQUESTS_CA_BUNDLE": _followed(source, pve_tls[1]),
        "ANSIBLE_COLLECTIONS_PATH": str(community_proxmox.path(major)),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "inventory", "-i", str(source), "--list", "--export"],
        env={**{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}, **told},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert sorted(found["github_runners"]["hosts"]) == ["bare", "described", "gh-runner-01", "silent"]
    hosts = found["_meta"]["hostvars"]
    addresses = {name: _plain(told["ansible_host"]) for name, told in hosts.items() if "ansible_host" in told}
    ours = {"gh-runner-01": "192.0.2.100", "described": "192.0.2.51"}
    assert {name: addresses[name] for name in found["github_runners"]["hosts"] if name in addresses} == ours
    assert (_plain(hosts["gh-runner-01"]["ansible_user"]), "ansible_user" in hosts["described"]) == ("admin", False)


def _followed(inventory: Path, authority: Path) -> str:
    """REQUESTS_CA_BUNDLE, as who follows the inventory's words has it. It takes the place of all other authorities."""
    system = inventory.parent / "ca-certificates.crt"
    system.write_text("the system's\n")
    shutil.copy(authority, inventory.parent / "pve-root-ca.pem")
    said = re.findall(r"^#   ((?:cat|export) .+)$", inventory.read_text("utf-8"), re.MULTILINE)
    script = "\n".join(["set -eu", *said, 'printf %s "$REQUESTS_CA_BUNDLE"'])
    assert f"/etc/ssl/certs/{system.name}" in script
    script = script.replace(f"/etc/ssl/certs/{system.name}", str(system))
    done = subprocess.run(["bash", "-c", script], cwd=inventory.parent, capture_output=True, text=True, check=True)
    assert Path(done.stdout).read_text("utf-8") == system.read_text("utf-8") + authority.read_text("utf-8")
    return done.stdout


def _plain(value: Any) -> Any:
    """A text that came from outside, whichever way Ansible exports it."""
    return value["__ansible_unsafe"] if isinstance(value, dict) else value
