# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Webhooks of an organization or a repository, and the log of what GitHub sent to them. Looks only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from .answers import as_list, parse, take, take_if_there, take_number, take_time
from .client import PAGE_SIZE, Client
from .scope import Scope

T = TypeVar("T")

# What a token of an App must be allowed to do (docs: permissions required for GitHub Apps).
PERMISSIONS = {"repo": {"repository_hooks": "read", "metadata": "read"}, "org": {"organization_hooks": "read"}}
_CALLED = {
    "repo": "the repository permission 'Webhooks: read' (a classic token: scope 'admin:repo_hook', of an "
    "administrator)",
    "org": "the organization permission 'Webhooks: read' (a classic token: scope 'admin:org_hook', of an owner)",
}
# The status codes that GitHub counts as a success (its description of the list of deliveries). Everything else failed,
# a connection that came to nothing and has no status code of HTTP included.
SUCCESS = range(200, 400)


@dataclass(frozen=True)
class Hook:
    """A webhook.

    Attributes:
        id: GitHub's number for it.
        url: Where GitHub sends to; None if it does not say.
    """

    id: int
    url: str | None

    @classmethod
    def from_api(cls, data: Any) -> Hook:
        """The webhook that GitHub's JSON describes; ShapeError if it describes none."""
        return cls(take(data, "id", int), take_if_there(take(data, "config", dict), "url", str))


@dataclass(frozen=True)
class Delivery:
    """One attempt to tell a webhook of an event.

    Attributes:
        id: GitHub's number for it; beyond 2^53, so nothing for JavaScript.
        guid: The event's, in its header X-GitHub-Delivery; a redelivery has the same.
        delivered_at: Epoch seconds.
        redelivery: It was asked for by a person or a program.
        duration: Seconds until the answer.
        status: In words, such as "OK" or "failed to connect".
        status_code: The answer's, by HTTP.
        event: Such as "workflow_job".
        action: Such as "queued"; None where the event knows none.
    """

    id: int
    guid: str
    delivered_at: float
    redelivery: bool
    duration: float
    status: str
    status_code: int
    event: str
    action: str | None

    @property
    def succeeded(self) -> bool:
        """The receiver took it."""
        return self.status_code in SUCCESS

    @classmethod
    def from_api(cls, data: Any) -> Delivery:
        """The delivery that GitHub's JSON describes; ShapeError if it describes none."""
        return cls(
            id=take(data, "id", int),
            guid=take(data, "guid", str),
            delivered_at=take_time(data, "delivered_at"),
            redelivery=take(data, "redelivery", bool),
            duration=take_number(data, "duration"),
            status=take(data, "status", str),
            status_code=take(data, "status_code", int),
            event=take(data, "event", str),
            action=take_if_there(data, "action", str),
        )


@dataclass(frozen=True)
class Exchange:
    """What was sent to a webhook, and what was answered; headers and payloads as GitHub kept them, or None.

    Attributes:
        request: headers and payload.
        response: headers and payload.
    """

    request: dict[str, Any]
    response: dict[str, Any]

    @classmethod
    def from_api(cls, data: Any) -> Exchange:
        """The exchange in GitHub's JSON of one delivery; ShapeError if there is none."""
        sides = (take(data, side, dict) for side in ("request", "response"))
        return cls(*({key: side.get(key) for key in ("headers", "payload")} for side in sides))


class Hooks:
    """The webhooks of `scope`, through `client`. Every method raises GitHubError if it does not know the answer.

    Raises:
        ValueError: `scope` is an enterprise, of whose webhooks GitHub's REST API does not tell.
    """

    def __init__(self, client: Client, scope: Scope) -> None:
        if scope.kind not in PERMISSIONS:
            raise ValueError(
                f"scope = {scope}: GitHub's API does not tell of an enterprise's webhooks. "
                "Do: name an organization or a repository"
            )
        self._client = client
        self._scope = scope
        self._path = f"{scope.api_path}/hooks"
        credential = f"use a credential with {_CALLED[scope.kind]}"
        there = f"see whether {scope.url} is there and has this webhook"
        self._hints = {403: credential, 404: f"{there}; if it has, {credential}"}

    def at(self, url: str) -> list[Hook]:
        """The webhooks that send to exactly this URL; there may be several, for different events."""
        found = self._read(self._path, f"list the webhooks of {self._scope}", Hook.from_api)
        return [hook for hook in found if hook.url == url]

    def deliveries(self, hook_id: int) -> Iterator[Delivery]:
        """The deliveries to a webhook that GitHub still knows (of three days), the newest first.

        Pages are asked for as they are needed: whoever has seen enough stops.
        """
        action = f"list the deliveries of the webhook {hook_id} of {self._scope}"
        return self._read(f"{self._path}/{hook_id}/deliveries", action, Delivery.from_api)

    def delivery(self, hook_id: int, delivery_id: int) -> tuple[Delivery, Exchange]:
        """One delivery, with what was sent and answered."""
        action = f"look at the delivery {delivery_id} of the webhook {hook_id} of {self._scope}"
        path = f"{self._path}/{hook_id}/deliveries/{delivery_id}"
        response = self._client.get(path, action=action, hints=self._hints)
        return parse(response, action, lambda data: (Delivery.from_api(data), Exchange.from_api(data)))

    def _read(self, path: str, action: str, reader: Callable[[Any], T]) -> Iterator[T]:
        for page in self._client.pages(path, {"per_page": PAGE_SIZE}, action, self._hints):
            yield from parse(page, action, lambda data: [reader(each) for each in as_list(data)])
