# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gha_jit_config against the GitHub double."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.client import Runner
from tests.doubles.github.server import Double

from .conftest import Run, warnings_in

MODULE = "gha_jit_config"
KEYS = {"changed", "encoded_jit_config", "runner", "replaced", "scope", "invocation"}
LABELS = ["linux", "self-hosted"]
POST = "POST /orgs/my-org/actions/runners/generate-jitconfig"
Register = Callable[..., Runner]
Calls = Callable[[], list[str]]


def runners(double: Double) -> list[tuple[int, str]]:
    return [(each["id"], each["name"]) for each in double.admin.state()["runners"]]


def make(run: Run, **options: Any) -> dict[str, Any]:
    return run(MODULE, **{"name": "one", "labels": LABELS, **options})


@pytest.mark.parametrize(
    ("scope", "path"),
    [("my-org", "/orgs/my-org"), ("my-org/app", "/repos/my-org/app"), ("enterprises/acme", "/enterprises/acme")],
)
def test_a_runner_is_made(run: Run, double: Double, calls: Calls, scope: str, path: str) -> None:
    found = make(run, scope=scope)
    groups = [] if scope == "my-org/app" else [f"GET {path}/actions/runner-groups"]
    assert calls() == [*groups, f"POST {path}/actions/runners/generate-jitconfig"]
    assert found.keys() == KEYS
    assert (found["changed"], found["replaced"], found["scope"]) == (True, False, scope)
    assert runners(double) == [(found["runner"]["id"], "one")]
    assert (found["runner"]["labels"], found["runner"]["custom_labels"]) == (LABELS, [])
    (issued,) = double.admin.issued()
    assert found["encoded_jit_config"] == issued["secret"]


def test_a_machine_becomes_the_runner(run: Run, double: Double) -> None:
    runner = Runner(make(run, work_folder="/work")["encoded_jit_config"]).connect()
    assert runner.settings["WorkFolder"] == "/work"
    double.admin.queue("my-org/app", ["self-hosted"], "true")
    runner.run_one()
    runner.close()
    assert runners(double) == []


@pytest.mark.parametrize("name", ["builders", "BUILDERS"])
def test_in_a_group(run: Run, name: str) -> None:
    assert make(run, runner_group=name)["runner"]["group_id"] == 3


@pytest.mark.parametrize(("scope", "there"), [("my-org", "'builders'"), ("my-org/app", "'Default'")])
def test_a_group_that_is_not_there(run: Run, double: Double, scope: str, there: str) -> None:
    found = make(run, scope=scope, runner_group="nobody")
    assert found["msg"].startswith(f"Could not find the runner group 'nobody' in {scope}: there are only ")
    assert there in found["msg"]
    assert runners(double) == []


def test_a_group_without_a_name(run: Run) -> None:
    assert make(run, runner_group="")["msg"].startswith("Could not find the runner group '' in my-org: there are only ")


def test_labels_by_default(run: Run) -> None:
    found = make(run, labels=None, architecture="aarch64")
    assert found["runner"]["labels"] == ["arm64", "ephemeral", "linux", "self-hosted"]


@pytest.mark.parametrize("labels", [[], ["a b"], ["x" * 257], [f"l{number}" for number in range(101)]])
def test_labels_that_are_none(run: Run, calls: Calls, labels: list[str]) -> None:
    found = make(run, labels=labels)
    assert found["msg"].startswith("labels = ")
    assert calls() == []


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("name", ["", " ", "x" * 65])
def test_a_name_that_is_none(run: Run, calls: Calls, name: str, check: bool) -> None:
    found = make(run, name=name, check=check)
    assert found["msg"].startswith(f"name = {name!r}: no name of a runner, which has 1 to 64 characters. Do: ")
    assert calls() == []


def test_what_github_refuses_is_told_in_its_words(run: Run) -> None:
    error = make(run, work_folder="")["error"]
    assert (error["status"], error["kind"]) == (422, "Unprocessable")
    assert "properties/work_folder" in error["message"]


class TestCheckMode:
    def test_asks_and_makes_none(self, run: Run, double: Double, calls: Calls) -> None:
        found = make(run, check=True)
        assert found == make(run, check=True)
        assert found.keys() == KEYS
        assert (found["changed"], found["encoded_jit_config"], found["runner"]) == (True, None, None)
        assert calls() == ["GET /orgs/my-org/actions/runner-groups", "GET /orgs/my-org/actions/runners"] * 2
        assert runners(double) == []
        assert double.admin.issued() == []

    def test_says_what_would_be_replaced(self, run: Run, double: Double, register: Register) -> None:
        number = register("one").settings["AgentId"]
        assert make(run, check=True, replace=True)["replaced"] is True
        assert runners(double) == [(number, "one")]


@pytest.mark.parametrize("check", [False, True])
class TestTakenName:
    def test_of_one_that_never_started(self, run: Run, double: Double, register: Register, check: bool) -> None:
        number = register("one").settings["AgentId"]
        found = make(run, check=check)
        error = found["error"]
        assert (error["kind"], error["status"]) == ("Conflict", None if check else 409)
        assert error["remedy"] == (
            f"give each runner a name of its own; the runner {number} of that name is offline, "
            "so set replace to true if it is what is left of an earlier attempt"
        )
        assert runners(double) == [(number, "one")]

    @pytest.mark.parametrize("state", ["online", "busy"])
    def test_of_one_that_is_there(self, run: Run, double: Double, register: Register, check: bool, state: str) -> None:
        number = register("one", online=True).settings["AgentId"]
        if state == "busy":
            double.admin.queue("my-org/app", ["self-hosted"], "true")
        error = make(run, check=check, replace=True)["error"]
        assert error["remedy"].endswith(f"the runner {number} of that name is {state}, so it cannot be replaced")
        assert runners(double) == [(number, "one")]


class TestReplace:
    def test_one_that_never_started(self, run: Run, double: Double, register: Register) -> None:
        old = register("one").settings["AgentId"]
        found = make(run, replace=True)
        assert (found["replaced"], found["runner"]["name"]) == (True, "one")
        assert found["runner"]["id"] != old
        assert runners(double) == [(found["runner"]["id"], "one")]

    def test_a_name_that_is_free(self, run: Run, calls: Calls) -> None:
        assert make(run, replace=True)["replaced"] is False
        assert len(calls()) == 2

    def test_one_that_looks_offline_for_a_moment(self, run: Run, double: Double, register: Register) -> None:
        """Every other look shows it so."""
        number = register("one", online=True).settings["AgentId"]
        double.admin.fault(flicker="status")
        first, second = make(run, replace=True), make(run, replace=True)
        assert {first["error"]["kind"], second["error"]["kind"]} == {"Conflict"}
        remedies = f"{first['error']['remedy']} {second['error']['remedy']}"
        assert f"the runner {number} of that name has just come to life" in remedies
        assert runners(double) == [(number, "one")]

    def test_one_that_github_will_not_let_go(self, run: Run, double: Double, register: Register) -> None:
        number = register("one").settings["AgentId"]
        message = f'Bad request - Runner "{number}" is still running a job'
        double.admin.fault(method="DELETE", status=422, body={"message": message})
        assert "has just come to life" in make(run, replace=True)["error"]["remedy"]
        assert runners(double) == [(number, "one")]

    def test_one_that_is_gone_when_it_is_looked_for(self, run: Run, double: Double, calls: Calls) -> None:
        double.admin.fault(method="POST", times=1, status=409, body={"message": "Already exists"})
        found = make(run)
        assert (found["replaced"], found["runner"]["name"]) == (False, "one")
        assert [call.partition(" ")[0] for call in calls()] == ["GET", "POST", "GET", "POST"]


@pytest.mark.parametrize("fault", [{"cut": "after"}, {"truncate": 10}, {"malformed": True}, {"status": 500}])
def test_a_lost_answer(run: Run, double: Double, calls: Calls, fault: dict[str, Any]) -> None:
    """The request is not repeated, the remedy says what may be there, and following it helps."""
    double.admin.fault(method="POST", times=1, **fault)
    found = make(run, retries=3)
    assert calls().count(POST) == 1
    assert "the runner one may be there all the same, and its configuration is lost" in found["error"]["remedy"]
    assert make(run, replace=True)["runner"]["name"] == "one"
    assert len(runners(double)) == 1


def test_nothing_is_said_of_a_runner_where_none_can_be(run: Run, double: Double) -> None:
    double.admin.fault(method="POST", status=403)
    assert "may be there" not in make(run)["error"]["remedy"]


def test_a_credential_that_may_only_read(run: Run) -> None:
    error = make(run, token="github_pat_reader")["error"]
    assert (error["kind"], error["status"]) == ("Forbidden", 403)
    assert "organization_self_hosted_runners=write" in error["remedy"]


def test_where_ansible_can_hide_secrets_it_is_told_of_this_one(run: Run, double: Double) -> None:
    """The Secrets API is that of ansible-core 2.22; here it writes into the result's warnings what it was told."""
    source = (
        "from ansible.module_utils.common.warnings import warn\n"
        "def register_secret(value, /):\n"
        "    warn('registered ' + value[::-1])\n"
        "    return value\n"
    )
    found = make(run, added={"ansible.module_utils.secrets": source})
    (issued,) = double.admin.issued()
    assert f"registered {issued['secret'][::-1]}" in warnings_in(found)
    files = json.loads(base64.b64decode(found["encoded_jit_config"]))
    assert files.keys() == {".runner", ".credentials", ".credentials_rsaparams"}
