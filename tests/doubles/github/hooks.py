# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Webhooks of organizations and repositories, and the log of deliveries. Nothing is sent: a test says what was."""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from typing import Any

from aiohttp import web

from .access import Refused
from .call import Call, Operation, invalid, known, number
from .settings import iso
from .state import GitHub, Scope
from .views import path
from .wire import answer

LOG_LIFE = 3 * 86400.0  # seconds that a delivery is kept: documented for github.com
PAGE, MOST = 30, 100  # deliveries a page
# By GitHub's own description of the query.
OUTCOMES = {"success": range(200, 400), "failure": range(400, 600)}
DELIVERY_FIELDS: dict[str, type | tuple[type, ...]] = {  # what a test may say of one
    "event": str,
    "action": (str, type(None)),
    "status": str,
    "status_code": int,
    "payload": dict,
    "guid": str,
    "redelivery": bool,
    "count": int,
}


@dataclasses.dataclass(frozen=True)
class Delivery:
    """One attempt to tell a hook's URL of an event."""

    id: int
    guid: str  # of the event: a redelivery has that of the first
    at: float  # wall
    event: str
    action: str | None
    status: str
    status_code: int
    redelivery: bool
    payload: dict[str, Any]

    def view(self) -> dict[str, Any]:
        """As it is in the list."""
        return {
            "id": self.id,
            "guid": self.guid,
            "delivered_at": iso(self.at),
            "redelivery": self.redelivery,
            "duration": 0.03,
            "status": self.status,
            "status_code": self.status_code,
            "event": self.event,
            "action": self.action,
            "installation_id": None,
            "repository_id": self.payload.get("repository", {}).get("id"),
            "throttled_at": None,
        }


@dataclasses.dataclass(eq=False)
class Hook:
    """A webhook."""

    id: int
    scope: str
    config: dict[str, str]
    events: list[str]
    active: bool
    created: float  # wall
    updated: float
    deliveries: list[Delivery] = dataclasses.field(default_factory=list)  # the oldest first

    def view(self, api: str, scope: Scope) -> dict[str, Any]:
        """As the REST API tells it: never with the secret."""
        url = f"{api}{path(scope)}/hooks/{self.id}"
        found: dict[str, Any] = {
            "type": "Repository" if scope.kind == "repo" else "Organization",
            "id": self.id,
            "name": "web",
            "active": self.active,
            "events": self.events,
            "config": {**self.config, **({"secret": "********"} if "secret" in self.config else {})},
            "created_at": iso(self.created),
            "updated_at": iso(self.updated),
            "url": url,
            "ping_url": f"{url}/pings",
            "deliveries_url": f"{url}/deliveries",
        }
        if scope.kind == "repo":
            found |= {"test_url": f"{url}/test", "last_response": {"code": None, "status": "unused", "message": None}}
        return found


class Hooks:
    """All webhooks."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._hooks: dict[int, Hook] = {}
        self._ids = itertools.count(300_001)
        self._delivery_ids = itertools.count(2**53 + 11)  # beyond what JavaScript counts, as at GitHub

    def of(self, scope: Scope) -> list[Hook]:
        """The webhooks of a scope."""
        return [hook for hook in self._hooks.values() if hook.scope == scope.key]

    def settle(self) -> None:
        """Make those that came with a scope."""
        for scope in self._github.scopes.values():
            while scope.webhooks:
                self.add(scope, {"url": scope.webhooks.pop(0), "content_type": "json"}, ["workflow_job"], True)

    def by_id(self, scope: Scope | None, number: int) -> Hook:
        """A webhook, of this scope if one is given. Raises Refused 404."""
        hook = self._hooks.get(number)
        if hook is None or (scope is not None and hook.scope != scope.key):
            raise Refused(404, "Not Found")
        return hook

    def add(self, scope: Scope, config: dict[str, str], events: list[str], active: bool) -> Hook:
        """Make one; GitHub pings it. Raises Refused 422 if it is there already."""
        if any(one.config["url"] == config["url"] and one.events == events for one in self.of(scope)):
            raise Refused(422, "Validation Failed: Hook already exists on this repository")
        now = self._github.clock.now()
        hook = Hook(next(self._ids), scope.key, config, events, active, now, now)
        self._hooks[hook.id] = hook
        self.deliver(hook, event="ping", payload={"zen": "Keep it logically awesome.", "hook_id": hook.id})
        return hook

    def remove(self, hook: Hook) -> None:
        """Remove one."""
        del self._hooks[hook.id]

    def deliver(self, hook: Hook, count: int = 1, **fields: Any) -> list[int]:
        """Note deliveries with these of DELIVERY_FIELDS; their ids. Raises ValueError."""
        for name, value in fields.items():
            if name not in DELIVERY_FIELDS or not isinstance(value, DELIVERY_FIELDS[name]):
                raise ValueError(f"{name} = {value!r}: give {', '.join(DELIVERY_FIELDS)}, each of its type.")
        known = {"event": "workflow_job", "action": None, "status": "OK", "status_code": 200, "redelivery": False}
        made = []
        for _nth in range(count):
            more = {"guid": str(uuid.uuid4()), "payload": {}, **known, **fields}
            made.append(Delivery(id=next(self._delivery_ids), at=self._github.clock.now(), **more))
        hook.deliveries += made
        return [each.id for each in made]

    def log(self, hook: Hook) -> list[Delivery]:
        """The deliveries that are still kept, the newest first."""
        begin = self._github.clock.now() - LOG_LIFE
        return [each for each in reversed(hook.deliveries) if each.at >= begin]


HOOKS: web.AppKey[Hooks] = web.AppKey("hooks", Hooks)


def _hooks(call: Call) -> Hooks:
    return call.request.app[HOOKS]


def _hook(call: Call) -> Hook:
    return _hooks(call).by_id(call.scope, number(call.request.match_info["hook_id"]))


def _config(given: Any, before: dict[str, str]) -> dict[str, str]:
    """A hook's configuration. Raises Refused 422."""
    if not isinstance(given, dict) or not set(given) <= {"url", "content_type", "secret", "insecure_ssl"}:
        raise invalid("For 'properties/config': give url, content_type, secret and insecure_ssl.")
    found = {"content_type": "form", "insecure_ssl": "0", **before, **{key: str(each) for key, each in given.items()}}
    if not found.get("url", "").startswith(("http://", "https://")):
        raise invalid("For 'properties/config': the url is missing or no URL.")
    if found["content_type"] not in ("json", "form") or found["insecure_ssl"] not in ("0", "1"):
        raise invalid("For 'properties/config': content_type is json or form, insecure_ssl 0 or 1.")
    return found


def _rest(body: dict[str, Any]) -> dict[str, Any]:
    """Events and whether it is active, as far as the body says. Raises Refused 422."""
    events, active, name = body.get("events", ["push"]), body.get("active", True), body.get("name", "web")
    if not isinstance(events, list) or not events or not all(isinstance(each, str) for each in events):
        raise invalid("For 'properties/events': not a list of names.")
    if not isinstance(active, bool) or name != "web":
        raise invalid("For 'properties/active' or 'properties/name': not a boolean, or not web.")
    return {key: body[key] for key in ("events", "active") if key in body}


async def list_hooks(call: Call) -> web.Response:
    """GET webhooks; nobody here has more than a page of them."""
    return answer([hook.view(call.api, call.scope) for hook in _hooks(call).of(call.scope)])


async def create_hook(call: Call) -> web.Response:
    """POST a webhook."""
    scope, body = call.scope, await call.body()
    known(body, ("config",) if scope.kind == "repo" else ("name", "config"), ("name", "events", "active"))
    fields = {"events": ["push"], "active": True, **_rest(body)}
    hook = _hooks(call).add(scope, _config(body["config"], {}), **fields)
    return answer(hook.view(call.api, scope), 201)


async def get_hook(call: Call) -> web.Response:
    """GET one webhook."""
    return answer(_hook(call).view(call.api, call.scope))


async def update_hook(call: Call) -> web.Response:
    """PATCH a webhook."""
    hook, body = _hook(call), await call.body()
    known(body, (), ("name", "config", "events", "active"))
    fields = _rest(body)
    if "config" in body:
        if call.scope.kind == "org" and "url" not in (body["config"] or {}):
            raise invalid("For 'properties/config': the url is missing.")
        fields["config"] = _config(body["config"], hook.config)
    if any(getattr(hook, key) != value for key, value in fields.items()):
        hook.updated = call.github.clock.now()
    for key, value in fields.items():
        setattr(hook, key, value)
    return answer(hook.view(call.api, call.scope))


async def delete_hook(call: Call) -> web.Response:
    """DELETE a webhook, and the log of its deliveries."""
    _hooks(call).remove(_hook(call))
    return web.Response(status=204)


async def list_deliveries(call: Call) -> web.Response:
    """GET deliveries, the newest first. Pages begin at a cursor, so that new ones in front shift nothing."""
    hook, query = _hook(call), call.request.query
    found = _hooks(call).log(hook)
    if "status" in query:
        if query["status"] not in OUTCOMES:
            raise invalid(f"For 'status', {query['status']!r} is not success or failure.")
        found = [each for each in found if each.status_code in OUTCOMES[query["status"]]]
    start = 0
    if "cursor" in query:
        start = next((nth for nth, each in enumerate(found) if f"v1_{each.id}" == query["cursor"]), -1)
        if start < 0:
            raise invalid("The cursor is invalid.")
    size = min(int(query["per_page"]) if query.get("per_page", "").isdigit() else PAGE, MOST) or PAGE
    end = start + size
    headers = {}
    if end < len(found):
        following = call.request.url.update_query(cursor=f"v1_{found[end].id}")
        headers["Link"] = f'<{following}>; rel="next"'
    return answer([each.view() for each in found[start:end]], 200, headers)


async def get_delivery(call: Call) -> web.Response:
    """GET one delivery with what was sent and what was answered."""
    hook, wanted = _hook(call), number(call.request.match_info["delivery_id"])
    one = next((each for each in _hooks(call).log(hook) if each.id == wanted), None)
    if one is None:
        raise Refused(404, "Not Found")
    sent = {"X-GitHub-Delivery": one.guid, "X-GitHub-Event": one.event, "X-GitHub-Hook-ID": str(hook.id)}
    got = {"headers": {"Content-Type": "text/plain"}, "payload": one.status}
    return answer(
        {
            **one.view(),
            "url": hook.config["url"],
            "request": {"headers": sent, "payload": one.payload},
            "response": got,
        }
    )


def _operations() -> list[Operation]:
    found = []
    for scope in ("/repos/{owner}/{repo}", "/orgs/{org}"):
        hooks = f"{scope}/hooks"
        one = f"{hooks}/{{hook_id}}"
        found += [
            Operation("GET", hooks, list_hooks, about="hooks"),
            Operation("POST", hooks, create_hook, about="hooks"),
            Operation("GET", one, get_hook, about="hooks"),
            Operation("PATCH", one, update_hook, about="hooks"),
            Operation("DELETE", one, delete_hook, about="hooks"),
            Operation("GET", f"{one}/deliveries", list_deliveries, about="hooks"),
            Operation("GET", f"{one}/deliveries/{{delivery_id}}", get_delivery, about="hooks"),
        ]
    return found


OPERATIONS = tuple(_operations())
