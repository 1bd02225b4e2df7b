# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run looks at is the VM that is meant: not this machine, and not nothing at all, which would be green."""

from __future__ import annotations

import sys

import pytest

from .conftest import OWNER, ROLE, Rig, Said
from .guest import Guest
from .test_playbooks import tell

#: Whoever is logged in to by SSH is here, and knows that it is.
SSH = """#!/bin/sh
for last; do :; done
BY_SSH=yes exec sh -c "$last"
"""
#: As a program of the guest answers; on the control node it is nobody's business.
ONLY_THERE = "test \"$BY_SSH\" || { echo 'this is the control node' >&2; exit 3; }"
#: The play of a user who writes `connection: local` next to `hosts: localhost`.
PLAY = f"""
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: {ROLE}
"""
VM = {"config": {"name": "gh-runner-01", "tags": OWNER}}


@pytest.mark.parametrize("major", [2])
def test_a_local_play_waits_for_the_vm_and_not_for_this_machine(rig: Rig, vm: Guest) -> None:
    vm.inventory(ansible_become="false", ansible_python_interpreter=sys.executable)
    for program in ("cloud-init", "python3"):
        vm.answers(program, ONLY_THERE)
    (rig.folder / "local.yml").write_text(PLAY)

    def play() -> str:
        told = {"vmid": 250, "wait": True, "cores": 1, "memory": 512, "ssh_timeout": 5}
        told["known_hosts_file"] = str(rig.folder / "known_hosts")
        tell(rig, **{f"proxmox_runner_vm_{name}": value for name, value in told.items()})
        said = rig.play("local.yml", "-e", "@proxmox.yml")
        return "" if said.code == 0 else said.text

    ssh = rig.folder / "bin" / "ssh"
    ssh.write_text("#!/bin/sh\necho nobody is there >&2\nexit 255\n")
    ssh.chmod(0o755)
    assert "gh-runner-01 (250 on pve): nobody could log in at 192.0.2.100 by SSH after 5 s" in play()
    ssh.write_text(SSH)
    assert play() == ""


@pytest.mark.parametrize("major", [2])
def test_what_cannot_be_seen_is_not_taken_for_destroyed(rig: Rig) -> None:
    """The module asks in vain, too: the VM is there. Its host key stays recorded, and the next run destroys it."""
    rig.double.admin.define(vms={"250": VM}, pools={"runners": {"vms": [250]}})
    recorded = "# BEGIN ephemeral.github_runners VM 250\nkey\n# END ephemeral.github_runners VM 250\n"
    (rig.folder / "known_hosts").write_text(recorded)
    rig.double.admin.fault(status=500, message="no answer", method="GET", path="/cluster/resources", skip=1)
    text = rig.run(point="absent").problems()
    assert "Whether they are destroyed is not known:" in text
    assert "/cluster/resources was answered with 500 no answer. Do: look at that node" in text
    assert (rig.folder / "known_hosts").read_text() == recorded
    assert "250" in rig.vms()
    rig.double.admin.clear_faults()
    said = rig.run(point="absent")
    assert said.code == 0, said.text
    assert "250" not in rig.vms()
    assert (rig.folder / "known_hosts").read_text() == ""


@pytest.mark.parametrize("major", [2])
def test_a_limit_that_means_nothing_that_there_is(rig: Rig) -> None:
    """Where the inventory has hosts, Ansible itself says so; without any, it goes on with localhost."""
    rig.double.admin.define(vms={"250": VM}, pools={"runners": {"vms": [250]}})
    (rig.folder / "metal.ini").write_text("[github_runners]\nmetal\n")

    def play(playbook: str, limit: str, *words: str) -> Said:
        tell(rig, proxmox_runner_vm_vmid=250, proxmox_runner_vm_address="192.0.2.50/24")
        given = ("-e", "@proxmox.yml", "--check", "--limit", limit, *words)
        return rig.play(f"ephemeral.github_runners.{playbook}", *given)

    text = play("destroy", "localhost,gh-runner-1").problems()
    assert "--limit = localhost,gh-runner-1: means none of gh-runner-01. Do: write localhost and" in text
    # These mean none of the VMs, and may.
    for limit, words in (("localhost", ()), ("localhost,metal", ("-i", "metal.ini"))):
        said = play("provision", limit, *words)
        assert (said.code, "(250 on pve)" in said.text) == (0, False), said.text
    said = play("provision", "localhost,gh-runner-0*")
    assert (said.code, "(250 on pve): " in said.text) == (0, True), said.text
