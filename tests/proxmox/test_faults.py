# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong with Proxmox VE, and the one clear error for it; the next run goes on with what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Rig, access

SMALL = {"cores": 1, "memory": 512}


def _access(**changes: Any) -> Callable[[Rig], object]:
    return lambda rig: rig.double.admin.access(**{**access(), **changes})


BEFORE: list[tuple[str, dict[str, Any], Callable[[Rig], object] | None, str]] = [
    (
        "wrong token",
        {"api_token_secret": "00000000-0000-0000-0000-000000000000"},
        None,
        "refuses the token ansible@pve!runners",
    ),
    ("no privileges", {}, _access(acl=[]), "the token has no privileges at all"),
    ("unknown template", {"template": 8888}, None, "template = 8888: there is no such template"),
    ("unknown node", {"node": "pve7"}, None, "node = pve7: no such node. Do: write one of pve"),
    ("unknown storage", {"storage": "ceph"}, None, "storage = ceph: there is no storage ceph"),
    (
        "too much memory",
        {"memory": "64G"},
        lambda rig: rig.double.admin.access(**access(audit=True)),
        "memory = 65536: the node pve has 32768 MiB",
    ),
    ("smaller disk", {"disk_size": "1G"}, None, "disk_size = 1G: smaller than scsi0 is, 2252M"),
    ("own authority", {"ca_file": ""}, None, "set proxmox_runner_vm_ca_file"),
    ("nobody there", {"api_hosts": ["127.0.0.9"]}, None, "see that it is on and reached from here"),
    (
        "one privilege less",
        {},
        lambda rig: rig.double.admin.access(**access(without=("/vms/9999", "VM.Clone"))),
        "the token lacks VM.Clone on /vms/9999",
    ),
]


@pytest.mark.parametrize(
    ("options", "change", "problem"), [each[1:] for each in BEFORE], ids=[each[0] for each in BEFORE]
)
def test_told_before_anything_is_changed(
    rig: Rig, options: dict[str, Any], change: Callable[[Rig], object] | None, problem: str
) -> None:
    if change:
        change(rig)
    assert problem in rig.run(**{**SMALL, **options}).problems()
    assert rig.writes() == []
    assert sorted(rig.vms()) == ["9999"]


@pytest.mark.parametrize("audit", [True, False])
def test_a_cluster_without_quorum(rig: Rig, audit: bool) -> None:
    """Told beforehand if the token may ask for it, and else by what is refused."""
    rig.double.admin.access(**access(audit=audit))
    rig.double.admin.settings(quorate=False)
    text = rig.run(**SMALL).problems()
    assert (
        "the cluster has lost its quorum" if audit else "create failed: 500 Internal Server Error: cluster not"
    ) in text
    assert sorted(rig.vms()) == ["9999"]


def test_the_first_host_that_answers_is_asked(rig: Rig) -> None:
    said = rig.run("--check", api_hosts=["127.0.0.9", rig.double.host], **SMALL)
    assert said.code == 0
    assert "proxmox_runner_vm_api_hosts = 127.0.0.9: " in said.text


def test_a_clone_that_fails(rig: Rig) -> None:
    number = rig.double.admin.fault(task_fails="clone failed: no space left on device", task="qmclone")
    text = rig.run(**SMALL).problems()
    assert "gh-runner-01 (250 on pve): create failed: clone failed: no space left on device" in text
    assert sorted(rig.vms()) == ["9999"]
    assert number
    rig.double.admin.clear_faults()
    rig.ok(**SMALL)


def test_a_clone_that_does_not_end(rig: Rig) -> None:
    rig.double.admin.fault(task_hangs=True, task="qmclone", times=1)
    assert "it is still being cloned after 5 s" in rig.run(clone_timeout=5, **SMALL).problems()


def test_a_clone_of_a_run_that_was_ended(rig: Rig) -> None:
    """It goes on while the next run begins, which waits for it and makes no second VM."""
    rig.double.admin.fault(task_takes=15.0, task="qmclone", times=1)
    rig.run(clone_timeout=1, **SMALL).problems()
    rig.ok(**SMALL)
    assert [each.rsplit("/", 1)[-1] for each in rig.writes()] == ["clone", "config", "start"]
    assert sorted(rig.vms()) == ["250", "9999"]


def test_a_start_that_fails_and_the_next_run(rig: Rig) -> None:
    rig.double.admin.fault(task_fails="start failed: QEMU exited with code 1", task="qmstart", times=1)
    text = rig.run(start_timeout=3, **SMALL).problems()
    assert "start failed: start failed: QEMU exited with code 1 (what is there stays" in text
    rig.writes()
    rig.ok(**SMALL)
    assert [each.rsplit("/", 1)[-1] for each in rig.writes()] == ["start"]


def test_an_agent_that_never_answers(rig: Rig) -> None:
    rig.double.admin.fault(agent_silent=True)
    text = rig.run(address_timeout=5, **SMALL).problems()
    assert "its guest agent tells no address: QEMU guest agent is not running" in text


def test_an_api_that_is_slow(rig: Rig) -> None:
    """Trap: five seconds, and version 1.4 of the modules knows no other limit."""
    rig.double.admin.fault(delay=7, method="PUT", path="/qemu/250/config", times=1)
    rig.double.admin.fault(delay=7, method="POST", path="/status/start", times=1)
    rig.ok(**SMALL)


def test_a_vm_that_a_backup_has_locked(rig: Rig) -> None:
    rig.ok(**SMALL)
    rig.writes()
    rig.double.admin.define(vms={"250": {"config": {**rig.config(), "lock": "backup"}}})
    rig.ok(**SMALL)  # nothing is to be done, so it does not matter
    assert "the VM is locked (backup)" in rig.run(**{**SMALL, "cores": 2}).problems()
    assert rig.writes() == []


def test_a_vm_that_ha_manages(rig: Rig) -> None:
    rig.ok(**SMALL)
    rig.writes()
    rig.double.admin.define(ha={"250": {"state": "started"}})
    assert "managed by HA" in rig.run(point="absent").problems()
    assert rig.writes() == []
