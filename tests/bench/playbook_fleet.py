# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that one user deploys, by this collection's playbook or by the baseline's; and what a run of either costs."""

from __future__ import annotations

import io
import json
import resource
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import docker.errors

from tests.bench.stage import Stage
from tests.e2e.rig import GROUP
from tests.lab.common import Problem
from tests.lab.host import Host
from tests.lab.images import File, tarball
from tests.lab.project import Result

BASELINE = Path(__file__).parent / "baseline" / "deploy.yml"
CODE = "usr/local/lib/runnerd"
#: All that a deployed host has beside packages, an image and its containers; relative to the root.
FILES = (
    "etc/docker/daemon.json",
    "etc/needrestart/conf.d/github-docker-runners.conf",
    "etc/runnerd",
    "etc/systemd/system/github-docker-runners.service",
    "etc/systemd/system/runnerd.service",
    "opt/github-runners",
    "usr/local/bin/runnerd",
    CODE,
)


@dataclass(frozen=True)
class Cost:
    """What one run of a playbook took.

    Attributes:
        seconds: as its user waits.
        processor: seconds of the processors' time, where Ansible runs and on all hosts together.
        tasks: those that ran on a host, and were not skipped.
        trips: commands and files that went over SSH to a host.
        changed: tasks that changed something, on all hosts together.
    """

    seconds: float
    processor: float
    tasks: float
    trips: float
    changed: int


class Counter:
    """Counts what Ansible sends over SSH: it is told of two programs that write a line, and go on as ssh and sftp."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the user's; Ansible reads its settings there."""
        self._lines = folder / "trips"
        settings = ["[ssh_connection]"]
        for name in ("ssh", "sftp"):
            program = folder / f"counted-{name}"
            program.write_text(f"#!/bin/sh\necho {name} >>'{self._lines}'\nexec {name} \"$@\"\n", encoding="ascii")
            program.chmod(0o755)
            settings.append(f"{name}_executable = {program}")
        (folder / "ansible.cfg").write_text("\n".join([*settings, ""]), encoding="utf-8")

    def begin(self) -> None:
        """Count from here."""
        self._lines.write_text("", encoding="ascii")

    def end(self) -> int:
        """How many there were."""
        return len(self._lines.read_text(encoding="ascii").splitlines())


class Fleet:
    """So many hosts, all alike.

    Args:
        stage: its shared host lends GitHub's credential, the image and the user's settings.
        count: how many.
        slots: how many runners each has to begin with.
    """

    def __init__(self, stage: Stage, count: int, slots: int) -> None:
        self._stage = stage
        self.slots = slots
        self.names = [f"bench-{count}-{number}" for number in range(1, count + 1)]
        self.project = stage.project(f"fleet-{count}")
        self._counter = Counter(self.project.folder)
        self._hosts: list[Host] = []

    def blank(self) -> None:
        """New hosts, on which nothing was ever deployed, in the place of those that there are."""
        self.remove()
        lab = self._stage.lab
        self._stage.say(f"{len(self.names)} new hosts")
        self._hosts = [lab.host(name) for name in self.names]
        self.project.write_inventory(GROUP, {host.name: host.connection() for host in self._hosts})

    def remove(self) -> None:
        """Take the hosts away, and what GitHub knows of them."""
        lab = self._stage.lab
        for name in self.names:
            try:
                lab.container(name).remove(force=True, v=True)
                lab.client.volumes.get(f"{lab.prefix}-{name}-docker").remove()
            except docker.errors.NotFound:
                pass
        for runner in lab.github.runners():
            if runner["name"].startswith(tuple(f"{name}-" for name in self.names)):
                lab.github.remove_runner(runner["id"], silent=True)

    # Deploying

    def deploy(self, slots: int, *options: str) -> Cost:
        """By this collection."""
        variables = self._stage.rig.write(count=slots)
        self.project.set_variables(GROUP, **variables)
        return self._run("ephemeral.github_runners.deploy", *options)

    def baseline(self, slots: int, archive: bool = False) -> Cost:
        """By the obvious playbook; with `archive`, the daemon's code goes in one piece."""
        more = {
            "files": str(self._ready(slots)),
            "version": self.version,
            "image": self._stage.rig.image.reference,
            "code_as_archive": archive,
        }
        return self._run(str(BASELINE), "-e", json.dumps(more))

    def _run(self, playbook: str, *options: str) -> Cost:
        self._counter.begin()
        before, begin = self._processor(), time.perf_counter()
        result = self.project.run("ansible-playbook", playbook, "-i", "inventory.ini", *options)
        seconds, after = time.perf_counter() - begin, self._processor()
        if result.rc:
            raise Problem(f"{playbook} ended with {result.rc}:\n{result.output[-3000:]}")
        return self._cost(result, seconds, after - before)

    def _cost(self, result: Result, seconds: float, processor: float) -> Cost:
        tasks = sum(result.hosts[name].ok for name in self.names)
        return Cost(seconds, processor, tasks / len(self.names), self._counter.end() / len(self.names), result.changed)

    def _processor(self) -> float:
        """Seconds of the processors' time so far, of all programs that this one has run, and of the hosts."""
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + sum(used(host) for host in self._hosts)

    # What the baseline's files are

    def take_files(self, slots: int) -> None:
        """What the hosts have now is what the baseline is to bring about."""
        self.version = self._hosts[0].exec("readlink", f"/{CODE}/current").stdout.strip()
        for host in self._hosts:
            folder = self._ready(slots) / host.name
            folder.mkdir(parents=True, exist_ok=True)
            unpack(host, folder)
            code = folder / CODE / self.version
            files = {str(path.relative_to(code)): File(path.read_bytes()) for path in code.rglob("*") if path.is_file()}
            (folder / "code.tar").write_bytes(tarball(files))

    def _ready(self, slots: int) -> Path:
        return self._stage.folder / f"ready-{len(self.names)}-{slots}"


#: Nanoseconds of the processors' time that a host has used: by its control group, of version 1 or 2.
USED = r"""
group=$(sed -n 's/^[0-9]*:\([^:]*,\)*cpuacct\(,[^:]*\)*:\(.*\)$/\3/p' /proc/1/cgroup)
group=${group%/init.scope}
if [ "$group" ]; then cat "/sys/fs/cgroup/cpuacct$group/cpuacct.usage"; else
    sed -n 's/^usage_usec \(.*\)$/\1000/p' /sys/fs/cgroup/cpu.stat; fi
"""


def used(host: Host) -> float:
    """Seconds of the processors' time that everything on a host has used so far; runners may be in it or not."""
    return int(host.exec("sh", "-c", USED).stdout) / 1e9


def unpack(host: Host, folder: Path, paths: Sequence[str] = FILES) -> None:
    """Copy files from a host, with their paths; without what Python has made of its sources."""
    archive = "/root/files.tar"
    host.exec("tar", "-C", "/", "--exclude=__pycache__", "-cf", archive, *paths)
    outer = io.BytesIO(b"".join(host.container.get_archive(archive)[0]))
    with tarfile.open(fileobj=outer) as whole:
        inner = whole.extractfile("files.tar")
        assert inner
        with tarfile.open(fileobj=inner) as files:
            files.extractall(folder, filter="data")
    host.exec("rm", archive)
