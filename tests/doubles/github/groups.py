# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runner groups: the REST API's operations, and what GitHub refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

from aiohttp import web

from . import views
from .access import Refused
from .call import Call, Operation, invalid, known, number, page
from .state import HOSTED_GROUP, REGISTER, Group, Scope
from .wire import answer

FIELDS = {  # of a body that makes or changes one, with their types
    "name": str,
    "visibility": str,
    "allows_public_repositories": bool,
    "restricted_to_workflows": bool,
    "selected_workflows": list,
}
USERS = {"org": "repositories", "enterprise": "organizations"}  # whom a group of visibility "selected" is for
VISIBILITIES = {"org": ("selected", "all", "private"), "enterprise": ("selected", "all")}


def _group(call: Call) -> Group:
    return call.github.group(call.scope, number(call.request.match_info["runner_group_id"]))


def _ids_field(scope: Scope) -> str:
    return "selected_repository_ids" if scope.kind == "org" else "selected_organization_ids"


def _users(call: Call, scope: Scope, ids: object) -> tuple[str, ...]:
    """The keys of the repositories or organizations of these numbers. Raises Refused 422 for any other."""
    if not isinstance(ids, list) or not all(isinstance(each, int) and not isinstance(each, bool) for each in ids):
        raise invalid(f"For 'properties/{_ids_field(scope)}', {ids!r} is not an array of integers.")
    kind = "repo" if scope.kind == "org" else "org"
    there = {one.id: one for one in call.github.scopes.values() if one.kind == kind}
    for each in ids:
        if each not in there or (kind == "repo" and there[each].owner != scope.key):
            raise invalid(f"There is no {USERS[scope.kind]} {each} in {scope.name}.")  # from memory
    return tuple(dict.fromkeys(there[each].key for each in ids))


def _with_users(scope: Scope, group: Group, users: tuple[str, ...]) -> Group:
    if scope.kind == "org":
        return dataclasses.replace(group, repositories=users)
    return dataclasses.replace(group, organizations=users)


def _settings(call: Call, scope: Scope, body: dict[str, Any]) -> dict[str, Any]:
    """What a body sets. Raises Refused 422, or 409 for a name that another group has (from memory)."""
    found = {key: body[key] for key in FIELDS if key in body}
    for key, value in found.items():
        if not isinstance(value, FIELDS[key]):
            raise invalid(f"For 'properties/{key}', {value!r} is not a {FIELDS[key].__name__}.")
    if not found.get("name", "x").strip():
        raise invalid("For 'properties/name': it is blank.")
    if found.get("visibility", "all") not in VISIBILITIES[scope.kind]:
        raise invalid(f"For 'properties/visibility', {found['visibility']!r} is not one of {VISIBILITIES[scope.kind]}.")
    if "selected_workflows" in found:
        for each in found["selected_workflows"]:
            if not isinstance(each, str) or "@" not in each or "/.github/workflows/" not in each:
                raise invalid(f"For 'properties/selected_workflows', {each!r} is no workflow with a ref.")
        found["selected_workflows"] = tuple(found["selected_workflows"])
    return found


def _check_name(scope: Scope, name: str, but: int | None = None) -> None:
    if any(group.name.lower() == name.lower() and group.id != but for group in scope.groups.values()):
        raise Refused(409, f"A runner group with the name {name} already exists.")


def _selected(group: Group) -> Group:
    """The workflows are ignored unless it is restricted to them: documented."""
    return group if group.restricted_to_workflows else dataclasses.replace(group, selected_workflows=())


async def list_groups(call: Call) -> web.Response:
    """GET runner groups."""
    found = call.github.groups_for(call.scope, call.request.query.get("visible_to_repository"))
    shown, link = page(call, found)
    groups = [views.group(call.api, call.scope, group) for group in shown]
    return answer({"total_count": len(found), "runner_groups": groups}, 200, link)


async def get_group(call: Call) -> web.Response:
    """GET one runner group."""
    return answer(views.group(call.api, call.scope, _group(call)))


async def list_group_runners(call: Call) -> web.Response:
    """GET the runners of a group."""
    group = _group(call)
    found = [runner for runner in call.github.listed(call.scope) if runner.group_id == group.id]
    shown, link = page(call, found)
    return answer({"total_count": len(found), "runners": [views.runner(call.github, one) for one in shown]}, 200, link)


async def create_group(call: Call) -> web.Response:
    """POST a runner group."""
    scope, body = call.scope, await call.body()
    known(body, ("name",), (*FIELDS, _ids_field(scope), "runners"))
    settings = _settings(call, scope, body)
    _check_name(scope, settings["name"])
    group = _selected(Group(max(scope.groups) + 1, **settings))
    if _ids_field(scope) in body:
        users = _users(call, scope, body[_ids_field(scope)])
        group = _with_users(scope, group, users)
    scope.groups[group.id] = group
    return answer(views.group(call.api, scope, group), 201)


async def update_group(call: Call) -> web.Response:
    """PATCH a runner group: not who its users are."""
    scope, group, body = call.scope, _group(call), await call.body()
    known(body, ("name",) if scope.kind == "org" else (), tuple(FIELDS))
    settings = _settings(call, scope, body)
    _check_name(scope, settings.get("name", group.name), group.id)
    if group.workflow_restrictions_read_only and settings.keys() & {"restricted_to_workflows", "selected_workflows"}:
        raise invalid("The workflow restrictions of this group cannot be changed.")
    if group.id == HOSTED_GROUP and settings.get("name", group.name) != group.name:
        raise invalid("This group cannot be renamed.")
    scope.groups[group.id] = _selected(dataclasses.replace(group, **settings))
    return answer(views.group(call.api, scope, scope.groups[group.id]))


async def delete_group(call: Call) -> web.Response:
    """DELETE a runner group: not the default one, nor one that is inherited, nor with runners in it (documented)."""
    scope, group = call.scope, _group(call)
    if group.id in (1, HOSTED_GROUP) or group.inherited:
        raise invalid("This group cannot be deleted.")
    if any(runner.scope == scope.key and runner.group_id == group.id for runner in call.github.runners.values()):
        raise invalid("This group cannot be deleted because it contains runners.")  # the words are from memory
    del scope.groups[group.id]
    return web.Response(status=204)


async def list_users(call: Call) -> web.Response:
    """GET the repositories or organizations of a group of visibility "selected"; nobody should ask for another's."""
    scope, group = call.scope, _group(call)
    if group.visibility != "selected":
        raise Refused(404, "Not Found")
    called = USERS[scope.kind]
    found = [call.github.scope(key) for key in getattr(group, called)]
    shown, link = page(call, found)
    if scope.kind == "org":
        views_of = [views.repository(call.api, one, scope) for one in shown]
    else:
        views_of = [views.simple_organization(call.api, one) for one in shown]
    return answer({"total_count": len(found), called: views_of}, 200, link)


async def set_users(call: Call) -> web.Response:
    """PUT the repositories or organizations of a group of visibility "selected"."""
    scope, group, body = call.scope, _group(call), await call.body()
    known(body, (_ids_field(scope),))
    if group.visibility != "selected":
        raise invalid("The runner group must have visibility set to selected.")
    users = _users(call, scope, body[_ids_field(scope)])
    scope.groups[group.id] = _with_users(scope, group, users)
    return web.Response(status=204)


async def release_runner(call: Call) -> web.Response:
    """DELETE a runner from a group: it returns to the default one."""
    group, runner = _group(call), call.runner
    if runner.group_id != group.id:
        raise Refused(404, "Not Found")
    runner.group_id = 1
    return web.Response(status=204)


def _operations() -> list[Operation]:
    found = []
    for scope, users in (("/orgs/{org}", "repositories"), ("/enterprises/{enterprise}", "organizations")):
        groups = f"{scope}/actions/runner-groups"
        one = f"{groups}/{{runner_group_id}}"
        found += [
            Operation("GET", groups, list_groups, tokens=(REGISTER,)),
            Operation("POST", groups, create_group),
            Operation("GET", one, get_group),
            Operation("PATCH", one, update_group),
            Operation("DELETE", one, delete_group),
            Operation("GET", f"{one}/{users}", list_users),
            Operation("PUT", f"{one}/{users}", set_users),
            Operation("GET", f"{one}/runners", list_group_runners),
            Operation("DELETE", f"{one}/runners/{{runner_id}}", release_runner),
        ]
    return found


OPERATIONS = tuple(_operations())
