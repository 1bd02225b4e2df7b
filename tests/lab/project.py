# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user of the collection: an artifact, a home and an empty folder; everything by the commands a user types.

Nothing is run from the checkout. The artifact is built and installed, and its own `init` writes the first files.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.lab.common import CHECKOUT, Narrate, Problem
from tests.lab.keys import write_private

COLLECTION = "ephemeral.github_runners"
#: Where the commands of the project's environment are.
TOOLS = Path(sys.executable).parent
_RECAP = re.compile(r"^(\S+)\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def user_environment(environ: Mapping[str, str], home: Path, tools: Path = TOOLS, proxy: str = "") -> dict[str, str]:
    """A user's variables: the machine's own, but a home of one's own and nothing that steers Ansible or Python.

    Args:
        environ: the variables to start from. Those that say how this machine reaches the world are kept.
        home: the user's home.
        tools: the folder of `ansible-playbook` and its like.
        proxy: the URL of the proxy by which this user reaches the world, instead of the machine's own ways.
    """
    steering = ("ANSIBLE_", "GITHUB_", "MOLECULE_", "PYTEST_", "VIRTUAL_ENV", "PYTHON")
    kept = {name: value for name, value in environ.items() if not name.startswith(steering)}
    if proxy:
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        kept |= {"https_proxy": proxy, "no_proxy": "127.0.0.1"}  # behind it that is another machine
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{tools}{os.pathsep}{environ.get('PATH', os.defpath)}",
        # The default, but for the system's folder, in which there may be another version of this collection.
        "ANSIBLE_COLLECTIONS_PATH": str(home / ".ansible" / "collections"),
        "ANSIBLE_NOCOLOR": "1",
    }


@dataclass(frozen=True)
class Recap:
    """Ansible's last line on a host."""

    ok: int
    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True)
class Result:
    """What a command of the user's did. `output` has both channels in order; `hosts` is the play's recap, if any."""

    rc: int
    output: str
    hosts: Mapping[str, Recap] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts together."""
        return sum(recap.changed for recap in self.hosts.values())


def recaps(output: str) -> dict[str, Recap]:
    """The play recap in the output of ansible-playbook, by host."""
    return {
        name: Recap(*map(int, numbers))
        for name, *numbers in _RECAP.findall(_COLOR.sub("", output).rpartition("PLAY RECAP")[2])
    }


def build_artifact(folder: Path, checkout: Path = CHECKOUT) -> Path:
    """Build the collection's archive into `folder`, and return its path.

    Raises:
        Problem: it cannot be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.tar.gz"):
        old.unlink()
    done = subprocess.run(
        [str(TOOLS / "ansible-galaxy"), "collection", "build", "--force", "--output-path", str(folder)],
        cwd=checkout,
        env=user_environment(os.environ, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    built = list(folder.glob("*.tar.gz"))
    if done.returncode or len(built) != 1:
        raise Problem(f"`ansible-galaxy collection build` ended with {done.returncode}:\n{done.stdout.strip()}")
    return built[0]


class Project:
    """One user's folder, with a home beside it.

    Args:
        folder: the place for both: `<folder>/project` (the user's files) and `<folder>/home`.
        narrate: is told each line that a command prints, when a command is asked to be loud.
        proxy: as for `user_environment`. A lab's servers are under their own names behind the lab's proxy only.
    """

    def __init__(self, folder: Path, narrate: Narrate = print, proxy: str = "") -> None:
        self.folder = folder / "project"
        self.home = folder / "home"
        for place in (self.folder, self.home):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._narrate = narrate
        self._proxy = proxy

    def run(self, *command: str, loud: bool = False, timeout: float = 1800) -> Result:
        """Type a command in the user's folder. Whether it went well is for the caller to judge.

        Args:
            command: its words; the first one is found among the environment's programs.
            loud: pass its output on, line by line.
            timeout: seconds; then it is killed (exit code -9).
        """
        with subprocess.Popen(
            list(command),
            cwd=self.folder,
            env=user_environment(os.environ, self.home, proxy=self._proxy),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            limit = threading.Timer(timeout, process.kill)
            limit.start()
            lines = []
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if loud:
                    self._narrate(line.rstrip())
            process.wait()
            limit.cancel()
        output = "".join(lines)
        return Result(process.returncode, output, recaps(output))

    def _must(self, *command: str) -> Result:
        result = self.run(*command)
        if result.rc:
            raise Problem(f"`{' '.join(command)}` ended with {result.rc}:\n{result.output.strip()[-3000:]}")
        return result

    def install(self, artifact: Path) -> Path:
        """Install the collection; return where it lies. What it depends on comes with the package `ansible`.

        Raises:
            Problem: it cannot be installed.
        """
        self._must("ansible-galaxy", "collection", "install", "--force", str(artifact))
        return self.collection

    @property
    def collection(self) -> Path:
        """Where the collection lies when it is installed."""
        return self.home.joinpath(".ansible", "collections", "ansible_collections", *COLLECTION.split("."))

    def init(self, proxmox: bool = False) -> Result:
        """Lay down the first files: `inventory.ini` and group variables; with `proxmox`, those for a VM, too.

        Raises:
            Problem: the playbook failed.
        """
        more = ["-e", "proxmox=true"] if proxmox else []
        return self._must("ansible-playbook", f"{COLLECTION}.init", "-e", f"dest={self.folder}", *more)

    def write_inventory(self, group: str, hosts: Mapping[str, Mapping[str, str | int]]) -> Path:
        """Edit `inventory.ini`: these hosts are the group, and this is how they are reached."""
        path = self.folder / "inventory.ini"
        path.write_text(with_hosts(path.read_text() if path.exists() else "", group, hosts))
        return path

    def set_variables(self, group: str, **variables: Any) -> Path:
        """Edit the group's variables: change some, leave the others; None takes one out."""
        return self.edit(Path("group_vars", f"{group}.yml"), **variables)

    def edit(self, name: Path, **variables: Any) -> Path:
        """The same in another file of the user's, relative to the folder."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        text = with_variables(path.read_text() if path.exists() else "", variables)
        write_private(path, text.encode())  # there is a token in it
        return path

    def playbook(self, name: str, *options: str, loud: bool = False, timeout: float = 1800) -> Result:
        """`ansible-playbook ephemeral.github_runners.<name> -i inventory.ini`, in the user's folder."""
        return self.run(
            "ansible-playbook", f"{COLLECTION}.{name}", "-i", "inventory.ini", *options, loud=loud, timeout=timeout
        )


def with_hosts(text: str, group: str, hosts: Mapping[str, Mapping[str, str | int]]) -> str:
    """The text of an INI inventory with other hosts in one group; all else, comments too, stays as it is."""

    def quoted(value: str | int) -> str:
        return f"'{value}'" if " " in str(value) else str(value)

    entries = [
        " ".join([name, *(f"{key}={quoted(value)}" for key, value in how.items())]) for name, how in hosts.items()
    ]
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == f"[{group}]"
        if not inside or not line or line.startswith(("[", "#", ";")):
            lines.append(line)
    if f"[{group}]" not in lines:
        lines.append(f"[{group}]")
    place = lines.index(f"[{group}]") + 1
    return "\n".join([*lines[:place], *entries, *lines[place:]]) + "\n"


def with_variables(text: str, changes: Mapping[str, Any]) -> str:
    """The text of a YAML file with other values for some of its top keys (None: without it); comments stay."""
    for name, value in changes.items():
        as_json = json.dumps(value)  # JSON is YAML, too
        # A text of several lines, such as a key, stays in one, however deep it is: so the next edit finds all of it.
        several = r"\n" in as_json
        new = f"{name}: {as_json}\n" if several else yaml.safe_dump({name: value}, sort_keys=False, width=1000)
        new = "" if value is None else new
        text = text if text.endswith("\n") or not text else f"{text}\n"
        old = re.search(rf"^{re.escape(name)}:.*\n(?:[ -].*\n)*", text, re.MULTILINE)
        start, end = old.span() if old else (len(text), len(text))
        text = text[:start] + new + text[end:]
    return text
