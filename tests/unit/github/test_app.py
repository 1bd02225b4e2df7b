# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A GitHub App as credential: keys, JWTs, installations, and tokens that are renewed in time."""

from __future__ import annotations

import ssl
import threading
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import formatdate
from pathlib import Path
from time import time as wall
from typing import Any

import jwt
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import app, errors
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.answers import Response
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.app import AppAuth
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.connect import client_for
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope

from .conftest import KEY, NOW, PEM, Answer, Cut, Request, Server, Surroundings, Told

ISSUER = "Iv23liAAAABBBBCCCC"
OK = Answer(200, {"ok": True})


def time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def installation(number: int = 77) -> Answer:
    return Answer(200, {"id": number})


def token(text: str = "ghs_first", ends: float = NOW + 3600) -> Answer:
    return Answer(201, {"token": text, "expires_at": time(ends), "permissions": {}})


def claims(request: Request) -> dict[str, Any]:
    """What the JWT of the request says, its signature checked."""
    text = request.headers["Authorization"].removeprefix("Bearer ")
    return jwt.decode(text, KEY.public_key(), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False})


@pytest.fixture
def make(server: Server, around: Surroundings) -> Callable[..., AppAuth]:
    """Makes Apps of the server."""

    def make(scope: str = "my-org", **options: Any) -> AppAuth:
        more = {"sleep": around.sleep, "now": lambda: around.now, **options}
        return AppAuth(ISSUER, PEM, Scope.parse(scope, server.url), **more)

    return make


def test_without_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HAS_JWT", False)
    with pytest.raises(ImportError, match=r"PyJWT.*Do: install python3-jwt and python3-cryptography"):
        AppAuth(ISSUER, PEM, Scope.parse("my-org"), installation_id=5)


class TestJwt:
    def test_claims(self, server: Server, make: Callable[..., AppAuth]) -> None:
        server.tell(installation(), token())
        assert make().header(NOW) == "Bearer ghs_first"
        for request in server.requests:
            assert claims(request) == {"iat": NOW - 60, "exp": NOW + 540, "iss": ISSUER}

    @pytest.mark.parametrize("off", [-86400, -1000, 100, 7200])
    def test_a_clock_that_is_wrong(
        self, server: Server, around: Surroundings, make: Callable[..., AppAuth], off: float
    ) -> None:
        """GitHub's answer tells its time, and a JWT is made by that."""

        def judge(answer: Answer) -> Callable[[Request], Told]:
            def strict(request: Request) -> Told:
                seen, date = claims(request), {"Date": formatdate(NOW, usegmt=True)}
                if seen["iat"] > NOW or not NOW < seen["exp"] <= NOW + 600:
                    return Answer(401, {"message": "'Issued at' claim ('iat') must be an Integer"}, date)
                return Answer(answer.status, answer.body, date)

            return strict

        around.now = NOW + off
        server.tell(judge(installation()), judge(installation()), judge(token()))
        assert make().header(NOW) == "Bearer ghs_first"
        assert len(server.requests) == 3

    def test_a_clock_that_stays_unknown(self, server: Server, make: Callable[..., AppAuth]) -> None:
        server.tell(Answer(401, {"message": "'Expiration time' claim ('exp') is too far in the future"}))
        with pytest.raises(errors.Unauthorized, match="Do: set the clock of this machine right"):
            make().header(NOW)

    def test_a_key_of_another_app(self, server: Server, make: Callable[..., AppAuth]) -> None:
        date = {"Date": formatdate(NOW, usegmt=True)}
        server.tell(Answer(401, {"message": "A JSON web token could not be decoded"}, date))
        with pytest.raises(errors.Unauthorized, match=f"Do: give a private_key of this very App .{ISSUER}.") as caught:
            make().header(NOW)
        assert "Could not find the installation of the GitHub App" in str(caught.value)
        assert len(server.requests) == 1


class TestInstallation:
    @pytest.mark.parametrize(
        ("scope", "path"), [("my-org", "/orgs/my-org/installation"), ("octo/repo", "/repos/octo/repo/installation")]
    )
    def test_found_by_scope(self, server: Server, make: Callable[..., AppAuth], scope: str, path: str) -> None:
        server.tell(installation(), token())
        make(scope).header(NOW)
        assert server.calls == [f"GET {path}", "POST /app/installations/77/access_tokens"]
        assert server.requests[1].body is None

    def test_given(self, server: Server, make: Callable[..., AppAuth]) -> None:
        server.tell(token())
        make(installation_id=5).header(NOW)
        assert server.calls == ["POST /app/installations/5/access_tokens"]

    @pytest.mark.parametrize(
        ("scope", "body"),
        [
            ("my-org", {"permissions": {"organization_self_hosted_runners": "write"}}),
            (
                "octo/repo",
                {"permissions": {"administration": "write", "metadata": "read"}, "repositories": ["repo"]},
            ),
        ],
    )
    def test_no_more_rights_than_needed(self, server: Server, scope: str, body: dict[str, Any]) -> None:
        server.tell(installation(), token(), OK)
        client_for({"client_id": ISSUER, "private_key": PEM}, Scope.parse(scope, server.url)).get("/x", action="try")
        assert server.requests[1].body == body
        assert server.requests[2].headers["Authorization"] == "Bearer ghs_first"

    def test_installed_anew(self, server: Server, make: Callable[..., AppAuth]) -> None:
        auth = make()
        server.tell(installation(1), token("ghs_one"))
        auth.header(NOW)
        server.tell(Answer(404, {"message": "Not Found"}), installation(2), token("ghs_two", NOW + 7000))
        assert auth.header(NOW + 3500) == "Bearer ghs_two"
        assert server.calls[2:] == [
            "POST /app/installations/1/access_tokens",
            "GET /orgs/my-org/installation",
            "POST /app/installations/2/access_tokens",
        ]

    @pytest.mark.parametrize(
        ("scope", "answer", "kind", "words"),
        [
            (
                "my-org",
                Answer(404, {"message": "Not Found"}),
                errors.NotFound,
                "let an owner of my-org install the App",
            ),
            ("octo/repo", Answer(404, {"message": "Not Found"}), errors.NotFound, "the repository repo among those"),
            ("my-org", Answer(404, {"message": "Integration not found"}), errors.NotFound, "knows no App"),
        ],
    )
    def test_not_there(
        self,
        server: Server,
        make: Callable[..., AppAuth],
        scope: str,
        answer: Answer,
        kind: type[errors.GitHubError],
        words: str,
    ) -> None:
        server.tell(answer)
        with pytest.raises(kind, match=words) as caught:
            make(scope).header(NOW)
        assert f"Could not find the installation of the GitHub App {ISSUER} for {scope}: 404" in str(caught.value)

    @pytest.mark.parametrize(
        ("status", "message", "kind", "words"),
        [
            (403, "This installation has been suspended", errors.Forbidden, "lift the suspension of the App at http"),
            (404, "Not Found", errors.NotFound, "installation_id = 5 is of this App; or take it out"),
            (
                422,
                "The permissions requested are not granted to this installation.",
                errors.Unprocessable,
                "'Self-hosted runners: Read and write' and let an owner of my-org accept",
            ),
        ],
    )
    def test_refused(
        self,
        server: Server,
        make: Callable[..., AppAuth],
        status: int,
        message: str,
        kind: type[errors.GitHubError],
        words: str,
    ) -> None:
        server.tell(Answer(status, {"message": message}))
        with pytest.raises(kind, match=words) as caught:
            make(installation_id=5, permissions=app.PERMISSIONS["org"]).header(NOW)
        assert message in str(caught.value)
        assert caught.value.status == status

    @pytest.mark.parametrize("given", [None, 77])
    def test_what_a_token_is_good_for(self, server: Server, make: Callable[..., AppAuth], given: int | None) -> None:
        told = {"permissions": {"actions": "read"}, "repositories": [{"id": 1, "full_name": "my-org/app"}]}
        whole = token()
        whole.body |= told
        server.tell(*([] if given else [installation(77)]), whole)
        made = make(installation_id=given).make_token()
        assert (made.value.reveal(), made.expires_at, made.installation_id) == ("ghs_first", NOW + 3600, 77)
        assert (made.permissions, made.repositories) == ({"actions": "read"}, ("my-org/app",))

    def test_where_github_does_not_say(self, server: Server, make: Callable[..., AppAuth]) -> None:
        bare = token()
        del bare.body["permissions"]
        server.tell(bare)
        made = make(installation_id=77).make_token()
        assert (made.permissions, made.repositories) == (None, None)

    def test_wrong_shape_shows_no_token(self, server: Server, make: Callable[..., AppAuth]) -> None:
        server.tell(Answer(201, {"token": "ghs_first"}))
        with pytest.raises(errors.ProtocolError) as caught:
            make(installation_id=5).header(NOW)
        assert "ghs_first" not in str(caught.value)

    def test_issuer(self) -> None:
        with pytest.raises(ValueError, match=r"client_id = .hidden.: neither"):
            AppAuth("two words", PEM, Scope.parse("my-org"))


class TestRenewal:
    def test_in_time(self, server: Server, make: Callable[..., AppAuth]) -> None:
        auth = make(installation_id=5)
        server.tell(token())
        assert {auth.header(NOW + each) for each in (0, 1000, 3299)} == {"Bearer ghs_first"}
        assert len(server.requests) == 1
        server.tell(token("ghs_second", NOW + 7200))
        assert auth.header(NOW + 3300) == "Bearer ghs_second"

    def test_by_githubs_clock(self, server: Server, around: Surroundings) -> None:
        """The host's clock is two hours ahead: to it, each token would look dead from the start."""
        around.now = NOW + 7200
        date = {"Date": formatdate(NOW, usegmt=True)}
        server.tell(Answer(401, {"message": "no"}, date), Answer(201, token().body, date), *[Answer(200, {}, date)] * 3)
        scope = Scope.parse("my-org", server.url)
        form = {"app_id": 5, "private_key": PEM, "installation_id": 5}
        client = client_for(form, scope, now=lambda: around.now)
        for _time in range(3):
            client.get("/x", action="try")
        assert len(server.requests) == 5

    def test_after_401(self, server: Server, around: Surroundings) -> None:
        form = {"app_id": 5, "private_key": PEM, "installation_id": 5}
        client = client_for(form, Scope.parse("my-org", server.url), now=lambda: around.now, sleep=around.sleep)
        server.tell(token(), OK)
        client.get("/x", action="try")
        around.now += 60
        server.tell(Answer(401, {"message": "Bad credentials"}), token("ghs_second"), OK)
        client.post("/x", action="try")
        assert [each.headers["Authorization"] for each in server.requests if each.path == "/x"] == [
            "Bearer ghs_first",
            "Bearer ghs_first",
            "Bearer ghs_second",
        ]
        assert around.slept == []

    def test_a_token_too_new_for_some_server(self, server: Server, around: Surroundings) -> None:
        form = {"app_id": 5, "private_key": PEM, "installation_id": 5}
        client = client_for(form, Scope.parse("my-org", server.url), now=lambda: around.now, sleep=around.sleep)
        server.tell(token(), Answer(401, {"message": "Bad credentials"}), OK)
        client.post("/x", action="try")
        assert around.slept == [app.PATIENCE]
        assert server.calls == ["POST /app/installations/5/access_tokens", "POST /x", "POST /x"]

    @pytest.mark.parametrize(
        "failure",
        [
            Cut(),
            Answer(502, "<html>"),
            Answer(200, "<html>"),
            Answer(429, {"message": "slow down"}, {"Retry-After": "30"}),
            Answer(403, {"message": "secondary rate limit"}),
        ],
    )
    def test_a_reason_that_may_pass(self, server: Server, make: Callable[..., AppAuth], failure: Told) -> None:
        """The old token goes on to its end, and GitHub is asked again once a minute, not for every request."""
        auth = make(installation_id=5)
        server.tell(token(), failure)
        auth.header(NOW)
        assert {auth.header(NOW + 3300 + each) for each in (0, 1, 59)} == {"Bearer ghs_first"}
        assert len(server.requests) == 2
        server.tell(token("ghs_second", NOW + 7000))
        assert auth.header(NOW + 3361) == "Bearer ghs_second"

    def test_a_limit_is_waited_for(self, server: Server, around: Surroundings, make: Callable[..., AppAuth]) -> None:
        auth = make(installation_id=5)
        server.tell(token(), Answer(429, {"message": "slow down"}, {"Retry-After": "200"}))
        auth.header(NOW)
        around.now = NOW + 3300
        assert {auth.header(NOW + 3300 + each) for each in (0, 70, 199)} == {"Bearer ghs_first"}
        assert len(server.requests) == 2
        server.tell(token("ghs_second", NOW + 7000))
        assert auth.header(NOW + 3501) == "Bearer ghs_second"

    def test_not_beyond_its_end(self, server: Server, make: Callable[..., AppAuth]) -> None:
        auth = make(installation_id=5)
        server.tell(token(), Answer(502, "sorry"))
        auth.header(NOW)
        with pytest.raises(errors.ServerError):
            auth.header(NOW + 3595)

    def test_a_reason_that_stays(self, server: Server, make: Callable[..., AppAuth]) -> None:
        auth = make(installation_id=5)
        server.tell(token(), Answer(403, {"message": "This installation has been suspended"}))
        auth.header(NOW)
        with pytest.raises(errors.Forbidden):
            auth.header(NOW + 3300)

    def test_one_at_a_time(self, server: Server, make: Callable[..., AppAuth]) -> None:
        """Threads that have a token which still works do not wait for the one that renews; the others do."""
        auth = make(installation_id=5)
        go = threading.Event()

        def slow(text: str) -> Callable[[Request], Told]:
            def answer(request: Request) -> Told:
                assert go.wait(30)
                return token(text, NOW + 7200 if text == "ghs_second" else NOW + 3600)

            return answer

        def all_at_once(now: float) -> tuple[list[threading.Thread], list[str]]:
            got: list[str] = []
            threads = [threading.Thread(target=lambda: got.append(auth.header(now))) for _thread in range(8)]
            server.arrived.clear()
            for thread in threads:
                thread.start()
            assert server.arrived.wait(30)
            return threads, got

        server.tell(slow("ghs_first"))
        threads, got = all_at_once(NOW)
        assert got == []
        go.set()
        for thread in threads:
            thread.join(30)
        assert got == ["Bearer ghs_first"] * 8
        assert len(server.requests) == 1

        go.clear()
        server.tell(slow("ghs_second"))
        threads, got = all_at_once(NOW + 3400)
        while len(got) < 7:  # pytest's timeout ends it if they wait
            threading.Event().wait(0.01)
        assert got == ["Bearer ghs_first"] * 7
        go.set()
        for thread in threads:
            thread.join(30)
        assert sorted(got)[-1] == "Bearer ghs_second"
        assert len(server.requests) == 2

    @given(st.lists(st.tuples(st.floats(0, 2000), st.booleans()), max_size=30))
    def test_never_a_dead_token(self, steps: list[tuple[float, bool]]) -> None:
        """Whatever the times of requests and however often GitHub is down: what is sent is alive."""
        now = NOW
        up = True
        ends: dict[str, float] = {}

        class GitHub:
            clock_skew = None

            def post(self, path: str, **more: Any) -> Any:
                if not up:
                    raise errors.ServerError("make a token", message="sorry")
                text = f"ghs_{len(ends)}"
                ends[f"Bearer {text}"] = now + 3600
                return Response(201, token(text, now + 3600).body, {})

            def server_time(self) -> float:
                return now

        auth = AppAuth(ISSUER, PEM, Scope.parse("my-org"), installation_id=5)
        auth._client = GitHub()  # type: ignore[assignment]  # faster than a server, for many examples
        for seconds, up in steps:
            now = float(int(now + seconds))
            made = len(ends)
            try:
                header = auth.header(now)
            except errors.ServerError:
                assert not up
                assert all(now >= end - app.LAST_USE for end in ends.values())
                continue
            assert now < ends[header]
            if up and len(ends) == made:  # none was needed
                assert now < ends[header] - app.RENEW_BEFORE or now < auth._not_before


@pytest.mark.parametrize("trusted", [True, False])
def test_an_authority_of_ones_own(start_server: Callable[..., Server], tmp_path: Path, trusted: bool) -> None:
    """The App asks for its tokens by the same way as the client for everything else."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = start_server(context)
    server.tell(installation(), token(ends=wall() + 3600), OK)
    form = {"app_id": 5, "private_key": PEM}
    scope = Scope.parse("my-org", f"{server.url}/api/v3")
    client = client_for(form, scope, ca_file=str(tmp_path / "ca.pem"), retries=0)
    if trusted:
        assert client.post("/x", action="try").data == {"ok": True}
        assert {call.split()[1].startswith("/api/v3/") for call in server.calls} == {True}
    else:
        with pytest.raises(errors.Unreachable, match=r"find the installation .*certificate verify failed.*set ca_file"):
            client.post("/x", action="try")


def test_nothing_is_shown(server: Server, make: Callable[..., AppAuth]) -> None:
    """Not even in the traces of the error that comes of a refused token which cannot be renewed."""
    auth = make(installation_id=5)
    client = Client(server.url, auth, now=lambda: NOW + 100, retries=0)
    server.tell(token(), Answer(401, {"message": "Bad credentials"}), Answer(502, "sorry"))
    auth.header(NOW)
    assert "ghs_" not in repr(auth) + repr(auth._token) + repr(auth._client._auth)
    with pytest.raises(errors.ServerError) as caught:
        client.get("/x", action="try")
    exc = caught.value
    assert exc.__traceback__ is not None
    frames = exc.__traceback__.tb_next  # without this function's
    trace = "".join(traceback.TracebackException(type(exc), exc, frames, capture_locals=True).format())
    assert "eyJ" not in trace  # a JWT begins so
    assert "ghs_" not in trace
    assert PEM.splitlines()[5] not in trace
