# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make doctor`: has this machine what the demo and the tests need? Looks only; installs and changes nothing."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker

from tests.lab import archive, engine
from tests.lab.common import CHECKOUT, Narrate, Problem

#: The images and what three runners and their engine write, uncompressed, with room to spare.
DISK_NEEDED = 6 * 1000**3
#: A host with an engine, five runners, two doubles and Ansible beside them.
MEMORY_NEEDED = 3 * 1000**3
GB = 1000**3


@dataclass(frozen=True)
class Check:
    """One line of the report. `good` is False for what has to be put right, and then `do` says how."""

    what: str
    good: bool
    says: str
    do: str = ""

    def __str__(self) -> str:
        line = f"{'ok' if self.good else 'WRONG':<6}{self.what:<10}{self.says}"
        return f"{line}\n{'':16}Do: {self.do}" if self.do else line


def amount(what: str, have: int, need: int, where: str, do: str) -> Check:
    """Is there enough of something that is counted in bytes?"""
    return Check(
        what,
        have >= need,
        f"{have / GB:.1f} GB {where}, {need / GB:.0f} GB needed",
        "" if have >= need else do,
    )


def program(name: str, package: str) -> Check:
    """Is a command there?"""
    path = shutil.which(name)
    return Check(name, bool(path), path or "not found", "" if path else f"install the package {package}")


def python() -> Check:
    """The Python that runs this, which is the one the environment was made with."""
    good = sys.version_info >= (3, 11)
    says = f"{platform.python_version()} ({sys.executable})"
    return Check("python", good, says, "" if good else "make PYTHON=python3.13 venv (3.11 or later)")


def venv() -> Check:
    """Can a virtual environment be made? Debian and Ubuntu have that in a package of its own."""
    good = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
    says = "there" if good else "the module ensurepip is missing"
    return Check("venv", good, says, "" if good else "install the package python3-venv")


def docker_engine(facts: engine.Facts) -> Check:
    """The engine; one that `make demo` would install or start by itself is no fault."""
    diagnosis = engine.diagnose(facts)
    if diagnosis.verdict in (engine.Verdict.INSTALL, engine.Verdict.START):
        return Check("engine", True, f"{diagnosis.says} `make demo` will {diagnosis.verdict.value}.")
    return Check("engine", diagnosis.verdict is engine.Verdict.OK, diagnosis.says, diagnosis.do)


def disk(facts: engine.Facts) -> Check:
    """Free space where the engine keeps its images, or here where that cannot be seen (Docker Desktop)."""
    root = Path(str(facts.info.get("DockerRootDir", "/var/lib/docker")))
    while not root.exists():
        root = root.parent
    where = root if facts.system == "Linux" else CHECKOUT
    do = f"make room at {where}; `make clean-cache` removes what earlier runs left"
    return amount("disk", shutil.disk_usage(where).free, DISK_NEEDED, f"free at {where}", do)


def memory(facts: engine.Facts) -> Check:
    """Memory that is free here, or that the engine has where it runs in a machine of its own (Docker Desktop)."""
    if facts.system != "Linux":
        return amount("memory", int(facts.info.get("MemTotal", 0)), MEMORY_NEEDED, "in all", "give Docker Desktop more")
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    return amount("memory", free, MEMORY_NEEDED, "available", "close something big")


def sources(facts: engine.Facts) -> Check:
    """Where Debian comes from: Docker Hub, or this machine's own archive."""
    client = None
    if facts.answer is engine.Answer.OK:
        client = docker.DockerClient(base_url=facts.endpoint, timeout=engine.PROBE_TIMEOUT)
    hub = archive.hub_answers(client)
    try:
        own = archive.own_sources("13")
    except Problem as problem:
        own, why = [], problem.says
    else:
        why = "" if archive.answers(own[0]) else "this machine's Debian archive does not answer"
    says = f"Docker Hub: {'yes' if hub else 'no'}; Debian archive: {why or 'yes'}"
    good = hub or not why
    return Check("network", good, says, "" if good else "let this machine reach Docker Hub, or a Debian archive")


def checks() -> list[Check]:
    """All of them, in the order in which one would put things right."""
    facts = engine.look()
    asked: list[Callable[[], Check]] = [
        python,
        venv,
        lambda: program("git", "git"),
        lambda: program("make", "make"),
        lambda: docker_engine(facts),
        lambda: disk(facts),
        lambda: memory(facts),
        lambda: sources(facts),
    ]
    return [ask() for ask in asked]


def doctor(narrate: Narrate = print) -> bool:
    """Print all checks; True if nothing has to be put right."""
    found = checks()
    for check in found:
        narrate(str(check))
    return all(check.good for check in found)


def insist() -> None:
    """Before anything big is begun: stop at the first thing that has to be put right.

    Raises:
        Problem: the first check that is not good.
    """
    for check in checks():
        if not check.good:
            raise Problem(f"{check.what}: {check.says}.", check.do)
