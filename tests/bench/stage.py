# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where it is measured: a lab of its own, with one runner host that the benchmarks share. Made when it is asked for."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType

from tests.bench.machine import commit
from tests.e2e.rig import GROUP, Rig
from tests.lab.common import Narrate, prefix
from tests.lab.lab import Lab
from tests.lab.project import Project, build_artifact

HOST = "gh-runner-01"


class Stage:
    """All that benchmarks work on; `with` takes it down again.

    Args:
        say: is told what is done, line by line.

    Attributes:
        commit: what is measured.
    """

    def __init__(self, say: Narrate) -> None:
        self.say = say
        self.commit = commit()
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def lab(self) -> Lab:
        """GitHub and a registry; what an earlier run left of it is removed first."""
        lab = self._stack.enter_context(Lab(prefix("bench"), narrate=self.say))
        lab.down()
        return lab.up()

    @cached_property
    def folder(self) -> Path:
        """For files."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

    @cached_property
    def artifact(self) -> Path:
        """The collection as it is published."""
        return build_artifact(self.folder / "artifact")

    def project(self, name: str, *hosts: str) -> Project:
        """A user with a folder, the installed collection and these hosts, which are made; nothing is deployed."""
        project = Project(self.folder / name, proxy=self.lab.proxy_url)
        project.install(self.artifact)
        project.init()
        project.write_inventory(GROUP, {host: self.lab.host(host).connection() for host in hosts})
        return project

    @cached_property
    def rig(self) -> Rig:
        """The shared host and its user. Each benchmark begins with `base`, which deploys what it wants there."""
        self.say(f"the host {HOST} is made")
        image = self.lab.push_runner()
        return Rig(self.lab, self.project("user", HOST), self.lab.host(HOST), image)

    def engine(self) -> str:
        """The version of the Engine that runs the runners: that of a host, if there is one with an Engine."""
        for name in self.lab.hosts():
            said = self.lab.host(name).exec("docker", "version", "--format", "{{.Server.Version}}", check=False)
            if not said.rc:
                return f"{said.stdout.strip()} (in a container of {self._outer()})"
        return self._outer()

    def _outer(self) -> str:
        return str(self.lab.client.version()["Version"])
