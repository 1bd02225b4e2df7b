# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook is killed before and after every one of its tasks and run again: the same end, never a second VM."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Rig

OPTIONS = {"cores": 2, "memory": 2048, "disk_size": "20G", "user": "admin", "tags": ["ci"]}
#: What is another one with each clone.
_RANDOM = re.compile(r"uuid=[0-9a-f-]+|(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}|vm-250-disk-[0-9]+")


def state(rig: Rig) -> str:
    """What there is at Proxmox VE, without what is another one with each clone."""
    found = rig.double.admin.state()
    running = sorted(task["type"] for task in found["tasks"] if task["running"])
    kept: dict[str, Any] = {}
    for vmid, vm in found["vms"].items():
        config = {
            key: value for key, value in vm["config"].items() if key not in ("digest", "vmgenid", "meta", "ctime")
        }
        kept[vmid] = [config, vm["pending"], vm["running"]]
    return _RANDOM.sub("X", json.dumps([kept, running], sort_keys=True))


def settle(rig: Rig) -> None:
    """Wait until nothing is under way."""
    rig.double.admin.wait(lambda found: not any(task["running"] for task in found["tasks"]))


def run(rig: Rig, at: str = "") -> tuple[int, list[str]]:
    """Run the role, killed at a task; its exit code and the tasks that began."""
    log = rig.folder / "tasks.log"
    log.unlink(missing_ok=True)
    callbacks = Path(__file__).with_name("callbacks")
    more = {
        "ANSIBLE_CALLBACK_PLUGINS": str(callbacks),
        "ANSIBLE_CALLBACKS_ENABLED": "ends",
        "ENDS_LOG": str(log),
        "ENDS_AT": at,
    }
    said = rig.run(environ=more, **OPTIONS)
    assert said.code in (0, -signal.SIGKILL), said.text
    return said.code, log.read_text("utf-8").splitlines()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_task(rig: Rig, when: str) -> None:
    code, tasks = run(rig)
    assert code == 0
    end = state(rig)
    assert len(tasks) > 20
    seen: dict[str, str] = {}
    for number, name in enumerate(tasks, 1):
        place = f"{when} {number}"
        settle(rig)
        if "250" in rig.vms():
            rig.double.admin.remove_vm(250)
        code, begun = run(rig, place)
        assert code == -signal.SIGKILL, f"{place}: {name} was not reached"
        assert begun == tasks[:number]
        left = state(rig)
        assert set(rig.vms()) <= {"250", "9999"}, f"{place}: {name}"
        # The role knows nothing but this state, so that from one and the same it goes on in one and the same way.
        if left in seen:
            continue
        seen[left] = place
        code, _begun = run(rig)
        assert (code, state(rig)) == (0, end), f"{place}: {name}"
    assert len(seen) >= 5, seen  # nothing, cloned, set, grown, started: each was gone on from
