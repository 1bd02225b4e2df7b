# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A runner host: its files, its Docker, and the process of runnerd, which can be killed and comes back as with systemd.

runnerd's parts are the real ones; `shells` has what three of them get another shell for.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runnerd.broker import GitHubBroker
from runnerd.cli import AFTER_ERROR
from runnerd.gates import Gates
from runnerd.journal import JournalError
from runnerd.settings import SettingsError, load_credentials, load_settings
from runnerd.supervisor import ROUND, Supervisor

from .compose import IMAGE, compose_text
from .docker import Engine
from .github import REPOSITORY, SCOPE, TOKEN, Service
from .history import DOUBT, ERROR, FORGETS, NOT_STARTED, PROCESS_ENDED, WANTS, History
from .program import NEVER
from .shells import Ears, Flights, TalkingJournal
from .world import HostClock, NotNow, Time

UNIT = Path(__file__).parents[2] / "roles/runnerd/templates/runnerd.service.j2"
#: Seconds until systemd starts runnerd again.
RESTART = int(re.findall(r"^RestartSec=(\d+)ms$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)[0]) / 1000
FAILED = RESTART + AFTER_ERROR


class Killed(BaseException):
    """SIGKILL, as far as one thread can play it."""


@dataclass
class Wanted:
    """What the playbook was told; two scopes with one credential."""

    slots: tuple[str, ...] = ("runner-1", "runner-2", "runner-3")
    repository_slots: tuple[str, ...] = ("runner-4",)  # of a pool of their own
    image: str = IMAGE
    labels: tuple[str, ...] = ("self-hosted",)
    name_prefix: str = "host"
    version: str = "1"
    definition: str = ""  # any more text of a service
    limits: Mapping[str, float] = ()
    repository_credential: str = "default"

    @property
    def all(self) -> tuple[str, ...]:
        return self.slots + self.repository_slots

    def settings(self, folder: Path) -> dict[str, Any]:
        """The settings file."""
        common = {"labels": list(self.labels), "name_prefix": self.name_prefix}
        pools = [
            {"name": "default", "scope": SCOPE, "slots": list(self.slots), **common},
            {
                "name": "own",
                "scope": REPOSITORY,
                "slots": list(self.repository_slots),
                "credential": self.repository_credential,
                **common,
            },
        ]
        compose = {"file": str(folder / "docker-compose.yml")}
        return {
            "schema": 1, "version": self.version, "compose": compose, "pools": pools, "limits": dict(self.limits)
        }  # fmt: skip


class Host:
    """One runner host."""

    def __init__(
        self, folder: Path, time: Time, service: Service, history: History, dice: random.Random, machine_id: str
    ) -> None:
        self.folder, self.time, self.service, self.history, self.dice = folder, time, service, history, dice
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.state = folder / "settings.json", folder / "state"
        self.machine_id = machine_id
        self.clock = HostClock(time)
        self.engine = Engine(folder / "docker-compose.yml", self.clock, time, service, history)
        self.engine.on_change = self.wake
        self.engine.heard = lambda: self.supervisor is not None
        self.credentials = folder / "credentials.json"
        self.give({"token": TOKEN})
        self.wanted = Wanted()
        self.point: Callable[[str], None] = lambda name: None
        self.disk_full = False
        self.killed_for = RESTART  # seconds until it is started again
        self.frozen_until = 0.0  # neither runnerd nor a container has the processor
        self.start_at = NEVER  # when systemd starts runnerd
        self.supervisor: Supervisor | None = None
        self._round_at = NEVER

    # The playbook

    def give(self, form: Mapping[str, str], **more: Mapping[str, str]) -> None:
        """The credentials that the playbook puts here; runnerd reads them at its start."""
        self.credentials.write_text(json.dumps({"default": form, **more}))

    def deploy(self, **changes: Any) -> None:
        """Run the playbook with these variables: settings first, then the Compose file, then the reload."""
        self.write_settings(**changes)
        self.write_compose_file()
        if self.supervisor is not None:
            self._ask(self.supervisor.reload)

    def write_settings(self, **changes: Any) -> None:
        """The playbook's first half; what is in force when the second one does not come."""
        self.wanted = replace(self.wanted, **changes)
        self.file.write_text(json.dumps(self.wanted.settings(self.folder)))
        limits = load_settings(self.file).limits
        self.history.add(WANTS, slots=self.wanted.all, drain=limits.drain, job=limits.job)

    def write_compose_file(self, **changes: Any) -> None:
        """Its second half, by variables that may be newer than the settings."""
        wanted = replace(self.wanted, **changes)
        kept = set()
        if self.engine.file.exists():  # a service stays in the file until its slot is empty
            kept = self.engine.definition().hashes.keys() - set(wanted.all)
        own = set(wanted.repository_slots) | (kept - set(Wanted().slots))
        slots = {slot: ("own", REPOSITORY) if slot in own else ("default", SCOPE) for slot in {*wanted.all, *kept}}
        self.engine.file.write_text(compose_text(slots, wanted.image, wanted.definition))

    def person(self, what: str, slot: str = "", limit: float | None = None) -> None:
        """What a person types: drain, stop (now), shutdown, resume, pause, update, refresh."""
        if self.supervisor is None:
            raise NotNow("no runnerd answers")
        limits = self.supervisor.settings.limits
        lasts = {"drain": limit, "shutdown": limits.shutdown or NEVER}.get(what, 0.0)  # None: as the settings say
        if what in ("drain", "stop"):
            taken = self._ask(
                self.supervisor.drain, [slot] if slot else [], "now" if what == "stop" else "drain", limit
            )
        elif what == "shutdown":
            taken = self._ask(self.supervisor.shut_down)
        else:
            taken = self._ask(getattr(self.supervisor, what))
        if taken:
            self.history.add(("person", what), slot, limit=lasts)

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> bool:
        """Ask the process, which may die of it; False: it answers that it cannot do it."""
        try:
            question(*arguments)
        except Killed:
            self.end("killed", self.killed_for)
        except sqlite3.OperationalError:  # as `control` does
            if not self.disk_full:
                raise
            return False
        return True

    # The process

    def start(self) -> None:
        """As `daemon.serve` begins."""
        self.start_at = NEVER
        try:
            settings, credentials = load_settings(self.file), load_credentials(self.credentials)
            journal = TalkingJournal(self)
        except (SettingsError, JournalError, sqlite3.Error) as exc:
            self.history.add(NOT_STARTED, detail=str(exc))
            self.start_at = self.time.at + FAILED
            return
        except Killed:
            self.end("killed", self.killed_for)
            return
        gates = Gates(journal, self.clock, apps={name for name, form in credentials.items() if "token" not in form})
        broker = GitHubBroker(settings.github, credentials, "chaos", gates, now=self.clock.wall)
        broker._options["sleep"] = self.time.passes
        self.journal, self.flights = journal, Flights(self)
        self.supervisor = Supervisor(
            self.file, settings, journal, self.engine, broker, gates, self.clock, self.flights, self.engine.workers
        )
        self.supervisor.observer.listener = Ears(self.engine, self.clock)
        self.supervisor.restart_wanted = self._restart_soon
        try:
            gates.try_again()
            journal.hand_over(credentials, {pool.scope: pool.credential for pool in settings.pools})
            journal.event("", "", "began", f"runnerd {settings.version}")
        except Killed:
            self.end("killed", self.killed_for)
        except sqlite3.OperationalError as exc:
            self._crash(exc)
        self._round_at = self.time.at

    def end(self, how: str, for_: float = RESTART) -> None:
        """The process ends; systemd starts it again, unless something is in the way for so long."""
        self.history.add(PROCESS_ENDED, detail=how)
        if self.supervisor is not None:
            self.journal.close()
        self.supervisor = None
        self._round_at, self.start_at = NEVER, self.time.at + for_

    def _crash(self, exc: sqlite3.Error) -> None:
        """Nothing else than a full disk may come to this."""
        self.history.add(ERROR, detail=repr(exc), foreseen=self.disk_full)
        self.end(f"crashed: {exc}", FAILED)

    def _restart_soon(self) -> None:
        self.start_at = self.time.at + 0.5

    def reboot(self, for_: float = 60.0) -> None:
        """Power is gone, and comes back."""
        self.end("power was cut", for_)
        for container in self.engine.running():
            self.engine.die(container, 255)
        self.clock.reboot()

    def set_clock(self, wrong_by: float) -> None:
        """Somebody sets the clock, or a virtual machine wakes up with an old one."""
        self.clock.wrong_by = wrong_by
        self.history.add(DOUBT, "clock", on=wrong_by != 0)

    def fill_disk(self, full: bool) -> None:
        """No file can be written."""
        self.disk_full = full
        self.engine.refuses = {"create": "no space left on device"} if full else {}
        self.history.add(DOUBT, "disk", on=full)

    def lose_journal(self) -> None:
        """While runnerd is dead. What was lost with it at GitHub is not ours to delete: GitHub does."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.service.leave_the_rest_to_github()
        self.history.add(FORGETS)

    def wake(self) -> None:
        """Begin the next round now."""
        if self.supervisor is not None:
            self._round_at = min(self._round_at, self.time.at)

    @property
    def due(self) -> float:
        """When something happens here by itself."""
        if self.time.at < self.frozen_until:
            return self.frozen_until
        programs = [container.program.due for container in self.engine.running() if container.program]
        waiting = [container.waits_until for container in self.engine.running() if container.program is None]
        return min([self._round_at, self.start_at, *programs, *waiting])

    def act(self) -> None:
        """Do what is due."""
        if self.time.at < self.frozen_until:
            return
        self.engine.tick()
        if self.start_at <= self.time.at:
            if self.supervisor is not None:
                self.end("restarts", 0.0)
            self.start()
        if self.supervisor is None:
            return
        try:
            if self.supervisor._wake.is_set():
                self._round_at = self.time.at
            if self._round_at <= self.time.at:
                self.supervisor._wake.clear()
                wake_at = self.supervisor.round()
                self.supervisor.take_ended()  # for the metrics
                wait = ROUND if wake_at is None else min(max(wake_at - self.clock.now(), 0.05), ROUND)
                self._round_at = self.time.at + wait
            if self.flights.land():
                self._round_at = self.time.at
        except Killed:
            self.end("killed", self.killed_for)
        except sqlite3.OperationalError as exc:
            self._crash(exc)
