# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner program in a container: what actions/runner does as far as it is seen from outside, and its bad habits.

It speaks to the double's rules directly: this way is not runnerd's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.doubles.github.access import Refused
from tests.doubles.github.state import Job, Runner, Session

from .github import Service
from .history import JOB_ENDED, JOB_KILLED, JOB_STARTED, UPDATES, History

NEVER = float("inf")
POLL = 10.0  # seconds: how long GitHub holds a message call


@dataclass
class Habits:
    """How the programs that start from now on behave."""

    boot: float = 2.0  # seconds until it listens; NEVER: it hangs before
    ends_at_once: int | None = None  # with this exit code, before it listens
    accepts: float = 3.0  # seconds from the job that it took to the worker that is seen, and the line that tells of it
    never_ends_its_job: bool = False
    lingers: bool = False  # does not end after its job
    deaf: bool = False  # does not hear that it was deregistered, and goes on listening
    version: str = "2.336.0"


class Program:
    """One process tree. `tick` lets it do what is due; `die` ends it."""

    def __init__(
        self, service: Service, container: str, data: bytes, habits: Habits, say: Callable[[str], None]
    ) -> None:
        *lines, end = data.decode("ascii").splitlines()
        assert end == "end", "the credential did not arrive whole"
        files = {name: json.loads(base64.b64decode(text)) for name, text in (line.split(" ") for line in lines)}
        self._client_id = files[".credentials"]["data"]["clientId"]
        self._disable_update = files[".runner"]["DisableUpdate"]
        self.name: str = files[".runner"]["AgentName"]
        self._service, self._container, self._say = service, container, say
        self._habits = habits
        self._at = service.time.at + habits.boot
        self._runner: Runner | None = None
        self._session: Session | None = None
        self.job: Job | None = None
        self.exit_code: int | None = None
        self._over = False
        self._accepted = False
        self._worker_at = NEVER
        self._changes, self._asked_at = -1, 0.0  # at GitHub, as of the last message call
        self._heard_at = NEVER  # when GitHub last heard of the job

    @property
    def working(self) -> bool:
        """It has a job, whether that is to be seen yet or not."""
        return self.job is not None

    @property
    def has_worker(self) -> bool:
        """A worker process is there."""
        return self.job is not None and self._accepted

    @property
    def deaf(self) -> bool:
        """It does not hear that it was deregistered."""
        return self._habits.deaf

    @property
    def due(self) -> float:
        """When it does something by itself."""
        return self._at if self.job is None or self._accepted else min(self._at, self._worker_at)

    @property
    def _history(self) -> History:
        return self._service.history

    def tick(self) -> None:
        """Do what is due."""
        if self.exit_code is not None:
            return
        if self.job is not None:
            self._work(self.job)
        elif self._over:
            if self._service.time.at >= self._at:
                self._end(0)
        elif self._session is None:
            if self._service.time.at >= self._at:
                self._connect()
        else:
            self._listen(self._session)

    def die(self, readable: bool = True) -> None:
        """It is killed; its connections with it. `readable`: what it has said is not gone, too."""
        if self.job is not None:
            where = {"runner": self.name, "container": self._container}
            self._history.add(JOB_KILLED, str(self.job.id), seen=self._accepted and readable, **where)
            self.job = None
        self._hang_up()
        self.exit_code = 137

    def _end(self, code: int) -> None:
        self._hang_up()
        self.exit_code = code

    def _hang_up(self) -> None:
        if self._session is not None:
            self._service.github.poll_end(self._session, cut=True)
            self._session = None

    def _connect(self) -> None:
        github, habits = self._service.github, self._habits
        self._say(f"Current runner version: '{habits.version}'")
        if habits.ends_at_once is not None:
            self._end(habits.ends_at_once)
            return
        if self._service.unreachable:
            self._at += 10
            return
        try:
            self._runner = github.client(self._client_id)
            session = github.open_session(
                self._runner,
                version=habits.version,
                os="linux",
                architecture="X64",
                disable_update=self._disable_update,
                remote=self._container,
            )
        except Refused as refused:
            if refused.status == 403:
                self._say(f"Error: Runner version v{habits.version} is deprecated and cannot receive messages.")
                self._end(7)
            else:
                self._say("The runner registration has been deleted from the server, please re-configure.")
                self._end(1)
            return
        self._session = github.poll_begin(self._runner, session.id)
        self._say("Listening for Jobs")
        self._at = NEVER
        self._listen(self._session)

    def _listen(self, session: Session) -> None:
        assert self._runner is not None
        if self._service.unreachable:
            self._hang_up()
            self._at = self._service.time.at + 10
            return
        github, now = self._service.github, self._service.time.at
        if github.changes == self._changes and now < self._asked_at + POLL:
            return  # there is nothing new
        self._changes, self._asked_at = github.changes, now
        try:
            message = github.message(self._runner, session)
        except Refused:
            if not self._habits.deaf:
                self._say("The runner registration has been deleted from the server, please re-configure.")
                self._end(0)
            return
        if message is None:
            return
        if message["messageType"] != "RunnerJobRequest":
            self._history.add(UPDATES, self.name)
            return
        try:
            job = self._service.github.acknowledge(self._runner, message["body"]["id"])
        except Refused:
            return
        self.job = job
        self._history.add(JOB_STARTED, str(job.id), runner=self.name, container=self._container)
        self._heard_at = self._service.time.at
        self._worker_at = self._service.time.at + self._habits.accepts
        self._at = NEVER if self._habits.never_ends_its_job else self._worker_at + float(job.script)

    def _work(self, job: Job) -> None:
        assert self._runner is not None
        if not self._accepted and self._service.time.at >= self._worker_at:
            self._accepted = True
            self._say(f"2026-09-22 00:00:00Z: Running job: {job.name}")
        github, now = self._service.github, self._service.time.at
        unheard = now - self._heard_at >= github.settings.lease_life
        cancelled = False
        if not self._service.unreachable:
            try:
                cancelled = github.renew(self._runner, job.id)
                self._heard_at = now
            except Refused:
                cancelled = True
        if now < self._at and not cancelled:
            return
        if self._service.unreachable:
            self._at = now + 5  # the worker tries on
            return
        result = "Canceled" if cancelled else "Succeeded"
        try:
            github.complete(self._runner, job.id, result)
        except Refused:
            result = "Failed"
        self.job = None
        where = {"runner": self.name, "container": self._container}
        self._history.add(JOB_ENDED, str(job.id), result=result, unheard=unheard, **where)
        self._say(f"2026-09-22 00:00:00Z: Job {job.name} completed with result: {result}")
        self._over = True
        self._at = NEVER if self._habits.lingers else self._service.time.at + 0.5
