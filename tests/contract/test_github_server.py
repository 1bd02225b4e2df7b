# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The double as a program, its page, its admin port and the command ``github``."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from tests.contract.client import Rest, Runner
from tests.contract.conftest import TOKEN
from tests.contract.description import Description
from tests.doubles.github import cli, jit
from tests.doubles.github.cli import Admin, AdminError
from tests.doubles.github.server import Double, running

CHECKOUT = Path(__file__).resolve().parents[2]
ORG = "/orgs/my-org"
REPO = "/repos/my-org/app"


# As a program


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.github", "--host", "127.0.0.1", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_program_serves_tls_until_it_is_told_to_stop(tmp_path: Path, github: Description) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    (tmp_path / "credentials.json").write_text('{"file": {"token": "t1", "scopes": {"my-org": "read"}}}')
    files = ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem")]
    more = ["--credentials", str(tmp_path / "credentials.json"), "--credential", "option", "t2", "my-org,my-org/app"]
    url = ["--public-url", "https://github-double:8443/"]
    process = start("--port", "0", "--admin-port", "0", *files, *more, *url)
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"GitHub double: API (https://\S+), page (http://\S+)/\n", process.stdout.readline())
        assert found
        rest = Rest(found[1], "t2", github, verify=str(tmp_path / "ca.pem"))
        blob = rest.jit("/repos/my-org/app", "one").json()["encoded_jit_config"]
        assert Runner(blob).base == "https://github-double:8443/_runner"
        rest.close()
        reader = Rest(found[1], "t1", github, verify=str(tmp_path / "ca.pem"))
        assert reader("POST", f"{ORG}/actions/runners/remove-token").status_code == 403
        reader.close()
        assert Admin(found[2]).healthy()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--cert", "x.pem"], 2, "--cert and --key go together"),
        (["--credentials", "/nowhere.json"], 2, "/nowhere.json: No such file"),
        (["--cert", "/nowhere.pem", "--key", "/nowhere.pem"], 1, "No such file"),
        (["--credential", "n", "the-secret", "a/b/c"], 1, "scope 'a/b/c'"),
    ],
)
def test_what_it_cannot_start_with(arguments: list[str], code: int, why: str) -> None:
    process = start("--port", "0", "--admin-port", "0", *arguments)
    _out, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert why in error
    assert "Traceback" not in error
    assert "the-secret" not in error


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]), "--admin-port", "0")
        _out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert str(taken) or error
    assert "address already in use" in error


def test_in_a_test_a_failed_start_is_raised() -> None:
    with pytest.raises(ValueError, match="no such setting"), running(settings={"x": 1}):
        pass


def test_stopping_does_not_wait_for_message_calls(github: Description) -> None:
    credentials = {"admin": {"token": "t", "scopes": {"my-org": "write"}}}
    with running(credentials=credentials, settings={"poll_hold": 3600, "poll_grace": 3600}) as double:
        rest = Rest(double.api_url, "t", github)
        runner = Runner(rest.jit(ORG, "one").json()["encoded_jit_config"]).connect()
        link = runner.poll_socket()
        double.admin.wait(lambda state: state["sessions"][0]["polls"] == 1)
        rest.close()
        runner.close()
    assert link.recv(1) == b""
    link.close()


# The page and the admin port


def test_the_page(double: Double) -> None:
    answer = requests.get(double.admin_url, timeout=30)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert '<form id="queue">' in answer.text
    # Nothing from elsewhere: it has to work without the internet.
    assert not re.search(r"(src|href)=|https?://(?!www\.gnu\.org)", answer.text)


def test_health(double: Double) -> None:
    assert requests.get(f"{double.admin_url}/healthz", timeout=30).json() == {"ok": True}


def test_the_two_ports_do_not_serve_each_other(double: Double) -> None:
    assert requests.get(f"{double.api_url}/_admin/state", timeout=30).status_code == 404
    assert requests.get(f"{double.admin_url}/rate_limit", timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "why"),
    [
        ("POST", "/_admin/jobs", {}, "repository is missing"),
        ("POST", "/_admin/jobs", {"repository": "my-org/app", "labels": ["x"]}, "script is missing"),
        ("POST", "/_admin/jobs", {"repository": "my-org/app", "labels": [], "script": ""}, "labels = []"),
        ("POST", "/_admin/jobs", {"repository": "app", "labels": ["x"], "script": ""}, "write owner/repo"),
        ("POST", "/_admin/jobs", {"repository": "who/app", "labels": ["x"], "script": ""}, "known: my-org"),
        ("POST", "/_admin/jobs", {"repository": "my-org/app", "labels": "x", "script": ""}, "give a list"),
        ("POST", "/_admin/jobs", {"repository": "my-org/app", "labels": ["x"], "script": "", "n": 1}, "n = 1: unknown"),
        ("POST", "/_admin/jobs", {"repository": "my-org/app", "labels": ["x"], "script": "", "count": 0}, "1 to 1000"),
        ("POST", "/_admin/clock", {"advance": -1}, "only moves forward"),
        ("POST", "/_admin/clock", {}, "give a number"),
        ("GET", "/_admin/journal?since=x", None, "not a number"),
        ("GET", "/_admin/journal?link=x", None, "rest, runner or all"),
        ("PATCH", "/_admin/settings", {"x": 1}, "no such setting"),
        ("PUT", "/_admin/credentials", {"a": {"token": "SECRET"}}, "credential a: scopes = None"),
        ("PUT", "/_admin/credentials", {"a": {"scopes": {}}}, "has no token"),
        ("PUT", "/_admin/credentials", {"a": {"token": "SECRET", "scopes": {"o": "admin"}}}, "write, read, none"),
        ("PUT", "/_admin/credentials", {"a": {"token": "SECRET", "scopes": {}, "kind": "x"}}, "classic, fine-grained"),
        ("PUT", "/_admin/credentials", {"a": {"token": "SECRET", "scopes": {}, "expires_at": "x"}}, "expires_at = 'x'"),
        (
            "PUT",
            "/_admin/credentials",
            {"a": {"token": "SECRET", "scopes": {}}, "b": {"token": "SECRET", "scopes": {}}},
            "has the token of a",
        ),
        (
            "PUT",
            "/_admin/credentials",
            {"a": {"token": "SECRET", "scopes": {}, "kind": "fine-grained", "oauth_scopes": []}},
            "of a classic token only",
        ),
        (
            "PUT",
            "/_admin/credentials",
            {"a": {"token": "SECRET", "scopes": {}, "permissions": {}}},
            "fine-grained token",
        ),
        ("PUT", "/_admin/credentials", {"a": {"token": "SECRET", "scopes": {}, "sso": "x"}}, "A list of organizations"),
        ("PUT", "/_admin/apps", {"a": {"name": "x"}}, "app a: write an object of id, client_id"),
        ("PUT", "/_admin/apps", {"a": {"public_keys": ["SECRET"]}}, "app a: public_keys: one is no public key"),
        ("PUT", "/_admin/apps", {"a": {"permissions": {"metadata": "x"}}}, "read, write, admin"),
        ("PUT", "/_admin/apps", {"a": {"installations": ["my-org"]}}, "app a: installations: write an object"),
        ("PUT", "/_admin/apps", {"a": {"installations": {"o": {"x": 1}}}}, "installation o: write an object of id"),
        ("PUT", "/_admin/apps", {"a": {"installations": {"o": {"repositories": ["r"]}}}}, "Write owner/repo"),
        ("PATCH", "/_admin/settings", {"minimum_versions": {"2.329.0": "x"}}, "minimum_versions[2.329.0] = 'x'"),
        ("PUT", "/_admin/scopes", {"o/r": {"archived": 1}}, "Of a repository: true or false"),
        ("PUT", "/_admin/scopes", {"o": {"colour": "red"}}, "colour: unknown"),
        ("PUT", "/_admin/scopes", {"o": {"visibility": "public"}}, "Only a repository"),
        ("PUT", "/_admin/scopes", {"o/r": {"groups": [{"name": "g"}]}}, "Only organizations"),
        ("PUT", "/_admin/scopes", {"o": {"groups": [{"title": "g"}]}}, "Give name"),
        ("POST", "/_admin/faults", [], "not a JSON object"),
    ],
)
def test_wrong_orders_are_refused_with_what_to_write(
    double: Double, method: str, path: str, body: Any, why: str
) -> None:
    with pytest.raises(AdminError, match=r": 422: ") as error:
        double.admin.call(method, path, body)
    assert why in str(error.value)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_admin/jobs/9"),
        ("POST", "/_admin/jobs/x/cancel"),
        ("DELETE", "/_admin/runners/9"),
        ("DELETE", "/_admin/credentials/x"),
        ("POST", "/_admin/apps/x/keys"),
        ("DELETE", "/_admin/apps/x/tokens"),
    ],
)
def test_what_is_not_there(double: Double, method: str, path: str) -> None:
    with pytest.raises(AdminError, match=r": 404: There is no"):
        double.admin.call(method, path)


def test_refused_credentials_leave_the_old_ones(double: Double, rest: Rest) -> None:
    with pytest.raises(AdminError):
        double.admin.credentials({"a": {"token": "x", "scopes": {}}, "b": {}})
    assert rest("GET", "/rate_limit").status_code == 200


def test_waiting_ends_in_an_error_that_shows_the_state(double: Double) -> None:
    with pytest.raises(TimeoutError, match=r'in vain.*"scopes"'):
        double.admin.wait(lambda state: False, timeout=0.05)


# The command


def github(double: Double, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command as a user types it, with nothing installed that is not Python's own."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "tests.doubles.github.cli", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "GITHUB_DOUBLE_ADMIN": double.admin_url},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_queueing_and_listing(double: Double, registered: Callable[..., Runner]) -> None:
    registered("one").connect()
    queued = github(
        double, "queue", "my-org/app", "-", "--labels", "x, y", "--name", "n", "--env", "A=b=c", stdin="echo $A\n"
    )
    assert (queued.returncode, queued.stderr) == (0, "")
    (number,) = map(int, re.findall(r"job (\d+)", queued.stdout))
    job = double.admin.job(number)
    assert (job["name"], job["labels"], job["status"]) == ("n", ["x", "y"], "queued")
    runners = github(double, "runners").stdout.splitlines()
    assert [re.split(r"  +", line) for line in runners] == [
        ["ID", "RUNNER", "SCOPE", "STATUS", "JOB", "LABELS"],
        ["21", "one", "my-org", "online", "-", "self-hosted"],
    ]
    jobs = github(double, "jobs").stdout.splitlines()
    assert [re.split(r"  +", line) for line in jobs] == [
        ["ID", "JOB", "REPOSITORY", "STATUS", "RESULT", "RUNNER"],
        [str(number), "n", "my-org/app", "queued", "-", "-"],
    ]
    assert github(double, "cancel", str(number)).returncode == 0
    assert double.admin.job(number)["result"] == "Canceled"


@pytest.mark.parametrize(("result", "code"), [("Succeeded", 0), ("Failed", 1)])
def test_following_a_job(double: Double, registered: Callable[..., Runner], result: str, code: int) -> None:
    runner = registered("one").connect()
    (number,) = double.admin.queue("my-org/app", ["self-hosted"], "true")
    runner.run_one(result)
    followed = github(double, "log", str(number))
    assert (followed.returncode, followed.stdout) == (code, "done\n")


def test_following_what_is_queued(
    double: Double,
    registered: Callable[..., Runner],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runner = registered("one").connect()
    asked = cli.parser().parse_args(["--url", double.admin_url, "queue", "my-org/app", "true", "--follow"])
    call, steps = Admin.call, iter(["acknowledge", "log", "complete"])

    def call_and_go_on(self: Admin, method: str, path: str, *args: Any, **fields: Any) -> Any:
        """The job goes one step on each time the command waits for news."""
        if path.startswith("/_admin/state?"):
            step = next(steps)
            job = double.admin.state()["jobs"][0]["id"]
            runner.step(step, job, {"result": "Succeeded"} if step == "complete" else None, "hello\n" * (step == "log"))
        return call(self, method, path, *args, **fields)

    monkeypatch.setattr(Admin, "call", call_and_go_on)
    assert cli.run(asked) == 0
    assert re.fullmatch(r"queued: job \d+\nhello\n", capsys.readouterr().out)


def test_watching_shows_every_change(double: Double, registered: Callable[..., Runner]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-S", "-m", "tests.doubles.github.cli", "--url", double.admin_url, "watch"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = next(line for line in process.stdout if line.startswith("ID"))
        assert "RUNNER" in first
        registered("newcomer")
        assert next(line for line in process.stdout if "newcomer" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()


def test_the_command_says_what_is_wrong(double: Double) -> None:
    refused = github(double, "queue", "who/app")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "its owner is unknown here" in refused.stderr
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    absent = github(double, "--url", url, "runners")
    assert absent.returncode == 1
    assert f"does not answer at {url}" in absent.stderr
    assert "Traceback" not in absent.stderr
    assert github(double, "--url", url, "health").returncode == 1
    assert github(double, "health").returncode == 0


# Keys


def test_a_burst_takes_the_keys_that_were_made_ahead(
    rest: Rest, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.admin.keys(3)
    made = []
    monkeypatch.setattr(jit, "new_key", lambda real=jit.new_key: made.append(1) or real())
    for number in range(3):
        assert rest.jit(ORG, f"r{number}").status_code == 201
    assert made == []


@pytest.mark.parametrize("ahead", [-1, 1000, True, "4"])
def test_no_number_of_keys_is_refused(double: Double, ahead: object) -> None:
    with pytest.raises(AdminError, match=r"422: ahead = .*: give a number of keys from 0 to 200"):
        double.admin.call("POST", "/_admin/keys", {"ahead": ahead})


# The journal


def test_the_journal_has_every_request_and_no_secret(
    rest: Rest, client: Callable[[str | None], Rest], double: Double
) -> None:
    start = double.admin.journal()["last"]
    blob = rest.jit(ORG, "one").json()["encoded_jit_config"]
    rest("GET", f"{ORG}/actions/runners?name=one")
    client("ghp_wrong")("GET", "/api/v3" + REPO)
    found = double.admin.journal(start)
    facts = [
        (e["method"], e["path"], e["query"], e["status"], e["credential"], e["write"], e["link"])
        for e in found["entries"]
    ]
    assert facts == [
        ("POST", f"{ORG}/actions/runners/generate-jitconfig", {}, 201, "admin", True, "rest"),
        ("GET", f"{ORG}/actions/runners", {"name": "one"}, 200, "admin", False, "rest"),
        ("GET", f"/api/v3{REPO}", {}, 401, None, False, "rest"),
    ]
    assert [entry["n"] for entry in found["entries"]] == [start + 1, start + 2, start + 3]
    assert found["last"] == start + 3
    assert double.admin.journal(found["last"])["entries"] == []
    assert TOKEN not in str(found)
    assert "ghp_wrong" not in str(found)
    assert blob not in str(found)
    (issued,) = [entry for entry in double.admin.issued() if entry["kind"] == "jit"]
    assert (issued["secret"], issued["name"], issued["scope"]) == (blob, "one", "my-org")


def test_runners_calls_are_kept_apart(registered: Callable[..., Runner], double: Double) -> None:
    runner = registered("one")
    start = double.admin.journal()["last"]
    runner.connect()
    assert double.admin.journal(start)["entries"] == []
    found = double.admin.journal(start, "runner")["entries"]
    assert [(entry["path"], entry["credential"], entry["write"]) for entry in found] == [
        ("/_runner/token", "runner:one", False),
        ("/_runner/session", "runner:one", False),
    ]
    assert double.admin.journal(start, "all")["entries"] == found
