# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this collection asks of GitHub: every module and what it sends, every kind of request that the library knows.

This is the one list of operations. The part of GitHub's description that Prism serves is cut by it, each line is held
to what is really sent, and the tests of the modules may ask the double for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runners

ROOTS = {
    "my-org": "/orgs/{org}",
    "my-org/app": "/repos/{owner}/{repo}",
    "enterprises/acme": "/enterprises/{enterprise}",
}
ORG, REPO, ENTERPRISE = ROOTS.values()
APP = "POST /app/installations/{installation_id}/access_tokens"
# What the description's examples are called, and have in them.
SELECTED = "octo-runner-group"  # a group of visibility "selected"; in an organization it is the enterprise's
OTHER = "expensive-hardware"  # a private one
WORKFLOW = "my-org/app/.github/workflows/deploy.yml@main"


@dataclass(frozen=True)
class Use:
    """One run of a module.

    Attributes:
        module: Its name.
        options: Its own; and the scope, if it is not my-org.
        asks: All operations that it sends.
        check: In check mode.
        refused: An operation that is refused, and the status, so that the module fails.
    """

    module: str
    options: dict[str, Any]
    asks: tuple[str, ...]
    check: bool = False
    refused: tuple[str, int] | None = None

    def __str__(self) -> str:
        words = [f"{key}={value}" for key, value in self.options.items()]
        words += ["check"] if self.check else []
        words += [str(self.refused[1])] if self.refused else []
        return " ".join([self.module, *words])[:90]


@dataclass(frozen=True)
class Call:
    """One call of the library's that no module makes, or not in every scope: the daemon's."""

    name: str
    scope: str
    asks: tuple[str, ...]
    do: Callable[[Runners], Any] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} {self.scope}"


def _runners(scope: str, *ends: str) -> tuple[str, ...]:
    """Operations on the runners of a scope: `METHOD /end`, or `METHOD` alone."""
    found = (each.partition(" ") for each in ends)
    return tuple(f"{method} {ROOTS[scope]}/actions/runners{end}" for method, _blank, end in found)


def _groups(scope: str, *ends: str) -> tuple[str, ...]:
    found = (each.partition(" ") for each in ends)
    groups = f"{ROOTS[scope]}/actions/runner-groups"
    return tuple(f"{method} {groups}{end.replace('/*', '/{runner_group_id}')}" for method, _blank, end in found)


def _uses() -> Iterable[Use]:
    for scope in ROOTS:
        of = {"scope": scope}
        for kind, end in (("registration", "/registration-token"), ("remove", "/remove-token")):
            yield Use("github_registration_token", {**of, "kind": kind}, _runners(scope, f"POST {end}"))
        yield Use("github_registration_token", of, _runners(scope, "GET"), check=True)
        seen = () if scope.startswith("enterprises/") else (f"GET {ROOTS[scope]}",)
        groups = _groups(scope, "GET") if "/" not in scope or scope.startswith("enterprises/") else ()
        yield Use("gha_runner_scope", {**of, "allow_public": True}, (*seen, *_runners(scope, "GET"), *groups))
        version = {**of, "architecture": "x64", "version": "2.300.0"}
        ends = ("GET /downloads", "GET /deprecations/{version}")
        yield Use("gha_runner_version_info", version, _runners(scope, *ends))
        yield from _of_runners(scope)
    lost = (f"GET {ORG}", "GET /users/{username}")
    yield Use("gha_runner_scope", {}, lost, refused=(lost[0], 404))
    for scope, root in ((each, ROOTS[each]) for each in ("my-org", "my-org/app")):
        login = (f"GET {root}/installation", APP)
        app = {"scope": scope, "app_id": 5, "token": None}
        yield Use("github_registration_token", app, (*login, *_runners(scope, "POST /registration-token")))
        hooks = f"GET {root}/hooks"
        one = f"{hooks}/{{hook_id}}/deliveries"
        yield Use("gha_webhook_delivery_info", {"scope": scope, "hook_id": 1}, (one,))
        url = "http://example.com" if scope == "my-org" else "https://example.com/webhook"
        yield Use("gha_webhook_delivery_info", {"scope": scope, "hook_url": url}, (hooks, one))
        detail = {"scope": scope, "hook_id": 1, "delivery_id": 12345678}
        yield Use("gha_webhook_delivery_info", detail, (f"{one}/{{delivery_id}}",))
        yield Use("gha_webhook_delivery_info", {"scope": scope, "hook_id": 1}, (one,), refused=(one, 422))
    for scope, users, user in (("my-org", "repositories", REPO), ("enterprises/acme", "organizations", ORG)):
        group = "gha_runner_group"
        new, chosen, other = ({"scope": scope, "name": name} for name in ("new", SELECTED, OTHER))
        (look,) = _groups(scope, "GET")
        looks = (look, *_groups(scope, f"GET /*/{users}"))
        whole = {"selected_workflows": [WORKFLOW], "allows_public_repositories": True, users: ["app"]}
        yield Use(group, new, _groups(scope, "GET", "POST"))
        yield Use(group, {**new, **whole}, (*_groups(scope, "GET", "POST"), f"GET {user}"))
        yield Use(group, {**new, **whole}, (look, f"GET {user}"), check=True)
        yield Use(group, chosen, looks)
        yield Use(group, {**chosen, "visibility": "all"}, (*looks, *_groups(scope, "PATCH /*")))
        yield Use(group, {**chosen, users: []}, (*looks, *_groups(scope, f"PUT /*/{users}")))
        yield Use(group, {**other, "selected_workflows": [WORKFLOW]}, _groups(scope, "GET", "PATCH /*"))
        yield Use(group, {**other, "visibility": "selected"}, (*looks, *_groups(scope, "PATCH /*")))
        removal = ("GET /*/runners", "DELETE /*/runners/{runner_id}", "DELETE /*")
        yield Use(group, {**other, "state": "absent", "move_runners": True}, (look, *_groups(scope, *removal)))


def _of_runners(scope: str) -> Iterable[Use]:
    """The modules about runners, in one scope. One runner of the example is online and busy, one offline."""
    of = {"scope": scope}
    groups = _groups(scope, "GET") if scope != "my-org/app" else ()
    make = _runners(scope, "POST /generate-jitconfig")
    yield Use("gha_jit_config", {**of, "name": "new"}, (*groups, *make))
    taken = (*groups, *make, *_runners(scope, "GET"))
    yield Use("gha_jit_config", {**of, "name": "new"}, taken, refused=(make[0], 409))
    yield Use("gha_runner_info", of, _runners(scope, "GET"))
    runner = {**of, "name": "mac_runner"}
    yield Use("gha_runner", {**runner, "labels": ["gpu"]}, _runners(scope, "GET", "PUT /{runner_id}/labels"))
    more = {**runner, "labels": ["gpu"], "append": True}
    yield Use("gha_runner", more, _runners(scope, "GET", "POST /{runner_id}/labels"))
    # Looked at again it is another, a busy one, by the example of a single runner: it stays. `Call` has the DELETE.
    looks = _runners(scope, "GET", "GET /{runner_id}")
    pruned = {"state": "pruned", "name_prefix": "mac_", "offline_for": 0}
    yield Use("gha_runner", {**of, **pruned}, looks)
    if scope != "enterprises/acme":
        login = (f"GET {ROOTS[scope]}/installation", APP)
        yield Use("github_app_token", {**of, "app_id": 5, "token": None}, login)
        yield Use("github_app_token", {**of, "app_id": 5, "token": None}, login[:1], check=True)


def _calls() -> Iterable[Call]:
    for scope in ROOTS:
        yield Call("list", scope, _runners(scope, "GET"), lambda runners: runners.list())
        yield Call("find", scope, _runners(scope, "GET"), lambda runners: runners.find("linux_runner"))
        yield Call("get", scope, _runners(scope, "GET /{runner_id}"), lambda runners: runners.get(23))
        yield Call("delete", scope, _runners(scope, "DELETE /{runner_id}"), lambda runners: runners.delete(23))
        yield Call(
            "generate_jit_config",
            scope,
            _runners(scope, "POST /generate-jitconfig"),
            lambda runners: runners.generate_jit_config("new", ["self-hosted"], 1),
        )


USES = tuple(_uses())
CALLS = tuple(_calls())
_ASKS = [use.asks for use in USES] + [call.asks for call in CALLS]
OPERATIONS = tuple(sorted({each for asks in _ASKS for each in asks}))


def operation(asked: str) -> str | None:
    """The operation that a request (`METHOD /path`) is; None if it is none of these. Literal paths come first."""
    asked = asked.replace(" /api/v3/", " /", 1)
    for template in sorted(OPERATIONS, key=lambda each: each.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), asked):
            return template
    return None
