# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong with Proxmox VE, and the one clear error for it; the next run goes on with what is there."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.gates import tree

from .conftest import EITHER_MAJOR, Rig, ends

SMALL = {"cores": 1, "memory": 512}


#: One for each place where a run can stop before it changes anything; what else can be wrong, and that it is told by
#: then, is in tests/contract/test_proxmox_role.py. Options, and what is said of them, all of it at once.
BEFORE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "variables": (
        {"cores": 0, "address": "192.0.2"},
        ["proxmox_runner_vm_cores = 0: ", "proxmox_runner_vm_address = 192.0.2: "],
    ),
    "token": (
        {"api_token_secret": "00000000-0000-0000-0000-000000000000"},
        ["proxmox_runner_vm_api_token_id = runners: 127.0.0.1 refuses the token ansible@pve!runners ("],
    ),
    "cluster": (
        {"storage": "ceph", "disk_size": "1G"},
        [
            "proxmox_runner_vm_storage = ceph: there is no storage ceph on the node pve",
            "proxmox_runner_vm_disk_size = 1G: smaller than scsi0 is, 2252M",
        ],
    ),
}


@EITHER_MAJOR
@pytest.mark.parametrize("where", BEFORE)
def test_told_before_anything_is_changed(rig: Rig, where: str) -> None:
    options, problems = BEFORE[where]
    text = rig.run(**{**SMALL, **options}).problems()
    assert [problem for problem in problems if problem not in text] == [], text
    assert rig.writes() == []
    assert sorted(rig.vms()) == ["9999"]


@EITHER_MAJOR
@pytest.mark.parametrize("point", ["main", "absent", "template"])
def test_a_collection_that_is_missing(rig: Rig, point: str) -> None:
    rig.more |= {"ANSIBLE_COLLECTIONS_PATH": str(tree.ensure()), "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false"}
    text = rig.run(point=point, **SMALL).problems()
    assert "the collection community.proxmox is not installed where Ansible runs. Do: ansible-galaxy coll" in text
    assert rig.double.admin.journal()["entries"] == []


def test_what_is_refused_is_told_in_the_words_of_proxmox(rig: Rig) -> None:
    rig.double.admin.settings(quorate=False)
    text = rig.run(**SMALL).problems()
    assert "create failed: 500 Internal Server Error: cluster not ready - no quorum?" in text
    assert sorted(rig.vms()) == ["9999"]


@EITHER_MAJOR
def test_the_first_host_that_answers_is_asked(rig: Rig) -> None:
    said = rig.run("--check", api_hosts=["127.0.0.9", rig.double.host], **SMALL)
    assert said.code == 0
    assert "proxmox_runner_vm_api_hosts = 127.0.0.9: " in said.text


def test_a_clone_that_fails(rig: Rig) -> None:
    rig.double.admin.fault(task_fails="clone failed: no space left on device", task="qmclone")
    text = rig.run(**SMALL).problems()
    assert "gh-runner-01 (250 on pve): create failed: clone failed: no space left on device" in text
    assert sorted(rig.vms()) == ["9999"]
    rig.double.admin.clear_faults()
    rig.ok(**SMALL)


def test_a_clone_that_does_not_end(rig: Rig) -> None:
    rig.double.admin.fault(task_hangs=True, task="qmclone", times=1)
    text = rig.run(clone_timeout=5, **SMALL).problems()
    assert "it is still being cloned" in text and "raise proxmox_runner_vm_clone_timeout" in text


def test_a_clone_of_a_run_that_was_ended(rig: Rig) -> None:
    """It goes on while the next run begins, which waits for it and makes no second VM."""
    rig.double.admin.fault(task_hangs=True, task="qmclone")
    rig.run(clone_timeout=1, **SMALL).problems()
    assert ends(rig.writes()) == ["clone"]
    last = rig.seen

    def asked() -> bool:
        return any(entry["path"].endswith("/nodes/pve/tasks") for entry in rig.double.admin.journal(last)["entries"])

    with ThreadPoolExecutor() as pool:
        run = pool.submit(rig.run, **SMALL)
        while not asked():
            assert not run.done(), run.result().text
            time.sleep(0.1)
        rig.double.admin.clear_faults()
        said = run.result()
    assert said.code == 0, said.text
    assert ends(rig.writes()) == ["config", "start"]
    assert sorted(rig.vms()) == ["250", "9999"]


def test_a_start_that_fails_and_the_next_run(rig: Rig) -> None:
    rig.double.admin.fault(task_fails="start failed: QEMU exited with code 1", task="qmstart", times=1)
    text = rig.run(start_timeout=3, **SMALL).problems()
    assert "start failed: start failed: QEMU exited with code 1 (what is there stays" in text
    rig.writes()
    rig.ok(**SMALL)
    assert ends(rig.writes()) == ["start"]


def test_what_takes_longer_than_its_limit(rig: Rig) -> None:
    """Those of the clone and of the agent are above and below; those of what the VM itself does are in test_wait.py."""
    rig.double.admin.fault(task_hangs=True, task="resize|qmstart|qmshutdown")
    for point, did, options, limit in (
        ("main", "resize failed: Reached timeout while resizing", {"disk_size": "3G", "resize_timeout": 1}, "resize"),
        ("main", "start failed: Reached timeout while waiting for starting", {"start_timeout": 1}, "start"),
        ("absent", "destroy failed: .*Reached timeout while waiting for stopping", {"shutdown_timeout": 1}, "shutdown"),
    ):
        text = rig.run(point=point, **{**SMALL, **options}).problems()
        words = rf"gh-runner-01 \(250 on pve\): {did}.+ Do: .+ raise proxmox_runner_vm_{limit}_timeout"
        assert re.search(words, text), text
        rig.double.admin.clear_faults()  # then it is done
        rig.double.admin.fault(task_hangs=True, task={"resize": "qmstart", "start": "qmshutdown"}.get(limit, "none"))


@EITHER_MAJOR
def test_an_agent_that_never_answers(rig: Rig) -> None:
    rig.double.admin.fault(agent_silent=True)
    text = rig.run(address_timeout=5, **SMALL).problems()
    assert "its guest agent tells no address: QEMU guest agent is not running" in text


@EITHER_MAJOR
def test_a_limit_is_of_time_and_not_of_questions(rig: Rig) -> None:
    """A slow API does not make it longer: there is time for two questions, and not for ten."""
    rig.double.admin.fault(agent_silent=True)
    rig.double.admin.fault(delay=6, path="/agent/network-get-interfaces")
    rig.run(address_timeout=10, api_timeout=30, **SMALL).problems()
    asked = [entry["path"] for entry in rig.double.admin.journal()["entries"]]
    assert 1 <= ends(asked).count("network-get-interfaces") <= 2


@pytest.mark.parametrize("major", [1])
def test_an_api_that_is_slow(rig: Rig) -> None:
    """Trap: five seconds, and version 1.4 of the modules knows no other limit; version 2 has that of the role."""
    rig.double.admin.fault(delay=7, method="POST", path="/qemu/9999/clone", times=1)
    rig.double.admin.fault(delay=7, method="PUT", path="/qemu/250/config", times=1)
    rig.double.admin.fault(delay=7, method="POST", path="/status/start", times=1)
    rig.ok(api_timeout=10, **SMALL)
    assert ends(rig.writes()).count("clone") == 1


@EITHER_MAJOR
def test_an_api_that_is_too_slow(rig: Rig) -> None:
    rig.double.admin.fault(delay=3, path="/version")
    text = rig.run(api_timeout=1, **SMALL).problems()
    assert re.search("api_hosts = 127.0.0.1: .+ Do: see that .+ raise proxmox_runner_vm_api_timeout", text), text


@EITHER_MAJOR
def test_a_vm_that_a_backup_has_locked(rig: Rig) -> None:
    rig.ok(**SMALL)
    rig.writes()
    rig.double.admin.define(vms={"250": {"config": {**rig.config(), "lock": "backup"}}})
    rig.ok(**SMALL)  # nothing is to be done, so it does not matter
    assert "the VM is locked (backup)" in rig.run(**{**SMALL, "cores": 2}).problems()
    assert rig.writes() == []


@EITHER_MAJOR
def test_a_vm_that_ha_manages(rig: Rig) -> None:
    rig.ok(**SMALL)
    rig.writes()
    rig.double.admin.define(ha={"250": {"state": "started"}})
    assert "managed by HA" in rig.run(point="absent").problems()
    assert rig.writes() == []
