# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is killed before or after any of its tasks, and the next one: the same end, never a second VM.

Up to its last task, that the VM can be used: it is the stand-in of guest.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.contract.role import documented

from .conftest import EITHER_MAJOR, SECRET, VERBOSE, Rig, Said
from .guest import ADDRESS

OPTIONS = {"cores": 2, "memory": 2048, "disk_size": "20G", "user": "admin", "tags": ["ci"], "wait": True}
#: What is another one with each clone, or with each write.
_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_NEW = ("digest", "vmgenid", "meta", "ctime")
THEIRS = "192.0.2.1 ssh-ed25519 AAAATheirs\n"
#: Of a VM that was there before.
OURS = (
    "# BEGIN ephemeral.github_runners VM 250\n"
    f"{ADDRESS} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOursOursOursOursOursOursOursOursOursOursO\n"
    "# END ephemeral.github_runners VM 250\n"
)
#: Some of the tasks that come when the VM runs.
WAITS = ("Wait until SSH answers", "Record the key", "Log in", "Wait until no package is being installed")


@dataclass
class Stepped(Rig):
    """Its runs stop before and after each of their tasks. Where a kill would leave what none has left yet, it comes."""

    point: str = "main"
    left: dict[str, str] = field(default_factory=dict)  # what a kill has left -> the first place that did
    places: list[str] = field(default_factory=list)  # of the last run

    def state(self) -> str:
        """All that a run finds, which is all that it knows: what there is at Proxmox VE, and the file of host keys."""
        # What Proxmox VE does goes on whether the playbook is killed or not. A clone that takes long: test_faults.py.
        found = self.double.admin.wait(lambda state: None if any(task["running"] for task in state["tasks"]) else state)
        vms = {
            vmid: [
                {key: value for key, value in vm["config"].items() if key not in _NEW},
                *(vm[key] for key in ("node", "pending", "pending_delete", "running", "pool")),
            ]
            for vmid, vm in found["vms"].items()
        }
        known = (self.folder / "known_hosts").read_text("utf-8")
        return _RANDOM.sub("X", json.dumps([vms, found["volumes"], known], sort_keys=True))

    def new(self) -> bool:
        """Whether the run is to be killed where it has stopped."""
        self.places = (self.folder / "places.log").read_text("utf-8").splitlines()
        place = self.places[-1]
        assert set(self.vms()) <= {"250", "9999"}, place
        left = self.state()
        if left in self.left:
            return False
        self.left[left] = place
        return True

    def play(self, *words: str, environ: dict[str, str] | None = None) -> Said:
        """Run ansible-playbook; the exit code is -SIGKILL where it was killed."""
        log, output = self.folder / "places.log", self.folder / "output.log"
        log.unlink(missing_ok=True)
        told = {
            "ANSIBLE_CALLBACKS_ENABLED": "filters,places",
            "PLACES_LOG": str(log),
        }
        with (
            output.open("wb") as file,
            subprocess.Popen(
                [sys.executable, "-m", "ansible", "playbook", VERBOSE, "--diff", *words],
                cwd=self.folder,
                env={**self.environ(), **(environ or {}), **told},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the callback plugin's process group
            ) as playbook,
        ):
            try:
                while os.WIFSTOPPED(status := os.waitpid(playbook.pid, os.WUNTRACED)[1]):
                    os.killpg(playbook.pid, signal.SIGKILL if self.new() else signal.SIGCONT)
                playbook.returncode = os.waitstatus_to_exitcode(status)
            finally:
                if playbook.returncode is None:
                    os.killpg(playbook.pid, signal.SIGKILL)
        text = output.read_text("utf-8")
        assert SECRET not in text
        return Said(playbook.returncode, text, 0)

    def to_the_end(self) -> int:
        """Run the role, again after each kill; how many there were."""
        (self.folder / "known_hosts").write_text(THEIRS + OURS, "utf-8")
        before = len(self.left)
        while (said := self.run(point=self.point, **OPTIONS)).code == -signal.SIGKILL:
            assert len(self.left) < 20, f"it comes no nearer to its end: {self.left}"
        assert said.code == 0, f"{self.point}, killed last {list(self.left.values())[-1]}: {said.text}"
        return len(self.left) - before


@dataclass
class Cloning(Stepped):
    """Its run is killed when it has asked for a clone, which goes on."""

    def new(self) -> bool:
        """Whether the run is to be killed where it has stopped."""
        place = (self.folder / "places.log").read_text("utf-8").splitlines()[-1]
        return place.startswith("after") and "Clone the VMs" in place


def _clones(rig: Rig) -> int:
    """How many clones were asked for since the last call, whether Proxmox VE made them or not."""
    return sum(each.endswith("/clone") for each in rig.writes())


def _while_it_is_cloned(rig: Rig) -> None:
    """A run is killed while Proxmox VE clones, and the next one waits for that, which a token is not told by the list
    of all tasks."""
    (rig.folder / "known_hosts").write_text(THEIRS + OURS, "utf-8")
    rig.double.admin.fault(task_hangs=True, task="qmclone")
    assert Cloning(**vars(rig)).run(**OPTIONS).code == -signal.SIGKILL
    last = rig.double.admin.journal()["last"]
    with ThreadPoolExecutor() as pool:
        run = pool.submit(rig.run, **OPTIONS)
        while not _asked_for_clones(rig, last):
            assert not run.done(), run.result().text
            time.sleep(0.1)
        rig.double.admin.clear_faults()
        said = run.result()
    assert said.code == 0, said.text


def _asked_for_clones(rig: Rig, last: int) -> bool:
    return any("/tasks" in entry["path"] for entry in rig.double.admin.journal(last)["entries"])


@EITHER_MAJOR  # each_place.py has both
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("vm")
def test_killed_before_or_after_any_task(rig: Rig) -> None:
    """A run is killed at the first place where it leaves what none has left so far, and what is left is gone on from,
    by runs that are killed in the same way, until one ends. Then a run from the beginning is stopped at each place:
    what it would leave has been gone on from already, and it ends as the killed ones did."""
    assert not any("Sys.Audit" in privileges for privileges in documented(9)["roles"].values())
    rig.double.admin.settings(task_seconds=0, clone_seconds=0)
    main, absent = (Stepped(**vars(rig), point=point) for point in ("main", "absent"))
    ends = []
    for stepped, kills in (
        (main, 6),  # they leave: nothing, a clone, its options, its disk, a VM that runs, its host key
        (absent, 4),  # that, one that is stopped, none, and its host key forgotten
    ):
        assert stepped.to_the_end() == kills, stepped.left
        ends.append(stepped.state())
        assert _clones(rig) == (stepped is main)
    for stepped, end in zip((main, absent), ends, strict=True):
        assert stepped.to_the_end() == 0, stepped.left
        assert stepped.state() == end
        assert _clones(rig) == (stepped is main)
        reached = {tuple(place.split()[:2]) for place in stepped.places}
        tasks = sum(when == "before" for when, _number in reached)
        assert reached == {(when, str(number)) for when in ("before", "after") for number in range(1, tasks + 1)}
        waited = {name for name in WAITS if any(place.endswith(name) for place in stepped.places)}
        assert waited == (set(WAITS) if stepped is main else set())
    _while_it_is_cloned(rig)
    assert main.state() == ends[0]
    assert _clones(rig) == 1
