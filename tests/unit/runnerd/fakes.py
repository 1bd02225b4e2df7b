# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small world for the supervisor: a clock that is moved, containers and registrations in dictionaries, no threads.

The rules are Docker's and GitHub's own, as far as runnerd can see them. Nothing in here imports the code under test but
its words (`model`) and its interfaces.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner
from runnerd.broker import Minted
from runnerd.images import ImageError
from runnerd.model import Credential, Machine, MachineStatus, Output, Tri
from runnerd.provider import Definition, Delivery, Found, ProviderDown, ProviderError
from runnerd.settings import Pool

BLOB = base64.b64encode(json.dumps({".runner": base64.b64encode(b"{}").decode()}).encode()).decode()


class FakeClock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.offset = 1_700_000_000.0
        self.boot_id = "boot-1"

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at + self.offset


@dataclass
class Container:
    """One container, and what the program in it does."""

    id: str
    slot: str
    spec: str
    status: MachineStatus = MachineStatus.CREATED
    delivered: list[bytes] = field(default_factory=list)
    starts: int = 0
    jobs: list[str] = field(default_factory=list)
    worker: bool = False
    output: Output = field(default_factory=lambda: Output(readable=True))
    exit_code: int | None = None
    lost_docker: bool = False


class FakeImages:
    """What the tags mean here and at the registry, and what was done."""

    def __init__(self) -> None:
        self.here: dict[str, str] = {}
        self.registry: dict[str, str] = {}
        self.used: set[str] = set()
        self.error = ""
        self.pulls: list[str] = []
        self.discarded: list[str] = []

    def reference(self, image: str) -> str:
        return self.here.get(image, "")

    def pull(self, image: str) -> None:
        self.pulls.append(image)
        if self.error:
            raise ImageError(self.error)
        self.here[image] = self.registry[image]

    def discard(self, reference: str) -> bool:
        if reference in self.used:
            return False
        self.discarded.append(reference)
        return True


class FakeWorld:
    """Docker and GitHub in one, and a history of everything that was done to them."""

    def __init__(self, slots: Iterable[str], clock: FakeClock) -> None:
        self.clock = clock
        self.hashes = dict.fromkeys(slots, "spec-1")
        self.bad_file = ""  # why the Compose file cannot be read
        self.deaf = False  # Docker does not tell what is said
        self.containers: dict[str, Container] = {}
        self.registered: dict[int, Runner] = {}
        self.docker_up = True
        self.github: errors.GitHubError | None = None
        self.lose_answer = False
        self.fail_start = False
        self.fail_remove = False
        self.removals = 0
        self.released: list[str] = []
        self.requests: list[str] = []
        self.killed_busy: list[str] = []
        self.random = random.Random(1)
        self.images = FakeImages()
        self.file_images: dict[str, str] = {}  # tag that is followed -> image in the Compose file
        self.versions: dict[str, str] = {}  # slot -> version of the runner in its image
        self.version_ends: dict[str, float] = {}
        self.token_ends: float | None = None
        self._next = 0

    # Provider

    def list(self) -> dict[str, Found]:
        self._check_docker()
        return {
            c.slot: Found(
                Machine(c.status, c.id, c.exit_code, spec=c.spec, lost_docker=c.lost_docker), "default", "acme"
            )
            for c in self.containers.values()
        }

    def definition(self) -> Definition:
        if self.bad_file:
            return Definition(error=self.bad_file)
        follows = {tag: frozenset({reference}) for tag, reference in self.file_images.items()}
        return Definition(dict(self.hashes), images=frozenset(self.file_images.values()), follows=follows)

    def follow(self, tag: str, reference: str) -> None:
        self.file_images[tag] = reference
        self.hashes = dict.fromkeys(self.hashes, f"spec of {reference}")

    def create(self, slot: str) -> str:
        self._check_docker()
        if any(c.slot == slot for c in self.containers.values()):
            raise ProviderError("the name is taken")
        self._next += 1
        container = Container(f"{self._next:064x}"[::-1], slot, self.hashes[slot])
        self.containers[container.id] = container
        return container.id

    def start_and_deliver(self, machine_id: str, data: bytes) -> Delivery:
        self._check_docker()
        container = self.containers[machine_id]
        assert container.starts == 0, "a credential for a container that ran before"
        if self.fail_start:
            raise ProviderError("no such device")
        container.starts += 1
        container.status = MachineStatus.RUNNING
        container.delivered.append(data)
        return Delivery.SENT

    def stop(self, machine_id: str) -> None:
        self._check_docker()
        container = self.containers.get(machine_id)
        if container is None or container.status is not MachineStatus.RUNNING:
            return
        if container.worker:
            self.killed_busy.append(machine_id)
        self.die(container, 143)

    def remove(self, machine_id: str, force: bool) -> None:
        self._check_docker()
        self.removals += 1
        container = self.containers.get(machine_id)
        if self.fail_remove or (container and container.status is MachineStatus.RUNNING and not force):
            raise ProviderError("device or resource busy")
        self.containers.pop(machine_id, None)
        if container is not None and container.worker:
            self.killed_busy.append(machine_id)

    def runs(self, machine_id: str) -> bool:
        return machine_id in self.containers and self.containers[machine_id].status is MachineStatus.RUNNING

    def release(self, slot: str, wanted: Callable[[], bool]) -> bool:
        if wanted():
            return False
        self.released.append(slot)
        self.hashes.pop(slot, None)
        return True

    def changes(self) -> Iterator[str]:
        return iter(())

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        raise ProviderError("the tests give outputs by hand")

    def workers(self, machine_ids: Iterable[str]) -> dict[str, Tri]:
        return {i: Tri.YES if i in self.containers and self.containers[i].worker else Tri.NO for i in machine_ids}

    def _check_docker(self) -> None:
        if not self.docker_up:
            raise ProviderDown("Docker does not answer: no socket")

    # Broker

    def mint(self, pool: Pool, name: str) -> Minted:
        self.requests.append(f"POST {name}")
        if self.github is not None and not self.lose_answer:
            raise self.github  # pylint: disable=raising-bad-type  # a test sets it to an error
        if any(r.name == name for r in self.registered.values()):
            raise errors.Conflict("register", message="exists", status=409)
        self._next += 1
        self.registered[self._next] = Runner(self._next, name, "linux", "offline", False, pool.labels)
        if self.lose_answer:
            raise errors.Unreachable("register", message="cut", sent=True)
        return Minted(self._next, BLOB)

    def delete(self, scope: str, credential: str, runner_id: int) -> str:
        self.requests.append(f"DELETE {runner_id}")
        self._check_github()
        runner = self.registered.get(runner_id)
        if runner is not None and runner.busy:
            return "busy"
        self.registered.pop(runner_id, None)
        return "gone"

    def runners(self, scope: str, credential: str) -> list[Runner]:
        self.requests.append("GET runners")
        self._check_github()
        return list(self.registered.values())

    def find(self, scope: str, credential: str, name: str) -> Runner | None:
        self.requests.append(f"GET {name}")
        self._check_github()
        return next((r for r in self.registered.values() if r.name == name), None)

    def version_end(self, scope: str, credential: str, version: str) -> float | None:
        self.requests.append(f"GET version {version}")
        self._check_github()
        return self.version_ends.get(version)

    def credentials(self) -> tuple[Credential, ...]:
        return (Credential("default", "token", self.token_ends),)

    def _check_github(self) -> None:
        if self.github is not None:
            raise self.github

    # What runners and jobs do by themselves

    def running(self) -> list[Container]:
        return [c for c in self.containers.values() if c.status is MachineStatus.RUNNING]

    def runner_of(self, container: Container) -> Runner | None:
        return next((r for r in self.registered.values() if r.name.endswith(container.id[:12])), None)

    def listen(self, container: Container) -> None:
        runner = self.runner_of(container)
        if runner is not None:
            version = self.versions.get(container.slot)
            self._change(runner, status="online", version=version)
            container.output = _with(container.output, listening_at=self.clock.at, version=version or "")

    def take_job(self, container: Container, job: str, github_lags: bool = False) -> None:
        runner = self.runner_of(container)
        assert runner is not None
        self._change(runner, busy=not github_lags)
        container.jobs.append(job)
        container.worker = True
        container.output = _with(container.output, job=job, job_at=self.clock.at)

    def end_job(self, container: Container) -> None:
        container.worker = False
        container.output = _with(container.output, done_at=self.clock.at, result="Succeeded")
        self.forget(container)
        self.die(container, 0)

    def take_away(self, container: Container) -> None:
        """By hand, with its registration."""
        self.forget(container)
        del self.containers[container.id]

    def forget(self, container: Container) -> None:
        runner = self.runner_of(container)
        if runner is not None:
            del self.registered[runner.id]

    def die(self, container: Container, exit_code: int) -> None:
        container.status = MachineStatus.DEAD
        container.exit_code = exit_code
        container.worker = False
        container.output = _with(container.output, ended=True)
        runner = self.runner_of(container)
        if runner is not None:
            self._change(runner, status="offline", busy=False)

    def _change(self, runner: Runner, **changes: Any) -> None:
        values = {**runner.__dict__, **changes}
        self.registered[runner.id] = Runner(**values)


class FakeListener:
    """Hears what the world's containers say, a little after it was told to follow them."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.since: dict[str, float] = {}
        self.heard: dict[str, Output] = {}
        self.hurried: set[str] = set()

    def follow(self, machine_ids: Iterable[str]) -> None:
        self.since = {machine_id: self.since.get(machine_id, self.world.clock.at) for machine_id in machine_ids}
        for machine_id in self.heard.keys() - self.since.keys():
            del self.heard[machine_id]

    def hurry(self, machine_ids: Iterable[str]) -> None:
        self.hurried.update(machine_ids)

    def output(self, machine_id: str) -> Output:
        container = self.world.containers.get(machine_id)
        if self.world.clock.at < self.since.get(machine_id, float("inf")) + 1.0:
            return Output()
        if self.world.deaf:
            return _with(self.heard.get(machine_id, Output()), readable=False)
        if container is not None:
            self.heard[machine_id] = container.output
        return self.heard.get(machine_id, Output())


class Inline(Executor):
    """Carries out at once, in the caller's thread."""

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **options))
        except Exception as exc:
            future.set_exception(exc)
        return future


class Late(Inline):
    """Has no thread yet: nothing is carried out before `land`."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[Any], Any]] = []

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: function(*arguments, **options)))
        return future

    def land(self) -> int:
        """Carry out; how many there were."""
        waiting, self._waiting = self._waiting, []
        for future, call in waiting:
            future.set_result(call())
        return len(waiting)


def _with(output: Output, **changes: Any) -> Output:
    return Output(**{**output.__dict__, **changes})
