# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local Docker Engine: one client a thread and time limit, what happens to containers, and what they say."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import docker
import requests
from urllib3.exceptions import HTTPError

from .clock import Clock
from .provider import ProviderDown

#: Seconds for a call of the loop that only looks; well below the watchdog's 60.
LOOK_TIMEOUT = 10
#: A line of output that is longer is cut: a job can write to the stream, and would fill our memory.
LONGEST_LINE = 64 * 1024
#: How the SDK says that Docker did not do it, or did not answer.
DOCKER_FAILED = (docker.errors.DockerException, requests.RequestException)


class Engine:
    """Docker on this host. Calls of the clients that it hands out raise one of `DOCKER_FAILED`."""

    def __init__(self, clock: Clock, timeout: int | None) -> None:
        """`timeout`: seconds for one call that changes something; None: no limit."""
        self._clock = clock
        self._timeout = timeout
        self._local = threading.local()
        self._version = ""  # of the API; empty: not asked since Docker came

    def client(self, timeout: int | None = None) -> docker.APIClient:
        """One a thread and time limit: the SDK's is a requests session, which is not for sharing.

        Raises ProviderDown.
        """
        timeout = timeout or self._timeout
        clients: dict[tuple[int | None, str], docker.APIClient] = self._local.__dict__.setdefault("clients", {})
        client = clients.get((timeout, self._version))
        if client is None:
            try:
                client = self._connect(timeout)
            except DOCKER_FAILED as exc:
                raise ProviderDown(f"Docker does not answer: {first_line(exc)}") from exc
            # The SDK would keep a connection open for each address that it has asked, up to 25 (measured).
            client.headers["Connection"] = "close"
            clients[timeout, client.api_version] = client
        else:
            # It also keeps a pool for each address, an empty one now, though no two containers have one in common.
            client.close()
        return client

    def _connect(self, timeout: int | None) -> docker.APIClient:
        """`timeout`: seconds for each call; None: no limit."""
        # The version is asked once: to tell it, Docker starts two programs, and takes 8 ms (measured).
        known = self._version
        options: dict[str, Any] = {"version": known or "auto", "timeout": timeout}
        client = docker.APIClient(**options)
        if not known:
            self._version = client.api_version
        return client

    def changes(self, labels: Iterable[str]) -> Iterator[Mapping[str, str]]:
        """The labels and the name, for each start, death or removal of a container with these labels.

        Ends when Docker goes away.
        """
        # Not for what is no news to the loop: what it makes itself, and the commands of a companion's health check.
        filters: dict[str, Any] = {"type": "container", "label": list(labels), "event": ["start", "die", "destroy"]}
        try:
            with contextlib.suppress(*DOCKER_FAILED, OSError), contextlib.closing(self._connect(None)) as client:
                for event in client.events(decode=True, filters=filters):
                    yield event["Actor"]["Attributes"]
        finally:
            self._version = ""  # it may come back as another one

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        """Standard output and error, with Docker's own time stamps, so that a restart loses no time limit.

        Raises ProviderDown.
        """
        options: dict[str, Any] = {"stdout": True, "stderr": True, "stream": True, "timestamps": True, "follow": follow}
        if since:
            # Whole seconds, one earlier: a line that comes twice says the same.
            options["since"] = int(self._clock.wall() - (self._clock.now() - since)) - 1
        try:
            with contextlib.closing(self._connect(None if follow else self._timeout)) as client:
                # The SDK's own stream takes a torn connection for the end; the one within raises.
                for line in _lines(client.logs(machine_id, **options)._stream):
                    yield self._stamped(line)
        except (*DOCKER_FAILED, HTTPError, OSError) as exc:
            raise ProviderDown(first_line(exc)) from exc

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


def first_line(exc: BaseException) -> str:
    """What a person needs of a long complaint."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
