# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub Apps at the double: JWTs are verified, installations found, tokens narrowed and ended; and people's tokens.

Every exchange is held to GitHub's description. The last tests are the collection's own library against all that.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import app as library
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors, versions
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.access import check_access
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.connect import client_for
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from tests.contract.client import READ, WRITE, Rest
from tests.doubles.github.server import Double

RUNNERS = {"organization_self_hosted_runners": "write", "administration": "write", "metadata": "read"}
MakeRest = Callable[[str | None], Rest]


def apps(**installation: Any) -> dict[str, Any]:
    """One App, on my-org with these fields, and on a person's account."""
    return {"my-app": {"permissions": RUNNERS, "installations": {"my-org": installation, "me": {}}}}


@pytest.fixture
def key(double: Double) -> str:
    """The private key of the App my-app, which is installed on my-org and me."""
    double.admin.apps(apps())
    double.admin.scopes({"my-org/app": {}, "my-org/other": {}})
    return double.admin.app_key("my-app")


def signed(key: Any, issuer: str | None = None, at: float | None = None, **changes: Any) -> str:
    now = int(time.time() if at is None else at)
    claims = {"iat": now - 60, "exp": now + 540, "iss": issuer or "70001", **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm="RS256")


@pytest.fixture
def as_app(client: MakeRest, key: str) -> Rest:
    """The REST API as the App itself."""
    return client(signed(key))


@pytest.fixture
def token(as_app: Rest, client: MakeRest) -> Iterator[Callable[..., Rest]]:
    """Makes REST clients with tokens of the App's installation on my-org."""

    def make(**body: Any) -> Rest:
        number = as_app("GET", "/orgs/my-org/installation").json()["id"]
        answer = as_app("POST", f"/app/installations/{number}/access_tokens", body or None)
        assert answer.status_code == 201, answer.text
        return client(answer.json()["token"])

    yield make


class TestTheAppItself:
    def test_by_id_and_by_client_id(self, client: MakeRest, key: str) -> None:
        facts = client(signed(key))("GET", "/app").json()
        assert (facts["id"], facts["slug"], facts["installations_count"]) == (70001, "my-app", 2)
        assert client(signed(key, facts["client_id"]))("GET", "/app").json() == facts

    @pytest.mark.parametrize(
        ("changes", "status", "message"),
        [
            ({"iat": 30}, 401, "'Issued at' claim"),
            ({"iat": None}, 401, "'Issued at' claim"),
            ({"exp": -1}, 401, "'Expiration time' claim"),
            ({"exp": 630}, 401, "too far in the future"),
            ({"exp": None}, 401, "'Expiration time' claim"),
            ({"iss": "999"}, 404, "Integration not found"),
            ({"iss": None}, 404, "Integration not found"),
        ],
    )
    def test_claims(self, client: MakeRest, key: str, changes: dict[str, Any], status: int, message: str) -> None:
        now = int(time.time())
        moved = {name: now + value if isinstance(value, int) else value for name, value in changes.items()}
        answer = client(signed(key, **moved))("GET", "/app")
        assert answer.status_code == status
        assert message in answer.json()["message"]

    def test_the_clock_is_githubs(self, client: MakeRest, key: str, double: Double) -> None:
        double.admin.advance(86400)
        assert client(signed(key))("GET", "/app").status_code == 401
        assert client(signed(key, at=time.time() + 86400))("GET", "/app").status_code == 200

    def test_keys(self, client: MakeRest, key: str, double: Double) -> None:
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        refused = client(signed(stranger))("GET", "/app")
        assert (refused.status_code, refused.json()["message"]) == (401, "A JSON web token could not be decoded")
        second = double.admin.app_key("my-app")
        assert [client(signed(one))("GET", "/app").status_code for one in (key, second)] == [200, 200]
        double.admin.forget_app_keys("my-app")
        assert client(signed(key))("GET", "/app").json()["message"] == "Integration must generate a public key"

    @pytest.mark.parametrize("header", [None, "ghp_contract-admin", "a.b.c"])
    def test_what_is_no_jwt(self, client: MakeRest, key: str, header: str | None) -> None:
        assert client(header)("GET", "/app").status_code == 401

    def test_a_jwt_is_good_for_nothing_else(self, as_app: Rest) -> None:
        assert as_app("GET", "/orgs/my-org" + READ).status_code == 401


class TestInstallations:
    def test_found(self, as_app: Rest) -> None:
        listed = as_app("GET", "/app/installations").json()
        assert [one["account"]["login"] for one in listed] == ["my-org", "me"]
        for path, account in (
            ("/orgs/my-org", 0),
            ("/repos/my-org/app", 0),
            ("/users/me", 1),
            ("/repos/me/home", 1),
        ):
            assert as_app("GET", f"{path}/installation").json() == listed[account]
        assert as_app("GET", f"/app/installations/{listed[0]['id']}").json() == listed[0]

    @pytest.mark.parametrize(
        "path", ["/orgs/other-org", "/repos/other-org/x", "/users/my-org", "/orgs/me", "/repos/my-org/other"]
    )
    def test_not_there(self, as_app: Rest, double: Double, path: str) -> None:
        double.admin.scopes({"other-org/x": {}})
        double.admin.apps(apps(repositories=["my-org/app"]))
        assert as_app("GET", f"{path}/installation").status_code == 404

    def test_of_another_app(self, as_app: Rest, double: Double) -> None:
        double.admin.apps({**apps(), "other": {"permissions": RUNNERS, "installations": {"my-org": {"id": 5}}}})
        assert as_app("GET", "/app/installations/5").status_code == 404
        assert as_app("POST", "/app/installations/5/access_tokens").status_code == 404

    def test_an_account(self, rest: Rest, as_app: Rest) -> None:
        assert rest("GET", "/users/me").json()["type"] == "User"
        assert rest("GET", "/users/my-org").json()["type"] == "Organization"
        assert rest("GET", "/users/nobody").status_code == 404


class TestTokens:
    def test_what_it_is_good_for(self, token: Callable[..., Rest]) -> None:
        rest = token()
        assert rest("GET", "/orgs/my-org" + READ).status_code == 200
        assert rest("POST", "/orgs/my-org" + WRITE).status_code == 201
        assert rest("POST", "/repos/my-org/other" + WRITE).status_code == 201
        assert rest("GET", "/orgs/other-org").status_code == 200
        assert rest("GET", "/orgs/other-org" + READ).status_code == 404
        assert rest("GET", "/enterprises/acme" + READ).status_code == 404

    def test_narrowed_to_repositories(self, token: Callable[..., Rest], as_app: Rest) -> None:
        rest = token(repositories=["app"])
        assert rest("POST", "/repos/my-org/app" + WRITE).status_code == 201
        assert rest("POST", "/repos/my-org/other" + WRITE).status_code == 404
        number = rest("GET", "/repos/my-org/app").json()["id"]
        assert token(repository_ids=[number])("POST", "/repos/my-org/app" + WRITE).status_code == 201

    def test_narrowed_to_permissions(self, token: Callable[..., Rest]) -> None:
        rest = token(permissions={"organization_self_hosted_runners": "read"})
        assert rest("GET", "/orgs/my-org" + READ).status_code == 200
        refused = rest("POST", "/orgs/my-org" + WRITE)
        assert (refused.status_code, refused.json()["message"]) == (403, "Resource not accessible by integration")
        assert refused.headers["X-Accepted-GitHub-Permissions"] == "organization_self_hosted_runners=write"
        assert rest("GET", "/repos/my-org/app" + READ).status_code == 403

    @pytest.mark.parametrize(
        "body",
        [
            {"permissions": {"contents": "read"}},
            {"permissions": {"administration": "admin"}},
            {"permissions": {"administration": "everything"}},
            {"repositories": ["unknown"]},
            {"repositories": ["my-org/app"]},
            {"repository_ids": [5]},
            {"repositories": ["app"] * 501},
            {"repos": ["app"]},
        ],
    )
    def test_more_than_there_is(self, as_app: Rest, body: dict[str, Any]) -> None:
        number = as_app("GET", "/orgs/my-org/installation").json()["id"]
        assert as_app("POST", f"/app/installations/{number}/access_tokens", body).status_code == 422

    def test_a_repository_that_is_not_selected(self, as_app: Rest, double: Double) -> None:
        double.admin.apps(apps(repositories=["my-org/app"]))
        number = as_app("GET", "/orgs/my-org/installation").json()["id"]
        path = f"/app/installations/{number}/access_tokens"
        assert as_app("POST", path, {"repositories": ["other"]}).status_code == 422
        answer = as_app("POST", path, {"repositories": ["App"]}).json()
        assert answer["repository_selection"] == "selected"
        assert [one["full_name"] for one in answer["repositories"]] == ["my-org/app"]

    def test_an_hour(self, token: Callable[..., Rest], double: Double) -> None:
        rest = token()
        double.admin.advance(3590)
        assert rest("GET", "/orgs/my-org" + READ).status_code == 200
        double.admin.advance(20)
        assert rest("GET", "/orgs/my-org" + READ).status_code == 401

    @pytest.mark.parametrize(
        ("installations", "status"),
        [
            ({}, 401),
            ({"my-org": {"suspended": True}}, 403),
            ({"my-org": {"id": 5}}, 401),  # installed anew
            ({"my-org": {"permissions": {"metadata": "read"}}}, 403),
            ({"my-org": {}}, 200),
        ],
    )
    def test_it_is_what_its_installation_is(
        self, token: Callable[..., Rest], double: Double, installations: dict[str, Any], status: int
    ) -> None:
        rest = token()
        double.admin.apps({"my-app": {"permissions": RUNNERS, "installations": installations}})
        assert rest("GET", "/orgs/my-org" + READ).status_code == status

    def test_suspended(self, as_app: Rest, double: Double) -> None:
        double.admin.apps(apps(suspended=True))
        found = as_app("GET", "/orgs/my-org/installation").json()
        assert found["suspended_at"]
        refused = as_app("POST", f"/app/installations/{found['id']}/access_tokens")
        assert (refused.status_code, refused.json()["message"]) == (403, "This installation has been suspended")

    def test_revoked(self, token: Callable[..., Rest], double: Double) -> None:
        rest = token()
        double.admin.revoke_app_tokens("my-app")
        assert rest("GET", "/orgs/my-org" + READ).status_code == 401

    def test_leak_scans_know_it_and_the_journal_does_not(self, token: Callable[..., Rest], double: Double) -> None:
        start = double.admin.journal()["last"]
        rest = token()
        rest("GET", "/orgs/my-org" + READ)
        (issued,) = [one for one in double.admin.issued() if one["kind"] == "installation-token"]
        assert len(issued["secret"]) > 500
        entries = double.admin.journal(start)["entries"]
        assert issued["secret"] not in str(entries)
        assert [(one["credential"], one["write"]) for one in entries] == [
            ("app:my-app", False),
            ("app:my-app", False),
            ("app:my-app/my-org", False),
        ]


class TestPermissionsOfPeople:
    @pytest.mark.parametrize(
        ("oauth_scopes", "org", "repo", "enterprise"),
        [
            (["admin:org", "repo", "manage_runners:enterprise"], 200, 200, 200),
            (["repo"], 403, 200, 404),
            (["admin:org"], 200, 404, 404),
            (["admin:enterprise"], 403, 404, 200),
            ([], 403, 404, 404),
        ],
    )
    def test_classic(
        self, client: MakeRest, double: Double, oauth_scopes: list[str], org: int, repo: int, enterprise: int
    ) -> None:
        scopes = dict.fromkeys(("my-org", "my-org/app", "enterprises/acme"), "write")
        double.admin.credentials({"some": {"token": "some", "scopes": scopes, "oauth_scopes": oauth_scopes}})
        rest = client("some")
        answers = [rest("GET", f"{path}{READ}") for path in ("/orgs/my-org", "/repos/my-org/app", "/enterprises/acme")]
        assert [answer.status_code for answer in answers] == [org, repo, enterprise]
        assert answers[0].headers["X-OAuth-Scopes"] == ", ".join(sorted(oauth_scopes))

    @pytest.mark.parametrize(
        ("permissions", "read", "write"),
        [
            ({"organization_self_hosted_runners": "write"}, 200, 201),
            ({"organization_self_hosted_runners": "read"}, 200, 403),
            ({"administration": "write"}, 403, 403),
            ({}, 403, 403),
        ],
    )
    def test_fine_grained(
        self, client: MakeRest, double: Double, permissions: dict[str, str], read: int, write: int
    ) -> None:
        entry = {"token": "some", "kind": "fine-grained", "scopes": {"my-org": "write"}, "permissions": permissions}
        double.admin.credentials({"some": entry})
        rest = client("some")
        assert rest("GET", "/orgs/my-org" + READ).status_code == read
        assert rest("POST", "/orgs/my-org" + WRITE).status_code == write

    def test_nobody_has_more_rights_than_its_person(self, client: MakeRest, double: Double) -> None:
        permissions = {"organization_self_hosted_runners": "write"}
        entry = {"token": "some", "kind": "fine-grained", "scopes": {"my-org": "read"}, "permissions": permissions}
        double.admin.credentials({"some": entry})
        assert client("some")("POST", "/orgs/my-org" + WRITE).status_code == 403

    def test_single_sign_on(self, client: MakeRest, double: Double) -> None:
        scopes = {"my-org": "write", "my-org/app": "write", "other-org": "write"}
        double.admin.credentials({"some": {"token": "some", "scopes": scopes, "sso": ["My-Org"]}})
        rest = client("some")
        for path in ("/orgs/my-org" + READ, "/repos/my-org/app" + READ, "/repos/my-org/app"):
            refused = rest("GET", path)
            assert refused.status_code == 403
            assert refused.headers["X-GitHub-SSO"].startswith("required; url=https://github.com/orgs/my-org/sso?")
        assert rest("GET", "/orgs/other-org" + READ).status_code == 200

    def test_revoked(self, client: MakeRest, rest: Rest, double: Double) -> None:
        double.admin.revoke("admin")
        assert rest("GET", "/orgs/my-org" + READ).status_code == 401

    def test_an_archived_repository(self, rest: Rest, double: Double) -> None:
        double.admin.scopes({"my-org/app": {"archived": True}})
        assert rest("GET", "/repos/my-org/app").json()["archived"] is True
        assert rest("GET", "/repos/my-org/app" + READ).status_code == 200
        assert rest("POST", "/repos/my-org/app" + WRITE).status_code == 403


def test_the_least_version(rest: Rest, double: Double, registered: Callable[..., Any]) -> None:
    path = "/orgs/my-org/actions/runners/deprecations"
    before = registered("before").connect()
    double.admin.settings(minimum_versions={"2.336.1": "2026-03-16T00:00:00Z", "2.400.0": "2025-01-01T00:00:00Z"})
    ends = [
        rest("GET", f"{path}/{each}").json()["registration_deprecates_at"] for each in ("2.336.0", "2.336.1", "3.0.0")
    ]
    assert ends == ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z", None]
    # One that is there goes on, and comes back; a new one does not begin.
    assert before.call("DELETE", f"/session?sessionId={before.session}").status_code == 204
    before.connect()
    after = registered("after")
    after.token = after.ask_token().json()["access_token"]
    refused = after.ask_session("2.336.0")
    assert refused.status_code == 403
    assert "2.336.0 is deprecated" in refused.text


class TestOurLibrary:
    """What the collection sends is what GitHub describes, and what GitHub says is what the collection understands."""

    @pytest.fixture
    def form(self, key: str) -> dict[str, Any]:
        return {"app_id": 70001, "private_key": key}

    @pytest.fixture
    def connect(self, double: Double, form: dict[str, Any]) -> Callable[..., Client]:
        def make(text: str = "my-org", prefix: str = "", **options: Any) -> Client:
            return client_for(form, Scope.parse(text, double.api_url + prefix), **options)

        return make

    @pytest.mark.parametrize("text", ["my-org", "my-org/app"])
    @pytest.mark.parametrize("prefix", ["", "/api/v3"])
    def test_it_manages_runners(self, double: Double, connect: Callable[..., Client], text: str, prefix: str) -> None:
        client = connect(text, prefix)
        scope = Scope.parse(text, client.api_url)
        there = Runners(client, scope)
        access = check_access(client, scope)
        made = there.generate_jit_config("one", ["self-hosted"], access.groups[0].id)
        assert [runner.name for runner in there.list()] == ["one"]
        assert there.delete(made.runner.id) == "gone"
        assert there.registration_token().expires_at == pytest.approx(time.time() + 3600, abs=30)
        newest = versions.newest(client, scope)
        assert newest.version == "2.336.0"
        support = versions.support(client, scope, newest.version)
        assert support and support.accepted(time.time())
        assert client.token_expires_at is None
        posts = [one["path"] for one in double.admin.journal()["entries"] if one["method"] == "POST"]
        assert sum("access_tokens" in path for path in posts) == 1

    def test_every_request_is_as_described(
        self, connect: Callable[..., Client], client: MakeRest, as_app: Rest
    ) -> None:
        """What the library asks for, said once more by a client that checks it."""
        connect().get("/orgs/my-org", action="look")
        number = as_app("GET", "/orgs/my-org/installation").json()["id"]
        for body in (
            {"permissions": dict(library.PERMISSIONS["org"])},
            {"permissions": dict(library.PERMISSIONS["repo"]), "repositories": ["app"]},
        ):
            assert as_app("POST", f"/app/installations/{number}/access_tokens", body).status_code == 201

    def test_a_host_whose_clock_is_wrong(self, double: Double, connect: Callable[..., Client]) -> None:
        double.admin.advance(2 * 86400)
        client = connect()
        for _time in range(3):
            client.get("/orgs/my-org" + READ, action="list")
        assert client.clock_skew == pytest.approx(2 * 86400, abs=30)
        refused = [one for one in double.admin.journal()["entries"] if one["status"] == 401]
        assert len(refused) == 1

    def test_an_hour_and_a_day(self, double: Double, connect: Callable[..., Client]) -> None:
        """No request fails, whatever ends in between, and tokens are not made for each."""
        ahead = itertools.accumulate([0.0, 1800.0, 1800.0, 3300.0, 400.0, 86400.0])
        now = [time.time()]
        client = connect(now=lambda: now[0])
        begun, gone = now[0], 0.0
        for seconds in ahead:
            double.admin.advance(seconds - gone)
            now[0], gone = begun + seconds, seconds
            client.get("/orgs/my-org" + READ, action="list")
        entries = double.admin.journal()["entries"]
        assert [one for one in entries if one["status"] not in (200, 201)] == []
        assert sum("access_tokens" in one["path"] for one in entries) == 4

    def test_revoked_in_between(self, double: Double, connect: Callable[..., Client]) -> None:
        client = connect(sleep=lambda seconds: None)
        client.get("/orgs/my-org" + READ, action="list")
        double.admin.revoke_app_tokens("my-app")
        double.admin.advance(10)
        assert client.post("/orgs/my-org" + WRITE, action="try").status == 201

    @pytest.mark.parametrize(
        ("installations", "kind", "words"),
        [
            ({}, errors.NotFound, "let an owner of my-org install the App there"),
            ({"my-org": {"suspended": True}}, errors.Forbidden, "lift the suspension"),
            ({"my-org": {"permissions": {"metadata": "read"}}}, errors.Unprocessable, "Self-hosted runners"),
        ],
    )
    def test_what_is_wrong_is_said(
        self,
        double: Double,
        connect: Callable[..., Client],
        installations: dict[str, Any],
        kind: type[errors.GitHubError],
        words: str,
    ) -> None:
        double.admin.apps({"my-app": {"permissions": RUNNERS, "installations": installations}})
        with pytest.raises(kind, match=words):
            connect().get("/orgs/my-org" + READ, action="list")

    def test_a_key_of_another_app(self, double: Double, connect: Callable[..., Client]) -> None:
        double.admin.forget_app_keys("my-app")
        double.admin.app_key("my-app")
        with pytest.raises(errors.Unauthorized, match="private_key of this very App"):
            connect().get("/orgs/my-org" + READ, action="list")

    def test_single_sign_on_is_named(self, double: Double) -> None:
        entry = {"token": "some", "scopes": {"my-org": "write"}, "sso": ["my-org"]}
        double.admin.credentials({"some": entry})
        scope = Scope.parse("my-org", double.api_url)
        with pytest.raises(errors.Forbidden, match="authorize the token for the single sign-on"):
            Runners(client_for({"token": "some"}, scope), scope).list()

    def test_a_persons_account_is_named(self, double: Double) -> None:
        double.admin.credentials({"some": {"token": "some", "scopes": {"me": "write"}}})
        scope = Scope.parse("me", double.api_url)
        with pytest.raises(errors.NotFound, match="me is a person's account"):
            check_access(client_for({"token": "some"}, scope), scope)
