# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every fault that can be ordered does what it says, where it says, as often as it says."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.client import Rest, Runner
from tests.contract.conftest import TOKEN
from tests.doubles.github.cli import AdminError
from tests.doubles.github.server import Double

ORG = "/orgs/my-org"
LIST = f"{ORG}/actions/runners"
JIT = "generate-jitconfig"
NEVER = 3600.0  # seconds: longer than any test


@pytest.fixture
def raw(rest: Rest) -> Callable[..., requests.Response]:
    """The REST client without the check against GitHub's description: a fault need not fit it."""
    return lambda *args, **fields: rest(*args, checked=False, **fields)


def test_a_status_with_its_body_and_headers(raw: Callable[..., requests.Response], double: Double) -> None:
    double.admin.fault(status=503, body={"message": "busy"}, headers={"X-Extra": "1"}, retry_after=7)
    answer = raw("GET", LIST)
    assert (answer.status_code, answer.json()) == (503, {"message": "busy"})
    assert (answer.headers["Retry-After"], answer.headers["X-Extra"]) == ("7", "1")
    assert "X-GitHub-Request-Id" in answer.headers


def test_a_status_means_that_nothing_was_done(
    raw: Callable[..., requests.Response], rest: Rest, double: Double
) -> None:
    double.admin.fault(status=500, method="POST", path=JIT, times=1)
    body = {"name": "one", "runner_group_id": 1, "labels": ["x"]}
    assert raw("POST", f"{LIST}/{JIT}", body).status_code == 500
    assert rest.names(ORG) == {}
    assert rest.jit(ORG, "one").status_code == 201


def test_where_a_fault_applies_and_how_often(raw: Callable[..., requests.Response], double: Double) -> None:
    number = double.admin.fault(status=502, method="get", path="/actions/runners$", skip=1, times=2)
    assert raw("POST", f"{LIST}/registration-token").status_code == 201
    assert raw("GET", f"{LIST}/downloads").status_code == 200
    assert [raw("GET", LIST).status_code for _try in range(4)] == [200, 502, 502, 200]
    assert raw("GET", f"/api/v3{LIST}").status_code == 200
    (fault,) = double.admin.faults()
    assert (fault["id"], fault["matched"], fault["applied"]) == (number, 5, 2)


def test_faults_are_deleted_one_or_all(raw: Callable[..., requests.Response], double: Double) -> None:
    first = double.admin.fault(status=500)
    double.admin.fault(status=503)
    assert raw("GET", LIST).status_code == 500
    double.admin.call("DELETE", f"/_admin/faults/{first}")
    assert raw("GET", LIST).status_code == 503
    double.admin.clear_faults()
    assert raw("GET", LIST).status_code == 200
    with pytest.raises(AdminError, match=f"There is no fault {first}"):
        double.admin.call("DELETE", f"/_admin/faults/{first}")


def test_the_journal_names_the_fault(raw: Callable[..., requests.Response], double: Double) -> None:
    number = double.admin.fault(status=500)
    raw("GET", LIST)
    entry = double.admin.journal()["entries"][-1]
    assert (entry["fault"], entry["status"]) == (number, 500)


@pytest.mark.parametrize(
    ("said", "until"),
    [
        ({"status": 429, "retry_after": 7}, 7),
        ({"status": 429}, 60),
        ({"status": 403, "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}}, 4102444800),
        ({"status": 403}, None),
        ({"status": 503, "retry_after": 7}, None),
    ],
)
def test_the_journal_tells_until_when_a_client_was_told_not_to_ask(
    raw: Callable[..., requests.Response], double: Double, said: dict[str, Any], until: float | None
) -> None:
    double.admin.fault(**said)
    raw("GET", LIST)
    entry = double.admin.journal()["entries"][-1]
    assert entry["asked_at"] <= entry["answered_at"] <= time.time()
    if until is not None and until < 100:
        until += entry["answered_at"]
    assert entry["rest_until"] == (until if until is None else pytest.approx(until, abs=1))


def test_a_lost_answer_really_made_the_runner(
    raw: Callable[..., requests.Response], rest: Rest, double: Double
) -> None:
    double.admin.fault(cut="after", path=JIT, times=1)
    body = {"name": "one", "runner_group_id": 1, "labels": ["x"]}
    with pytest.raises(requests.ConnectionError):
        raw("POST", f"{LIST}/{JIT}", body)
    assert list(rest.names(ORG)) == ["one"]
    assert double.admin.journal()["entries"][-2]["status"] is None
    assert rest.jit(ORG, "one").status_code == 409


def test_a_cut_request_did_nothing(raw: Callable[..., requests.Response], rest: Rest, double: Double) -> None:
    double.admin.fault(cut="before", path=JIT, times=1)
    with pytest.raises(requests.ConnectionError):
        raw("POST", f"{LIST}/{JIT}", {"name": "one", "runner_group_id": 1, "labels": ["x"]})
    assert rest.names(ORG) == {}


def test_malformed_json(raw: Callable[..., requests.Response], double: Double) -> None:
    double.admin.fault(malformed=True)
    answer = raw("GET", LIST)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


def test_an_html_page(raw: Callable[..., requests.Response], double: Double) -> None:
    double.admin.fault(html=502)
    answer = raw("GET", LIST)
    assert answer.status_code == 502
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "X-GitHub-Request-Id" not in answer.headers


def test_a_truncated_body(double: Double) -> None:
    double.admin.fault(truncate=10)
    at = urlsplit(double.api_url)
    link = http.client.HTTPConnection(str(at.hostname), at.port, timeout=30)
    link.request("GET", LIST, headers={"Authorization": f"Bearer {TOKEN}", "User-Agent": "test"})
    answer = link.getresponse()
    assert int(answer.headers["Content-Length"]) > 10
    with pytest.raises(http.client.IncompleteRead) as error:
        answer.read()
    assert len(error.value.partial) == 10
    link.close()


def test_a_delay_outlasts_a_patient_client(rest: Rest, double: Double) -> None:
    double.admin.fault(delay=NEVER, path="/rate_limit")
    session = requests.Session()
    session.trust_env = False
    with session, pytest.raises(requests.Timeout):
        session.get(f"{double.api_url}/rate_limit", timeout=0.3)
    assert rest("GET", LIST).status_code == 200  # the others do not wait


def test_a_short_delay_and_what_comes_after_it(raw: Callable[..., requests.Response], double: Double) -> None:
    double.admin.fault(delay=0.01, times=1)
    double.admin.fault(status=500, delay=0.01, times=1)
    assert [raw("GET", LIST).status_code for _try in range(3)] == [200, 500, 200]


# Faults of what GitHub believes


def busy(registered: Callable[..., Runner], double: Double) -> tuple[Runner, int]:
    runner = registered("one").connect()
    double.admin.queue("my-org/app", ["self-hosted"], "true")
    job = int(runner.job()["id"])
    return runner, job


def test_the_busy_flag_comes_late_and_delete_believes_it(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    double.admin.fault(busy_lag=NEVER)
    runner, job = busy(registered, double)
    assert runner.step("acknowledge", job).status_code == 200
    seen = rest.names(ORG)["one"]
    assert (seen["status"], seen["busy"]) == ("online", False)
    assert double.admin.state()["runners"][0]["busy"] is True
    assert rest("DELETE", f"{LIST}/{seen['id']}").status_code == 204
    assert runner.step("complete", job, {"result": "Succeeded"}).status_code == 204
    assert double.admin.job(job)["result"] == "Succeeded"


def test_an_offer_to_a_runner_that_was_deleted_is_void(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    double.admin.fault(busy_lag=NEVER)
    runner, job = busy(registered, double)
    assert rest("DELETE", f"{LIST}/{rest.names(ORG)['one']['id']}").status_code == 204
    assert runner.step("acknowledge", job).status_code == 404
    double.admin.settings(pickup_life=0)
    double.admin.wait(lambda state: state["jobs"][0]["status"] == "queued")


def test_the_lag_passes(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    double.admin.fault(busy_lag=0)
    busy(registered, double)
    assert rest.names(ORG)["one"]["busy"] is True


def test_busy_flickers(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    busy(registered, double)
    double.admin.fault(flicker="busy", runner="one")
    looks = [rest.names(ORG)["one"]["busy"] for _look in range(6)]
    assert looks in ([True, False] * 3, [False, True] * 3)
    assert rest("DELETE", f"{LIST}/{rest.names(ORG)['one']['id']}").status_code == 422


def test_status_flickers_for_the_runner_named(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    registered("one").connect()
    registered("two").connect()
    double.admin.fault(flicker="status", runner="one")
    looks = [rest.names(ORG) for _look in range(4)]
    assert {look["one"]["status"] for look in looks} == {"online", "offline"}
    assert {look["two"]["status"] for look in looks} == {"online"}


def test_a_list_that_is_cut_short(rest: Rest, double: Double) -> None:
    for name in ("one", "two", "three"):
        rest.jit(ORG, name)
    double.admin.fault(short_list=2, times=1)
    found = rest("GET", LIST).json()
    assert (found["total_count"], len(found["runners"])) == (1, 1)
    assert len(rest.names(ORG)) == 3


def test_a_runner_is_deregistered_silently_when_idle(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    double.admin.settings(poll_hold=0)
    runner = registered("one").connect()
    registered("two").connect()
    double.admin.fault(deregister="online", runner="one")
    assert list(rest.names(ORG)) == ["two"]
    assert runner.poll().status_code == 202


def test_a_runner_is_deregistered_silently_when_it_takes_its_job(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    double.admin.fault(deregister="acknowledge")
    runner, job = busy(registered, double)
    assert list(rest.names(ORG)) == ["one"]
    runner.step("acknowledge", job)
    assert rest.names(ORG) == {}
    assert runner.step("renew", job).status_code == 200
    assert runner.step("complete", job, {"result": "Succeeded"}).status_code == 204


def test_a_job_is_reported_as_over_too_early(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    double.admin.fault(complete_early=0, result="Failed")
    runner, job = busy(registered, double)
    runner.step("acknowledge", job)
    seen = double.admin.job(job)
    assert (seen["status"], seen["result"], seen["held"]) == ("completed", "Failed", True)
    assert rest.names(ORG) == {}
    assert runner.step("renew", job).status_code == 200
    assert runner.step("log", job, data="still here\n").status_code == 204
    assert runner.step("complete", job, {"result": "Succeeded"}).status_code == 204
    seen = double.admin.job(job)
    assert (seen["result"], seen["held"], seen["log"]) == ("Failed", False, "still here\n")


def test_a_version_is_refused(registered: Callable[..., Runner], double: Double) -> None:
    double.admin.fault(refuse_version=r"2\.336\..*", times=1)
    runner = registered("one")
    runner.token = runner.ask_token().json()["access_token"]
    assert runner.ask_session(version="2.336.0").status_code == 403
    assert runner.ask_session(version="2.336.0").status_code == 200


# Wrong orders


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "exactly one"),
        ({"path": "x"}, "exactly one"),
        ({"status": 500, "html": 500}, "exactly one"),
        ({"status": "500"}, "status = '500'"),
        ({"status": True}, "status = True"),
        ({"status": 500, "tims": 1}, "tims = 1: unknown"),
        ({"status": 500, "times": -1}, "must not be negative"),
        ({"cut": "sometimes"}, "before, after"),
        ({"status": 500, "path": "("}, "not a regular expression"),
        ({"refuse_version": "["}, "not a regular expression"),
    ],
    ids=str,
)
def test_a_fault_that_makes_no_sense_is_refused(double: Double, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(AdminError, match="422") as error:
        double.admin.fault(**wrong)
    assert why in str(error.value)
    assert double.admin.faults() == []
