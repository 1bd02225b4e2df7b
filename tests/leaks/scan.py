# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Search a machine for canaries: this one, or a host of the lab."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.lab.common import Problem
from tests.lab.host import Host
from tests.leaks import search
from tests.leaks.canaries import Canary, needles

#: What is searched: a name for the report -> a function of `search.PLACES` and its arguments.
Places = Mapping[str, tuple[str, ...]]
PROGRAM = Path(search.__file__)


@dataclass(frozen=True, order=True)
class Finding:
    """A canary where none may be."""

    place: str
    where: str
    canary: str
    form: str

    def __str__(self) -> str:
        return f"{self.place}: {self.where}: {self.canary} ({self.form})"


@dataclass(frozen=True)
class Report:
    """What a scan found.

    Attributes:
        findings: each canary once for everything that it is in and every form it has there.
        unread: what could not be searched, and why. A scan with any is not clean.
        looked: how many things were searched in each place.
        seconds: how long that took.
    """

    findings: list[Finding]
    unread: list[str] = field(default_factory=list)
    looked: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Machine(Protocol):
    """Where the program can be run."""

    def search(self, request: str) -> str:
        """Run the program with a request and return its report."""

    def watching(self) -> contextlib.AbstractContextManager[str]:
        """Watch the processes for as long as the context lasts; the file that has them, gone with the context."""


class Here:
    """This machine, which is the control node. `folder`: for the program's own files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def search(self, request: str) -> str:
        """See `Machine`."""
        path = self._folder / f"request-{secrets.token_hex(4)}"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(request)
        done = subprocess.run(
            [sys.executable, "-I", str(PROGRAM), str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode:
            raise Problem(f"The search ended with {done.returncode}:\n{done.stderr.decode(errors='replace')[-2000:]}")
        return done.stdout.decode()

    @contextlib.contextmanager
    def watching(self) -> Iterator[str]:
        """See `Machine`."""
        path = self._folder / f"watch-{secrets.token_hex(4)}"
        with subprocess.Popen([sys.executable, "-I", str(PROGRAM), "watch", str(path)]) as process:
            try:
                yield str(path)
            finally:
                process.kill()
                path.unlink(missing_ok=True)


class OnHost:
    """A host of the lab."""

    #: Where the program is laid. On a host nobody else writes there.
    FOLDER = "/var/lib/leak-scan"

    def __init__(self, host: Host) -> None:
        self._host = host
        host.exec("mkdir", "-p", "-m", "0700", self.FOLDER)
        host.write(f"{self.FOLDER}/search.py", PROGRAM.read_bytes())

    def search(self, request: str) -> str:
        """See `Machine`."""
        path = f"{self.FOLDER}/request"
        self._host.write(path, request, 0o600)
        return self._host.exec("python3", "-I", f"{self.FOLDER}/search.py", path, timeout=300).stdout

    @contextlib.contextmanager
    def watching(self) -> Iterator[str]:
        """See `Machine`."""
        path = f"{self.FOLDER}/watch-{secrets.token_hex(4)}"
        script = f"python3 -I {self.FOLDER}/search.py watch {path} >/dev/null 2>&1 & echo $!"
        pid = self._host.exec("sh", "-c", script).stdout.strip()
        try:
            yield path
        finally:
            self._host.exec("kill", "-KILL", pid)
            self._host.exec("rm", "-f", path)


def scan(machine: Machine, places: Places, canaries: Iterable[Canary]) -> Report:
    """Search a machine.

    Args:
        machine: which.
        places: where on it.
        canaries: for what.

    Raises:
        Problem: the search itself failed.
    """
    texts = needles(canaries)
    known = list(texts.items())
    request = {"needles": [text.decode() for text, _needle in known], "places": places}
    told = json.loads(machine.search(json.dumps(request)))
    findings = {
        Finding(place, where, known[number][1].canary, known[number][1].form) for place, where, number in told["found"]
    }
    unread = [f"{place}: {where}: {why}" for place, where, why in told["unread"]]
    return Report(sorted(findings), unread, told["looked"], told["seconds"])
