# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One runner host under test: the lab it lives in, the user who deploys it, and what is asked of it.

Deploying costs seconds, so tests share one host; each begins with `Rig.base()`, which puts it back to three idle
runners and costs nothing when it is there already.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from tests.lab.common import Problem, eventually
from tests.lab.github import GitHub
from tests.lab.host import Host
from tests.lab.lab import Lab, RunnerImage
from tests.lab.project import Project, Result

GROUP = "github_runners"
SCOPE = "my-org"
COUNT = 3
#: Seconds. GitHub believes for ten minutes and more that a killed runner is busy, and lets nobody delete it; not here.
LEASE = 5.0
#: Seconds. Without the Engine no name is resolved, so a runner is silent for a while, and GitHub has to bear with it.
SILENT = 180.0
#: A job's first command, by which its log tells in which container it ran.
WHERE = 'echo "container $(cat /etc/hostname)"; '
PROJECT_LABEL = "com.docker.compose.project=github-runners"


class Rig:
    """A host, its user, and GitHub."""

    def __init__(self, lab: Lab, project: Project, host: Host, image: RunnerImage) -> None:
        self.lab = lab
        self.project = project
        self.host = host
        self.image = image
        self.github: GitHub = lab.github
        self.token = f"ghp_{secrets.token_hex(18)}"
        self.credentials = {"test": {"token": self.token, "scopes": {SCOPE: "write", f"{SCOPE}/*": "write"}}}
        self.github.credentials(self.credentials)
        self.github.settings(lease_life=LEASE)
        self._base: dict[str, Any] = {
            "github_docker_runners_scope": SCOPE,
            "github_docker_runners_token": self.token,
            "github_docker_runners_api_url": lab.api_url,
            "github_docker_runners_ca_file": str(lab.authority.path),
            "github_docker_runners_image": image.reference,
            "github_docker_runners_count": COUNT,
            "github_docker_runners_docker": "none",  # test_7_docker.py is about the others, which take longer to start
            "github_docker_runners_drain_timeout": 600,
            "github_docker_runners_shutdown_timeout": 30,
            "github_docker_runners_stop_grace_period": 5,
            "github_docker_runners_memory": "256m",
        }
        self._now: dict[str, Any] = {}  # what the host is deployed with
        self._written: set[str] = set()
        self.last: Result | None = None

    # The user

    def deploy(self, *options: str, **changes: Any) -> Result:
        """Write the base's variables with `changes` (names without prefix) and run `deploy`; it must end well."""
        result = self.try_deploy(*options, **changes)
        if result.rc:
            raise Problem(f"deploy ended with {result.rc}:\n{result.output[-6000:]}\n{self.tell()}")
        return result

    def try_deploy(self, *options: str, **changes: Any) -> Result:
        """The same, whether it ends well or not. One that ends with an error may have changed the host all the same."""
        wanted = self.write(**changes)
        self.last = self.project.playbook("deploy", *options)
        self._now = wanted if self.last.changed or not self.last.rc else self._now
        return self.last

    def write(self, **changes: Any) -> dict[str, Any]:
        """Write the base's variables with `changes`, and run nothing; all that are written now, by full name."""
        wanted = self._base | {f"github_docker_runners_{name}": value for name, value in changes.items()}
        dropped = dict.fromkeys(self._written - wanted.keys())
        self.project.set_variables(GROUP, **wanted, **dropped)
        self._written = set(wanted)
        return wanted

    def leave(self, playbook: str, *options: str) -> Result:
        """Run `drain` or `remove`, whether it ends well or not. The next `base` deploys again."""
        self._now = {}
        return self.project.playbook(playbook, *options)

    def rotate(self, token: str) -> None:
        """From now on this token belongs to the base's settings; the next run deploys it. GitHub takes both."""
        self.credentials["rotated"] = {**self.credentials["test"], "token": token}
        self.github.credentials(self.credentials)
        self.token = self._base["github_docker_runners_token"] = token

    def base(self, **changes: Any) -> None:
        """Three idle runners by the base's settings (or these), no job, no fault, no drain, nothing paused."""
        self.github.clear_faults()
        self.github.settings(lease_life=LEASE)
        for job in self.github.jobs():
            if job["status"] != "completed":
                self.github.cancel(job["id"])
        if self._now != self._base | {f"github_docker_runners_{name}": value for name, value in changes.items()}:
            self.deploy(**changes)
        status = self.status()
        # What an earlier test's faults have led to may be waited out for minutes, the longer the slower the machine.
        waits = status["gates"] or any(slot["state"] == "backing off" for slot in status["slots"])
        if status["paused"] or status["drains"] or waits:
            self.runnerd("resume")
        self.idle(changes.get("count", COUNT))

    def forget(self) -> None:
        """Somebody else wrote variables: the next `base` deploys whatever was there."""
        self._now = {}

    # The host

    def now(self) -> float:
        """The host's time, which is GitHub's too."""
        return float(self.host.exec("date", "+%s.%N").stdout)

    def runnerd(self, *words: str, check: bool = True, timeout: float = 120) -> str:
        """The command on the host."""
        return self.host.exec("runnerd", *words, check=check, timeout=timeout).stdout

    def status(self) -> dict[str, Any]:
        """`runnerd status --json`."""
        return dict(json.loads(self.runnerd("status", "--json", check=False) or "{}"))

    def slots(self) -> dict[str, dict[str, Any]]:
        """The slots by name."""
        return {slot["slot"]: slot for slot in self.status()["slots"]}

    def containers(self) -> dict[str, str]:
        """Container name -> id, of all the project's containers."""
        lines = self.host.docker(
            "ps", "--all", "--no-trunc", "--filter", f"label={PROJECT_LABEL}", "--format", "{{.Names}} {{.ID}}"
        ).splitlines()
        return dict(line.split() for line in lines)

    def volumes(self) -> set[str]:
        """The names of all volumes."""
        return set(self.host.docker("volume", "ls", "--quiet").split())

    def until(self, true: Callable[[dict[str, dict[str, Any]]], bool], seconds: float = 90) -> None:
        """Wait until something is true of the slots."""

        def holds() -> bool:
            status = self.status()
            return bool(status.get("daemon")) and true({slot["slot"]: slot for slot in status["slots"]})

        eventually(holds, seconds, self.tell, pause=0.2)

    def idle(self, count: int, seconds: float = 120) -> None:
        """Wait until the host has exactly `count` slots, all idle, and GitHub exactly these runners online."""
        names = {f"runner-{number}" for number in range(1, count + 1)}
        self.until(lambda slots: slots.keys() == names and all(s["state"] == "idle" for s in slots.values()), seconds)
        self.github.wait_online(count, seconds)

    def idle_but_one(self, seconds: float = 120) -> None:
        """Wait until all slots but the one with a job are idle."""
        self.until(
            lambda slots: sorted(each["state"] for each in slots.values()) == ["busy"] + ["idle"] * (COUNT - 1), seconds
        )

    def tell(self) -> str:
        """What a developer wants to see when something did not come true."""
        parts = [
            self.runnerd("status", check=False),
            self.runnerd("events", "--last", "30", check=False),
            self.host.exec("journalctl", "-u", "runnerd", "-n", "20", "--no-pager", check=False).stdout,
            json.dumps(self.github.runners(), indent=1)[-2000:],
        ]
        return "\n".join(parts)

    # Jobs

    def job(self, script: str, **fields: Any) -> int:
        """Queue a job that any of the host's runners can take; its number."""
        return self.github.queue_job(script, **fields)

    def jobs_run(self, count: int = 3) -> None:
        """Jobs come to a good end."""
        for number in [self.job(f"{WHERE}echo {each}") for each in range(count)]:
            assert self.github.wait_job(number, 240)["result"] == "Succeeded", self.tell()

    def counting(self, seconds: int = 600) -> int:
        """Queue a job that says each second that it lives, and wait until a runner has it; its number."""
        script = f"for i in $(seq {seconds}); do echo tick $i; [ -e /tmp/finish ] && break; sleep 1; done; echo done"
        number = self.job(WHERE + script, name="counting")
        self.github.wait_job(number, until=lambda job: job["status"] == "in_progress")
        self.until(lambda slots: any(slot["job"] == "counting" for slot in slots.values()))
        return number

    def slot_of(self, number: int) -> str:
        """The slot that runs a job."""
        runner = self.github.job(number)["runner_name"]
        return next(name for name, slot in self.slots().items() if slot["runner"] == runner)

    def finish(self, number: int) -> None:
        """Let a counting job come to its end; its log must be whole."""
        container = f"github-{self.slot_of(number)}"
        self.host.docker("exec", container, "touch", "/tmp/finish")
        job = self.github.wait_job(number)
        assert job["result"] == "Succeeded", job

        def told() -> list[str]:
            lines = self.github.job(number)["log"].splitlines()
            return [line for line in lines if line.startswith(("tick", "done"))]

        # GitHub may have called it completed while its worker was still at it.
        eventually(lambda: "done" in told(), 30, self.tell)
        lines = told()
        ticks = [int(line.split()[1]) for line in lines[:-1]]
        assert lines[-1] == "done" and ticks == list(range(1, len(ticks) + 1)), lines[-5:]
        assert len(job["assignments"]) == 1, "it was given to more than one runner"
