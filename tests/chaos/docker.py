# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker's side: a small engine in memory behind the provider's interface, and its faults.

As strict as Docker where runnerd could be wrong: an id is one writable layer, a name is taken until its container is
removed, a running one is removed only by force.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from runnerd.composefile import replace_text, with_image, without_slot
from runnerd.engine import LOOK_TIMEOUT
from runnerd.model import Machine, MachineStatus, Tri
from runnerd.provider import Definition, Delivery, Found, ProviderDown, ProviderError

from .compose import Images, defined
from .github import Service
from .history import CREATED, DELIVERED, DIED, REMOVED, STARTED, STOPPED, History
from .program import Habits, Program
from .world import HostClock, Time

BOOT_LIMIT = 120.0  # runnerd's own for a call that changes something
CREDENTIAL_PATIENCE = 60.0  # the entrypoint's


@dataclass
class Container:
    """One container: its layer, its volume, what came in and what it said."""

    id: str
    slot: str
    spec: str
    labels: tuple[str, str]  # pool, scope
    status: MachineStatus = MachineStatus.CREATED
    starts: int = 0
    waits_until: float = 0.0  # for its credential
    program: Program | None = None
    said: list[tuple[float, str]] = field(default_factory=list)  # host's time
    exit_code: int | None = None
    oom: bool = False
    lost_docker: bool = False

    @property
    def image(self) -> str:
        """What it was made of."""
        return self.spec.split(" ")[0]

    @property
    def working(self) -> bool:
        """A job runs in it."""
        return self.program is not None and self.program.working


class Engine:
    """Docker and Compose of one host. What tests set: `down`, `hangs`, `refuses`, `habits`, `delivery_breaks`."""

    def __init__(self, file: Path, clock: HostClock, time: Time, service: Service, history: History) -> None:
        self.file = file
        self.images = Images()
        self.images.used = lambda: {container.image for container in self.all}
        self.containers: dict[str, Container] = {}
        self.volumes: set[str] = set()  # of which container
        self.down = self.hangs = False
        self.refuses: dict[str, str] = {}  # create, start, stop, remove -> Docker's words
        self.leaves_half = False  # what cannot be created is left behind, because Docker hangs
        self.delivery_breaks = ""  # "before" or "after" the start: Docker goes away between attach and the credential
        self.processes_readable = True
        self.habits = Habits()
        self.point: Callable[[str], None] = lambda name: None
        self.on_change: Callable[[], None] = lambda: None
        self.heard: Callable[[], bool] = lambda: True  # whether a runnerd is there, and has heard all
        self._clock, self._time, self._service, self._history = clock, time, service, history
        self._made = 0
        self._read: tuple[object, Definition] = (None, Definition())

    @property
    def all(self) -> list[Container]:
        return list(self.containers.values())

    def running(self) -> list[Container]:
        return [container for container in self.all if container.status is MachineStatus.RUNNING]

    # What runnerd asks

    def list(self) -> dict[str, Found]:
        self._reach(LOOK_TIMEOUT)
        return {
            c.slot: Found(Machine(c.status, c.id, c.exit_code, c.oom, c.spec, lost_docker=c.lost_docker), *c.labels)
            for c in self.all
        }

    def runs(self, machine_id: str) -> bool:
        self._reach(LOOK_TIMEOUT)
        return machine_id in self.containers and self.containers[machine_id].status is MachineStatus.RUNNING

    def definition(self) -> Definition:
        """Read from the file, if it has changed."""
        try:
            status = self.file.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if self._read[0] != stamp:
                self._read = (stamp, defined(self.file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            return Definition(error=f"{exc}. Do: run the playbook again")
        return self._read[1]

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        self._reach(LOOK_TIMEOUT)
        return iter(self.containers[machine_id].said if machine_id in self.containers else ())

    def changes(self) -> Iterator[str]:
        return iter(())

    def workers(self, machine_ids: Iterable[str]) -> dict[str, Tri]:
        """What runnerd reads in /proc."""
        if not self.processes_readable:
            return dict.fromkeys(machine_ids, Tri.UNKNOWN)
        working = {c.id for c in self.running() if c.program is not None and c.program.has_worker}
        return {one: Tri.YES if one in working else Tri.NO for one in machine_ids}

    # What runnerd changes

    def create(self, slot: str) -> str:
        with self._change("create", slot, takes=0.05):
            if any(c.slot == slot for c in self.all):
                raise ProviderError(f"the container of {slot} is there already")
            definition = self.definition()
            spec = definition.hashes.get(slot)
            if spec is None:  # the file was broken since, by a person
                raise ProviderError(definition.error or f"no such service: {slot}")
            image = spec.split(" ")[0]
            if image not in self.images.local:
                raise ProviderError(f"No such image: {image}")
            container = self.make(slot, spec)
        if self.leaves_half:
            raise ProviderError("docker compose create did not end within 120 s")
        return container.id

    def make(self, slot: str, spec: str) -> Container:
        """A container as Compose creates it, by whomever."""
        self._made += 1
        number = hashlib.sha256(f"{self.file} {self._made}".encode()).hexdigest()
        pool, scope = re.findall(rf"# slot {slot} begin\n(?:.*\n)*?    labels: (\S+) (\S+)\n", self.file.read_text())[0]
        container = self.containers[number] = Container(number, slot, spec, (pool, scope))
        self.volumes.add(number)
        self._history.add(CREATED, number, slot=slot, image=container.image)
        return container

    def start_and_deliver(self, machine_id: str, data: bytes) -> Delivery:
        with self._change("start", machine_id, takes=0.15):
            container = self.containers.get(machine_id)
            if container is None:
                raise ProviderError("No such container")
            if self.delivery_breaks == "before":
                return Delivery.UNKNOWN
            self.start(container)
            if self.delivery_breaks:
                return Delivery.UNKNOWN
            self._deliver(container, data)
        return Delivery.SENT

    def start(self, container: Container) -> None:
        """By whomever; the entrypoint runs once in a layer."""
        container.starts += 1
        container.status, container.exit_code = MachineStatus.RUNNING, None
        container.waits_until = self._time.at + CREDENTIAL_PATIENCE
        self._history.add(STARTED, container.id, starts=container.starts)
        if container.starts > 1:
            self.die(container, 64)
        self.on_change()

    def _deliver(self, container: Container, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()[:12]
        self._history.add(DELIVERED, container.id, credential=digest, starts=container.starts)
        if container.status is MachineStatus.RUNNING:

            def say(line: str) -> None:
                container.said.append((self._clock.now(), line))

            habits = replace(self.habits, **self.images.habits.get(container.image, {}))
            container.program = Program(self._service, container.id, data, habits, say)

    def stop(self, machine_id: str) -> None:
        with self._change("stop", machine_id, takes=0.2):
            if machine_id in self.containers:
                self.kill(self.containers[machine_id], 143, by="runnerd")

    def remove(self, machine_id: str, force: bool) -> None:
        with self._change("remove", machine_id, takes=0.05):
            container = self.containers.get(machine_id)
            if container is None:
                return
            if container.status is MachineStatus.RUNNING and not force:
                raise ProviderError("it runs: stop it before")
            self.take_away(container, by="runnerd")

    def release(self, slot: str, wanted: Callable[[], bool]) -> bool:
        with self._change("release", slot):
            if wanted():
                return False
            self._rewrite(lambda text: without_slot(text, slot))
        return True

    def follow(self, tag: str, reference: str) -> None:
        with self._change("follow", tag):
            self._rewrite(lambda text: with_image(text, tag, reference))

    def _rewrite(self, change: Callable[[str], str]) -> None:
        try:
            replace_text(self.file, change(self.file.read_text(encoding="utf-8")))
        except OSError as exc:
            raise ProviderError(f"{self.file} could not be written: {exc.strerror}") from exc

    # What happens to containers

    def kill(self, container: Container, code: int, by: str, readable: bool = True) -> None:
        """It is stopped. `readable`: what it has said can be known afterwards."""
        if container.status is not MachineStatus.RUNNING:
            return
        self._history.add(STOPPED, container.id, slot=container.slot, by=by, working=container.working)
        self.die(container, code, readable=readable)

    def die(self, container: Container, code: int, oom: bool = False, readable: bool = True) -> None:
        """Its first process ends."""
        if container.program is not None:
            container.program.die(readable)
        container.oom = oom
        self._ended(container, code)

    def _ended(self, container: Container, code: int) -> None:
        container.status, container.exit_code, container.lost_docker = MachineStatus.DEAD, code, False
        self._history.add(DIED, container.id, code=code)
        self.on_change()

    def take_away(self, container: Container, by: str) -> None:
        """It is removed with its volume; `docker rm -f -v` if it runs."""
        self.kill(container, 137, by, readable=self.heard() and not (self.down or self.hangs))
        del self.containers[container.id]
        self.volumes.discard(container.id)
        self._history.add(REMOVED, container.id, slot=container.slot, by=by)
        self.on_change()

    def tick(self) -> None:
        """Let every program do what is due."""
        for container in self.running():
            program = container.program
            if program is None:
                if self._time.at >= container.waits_until:
                    self.die(container, 65)
                continue
            said = len(container.said)
            program.tick()
            if program.exit_code is not None:
                self._ended(container, program.exit_code)
            elif said != len(container.said):
                self.on_change()

    # Answering

    def _reach(self, patience: float) -> None:
        if self.hangs:
            self._time.passes(patience)
            raise ProviderDown("Docker does not answer: Read timed out.")
        if self.down:
            raise ProviderDown("Docker does not answer: Connection refused")

    @contextlib.contextmanager
    def _change(self, name: str, of: str, takes: float = 0.0) -> Iterator[None]:
        if name not in ("release", "follow"):
            self._reach(BOOT_LIMIT)
        if name in self.refuses:
            raise ProviderError(self.refuses[name])
        self.point(f"before docker {name}")
        self._time.passes(takes)
        yield
        self.point(f"after docker {name}")
