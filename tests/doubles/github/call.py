# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One request to the REST API, and what its handlers share: the body's checks, pages, and how an operation is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from .access import Refused
from .apps import App, Apps
from .state import GitHub, Runner, RunnerToken, Scope

APPS: web.AppKey[Apps] = web.AppKey("apps", Apps)


@dataclasses.dataclass(frozen=True)
class Call:
    """One authorized request."""

    request: web.Request
    github: GitHub
    api: str  # base URL of the API as the client sees it
    asking: App | None = None  # the App whose JWT came with it
    token: RunnerToken | None = None  # what config.sh sent

    @property
    def app(self) -> App:
        """The App that asks. Raises Refused 401 if none does."""
        if self.asking is None:
            raise Refused(401, "A JSON web token could not be decoded")
        return self.asking

    @property
    def apps(self) -> Apps:
        """All Apps."""
        return self.request.app[APPS]

    @property
    def scope(self) -> Scope:
        """The scope in the path. Raises Refused 404."""
        match = self.request.match_info
        if "repo" in match:
            return self.github.scope(f"{match['owner']}/{match['repo']}")
        if "enterprise" in match:
            return self.github.scope(f"enterprises/{match['enterprise']}")
        if "username" in match:
            account = self.github.scope(match["username"])
            if account.kind not in ("user", "org"):
                raise Refused(404, "Not Found")
            return account
        scope = self.github.scope(match["org"])
        if scope.kind != "org":
            raise Refused(404, "Not Found")
        return scope

    @property
    def runner(self) -> Runner:
        """The runner in the path. Raises Refused 404."""
        return self.github.runner(self.scope, number(self.request.match_info["runner_id"]))

    async def body(self) -> dict[str, Any]:
        """The JSON object sent; empty without a body. Raises Refused 400."""
        text = await self.request.text()
        try:
            body = json.loads(text or "{}")
        except ValueError:
            raise Refused(400, "Problems parsing JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "Body should be a JSON object")
        return body


def number(text: str) -> int:
    if not text.isdigit():
        raise Refused(404, "Not Found")
    return int(text)


def invalid(why: str) -> Refused:
    return Refused(422, f"Invalid request.\n\n{why}")


def known(body: dict[str, Any], required: Sequence[str], optional: Sequence[str] = ()) -> None:
    for key in required:
        if key not in body:
            raise invalid(f"Invalid input: object is missing required key: {key}.")
    for key in body:
        if key not in (*required, *optional):
            raise invalid(f'"{key}" is not a permitted key.')


def page(call: Call, items: Sequence[Any]) -> tuple[Sequence[Any], dict[str, str]]:
    """The page asked for, and its Link header. Numbers that are none count as the default, as at GitHub."""
    query = call.request.query
    asked = {name: int(query[name]) if query.get(name, "").isdigit() else 0 for name in ("per_page", "page")}
    size, page = min(asked["per_page"] or 30, 100), asked["page"] or 1
    last = max(1, -(-len(items) // size))
    targets = {}
    if page > 1:
        targets["prev"], targets["first"] = min(page - 1, last), 1
    if page < last:
        targets["next"], targets["last"] = page + 1, last
    links = [f'<{call.request.url.update_query(page=str(number))}>; rel="{rel}"' for rel, number in targets.items()]
    return items[(page - 1) * size : page * size], {"Link": ", ".join(links)} if links else {}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One method on one path of GitHub's description."""

    method: str
    template: str
    handler: Callable[[Call], Awaitable[web.Response]]
    needs: str = (
        "admin"  # admin: rights on what it is about; sight: to see the scope; app: a JWT; token: config.sh's; nothing
    )
    resource: str = "core"  # the rate limit's bucket
    about: str = "runners"  # or hooks: which permission that is; see access.NEEDED
    tokens: tuple[str, ...] = ()  # kinds of runners' tokens that it takes too, from config.sh

    @property
    def write(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"
