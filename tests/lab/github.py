# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GitHub double as tests and the demo use it: its administrator's client, and what they wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.doubles.github.cli import Admin
from tests.lab.common import eventually

#: A runner or a job as the double describes it, see tests/doubles/github/admin.py.
Data = dict[str, Any]


class GitHub(Admin):
    """One double, by its administrator's port; `url` is also the address of its page."""

    def wait_ready(self, seconds: float = 30) -> None:
        """Wait until it serves.

        Raises:
            Problem: it does not.
        """
        eventually(self.healthy, seconds, lambda: f"the GitHub double does not answer at {self.url}")

    def queue_job(
        self, script: str, *, repository: str = "my-org/app", labels: Sequence[str] = ("self-hosted",), **fields: Any
    ) -> int:
        """Queue a job that runs `script` with bash; its number. Fields: name, env."""
        return self.queue(repository, list(labels), script, **fields)[0]

    def runners(self) -> list[Data]:
        """The runners that are registered now."""
        return list(self.state()["runners"])

    def jobs(self) -> list[Data]:
        """All jobs without their logs, oldest first."""
        return list(self.state()["jobs"])

    def wait_job(
        self, number: int, seconds: float = 120, until: Callable[[Data], Any] = lambda job: job["status"] == "completed"
    ) -> Data:
        """Wait until a job is over, or until something else is true of it; the job with its log.

        Raises:
            TimeoutError: it was not, in time; with the double's state.
        """
        self.wait(lambda state: any(job["id"] == number and until(job) for job in state["jobs"]), seconds)
        return self.job(number)

    def wait_runners(self, true: Callable[[list[Data]], Any], seconds: float = 120) -> list[Data]:
        """Wait until something is true of all runners together; the runners.

        Raises:
            TimeoutError: it was not, in time; with the double's state.
        """
        self.wait(lambda state: true(state["runners"]), seconds)
        return self.runners()

    def wait_online(self, count: int, seconds: float = 120) -> list[Data]:
        """Wait until exactly `count` runners are registered and all of them are online; the runners."""
        return self.wait_runners(
            lambda all_of_them: [one["status"] for one in all_of_them] == ["online"] * count, seconds
        )

    def last_request(self) -> int:
        """The number of the last request that the double has had, for `writes`."""
        return int(self.journal()["last"])

    def writes(self, since: int = 0) -> list[Data]:
        """The requests of the REST API after one number that wanted to change something at GitHub."""
        return [entry for entry in self.journal(since)["entries"] if entry["write"]]
