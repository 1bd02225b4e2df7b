# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gha_webhook_delivery_info against the GitHub double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.doubles.github.server import Double
from tests.doubles.github.settings import iso, moment

from .conftest import TOKEN, Result, Run
from .conftest import WEBHOOK as URL

MODULE = "gha_webhook_delivery_info"
HOOK = 300001  # the organization's; its first delivery is GitHub's ping
DELIVERIES = f"/orgs/my-org/hooks/{HOOK}/deliveries"
Calls = Callable[[], list[str]]


@pytest.fixture
def listed(run: Run) -> Callable[..., Result]:
    """Runs the module for that webhook."""
    return lambda **options: run(MODULE, **{"hook_id": HOOK, **options})


def ids(found: Result) -> list[int]:
    assert "failed" not in found, found
    return [each["id"] for each in found["deliveries"]]


def test_all_of_them(listed: Callable[..., Result], double: Double, calls: Calls) -> None:
    double.admin.advance(60)
    (number,) = double.admin.deliver(HOOK, action="queued", guid="a-b", status="failed to connect", status_code=502)
    found = listed()
    first, ping = found["deliveries"]
    assert first == {
        "id": number,
        "guid": "a-b",
        "delivered_at": first["delivered_at"],
        "redelivery": False,
        "duration": 0.03,
        "status": "failed to connect",
        "status_code": 502,
        "succeeded": False,
        "event": "workflow_job",
        "action": "queued",
    }
    assert 55 < moment(first["delivered_at"]) - moment(ping["delivered_at"]) < 65
    assert (ping["event"], ping["action"], ping["succeeded"]) == ("ping", None, True)
    assert number > 2**53
    assert (found["scope"], found["hook_id"], found["request"], found["response"]) == ("my-org", HOOK, None, None)
    again, check = listed(), listed(check=True)
    assert found == again == {**check, "invocation": found["invocation"]}
    assert found["changed"] is False
    assert calls() == [f"GET {DELIVERIES}"] * 3


def test_of_a_repository_by_its_url(run: Run, double: Double, calls: Calls) -> None:
    double.admin.scopes({"my-org/app": {"webhooks": [f"{URL}/other"]}})
    found = run(MODULE, scope="my-org/app", hook_url=URL)
    assert calls() == ["GET /repos/my-org/app/hooks", f"GET /repos/my-org/app/hooks/{found['hook_id']}/deliveries"]
    assert found["deliveries"][0]["event"] == "ping"


class TestFilters:
    @pytest.fixture(autouse=True)
    def some(self, double: Double) -> dict[str, int]:
        """Deliveries by what they are, besides the ping, an hour before them."""
        double.admin.advance(3600)
        kinds: dict[str, dict[str, Any]] = {
            "good": {"status_code": 204},
            "moved": {"status_code": 399},
            "refused": {"status_code": 400},
            "broken": {"status_code": 500, "guid": "a"},
            "cut": {"status_code": 0, "status": "timed out"},
            "push": {"event": "push", "redelivery": True, "guid": "a"},
        }
        return {name: double.admin.deliver(HOOK, **kind)[0] for name, kind in kinds.items()}

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"status": "success"}, ["push", "moved", "good", "ping"]),
            ({"status": "failure"}, ["cut", "broken", "refused"]),
            ({"event": "push"}, ["push"]),
            ({"event": "issues"}, []),
            ({"guid": "a"}, ["push", "broken"]),
            ({"guid": "a", "status": "failure"}, ["broken"]),
        ],
    )
    def test_alone_and_together(
        self, listed: Callable[..., Result], some: dict[str, int], options: dict[str, str], expected: list[str]
    ) -> None:
        names = {number: name for name, number in some.items()}
        assert [names.get(number, "ping") for number in ids(listed(**options))] == expected

    def test_since(self, listed: Callable[..., Result], double: Double) -> None:
        now = moment(double.admin.state()["time"])
        assert len(ids(listed(since=iso(now - 60)))) == 6
        assert len(ids(listed(since=iso(now - 60).replace("T", " ").replace("Z", "+00:00"), status="failure"))) == 3
        assert len(ids(listed(since=iso(now + 60)))) == 0
        assert len(ids(listed(since=iso(now - 4000)))) == 7


class TestPages:
    def test_all_of_them_in_githubs_order(self, listed: Callable[..., Result], double: Double, calls: Calls) -> None:
        made = double.admin.deliver(HOOK, count=100)
        assert ids(listed())[:100] == made[::-1]
        assert calls() == [f"GET {DELIVERIES}"] * 2  # 101 with the ping

    def test_no_page_that_is_too_old(self, listed: Callable[..., Result], double: Double, calls: Calls) -> None:
        double.admin.deliver(HOOK, count=250)
        double.admin.advance(7200)
        made = double.admin.deliver(HOOK, count=2)
        since = iso(moment(double.admin.state()["time"]) - 3600)
        calls()
        assert ids(listed(since=since)) == made[::-1]
        assert calls() == [f"GET {DELIVERIES}"]

    def test_one_that_fails_half_way(self, listed: Callable[..., Result], double: Double) -> None:
        double.admin.deliver(HOOK, count=150)
        double.admin.fault(status=500, skip=1)
        error = listed()["error"]
        assert (error["status"], error["action"]) == (500, f"list the deliveries of the webhook {HOOK} of my-org")

    def test_what_is_three_days_old_is_gone(self, listed: Callable[..., Result], double: Double) -> None:
        double.admin.advance(3 * 86400 + 60)
        assert ids(listed()) == []


class TestOne:
    def test_what_was_sent_and_answered(self, listed: Callable[..., Result], double: Double, calls: Calls) -> None:
        number, _other = double.admin.deliver(HOOK, count=2, payload={"action": "queued"}, status="Invalid", guid="g")
        found = listed(delivery_id=number)
        assert ids(found) == [number]
        assert found["request"]["payload"] == {"action": "queued"}
        assert found["request"]["headers"]["X-GitHub-Delivery"] == "g"
        assert found["response"] == {"headers": {"Content-Type": "text/plain"}, "payload": "Invalid"}
        assert calls() == [f"GET {DELIVERIES}/{number}"]

    def test_that_is_not_there(self, listed: Callable[..., Result]) -> None:
        error = listed(delivery_id=1)["error"]
        assert (error["kind"], error["action"]) == (
            "NotFound",
            f"look at the delivery 1 of the webhook {HOOK} of my-org",
        )


class TestRefused:
    def test_a_webhook_that_is_not_there(self, run: Run, double: Double) -> None:
        error = run(MODULE, hook_id=1)["error"]
        assert error["kind"] == "NotFound"
        assert f"{double.api_url}/my-org is there and has this webhook" in error["remedy"]

    def test_no_webhook_sends_there(self, run: Run) -> None:
        found = run(MODULE, hook_url=f"{URL}/")
        assert found["msg"].startswith(f"hook_url = {URL}/: no webhook of my-org sends there. Do: see http")

    def test_two_webhooks_send_there(self, run: Run, double: Double) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"name": "web", "config": {"url": URL}, "events": ["push"]}
        assert requests.post(f"{double.api_url}/orgs/my-org/hooks", json=body, headers=headers, timeout=30).ok
        found = run(MODULE, hook_url=URL)
        assert "2 webhooks of my-org send there: " in found["msg"]
        assert found["msg"].endswith(". Do: give one as hook_id")

    @pytest.mark.parametrize(
        ("scope", "scopes", "permissions"),
        [
            ("my-org", ["admin:org", "repo"], {"organization_self_hosted_runners": "write"}),
            ("my-org/site", ["admin:org"], {"administration": "write"}),
        ],
    )
    def test_a_credential_without_the_right(
        self, run: Run, double: Double, scope: str, scopes: list[str], permissions: dict[str, str]
    ) -> None:
        """One that may manage runners."""
        double.admin.scopes({"my-org/site": {"webhooks": [URL]}})
        rights = {scope: "write"}
        fine = {"token": "ghp_2", "kind": "fine-grained", "scopes": rights, "permissions": permissions}
        double.admin.credentials(
            {"classic": {"token": "ghp_1", "scopes": rights, "oauth_scopes": scopes}, "fine": fine}
        )
        for token in ("ghp_1", "ghp_2"):
            error = run(MODULE, scope=scope, hook_id=HOOK, token=token)["error"]
            assert (error["status"], error["kind"]) == (403, "Forbidden"), token
            assert "permission 'Webhooks: read' (a classic token: scope 'admin:" in error["remedy"]

    @pytest.mark.parametrize(("scope", "granted"), [("my-org", "admin:org_hook"), ("my-org/app", "repo")])
    def test_a_credential_with_no_right_but_this(self, run: Run, double: Double, scope: str, granted: str) -> None:
        double.admin.credentials({"c": {"token": "ghp_3", "scopes": {scope: "read"}, "oauth_scopes": [granted]}})
        assert run(MODULE, scope=scope, hook_url=URL, token="ghp_3")["deliveries"][0]["event"] == "ping"

    @pytest.mark.parametrize(
        ("scope", "permission"), [("my-org", "organization_hooks"), ("my-org/app", "repository_hooks")]
    )
    def test_an_app_that_may_see_webhooks_and_no_more(
        self, run: Run, double: Double, scope: str, permission: str
    ) -> None:
        permissions = {permission: "read", "metadata": "read"}
        double.admin.apps({"my-app": {"id": 5, "permissions": permissions, "installations": {"my-org": {}}}})
        key = double.admin.app_key("my-app")
        found = run(MODULE, scope=scope, hook_url=URL, token=None, app_id=5, private_key=key)
        assert found["deliveries"][0]["event"] == "ping"

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"hook_id": None}, "one of the following is required: hook_id, hook_url"),
            ({"hook_url": URL}, "parameters are mutually exclusive: hook_id|hook_url"),
            ({"delivery_id": 5, "event": "push"}, "parameters are mutually exclusive: delivery_id|event"),
            (
                {"scope": "enterprises/acme"},
                "scope = enterprises/acme: GitHub's API does not tell of an enterprise's",
            ),
            ({"since": "yesterday"}, "since = 'yesterday': no time with a zone. Do: write it as 2026-"),
            ({"since": "2026-11-21T10:00:00"}, "since = '2026-11-21T10:00:00': no time with a zone"),
        ],
    )
    def test_options_that_make_no_sense(
        self, listed: Callable[..., Result], calls: Calls, options: dict[str, Any], problem: str
    ) -> None:
        found = listed(**options)
        assert found["failed"] is True
        assert problem in found["msg"]
        assert calls() == []
