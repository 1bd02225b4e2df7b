# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner's side: the calls under ``/_runner`` of tests/doubles/README.md."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from .access import Refused
from .state import Runner
from .wire import FACTS, GITHUB, answer

GRANT = "client_credentials"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE = 300  # seconds, by the runner's own (real) clock


class Bell:
    """Wakes everyone who waits for the next ring."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake them."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout: float) -> bool:
        """Wait for the next ring, up to ``timeout`` seconds. False when there was none."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except asyncio.TimeoutError:
            return False
        return True


WORK: web.AppKey[Bell] = web.AppKey("work", Bell)


def _bearer(request: web.Request, *, job: bool = False) -> Runner:
    scheme, _blank, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, "The access token is missing.")
    runner = request.app[GITHUB].bearer(token.strip(), job=job)
    FACTS.get().credential = f"runner:{runner.name}"
    return runner


async def _object(request: web.Request, **kinds: type) -> dict[str, Any]:
    """The JSON object sent, with at least these fields of these kinds. Raises Refused 400."""
    try:
        body = json.loads(await request.text())
    except ValueError:
        raise Refused(400, "The body is not JSON.") from None
    for name, kind in kinds.items():
        if not isinstance(body, dict) or not isinstance(body.get(name), kind):
            raise Refused(400, f"{name} is missing or not a {kind.__name__}.")
    return dict(body)


def _job_id(request: web.Request) -> int:
    text = request.match_info["job_id"]
    if not text.isdigit():
        raise Refused(404, "The job is not this runner's any more.")
    return int(text)


def _verified(request: web.Request, form: Any) -> Runner:
    """The runner that signed the assertion. Raises Refused 400 (invalid_client and the like)."""
    assertion = str(form.get("client_assertion", ""))
    if form.get("grant_type") != GRANT or form.get("client_assertion_type") != ASSERTION:
        raise Refused(400, "unsupported_grant_type")
    try:
        claimed = jwt.decode(assertion, options={"verify_signature": False})
        runner = request.app[GITHUB].client(str(claimed.get("iss")))
        public = runner.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        claims = jwt.decode(
            assertion,
            public,
            algorithms=["RS256"],
            audience=runner.token_url,
            issuer=runner.client_id,
            options={"require": ["exp", "iss", "sub", "aud"]},
        )
    except jwt.PyJWTError:
        raise Refused(400, "invalid_client") from None
    # By real time: the double's clock may be days ahead of the runner's, and is not what this rule is about.
    if claims["sub"] != runner.client_id or claims["exp"] > request.app[GITHUB].clock.real() + ASSERTION_LIFE + 5:
        raise Refused(400, "invalid_client")
    return runner


async def token(request: web.Request) -> web.Response:
    """POST token: an access token for a signed assertion."""
    try:
        runner = _verified(request, await request.post())
    except Refused as refused:
        return answer({"error": refused.message}, refused.status)
    FACTS.get().credential = f"runner:{runner.name}"
    value, life = request.app[GITHUB].grant(runner)
    return answer({"access_token": value, "expires_in": int(life)})


async def open_session(request: web.Request) -> web.Response:
    """POST session."""
    runner = _bearer(request)
    body = await _object(
        request, agentName=str, version=str, os=str, architecture=str, ephemeral=bool, disableUpdate=bool
    )
    if body["agentName"] != runner.name or body["ephemeral"] != runner.ephemeral:
        raise Refused(400, "agentName and ephemeral are not those of the registration.")
    session = request.app[GITHUB].open_session(
        runner,
        version=body["version"],
        os=body["os"],
        architecture=body["architecture"],
        disable_update=body["disableUpdate"],
        remote=request.remote or "",
    )
    return answer({"sessionId": session.id})


async def close_session(request: web.Request) -> web.Response:
    """DELETE session."""
    request.app[GITHUB].close_session(_bearer(request), request.query.get("sessionId", ""))
    return web.Response(status=204)


async def message(request: web.Request) -> web.Response:
    """GET message: held open until there is one. The server cancels this when the client hangs up."""
    github, bell = request.app[GITHUB], request.app[WORK]
    runner = _bearer(request)
    session = github.poll_begin(runner, request.query.get("sessionId", ""))
    cut = True
    try:
        end = github.clock.monotonic() + github.settings.poll_hold
        found = github.message(runner, session)
        while found is None and (left := end - github.clock.monotonic()) > 0:
            await bell.wait(left)
            found = github.message(runner, session)
        cut = False
        return web.Response(status=202) if found is None else answer(found)
    except Refused:
        cut = False
        raise
    finally:
        github.poll_end(session, cut=cut)


async def acknowledge(request: web.Request) -> web.Response:
    """POST acknowledge: the runner takes the job."""
    job = request.app[GITHUB].acknowledge(_bearer(request, job=True), _job_id(request))
    return answer(job.request())


async def renew(request: web.Request) -> web.Response:
    """POST renew: the job goes on."""
    return answer({"cancel": request.app[GITHUB].renew(_bearer(request, job=True), _job_id(request))})


async def log(request: web.Request) -> web.Response:
    """POST log: text for the job's log."""
    request.app[GITHUB].append_log(_bearer(request, job=True), _job_id(request), await request.text())
    return web.Response(status=204)


async def complete(request: web.Request) -> web.Response:
    """POST complete: the job is over."""
    runner = _bearer(request, job=True)
    body = await _object(request, result=str)
    request.app[GITHUB].complete(runner, _job_id(request), body["result"])
    return web.Response(status=204)


def routes() -> list[web.RouteDef]:
    """Where it all is."""
    return [
        web.post("/_runner/token", token),
        web.post("/_runner/session", open_session),
        web.delete("/_runner/session", close_session),
        web.get("/_runner/message", message),
        web.post("/_runner/jobs/{job_id}/acknowledge", acknowledge),
        web.post("/_runner/jobs/{job_id}/renew", renew),
        web.post("/_runner/jobs/{job_id}/log", log),
        web.post("/_runner/jobs/{job_id}/complete", complete),
    ]
