# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to every request, whatever it asks for.

In Proxmox VE's order: who it is, what is meant, whether that is permitted, which node it is for, whether the parameters
are right; then the operation, and the check of its answer.
"""

from __future__ import annotations

import asyncio
import collections
import inspect
import json
import re
import time
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from .access import Refused, denied
from .api import OPERATIONS, Call, authenticate, csrf
from .faults import Fault
from .guests import Actions
from .schema import Description, Operation, verify, violations
from .state import Cluster

PREFIX = "/api2/json"
WITHOUT_LOGIN = {("POST", "/access/ticket"), ("GET", "/access/ticket"), ("GET", "/access/domains")}
#: Parameters whose values the journal leaves out.
SECRET = {"password", "cipassword"}


class Journal:
    """Every request, in order. Holds names of tokens, never their values."""

    def __init__(self, keep: int = 100_000) -> None:
        self._entries: collections.deque[dict[str, Any]] = collections.deque(maxlen=keep)
        self._last = 0

    def add(self, **entry: Any) -> None:
        """Append one request under the next number."""
        self._last += 1
        self._entries.append({"n": self._last, **entry})

    def since(self, number: int) -> dict[str, Any]:
        """The last number, and the entries after ``number``."""
        return {"last": self._last, "entries": [entry for entry in self._entries if entry["n"] > number]}


def answer(body: object, status: int = 200, reason: str | None = None) -> web.Response:
    """A JSON answer. The reason is one line, as HTTP has it."""
    line = re.sub(r"[\r\n]+", " ", reason).strip() if reason is not None else None
    text = json.dumps(body)
    return web.Response(text=text, status=status, reason=line, content_type="application/json")


class Front:
    """The API of one node: answers for itself and hands on what is for the others."""

    def __init__(self, cluster: Cluster, description: Description, journal: Journal, node: str) -> None:
        self.cluster = cluster
        self.description = description
        self.journal = journal
        self.node = node
        self.actions = Actions(cluster)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        path = unquote(request.rel_url.raw_path).removeprefix(PREFIX)
        entry: dict[str, Any] = {
            "time": time.time(),
            "node": self.node,
            "method": request.method,
            "path": path,
            "template": None,
            "parameters": {},
            "who": None,
            "fault": None,
            "write": request.method != "GET" and path != "/access/ticket",
            "status": None,
            "reason": None,
        }
        try:
            response = await self._struck(request, path, entry)
            if entry["status"] != "cut":
                entry["status"], entry["reason"] = response.status, response.reason
            return response
        finally:
            entry["status"] = None if entry["status"] == "cut" else entry["status"]
            self.journal.add(**entry)

    async def _struck(self, request: web.Request, path: str, entry: dict[str, Any]) -> web.StreamResponse:
        """Apply the fault that was ordered for this request."""
        fault = self.cluster.faults.on_request(request.method, path)
        if fault is None:
            return await self._answer(request, path, entry)
        entry["fault"] = fault.id
        await request.read()  # it has arrived, though its sender may give up meanwhile
        await asyncio.sleep(fault.modifiers.get("delay", 0) if fault.effect != "delay" else fault.value)
        if fault.effect == "status":
            reason = fault.modifiers.get("message", "ordered by a test")
            return answer({"data": None, "message": reason}, fault.value, reason)
        if fault.effect == "cut" and fault.value == "before":
            return self._cut(request, entry)
        response = await self._answer(request, path, entry)
        return await self._after(request, response, fault, entry)

    async def _after(
        self, request: web.Request, response: web.StreamResponse, fault: Fault, entry: dict[str, Any]
    ) -> web.StreamResponse:
        if fault.effect == "cut":
            return self._cut(request, entry)
        if fault.effect == "malformed":
            return web.Response(text="<html><body>Welcome</body></html>", content_type="text/html")
        return response

    def _cut(self, request: web.Request, entry: dict[str, Any]) -> web.StreamResponse:
        entry["status"] = "cut"
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # goes nowhere

    async def _answer(self, request: web.Request, path: str, entry: dict[str, Any]) -> web.StreamResponse:
        try:
            data = await self._operate(request, path, entry)
        except Refused as refused:
            body: dict[str, Any] = {"data": None, "message": f"{refused.message}\n"}
            if refused.status == 401:
                await asyncio.sleep(self.cluster.settings.unauthorized_seconds)
            if refused.errors:
                body["errors"] = refused.errors
            return answer(body, refused.status, refused.message)
        return answer({"data": data})

    async def _operate(self, request: web.Request, path: str, entry: dict[str, Any]) -> Any:
        who = ""
        if (request.method, path) not in WITHOUT_LOGIN:
            who = self._login(request)
        entry["who"] = who or None
        found = self.description.find(request.method, path)
        if found is None:
            raise Refused(501, f"Method '{request.method} {path}' not implemented")
        operation, in_path = found
        entry["template"] = operation.template
        given = await self._parameters(request, in_path)
        entry["parameters"] = {key: "***" if key in SECRET else value for key, value in given.items()}
        if "!" in who and not operation.raw.get("allowtoken"):
            raise denied(f"URI '{path}' not available with API token, need proper ticket.")
        self.cluster.access.check(operation.permissions, who, given)
        self._reach(given.get("node") if operation.template.startswith("/nodes/{node}") else None)
        values, errors = verify(operation, given)
        if errors:
            raise Refused(400, "Parameter verification failed.", errors)
        return await self._checked(operation, Call(self.cluster, self.actions, who, values))

    def _login(self, request: web.Request) -> str:
        ticket = unquote(request.cookies.get("PVEAuthCookie", ""))
        who = authenticate(self.cluster, request.headers.get("Authorization", ""), ticket)
        if "!" not in who and request.method != "GET":
            if request.headers.get("CSRFPreventionToken") != csrf(ticket):
                raise Refused(401, "Permission denied - invalid csrf token")
        return who

    async def _parameters(self, request: web.Request, in_path: dict[str, str]) -> dict[str, Any]:
        """Query, form or JSON, and what is in the path. A name given more than once has a list."""
        given: dict[str, Any] = {}
        pairs: list[tuple[str, Any]] = list(request.rel_url.query.items())
        if request.content_type == "application/json" and request.body_exists:
            body = await request.json()
            pairs += body.items()
        elif request.body_exists:
            pairs += [(key, value) for key, value in (await request.post()).items() if isinstance(value, str)]
        for key, value in pairs:
            if key in in_path and in_path[key] != value:
                why = "duplicate parameter (already defined in URI) with conflicting values!"
                raise Refused(400, "Parameter verification failed.", {key: why})
            if key == "_dc" or key in in_path:
                continue
            value = str(int(value)) if isinstance(value, bool) else value
            if key in given:
                before = given[key] if isinstance(given[key], list) else [given[key]]
                given[key] = [*before, value]
            else:
                given[key] = value
        return {**given, **in_path}

    def _reach(self, name: str | None) -> None:
        """A request for another node is handed on, if that is there."""
        if name is None or name == "localhost":
            return
        node = self.cluster.node(name)
        if not node.online and name != self.node:
            raise Refused(595, "No route to host")

    async def _checked(self, operation: Operation, call: Call) -> Any:
        """Let the operation happen, and hold its answer to the description."""
        handler = OPERATIONS.get((operation.method, operation.template))
        if handler is None:
            self.cluster.complaints.append(f"{operation.method} {operation.template}: the double does not serve this")
            raise Refused(501, f"The double does not serve {operation.method} {operation.template}")
        data = handler(call)
        if inspect.isawaitable(data):
            data = await data
        for wrong in violations(operation.returns, data):
            self.cluster.complaints.append(f"{operation.method} {operation.template}: {wrong}")
        return data
