# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine in a slot, made and destroyed: containers of one Compose project.

Compose owns the definition, the Engine's API does the rest. Measured for one slot: remove with volumes 32-47 ms,
`compose create` 50 ms, start 115-150 ms, attach and write under 1 ms.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import docker

from .clock import Clock
from .companion import (
    LABEL_ROLE,
    LABEL_WORK_FOLDER,
    Summary,
    WorkFolders,
    companions_of,
    has_lost_docker,
    is_companion,
    runner_of,
    spec_of,
)
from .composefile import with_image, without_slot
from .engine import DOCKER_FAILED, LOOK_TIMEOUT, Engine, first_line
from .images import EngineImages, Images
from .model import Machine, MachineStatus
from .project import Project
from .provider import Definition, Delivery, Found, ProviderDown, ProviderError
from .settings import ComposeSettings

LABEL_SLOT = "ephemeral.github-runners.slot"
LABEL_POOL = "ephemeral.github-runners.pool"
LABEL_SCOPE = "ephemeral.github-runners.scope"

_STATUS = {
    "created": MachineStatus.CREATED,
    "running": MachineStatus.RUNNING,
    "paused": MachineStatus.RUNNING,
    "restarting": MachineStatus.RUNNING,
    "exited": MachineStatus.DEAD,
    "dead": MachineStatus.DEAD,
}


class ComposeProvider:
    """Containers of one Compose project on the local engine."""

    def __init__(self, settings: ComposeSettings, clock: Clock, timeout: int | None = 120) -> None:
        """`timeout`: seconds for one call to Docker or Compose that changes something; None: no limit."""
        self.images: Images = EngineImages()
        self._label = f"com.docker.compose.project={settings.project}"
        self._timeout = timeout
        self._engine = Engine(clock, timeout)
        self._project = Project(settings, clock, timeout)
        self._work_folders = WorkFolders(settings.file.parent)

    # Reading

    def list(self) -> dict[str, Found]:
        """Every container of the project that carries a slot's label."""
        client = self._engine.client(LOOK_TIMEOUT)
        try:
            summaries = self._summaries(client)
            found: dict[str, Found] = {}
            for summary in summaries:
                labels = summary["Labels"]
                slot = labels[LABEL_SLOT]
                if not is_companion(summary):
                    machine = self._machine(client, summary, companions_of(summary["Id"], summaries))
                    found[slot] = Found(machine, labels.get(LABEL_POOL, ""), labels.get(LABEL_SCOPE, ""))
            for companion in filter(is_companion, summaries):
                # One whose runner was removed by hand is what is left of the slot's machine.
                left = Machine(MachineStatus.DEAD, companion["Id"])
                found.setdefault(companion["Labels"][LABEL_SLOT], Found(left))
            return found
        except DOCKER_FAILED as exc:
            raise ProviderDown(f"Docker does not answer: {first_line(exc)}") from exc

    def _summaries(self, client: docker.APIClient, slot: str = "") -> Sequence[dict[str, Any]]:
        """All containers of the project that belong to a slot, or to this one, as Docker lists them."""
        # Without what a person makes of a slot's service by `docker compose run`.
        wanted = [self._label, "com.docker.compose.oneoff=False", f"{LABEL_SLOT}={slot}" if slot else LABEL_SLOT]
        found: Sequence[dict[str, Any]] = client.containers(all=True, filters={"label": wanted})
        return found

    @staticmethod
    def _machine(client: docker.APIClient, summary: dict[str, Any], companions: Sequence[Summary]) -> Machine:
        status = _STATUS.get(summary["State"], MachineStatus.UNKNOWN)
        exit_code, oom_killed = None, False
        if status is MachineStatus.DEAD:
            try:
                state = client.inspect_container(summary["Id"])["State"]
            except docker.errors.NotFound:
                return Machine()
            except docker.errors.APIError:
                # One container that Docker cannot tell about must not blind us for the others.
                return Machine(MachineStatus.UNKNOWN, summary["Id"])
            exit_code, oom_killed = state["ExitCode"], state["OOMKilled"]
        spec = spec_of(*(one["Labels"].get("com.docker.compose.config-hash", "") for one in (summary, *companions[:1])))
        lost = status is MachineStatus.RUNNING and has_lost_docker(summary, companions)
        return Machine(status, summary["Id"], exit_code, oom_killed, spec, lost_docker=lost)

    def definition(self) -> Definition:
        """Read again only when the file has changed."""
        return self._project.definition()

    def changes(self) -> Iterator[str]:
        """The slot, for each start, death or removal of one of the project's containers."""
        return (labels.get(LABEL_SLOT, "") for labels in self._engine.changes([self._label]))

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        """By Docker's own time stamps."""
        return self._engine.output(machine_id, follow, since)

    # Changing

    def create(self, slot: str) -> str:
        """`docker compose create` of the slot's services, then its id; never one that was used before."""
        self._project.definition()  # it may take long, and others wait for the lock
        with self._project.lock:
            # A companion outlives a runner that is removed by hand, and Compose would take it for the new one's.
            self._discard(slot, lambda one, all_of_them: is_companion(one) and runner_of(one) not in all_of_them)
            try:
                self._project.create(slot)
            except ProviderError:
                self._discard(slot, lambda one, _all: bool(one["State"] == "created"))
                raise
            self._remove_old_externals()
        return self._made(slot)

    def _made(self, slot: str) -> str:
        """What Compose has made is as it should be, and its folder is there; its id."""
        try:
            found = [one for one in self._summaries(self._engine.client(LOOK_TIMEOUT), slot) if not is_companion(one)]
        except DOCKER_FAILED as exc:
            raise ProviderError(f"the container cannot be looked at: {first_line(exc)}") from exc
        if not found:
            raise ProviderError(f"Compose made no container for {slot}. Do: run the playbook again")
        if found[0]["State"] != "created":
            raise ProviderError(f"the container of {slot} is {found[0]['State']} already")
        try:
            self._work_folders.renew(slot, found[0]["Labels"].get(LABEL_WORK_FOLDER, ""))
        except OSError as exc:
            raise ProviderError(f"the work folder of {slot} could not be made: {exc}") from exc
        return str(found[0]["Id"])

    def _discard(self, slot: str, doomed: Callable[[Summary, set[str]], bool]) -> None:
        """Remove those of a slot's containers that nobody can use, given the ids of all."""
        client = self._engine.client()
        try:
            summaries = self._summaries(client, slot)
            ids = {one["Id"] for one in summaries}
            for one in summaries:
                if doomed(one, ids):
                    self._remove(client, one["Id"], force=True)
        except DOCKER_FAILED as exc:
            raise ProviderError(f"what is left in {slot} could not be removed: {first_line(exc)}") from exc

    def _remove_old_externals(self) -> None:
        """Remove the volumes with the `externals` of runner images that no container is of any more."""
        client = self._engine.client()
        with contextlib.suppress(*DOCKER_FAILED):
            filters = {"dangling": True, "label": [f"{LABEL_ROLE}=externals"]}
            for volume in client.volumes(filters=filters)["Volumes"] or []:
                client.remove_volume(volume["Name"])

    def start_and_deliver(self, machine_id: str, data: bytes) -> Delivery:
        """Attach to the standard input, start, write once."""
        client = self._engine.client()
        try:
            stream = client.attach_socket(machine_id, params={"stdin": 1, "stream": 1})
        except DOCKER_FAILED as exc:
            raise ProviderError(f"the container could not be attached to: {first_line(exc)}") from exc
        try:
            client.start(machine_id)
        except docker.errors.APIError as exc:
            # Docker answered: it did not start.
            _close(stream)
            raise ProviderError(f"the container could not be started: {first_line(exc)}") from exc
        except DOCKER_FAILED:
            _close(stream)
            return Delivery.UNKNOWN
        try:
            # Before the credential: if it cannot be started, nothing was handed out.
            self._start_companions(client, machine_id)
        except DOCKER_FAILED as exc:
            _close(stream)
            with contextlib.suppress(*DOCKER_FAILED):
                client.stop(machine_id, timeout=0)
            raise ProviderError(f"the runner's Docker could not be started: {first_line(exc)}") from exc
        try:
            raw: socket.socket = stream._sock  # the SDK hands out a read-only file object over the socket
            raw.settimeout(self._timeout)
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
        except OSError:
            return Delivery.UNKNOWN
        finally:
            _close(stream)
        return Delivery.SENT

    def _start_companions(self, client: docker.APIClient, machine_id: str) -> None:
        for companion in companions_of(machine_id, self._summaries(client)):
            client.start(companion["Id"])

    def stop(self, machine_id: str) -> None:
        """SIGTERM, the container's own grace period, SIGKILL."""
        client = self._engine.client()
        try:
            grace = client.inspect_container(machine_id)["Config"].get("StopTimeout")
            client.stop(machine_id, timeout=10 if grace is None else grace)
        except docker.errors.NotFound:
            return
        except DOCKER_FAILED as exc:
            raise ProviderError(f"the container could not be stopped: {first_line(exc)}") from exc

    def runs(self, machine_id: str) -> bool:
        """By Docker's own word."""
        try:
            return bool(self._engine.client(LOOK_TIMEOUT).inspect_container(machine_id)["State"]["Running"])
        except docker.errors.NotFound:
            return False
        except DOCKER_FAILED as exc:
            raise ProviderDown(f"Docker does not answer: {first_line(exc)}") from exc

    def remove(self, machine_id: str, force: bool) -> None:
        """The runner's container first: it decides whether it may go; what belongs to it follows."""
        client = self._engine.client()
        try:
            summaries = self._summaries(client)
            own = [one for one in summaries if one["Id"] == machine_id]
            self._remove(client, machine_id, force or any(is_companion(one) for one in own))
            for companion in companions_of(machine_id, summaries):
                self._remove(client, companion["Id"], force=True)
            for one in own:
                self._work_folders.remove(one["Labels"][LABEL_SLOT])
        except DOCKER_FAILED as exc:
            raise ProviderError(f"the container could not be removed: {first_line(exc)}") from exc
        except OSError as exc:
            raise ProviderError(f"the work folder could not be removed: {exc}") from exc

    @staticmethod
    def _remove(client: docker.APIClient, container_id: str, force: bool) -> None:
        """With `v=1`: Compose's own recreate leaks one anonymous volume each time (measured)."""
        with contextlib.suppress(docker.errors.NotFound):
            client.remove_container(container_id, v=True, force=force)

    def release(self, slot: str, wanted: Callable[[], bool]) -> bool:
        """Take the slot's block out of the Compose file."""
        kept = False

        def change(text: str) -> str:
            nonlocal kept
            kept = wanted()  # only now: the wait for the file may have been long
            return text if kept else without_slot(text, slot)

        self._project.rewrite(change)
        if kept:
            return False
        try:
            self._work_folders.remove(slot)
        except OSError as exc:
            raise ProviderError(f"the work folder of {slot} could not be removed: {exc}") from exc
        with self._project.lock:  # Compose makes a volume before the container that uses it
            self._remove_old_externals()
        return True

    def follow(self, tag: str, reference: str) -> None:
        """Write it into the Compose file."""
        self._project.rewrite(lambda text: with_image(text, tag, reference))


def _close(stream: Any) -> None:
    """Close an attached stream by the response that the SDK read it from, which would complain of a closed file."""
    response = getattr(stream, "_response", None)
    (stream if response is None else response).close()
