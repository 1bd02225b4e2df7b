# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control socket: one JSON object asked, one answered, over a UNIX socket that only root may open."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .settings import SettingsError

if TYPE_CHECKING:
    from .supervisor import Supervisor  # what it imports takes longer than the command `runnerd` has to

log = logging.getLogger("runnerd")

DEFAULT_SOCKET = Path("/run/runnerd/control.sock")
ANSWER_TIMEOUT = 90.0


class NoDaemon(Exception):
    """Nobody answers at the socket."""


class Refused(Exception):
    """The daemon answered that it could not."""


def ask(path: Path, command: str, **arguments: object) -> dict[str, Any]:
    """Send one command and return its answer.

    Raises:
        NoDaemon: no daemon answers.
        Refused: it says why it did not do it.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_TIMEOUT)
            sock.connect(str(path))
            sock.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            with sock.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError) as exc:
        raise NoDaemon(f"no runnerd answers at {path} ({exc}). Do: systemctl status runnerd") from exc
    if "error" in answer:
        raise Refused(answer["error"])
    return dict(answer)


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """Answers `status`, `reload`, `resume`, `pause`, `update`, `drain` and `shutdown`."""

    daemon_threads = True

    def __init__(self, path: Path, supervisor: Supervisor) -> None:
        """Listen at `path`; a socket left by a dead process is replaced (the journal's lock says that it is dead)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)
        finally:
            os.umask(before)
        self.supervisor = supervisor

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="control", daemon=True).start()


class _Handler(socketserver.StreamRequestHandler):
    server: ControlServer

    def handle(self) -> None:
        try:
            asked = json.loads(self.rfile.readline())
            answer = self._answer(asked)
        except (SettingsError, ValueError, KeyError, TypeError, TimeoutError, sqlite3.Error) as exc:
            answer = {"error": str(exc)}
        try:
            self.wfile.write(json.dumps(answer).encode() + b"\n")
        except OSError:
            log.info("control: the caller did not wait for its answer")

    def _answer(self, asked: dict[str, Any]) -> dict[str, object]:
        supervisor = self.server.supervisor
        command = asked["command"]
        if command == "status":
            if asked.get("refresh"):
                supervisor.refresh()
            return supervisor.current_status().as_json()
        if command == "reload":
            if supervisor.reload():
                return {}
        elif command == "resume":
            supervisor.resume()
        elif command == "update":
            supervisor.update()
        elif command == "pause":
            supervisor.pause()
        elif command == "drain":
            unknown = set(asked["slots"]) - {slot.slot for slot in supervisor.status.slots}
            if unknown:
                raise ValueError(f"no such slot: {', '.join(sorted(unknown))}. See: runnerd status")
            supervisor.drain(asked["slots"], asked["by"], asked["limit"])
        elif command == "shutdown":
            supervisor.shut_down()
        else:
            raise ValueError(f"no such command: {command}")
        supervisor.see_through()
        return {}
