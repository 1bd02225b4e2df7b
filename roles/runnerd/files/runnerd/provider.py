# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making and destroying the machine in a slot: the interface, and Docker Compose behind it.

Compose owns the definition (so every Docker habit works), the Engine's API does the rest. Measured for one slot: remove
with volumes 32-47 ms, `compose create` 50 ms, start 115-150 ms, attach and write under 1 ms.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import docker
import requests
from urllib3.exceptions import HTTPError

from .clock import Clock
from .companion import (
    LABEL_ROLE,
    LABEL_WORK_FOLDER,
    Summary,
    WorkFolders,
    companion_service,
    companions_of,
    has_lost_docker,
    is_companion,
    runner_of,
    spec_of,
    specs,
)
from .composefile import images as images_in
from .composefile import replace_text, with_image, without_slot
from .images import EngineImages, Images
from .model import Machine, MachineStatus
from .settings import ComposeSettings

#: Seconds for a call of the loop that only looks; well below the watchdog's 60.
LOOK_TIMEOUT = 10
#: Seconds until a Compose file that could not be read is tried again.
DEFINITION_RETRY = 15.0
#: A line of output that is longer is cut: a job can write to the stream, and would fill our memory.
LONGEST_LINE = 64 * 1024

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


class ProviderError(Exception):
    """The machine could not be made, started or removed; the message is for people."""


class ProviderDown(ProviderError):
    """Docker did not answer: nothing is known."""


class Delivery(Enum):
    """Whether the credential reached a machine that was started."""

    SENT = "sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Found:
    """A container of ours, with what its labels say of it."""

    machine: Machine
    pool: str = ""
    scope: str = ""


@dataclass(frozen=True)
class Definition:
    """What the Compose file says: service -> Compose's hash of it; `error` if it cannot be used."""

    hashes: dict[str, str] = field(default_factory=dict)
    error: str = ""
    images: frozenset[str] = frozenset()  # all that it names
    follows: Mapping[str, frozenset[str]] = field(default_factory=dict)  # tag to follow -> what the file has for it


class Provider(Protocol):
    """What the supervisor and the effects need of a machine's maker."""

    images: Images

    def list(self) -> dict[str, Found]:
        """Every slot's machine, complete; raises ProviderDown otherwise."""

    def definition(self) -> Definition:
        """The wanted definition of every slot, as it is now."""

    def create(self, slot: str) -> str:
        """Make the slot's machine, unstarted; its id."""

    def start_and_deliver(self, machine_id: str, data: bytes) -> Delivery:
        """Start the machine and write `data` to its first process, once.

        Raises ProviderError if it never ran, or was stopped before it was told.
        """

    def stop(self, machine_id: str) -> None:
        """Ask the machine to end, then make it."""

    def remove(self, machine_id: str, force: bool) -> None:
        """Remove the machine and its anonymous volumes; fine if it is gone. One that runs only with `force`."""

    def runs(self, machine_id: str) -> bool:
        """Whether it runs; raises ProviderDown if that cannot be told."""

    def release(self, slot: str) -> None:
        """The slot has left and is empty: forget its definition."""

    def follow(self, tag: str, reference: str) -> None:
        """Let the definition have this image wherever it follows that tag."""

    def changes(self) -> Iterator[None]:
        """Yields when something happened to a machine; ends when Docker goes away."""

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        """The machine's output: when (steady seconds) and what, line by line.

        From `since` on, or a little earlier; until now, or with `follow` until the machine ends.
        """


class ComposeProvider:
    """Containers of one Compose project on the local engine."""

    def __init__(self, settings: ComposeSettings, clock: Clock, timeout: int | None = 120) -> None:
        """`timeout`: seconds for one call to Docker or Compose that changes something; None: no limit."""
        self.images: Images = EngineImages()
        self._settings = settings
        self._clock = clock
        self._timeout = timeout
        self._local = threading.local()
        # Compose makes the project's network with the first container; two at once would race. It takes 50 ms.
        self._compose_lock = threading.Lock()
        self._definition_stamp: tuple[int, int, int] | None = None
        self._definition = Definition(error="not read yet")
        self._definition_retry_at = 0.0
        self._services: frozenset[str] = frozenset()
        self._work_folders = WorkFolders(settings.file.parent)

    # Reading

    def list(self) -> dict[str, Found]:
        """Every container of the project that carries a slot's label."""
        client = self._client(LOOK_TIMEOUT)
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
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ProviderDown(f"Docker does not answer: {_first_line(exc)}") from exc

    def _summaries(self, client: docker.APIClient) -> Sequence[dict[str, Any]]:
        """All containers of the project that belong to a slot, as Docker lists them."""
        # Without what a person makes of a slot's service by `docker compose run`.
        wanted = [f"com.docker.compose.project={self._settings.project}", "com.docker.compose.oneoff=False", LABEL_SLOT]
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
        try:
            status = self._settings.file.stat()
        except OSError as exc:
            return Definition(error=f"{self._settings.file}: {exc.strerror}. Do: run the playbook again")
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        retry = bool(self._definition.error) and self._clock.now() >= self._definition_retry_at
        if stamp != self._definition_stamp or retry:
            try:
                lines = self._compose("config", "--hash", "*", timeout=LOOK_TIMEOUT).splitlines()
                named, follows = images_in(self._settings.file.read_text(encoding="utf-8"))
                hashes = dict(line.split(maxsplit=1) for line in lines if line.strip())
                self._services = frozenset(hashes)
                self._definition = Definition(specs(hashes), images=named, follows=follows)
            except (ProviderError, OSError, ValueError) as exc:
                self._definition = Definition(error=f"{exc}. Do: run the playbook again")
                self._definition_retry_at = self._clock.now() + DEFINITION_RETRY
            self._definition_stamp = stamp
        return self._definition

    def changes(self) -> Iterator[None]:
        """One for each event of the project's containers."""
        label = f"com.docker.compose.project={self._settings.project}"
        try:
            client = docker.APIClient(version="auto", timeout=None)  # type: ignore[arg-type]  # the SDK takes None: no limit
        except (docker.errors.DockerException, requests.RequestException):
            return
        try:
            for _dummy in client.events(decode=True, filters={"type": "container", "label": label}):
                yield
        except (docker.errors.DockerException, requests.RequestException, OSError):
            return
        finally:
            client.close()

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        """Standard output and error, with Docker's own time stamps, so that a restart loses no time limit."""
        limit = None if follow else self._timeout
        options: dict[str, Any] = {"stdout": True, "stderr": True, "stream": True, "timestamps": True, "follow": follow}
        if since:
            # Whole seconds, one earlier: a line that comes twice says the same.
            options["since"] = int(self._clock.wall() - (self._clock.now() - since)) - 1
        try:
            client = docker.APIClient(version="auto", timeout=limit)  # type: ignore[arg-type]  # the SDK takes None
            with contextlib.closing(client):
                # The SDK's own stream takes a torn connection for the end; the one within raises.
                for line in _lines(client.logs(machine_id, **options)._stream):
                    yield self._stamped(line)
        except (docker.errors.DockerException, requests.RequestException, HTTPError, OSError) as exc:
            raise ProviderDown(_first_line(exc)) from exc

    def _stamped(self, line: bytes) -> tuple[float, str]:
        """Split `2026-11-21T10:00:00.123456789Z text`."""
        stamp, _space, text = line.decode("utf-8", "replace").rstrip("\r").partition(" ")
        now = self._clock.now()
        whole, _dot, fraction = stamp.rstrip("Z").partition(".")
        try:
            said = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
            said += float(f"0.{fraction or 0}")
        except ValueError:
            return now, f"{stamp} {text}"
        return min(now - (self._clock.wall() - said), now), text

    # Changing

    def create(self, slot: str) -> str:
        """`docker compose create` of the slot's services, then its id; never one that was used before."""
        self.definition()
        services = [slot, *({companion_service(slot)} & self._services)]
        with self._compose_lock:
            # A companion outlives a runner that is removed by hand, and Compose would take it for the new one's.
            self._discard(slot, lambda one, all_of_them: is_companion(one) and runner_of(one) not in all_of_them)
            try:
                self._compose("create", "--no-recreate", "--pull", "never", *services)
            except ProviderError:
                self._discard(slot, lambda one, _all: bool(one["State"] == "created"))
                raise
            self._remove_old_externals()
        found = self.list().get(slot)
        if found is None:
            raise ProviderError(f"Compose made no container for {slot}. Do: run the playbook again")
        if found.machine.status is not MachineStatus.CREATED:
            raise ProviderError(f"the container of {slot} is {found.machine.status.value} already")
        self._renew_work_folder(slot, found.machine.id)
        return found.machine.id

    def _discard(self, slot: str, doomed: Callable[[Summary, set[str]], bool]) -> None:
        """Remove those of a slot's containers that nobody can use, given the ids of all."""
        client = self._client()
        try:
            summaries = self._summaries(client)
            ids = {one["Id"] for one in summaries}
            for one in summaries:
                if one["Labels"][LABEL_SLOT] == slot and doomed(one, ids):
                    self._remove(client, one["Id"], force=True)
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ProviderError(f"what is left in {slot} could not be removed: {_first_line(exc)}") from exc

    def _remove_old_externals(self) -> None:
        """Remove the volumes with the `externals` of runner images that no container is of any more."""
        client = self._client()
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            filters = {"dangling": True, "label": [f"{LABEL_ROLE}=externals"]}
            for volume in client.volumes(filters=filters)["Volumes"] or []:
                client.remove_volume(volume["Name"])

    def _renew_work_folder(self, slot: str, machine_id: str) -> None:
        try:
            labels = self._client().inspect_container(machine_id)["Config"]["Labels"]
            self._work_folders.renew(slot, labels.get(LABEL_WORK_FOLDER, ""))
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ProviderError(f"the container cannot be looked at: {_first_line(exc)}") from exc
        except OSError as exc:
            raise ProviderError(f"the work folder of {slot} could not be made: {exc}") from exc

    def start_and_deliver(self, machine_id: str, data: bytes) -> Delivery:
        """Attach to the standard input, start, write once."""
        client = self._client()
        try:
            stream = client.attach_socket(machine_id, params={"stdin": 1, "stream": 1})
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ProviderError(f"the container could not be attached to: {_first_line(exc)}") from exc
        try:
            client.start(machine_id)
        except docker.errors.APIError as exc:
            # Docker answered: it did not start.
            _close(stream)
            raise ProviderError(f"the container could not be started: {_first_line(exc)}") from exc
        except (docker.errors.DockerException, requests.RequestException):
            _close(stream)
            return Delivery.UNKNOWN
        try:
            # Before the credential: if it cannot be started, nothing was handed out.
            self._start_companions(client, machine_id)
        except (docker.errors.DockerException, requests.RequestException) as exc:
            _close(stream)
            with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
                client.stop(machine_id, timeout=0)
            raise ProviderError(f"the runner's Docker could not be started: {_first_line(exc)}") from exc
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
        client = self._client()
        try:
            grace = client.inspect_container(machine_id)["Config"].get("StopTimeout")
            client.stop(machine_id, timeout=10 if grace is None else grace)
        except docker.errors.NotFound:
            return
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ProviderError(f"the container could not be stopped: {_first_line(exc)}") from exc

    def runs(self, machine_id: str) -> bool:
        """By Docker's own word."""
        try:
            return bool(self._client(LOOK_TIMEOUT).inspect_container(machine_id)["State"]["Running"])
        except docker.errors.NotFound:
            return False
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ProviderDown(f"Docker does not answer: {_first_line(exc)}") from exc

    def remove(self, machine_id: str, force: bool) -> None:
        """The runner's container first: it decides whether it may go; what belongs to it follows."""
        client = self._client()
        try:
            summaries = self._summaries(client)
            own = [one for one in summaries if one["Id"] == machine_id]
            self._remove(client, machine_id, force or any(is_companion(one) for one in own))
            for companion in companions_of(machine_id, summaries):
                self._remove(client, companion["Id"], force=True)
            for one in own:
                self._work_folders.remove(one["Labels"][LABEL_SLOT])
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ProviderError(f"the container could not be removed: {_first_line(exc)}") from exc
        except OSError as exc:
            raise ProviderError(f"the work folder could not be removed: {exc}") from exc

    @staticmethod
    def _remove(client: docker.APIClient, container_id: str, force: bool) -> None:
        """With `v=1`: Compose's own recreate leaks one anonymous volume each time (measured)."""
        with contextlib.suppress(docker.errors.NotFound):
            client.remove_container(container_id, v=True, force=force)

    def release(self, slot: str) -> None:
        """Take the slot's block out of the Compose file."""
        self._rewrite(lambda text: without_slot(text, slot))
        try:
            self._work_folders.remove(slot)
        except OSError as exc:
            raise ProviderError(f"the work folder of {slot} could not be removed: {exc}") from exc
        with self._compose_lock:  # Compose makes a volume before the container that uses it
            self._remove_old_externals()

    def follow(self, tag: str, reference: str) -> None:
        """Write it into the Compose file."""
        self._rewrite(lambda text: with_image(text, tag, reference))

    def _rewrite(self, change: Callable[[str], str]) -> None:
        with self._compose_lock:
            path: Path = self._settings.file
            try:
                text = path.read_text(encoding="utf-8")
                changed = change(text)
                if changed != text:
                    replace_text(path, changed)
            except OSError as exc:
                raise ProviderError(f"{path} could not be written: {exc.strerror}") from exc

    # Talking

    def _client(self, timeout: int | None = None) -> docker.APIClient:
        """One client a thread and time limit: the SDK's is a requests session, which is not for sharing."""
        timeout = timeout or self._timeout
        clients: dict[int | None, docker.APIClient] = self._local.__dict__.setdefault("clients", {})
        if timeout not in clients:
            try:
                # The SDK's annotation lacks None, which it takes, and which means that there is no limit.
                client = docker.APIClient(version="auto", timeout=timeout)  # type: ignore[arg-type]  # see above
                # The SDK would keep a connection open for each address that it has asked, up to 25 (measured).
                client.headers["Connection"] = "close"
                clients[timeout] = client
            except (docker.errors.DockerException, requests.RequestException) as exc:
                raise ProviderDown(f"Docker does not answer: {_first_line(exc)}") from exc
        return clients[timeout]

    def _compose(self, *arguments: str, timeout: int | None = None) -> str:
        timeout = timeout or self._timeout
        settings = self._settings
        command = ["docker", "compose", "--ansi", "never", "-p", settings.project, "-f", str(settings.file)]
        command += ["--profile", settings.profile, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as exc:
            raise ProviderError(f"docker compose {arguments[0]} did not end within {timeout} s") from exc
        except OSError as exc:
            raise ProviderError(f"docker cannot be run: {exc.strerror}") from exc
        if done.returncode != 0:
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise ProviderError(said[-1] if said else f"docker compose {arguments[0]} failed")
        return done.stdout


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in a stream of chunks; what is too long of a line is dropped."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line[:LONGEST_LINE]
        rest = rest[:LONGEST_LINE]
    if rest:
        yield rest


def _close(stream: Any) -> None:
    """Close an attached stream by the response that the SDK read it from, which would complain of a closed file."""
    response = getattr(stream, "_response", None)
    (stream if response is None else response).close()


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
