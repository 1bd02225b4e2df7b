# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Compose project: what its file says by Compose's own reading, and how it is changed. Every Docker habit works."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Sequence

from .clock import Clock
from .companion import companion_service, specs
from .composefile import images, replace_text
from .engine import LOOK_TIMEOUT
from .provider import Definition, ProviderError
from .settings import ComposeSettings

COMPOSE = ("docker", "compose")
#: Asks the Docker CLI which program its `docker compose` is.
WHERE = ("docker", "info", "--format", '{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}')
#: Seconds for the answer: the CLI asks each of its plugins for its name first.
WHERE_TIMEOUT = 5
#: Seconds until a Compose file that could not be read is tried again.
DEFINITION_RETRY = 15.0


class _Refused(ProviderError):
    """Compose ran, and did not do it."""


class Project:
    """One Compose file, and `docker compose` on it."""

    def __init__(self, settings: ComposeSettings, clock: Clock, timeout: int | None) -> None:
        """`timeout`: seconds for one call that changes something; None: no limit."""
        self._settings = settings
        self._clock = clock
        self._timeout = timeout
        #: Held by who changes the file, or lets Compose make something: it makes the project's network with the first
        #: container, and two at once would race. That takes 50 ms.
        self.lock = threading.Lock()
        self._reading = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._definition = Definition(error="not read yet")
        self._retry_at = 0.0
        self._services: frozenset[str] = frozenset()
        self._program: Sequence[str] = ()  # with which Compose makes containers; not known since the file was read

    def definition(self) -> Definition:
        """Read again only when the file has changed; by one thread for all that wait."""
        with self._reading:
            return self._read()

    def _read(self) -> Definition:
        try:
            status = self._settings.file.stat()
        except OSError as exc:
            return Definition(error=f"{self._settings.file}: {exc.strerror}. Do: run the playbook again")
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        retry = bool(self._definition.error) and self._clock.now() >= self._retry_at
        if stamp != self._stamp or retry:
            try:
                self._program = ()  # a newer Compose may have been installed, too
                lines = self._run(COMPOSE, "config", "--hash", "*", timeout=LOOK_TIMEOUT).splitlines()
                named, follows = images(self._settings.file.read_text(encoding="utf-8"))
                hashes = dict(line.split(maxsplit=1) for line in lines if line.strip())
                self._services = frozenset(hashes)
                self._definition = Definition(specs(hashes), images=named, follows=follows)
            except (ProviderError, OSError, ValueError) as exc:
                self._definition = Definition(error=f"{exc}. Do: run the playbook again")
                self._retry_at = self._clock.now() + DEFINITION_RETRY
            self._stamp = stamp
        return self._definition

    def create(self, slot: str) -> None:
        """Make the containers of a slot's services, unstarted, by the definition read last. With the lock."""
        services = [slot, *({companion_service(slot)} & self._services)]
        command = ("create", "--no-recreate", "--pull", "never", *services)
        self._program = self._program or _own_program()
        try:
            self._run(self._program, *command)
        except (OSError, _Refused):  # an upgrade took it elsewhere, or it cannot do without the CLI
            if self._program == COMPOSE:
                raise
            self._run(COMPOSE, *command)
            self._program = COMPOSE

    def rewrite(self, change: Callable[[str], str]) -> None:
        """Change the file's text, in one step."""
        with self.lock:
            path = self._settings.file
            try:
                text = path.read_text(encoding="utf-8")
                changed = change(text)
                if changed != text:
                    replace_text(path, changed)
            except OSError as exc:
                raise ProviderError(f"{path} could not be written: {exc.strerror}") from exc

    def _run(self, program: Sequence[str], *arguments: str, timeout: int | None = None) -> str:
        """Raises OSError only if it is another program than the CLI that cannot be run."""
        timeout = timeout or self._timeout
        settings = self._settings
        command = [*program, "--ansi", "never", "-p", settings.project, "-f", str(settings.file)]
        command += ["--profile", settings.profile, *arguments]
        try:
            done = _call(command, timeout)
        except subprocess.TimeoutExpired as exc:
            raise ProviderError(f"docker compose {arguments[0]} did not end within {timeout} s") from exc
        except OSError as exc:
            if program != COMPOSE:
                raise
            raise ProviderError(f"docker cannot be run: {exc.strerror}") from exc
        if done.returncode != 0:
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise _Refused(said[-1] if said else f"docker compose {arguments[0]} failed")
        return done.stdout


def _own_program() -> Sequence[str]:
    """Compose by itself: `docker compose` starts three programs in turn, and takes 50 ms more (measured)."""
    try:
        told = _call(WHERE, WHERE_TIMEOUT).stdout.strip()
    except (subprocess.TimeoutExpired, OSError):
        return COMPOSE
    return [told] if told.startswith("/") and os.access(told, os.X_OK) else COMPOSE


def _call(command: Sequence[str], timeout: int | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
