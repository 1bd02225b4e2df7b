# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub's side: the project's own strict double in this process, asked by the real HTTP client, in virtual time.

No sockets: `requests` gets an adapter that hands each request to the double's own application.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import requests
import urllib3
from aiohttp import web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.typedefs import URL, CIMultiDict, CIMultiDictProxy
from requests.structures import CaseInsensitiveDict

from tests.doubles.github import admin, api, call, hooks, wire
from tests.doubles.github.access import Credential, Limiter
from tests.doubles.github.apps import Apps
from tests.doubles.github.settings import Settings, iso
from tests.doubles.github.state import GitHub, Job, Runner

from .history import ASKED, JOB_QUEUED, History
from .wire import ONE_KEY, Inline, Pool, Waiting, Wire, refused, wait_of
from .world import EPOCH, GitHubClock, Time

SCOPE, REPOSITORY, TOKEN = "my-org", "my-org/app", "ghp_theTokenOfThePool"
#: GitHub removes ephemeral runners that were offline for a day. Here it takes less for those that only it can remove.
ORPHAN_LIFE = 3600.0
OTHERS = "other-"
LATENCY = 0.05  # seconds
API = "https://api.github.com"


def date(at: float) -> str:
    """A moment of the simulation as GitHub writes it."""
    return iso(EPOCH + at)


class Service:
    """The double, without a server around it."""

    def __init__(self, time: Time, history: History) -> None:
        self.time = time
        self.history = history
        self.github = GitHub(GitHubClock(time), Settings())
        self.unreachable = False
        self.cuts_second_pages, self.second_pages_cut = False, 0
        self.point: Callable[[str], None] = lambda name: None
        self._orphans: dict[int, float] = {}  # a registration -> when it was last online
        self._credentials: dict[str, Credential] = {}
        self.give(TOKEN)
        for name in (SCOPE, REPOSITORY):
            self.github.add_scope(name)
        self._journal = wire.Journal(keep=1)
        self._app = web.Application(middlewares=[wire.record, wire.strike, wire.errors])
        self._app.on_response_prepare.append(wire.headers)
        shared = {wire.GITHUB: self.github, wire.JOURNAL: self._journal, api.CREDENTIALS: self._credentials}
        for key, value in shared.items():
            self._app[key] = value
        self._apps = Apps(self.github)
        self._app[call.APPS], self._app[hooks.HOOKS] = self._apps, hooks.Hooks(self.github)
        self._app[api.LIMITER], self._app[api.PUBLIC_URL] = Limiter(self.github.settings), ""
        self._app.add_routes(api.routes())
        self._app.freeze()
        self._loop = asyncio.SelectorEventLoop(Waiting(time))
        self._loop.time = lambda: time.at
        self._loop.set_default_executor(Inline(1))

    def close(self) -> None:
        """No more questions."""
        self._loop.close()

    @contextlib.contextmanager
    def in_place_of_the_network(self) -> Iterator[None]:
        """Whoever opens a `requests.Session` talks to this GitHub."""
        with (
            mock.patch("requests.sessions.HTTPAdapter", lambda: _Adapter(self)),
            mock.patch("tests.doubles.github.api.KEYS", ONE_KEY),
        ):
            yield

    # What people and time do there

    def give(self, *tokens: str) -> None:
        """These tokens, and no others, may do all."""
        self.give_until(dict.fromkeys(tokens))

    def give_until(self, ends: Mapping[str, float | None]) -> None:
        """These tokens, and no others, may do all, each until its end."""
        rights = {SCOPE: "write", f"{SCOPE}/*": "write"}
        forms = {
            f"token {number}": {"token": token, "scopes": rights, "expires_at": None if end is None else date(end)}
            for number, (token, end) in enumerate(ends.items())
        }
        admin.set_credentials(self.github, self._credentials, forms)

    def release(self, version: str) -> None:
        """There is a new version of the runner."""
        self.github.settings.releases[version] = date(self.time.at)

    def app(self) -> dict[str, str]:
        """An App that may do all, and its key: its tokens die after an hour."""
        rights = {"organization_self_hosted_runners": "write", "administration": "write", "metadata": "read"}
        self._apps.replace({"pool": {"id": 4711, "permissions": rights, "installations": {SCOPE: {}}}})
        return {"app_id": "4711", "private_key": self._apps.new_key("pool")}

    def queue(self, seconds: float, name: str = "", labels: tuple[str, ...] = ("self-hosted",)) -> Job:
        """A job that takes so long."""
        job = self.github.queue_job(REPOSITORY, name or f"job {len(self.github.jobs) + 1}", labels, str(seconds), {})
        self.history.add(JOB_QUEUED, str(job.id), seconds=seconds)
        return job

    def ours(self) -> list[Runner]:
        """The registrations but those that other people have made."""
        return [runner for runner in self.github.runners.values() if not runner.name.startswith(OTHERS)]

    def of_others(self, count: int) -> None:
        """So many runners of other people, all offline, in the first scope."""
        scope = self.github.scope(SCOPE)
        for number in range(count):
            if self.github.named(scope, f"{OTHERS}{number}") is not None:
                return  # they are here
            more = {"name": f"{OTHERS}{number}", "group_id": 1, "labels": [], "work_folder": "_work", "base": API}
            self.github.register(scope, key=ONE_KEY.take(), **more)

    def fault(self, **body: Any) -> None:
        """One of the double's own faults; see its README."""
        self.github.faults.add(body)

    def clear(self) -> None:
        """No fault any more."""
        self.github.faults.all.clear()
        self.unreachable = self.cuts_second_pages = False

    def leave_the_rest_to_github(self) -> None:
        """Nobody else knows any more of those that are registered now."""
        self._orphans = dict.fromkeys(self.github.runners, self.time.at)

    def sweep(self) -> None:
        """What GitHub does by itself."""
        self.github.sweep()
        for number, since in list(self._orphans.items()):
            runner = self.github.runners.get(number)
            if runner is None:
                del self._orphans[number]
            elif self.github.online(runner) or self.github.busy(runner):
                self._orphans[number] = self.time.at
            elif self.time.at - since > ORPHAN_LIFE:
                self.github.remove(runner, "offline for too long")

    def forget_what_is_over(self) -> None:
        """Jobs, registrations and keys that are history: the double keeps them for tests that ask."""
        github = self.github
        github.jobs = {number: job for number, job in github.jobs.items() if job.status != "completed" or job.held}
        github.gone.clear()
        github.issued.clear()
        github._clients = {runner.client_id: runner for runner in github.runners.values()}
        sessions = (runner.session for runner in github.runners.values())
        github._sessions = {session.id: session for session in sessions if session is not None}

    # The wire

    def ask(self, request: requests.PreparedRequest, timeout: float) -> requests.Response:
        """One request and its answer, or what `requests` raises when there is none."""
        assert request.url is not None and request.method is not None
        url = URL(request.url)
        began = self.time.at
        self.point(f"before {request.method} {url.path}")
        self.time.passes(LATENCY)
        try:
            answer = self._answer(request, url, timeout)
        except requests.RequestException:
            self.history.add(ASKED, url.path, method=request.method, status=None, since=began)
            raise
        self.history.add(
            ASKED, url.path, method=request.method, status=answer.status_code, since=began, **wait_of(answer)
        )
        self.point(f"after {request.method} {url.path}")
        return answer

    def _answer(self, request: requests.PreparedRequest, url: URL, timeout: float) -> requests.Response:
        if self.unreachable:
            raise requests.ConnectionError(refused(url))
        try:
            answer, cut = self._loop.run_until_complete(asyncio.wait_for(self._handle(request, url), timeout))
        except asyncio.TimeoutError:
            raise requests.ReadTimeout(
                urllib3.exceptions.ReadTimeoutError(Pool(), request.url or "", "Read timed out.")
            ) from None
        if self.cuts_second_pages and url.query.get("page") == "2":
            self.second_pages_cut += 1
            cut = True
        if cut:
            raise requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted."))
        response = requests.Response()
        response.status_code, response.url, response.request = answer.status, request.url or "", request
        response.headers = CaseInsensitiveDict(answer.headers)
        response._content = answer.body if isinstance(answer.body, bytes) else b""
        return response

    async def _handle(self, request: requests.PreparedRequest, url: URL) -> tuple[web.Response, bool]:
        headers = CIMultiDictProxy(CIMultiDict({**request.headers, "Host": url.host or ""}))
        message = RawRequestMessage(
            request.method or "", url.raw_path_qs, HttpVersion11, headers, (), False, None, False, False, url.relative()
        )
        line = mock.NonCallableMock(ssl_context=True, peername=None, sockname=None, transport=None)
        body = StreamReader(line, 2**16, loop=self._loop)
        body.feed_data(request.body.encode() if isinstance(request.body, str) else request.body or b"")
        body.feed_eof()
        asked = web.Request(
            message,
            body,
            line,
            Wire(),
            None,
            self._loop,
            scheme="https",
        )
        answer = await self._app._handle(asked)
        facts = wire.FACTS.get()
        if not facts.cut:
            await asked._prepare_hook(answer)
        assert isinstance(answer, web.Response) or facts.cut
        return answer, facts.cut


class _Adapter(requests.adapters.BaseAdapter):
    """Between `requests` and the double."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        return self._service.ask(request, float(options["timeout"]))

    def close(self) -> None:
        """Nothing is open."""
