# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of Proxmox VE, and whom."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_ask

from .vm_cluster import CLONES, Cluster, Json, variables


def _refused(name: str, status: int | None, reason: str) -> Json:
    return {"host": name, "status": status, "reason": reason}


def test_the_first_host_that_answers_is_asked() -> None:
    wanted = filters.wanted(variables(api_hosts=["pve1", "pve2"]))
    down = _refused("pve1", None, "[Errno 111] refused")
    found = vm_ask.host({"refused": [down], "host": "pve2", "answers": []}, wanted)
    assert (found["host"], found["problems"]) == ("pve2", [])
    assert "Errno 111" in found["notes"][0]
    found = vm_ask.host({"refused": [down, down]}, wanted)
    assert found["host"] == ""
    assert "see that it is on" in found["problems"][0]


@pytest.mark.parametrize(
    ("status", "reason", "problem"),
    [
        (401, "No ticket", "pve1 refuses the token ansible@pve!runners (No ticket)"),
        (
            None,
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get",
            "set proxmox_runner_vm_ca_file",
        ),
        (
            None,
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid "
            "for 'pve1'. (_ssl.c:1006)",
            "write the node as its certificate names it",
        ),
        (
            None,
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: CA cert does not include key usage extension",
            "give the nodes a certificate by today's rules",
        ),
        (596, "tls_process_server_certificate", "tls_process_server_certificate"),
    ],
)
def test_hosts_that_do_not_answer(status: int | None, reason: str, problem: str) -> None:
    found = vm_ask.host({"refused": [_refused("pve1", status, reason)]}, filters.wanted(variables()))
    assert problem in found["problems"][0]


def test_what_the_module_says_where_no_host_was_asked() -> None:
    found = vm_ask.host({"msg": "no proxmoxer"}, filters.wanted(variables()))
    assert (found["host"], found["problems"]) == ("", ["no proxmoxer"])


def test_what_nobody_tells_any_more_is_not_taken_for_absent() -> None:
    """The host goes between two looks: an old list of what there is would have the VM cloned, or called undone."""
    cluster, told = Cluster(), variables()
    wanted = filters.wanted(told)
    reads = [
        cluster.read(vm_ask.questions(wanted)),
        {"msg": "api_hosts = pve1.lan: no answer", "refused": []},
    ]
    plan = filters.proxmox_vm_plan(wanted, reads)
    assert plan["vms"] == []
    assert "api_hosts = pve1.lan: no answer" in plan["problems"][0]


CLONE = {"type": "qmclone", "starttime": 1}


@pytest.mark.parametrize(
    ("path", "data", "cloning"),
    [
        (CLONES, [CLONE], True),
        (CLONES, [{**CLONE, "endtime": 2}, {"type": "qmstart"}], False),
        (CLONES, None, False),
        ("/nodes/pve1/qemu/250/config", {"lock": "clone"}, True),
        ("/nodes/pve1/qemu/250/config", {"lock": "backup"}, False),
    ],
)
def test_a_clone_that_is_under_way(path: str, data: Any, cloning: bool) -> None:
    other = {"path": "/access/permissions", "status": 200, "reason": "", "data": {}}
    read = {"answers": [other, {"path": path, "status": 200, "reason": "", "data": data}]}
    assert vm_ask.cloning(read) is cloning
    assert not vm_ask.cloning({"msg": "no answer"})


def test_a_template_is_asked_for_as_long_as_there_is_no_clone() -> None:
    cluster, told = Cluster(), variables()
    template = "/nodes/pve1/qemu/9999/config"
    assert template in vm_ask.again(cluster.plan(told))
    cluster.run(told)
    assert template not in vm_ask.again(cluster.plan(told))
