# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A runner host without Docker or GitHub: the real supervisor and journal over the small world of `fakes`."""

from __future__ import annotations

import json
from pathlib import Path

from runnerd.gates import Gates
from runnerd.journal import Journal
from runnerd.settings import load_settings
from runnerd.supervisor import Supervisor
from tests.unit.runnerd.fakes import Container, FakeClock, FakeListener, FakeWorld, Inline

SLOTS = ["runner-1", "runner-2", "runner-3"]
CRASHPOINTS = [
    f"{effect}.{when}"
    for effect in ("create", "mint", "start", "deregister", "stop", "remove")
    for when in ("before", "after")
]


class Killed(BaseException):
    """SIGKILL, as far as one thread can play it."""


class Host:
    """A runner host: settings on a disk, a journal, and a runnerd that can be restarted."""

    def __init__(self, folder: Path, slots: list[str] | None = None) -> None:
        self.folder = folder
        self.file = folder / "settings.json"
        self.clock = FakeClock()
        self.labels = ["self-hosted"]
        self.want(slots or SLOTS)
        self.world = FakeWorld(slots or SLOTS, self.clock)
        self.dies_at = ""
        self.start()

    def want(self, slots: list[str], **limits: float) -> None:
        pool = {"name": "default", "scope": "acme", "labels": self.labels, "slots": slots, "name_prefix": "host"}
        compose = {"file": str(self.folder / "docker-compose.yml")}
        settings = {"schema": 1, "version": "1", "compose": compose, "pools": [pool], "limits": limits}
        self.file.write_text(json.dumps(settings))

    def start(self, machine_id: str = "machine") -> None:
        self.journal = Journal(self.folder / "state", self.clock, machine_id)
        self.supervisor = Supervisor(
            self.file,
            load_settings(self.file),
            self.journal,
            self.world,
            self.world,
            Gates(self.journal, self.clock),
            self.clock,
            Inline(),
            self.world.workers,
        )
        self.supervisor.observer.listener = FakeListener(
            self.world
        )  # the real one has threads of its own; tested by itself

    def crash(self) -> None:
        """Be killed, and start anew."""
        self.journal.close()
        self.start()

    def crashpoint(self, name: str) -> None:
        """Stands in for the real one, once."""
        if name == self.dies_at:
            self.dies_at = ""
            raise Killed

    def rounds(self, count: int = 12, step: float = 1.0) -> None:
        for _dummy in range(count):
            try:
                self.supervisor.round()
            except Killed:
                self.crash()
            self.clock.at += step

    def online(self) -> None:
        """Fill every slot and let its runner listen."""
        self.rounds(4)
        for container in self.world.running():
            self.world.listen(container)
        self.rounds(2)

    def recovers(self, within: int) -> None:
        """Let time pass in which runners listen as soon as they run; then every slot is idle."""
        for _dummy in range(within // 2):
            for container in self.world.running():
                if container.output.listening_at is None:
                    self.world.listen(container)
            self.rounds(2)
        assert set(self.state().values()) == {"idle"}

    def state(self) -> dict[str, str]:
        return {slot.slot: slot.state for slot in self.supervisor.status.slots}

    def of(self, slot: str) -> Container:
        return next(c for c in self.world.containers.values() if c.slot == slot)
