# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that begins with nothing done, killed at each of its places in turn, and each time the next run to its end.

`make killed`; an hour and more. What `test_killed.py` shows in minutes, it shows by this: how a run goes on depends on
what it finds and on nothing else. Here nothing is taken for granted.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

from .conftest import Rig
from .test_killed import OPTIONS, OURS, THEIRS, Stepped


@dataclass
class Killed(Stepped):
    """Its runs are killed at one place."""

    at: int = 0  # which one, from 1; 0 is none

    def new(self) -> bool:
        """Whether the run is to be killed where it has stopped."""
        self.places = (self.folder / "places.log").read_text("utf-8").splitlines()
        assert set(self.vms()) <= {"250", "9999"}, self.places[-1]
        return len(self.places) == self.at

    def begin(self) -> None:
        """The VM is not there; for `absent`, it is."""
        self.at = 0
        if "250" in self.vms():
            self.double.admin.remove_vm(250)
        (self.folder / "known_hosts").write_text(THEIRS + OURS, "utf-8")
        if self.point == "absent":
            assert self.run(**OPTIONS).code == 0


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("point", ["main", "absent"])
@pytest.mark.usefixtures("vm")
def test_killed_at_each_place(rig: Rig, point: str) -> None:
    """And no run makes a second VM, nor leaves another end."""
    rig.double.admin.settings(task_seconds=0, clone_seconds=0)
    killed = Killed(**vars(rig), point=point)
    killed.begin()
    assert killed.run(point=point, **OPTIONS).code == 0
    end, last = killed.state(), len(killed.places)
    assert last > 20
    for at in range(1, last + 1):
        killed.begin()
        killed.at = at
        assert killed.run(point=point, **OPTIONS).code == -signal.SIGKILL
        place, killed.at = killed.places[-1], 0
        said = killed.run(point=point, **OPTIONS)
        assert said.code == 0, f"{place}: {said.text}"
        assert killed.state() == end, place
