# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP client for GitHub's REST API: retries, pages, rate limits, typed errors."""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import partialmethod
from json import loads
from typing import Any
from urllib.parse import urljoin, urlsplit

try:
    import requests
    import urllib3

    HAS_REQUESTS = True
except ImportError:
    HAS_REQUESTS = False

from .answers import Response, epoch, parse, take
from .auth import Auth
from .errors import NOT_GITHUB, GitHubError, Moved, ProtocolError, RateLimited, Unreachable, error_for, facts, one_line
from .scope import split_api_url

API_VERSION = "2022-11-28"  # the runner models are the same in 2026-03-10, which older GHES do not know
USER_AGENT = "ephemeral.github_runners"  # GitHub refuses requests without one
REPEATABLE = ("GET", "PUT", "DELETE")  # twice is the same as once; a POST may make two runners
BACKOFF = 0.5  # seconds before the first retry; doubled each time, give or take a half
LONGEST_PAUSE = 5.0  # seconds; what takes longer is the caller's to wait for
# Seconds. Servers and firewalls drop idle connections, and a POST on one that is dead would be in doubt for nothing.
IDLE_CONNECTION = 50.0
REDIRECTS = (301, 302, 303, 307, 308)
REDIRECTIONS = 5  # in a row
# Names of exceptions of the libraries: what happens before a request is written, and after. All else is unknown.
NO_URL = {"InvalidURL", "LocationParseError"}  # the server's or the proxy's
NEVER_SENT = {"NewConnectionError", "ConnectTimeoutError", "SSLCertVerificationError", "CertificateError", *NO_URL}
SURELY_SENT = {"ReadTimeoutError", "IncompleteRead", "ChunkedEncodingError"}
PAGE_SIZE = 100  # GitHub's maximum
READINGS = 3  # of a list that changes while it is read


@dataclass(frozen=True)
class RateLimit:
    """What GitHub said last about the budget of requests: `reset` in epoch seconds of GitHub's clock."""

    limit: int
    remaining: int
    reset: float
    resource: str


@dataclass(frozen=True)
class Call:
    """A request before it is made; see `Client.request`."""

    method: str
    url: str
    action: str
    params: Mapping[str, Any] | None
    json: Any
    hints: Mapping[int, str]


class Client:
    """The way to GitHub for one credential. Several threads may use it; each has connections of its own.

    Args:
        api_url: ``https://api.github.com``, ``https://api.SUBDOMAIN.ghe.com`` or ``https://HOST/api/v3``.
        auth: The credential. It is sent to the server of `api_url` and to no other.
        timeout: Seconds to connect, and the longest silence of the server while it answers.
        retries: How often a request that may be repeated is repeated: after no answer, a broken one, a 5xx, or a rate
            limit, if it is over within LONGEST_PAUSE.
        ca_file: PEM file of the authorities to trust instead of the system's.
        user_agent: What to say who we are.
        sleep: `time.sleep`, for tests.
        now: `time.time`, for tests.
        on_request: Called after each exchange with method, path, status (None: no answer) and seconds; for metrics.
            Called from the thread that asked; must not raise.
        before_request: Called with `action` before each request; may raise RateLimited in its place.
        on_limit: Called with each rate limit, of which none is waited out here then: who shares the credential has to
            rest, too. None: short ones are waited out.

    Attributes:
        rate_limit: The budget as last seen; None before the first answer, and where there are no limits (GHES).
        token_expires_at: When the credential ends, epoch seconds, as GitHub or the credential tells; None: unknown, or
            never, as with an App's key.
        clock_skew: Seconds by which GitHub's clock is ahead of this machine's; None before the first answer.

    Raises:
        ImportError: The Python library `requests` is not there.
        ValueError: `api_url` or `ca_file` makes no sense.
    """

    def __init__(
        self,
        api_url: str,
        auth: Auth,
        *,
        timeout: float = 30,
        retries: int = 3,
        ca_file: str | None = None,
        user_agent: str = USER_AGENT,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
        on_request: Callable[[str, str, int | None, float], None] | None = None,
        before_request: Callable[[str], None] | None = None,
        on_limit: Callable[[RateLimited], None] | None = None,
    ) -> None:
        if not HAS_REQUESTS:
            raise ImportError("GitHub's API needs the Python library requests >= 2.25.1. Do: install python3-requests")
        if ca_file:
            try:
                ssl.create_default_context(cafile=ca_file)
            except OSError as exc:
                raise ValueError(f"ca_file = {ca_file!r}: {exc}. Do: name a file of PEM certificates") from None
        self.api_url = split_api_url(api_url).geturl()
        self.rate_limit: RateLimit | None = None
        self.token_expires_at = auth.expires_at
        self.clock_skew: float | None = None
        self._auth = auth
        self._timeout = timeout
        self._retries = retries
        self._verify = ca_file or True
        self._headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
            "User-Agent": user_agent,
        }
        self._sleep = sleep
        self._now = now
        self._on_request = on_request
        self._before_request = before_request
        self._on_limit = on_limit
        self._local = threading.local()

    def request(
        self,
        method: str,
        path: str,
        *,
        action: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        hints: Mapping[int, str] | None = None,
    ) -> Response:
        """One request, repeated if need be and if harmless.

        Args:
            method: In upper case.
            path: Below the API's URL, such as ``/orgs/my-org/actions/runners``.
            action: What is being tried, in words that follow "could not"; for messages.
            params: The query.
            json: The body.
            hints: What the user can do, by HTTP status; for messages.

        Raises:
            GitHubError: One of its kinds, for everything but a 2xx.
        """
        call = Call(method, self.api_url + path, action, params, json, hints or {})
        attempt = 0
        sent: bool | None = False
        while True:
            if self._before_request:
                self._before_request(action)
            outcome = self._attempt(call)
            if isinstance(outcome, Response):
                return outcome
            if self._on_limit and isinstance(outcome, RateLimited):
                self._on_limit(outcome)
            # An attempt that did not leave undoes no earlier one that did.
            outcome.sent = sent = max(sent, outcome.sent, key=[False, None, True].index)
            pause = self._pause(outcome, attempt) if method in REPEATABLE and attempt < self._retries else None
            if pause is None:
                raise outcome
            self._sleep(pause)
            attempt += 1

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")

    def server_time(self) -> float:
        """GitHub's clock, epoch seconds; this machine's before the first answer."""
        return self._now() + (self.clock_skew or 0.0)

    def paginate(
        self,
        path: str,
        *,
        action: str,
        key: str,
        params: Mapping[str, Any] | None = None,
        hints: Mapping[int, str] | None = None,
    ) -> list[dict[str, Any]]:
        """All items of a list, from all its pages, each once.

        Pages are asked for one after the other, so a list that changes meanwhile can lose an item between two of them.
        It is complete if every page gives the same total and that many items were seen; if not, it is read again.

        Args:
            key: The name of the list in each page, beside `total_count`.
            path, action, params, hints: As for `request`.

        Raises:
            ProtocolError: It did not add up however often it was read: a list is complete or an error, never short.
            GitHubError: A page could not be had.
        """
        for _reading in range(READINGS):
            items: dict[int, dict[str, Any]] = {}
            totals = set()
            for page in self.pages(path, {**(params or {}), "per_page": PAGE_SIZE}, action, hints):
                totals.add(parse(page, action, lambda data: take(data, "total_count", int)))
                items |= parse(
                    page, action, lambda data: {take(item, "id", int): item for item in take(data, key, list)}
                )
            if totals == {len(items)}:
                return list(items.values())
        raise ProtocolError(
            action,
            message=f"the list was incomplete, or changed, each of the {READINGS} times it was read",
            url=self.api_url + path,
            hint="try again later",
        )

    def pages(
        self, path: str, params: Mapping[str, Any], action: str, hints: Mapping[int, str] | None
    ) -> Iterator[Response]:
        """The pages of a list, as the Link header of each leads to the next; asked for one by one, as they are taken.

        For lists that do not tell how many items there are; `paginate` sees to it that a list is complete.
        """
        seen = set()
        query: Mapping[str, Any] | None = params
        while path not in seen:
            seen.add(path)
            page = self.request("GET", path, action=action, params=query, hints=hints)
            yield page
            links = requests.utils.parse_header_links(page.headers.get("link", ""))
            following = next((link["url"] for link in links if link.get("rel") == "next"), None)
            if following is None:
                return
            following = urljoin(page.url, following)
            if not following.startswith(f"{self.api_url}/"):
                raise ProtocolError(
                    action,
                    message=f"the next page is said to be elsewhere, at {one_line(following, 200)}",
                    hint=f"see what changes the Link header on the way from {self.api_url}",
                    **facts(page.url, page.status, page.headers),
                )
            path, query = following[len(self.api_url) :], None

    def _pause(self, error: GitHubError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt; None if there should be none."""
        if isinstance(error, RateLimited):
            if self._on_limit:
                return None
            pause = max(error.retry_at - self._now(), 0.0)
        elif error.transient:
            backoff = BACKOFF * 2 ** min(attempt, 10) * random.uniform(0.5, 1.5)  # noqa: S311, spreads load only
            pause = max(min(backoff, LONGEST_PAUSE), error.retry_after or 0.0)
        else:
            return None
        return pause if pause <= LONGEST_PAUSE else None

    def _attempt(self, call: Call) -> Response | GitHubError:
        """One request and what it came to, after the redirects that are safe to follow.

        Errors are returned, for `request` to raise: raised where another exception is at hand, they would drag along
        its frames, which hold the Authorization header.
        """
        for _hop in range(REDIRECTIONS):
            answer = self._exchange(call)
            if isinstance(answer, GitHubError):
                return answer
            if answer.status_code not in REDIRECTS:
                return self._interpret(call, answer)
            target = urljoin(call.url, answer.headers.get("location", ""))
            moved = Moved(
                call.action,
                message=f"redirected to {one_line(target, 200)}, which is not followed",
                hint=f"if the scope was renamed or moved, give its present name; if not, {NOT_GITHUB}",
                **facts(call.url, answer.status_code, answer.headers),
            )
            if call.method != "GET" or urlsplit(target)[:2] != urlsplit(self.api_url)[:2]:
                return moved
            call = replace(call, url=target, params=None)
        return moved

    def _exchange(self, call: Call) -> requests.Response | GitHubError:
        """One request and the answer to it; once more with another header if the credential has one after a 401."""
        for last in (False, True):
            try:
                header = self._auth.header(self.server_time())
            except GitHubError as exc:
                exc.sent = False  # this request has not left
                return exc.with_traceback(None)
            answer = self._send(call, header)
            refused = not isinstance(answer, Unreachable) and answer.status_code == 401
            if last or not refused or not self._auth.renew(header, self.server_time()):
                break
        return answer

    def _send(self, call: Call, header: str) -> requests.Response | Unreachable:
        """One request on the wire, and the answer to it."""

        def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
            """Add the credential where requests would otherwise add one that it finds in a .netrc file."""
            request.headers["Authorization"] = header
            return request

        started = time.monotonic()
        answer: requests.Response | Unreachable
        try:
            answer = self._session().request(
                call.method,
                call.url,
                params=call.params,
                json=call.json,
                headers=self._headers,
                auth=sign,
                timeout=self._timeout,
                verify=self._verify,
                allow_redirects=False,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            answer = _unreachable(call, exc)
        else:
            self._observe(answer.headers)
        if self._on_request:
            status = None if isinstance(answer, Unreachable) else answer.status_code
            self._on_request(call.method, urlsplit(call.url).path, status, time.monotonic() - started)
        return answer

    def _session(self) -> requests.Session:
        """This thread's connections; new ones if it has not used them for long."""
        now = self._now()
        session: requests.Session | None = getattr(self._local, "session", None)
        if session and abs(now - self._local.used) > IDLE_CONNECTION:
            session.close()
            session = None
        self._local.session = session = session or requests.Session()
        self._local.used = now
        return session

    def _observe(self, headers: Mapping[str, str]) -> None:
        """Keep what every answer tells beside its content; each is one assignment, so threads do not mind."""
        numbers = [headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining", "reset")]
        if all(re.fullmatch(r"[0-9]{1,12}", each) for each in numbers):
            limit, remaining, reset = map(int, numbers)
            self.rate_limit = RateLimit(limit, remaining, reset, one_line(headers.get("x-ratelimit-resource", ""), 50))
        if not self._auth.renews_itself:
            told = epoch(headers.get("github-authentication-token-expiration", ""))
            self.token_expires_at = told or self._auth.expires_at or self.token_expires_at
        with suppress(TypeError, ValueError, OverflowError):
            self.clock_skew = parsedate_to_datetime(headers.get("date", "")).timestamp() - self._now()

    def _interpret(self, call: Call, answer: requests.Response) -> Response | GitHubError:
        """The answer as data, or as the error it is."""
        data, broken = None, ""
        try:
            data = loads(answer.content.decode("utf-8-sig")) if answer.content.strip() else None
        except (ValueError, RecursionError):
            broken = _describe(answer)
        if not 200 <= answer.status_code < 300:
            seen = facts(call.url, answer.status_code, answer.headers)
            clock = self._now(), self.clock_skew or 0.0
            return error_for(
                call.action, seen, answer.headers, data, broken or "no message of GitHub's", clock, call.hints
            )
        if broken:
            seen = facts(call.url, answer.status_code, answer.headers)
            return ProtocolError(call.action, message=broken, hint=NOT_GITHUB, **seen)
        return Response(answer.status_code, data, answer.headers, call.url)


def _describe(answer: requests.Response) -> str:
    """A body that is not JSON, in words. It is not quoted: it may be the front half of a credential."""
    words = f"not JSON but {one_line(answer.headers.get('content-type', 'something unnamed'), 100)}"
    title = re.search(rb"<title[^>]*>([^<]*)", answer.content[:10000], re.IGNORECASE)
    return words + (f", titled {one_line(title[1].decode('utf-8', 'replace'), 100)!r}" if title else "")


def _unreachable(call: Call, exc: BaseException) -> Unreachable:
    """The error for a request that got no answer; it keeps the words of `exc` and nothing else of it."""
    causes = [exc]  # requests and urllib3 wrap one exception in another; the list grows while it is walked
    for cause in causes:
        inner = (*cause.args, getattr(cause, "reason", None))
        causes += [each for each in inner if isinstance(each, BaseException) and each not in causes]
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    words = re.sub(r"^(<[^>]*>|\w+\(host=.*?\)): ", "", str(causes[-1])) or type(causes[-1]).__name__
    if kinds & NO_URL:  # and they quote it, though a proxy's may have a password in it
        words = "its address, or that of the proxy, is no URL"
    sent = None
    if kinds & NEVER_SENT or "Tunnel connection" in words:
        sent = False
    elif kinds & SURELY_SENT:
        sent = True
    host = urlsplit(call.url).netloc
    hint = f"see whether {host} can be reached from here (name, network, firewall, HTTPS_PROXY)"
    if "SSLError" in kinds:
        hint = f"see whether {host} is right; if so, set ca_file to who vouches for it, or for the proxy in between"
    message = f"no answer from {host}: {one_line(words, 200)}"
    return Unreachable(call.action, sent=sent, message=message, url=call.url, hint=hint)
