# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub's REST side: who may do what, and what a credential's headers tell of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

from tests.contract.client import READ, WRITE, Rest, message
from tests.contract.conftest import CREDENTIALS, TOKEN
from tests.doubles.github.server import Double

ORG = "/orgs/my-org"
REPO = "/repos/my-org/app"
ENTERPRISE = "/enterprises/acme"


@pytest.mark.parametrize("path", [ORG + READ, REPO + READ, ENTERPRISE + READ, "/orgs/nobody" + READ, "/rate_limit"])
def test_a_bad_token_is_401_everywhere(client: Callable[[str | None], Rest], path: str) -> None:
    answer = client("ghp_wrong")("GET", path)
    assert (answer.status_code, message(answer)) == (401, "Bad credentials")


def test_no_token(client: Callable[[str | None], Rest], double: Double) -> None:
    double.admin.scopes({"my-org/open": {"visibility": "public"}})
    nobody = client(None)
    for path in (ORG + READ, REPO + READ, "/repos/my-org/open" + READ):
        answer = nobody("GET", path)
        assert (answer.status_code, message(answer)) == (401, "Requires authentication")
    assert nobody("GET", REPO).status_code == 404
    assert nobody("GET", "/repos/my-org/open").status_code == 200
    assert nobody("GET", ORG).status_code == 200
    assert nobody("GET", "/rate_limit").json()["resources"]["core"]["limit"] == 60


@pytest.mark.parametrize("word", ["Bearer", "token", "bearer"])
def test_the_words_before_a_token(rest: Rest, word: str) -> None:
    assert rest("GET", ORG + READ, headers={"Authorization": f"{word} {TOKEN}"}).status_code == 200


def test_other_words_are_refused(rest: Rest) -> None:
    for header in (TOKEN, f"Basic {TOKEN}", "Bearer"):
        assert rest("GET", ORG + READ, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("kind", ["classic", "fine-grained", "app"])
def test_permissions(client: Callable[[str | None], Rest], double: Double, kind: str) -> None:
    scopes = {"my-org": "write", "my-org/app": "read", "other-org": "none", "enterprises/acme": "write"}
    double.admin.credentials({"some": {"token": "some", "kind": kind, "scopes": scopes}})
    double.admin.scopes({"my-org/hidden": {}, "my-org/open": {"visibility": "public"}})
    rest = client("some")
    assert rest("GET", ORG + READ).status_code == 200
    assert rest("POST", ORG + WRITE).status_code == 201
    assert rest("GET", REPO + READ).status_code == 200
    assert rest("POST", REPO + WRITE).status_code == 403
    assert rest("GET", "/orgs/other-org" + READ).status_code == 403
    assert rest("GET", "/repos/my-org/hidden" + READ).status_code == 404
    assert rest("GET", "/repos/my-org/hidden").status_code == 404
    assert rest("GET", "/repos/my-org/open" + READ).status_code == 403
    assert rest("GET", "/repos/my-org/open").json()["visibility"] == "public"
    assert rest("GET", "/orgs/unknown" + READ).status_code == 404
    # Only classic tokens manage runners of an enterprise.
    assert rest("GET", ENTERPRISE + READ).status_code == (200 if kind == "classic" else 403)


def test_a_refusal_comes_before_the_body_is_looked_at(client: Callable[[str | None], Rest], double: Double) -> None:
    double.admin.credentials({"some": {"token": "some", "scopes": {"my-org": "read"}}})
    assert client("some")("POST", f"{ORG}/actions/runners/generate-jitconfig", {}).status_code == 403


def test_all_repositories_of_an_owner(client: Callable[[str | None], Rest], double: Double) -> None:
    double.admin.credentials({"some": {"token": "some", "scopes": {"my-org/*": "write"}}})
    assert client("some")("POST", REPO + WRITE).status_code == 201
    assert client("some")("POST", ORG + WRITE).status_code == 404


def test_names_do_not_differ_in_case_alone(rest: Rest) -> None:
    rest.jit("/orgs/MY-ORG", "one")
    assert list(rest.names(ORG)) == ["one"]
    assert rest("GET", "/repos/My-Org/App").json()["full_name"] == "my-org/app"


def test_a_user_is_no_organization(client: Callable[[str | None], Rest], double: Double) -> None:
    double.admin.credentials({"some": {"token": "some", "scopes": {"me": "write", "me/home": "write"}}})
    rest = client("some")
    assert rest("GET", "/orgs/me").status_code == 404
    assert rest("GET", "/orgs/me" + READ).status_code == 404
    assert rest("GET", "/repos/me/home").json()["owner"]["type"] == "User"
    assert rest.jit("/repos/me/home", "one").status_code == 201


def test_credentials_end(client: Callable[[str | None], Rest], double: Double) -> None:
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=10)
    text = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    double.admin.credentials({"some": {"token": "some", "scopes": {"my-org": "write"}, "expires_at": text}})
    rest = client("some")
    said = rest("GET", ORG + READ).headers["github-authentication-token-expiration"]
    assert said == end.strftime("%Y-%m-%d %H:%M:%S UTC")
    double.admin.advance(9 * 86400)
    assert rest("GET", ORG + READ).status_code == 200
    double.admin.advance(86400 + 5)
    assert rest("GET", ORG + READ).status_code == 401


def test_a_token_that_does_not_end_says_nothing_of_it(rest: Rest) -> None:
    assert "github-authentication-token-expiration" not in rest("GET", ORG + READ).headers


def test_headers_tell_the_rights(client: Callable[[str | None], Rest], double: Double) -> None:
    classic = client(TOKEN)("GET", ORG + READ).headers
    assert classic["X-OAuth-Scopes"] == "admin:org, manage_runners:enterprise, repo"
    assert classic["X-Accepted-OAuth-Scopes"] == "admin:org"
    double.admin.credentials({"fine": {"token": "fine", "kind": "fine-grained", "scopes": {"my-org": "read"}}})
    fine = client("fine")("POST", ORG + WRITE).headers
    assert fine["X-Accepted-GitHub-Permissions"] == "organization_self_hosted_runners=write"
    assert "X-OAuth-Scopes" not in fine


def test_credentials_are_replaced_as_a_whole(rest: Rest, double: Double) -> None:
    double.admin.credentials({"new": {"token": "new", "scopes": {"my-org": "write"}}})
    assert rest("GET", ORG + READ).status_code == 401
    double.admin.credentials(CREDENTIALS)
    assert rest("GET", ORG + READ).status_code == 200
