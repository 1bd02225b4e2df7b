# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""config.sh and the GitHub double: registering with a token, serving from the files, removing; and what is refused."""

from __future__ import annotations

import json
import platform
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Rest
from tests.contract.description import Description
from tests.doubles.github.server import Double, running
from tests.doubles.runner.testing import UTC, Process, Runner

pytest_plugins = ["tests.doubles.runner.fixtures"]

LISTENING = rf"^{UTC}: Listening for Jobs$"
THREE = {".runner", ".credentials", ".credentials_rsaparams"}
SCOPES = ("my-org", "my-org/app", "enterprises/acme")
PATHS = {"my-org": "/orgs/my-org", "my-org/app": "/repos/my-org/app", "enterprises/acme": "/enterprises/acme"}


@pytest.fixture
def double() -> Iterator[Double]:
    """A double whose runners live as long as at GitHub: config.sh's have sessions that end."""
    credentials = {"admin": {"token": "ghp_contract-admin", "scopes": dict.fromkeys(SCOPES, "write")}}
    with running(credentials=credentials, scopes={"my-org": {"groups": [{"name": "builders"}]}}) as found:
        yield found


@pytest.fixture
def rest(double: Double, github: Description) -> Iterator[Rest]:
    found = Rest(double.api_url, "ghp_contract-admin", github)
    yield found
    found.close()


@pytest.fixture
def token(rest: Rest) -> Callable[..., str]:
    """Makes tokens."""

    def make(kind: str = "registration", scope: str = "my-org") -> str:
        return str(rest("POST", f"{PATHS[scope]}/actions/runners/{kind}-token").json()["token"])

    return make


@pytest.fixture
def config(runner: Runner, double: Double, token: Callable[..., str]) -> Callable[..., Process]:
    """Runs config.sh to its end."""

    def run(*arguments: str, scope: str = "my-org", secret: str | None = None, **environ: str) -> Process:
        known = token(scope=scope) if secret is None else secret
        words = ["--url", f"{double.api_url}/{scope}", "--token", known, "--unattended", *arguments]
        process = runner.start(*words, program="config.sh", **environ)
        process.wait()
        assert not known or known not in process.output
        return process

    return run


def remove(runner: Runner, secret: str) -> Process:
    process = runner.start("remove", "--token", secret, program="config.sh")
    process.wait()
    assert secret not in process.output
    return process


def content(runner: Runner, name: str) -> dict[str, Any]:
    return dict(json.loads((runner.root / name).read_text("utf-8-sig")))


class TestRegistering:
    @pytest.mark.parametrize("scope", SCOPES)
    def test_the_three_files(
        self, runner: Runner, rest: Rest, double: Double, config: Callable[..., Process], scope: str
    ) -> None:
        process = config("--name", "one", "--ephemeral", scope=scope)
        assert process.process.returncode == 0, process.output
        for landmark in ("√ Connected to GitHub", "√ Runner successfully added", "√ Settings Saved."):
            assert landmark in process.lines
        assert runner.files == THREE
        there = rest.names(PATHS[scope])["one"]
        settings = content(runner, ".runner")
        assert settings == {
            "agentId": there["id"],
            "agentName": "one",
            "poolId": 1,
            "poolName": "Default",
            "ephemeral": True,
            "serverUrl": f"{double.api_url}/",
            "gitHubUrl": f"{double.api_url}/{scope}",
            "workFolder": "_work",
            "useV2Flow": True,
            "useRunnerAdminFlow": True,
            "serverUrlV2": f"{double.api_url}/_runner",
        }
        assert set(content(runner, ".credentials")["data"]) == {
            "clientId",
            "authorizationUrl",
            "requireFipsCryptography",
        }
        assert len(content(runner, ".credentials_rsaparams")) == 8
        assert stat.S_IMODE((runner.root / ".credentials_rsaparams").stat().st_mode) == 0o600
        assert (there["status"], there["ephemeral"], there["version"]) == ("offline", True, "2.336.0")

    def test_default_labels_and_more(self, rest: Rest, config: Callable[..., Process]) -> None:
        config("--name", "one", "--labels", "GPU,self-hosted,big,gpu")
        architecture = {"x86_64": "X64", "aarch64": "ARM64"}[platform.machine()]
        labels = {label["name"]: label["type"] for label in rest.names("/orgs/my-org")["one"]["labels"]}
        defaults = dict.fromkeys(("self-hosted", "Linux", architecture), "read-only")
        assert labels == {**defaults, "GPU": "custom", "big": "custom"}

    def test_no_default_labels(self, rest: Rest, config: Callable[..., Process]) -> None:
        refused = config("--name", "one", "--no-default-labels")
        assert refused.process.returncode == 1
        assert "--no-default-labels without specifying --labels is not supported" in refused.lines[-1]
        config("--name", "one", "--no-default-labels", "--labels", "only")
        assert [label["name"] for label in rest.names("/orgs/my-org")["one"]["labels"]] == ["only"]

    def test_group_work_folder_and_the_hosts_name(
        self, runner: Runner, rest: Rest, config: Callable[..., Process]
    ) -> None:
        assert config("--runnergroup", "Builders", "--work", "jobs", "--disableupdate").process.returncode == 0
        settings = content(runner, ".runner")
        assert (settings["poolId"], settings["poolName"], settings["workFolder"]) == (3, "builders", "jobs")
        assert settings["disableUpdate"] is True
        assert rest.names("/orgs/my-org")[platform.node()]["runner_group_id"] == 3

    def test_by_variables(self, runner: Runner, rest: Rest, double: Double, token: Callable[..., str]) -> None:
        inputs = {"URL": f"{double.api_url}/my-org", "TOKEN": token(), "NAME": "one", "EPHEMERAL": "True"}
        environ = {f"ACTIONS_RUNNER_INPUT_{name}": value for name, value in inputs.items()}
        assert runner.start("--unattended", program="config.sh", **environ).wait() == 0
        assert rest.names("/orgs/my-org")["one"]["ephemeral"] is True

    def test_one_token_for_many(
        self, runner: Runner, rest: Rest, config: Callable[..., Process], token: Callable[..., str], tmp_path: Path
    ) -> None:
        secret = token()
        for name in ("one", "two"):
            assert config("--name", name, secret=secret).process.returncode == 0
            assert runner.start("remove", "--local", program="config.sh").wait() == 0
        assert set(rest.names("/orgs/my-org")) == {"one", "two"}


class TestWhatIsRefused:
    def test_a_configured_runner(self, runner: Runner, config: Callable[..., Process]) -> None:
        config("--name", "one")
        before = content(runner, ".runner")
        process = config("--name", "two", "--replace")
        assert process.process.returncode == 1
        assert process.lines[-1].startswith("Cannot configure the runner because it is already configured.")
        assert content(runner, ".runner") == before

    @pytest.mark.parametrize("wrong", ["unknown", "of the other kind", "of another scope", "over"])
    def test_a_wrong_token(
        self, runner: Runner, double: Double, config: Callable[..., Process], token: Callable[..., str], wrong: str
    ) -> None:
        secret = "AAAA"
        if wrong == "of the other kind":
            secret = token("remove")
        elif wrong == "of another scope":
            secret = token(scope="my-org/app")
        elif wrong == "over":
            secret = token()
            double.admin.advance(3605)
        process = config(secret=secret)
        assert process.process.returncode == 1
        assert "Http response code: NotFound from 'POST" in process.output
        assert process.lines[-1] == "Response status code does not indicate success: 404 (Not Found)."
        assert runner.files == set()
        calls = double.admin.journal(link="runner")["entries"]
        assert [(one["path"], one["status"]) for one in calls] == [("/api/v3/actions/runner-registration", 404)]

    def test_a_personal_token(self, runner: Runner, config: Callable[..., Process]) -> None:
        assert config(secret="ghp_contract-admin").process.returncode == 1

    def test_a_name_that_is_taken(self, rest: Rest, runner: Runner, config: Callable[..., Process]) -> None:
        number = rest.jit("/orgs/my-org", "one").json()["runner"]["id"]
        process = config("--name", "one")
        assert process.process.returncode == 1
        assert process.lines[-2:] == ["A runner exists with the same name", "A runner exists with the same name one."]
        assert runner.files == set()
        process = config("--name", "one", "--replace", "--labels", "new")
        assert process.process.returncode == 0
        assert "√ Successfully replaced the runner" in process.lines
        there = rest.names("/orgs/my-org")["one"]
        assert there["id"] == number
        assert "new" in {label["name"] for label in there["labels"]}

    def test_a_group_that_is_not_there(self, runner: Runner, config: Callable[..., Process]) -> None:
        process = config("--runnergroup", "gpu")
        assert process.process.returncode == 1
        assert process.lines[-1] == 'Could not find any self-hosted runner group named "gpu".'

    def test_a_version_that_is_too_old(self, runner: Runner, double: Double, config: Callable[..., Process]) -> None:
        double.admin.settings(minimum_versions={"2.337.0": "2026-01-01"})
        process = config("--name", "one")
        assert process.process.returncode == 1
        assert "Runner version v2.336.0 is deprecated and cannot be registered." in process.output
        assert process.lines[-1] == "Response status code does not indicate success: 403 (Forbidden)."
        refused = [one for one in double.admin.journal(link="runner")["entries"] if one["status"] == 403]
        assert len(refused) == 3, "the real one asks three times"
        assert runner.files == set()

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            (["--url", "", "--token", "x"], "url"),
            (["--url", "http://127.0.0.1", "--token", "x"], "url"),
            (["--url", "http://127.0.0.1/my-org"], "token"),
        ],
    )
    def test_an_input_that_is_missing(self, runner: Runner, arguments: list[str], name: str) -> None:
        process = runner.start("--unattended", *arguments, program="config.sh")
        assert process.wait() == 1
        assert process.lines[-1] == f"Invalid configuration provided for {name}. Terminating unattended configuration."

    def test_github_that_does_not_answer(self, runner: Runner) -> None:
        process = runner.start("--url", "http://127.0.0.1:1/my-org", "--token", "x", program="config.sh")
        assert process.wait() == 1
        assert "Connection refused" in process.lines[-1]

    def test_what_no_runner_would_send(self, double: Double, rest: Rest, token: Callable[..., str]) -> None:
        def send(method: str, path: str, body: Any = None, secret: str = "") -> int:
            remote: dict[str, str | None] = {"Authorization": f"RemoteAuth {secret or token()}"}
            return rest(method, f"/api/v3{path}", body, headers=remote, checked=False).status_code

        assert send("GET", "/orgs/my-org/actions/runners") == 200
        assert send("GET", "/repos/my-org/app/actions/runners") == 404
        assert send("POST", "/orgs/my-org/actions/runners/registration-token") == 404
        assert send("GET", "/orgs/my-org") == 404
        number = rest.jit("/orgs/my-org", "one").json()["runner"]["id"]
        assert send("DELETE", f"/orgs/my-org/actions/runners/{number}") == 404
        assert send("POST", "/actions/runners/register", {"url": f"{double.api_url}/my-org"}) == 422
        assert rest("POST", "/actions/runner-registration", {}, checked=False).status_code == 404
        assert rest("GET", "/repos/my-org/app/actions/runner-groups", checked=False).status_code == 404


class TestServing:
    def test_an_ephemeral_runner_has_one_job(
        self, runner: Runner, rest: Rest, double: Double, config: Callable[..., Process]
    ) -> None:
        config("--name", "one", "--ephemeral")
        process = runner.start()
        process.wait_for(LISTENING)
        (job,) = double.admin.queue("my-org/app", ["self-hosted", "linux"], "echo $RUNNER_NAME")
        assert process.wait() == 0
        assert double.admin.job(job)["log"] == "one\n"
        assert rest.names("/orgs/my-org") == {}
        assert runner.files == set()

    def test_any_other_serves_one_after_the_other(
        self, runner: Runner, rest: Rest, double: Double, config: Callable[..., Process]
    ) -> None:
        config("--name", "one")
        process = runner.start(RUNNER_MANUALLY_TRAP_SIG="1")
        process.wait_for(LISTENING)
        jobs = double.admin.queue("my-org/app", ["self-hosted"], "echo $RUNNER_NAME", count=3)
        double.admin.wait(lambda state: all(job["status"] == "completed" for job in state["jobs"]))
        found = [double.admin.job(job) for job in jobs]
        assert [(job["log"], job["result"]) for job in found] == [("one\n", "Succeeded")] * 3
        starts = [job["started_at"] for job in found]
        assert starts == sorted(starts)
        there = rest.names("/orgs/my-org")["one"]
        assert (there["ephemeral"], there["status"], there["busy"]) == (False, "online", False)
        assert process.output.count("Running job: ") == 3
        assert process.output.count("Listening for Jobs") == 1, "it had to connect again"
        assert runner.files == THREE

    def test_it_comes_back(self, runner: Runner, double: Double, config: Callable[..., Process]) -> None:
        """Its key has no hour: that is for a JIT configuration that nobody used."""
        config("--name", "one")
        double.admin.advance(13 * 86400)
        runner.start().wait_for(LISTENING)

    def test_it_is_forgotten_after_two_weeks(self, rest: Rest, double: Double, config: Callable[..., Process]) -> None:
        config("--name", "one")
        double.admin.advance(14 * 86400 + 60)
        assert rest.names("/orgs/my-org") == {}

    def test_who_is_replaced_is_not_the_runner_any_more(
        self, runner: Runner, config: Callable[..., Process], tmp_path: Path
    ) -> None:
        config("--name", "one")
        first = Runner(tmp_path / "first")
        for name in THREE:
            (first.root / name).write_bytes((runner.root / name).read_bytes())
        runner.start("remove", "--local", program="config.sh").wait()
        config("--name", "one", "--replace")
        process = first.start()
        assert process.wait() == 0
        assert "The runner registration has been deleted" in process.output
        runner.start().wait_for(LISTENING)


class TestRemoving:
    @pytest.mark.parametrize("scope", SCOPES)
    def test_with_a_remove_token(
        self, runner: Runner, rest: Rest, config: Callable[..., Process], token: Callable[..., str], scope: str
    ) -> None:
        config("--name", "one", scope=scope)
        process = remove(runner, token("remove", scope))
        assert process.process.returncode == 0
        assert [line for line in process.lines if line.startswith("√")] == [
            "√ Runner removed successfully",
            "√ Removed .credentials",
            "√ Removed .runner",
        ]
        assert rest.names(PATHS[scope]) == {}
        assert runner.files == set()

    @pytest.mark.parametrize("wrong", ["unknown", "of the other kind"])
    def test_with_a_wrong_one(
        self, runner: Runner, rest: Rest, config: Callable[..., Process], token: Callable[..., str], wrong: str
    ) -> None:
        config("--name", "one")
        process = remove(runner, "AAAA" if wrong == "unknown" else token())
        assert process.process.returncode == 1
        assert "Failed: Removing runner from the server" in process.lines
        assert set(rest.names("/orgs/my-org")) == {"one"}
        assert runner.files == THREE

    def test_what_is_not_there(self, runner: Runner) -> None:
        process = remove(runner, "AAAA")
        assert process.process.returncode == 0
        assert process.lines[-3:-1] == [
            "Does not exist. Skipping Removing .credentials",
            "Does not exist. Skipping Removing .runner",
        ]

    def test_a_busy_runner(
        self, runner: Runner, double: Double, config: Callable[..., Process], token: Callable[..., str]
    ) -> None:
        config("--name", "one")
        runner.start(RUNNER_MANUALLY_TRAP_SIG="1").wait_for(LISTENING)
        double.admin.queue("my-org/app", ["self-hosted"], "mkfifo go; echo ready; read -r < go")
        double.admin.wait(lambda state: state["jobs"][0]["log_length"])
        process = remove(runner, token("remove"))
        assert process.process.returncode == 1
        assert "is still running a job" in process.output
        assert runner.files == THREE
        runner.go()
        double.admin.wait(lambda state: state["jobs"][0]["result"] == "Succeeded")
