# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module github_registration_token against the GitHub double."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from tests.doubles.github.server import Double

from .conftest import Run, warnings_in

MODULE = "github_registration_token"
KEYS = {"changed", "token", "expires_at", "scope", "url", "invocation"}


@pytest.mark.parametrize(
    ("scope", "path", "canonical"),
    [
        ("my-org", "/orgs/my-org", "my-org"),
        ("{page}/my-org/app.git", "/repos/my-org/app", "my-org/app"),
        ("enterprises/acme", "/enterprises/acme", "enterprises/acme"),
    ],
)
@pytest.mark.parametrize(("kind", "asked"), [(None, "registration-token"), ("remove", "remove-token")])
def test_a_token_is_made(
    run: Run,
    double: Double,
    calls: Callable[[], list[str]],
    scope: str,
    path: str,
    canonical: str,
    kind: str,
    asked: str,
) -> None:
    found = run(MODULE, scope=scope.format(page=double.api_url), kind=kind)
    assert calls() == [f"POST {path}/actions/runners/{asked}"]
    assert found.keys() == KEYS
    assert (found["changed"], found["scope"], found["url"]) == (True, canonical, f"{double.api_url}/{canonical}")
    (issued,) = double.admin.issued()
    assert (found["token"], issued["kind"]) == (issued["secret"], asked)
    left = datetime.strptime(found["expires_at"], "%Y-%m-%dT%H:%M:%S%z") - datetime.now(timezone.utc)
    assert timedelta(minutes=58) < left <= timedelta(hours=1)


def test_every_run_makes_another(run: Run) -> None:
    first, second = run(MODULE), run(MODULE)
    assert first["changed"] is second["changed"] is True
    assert first["token"] != second["token"]


@pytest.mark.parametrize("kind", ["registration", "remove"])
def test_check_mode_asks_and_makes_none(run: Run, double: Double, calls: Callable[[], list[str]], kind: str) -> None:
    found = run(MODULE, check=True, kind=kind)
    assert calls() == ["GET /orgs/my-org/actions/runners"]
    assert double.admin.issued() == []
    assert found.keys() == KEYS
    assert (found["changed"], found["token"], found["expires_at"]) == (True, None, None)


def test_a_credential_that_may_only_read(run: Run, calls: Callable[[], list[str]]) -> None:
    found = run(MODULE, token="github_pat_reader")
    assert found["failed"] is True
    assert found["error"]["kind"] == "Forbidden"
    assert "organization_self_hosted_runners=write" in found["error"]["remedy"]
    assert calls() == ["POST /orgs/my-org/actions/runners/registration-token"]


@pytest.mark.parametrize("fault", [{"cut": "after"}, {"truncate": 10}, {"malformed": True}, {"status": 500}])
def test_the_request_is_never_repeated(
    run: Run, double: Double, calls: Callable[[], list[str]], fault: dict[str, object]
) -> None:
    double.admin.fault(method="POST", times=1, **fault)
    assert run(MODULE, retries=3)["failed"] is True
    assert len(calls()) == 1


def test_where_ansible_can_hide_secrets_it_is_told_of_this_one(run: Run, double: Double) -> None:
    """The Secrets API is that of ansible-core 2.22; here it writes into the result's warnings what it was told."""
    source = (
        "from ansible.module_utils.common.warnings import warn\n"
        "def register_secret(value, /):\n"
        "    warn('registered ' + value[::-1])\n"
        "    return value\n"
    )
    found = run(MODULE, added={"ansible.module_utils.secrets": source})
    (issued,) = double.admin.issued()
    assert found["token"] == issued["secret"]
    assert f"registered {issued['secret'][::-1]}" in warnings_in(found)
