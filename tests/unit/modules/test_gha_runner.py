# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gha_runner against the GitHub double. When a runner is deregistered: tests/unit/github/test_removal.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.client import Runner
from tests.doubles.github.server import Double

from .conftest import Run

MODULE = "gha_runner"
KEYS = {"changed", "runners", "diff", "scope", "invocation"}
RUNNERS = "/orgs/my-org/actions/runners"
Register = Callable[..., Runner]
Calls = Callable[[], list[str]]


def names(double: Double) -> list[str]:
    return [each["name"] for each in double.admin.state()["runners"]]


@pytest.fixture
def writes(calls: Calls) -> Calls:
    """What GitHub was told to change, since the last call."""
    calls()
    return lambda: [call for call in calls() if not call.startswith("GET ")]


class TestLabels:
    @pytest.fixture(autouse=True)
    def number(self, run: Run, register: Register) -> int:
        """A runner with two labels that stay, and two custom ones."""
        number = int(register("one", "self-hosted", "x64").settings["AgentId"])
        assert run(MODULE, name="one", labels=["gpu", "fast"])["changed"] is True
        return number

    @pytest.mark.parametrize(
        ("options", "custom", "method"),
        [
            ({"labels": ["gpu", "fast"]}, "fast gpu", None),
            ({"labels": ["GPU", "fast", "gpu"]}, "fast gpu", None),
            ({"labels": ["gpu", "fast", "self-hosted"]}, "fast gpu", None),
            ({"labels": ["gpu"]}, "gpu", "PUT"),
            ({"labels": ["slow"]}, "slow", "PUT"),
            ({"labels": []}, "", "PUT"),
            ({"labels": ["self-hosted"]}, "", "PUT"),
            ({"labels": ["gpu"], "append": True}, "fast gpu", None),
            ({"labels": ["X64", "Fast"], "append": True}, "fast gpu", None),
            ({"labels": [], "append": True}, "fast gpu", None),
            ({"labels": ["slow", "gpu"], "append": True}, "fast gpu slow", "POST"),
        ],
    )
    def test_act_again_and_check(
        self, run: Run, writes: Calls, number: int, options: dict[str, Any], custom: str, method: str | None
    ) -> None:
        """Check mode, before and after; and doing it, twice."""

        def go(check: bool) -> dict[str, Any]:
            return run(MODULE, name="one", check=check, **options)

        check, act, again, check_again = go(True), go(False), go(False), go(True)
        assert writes() == ([f"{method} {RUNNERS}/{number}/labels"] if method else [])
        assert {**check, "invocation": None} == {**act, "invocation": None}
        assert act.keys() == KEYS
        labels = sorted([*custom.split(), "self-hosted", "x64"])
        assert [(each["labels"], each["custom_labels"]) for each in act["runners"]] == [(labels, custom.split())]
        before = {"labels": ["fast", "gpu", "self-hosted", "x64"]}
        assert act["diff"] == {"before": before, "after": {"labels": labels}}
        assert act["changed"] is bool(method)
        assert (again["changed"], check_again["changed"]) == (False, False)
        assert again["diff"] == {"before": {"labels": labels}, "after": {"labels": labels}}

    def test_by_id(self, run: Run, number: int) -> None:
        (found,) = run(MODULE, id=number, labels=["gpu"])["runners"]
        assert (found["name"], found["custom_labels"]) == ("one", ["gpu"])

    @pytest.mark.parametrize("append", [False, True])
    @pytest.mark.parametrize("labels", [["a b"], ["a,b"], [""], ["x" * 257]])
    def test_what_is_no_label(self, run: Run, writes: Calls, labels: list[str], append: bool) -> None:
        assert run(MODULE, name="one", labels=labels, append=append)["msg"].startswith("labels = ")
        assert writes() == []

    @pytest.mark.parametrize(
        ("who", "words"), [({"name": "two"}, "two in my-org: there is none of that name"), ({"id": 9}, "of that id")]
    )
    @pytest.mark.parametrize("check", [False, True])
    def test_of_one_that_is_not_there(self, run: Run, who: dict[str, Any], words: str, check: bool) -> None:
        found = run(MODULE, check=check, labels=["gpu"], **who)
        assert found["error"]["kind"] == "NotFound"
        assert words in found["msg"]
        assert "Do: register it first" in found["msg"]

    def test_of_one_that_goes_meanwhile(self, run: Run, double: Double) -> None:
        double.admin.fault(method="PUT", status=404)
        error = run(MODULE, name="one", labels=["x"])["error"]
        assert (error["kind"], error["status"]) == ("NotFound", 404)
        assert "one that is ephemeral goes with its job" in error["remedy"]

    def test_a_busy_one_may_have_others(self, run: Run, double: Double, register: Register) -> None:
        register("two", "linux", online=True)
        double.admin.queue("my-org/app", ["linux"], "true")
        (found,) = run(MODULE, name="two", labels=["gpu"])["runners"]
        assert (found["busy"], found["custom_labels"]) == (True, ["gpu"])


def absent(run: Run, **options: Any) -> dict[str, Any]:
    return run(MODULE, **{"state": "absent", "name": "one", "idle_for": 0, **options})


class TestAbsent:
    @pytest.mark.parametrize("online", [False, True])
    @pytest.mark.parametrize("by", ["name", "id"])
    def test_act_again_and_check(
        self, run: Run, double: Double, register: Register, writes: Calls, online: bool, by: str
    ) -> None:
        number = register("one", online=online).settings["AgentId"]
        register("other")
        who = {"name": "one"} if by == "name" else {"name": None, "id": number}
        writes()
        check = absent(run, check=True, **who)
        assert writes() == []
        act, again, check_again = absent(run, **who), absent(run, **who), absent(run, check=True, **who)
        assert writes() == [f"DELETE {RUNNERS}/{number}"]
        assert {**check, "invocation": None} == {**act, "invocation": None}
        assert act.keys() == again.keys() == check_again.keys() == KEYS
        assert [each["id"] for each in act["runners"]] == [number]
        assert act["diff"] == {"before": {"runners": ["one"]}, "after": {"runners": []}}
        assert (act["changed"], again["changed"], check_again["changed"]) == (True, False, False)
        assert again["runners"] == check_again["runners"] == []
        assert again["diff"]["before"] == again["diff"]["after"]
        assert names(double) == ["other"]

    def test_it_is_watched(self, run: Run, register: Register, calls: Calls) -> None:
        register("one", online=True)
        calls()
        began = time.monotonic()
        assert absent(run, idle_for=2)["changed"] is True
        assert time.monotonic() - began >= 2
        assert [call.partition(" ")[0] for call in calls()] == ["GET", "GET", "GET", "DELETE"]

    @pytest.mark.parametrize("check", [False, True])
    def test_a_busy_one_is_refused(self, run: Run, double: Double, register: Register, check: bool) -> None:
        register("one", "linux", online=True)
        double.admin.queue("my-org/app", ["linux"], "true")
        found = absent(run, check=check)
        assert found["msg"] == (
            "wait_timeout = 0: the runner one of my-org has a job. "
            "Do: let it run and try again later, or give the seconds that it may take"
        )
        assert names(double) == ["one"]

    def test_one_that_only_github_knows_to_be_busy(self, run: Run, double: Double, register: Register) -> None:
        """It looks idle; DELETE says 422."""
        register("one", "linux", online=True)
        message = 'Bad request - Runner "one" is still running a job'
        double.admin.fault(method="DELETE", status=422, body={"message": message})
        assert absent(run)["msg"].startswith("wait_timeout = 0: the runner one of my-org has a job.")
        assert absent(run, wait_timeout=1)["msg"].startswith("wait_timeout = 1: ")

    def test_one_whose_job_shows_late(self, run: Run, double: Double, register: Register, writes: Calls) -> None:
        """GitHub would let go of it; but for the watch its job would be lost."""
        register("one", "linux", online=True)
        double.admin.fault(busy_lag=2)
        double.admin.queue("my-org/app", ["linux"], "true")
        writes()
        assert absent(run, idle_for=4)["failed"] is True
        assert writes() == []

    def test_a_job_that_ends_in_time(self, run: Run, double: Double, register: Register) -> None:
        """The runner is ephemeral, so it goes by itself."""
        runner = register("one", "linux", online=True)
        double.admin.queue("my-org/app", ["linux"], "true")
        assert absent(run, check=True, wait_timeout=60)["changed"] is True
        worker = threading.Timer(3, runner.run_one)
        worker.start()
        found = absent(run, wait_timeout=60)
        worker.join()
        assert (found["changed"], [each["name"] for each in found["runners"]]) == (True, ["one"])
        assert names(double) == []

    def test_a_job_that_does_not(self, run: Run, double: Double, register: Register, writes: Calls) -> None:
        register("one", "linux", online=True)
        double.admin.queue("my-org/app", ["linux"], "true")
        writes()
        began = time.monotonic()
        assert absent(run, wait_timeout=2)["msg"].startswith("wait_timeout = 2: the runner one of my-org has a job.")
        assert time.monotonic() - began >= 2
        assert writes() == []

    @pytest.mark.parametrize("check", [False, True])
    def test_a_scope_that_cannot_be_seen_is_not_taken_for_absence(self, run: Run, double: Double, check: bool) -> None:
        double.admin.fault(status=404)
        assert absent(run, name=None, id=7, check=check)["error"]["kind"] == "NotFound"


def prune(run: Run, **options: Any) -> dict[str, Any]:
    return run(MODULE, **{"state": "pruned", "name_prefix": "host-1-", "offline_for": 0, **options})


class TestPruned:
    @pytest.fixture
    def three(self, register: Register) -> None:
        """Two ghosts of a host, one of its runners that is online, and somebody else's."""
        register("host-1-a")
        register("host-1-b")
        register("host-1-c", online=True)
        register("host-11-a")

    @pytest.mark.usefixtures("three")
    def test_act_again_and_check(self, run: Run, double: Double, writes: Calls) -> None:
        check = prune(run, check=True)
        assert writes() == []
        act, again, check_again = prune(run), prune(run), prune(run, check=True)
        assert len(writes()) == 2
        assert {**check, "invocation": None} == {**act, "invocation": None}
        assert act.keys() == again.keys() == KEYS
        assert [each["name"] for each in act["runners"]] == ["host-1-a", "host-1-b"]
        assert act["diff"] == {"before": {"runners": ["host-1-a", "host-1-b"]}, "after": {"runners": []}}
        assert (act["changed"], again["changed"], check_again["changed"]) == (True, False, False)
        assert names(double) == ["host-1-c", "host-11-a"]

    def test_one_that_comes_online_stays(self, run: Run, double: Double, register: Register) -> None:
        starting = register("host-1-a")
        register("host-1-b")
        timer = threading.Timer(1, starting.connect)
        timer.start()
        found = prune(run, offline_for=3)
        timer.join()
        assert [each["name"] for each in found["runners"]] == ["host-1-b"]
        assert names(double) == ["host-1-a"]

    def test_nothing_to_do_takes_no_time(self, run: Run, register: Register, calls: Calls) -> None:
        register("host-1-c", online=True)
        calls()
        assert prune(run, offline_for=3600)["changed"] is False
        assert calls() == [f"GET {RUNNERS}"]

    def test_one_that_github_will_not_let_go_stays(self, run: Run, double: Double, register: Register) -> None:
        number = register("host-1-a").settings["AgentId"]
        register("host-1-b")
        message = 'Bad request - Runner "host-1-a" is still running a job'
        double.admin.fault(method="DELETE", path=f"/{number}$", status=422, body={"message": message})
        assert [each["name"] for each in prune(run)["runners"]] == ["host-1-b"]

    def test_ghosts_on_the_second_page(self, run: Run, enroll: Callable[..., str]) -> None:
        for number in range(100):
            enroll(f"r{number:03}")
        enroll("host-1-a")
        assert [each["name"] for each in prune(run)["runners"]] == ["host-1-a"]

    @pytest.mark.parametrize("fault", [{"status": 502}, {"cut": "before"}, {"malformed": True}])
    def test_half_a_list_prunes_nothing(
        self, run: Run, double: Double, enroll: Callable[..., str], writes: Calls, fault: dict[str, Any]
    ) -> None:
        for number in range(101):
            enroll(f"host-1-{number:03}")
        writes()
        double.admin.fault(method="GET", skip=1, **fault)
        assert prune(run)["error"]["action"] == "list the runners of my-org"
        assert writes() == []
        assert len(names(double)) == 101


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"labels": ["x"]}, "any of the following are missing: name, id"),
            ({"name": "one"}, "state is present but all of the following are missing: labels"),
            ({"state": "absent"}, "any of the following are missing: name, id"),
            ({"state": "pruned"}, "all of the following are missing: name_prefix"),
            ({"state": "absent", "name": "one", "id": 7}, "parameters are mutually exclusive: name|id|name_prefix"),
            ({"state": "pruned", "name_prefix": ""}, "name_prefix = '': every name begins so. Do: "),
            ({"state": "absent", "name": ""}, "name = '': no name. Do: "),
            ({"name": "", "labels": ["x"]}, "name = '': no name. Do: "),
            ({"state": "absent", "name": "one", "idle_for": -1}, "idle_for = -1: no time. Do: "),
            ({"state": "absent", "name": "one", "wait_timeout": -1}, "wait_timeout = -1: no time. Do: "),
            ({"state": "pruned", "name_prefix": "x", "offline_for": -1}, "offline_for = -1: no time. Do: "),
        ],
    )
    def test_wrong(self, run: Run, calls: Calls, options: dict[str, Any], words: str) -> None:
        found = run(MODULE, **options)
        assert found["failed"] is True
        assert words in found["msg"]
        assert calls() == []


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"labels": ["gpu"]}, "PUT"),
        ({"labels": ["gpu"], "append": True}, "POST"),
        ({"state": "absent", "idle_for": 0}, "DELETE"),
        ({"state": "pruned", "name": None, "name_prefix": "on", "offline_for": 0}, "DELETE"),
    ],
)
class TestWhatIsRefused:
    """Where GitHub lets it look, and not change."""

    def test_a_credential_that_may_only_read(
        self, run: Run, register: Register, options: dict[str, Any], method: str
    ) -> None:
        register("one")
        error = run(MODULE, **{"name": "one", "token": "github_pat_reader", **options})["error"]
        assert (error["kind"], error["status"]) == ("Forbidden", 403)
        assert "organization_self_hosted_runners=write" in error["remedy"]

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ({"status": 401}, "Unauthorized"),
            ({"status": 409}, "Conflict"),
            ({"status": 422}, "Unprocessable"),
            ({"status": 429, "retry_after": 60}, "RateLimited"),
            ({"status": 500}, "ServerError"),
            ({"html": 502}, "ServerError"),
            ({"html": 200}, "ProtocolError"),
            ({"cut": "before"}, "Unreachable"),
        ],
    )
    def test_a_change_that_fails(
        self,
        run: Run,
        double: Double,
        register: Register,
        options: dict[str, Any],
        method: str,
        fault: dict[str, Any],
        kind: str,
    ) -> None:
        number = register("one").settings["AgentId"]
        double.admin.fault(method=method, **fault)
        error = run(MODULE, **{"name": "one", **options})["error"]
        assert error["kind"] == kind
        assert error["url"].startswith(f"{double.api_url}{RUNNERS}/{number}")
        assert error["action"].startswith("delete the runner" if method == "DELETE" else "change the labels of")
        assert error["remedy"]
        assert names(double) == ["one"]
