# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client against a web server: retries, limits, pages, redirects, TLS, proxies, and what goes over the wire."""

from __future__ import annotations

import logging
import ssl
import threading
import traceback
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.auth import TokenAuth
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client, RateLimit

from .conftest import NOW, TOKEN, Answer, Cut, Request, Server, Silence, Surroundings

OK = Answer(200, {"ok": True})
MakeClient = Callable[..., Client]


def page(server: Server, ids: range, total: int, following: str | None = None) -> Answer:
    headers = (
        {"Link": f'<{server.url}{following}>; rel="next", <{server.url}/l?page=9>; rel="last"'} if following else {}
    )
    return Answer(200, {"total_count": total, "items": [{"id": each} for each in ids]}, headers)


def read(client: Client, **more: Any) -> list[int]:
    return [item["id"] for item in client.paginate("/l", action="list", key="items", **more)]


class TestOnTheWire:
    def test_headers_query_and_body(self, server: Server, client: Client) -> None:
        server.tell(Answer(201, {"made": 1}, {"X-Here": "yes"}))
        response = client.post("/orgs/o/x", action="make", params={"a": "b c"}, json={"k": ["ü"]})
        assert (response.status, response.data, response.headers["x-here"]) == (201, {"made": 1}, "yes")
        (request,) = server.requests
        assert (request.method, request.path, request.query, request.body) == (
            "POST",
            "/orgs/o/x",
            {"a": "b c"},
            {"k": ["ü"]},
        )
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["Accept"] == "application/vnd.github+json"
        assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
        assert request.headers["User-Agent"] == "ephemeral.github_runners"
        assert request.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
    def test_methods(self, server: Server, client: Client, method: str) -> None:
        server.tell(Answer(204))
        response = getattr(client, method)("/x", action="try")
        assert (response.status, response.data) == (204, None)
        assert server.calls == [f"{method.upper()} /x"]

    def test_path_of_the_api_and_user_agent(self, server: Server, make_client: MakeClient) -> None:
        server.tell(OK)
        make_client(f"{server.url}/api/v3/", user_agent="runnerd/1").get("/x", action="try")
        assert server.calls == ["GET /api/v3/x"]
        assert server.requests[0].headers["User-Agent"] == "runnerd/1"

    def test_a_byte_order_mark_is_no_fault(self, server: Server, client: Client) -> None:
        server.tell(Answer(200, b'\xef\xbb\xbf{"a": "\xc3\xbc"}', {"Content-Type": "application/json; charset=utf-8"}))
        assert client.get("/x", action="try").data == {"a": "ü"}

    def test_metrics(self, server: Server, client: Client, around: Surroundings) -> None:
        server.tell(Cut(), Answer(500), OK)
        client.get("/x", action="try", params={"a": "b"})
        assert around.seen == [("GET", "/x", None), ("GET", "/x", 500), ("GET", "/x", 200)]

    def test_netrc_does_not_replace_the_credential(
        self, server: Server, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "their.netrc").write_text("machine 127.0.0.1 login me password mine\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "their.netrc"))
        server.tell(OK)
        client.get("/x", action="try")
        assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"

    def test_a_connection_is_kept_but_not_for_ever(self, server: Server, client: Client, around: Surroundings) -> None:
        for idle in (0, 10, 3600):
            around.now += idle
            server.tell(OK)
            client.get("/x", action="try")
        first, soon, late = (request.connection for request in server.requests)
        assert first == soon != late

    def test_threads_do_not_wait_for_each_other(self, server: Server, client: Client) -> None:
        count = 8
        together = threading.Barrier(count)

        def wait(request: Request) -> Answer:
            together.wait(60)  # passes only when all are in flight at once
            return Answer(200, request.query)

        server.tell(*[wait] * count)
        got: list[str] = []
        threads = [
            threading.Thread(target=lambda n=n: got.append(client.get("/x", action="try", params={"n": n}).data["n"]))
            for n in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == sorted(map(str, range(count)))


class TestRepetition:
    @pytest.mark.parametrize("method", ["get", "put", "delete"])
    @pytest.mark.parametrize("fault", [Cut(), Cut(reset=True), Answer(500), Answer(502, "<html>"), Answer(200, "{")])
    def test_harmless_requests_are_repeated(
        self, server: Server, client: Client, around: Surroundings, method: str, fault: Answer | Cut
    ) -> None:
        server.tell(fault, fault, fault, OK)
        assert getattr(client, method)("/x", action="try").data == {"ok": True}
        assert len(server.requests) == 4
        for pause, least in zip(around.slept, (0.25, 0.5, 1.0), strict=True):
            assert least <= pause <= 3 * least

    @pytest.mark.parametrize("method", ["post", "patch"])
    @pytest.mark.parametrize(
        "fault", [Cut(), Cut(reset=True), Answer(500), Answer(200, "{"), Answer(429, {}, {"Retry-After": "0"})]
    )
    def test_others_never(
        self, server: Server, client: Client, around: Surroundings, method: str, fault: Answer | Cut
    ) -> None:
        server.tell(fault, OK)
        with pytest.raises(errors.GitHubError):
            getattr(client, method)("/x", action="try")
        assert len(server.requests) == 1
        assert around.slept == []

    def test_it_ends(self, server: Server, make_client: MakeClient, around: Surroundings) -> None:
        server.tell(*[Answer(503, {"message": "Unicorn!"})] * 9)
        with pytest.raises(errors.ServerError, match="Could not try: 503 Service Unavailable: Unicorn!"):
            make_client(retries=8).get("/x", action="try")
        assert len(server.requests) == 9
        assert max(around.slept) <= 5

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
    def test_a_refusal_is_final(self, server: Server, client: Client, status: int) -> None:
        server.tell(Answer(status, {"message": "No."}))
        with pytest.raises(errors.GitHubError, match=r"No\."):
            client.get("/x", action="try")
        assert len(server.requests) == 1

    def test_a_server_that_asks_for_a_while_gets_it(self, server: Server, client: Client, around: Surroundings) -> None:
        server.tell(Answer(503, None, {"Retry-After": "4"}), OK)
        client.get("/x", action="try")
        assert around.slept == [4]
        server.tell(Answer(503, None, {"Retry-After": "120"}))
        with pytest.raises(errors.ServerError) as caught:
            client.get("/x", action="try")
        assert caught.value.retry_after == 120
        assert around.slept == [4]


class TestRateLimits:
    def test_a_short_one_is_waited_for(self, server: Server, client: Client, around: Surroundings) -> None:
        server.tell(Answer(403, {"message": "secondary rate limit"}, {"Retry-After": "3"}), OK)
        client.get("/x", action="try")
        assert around.slept == [3]

    def test_a_long_one_is_the_callers(self, server: Server, client: Client, around: Surroundings) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 900)}
        server.tell(Answer(403, {"message": "API rate limit exceeded"}, headers))
        with pytest.raises(errors.RateLimited) as caught:
            client.get("/x", action="try")
        assert caught.value.retry_at == NOW + 900
        assert around.slept == []
        assert len(server.requests) == 1

    def test_the_reset_is_put_on_our_clock(self, server: Server, client: Client) -> None:
        headers = {
            "Date": formatdate(NOW + 300, usegmt=True),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(NOW) + 900),
        }
        server.tell(Answer(403, {"message": "API rate limit exceeded"}, headers))
        with pytest.raises(errors.RateLimited) as caught:
            client.get("/x", action="try")
        assert caught.value.retry_at == NOW + 600


class TestWhatAnswersTellBesides:
    def test_budget(self, server: Server, client: Client) -> None:
        assert client.rate_limit is None
        headers = {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "4999",
            "X-RateLimit-Reset": "1800000900",
            "X-RateLimit-Resource": "actions_runner_registration",
        }
        server.tell(Answer(404, {"message": "No."}, headers), OK)
        with pytest.raises(errors.NotFound):
            client.get("/x", action="try")
        assert client.rate_limit == RateLimit(5000, 4999, 1800000900, "actions_runner_registration")
        client.get("/x", action="try")
        assert client.rate_limit.remaining == 4999

    @pytest.mark.parametrize(
        ("text", "end"),
        [
            ("2027-01-15 08:00:00 UTC", NOW),
            ("2027-01-15 09:00:00 +0100", NOW),
            ("2027-01-15T00:00:00-08:00", NOW),
            ("2027-01-15T08:00:00.123Z", NOW),
            ("2027-13-45 08:00:00 UTC", None),
            ("never", None),
        ],
    )
    def test_end_of_the_token(self, server: Server, client: Client, text: str, end: float | None) -> None:
        server.tell(Answer(200, {}, {"GitHub-Authentication-Token-Expiration": text}), OK)
        client.get("/x", action="try")
        client.get("/x", action="try")
        assert client.token_expires_at == end

    def test_end_of_a_credential_that_knows_it(self, server: Server) -> None:
        class Lent(TokenAuth):
            expires_at = NOW

        client = Client(server.url, Lent("x"))
        assert client.token_expires_at == NOW
        Lent.expires_at = NOW + 3600
        server.tell(OK)
        client.get("/x", action="try")
        assert client.token_expires_at == NOW + 3600

    def test_end_of_a_token_that_is_renewed_is_nobodys_concern(self, server: Server) -> None:
        class Renewed(TokenAuth):
            renews_itself = True

        client = Client(server.url, Renewed("x"))
        server.tell(Answer(200, {}, {"GitHub-Authentication-Token-Expiration": "2027-01-15 08:00:00 UTC"}))
        client.get("/x", action="try")
        assert client.token_expires_at is None

    def test_clock(self, server: Server, client: Client) -> None:
        assert client.clock_skew is None
        server.tell(Answer(200, {}, {"Date": formatdate(NOW - 30, usegmt=True)}), Answer(200, {}, {"Date": "today"}))
        client.get("/x", action="try")
        assert client.clock_skew == -30
        client.get("/x", action="try")
        assert client.clock_skew == -30


class TestNoAnswer:
    def test_nobody_listens(self, start_server: Callable[[], Server], make_client: MakeClient) -> None:
        gone = start_server()
        gone.stop()
        with pytest.raises(
            errors.Unreachable, match=r"no answer from 127\.0\.0\.1:.*refused.*Do: see whether"
        ) as caught:
            make_client(gone.url).post("/x", action="try")
        assert caught.value.sent is False
        assert not caught.value.in_doubt
        assert (caught.value.status, caught.value.url) == (None, f"{gone.url}/x")

    def test_no_such_host(self, make_client: MakeClient) -> None:
        with pytest.raises(errors.Unreachable) as caught:
            make_client("https://host.invalid").post("/x", action="try")
        assert caught.value.sent is False

    @pytest.mark.parametrize("reset", [False, True])
    def test_cut_before_an_answer(self, server: Server, client: Client, reset: bool) -> None:
        server.tell(Cut(reset=reset))
        with pytest.raises(errors.Unreachable) as caught:
            client.post("/x", action="try")
        assert caught.value.sent is None
        assert caught.value.in_doubt

    def test_silence(self, server: Server, make_client: MakeClient) -> None:
        server.tell(Silence())
        with pytest.raises(errors.Unreachable, match=r"timed out.*0\.2") as caught:
            make_client(timeout=0.2).post("/x", action="try")
        assert caught.value.sent is True
        assert server.arrived.wait(60)
        assert server.calls == ["POST /x"]

    @pytest.mark.parametrize(
        "beginning",
        [
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{",
            b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n{",
        ],
    )
    def test_cut_in_the_answer_is_in_doubt(self, server: Server, client: Client, beginning: bytes) -> None:
        """Old versions of requests do not notice a body that is too short; then it is broken JSON."""
        server.tell(Cut(beginning))
        with pytest.raises((errors.Unreachable, errors.ProtocolError)) as caught:
            client.post("/x", action="try")
        assert caught.value.in_doubt
        assert getattr(caught.value, "sent", True) is True

    @pytest.mark.parametrize("beginning", [b"SSH-2.0-OpenSSH\r\n\r\n", b"\x16\x03\x01", b"HTTP/1.1 abc\r\n\r\n"])
    def test_not_http(self, server: Server, client: Client, beginning: bytes) -> None:
        server.tell(Cut(beginning))
        with pytest.raises(errors.Unreachable) as caught:
            client.post("/x", action="try")
        assert caught.value.in_doubt

    def test_what_left_once_may_have_arrived(self, server: Server, client: Client) -> None:
        """The first attempt got through, the repetitions find nobody: still in doubt."""

        def last_words(request: Request) -> Cut:
            server.stop_listening()
            return Cut()

        server.tell(last_words)
        with pytest.raises(errors.Unreachable, match="refused") as caught:
            client.delete("/x", action="try")
        assert len(server.requests) == 1
        assert caught.value.sent is None
        assert caught.value.in_doubt

    def test_the_callers_own_trouble_is_not_taken_for_the_cause(self, server: Server, client: Client) -> None:
        class NewConnectionError(Exception):
            pass

        def call() -> None:
            try:
                raise NewConnectionError
            except NewConnectionError:
                client.post("/x", action="try")

        server.tell(Cut())
        with pytest.raises(errors.Unreachable) as caught:
            call()
        assert isinstance(caught.value.__context__, NewConnectionError)
        assert caught.value.sent is None


class TestNotGitHub:
    @pytest.mark.parametrize("status", [200, 404])
    def test_page_of_a_proxy(self, server: Server, client: Client, status: int) -> None:
        html = "<html><head><title>Hotel\n Login</title></head><body>ghs_leak</body></html>"
        server.tell(Answer(status, html, {"Content-Type": "text/html"}))
        with pytest.raises(errors.ProtocolError) as caught:
            client.post("/x", action="try")
        assert "not JSON but text/html, titled 'Hotel Login'" in str(caught.value)
        assert "which proxy answers" in str(caught.value)
        assert "ghs_leak" not in str(caught.value)

    @pytest.mark.parametrize("body", ['{"token": "ghs_lea', b"\xff\xfe", "[" * 100_000, "NaN,"])
    def test_broken_json(self, server: Server, make_client: MakeClient, body: str | bytes) -> None:
        server.tell(Answer(201, body, {"Content-Type": "application/json", "X-GitHub-Request-Id": "AB:12"}))
        with pytest.raises(errors.ProtocolError, match=r"not JSON but application/json.*request id AB:12") as caught:
            make_client().post("/x", action="try")
        assert "ghs_lea" not in str(caught.value)


class TestRedirects:
    def test_a_get_is_led_to_the_new_name(self, server: Server, client: Client) -> None:
        server.tell(Answer(301, {"message": "Moved"}, {"Location": f"{server.url}/repositories/1?x=1"}), OK)
        assert client.get("/repos/o/r", action="try", params={"a": "b"}).data == {"ok": True}
        assert server.calls == ["GET /repos/o/r", "GET /repositories/1"]
        assert server.requests[1].query == {"x": "1"}
        assert server.requests[1].headers["Authorization"] == f"Bearer {TOKEN}"

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_nothing_else_is(self, server: Server, client: Client, method: str, status: int) -> None:
        server.tell(Answer(status, {}, {"Location": "/repositories/1"}))
        with pytest.raises(
            errors.Moved, match=r"redirected to .*/repositories/1.*Do: if the scope was renamed"
        ) as caught:
            getattr(client, method)("/repos/o/r", action="try")
        assert len(server.requests) == 1
        assert caught.value.status == status
        assert not caught.value.in_doubt

    def test_nothing_goes_to_another_server(
        self, server: Server, client: Client, start_server: Callable[[], Server]
    ) -> None:
        other = start_server()
        server.tell(Answer(302, "", {"Location": f"{other.url}/x"}))
        with pytest.raises(errors.Moved, match=other.host):
            client.get("/x", action="try")
        assert other.requests == []

    def test_circle(self, server: Server, client: Client) -> None:
        server.tell(*[Answer(302, "", {"Location": "/x"})] * 20)
        with pytest.raises(errors.Moved):
            client.get("/x", action="try")
        assert len(server.requests) <= 10

    def test_without_a_place(self, server: Server, client: Client) -> None:
        server.tell(Answer(302, ""))
        with pytest.raises(errors.Moved):
            client.post("/x", action="try")


class TestPages:
    def test_one(self, server: Server, client: Client) -> None:
        server.tell(page(server, range(3), 3))
        assert read(client, params={"name": "x"}) == [0, 1, 2]
        assert server.requests[0].query == {"per_page": "100", "name": "x"}

    def test_none(self, server: Server, client: Client) -> None:
        server.tell(page(server, range(0), 0))
        assert read(client) == []

    def test_several(self, server: Server, client: Client) -> None:
        server.tell(page(server, range(100), 101, "/l?per_page=100&page=2"), page(server, range(100, 101), 101))
        assert read(client) == list(range(101))
        assert server.requests[1].query == {"per_page": "100", "page": "2"}

    def test_below_a_path(self, server: Server, make_client: MakeClient) -> None:
        server.tell(page(server, range(100), 101, "/api/v3/l?page=2"), page(server, range(100, 101), 101))
        assert len(read(make_client(f"{server.url}/api/v3"))) == 101
        assert server.calls == ["GET /api/v3/l"] * 2

    def test_a_page_that_fails_half_way_is_repeated(self, server: Server, client: Client) -> None:
        server.tell(page(server, range(100), 101, "/l?page=2"), Cut(), Answer(502), page(server, range(100, 101), 101))
        assert read(client) == list(range(101))

    @pytest.mark.parametrize("fault", [Answer(500), Cut(), Answer(200, '{"total_count": 101, "ite')])
    def test_a_page_that_stays_away_is_an_error(self, server: Server, client: Client, fault: Answer | Cut) -> None:
        server.tell(page(server, range(100), 101, "/l?page=2"), *[fault] * 4)
        with pytest.raises(errors.GitHubError, match="Could not list"):
            read(client)
        assert len(server.requests) == 5

    def test_a_list_that_changes_is_read_again(self, server: Server, client: Client) -> None:
        """One item went while page 1 was read, so item 100 slid from page 2 to page 1, and was seen on neither."""
        server.tell(
            page(server, range(100), 102, "/l?page=2"),
            page(server, range(101, 102), 101),
            page(server, range(1, 101), 101, "/l?page=2"),
            page(server, range(101, 102), 101),
        )
        assert read(client) == list(range(1, 102))

    def test_an_item_seen_twice_hides_another(self, server: Server, client: Client) -> None:
        server.tell(
            page(server, range(100), 101, "/l?page=2"),
            page(server, range(99, 100), 101),
            page(server, range(100), 101, "/l?page=2"),
            page(server, range(100, 101), 101),
        )
        assert read(client) == list(range(101))

    @pytest.mark.parametrize("seen", [0, 99, 101])
    def test_a_list_that_never_adds_up_is_an_error(self, server: Server, client: Client, seen: int) -> None:
        server.tell(*[page(server, range(seen), 100)] * 3)
        with pytest.raises(errors.ProtocolError, match="incomplete, or changed, each of the 3 times"):
            read(client)

    def test_pages_in_a_circle(self, server: Server, client: Client) -> None:
        server.tell(*[page(server, range(2), 4, "/l?page=2"), page(server, range(2, 3), 4, "/l?page=2")] * 3)
        with pytest.raises(errors.ProtocolError):
            read(client)
        assert len(server.requests) == 6

    def test_next_page_elsewhere(self, server: Server, client: Client, start_server: Callable[[], Server]) -> None:
        other = start_server()
        server.tell(page(other, range(2), 4, "/l?page=2"))
        with pytest.raises(errors.ProtocolError, match="elsewhere"):
            read(client)
        assert other.requests == []

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (None, "what should have a 'total_count' is NoneType"),
            ([], "what should have a 'total_count' is list"),
            ({"items": []}, "'total_count' is NoneType, not int"),
            ({"total_count": True, "items": []}, "'total_count' is bool, not int"),
            ({"total_count": 0}, "'items' is NoneType, not list"),
            ({"total_count": 0, "items": {}}, "'items' is dict, not list"),
            ({"total_count": 1, "items": ["x"]}, "what should have a 'id' is str"),
            ({"total_count": 1, "items": [{"id": "1"}]}, "'id' is str, not int"),
        ],
    )
    def test_wrong_shape(self, server: Server, client: Client, data: Any, words: str) -> None:
        server.tell(Answer(200, data, {"X-GitHub-Request-Id": "AB:12"}))
        with pytest.raises(errors.ProtocolError) as caught:
            read(client)
        assert words in str(caught.value)
        assert caught.value.request_id == "AB:12"


class TestTLS:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def start_tls(self, authority: trustme.CA, start_server: Callable[..., Server]) -> Callable[[str], Server]:
        def start(name: str) -> Server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            return start_server(context)

        return start

    @pytest.fixture
    def ca_file(self, authority: trustme.CA, tmp_path: Path) -> str:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        return str(tmp_path / "ca.pem")

    def test_ca_file(self, start_tls: Callable[[str], Server], make_client: MakeClient, ca_file: str) -> None:
        server = start_tls("127.0.0.1")
        server.tell(OK)
        assert make_client(server.url, ca_file=ca_file).get("/x", action="try").data == {"ok": True}

    def test_unknown_authority(self, start_tls: Callable[[str], Server], make_client: MakeClient) -> None:
        server = start_tls("127.0.0.1")
        with pytest.raises(errors.Unreachable, match=r"certificate verify failed.*set ca_file") as caught:
            make_client(server.url).post("/x", action="try")
        assert caught.value.sent is False
        assert server.requests == []

    def test_another_name(self, start_tls: Callable[[str], Server], make_client: MakeClient, ca_file: str) -> None:
        server = start_tls("127.0.0.2")
        with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.2|not valid for '127\.0\.0\.1'") as caught:
            make_client(server.url, ca_file=ca_file).post("/x", action="try")
        assert caught.value.sent is False
        assert server.requests == []

    def test_bad_ca_file(self, make_client: MakeClient, tmp_path: Path) -> None:
        (tmp_path / "no.pem").write_text("hello\n")
        for path in (tmp_path / "no.pem", tmp_path / "absent.pem", tmp_path):
            with pytest.raises(ValueError, match=r"ca_file = .*Do: name a file of PEM certificates"):
                make_client(ca_file=str(path))


class TestProxies:
    @pytest.fixture
    def proxy(self, start_server: Callable[[], Server], monkeypatch: pytest.MonkeyPatch) -> Server:
        proxy = start_server()
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hidden@{proxy.host}")
        monkeypatch.setenv("HTTP_PROXY", f"http://me:hidden@{proxy.host}")
        return proxy

    def test_a_proxy_is_used(self, proxy: Server, make_client: MakeClient) -> None:
        proxy.tell(OK)
        assert make_client("http://github.invalid").get("/x", action="try").data == {"ok": True}

    def test_a_proxy_that_opens_no_tunnel(self, proxy: Server, make_client: MakeClient) -> None:
        proxy.tell(Answer(407, "<html>who are you?</html>"))
        with pytest.raises(errors.Unreachable, match="407") as caught:
            make_client("https://github.invalid").post("/x", action="try")
        assert caught.value.sent is False
        assert "hidden" not in str(caught.value)
        assert "authorization" not in {name.lower() for name in proxy.requests[0].headers}

    def test_a_proxy_that_is_gone(self, proxy: Server, make_client: MakeClient) -> None:
        proxy.stop()
        with pytest.raises(errors.Unreachable) as caught:
            make_client("https://github.invalid").post("/x", action="try")
        assert caught.value.sent is False
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("url", ["http://me:hidden@h:99999", "http://me:hidden/pw@h:9", "http://me:hidden#pw@h:9"])
    def test_a_proxy_whose_url_is_none(
        self, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        """The libraries quote it, with the password or what they take for the host."""
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(errors.Unreachable, match=r"is no URL.*HTTPS_PROXY") as caught:
            make_client("https://github.invalid").post("/x", action="try")
        assert caught.value.sent is False
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("api_url", ["https://github.com", "github.com", "https://x:y@host/api/v3", ""])
def test_bad_api_url(make_client: MakeClient, api_url: str) -> None:
    with pytest.raises(ValueError, match="api_url = "):
        make_client(api_url)


@pytest.mark.parametrize(
    "fault",
    [
        Cut(),
        Cut(reset=True),
        Silence(),
        Cut(b"HTTP/1.1 abc\r\n\r\n"),
        Cut(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{"),
        Answer(201, '{"token": "ghs_half'),
        Answer(201, "<html>"),
        Answer(307, "", {"Location": "http://elsewhere.invalid/"}),
        Answer(401, {"message": "Bad credentials"}),
        Answer(403, {"message": "rate limit"}),
        Answer(422, {"message": "No."}),
        Answer(500),
    ],
    ids=repr,
)
def test_no_trace_shows_the_token(
    server: Server, make_client: MakeClient, caplog: pytest.LogCaptureFixture, fault: Answer | Cut | Silence
) -> None:
    """Not even a trace with all local variables, as error reporters make them, nor the logs of the libraries."""
    caplog.set_level(logging.DEBUG)
    client = make_client(timeout=0.2 if isinstance(fault, Silence) else 60)
    server.tell(fault)
    with pytest.raises(errors.GitHubError) as caught:
        client.post("/x", action="try", json={"name": "n"})
    exc = caught.value
    assert exc.__context__ is None
    frames = exc.__traceback__.tb_next  # without this function's, which holds the answer
    trace = "".join(traceback.TracebackException(type(exc), exc, frames, capture_locals=True).format())
    said = trace + str(exc) + repr(exc) + repr(vars(exc)) + caplog.text + repr(client) + repr(vars(client))
    assert "Could not try" in said
    assert "client.py" in said
    assert server.arrived.wait(60)
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in said
    assert "ghs_half" not in said


class Rota:
    """A credential of several tokens: the next one after each 401. An exception in place of one is raised."""

    expires_at = None
    renews_itself = True

    def __init__(self, *tokens: str | errors.GitHubError) -> None:
        self.tokens = [*tokens]
        self.asked: list[float] = []
        self.refused: list[str] = []

    def header(self, now: float) -> str:
        self.asked.append(now)
        if isinstance(self.tokens[0], errors.GitHubError):
            raise self.tokens.pop(0)  # type: ignore[misc]  # seen to be one
        return f"Bearer {self.tokens[0]}"

    def renew(self, refused: str, now: float) -> bool:
        self.refused.append(refused)
        self.tokens.pop(0)
        return bool(self.tokens)


class TestCredentialThatRenewsItself:
    def test_once_more_after_401(self, server: Server, around: Surroundings) -> None:
        rota = Rota("old", "new")
        server.tell(Answer(401, {"message": "Bad credentials"}, {"Date": formatdate(NOW + 100, usegmt=True)}), OK)
        Client(server.url, rota, now=lambda: around.now).post("/x", action="try", json={"a": 1})
        assert [each.headers["Authorization"] for each in server.requests] == ["Bearer old", "Bearer new"]
        assert [each.body for each in server.requests] == [{"a": 1}] * 2
        assert rota.refused == ["Bearer old"]
        assert rota.asked == [NOW, NOW + 100]  # GitHub's clock, as soon as it is known

    def test_once_only(self, server: Server) -> None:
        refusal = Answer(401, {"message": "Bad credentials"})
        server.tell(refusal, refusal)
        rota = Rota("old", "new", "newest")
        with pytest.raises(errors.Unauthorized):
            Client(server.url, rota).get("/x", action="try")
        assert len(server.requests) == 2
        assert rota.refused == ["Bearer old"]

    def test_not_at_all(self, server: Server) -> None:
        server.tell(Answer(401, {"message": "Bad credentials"}))
        with pytest.raises(errors.Unauthorized):
            Client(server.url, Rota("old")).get("/x", action="try")
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "problem",
        [
            errors.ServerError("make a token", message="sorry", status=502),
            errors.ProtocolError("make a token", message="what?"),
            errors.Unreachable("make a token", message="no answer", sent=None),
            errors.NotFound("make a token", message="Not Found", status=404, hint="install the App"),
        ],
    )
    def test_a_request_without_credential_has_not_left(self, server: Server, problem: errors.GitHubError) -> None:
        """So nothing can have come of it, however much in doubt the making of the token is."""
        with pytest.raises(type(problem)) as caught:
            Client(server.url, Rota(problem)).post("/x", action="try")
        assert caught.value is problem
        assert caught.value.sent is False
        assert not caught.value.in_doubt
        assert server.requests == []

    def test_a_passing_reason_is_tried_again(self, server: Server, around: Surroundings) -> None:
        server.tell(OK)
        rota = Rota(errors.ServerError("make a token", message="sorry", status=502), "new")
        Client(server.url, rota, sleep=around.sleep).get("/x", action="try")
        assert len(around.slept) == 1

    def test_what_left_before_stays_in_doubt(self, server: Server, around: Surroundings) -> None:
        """A DELETE whose answer was lost, and whose repetition got no credential."""

        class Fails(Rota):
            def header(self, now: float) -> str:
                if self.asked:
                    raise errors.Unreachable("make a token", message="no answer", sent=False)
                return super().header(now)

        server.tell(Cut())
        with pytest.raises(errors.Unreachable) as caught:
            Client(server.url, Fails("x"), sleep=around.sleep, retries=1).delete("/x", action="try")
        assert caught.value.action == "make a token"
        assert caught.value.in_doubt
