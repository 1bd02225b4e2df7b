# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to every request on the API's port, whatever it asks for: journal, headers, faults, errors."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import dataclasses
import email.utils
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from .access import Refused
from .faults import Fault
from .settings import iso
from .state import GitHub

GITHUB: web.AppKey[GitHub] = web.AppKey("github", GitHub)
DOCUMENTATION = "https://docs.github.com/rest"
RUNNER_PREFIX = "/_runner/"
REMOTE = re.compile(r"RemoteAuth\s+(\S+)$", re.IGNORECASE)  # how config.sh sends its token
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass
class Facts:
    """What becomes known about a request on its way."""

    id: str
    credential: str | None = None  # its name
    headers: dict[str, str] = dataclasses.field(default_factory=dict)  # for the answer, whatever it is
    fault: int | None = None
    cut: bool = False  # the client gets no (whole) answer
    passed_through: bool = False  # the answer claims to come from something in between


# A context variable: keys of a request itself differ between the versions of aiohttp in use.
FACTS: contextvars.ContextVar[Facts] = contextvars.ContextVar("facts")


class Journal:
    """Every request, in order. Holds names of credentials, never their values."""

    def __init__(self, keep: int = 100_000) -> None:
        self._entries: collections.deque[dict[str, Any]] = collections.deque(maxlen=keep)
        self._last = 0

    def add(self, **entry: Any) -> None:
        """Append one request under the next number."""
        self._last += 1
        self._entries.append({"n": self._last, **entry})

    def since(self, number: int, link: str) -> dict[str, Any]:
        """The last number, and the entries after ``number``: of the REST API (``rest``), of runners or ``all``."""
        entries = [entry for entry in self._entries if entry["n"] > number and link in ("all", entry["link"])]
        return {"last": self._last, "entries": entries}


JOURNAL: web.AppKey[Journal] = web.AppKey("journal", Journal)


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    text = json.dumps(body)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def refusal(refused: Refused) -> web.Response:
    """GitHub's form of an error."""
    body = {"message": refused.message, "documentation_url": DOCUMENTATION}
    if refused.status != 422:  # the description of 422 has no such field
        body["status"] = str(refused.status)
    return answer(body, refused.status, refused.headers)


async def headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries, the fabricated ones too."""
    facts = FACTS.get()
    if facts.passed_through:
        return
    response.headers["Date"] = email.utils.formatdate(request.app[GITHUB].clock.now(), usegmt=True)
    response.headers["Server"] = "github.com"
    response.headers["X-GitHub-Request-Id"] = facts.id
    for name, value in facts.headers.items():
        response.headers[name] = value


@web.middleware
async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write the request into the journal, whatever becomes of it."""
    number = uuid.uuid4().hex.upper()
    facts = Facts(":".join(number[i : i + 4] for i in range(0, 20, 4)))
    FACTS.set(facts)
    clock = request.app[GITHUB].clock
    asked_at, rest_until = clock.now(), None
    status: int | None = None
    try:
        response = await handler(request)
        status = response.status
        rest_until = _rest_until(response.status, {**facts.headers, **response.headers}, clock.now())
        return response
    finally:
        is_token = request.path.endswith("/access_tokens")  # an App's way to log in: nothing at GitHub changes
        is_runner = request.path.startswith(RUNNER_PREFIX) or REMOTE.match(request.headers.get("Authorization", ""))
        request.app[JOURNAL].add(
            time=iso(clock.now()),
            asked_at=asked_at,
            answered_at=clock.now(),
            rest_until=None if facts.cut else rest_until,
            id=facts.id,
            link="runner" if is_runner else "rest",
            method=request.method,
            path=request.path,
            query=dict(request.query),
            status=None if facts.cut else status,
            write=not is_runner and request.method not in ("GET", "HEAD", "OPTIONS") and not is_token,
            credential=facts.credential,
            agent=request.headers.get("User-Agent"),
            fault=facts.fault,
        )


def _rest_until(status: int, said: Mapping[str, str], now: float) -> float | None:
    """Until when the client is told not to ask again: by GitHub's rules, and 60 s where a limit names no end."""
    if status not in (403, 429):
        return None
    headers = {name.lower(): value for name, value in said.items()}
    if "retry-after" in headers:
        return now + float(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0":
        return float(headers["x-ratelimit-reset"])
    return now + 60 if status == 429 else None


@web.middleware
async def strike(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Apply the fault that was ordered for this request."""
    fault = request.app[GITHUB].faults.on_request(request.method, request.path)
    if fault is None:
        return await handler(request)
    facts = FACTS.get()
    facts.fault = fault.id
    await asyncio.sleep(fault.modifiers.get("delay", 0))
    if fault.effect == "delay":
        await asyncio.sleep(fault.value)
        return await handler(request)
    if fault.effect == "status":
        return _fabricated(fault)
    if fault.effect == "html":
        facts.passed_through = True
        page = f"<!DOCTYPE html><html><head><title>{fault.value}</title></head><body><h1>Unicorn!</h1></body></html>"
        return web.Response(text=page, status=fault.value, content_type="text/html")
    if fault.effect == "cut" and fault.value == "before":
        return _cut(request)
    response = await handler(request)
    if fault.effect == "cut":
        return _cut(request)
    text = (response.text if isinstance(response, web.Response) else "") or ""
    if fault.effect == "malformed":
        return web.Response(
            text='{"message": ' + text[: len(text) // 2], status=response.status, content_type="application/json"
        )
    return await _truncated(request, response.status, text.encode(), fault.value)


def _fabricated(fault: Fault) -> web.Response:
    extra = {str(name): str(value) for name, value in fault.modifiers.get("headers", {}).items()}
    if "retry_after" in fault.modifiers:
        extra["Retry-After"] = str(fault.modifiers["retry_after"])
    body = fault.modifiers.get("body", {"message": "Ordered by a test", "documentation_url": DOCUMENTATION})
    if fault.value == 204:
        return web.Response(status=204, headers=extra)
    return answer(body, fault.value, extra)


def _cut(request: web.Request) -> web.Response:
    FACTS.get().cut = True
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere


async def _truncated(request: web.Request, status: int, body: bytes, length: int) -> web.StreamResponse:
    """Promise the whole body, send ``length`` bytes of it, hang up."""
    FACTS.get().cut = True
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json; charset=utf-8"})
    response.content_length = max(len(body), length + 1)
    await response.prepare(request)
    await response.write(body[:length])
    if request.transport is not None:
        request.transport.close()  # unlike abort(), sends what is in the buffer
    return response


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals into answers; a path or method GitHub does not have is a 404."""
    try:
        return await handler(request)
    except Refused as refused:
        return refusal(refused)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return refusal(Refused(404, "Not Found"))
