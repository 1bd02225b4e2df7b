# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run waits for in a VM, each by its own limit; what is over is one error, which names the VM and the limit.

The limits of what Proxmox VE does are in test_faults.py, those of the template in test_template.py.
"""

from __future__ import annotations

import re

import pytest

from .conftest import EITHER_MAJOR, Rig
from .guest import ADDRESS, HOST_KEY, Guest

SMALL = {"cores": 1, "memory": 512, "user": "admin"}


@EITHER_MAJOR
@pytest.mark.timeout(600)
def test_each_limit_is_one_clear_error(rig: Rig, vm: Guest) -> None:
    def fails(words: str, environ: dict[str, str] | None = None) -> str:
        limits = {"ssh_timeout": 1, "cloud_init_timeout": 1, "package_lock_timeout": 1}
        text = rig.run(environ=environ, wait=True, **SMALL, **limits).problems()
        assert re.search(rf"gh-runner-01 \(250 on pve\): {words}", text), text
        return text

    # Nobody answers at the guest's address.
    fails("no SSH at 192.0.2.100 after 1 s. Do: .+ raise proxmox_runner_vm_ssh_timeout", {"GUEST_PORT": "9"})

    vm.inventory(ansible_connection="ssh", ansible_ssh_common_args="-o ProxyCommand=false")
    words = "nobody could log in at 192.0.2.100 by SSH after 1 s as admin: .+ Do: see that .+_ssh_timeout"
    fails(words)
    assert f"{ADDRESS} {HOST_KEY}" in (rig.folder / "known_hosts").read_text("utf-8")

    vm.here()
    vm.answers("cloud-init", "exec sleep 60")
    words = "cloud-init has not ended after 1 s. Do: look .+ raise proxmox_runner_vm_cloud_init_timeout"
    fails(words)
    vm.answers("cloud-init", "echo no such thing >&2; exit 3")
    fails("nobody knows whether cloud-init has ended: no such thing. Do: look there")

    vm.answers("cloud-init", "echo degraded; exit 2")
    vm.answers("python3", "exec sleep 60")
    words = "packages are still being installed after 1 s. Do: .+ raise proxmox_runner_vm_package_lock_timeout"
    assert "gh-runner-01: ['degraded']" in fails(words)
    vm.answers("python3", "echo Permission denied >&2; exit 1")
    fails("nobody knows whether packages are being installed: Permission denied. Do: .+ admin may use sudo")

    vm.answers("python3")
    rig.writes()
    rig.ok(wait=True, **SMALL)
    assert rig.writes() == []
