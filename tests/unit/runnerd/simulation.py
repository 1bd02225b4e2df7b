# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A runner host without Docker whose clock, and GitHub's with it, can be moved by days.

GitHub is the double, spoken to over HTTP; runnerd's parts are the real ones. What is made up are Docker, its registry,
and the program in a container: it opens a real session with the files that it was handed, and takes real jobs.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from runnerd.broker import GitHubBroker
from runnerd.clock import iso
from runnerd.gates import Gates
from runnerd.images import ImageError
from runnerd.journal import Journal
from runnerd.model import Machine, MachineStatus, Tri
from runnerd.provider import Definition, Delivery, Found, ProviderError
from runnerd.settings import load_settings
from runnerd.supervisor import Supervisor
from tests.contract.client import Runner
from tests.doubles.github.server import Double

TAG = "registry.example/runner:latest"
SCOPE, REPOSITORY = "my-org", "my-org/app"
#: Real seconds for what takes none on a host: a registration, a session, a job's end. Only a broken test waits so long.
PATIENCE = 30.0


def reference(version: str) -> str:
    """The image with this version of the runner."""
    return f"registry.example/runner@sha256:{version}"


class SimClock:
    """Both of runnerd's clocks, and GitHub's, together ahead of real time."""

    boot_id = "boot-1"

    def __init__(self, double: Double) -> None:
        self._double = double
        self._ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self._ahead

    def wall(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._double.admin.advance(seconds)
        self._ahead += seconds


class Registry:
    """The local images, and a registry whose tag moves with the releases."""

    def __init__(self, version: str) -> None:
        self.newest = version
        self.reachable = True
        self.used: set[str] = set()
        self.tags = {TAG: reference(version)}
        self.local = {reference(version)}

    def reference(self, image: str) -> str:
        return self.tags.get(image, "")

    def pull(self, image: str) -> None:
        if not self.reachable:
            raise ImageError("dial tcp: i/o timeout")
        self.tags[image] = reference(self.newest)
        self.local.add(self.tags[image])

    def discard(self, reference: str) -> bool:
        if reference in self.used:
            return False
        self.local.discard(reference)
        return True


class Container:
    """A container with the runner program in it."""

    def __init__(self, number: int, slot: str, spec: str, version: str, clock: SimClock) -> None:
        self.id = f"{number:064x}"[::-1]
        self.slot = slot
        self.spec = spec
        self.version = version
        self.status = MachineStatus.CREATED
        self.exit_code: int | None = None
        self.jobs: list[int] = []
        self.updates: list[str] = []  # versions that it was told to become
        self.killed_at_work = False
        self.working = False
        self.finish = threading.Event()
        self.trouble: BaseException | None = None
        self._clock = clock
        self._lines: list[tuple[float, str]] = []
        self._news = threading.Condition()

    def start(self, files: dict[str, str]) -> None:
        self.status = MachineStatus.RUNNING
        blob = base64.b64encode(json.dumps(files).encode()).decode()
        threading.Thread(target=self._main, args=(Runner(blob),), name=f"container {self.id[:12]}", daemon=True).start()

    def stop(self) -> None:
        self.killed_at_work = self.working
        self._die(143)

    def output(self, follow: bool) -> Iterator[tuple[float, str]]:
        at = 0
        while True:
            with self._news:
                lines, at = self._lines[at:], len(self._lines)
                if not lines:
                    if not follow or self.status is MachineStatus.DEAD:
                        return
                    self._news.wait(1)
            yield from lines

    def _say(self, line: str) -> None:
        with self._news:
            self._lines.append((self._clock.now(), line))
            self._news.notify_all()

    def _die(self, code: int) -> None:
        with self._news:
            if self.status is MachineStatus.RUNNING:
                self.status, self.exit_code = MachineStatus.DEAD, code
            self._news.notify_all()

    def _main(self, runner: Runner) -> None:
        try:
            self._die(self._listen(runner))
        except BaseException as exc:
            self.trouble = exc
            self._die(1)
        finally:
            runner.close()

    def _listen(self, runner: Runner) -> int:
        """What actions/runner does, as far as it can be seen from outside; the exit code."""
        self._say(f"Current runner version: '{self.version}'")
        runner.token = runner.ask_token().json()["access_token"]
        answer = runner.ask_session(self.version, disableUpdate=runner.settings["DisableUpdate"])
        if answer.status_code == 403:
            self._say(f"An error occurred: Runner version v{self.version} is deprecated and cannot receive messages.")
            return 7
        assert answer.status_code == 200, answer.text
        runner.session = answer.json()["sessionId"]
        self._say(f"{iso(self._clock.wall()).replace('T', ' ')}: Listening for Jobs")
        while self.status is MachineStatus.RUNNING:
            answer = self._ask(runner, "GET", f"/message?sessionId={runner.session}")
            if answer.status_code == 404:
                self._say("The runner registration has been deleted from the server, please re-configure.")
                return 0
            assert answer.status_code in (200, 202), answer.text
            if answer.status_code == 202:
                continue
            message = answer.json()
            if message["messageType"] == "RunnerJobRequest":
                return self._job(runner, message["body"])
            self.updates.append(str(message["body"]))
        return 0

    def _job(self, runner: Runner, job: dict[str, Any]) -> int:
        number = int(job["id"])
        assert self._ask(runner, "POST", f"/jobs/{number}/acknowledge").status_code == 200
        self.jobs.append(number)
        self.working = True
        self._say(f"{iso(self._clock.wall()).replace('T', ' ')}: Running job: {job['name']}")
        while not self.finish.wait(2):
            assert self._ask(runner, "POST", f"/jobs/{number}/renew").status_code == 200
        assert self._ask(runner, "POST", f"/jobs/{number}/complete", {"result": "Succeeded"}).status_code == 204
        self._say(f"{iso(self._clock.wall()).replace('T', ' ')}: Job {job['name']} completed with result: Succeeded")
        self.working = False
        return 0

    @staticmethod
    def _ask(runner: Runner, method: str, path: str, body: object = None) -> requests.Response:
        """With a new access token when the old one has ended, which is soon where days pass in seconds."""
        for _attempt in range(5):
            answer = runner.call(method, path, body)
            if answer.status_code != 401:
                return answer
            runner.token = runner.ask_token().json().get("access_token", "")
            if not runner.token:
                answer.status_code = 404
                return answer
        return answer


class Engine:
    """Docker, as far as runnerd needs it, and the Compose file."""

    def __init__(self, slots: Iterable[str], version: str, clock: SimClock) -> None:
        self.images = Registry(version)
        self.clock = clock
        self.slots = list(slots)
        self.image = reference(version)  # in the Compose file, where it follows TAG
        self.containers: dict[str, Container] = {}
        self.all: list[Container] = []
        self._lock = threading.RLock()

    def list(self) -> dict[str, Found]:
        with self._lock:
            return {
                c.slot: Found(Machine(c.status, c.id, c.exit_code, spec=c.spec), "default", SCOPE)
                for c in self.containers.values()
            }

    def definition(self) -> Definition:
        image = self.image
        hashes = dict.fromkeys(self.slots, f"spec of {image}")
        return Definition(hashes, images=frozenset({image}), follows={TAG: frozenset({image})})

    def follow(self, tag: str, reference: str) -> None:
        assert tag == TAG
        self.image = reference

    def create(self, slot: str) -> str:
        with self._lock:
            if any(container.slot == slot for container in self.containers.values()):
                raise ProviderError("the name is taken")
            if self.image not in self.images.local:
                raise ProviderError(f"No such image: {self.image}")
            version = self.image.rpartition(":")[2]
            container = Container(len(self.all) + 1, slot, f"spec of {self.image}", version, self.clock)
            self.containers[container.id] = container
            self.all.append(container)
            self._count_images()
            return container.id

    def start_and_deliver(self, machine_id: str, data: bytes) -> Delivery:
        *lines, end = data.decode("ascii").splitlines()
        assert end == "end"
        self.containers[machine_id].start(dict(line.split(" ", 1) for line in lines))
        return Delivery.SENT

    def stop(self, machine_id: str) -> None:
        if container := self.containers.get(machine_id):
            container.stop()

    def remove(self, machine_id: str, force: bool) -> None:
        with self._lock:
            container = self.containers.get(machine_id)
            if container is not None and container.status is MachineStatus.RUNNING and not force:
                raise ProviderError("it runs")
            self.containers.pop(machine_id, None)
            self._count_images()

    def runs(self, machine_id: str) -> bool:
        container = self.containers.get(machine_id)
        return container is not None and container.status is MachineStatus.RUNNING

    def release(self, slot: str) -> None:
        self.slots.remove(slot)

    def changes(self) -> Iterator[None]:
        return iter(())

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        container = self.containers.get(machine_id)
        return container.output(follow) if container else iter(())

    def workers(self, machine_ids: Iterable[str]) -> dict[str, Tri]:
        found = {machine_id: self.containers.get(machine_id) for machine_id in machine_ids}
        return {i: Tri.YES if container and container.working else Tri.NO for i, container in found.items()}

    def running(self) -> dict[str, Container]:
        """Slot -> its container, if it runs."""
        with self._lock:
            return {c.slot: c for c in self.containers.values() if c.status is MachineStatus.RUNNING}

    def _count_images(self) -> None:
        self.images.used = {reference(container.version) for container in self.containers.values()}


class Simulation:
    """A host with its runnerd, and GitHub."""

    def __init__(
        self, folder: Path, double: Double, credential: Mapping[str, str], version: str, slots: int = 3
    ) -> None:
        self.double = double
        self.clock = SimClock(double)
        self.names = [f"runner-{number}" for number in range(1, slots + 1)]
        self.engine = Engine(self.names, version, self.clock)
        self.folder = folder
        self.file = folder / "settings.json"
        pool = {"name": "default", "scope": SCOPE, "labels": ["self-hosted"], "slots": self.names, "name_prefix": "h"}
        compose = {"file": str(folder / "docker-compose.yml")}
        self.file.write_text(json.dumps({"schema": 1, "version": "1", "compose": compose, "pools": [pool]}))
        self.begun = self.clock.wall()
        self.short_of_runners = 0.0  # simulated seconds in which not all were online
        self.longest = 0.0
        self.start(credential)

    def start(self, credential: Mapping[str, str]) -> None:
        """runnerd starts with this credential, on the journal that is there."""
        self.journal = Journal(self.folder / "state", self.clock, "machine")
        settings = load_settings(self.file)
        object.__setattr__(settings.github, "api_url", self.double.api_url)  # the file may say https only
        gates = Gates(self.journal, self.clock)
        self.broker = GitHubBroker(settings.github, {"default": credential}, "simulation", gates, now=self.clock.wall)
        self.executor = ThreadPoolExecutor(8)
        self.supervisor = Supervisor(
            self.file,
            settings,
            self.journal,
            self.engine,
            self.broker,
            gates,
            self.clock,
            self.executor,
            self.engine.workers,
        )

    def restart(self, credential: Mapping[str, str]) -> None:
        """As systemd does for a new credential: runnerd ends after the effect in hand, and starts anew."""
        self.executor.shutdown(wait=True, cancel_futures=True)
        self.supervisor.observer.listener.follow([])
        self.journal.close()
        self.start(credential)

    @property
    def day(self) -> float:
        """Days since the beginning."""
        return (self.clock.wall() - self.begun) / 86400

    def online(self) -> int:
        """How many runners GitHub has online, by its own books."""
        return sum(one["status"] == "online" and not one["gone"] for one in self.double.admin.state()["runners"])

    def settle(self, turnaround: float = 60.0) -> None:
        """Go on, second by second, until all slots hold a runner of the present definition (or a busy one)."""
        begun, deadline = self.clock.now(), time.monotonic() + PATIENCE
        while True:
            self.supervisor.round()
            time.sleep(0.002)
            while (
                any(not flight.done() for flight in list(self.supervisor._flights._flights.values()))
                and time.monotonic() < deadline
            ):
                time.sleep(0.002)
            self.supervisor.round()
            if self._settled():
                break
            assert time.monotonic() < deadline, f"day {self.day:.2f}: {self.supervisor.current_status().as_json()}"
            self.clock.advance(1)
        took = self.clock.now() - begun
        if took > 5:
            self.short_of_runners += took
            self.longest = max(self.longest, took)
        assert took <= turnaround, f"day {self.day:.2f}: it took {took:.0f} s until all were online again"

    def _settled(self) -> bool:
        slots = self.supervisor.status.slots
        at_rest = all(slot.state == "busy" or (slot.state == "idle" and not slot.leaving) for slot in slots)
        updating = any(image.updating for image in self.supervisor.status.images)
        return at_rest and not updating and len(slots) == len(self.names) == self.online()
