# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module github_app_token against the GitHub double."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from tests.doubles.github.server import Double

from .conftest import Run, warnings_in

MODULE = "github_app_token"
KEYS = {"changed", "token", "expires_at", "permissions", "repositories", "installation_id", "scope", "invocation"}
GRANTED = {
    "organization_self_hosted_runners": "write",
    "administration": "write",
    "contents": "read",
    "metadata": "read",
}
Calls = Callable[[], list[str]]
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(run: Run, double: Double) -> Make:
    """Runs the module with an App that is installed on my-org, with two of its three repositories."""
    installation = {"id": 77, "repositories": ["my-org/app", "my-org/lib"]}
    double.admin.apps({"my-app": {"id": 5, "permissions": GRANTED, "installations": {"my-org": installation}}})
    key = double.admin.app_key("my-app")

    def go(**options: Any) -> dict[str, Any]:
        found = run(MODULE, **{"token": None, "app_id": 5, "private_key": key, **options})
        assert not [line for line in key.splitlines() if "-----" not in line and line in str(found)]
        return found

    return go


def status(double: Double, token: str, path: str) -> int:
    """What GitHub says to a question with this token."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(double.api_url + path, headers=headers, timeout=30).status_code


def test_by_default_what_runners_need(make: Make, double: Double, calls: Calls) -> None:
    found = make()
    assert calls() == ["GET /orgs/my-org/installation", "POST /app/installations/77/access_tokens"]
    assert found.keys() == KEYS
    (issued,) = double.admin.issued()
    assert (found["token"], found["changed"], found["scope"]) == (issued["secret"], True, "my-org")
    assert found["permissions"] == {"organization_self_hosted_runners": "write", "metadata": "read"}
    assert (found["repositories"], found["installation_id"]) == (None, 77)
    left = datetime.strptime(found["expires_at"], "%Y-%m-%dT%H:%M:%S%z") - datetime.now(timezone.utc)
    assert timedelta(minutes=58) < left <= timedelta(hours=1)
    assert status(double, found["token"], "/orgs/my-org/actions/runners") == 200
    assert status(double, found["token"], "/repos/my-org/app/actions/runners") == 403


def test_of_a_repository_that_alone(make: Make, double: Double) -> None:
    found = make(scope="my-org/app")
    assert found["permissions"] == {"administration": "write", "metadata": "read"}
    assert (found["repositories"], found["scope"]) == (["my-org/app"], "my-org/app")
    assert status(double, found["token"], "/repos/my-org/app/actions/runners") == 200
    assert status(double, found["token"], "/repos/my-org/lib/actions/runners") == 404


@pytest.mark.parametrize("scope", ["my-org", "my-org/app"])
def test_narrowed_as_asked(make: Make, double: Double, scope: str) -> None:
    found = make(scope=scope, permissions={"contents": "read", "metadata": "read"}, repositories=["app", "lib"])
    assert found["permissions"] == {"contents": "read", "metadata": "read"}
    assert sorted(found["repositories"]) == ["my-org/app", "my-org/lib"]
    assert status(double, found["token"], "/orgs/my-org/actions/runners") == 403


def test_every_run_makes_another(make: Make) -> None:
    first, second = make(), make()
    assert first["changed"] is second["changed"] is True
    assert first["token"] != second["token"]


@pytest.mark.parametrize("installation", [None, 77, 78])
def test_check_mode_asks_and_makes_none(make: Make, double: Double, calls: Calls, installation: int | None) -> None:
    found = make(check=True, installation_id=installation)
    assert found == make(check=True, installation_id=installation)
    assert calls() == ["GET /orgs/my-org/installation"] * 2
    assert double.admin.issued() == []
    assert found.keys() == KEYS
    assert (found["changed"], found["installation_id"]) == (True, 77)
    assert {found[key] for key in ("token", "expires_at", "permissions", "repositories")} == {None}


class TestWrong:
    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"permissions": {}}, "permissions = {}: GitHub would give all. Do: name those"),
            ({"permissions": {"contents": "all"}}, "permissions.contents = all: no level of a permission. Do: write"),
            ({"permissions": {"contents": True}}, "permissions.contents = True: no level of a permission"),
            ({"repositories": []}, "repositories = []: GitHub would take all. Do: name those"),
            ({"repositories": ["my-org/app"]}, "repositories = my-org/app: not the name alone. Do: write"),
            ({"repositories": [""]}, "repositories = : not the name alone"),
        ],
    )
    def test_told_without_asking(self, make: Make, calls: Calls, options: dict[str, Any], problem: str) -> None:
        assert make(**options)["msg"].startswith(problem)
        assert calls() == []

    @pytest.mark.parametrize("environ", [False, True])
    def test_a_token_makes_no_tokens(self, run: Run, calls: Calls, environ: bool) -> None:
        found = run(MODULE, **({"token": None, "environ": {"GITHUB_TOKEN": "ghp_x"}} if environ else {}))
        assert found["msg"].startswith("token = (hidden): only a GitHub App makes tokens. Do: give client_id")
        assert ("(from the environment: GITHUB_TOKEN)" in found["msg"]) is environ
        assert calls() == []

    @pytest.mark.parametrize(
        ("options", "remedy"),
        [
            ({"permissions": {"contents": "write"}}, "give the App the permissions contents: write and let an owner"),
            (
                {"permissions": {"secrets": "read"}, "repositories": ["other"]},
                "; and let the installation have the repository other",
            ),
            ({"repositories": ["app", "other"]}, "let the installation have the repositories app, other"),
        ],
    )
    def test_more_than_it_has(self, make: Make, options: dict[str, Any], remedy: str) -> None:
        error = make(**options)["error"]
        assert (error["kind"], error["status"]) == ("Unprocessable", 422)
        assert remedy in error["remedy"]

    def test_an_installation_of_another(self, make: Make) -> None:
        error = make(installation_id=78)["error"]
        assert (error["kind"], error["status"]) == ("NotFound", 404)
        assert "see whether installation_id = 78 is of this App" in error["remedy"]


@pytest.mark.parametrize("fault", [{"cut": "after"}, {"truncate": 10}, {"malformed": True}, {"status": 500}])
def test_the_request_is_never_repeated(make: Make, double: Double, calls: Calls, fault: dict[str, object]) -> None:
    double.admin.fault(method="POST", times=1, **fault)
    found = make(retries=3)
    assert found["error"]["action"] == "make a token of the GitHub App 5 for my-org"
    assert len(calls()) == 2


def test_an_answer_that_does_not_say_what_it_may(make: Make, double: Double) -> None:
    body = {"token": "ghs_x", "expires_at": "2099-01-01T00:00:00Z"}
    double.admin.fault(method="POST", status=201, body=body)
    found = make()
    assert (found["token"], found["permissions"], found["repositories"]) == ("ghs_x", None, None)


def test_where_ansible_can_hide_secrets_it_is_told_of_this_one(make: Make, double: Double) -> None:
    """The Secrets API is that of ansible-core 2.22; here it writes into the result's warnings what it was told."""
    source = (
        "from ansible.module_utils.common.warnings import warn\n"
        "def register_secret(value, /):\n"
        "    if not value.startswith('-----'):\n"
        "        warn('registered ' + value[::-1])\n"
        "    return value\n"
    )
    found = make(added={"ansible.module_utils.secrets": source})
    (issued,) = double.admin.issued()
    assert warnings_in(found) == [f"registered {issued['secret'][::-1]}"]
