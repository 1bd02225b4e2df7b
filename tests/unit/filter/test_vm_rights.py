# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the token may, and what it lacks."""

from __future__ import annotations

import pytest

from .vm_cluster import KEY, PRIVILEGES, Cluster, variables

#: All privileges that a new VM with everything wants, and where.
PAIRS = [(path, privilege) for path, privileges in PRIVILEGES.items() for privilege in privileges]


@pytest.mark.parametrize(("path", "privilege"), [pair for pair in PAIRS if pair != ("/vms/9999", "VM.Audit")])
def test_any_privilege_less_is_told(path: str, privilege: str) -> None:
    cluster, told = Cluster(), variables(cores=8, disk_size="20G", vlan=7, user="admin")
    assert cluster.plan(told)["problems"] == []
    del cluster.permissions[path][privilege]
    problems = cluster.plan(told)["problems"]
    # That of the template, which a clone has at first, and that of the VM.
    bridges = ["/sdn/zones/localnetwork/vmbr0", "/sdn/zones/localnetwork/vmbr0/7"]
    places = bridges if privilege == "SDN.Use" else [path]
    assert [line.split(". Do:")[0] for line in problems] == [
        f"proxmox_runner_vm_api_token_id: the token lacks {privilege} on {where}" for where in places
    ]


def test_either_of_two_is_enough() -> None:
    """Cloud-init's options are for who may change the network, too, and the agent's addresses for who may do all."""
    told = variables(user="admin", ssh_keys=[KEY])
    for has, other in (
        ("VM.Config.Network", "VM.Config.Cloudinit"),
        ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"),
    ):
        cluster = Cluster()
        del cluster.permissions["/vms/250"][has]
        (problem,) = cluster.plan(told)["problems"]
        assert f"the token lacks {min(has, other)} on /vms/250. Do:" in problem
        cluster.permissions["/vms/250"][other] = 1
        assert cluster.plan(told)["problems"] == []
    cluster = Cluster()
    del cluster.permissions["/vms/250"]["VM.Config.Network"]
    (problem,) = cluster.plan({**told, "proxmox_runner_vm_vlan": 7})["problems"]
    assert "the token lacks VM.Config.Network on /vms/250. Do:" in problem  # the one that is enough for both


def test_what_is_lacking_is_to_be_given_on_the_pool() -> None:
    """What is granted on a VM goes when that is destroyed."""
    cluster = Cluster()
    cluster.permissions["/pool/runners"] = cluster.permissions.pop("/vms/250")
    del cluster.permissions["/pool/runners"]["VM.PowerMgmt"]
    (problem,) = cluster.plan(variables(pool="runners"))["problems"]
    assert "the token lacks VM.PowerMgmt on /pool/runners. Do: give it a role with that there" in problem


def test_privileges_of_proxmox_ve_8() -> None:
    cluster, told = Cluster(), variables()
    cluster.version = "8.4.1"
    (problem,) = cluster.plan(told)["problems"]
    assert "lacks VM.Monitor on /vms/250" in problem
    cluster.permissions["/vms/250"]["VM.Monitor"] = 1
    assert cluster.plan(told)["problems"] == []


def test_privileges_are_handed_down() -> None:
    cluster, told = Cluster(), variables()
    everything = {privilege for privileges in PRIVILEGES.values() for privilege in privileges}
    for down in (1, 0):
        cluster.permissions = {"/": dict.fromkeys(everything, down)}
        assert bool(cluster.plan(told)["problems"]) is (down == 0)
