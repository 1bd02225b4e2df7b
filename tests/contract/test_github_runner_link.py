# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner's side: keys, tokens, sessions and whether they live, messages, jobs, and one job a key."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.contract.client import ASSERTION, Rest, Runner
from tests.doubles.github import jit
from tests.doubles.github.server import Double

ORG = "/orgs/my-org"
REPO = "/repos/my-org/app"
ENTERPRISE = "/enterprises/acme"
NEVER = 3600.0  # seconds: longer than any test


def status(state: dict[str, Any], name: str) -> str:
    """What a runner is, of a state of the admin port: online, offline or gone."""
    return str(next((runner["status"] for runner in state["runners"] if runner["name"] == name), "gone"))


def queue(double: Double, *labels: str, repository: str = "my-org/app", **fields: Any) -> int:
    return double.admin.queue(repository, list(labels) or ["self-hosted"], "echo hello", **fields)[0]


# The key and the token


def test_the_key_gets_a_token(registered: Callable[..., Runner]) -> None:
    answer = registered().ask_token()
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "expires_in"}
    assert answer.json()["expires_in"] > 0


def test_a_proof_of_five_minutes_is_enough(registered: Callable[..., Runner]) -> None:
    runner = registered()
    assert runner.ask_token(runner.assertion(exp=int(time.time()) + 300)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "someone"},
        {"sub": "someone"},
        {"aud": "https://elsewhere/_runner/token"},
        {"exp": 1},
        {"exp": 4_000_000_000},
        {"exp": None},
        {"aud": None},
        {"sub": None},
        {"iss": None},
    ],
    ids=str,
)
def test_a_wrong_proof_is_refused(registered: Callable[..., Runner], change: dict[str, Any]) -> None:
    runner = registered()
    answer = runner.ask_token(runner.assertion(**change))
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_client"})
    assert runner.ask_token().status_code == 200


def test_another_key_is_refused(registered: Callable[..., Runner]) -> None:
    runner, other = registered("one"), registered("two")
    assert runner.ask_token(runner.assertion(other.key)).json() == {"error": "invalid_client"}
    assert runner.ask_token(runner.assertion(jit.new_key())).json() == {"error": "invalid_client"}


@pytest.mark.parametrize("assertion", ["", "a.b.c", "not a token"])
def test_no_proof_at_all_is_refused(registered: Callable[..., Runner], assertion: str) -> None:
    runner = registered()
    answer = runner._http.post(
        f"{runner.base}/token",
        {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": assertion},
        timeout=30,
    )
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_client"})


def test_a_proof_signed_with_the_public_key_is_refused(registered: Callable[..., Runner]) -> None:
    """The classic confusion of algorithms: what everyone may know, used as a shared secret."""
    runner = registered()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = runner.key.public_key().public_bytes(serialization.Encoding.PEM, form)
    payload = runner.assertion().split(".")[1]

    def encoded(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    for algorithm, key in (("HS256", public), ("none", None)):
        signed = f"{encoded(json.dumps({'alg': algorithm, 'typ': 'JWT'}).encode())}.{payload}"
        signature = hmac.new(key, signed.encode(), "sha256").digest() if key else b""
        answer = runner.ask_token(f"{signed}.{encoded(signature)}")
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid_client"})


def test_the_grant_has_to_be_the_right_one(registered: Callable[..., Runner]) -> None:
    runner = registered()
    form = {"grant_type": "password", "client_assertion_type": ASSERTION, "client_assertion": runner.assertion()}
    assert runner._http.post(f"{runner.base}/token", form, timeout=30).status_code == 400


def test_calls_without_a_token_are_401(registered: Callable[..., Runner]) -> None:
    runner = registered()
    for token in ("", "wrong"):
        runner.token = token
        assert runner.ask_session().status_code == 401
        assert runner.poll().status_code == 401
        assert runner.step("acknowledge", 1).status_code == 401


def test_an_access_token_ends_and_can_be_had_anew(registered: Callable[..., Runner], double: Double) -> None:
    runner = registered().connect()
    double.admin.settings(poll_hold=0)
    assert runner.poll().status_code == 202
    double.admin.advance(3001)
    assert runner.poll().status_code == 401
    runner.token = runner.ask_token().json()["access_token"]
    assert runner.poll().status_code == 202


def test_a_deleted_registration_has_no_token_and_no_session(registered: Callable[..., Runner], rest: Rest) -> None:
    runner = registered("one")
    runner.token = runner.ask_token().json()["access_token"]
    assert rest("DELETE", f"{ORG}/actions/runners/{rest.names(ORG)['one']['id']}").status_code == 204
    assert runner.ask_session().status_code == 404
    assert runner.ask_token().json() == {"error": "invalid_client"}


def test_a_jit_configuration_left_unused_is_useless_after_an_hour(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    used, early, late = registered("used").connect(), registered("early"), registered("late")
    double.admin.advance(3590)
    assert early.ask_token().status_code == 200
    double.admin.advance(15)
    assert late.ask_token().json() == {"error": "invalid_client"}
    assert used.ask_token().status_code == 200
    assert "late" in rest.names(ORG)  # listed, offline, for a day


# Sessions and who is online


def test_a_runner_is_online_while_its_session_lives(registered: Callable[..., Runner], rest: Rest) -> None:
    runner = registered("one")
    assert runner.ask_token().status_code == 200
    assert rest.names(ORG)["one"]["status"] == "offline"
    runner.connect(version="2.336.0")
    seen = rest.names(ORG)["one"]
    assert (seen["status"], seen["os"], seen["version"], seen["busy"]) == ("online", "Linux", "2.336.0", False)
    assert runner.call("DELETE", f"/session?sessionId={runner.session}").status_code == 204
    assert rest.names(ORG)["one"]["status"] == "offline"
    assert runner.poll().status_code == 404
    assert runner.call("DELETE", f"/session?sessionId={runner.session}").status_code == 404


def test_a_cut_connection_ends_the_session_at_once(registered: Callable[..., Runner], double: Double) -> None:
    double.admin.settings(poll_hold=NEVER)  # nothing else could end it
    runner = registered("one").connect()
    link = runner.poll_socket()
    double.admin.wait(lambda state: state["sessions"] and state["sessions"][0]["polls"] == 1)
    assert status(double.admin.state(), "one") == "online"
    link.close()
    double.admin.wait(lambda state: status(state, "one") == "offline")
    assert runner.poll().status_code == 404
    assert runner.ask_session().status_code == 200


def test_without_a_message_call_a_session_ends_soon(registered: Callable[..., Runner], double: Double) -> None:
    registered("one").connect()
    assert status(double.admin.state(), "one") == "online"
    double.admin.settings(poll_grace=0.2)
    double.admin.wait(lambda state: status(state, "one") == "offline")


def test_an_open_message_call_keeps_a_session(registered: Callable[..., Runner], double: Double) -> None:
    double.admin.settings(poll_hold=NEVER)
    runner = registered("one").connect()
    link = runner.poll_socket()
    double.admin.wait(lambda state: state["sessions"] and state["sessions"][0]["polls"] == 1)
    double.admin.settings(poll_grace=0)
    assert status(double.admin.state(), "one") == "online"
    link.close()


def test_a_second_session_is_refused_while_the_first_lives(registered: Callable[..., Runner], double: Double) -> None:
    runner = registered("one").connect()
    assert runner.ask_session().status_code == 409
    twin = Runner.__new__(Runner)
    twin.__dict__.update(runner.__dict__)
    twin.token = twin.ask_token().json()["access_token"]
    assert twin.ask_session().status_code == 409
    assert runner.call("DELETE", f"/session?sessionId={runner.session}").status_code == 204
    assert twin.ask_session().status_code == 200


def test_a_session_is_its_runners_own(registered: Callable[..., Runner]) -> None:
    one, two = registered("one").connect(), registered("two").connect()
    two.session = one.session
    assert two.poll().status_code == 404
    assert two.call("DELETE", f"/session?sessionId={one.session}").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [{"agentName": "other"}, {"ephemeral": False}, {"version": None}, {"disableUpdate": "yes"}, {"architecture": 1}],
    ids=str,
)
def test_a_wrong_session_is_refused(registered: Callable[..., Runner], wrong: dict[str, Any]) -> None:
    runner = registered("one")
    runner.token = runner.ask_token().json()["access_token"]
    assert runner.ask_session(**wrong).status_code == 400


def test_the_session_tells_where_it_was_opened_from(registered: Callable[..., Runner], double: Double) -> None:
    runner = registered("one").connect()
    (session,) = double.admin.state()["sessions"]
    assert (session["id"], session["remote"], session["runner_name"]) == (runner.session, "127.0.0.1", "one")


def test_a_message_call_without_news_is_202(registered: Callable[..., Runner], double: Double) -> None:
    double.admin.settings(poll_hold=0)
    answer = registered().connect().poll()
    assert (answer.status_code, answer.content) == (202, b"")


# A job


def test_the_life_of_a_job(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    runner = registered("one", "self-hosted", "gpu").connect()
    with futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(runner.poll)
        double.admin.wait(lambda state: state["sessions"][0]["polls"] == 1)
        job = queue(double, "GPU", name="build", env={"WORD": "hello"})
        message = call.result().json()
    assert message["messageType"] == "RunnerJobRequest"
    body = message["body"]
    assert body == {
        "id": job,
        "run_id": body["run_id"],
        "name": "build",
        "repository": "my-org/app",
        "script": "echo hello",
        "env": {"WORD": "hello"},
    }
    assert rest.names(ORG)["one"]["busy"] is True
    answer = runner.step("acknowledge", job)
    assert (answer.status_code, answer.json()) == (200, body)
    assert runner.step("renew", job).json() == {"cancel": False}
    assert runner.step("log", job, data="one\n").status_code == 204
    assert runner.step("log", job, data="tw\u00f6\n").status_code == 204
    seen = double.admin.job(job)
    assert (seen["status"], seen["runner_name"], seen["log"]) == ("in_progress", "one", "one\ntw\u00f6\n")
    assert runner.step("complete", job, {"result": "Failed"}).status_code == 204
    seen = double.admin.job(job)
    assert (seen["status"], seen["result"], seen["runner_name"]) == ("completed", "Failed", "one")
    assert all(seen[when] for when in ("queued_at", "assigned_at", "started_at", "completed_at"))


def test_a_key_serves_one_job(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    runner = registered("one").connect()
    first, second = queue(double), queue(double)
    assert runner.run_one() == first
    assert rest.names(ORG) == {}
    assert runner.poll().status_code == 404
    assert runner.ask_session().status_code == 404
    assert runner.ask_token().json() == {"error": "invalid_client"}
    for what, body in (("acknowledge", None), ("renew", None), ("complete", {"result": "Succeeded"})):
        assert runner.step(what, first, body).status_code == 404
    assert double.admin.job(second)["status"] == "queued"
    (gone,) = double.admin.state()["gone"]
    assert (gone["name"], gone["gone"], gone["job"]) == ("one", "had its one job", first)


def test_no_second_job_comes_while_the_first_runs(registered: Callable[..., Runner], double: Double) -> None:
    runner = registered("one").connect()
    double.admin.settings(poll_hold=0)
    queue(double)
    second = queue(double)
    assert runner.step("acknowledge", runner.job()["id"]).status_code == 200
    assert runner.poll().status_code == 202
    assert double.admin.job(second)["status"] == "queued"


def test_a_wrong_result_is_refused(registered: Callable[..., Runner], double: Double) -> None:
    runner = registered().connect()
    queue(double)
    job = runner.job()["id"]
    runner.step("acknowledge", job)
    assert runner.step("complete", job, {"result": "Great"}).status_code == 400
    assert runner.step("complete", job, {}).status_code == 400
    assert double.admin.job(job)["status"] == "in_progress"


def test_a_job_is_its_runners_own(registered: Callable[..., Runner], double: Double) -> None:
    one, two = registered("one").connect(), registered("two", "other").connect()
    queue(double)
    job = one.job()["id"]
    assert two.step("acknowledge", job).status_code == 404
    assert one.step("renew", job).status_code == 404  # not acknowledged yet
    assert one.step("acknowledge", job).status_code == 200
    for what, body in (("renew", None), ("log", None), ("complete", {"result": "Succeeded"})):
        assert two.step(what, job, body).status_code == 404
    for number in ("99999", "x"):
        assert one.call("POST", f"/jobs/{number}/acknowledge").status_code == 404


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_busy_runner_cannot_be_deleted(
    registered: Callable[..., Runner], rest: Rest, double: Double, acknowledged: bool
) -> None:
    runner = registered("one").connect()
    queue(double)
    job = runner.job()["id"]
    if acknowledged:
        runner.step("acknowledge", job)
    path = f"{ORG}/actions/runners/{rest.names(ORG)['one']['id']}"
    answer = rest("DELETE", path)
    assert answer.status_code == 422
    assert "is still running a job" in answer.json()["message"]
    runner.step("acknowledge", job)
    runner.step("complete", job, {"result": "Succeeded"})
    assert rest("DELETE", path).status_code == 404


def test_deleting_an_idle_runner_ends_its_message_call(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    double.admin.settings(poll_hold=NEVER)
    runner = registered("one").connect()
    with futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(runner.poll)
        double.admin.wait(lambda state: state["sessions"][0]["polls"] == 1)
        assert rest("DELETE", f"{ORG}/actions/runners/{rest.names(ORG)['one']['id']}").status_code == 204
        assert call.result().status_code == 404


def test_a_job_waits_for_a_runner_that_fits(registered: Callable[..., Runner], double: Double) -> None:
    job = queue(double, "self-hosted", "gpu")
    registered("plain").connect()
    registered("off", "self-hosted", "gpu")
    assert double.admin.job(job)["status"] == "queued"
    runner = registered("right", "GPU", "Self-Hosted", "more").connect()
    assert runner.job()["id"] == job


@pytest.mark.parametrize(
    ("scope", "repository", "fits"),
    [
        (ORG, "my-org/app", True),
        (ORG, "my-org/new", True),
        (ORG, "other-org/app", False),
        (REPO, "my-org/app", True),
        (REPO, "my-org/new", False),
        (ENTERPRISE, "my-org/app", True),
        (ENTERPRISE, "me/home", False),
    ],
)
def test_where_a_runner_takes_jobs_from(
    registered: Callable[..., Runner], double: Double, scope: str, repository: str, fits: bool
) -> None:
    registered("one", scope=scope).connect()
    job = queue(double, repository=repository)
    assert double.admin.job(job)["status"] == ("assigned" if fits else "queued")


def test_groups_keep_public_repositories_out(registered: Callable[..., Runner], double: Double) -> None:
    double.admin.scopes({"my-org/open": {"visibility": "public"}})
    registered("one").connect()
    job = queue(double, repository="my-org/open")
    assert double.admin.job(job)["status"] == "queued"
    double.admin.scopes({"my-org": {"groups": [{"name": "Default", "allows_public_repositories": True}]}})
    assert double.admin.job(job)["status"] == "assigned"


def test_jobs_go_out_in_order_one_to_each(registered: Callable[..., Runner], double: Double) -> None:
    jobs = double.admin.queue("my-org/app", ["self-hosted"], "true", name="matrix", count=3)
    for name in ("one", "two"):
        registered(name).connect()
    seen = [double.admin.job(job) for job in jobs]
    assert [job["status"] for job in seen] == ["assigned", "assigned", "queued"]
    assert {job["runner_name"] for job in seen[:2]} == {"one", "two"}
    assert [job["name"] for job in seen] == ["matrix (1)", "matrix (2)", "matrix (3)"]


# Cancelling and losing


def test_cancelling_before_and_after_it_began(registered: Callable[..., Runner], double: Double) -> None:
    waiting = queue(double, "nobody-has-this")
    double.admin.cancel(waiting)
    assert (double.admin.job(waiting)["status"], double.admin.job(waiting)["result"]) == ("completed", "Canceled")
    runner = registered("one").connect()
    offered = queue(double)
    assert runner.job()["id"] == offered
    double.admin.cancel(offered)
    assert runner.step("acknowledge", offered).status_code == 404
    running = queue(double)
    assert runner.job()["id"] == running
    runner.step("acknowledge", running)
    double.admin.cancel(running)
    assert runner.step("renew", running).json() == {"cancel": True}
    assert double.admin.job(running)["status"] == "in_progress"  # until its runner says so
    assert runner.step("complete", running, {"result": "Canceled"}).status_code == 204
    assert double.admin.job(running)["result"] == "Canceled"


def test_a_job_that_nobody_picks_up_is_queued_again(registered: Callable[..., Runner], double: Double) -> None:
    slow = registered("slow").connect()
    job = queue(double)
    assert slow.job()["id"] == job
    slow.call("DELETE", f"/session?sessionId={slow.session}")
    other = registered("other").connect()
    assert double.admin.job(job)["runner_name"] == "slow"
    double.admin.settings(pickup_life=0)
    double.admin.wait(lambda state: state["jobs"][0]["runner_name"] == "other")
    double.admin.settings(pickup_life=NEVER)
    assert slow.step("acknowledge", job).status_code == 404
    assert other.run_one() == job
    assert double.admin.job(job)["assignments"][0]["runner_name"] == "slow"


def test_time_passes_though_nobody_asks(registered: Callable[..., Runner], double: Double) -> None:
    double.admin.settings(poll_hold=NEVER, pickup_life=1)
    slow, other = registered("slow").connect(), registered("other")
    job = queue(double)
    slow.call("DELETE", f"/session?sessionId={slow.session}")
    # The call is answered by the clock alone: the job of the runner that is gone goes to the one that waits.
    assert other.connect().poll().json()["body"]["id"] == job


def test_an_offer_that_was_lost_is_made_again_to_a_new_session(
    registered: Callable[..., Runner], double: Double
) -> None:
    runner = registered("one").connect()
    job = queue(double)
    assert runner.job()["id"] == job
    runner.call("DELETE", f"/session?sessionId={runner.session}")
    runner.connect()
    assert runner.job()["id"] == job


def test_a_runner_that_dies_in_its_job_is_busy_until_the_job_is_given_up(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    runner = registered("one").connect()
    queue(double)
    job = runner.job()["id"]
    runner.step("acknowledge", job)
    double.admin.settings(renew_grace=0.2, poll_grace=0.2)
    double.admin.wait(lambda state: status(state, "one") == "offline")
    seen = rest.names(ORG)["one"]
    assert (seen["status"], seen["busy"]) == ("offline", True)
    assert rest("DELETE", f"{ORG}/actions/runners/{seen['id']}").status_code == 422
    double.admin.settings(lease_life=0)
    double.admin.wait(lambda state: status(state, "one") == "gone")
    lost = double.admin.job(job)
    assert (lost["result"], lost["reason"]) == ("Failed", "the runner lost communication with the server")
    assert runner.step("complete", job, {"result": "Succeeded"}).status_code == 404
    assert runner.ask_token().json() == {"error": "invalid_client"}


def test_renewing_keeps_a_runner_online(registered: Callable[..., Runner], double: Double) -> None:
    runner = registered("one").connect()
    queue(double)
    job = runner.job()["id"]
    double.admin.settings(poll_grace=0)
    assert status(double.admin.state(), "one") == "offline"
    runner.step("acknowledge", job)
    assert runner.step("renew", job).status_code == 200
    assert status(double.admin.state(), "one") == "online"


def test_removed_by_github_while_busy_the_job_goes_on(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    runner = registered("one").connect()
    queue(double)
    job = runner.job()["id"]
    runner.step("acknowledge", job)
    double.admin.remove_runner(rest.names(ORG)["one"]["id"])
    assert rest.names(ORG) == {}
    assert runner.poll().status_code == 404
    assert runner.step("renew", job).status_code == 200
    assert runner.step("complete", job, {"result": "Succeeded"}).status_code == 204
    assert double.admin.job(job)["result"] == "Succeeded"


def test_removed_by_github_silently_the_runner_goes_on_listening(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    double.admin.settings(poll_hold=0)
    runner = registered("one").connect()
    double.admin.remove_runner(rest.names(ORG)["one"]["id"], silent=True)
    assert rest.names(ORG) == {}
    assert runner.poll().status_code == 202
    assert double.admin.job(queue(double))["status"] == "queued"
    assert runner.ask_token().json() == {"error": "invalid_client"}


# Versions


def test_an_old_version_is_refused_a_session(registered: Callable[..., Runner], double: Double) -> None:
    double.admin.settings(releases={"2.400.0": "2026-01-01", "2.401.0": "2026-02-01"})
    runner = registered("one")
    runner.token = runner.ask_token().json()["access_token"]
    answer = runner.ask_session(version="2.400.0")
    assert answer.status_code == 403
    assert "deprecated" in answer.json()["message"]
    assert runner.ask_session(version="2.401.0").status_code == 200


def test_versions_age_with_the_movable_clock(registered: Callable[..., Runner], double: Double) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    double.admin.settings(releases={"2.400.0": "2026-01-01", "2.401.0": now})
    registered("before").connect(version="2.400.0")
    double.admin.advance(31 * 86400)
    late = registered("after")
    late.token = late.ask_token().json()["access_token"]
    assert late.ask_session(version="2.400.0").status_code == 403


@pytest.mark.parametrize(("disabled", "told"), [(False, True), (True, False)])
def test_who_may_update_is_told_to_once(
    registered: Callable[..., Runner], double: Double, disabled: bool, told: bool
) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    double.admin.settings(releases={"2.400.0": "2026-01-01", "2.401.0": now}, poll_hold=0)
    runner = registered("one").connect(version="2.400.0", disableUpdate=disabled)
    first, second = runner.poll(), runner.poll()
    assert first.status_code == (200 if told else 202)
    if told:
        assert first.json()["messageType"] == "RunnerRefreshMessage"
        assert first.json()["body"] == {"targetVersion": "2.401.0"}
    assert second.status_code == 202


# Time at GitHub


def test_an_offline_runner_is_removed_after_a_day_an_online_one_never(
    registered: Callable[..., Runner], rest: Rest, double: Double
) -> None:
    registered("offline")
    runner = registered("online").connect()
    double.admin.advance(86000)
    assert set(rest.names(ORG)) == {"offline", "online"}
    double.admin.advance(600)
    assert set(rest.names(ORG)) == {"online"}
    double.admin.advance(30 * 86400)
    assert rest.names(ORG)["online"]["status"] == "online"
    runner.token = runner.ask_token().json()["access_token"]
    assert runner.call("DELETE", f"/session?sessionId={runner.session}").status_code == 204
    double.admin.advance(86000)
    assert rest.names(ORG)["online"]["status"] == "offline"
    double.admin.advance(600)
    assert rest.names(ORG) == {}


def test_idle_runners_are_removed_if_so_set(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    double.admin.settings(idle_jit_life=180)
    idle, busy = registered("idle", "idle").connect(), registered("busy").connect()
    queue(double)
    busy.step("acknowledge", busy.job()["id"])
    registered("offline")
    double.admin.advance(170)
    assert set(rest.names(ORG)) == {"idle", "busy", "offline"}
    double.admin.advance(15)
    assert set(rest.names(ORG)) == {"busy", "offline"}
    assert idle.poll().status_code == 404


def test_moving_the_clock_takes_nobody_offline(registered: Callable[..., Runner], rest: Rest, double: Double) -> None:
    runner = registered("one").connect()
    queue(double)
    job = runner.job()["id"]
    double.admin.advance(7 * 86400)
    assert runner.step("acknowledge", job).status_code == 200
    double.admin.advance(7 * 86400)
    assert rest.names(ORG)["one"]["status"] == "online"
    assert runner.step("complete", job, {"result": "Succeeded"}).status_code == 204
