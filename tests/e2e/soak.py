# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many jobs through a deployed host, and what the daemon and Docker hold of its resources meanwhile, seen from outside.

The queue is kept full and never fuller, so the rate is the pools' own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.doubles.github.settings import moment
from tests.lab.common import Problem
from tests.lab.github import GitHub
from tests.lab.host import Host

#: Prints `name value` lines. `du -x`: what the containers' layers are mounted at would be counted once more.
MEASURE = """
pid=$(systemctl show -P MainPID runnerd)
echo at $(date +%s.%N)
echo pid $pid
awk '/^VmRSS/ {print "memory", $2 * 1024} /^Threads/ {print "threads", $2}' /proc/$pid/status
echo descriptors $(ls /proc/$pid/fd | wc -l)
echo database $(du -cb /var/lib/runnerd/journal.sqlite* | tail -n 1 | cut -f 1)
echo folders $(du -scb /var/lib/runnerd /run/runnerd /opt/github-runners 2>/dev/null | tail -n 1 | cut -f 1)
echo docker $(du -sxB1 /var/lib/docker | cut -f 1)
echo containers $(docker ps --all --quiet | wc -l)
echo volumes $(docker volume ls --quiet | wc -l)
echo networks $(docker network ls --quiet | wc -l)
"""
#: Seconds without a job that comes to its end, after which the pool is taken for dead.
STUCK = 300.0


@dataclass(frozen=True)
class Sample:
    """What is held at one time. Sizes are bytes.

    Attributes:
        at: the host's time.
        jobs: how many had come to their end.
        pid: the daemon's process; `memory` (resident), `threads` and `descriptors` are its own.
        database: the journal with its log; `folders` all that the daemon has written, that included.
        docker: the Engine's data.
    """

    at: float
    jobs: int
    pid: int
    memory: int
    threads: int
    descriptors: int
    database: int
    folders: int
    docker: int
    containers: int
    volumes: int
    networks: int


@dataclass(frozen=True)
class Job:
    """One job, by GitHub's clock; `started` when its runner had taken it, `ended` when its runner had said so."""

    number: int
    runner: str
    queued: float
    started: float
    ended: float
    result: str


class Soak:
    """Jobs for a host that is deployed, all its pools' runners taking any of them."""

    def __init__(self, host: Host, github: GitHub, *, waiting: int = 6, script: str = "true") -> None:
        """`waiting`: how many jobs are queued or run at once; `script`: what each of them does."""
        self._host = host
        self._github = github
        self._waiting = waiting
        self._script = script
        self._since = github.last_request()
        self._mine: set[int] = set()

    def run(self, jobs: int, every: float = 10.0) -> Iterator[Sample]:
        """Run so many jobs; a sample each `every` seconds, and one when the last has ended.

        Raises:
            Problem: no job ends any more.
        """
        left, ended, progress = jobs, 0, time.monotonic()
        sampled = float("-inf")
        before = len(self._mine)
        while ended < jobs:
            unfinished = self._unfinished()
            if (now_ended := jobs - left - len(unfinished)) > ended:
                ended, progress = now_ended, time.monotonic()
            if time.monotonic() - progress > STUCK:
                raise Problem(f"No job has ended for {STUCK:g} s; {ended} of {jobs} had.")
            if more := min(left, self._waiting - len(unfinished)):
                self._mine.update(self._github.queue("my-org/app", ["self-hosted"], self._script, count=more))
                left -= more
            if time.monotonic() - sampled >= every:
                sampled = time.monotonic()
                yield self.sample(before + ended)
            time.sleep(0.5)
        yield self.sample(before + ended)

    def sample(self, jobs: int | None = None) -> Sample:
        """What is held now. `jobs`: how many of ours have ended, if that is known."""
        if jobs is None:
            jobs = len(self._mine) - len(self._unfinished())
        lines = (line.split() for line in self._host.exec("sh", "-c", MEASURE).stdout.splitlines())
        said = {name: value for name, value in lines if name in Sample.__dataclass_fields__}
        return Sample(at=float(said.pop("at")), jobs=jobs, **{name: int(value) for name, value in said.items()})

    def jobs(self) -> list[Job]:
        """All of ours that have ended, in the order in which they were queued."""
        told: dict[str, float] = {}
        for entry in self._github.journal(self._since, link="runner")["entries"]:
            if entry["path"].startswith("/_runner/jobs/") and entry["status"] in (200, 204):
                told[entry["path"].removeprefix("/_runner/jobs/")] = entry["answered_at"]
        return [
            Job(
                number=job["id"],
                runner=job["runner_name"] or "",
                queued=moment(job["queued_at"]),
                started=told.get(f"{job['id']}/acknowledge", float("nan")),
                ended=told.get(f"{job['id']}/complete", float("nan")),
                result=job["result"],
            )
            for job in self._github.jobs()
            if job["id"] in self._mine and job["status"] == "completed"
        ]

    def _unfinished(self) -> set[int]:
        return self._mine & {job["id"] for job in self._github.jobs() if job["status"] != "completed"}
