# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner stand-in and the GitHub double: both keep to tests/doubles/README.md, so they understand each other."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.doubles.github.server import Double, running
from tests.doubles.runner.testing import LIMIT, UTC, Runner

pytest_plugins = ["tests.doubles.runner.fixtures"]

TOKEN = "ghp_runner-meets-github"
LISTENING = rf"^{UTC}: Listening for Jobs$"
TRAP = {"RUNNER_MANUALLY_TRAP_SIG": "1"}


class GitHub:
    """The double, as these tests need it."""

    def __init__(self, double: Double) -> None:
        self._api, self._admin = double.api_url, double.admin_url

    def blob(self, name: str = "r1") -> str:
        """A JIT configuration."""
        body = {"name": name, "runner_group_id": 1, "labels": ["self-hosted"]}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self._api}/orgs/my-org/actions/runners/generate-jitconfig"
        answer = requests.post(url, json=body, headers=headers, timeout=LIMIT)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["encoded_jit_config"])

    def runners(self) -> dict[str, str]:
        """Name → status."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.get(f"{self._api}/orgs/my-org/actions/runners", headers=headers, timeout=LIMIT)
        return {runner["name"]: runner["status"] for runner in answer.json()["runners"]}

    def queue(self, script: str) -> Callable[[], dict[str, Any]]:
        """Queue a job; returns what tells its state."""
        body = {"repository": "my-org/app", "name": "build", "labels": ["self-hosted"], "script": script}
        answer = requests.post(f"{self._admin}/_admin/jobs", json=body, timeout=LIMIT)
        assert answer.status_code == 201, answer.text
        self.job = answer.json()["jobs"][0]["id"]

        def state() -> dict[str, Any]:
            found: dict[str, Any] = requests.get(f"{self._admin}/_admin/jobs/{self.job}", timeout=LIMIT).json()
            return found

        return state

    def cancel(self) -> None:
        """Cancel the last job."""
        requests.post(f"{self._admin}/_admin/jobs/{self.job}/cancel", timeout=LIMIT).raise_for_status()


def wait(condition: Callable[[], object]) -> None:
    """Wait until it is so. The double has no events for that; how often we ask decides nothing."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A double of the test's own."""
    credentials = {"admin": {"token": TOKEN, "scopes": {"my-org": "write", "my-org/app": "write"}}}
    with running(credentials=credentials) as double:
        yield GitHub(double)


def test_a_runner_takes_one_job_and_is_gone(runner: Runner, github: GitHub) -> None:
    blob = github.blob()
    assert github.runners() == {"r1": "offline"}
    process = runner.start("--jitconfig", blob)
    process.wait_for(LISTENING)
    wait(lambda: github.runners() == {"r1": "online"})
    job = github.queue("echo hello; echo $RUNNER_NAME")
    assert process.wait() == 0
    assert job()["result"] == "Succeeded"
    assert job()["log"] == "hello\nr1\n"
    assert github.runners() == {}
    process = runner.start("--jitconfig", blob)
    assert process.wait() == 0
    assert "Failed to create a session. The runner registration has been deleted" in process.output


def test_a_second_session_is_refused(runner: Runner, github: GitHub, tmp_path: Path) -> None:
    blob = github.blob()
    runner.start("--jitconfig", blob).wait_for(LISTENING)
    other = Runner(tmp_path / "other")
    process = other.start("--jitconfig", blob)
    assert process.wait() == 0
    assert "Runner listener exit with Session Conflict error, stop the service, no retry needed." in process.lines
    assert github.runners() == {"r1": "online"}


def test_an_idle_runner_that_stops_stays_registered_and_may_come_back(runner: Runner, github: GitHub) -> None:
    process = runner.start("--jitconfig", github.blob(), **TRAP)
    process.wait_for(LISTENING)
    process.send(signal.SIGTERM)
    assert process.wait() == 143
    assert github.runners() == {"r1": "offline"}
    job = github.queue("true")
    assert runner.start().wait() == 0
    assert job()["result"] == "Succeeded"


def test_a_cut_connection_makes_a_runner_offline(runner: Runner, github: GitHub) -> None:
    process = runner.start("--jitconfig", github.blob())
    process.wait_for(LISTENING)
    wait(lambda: github.runners() == {"r1": "online"})
    runner.stop()
    wait(lambda: github.runners() == {"r1": "offline"})


@pytest.mark.parametrize("by", ["signal", "service"])
def test_a_cancelled_job_is_cancelled(runner: Runner, github: GitHub, by: str) -> None:
    process = runner.start("--jitconfig", github.blob(), **TRAP)
    job = github.queue("echo ready; sleep 1000")
    wait(lambda: job()["log"] == "ready\n")
    if by == "signal":
        process.send(signal.SIGTERM)
    else:
        github.cancel()
    assert process.wait() == (143 if by == "signal" else 0)
    assert job()["result"] == "Canceled"
    process.wait_for("Job build completed with result: Canceled")
    assert github.runners() == {}
