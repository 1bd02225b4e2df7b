# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The REST API: every operation that is served, and what stands before each (credential, limits, permission)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from . import groups, hooks, views
from .access import Credential, Holder, Limiter, Refused, authenticate, authorize, check_sso, credential_headers
from .apps import App, Installation
from .call import APPS, Call, Operation, invalid, known, number, page
from .jit import KEYS
from .settings import deprecation, latest_version
from .state import REGISTER, REMOVE, Runner, RunnerToken, Scope
from .wire import FACTS, GITHUB, REMOTE, answer

PREFIXES = ("", "/api/v3")  # api.github.com, and where GitHub Enterprise Server has it
API_VERSIONS = ("2022-11-28", "2026-03-10")
SCOPES = ("/repos/{owner}/{repo}", "/orgs/{org}", "/enterprises/{enterprise}")
NAME_LENGTH = 64  # of a runner; from memory, not in GitHub's description
LABEL_LENGTH = 256
LABEL_KINDS = {"system": "read-only", "user": "custom"}  # config.sh's words, and the API's
FULL_ONLY = ("subscribers_count", "network_count")  # of a repository, where it is asked for itself


CREDENTIALS: web.AppKey[dict[str, Credential]] = web.AppKey("credentials", dict)
LIMITER: web.AppKey[Limiter] = web.AppKey("limiter", Limiter)
PUBLIC_URL: web.AppKey[str] = web.AppKey("public_url", str)


def _labels(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(label, str) and label for label in value):
        raise invalid(f"For 'properties/labels', {value!r} is not an array of strings.")
    if not 1 <= len(value) <= 100:
        raise invalid(f"For 'properties/labels', {len(value)} is not between 1 and 100 items.")
    for label in value:
        if len(label) > LABEL_LENGTH:
            raise invalid(f"The label {label[:20]}... is longer than {LABEL_LENGTH} characters.")
    return value


def _base(call: Call) -> str:
    """The URL under which runners reach GitHub."""
    return call.request.app[PUBLIC_URL] or str(call.request.url.origin())


async def list_runners(call: Call) -> web.Response:
    """GET runners."""
    found = call.github.listed(call.scope, call.request.query.get("name"))
    shown, link = page(call, found)
    return answer({"total_count": len(found), "runners": [views.runner(call.github, one) for one in shown]}, 200, link)


async def get_runner(call: Call) -> web.Response:
    """GET one runner."""
    return answer(views.runner(call.github, call.runner))


async def delete_runner(call: Call) -> web.Response:
    """DELETE a runner: 422 while it has a job."""
    call.github.delete_runner(call.scope, number(call.request.match_info["runner_id"]))
    return web.Response(status=204)


async def generate_jitconfig(call: Call) -> web.Response:
    """POST generate-jitconfig: register an ephemeral runner."""
    scope, body = call.scope, await call.body()
    known(body, ("name", "runner_group_id", "labels"), ("work_folder",))
    name, group, work = body["name"], body["runner_group_id"], body.get("work_folder", "_work")
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH:
        raise invalid(f"For 'properties/name', {name!r} is not a string of 1 to {NAME_LENGTH} characters.")
    if not isinstance(group, int) or isinstance(group, bool):
        raise invalid(f"For 'properties/runner_group_id', {group!r} is not an integer.")
    if not isinstance(work, str) or not work:
        raise invalid(f"For 'properties/work_folder', {work!r} is not a string.")
    labels = _labels(body["labels"])
    call.github.check_group(scope, group)
    call.request.app[LIMITER].register(scope.key, call.github.clock.now())
    key = await asyncio.get_running_loop().run_in_executor(None, KEYS.take)
    runner, blob = call.github.register(
        scope, name=name, group_id=group, labels=labels, work_folder=work, base=_base(call), key=key
    )
    return answer({"runner": views.runner(call.github, runner), "encoded_jit_config": blob}, 201)


async def registration_token(call: Call) -> web.Response:
    """POST registration-token."""
    return answer(views.token(*call.github.issue_token(call.scope, REGISTER)), 201)


async def remove_token(call: Call) -> web.Response:
    """POST remove-token."""
    return answer(views.token(*call.github.issue_token(call.scope, REMOVE)), 201)


def _scope_of_url(call: Call, url: object) -> Scope:
    """The scope that config.sh was told, which has to be that of its token. Raises Refused 404."""
    name = urlsplit(str(url)).path.strip("/").lower()
    if call.token is None or name != call.token.scope:
        raise Refused(404, "Not Found")
    return call.github.scope(name)


async def runner_registration(call: Call) -> web.Response:
    """POST runner-registration: the first word of config.sh, whatever it is about to do."""
    body = await call.body()
    known(body, ("url", "runner_event"))
    _scope_of_url(call, body["url"])
    wanted = {"register": REGISTER, "remove": REMOVE}.get(body["runner_event"])
    if call.token is None or call.token.kind != wanted:
        raise Refused(404, "Not Found")
    # A token for the service behind; runners that register in the present way have no use for it.
    tenant = {"url": f"{_base(call)}/", "token_schema": "OAuthAccessToken", "token": secrets.token_urlsafe(32)}
    return answer({**tenant, "use_runner_admin_flow": True})


async def register_runner(call: Call) -> web.Response:
    """POST register: what config.sh registers with."""
    body = await call.body()
    required = ("url", "group_id", "name", "version", "updates_disabled", "ephemeral", "labels", "public_key")
    known(body, required, ("runner_id", "replace"))
    scope, labels = _scope_of_url(call, body["url"]), body["labels"]
    if not isinstance(body["name"], str) or not 1 <= len(body["name"]) <= NAME_LENGTH:
        raise invalid(f"For 'properties/name', {body['name']!r} is not a string of 1 to {NAME_LENGTH} characters.")
    for name, kind in (("group_id", int), ("version", str), ("updates_disabled", bool), ("ephemeral", bool)):
        if not isinstance(body[name], kind):
            raise invalid(f"For 'properties/{name}', {body[name]!r} is not a {kind.__name__}.")
    if not isinstance(labels, list) or not all(
        isinstance(label, dict) and label.get("type") in LABEL_KINDS for label in labels
    ):
        raise invalid("For 'properties/labels': not an array of names with their types.")
    _labels([label.get("name") for label in labels])
    key = _public_key(str(body["public_key"]))
    call.request.app[LIMITER].register(scope.key, call.github.clock.now())
    runner = call.github.configure(
        scope,
        name=body["name"],
        version=body["version"],
        labels=[(label["name"], LABEL_KINDS[label["type"]]) for label in labels],
        replaces=body["runner_id"] if body.get("replace") else None,
        group_id=body["group_id"],
        ephemeral=body["ephemeral"],
        disable_update=body["updates_disabled"],
        key=key,
        base=_base(call),
    )
    authorization = {
        "authorization_url": runner.token_url,
        "server_url": f"{_base(call)}/_runner",
        "client_id": runner.client_id,
    }
    return answer({"id": runner.id, "name": runner.name, "authorization": authorization}, 201)


def _public_key(text: str) -> rsa.RSAPublicKey:
    """A key as .NET writes it: XML with base64 of each big-endian number. Raises Refused 422."""
    found = [re.search(f"<{name}>([^<]+)</{name}>", text) for name in ("Exponent", "Modulus")]
    try:
        e, n = (int.from_bytes(base64.b64decode(one[1], validate=True), "big") for one in found if one)
        return rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError:
        raise invalid("For 'properties/public_key': not an RSA key.") from None


async def list_groups_of_repository(call: Call) -> web.Response:
    """GET runner groups of a repository: for config.sh only, and there is the one."""
    one = {"id": 1, "name": "Default", "default": True, "is_hosted": False}
    return answer({"total_count": 1, "runner_groups": [one]})


async def downloads(call: Call) -> web.Response:
    """GET the runner's archives of the newest version."""
    return answer(views.downloads(latest_version(call.github.settings, call.github.clock.now())))


async def deprecations(call: Call) -> web.Response:
    """GET when a runner version ends."""
    version = call.request.match_info["version"]
    registration, runtime = deprecation(call.github.settings, version, call.github.clock.now())
    return answer(
        {"runner_version": version, "registration_deprecates_at": registration, "runtime_deprecates_at": runtime}
    )


def _labels_of(runner: Runner) -> web.Response:
    return answer({"total_count": len(runner.labels), "labels": views.labels(runner)})


async def get_labels(call: Call) -> web.Response:
    """GET labels of a runner."""
    return _labels_of(call.runner)


async def add_labels(call: Call) -> web.Response:
    """POST custom labels."""
    runner, body = call.runner, await call.body()
    known(body, ("labels",))
    call.github.set_labels(runner, _labels(body["labels"]), keep=True)
    return _labels_of(runner)


async def set_labels(call: Call) -> web.Response:
    """PUT custom labels; an empty list is allowed here."""
    runner, body = call.runner, await call.body()
    known(body, ("labels",))
    call.github.set_labels(runner, _labels(body["labels"]) if body["labels"] != [] else [], keep=False)
    return _labels_of(runner)


async def delete_labels(call: Call) -> web.Response:
    """DELETE all custom labels."""
    runner = call.runner
    call.github.set_labels(runner, [], keep=False)
    return _labels_of(runner)


async def delete_label(call: Call) -> web.Response:
    """DELETE one custom label."""
    runner = call.runner
    call.github.remove_label(runner, call.request.match_info["name"])
    return _labels_of(runner)


async def get_repository(call: Call) -> web.Response:
    """GET a repository."""
    return answer(views.repository(call.api, call.scope, call.github.scope(call.scope.owner)))


async def get_organization(call: Call) -> web.Response:
    """GET an organization."""
    return answer(views.organization(call.api, call.scope))


async def get_user(call: Call) -> web.Response:
    """GET an account, of a person or an organization."""
    return answer(views.user(call.api, call.scope))


async def get_app(call: Call) -> web.Response:
    """GET the App that asks."""
    return answer(views.app(call.api, call.app, call.github.scope(call.app.owner)))


def _installation_view(call: Call, one: Installation) -> dict[str, Any]:
    return views.installation(call.api, call.app, one, call.github.scope(one.account))


async def list_installations(call: Call) -> web.Response:
    """GET where the App is installed."""
    shown, link = page(call, list(call.app.installations.values()))
    return answer([_installation_view(call, one) for one in shown], 200, link)


async def get_installation(call: Call) -> web.Response:
    """GET one installation of the App."""
    return answer(_installation_view(call, call.app.by_id(number(call.request.match_info["installation_id"]))))


async def find_installation(call: Call) -> web.Response:
    """GET the App's installation at a scope."""
    scope = call.scope
    if "username" in call.request.match_info and scope.kind != "user":
        raise Refused(404, "Not Found")
    return answer(_installation_view(call, call.apps.installed(call.app, scope)))


async def access_token(call: Call) -> web.Response:
    """POST access_tokens: a token of an installation."""
    installation = call.app.by_id(number(call.request.match_info["installation_id"]))
    secret, token, narrowed = call.apps.issue(call.app, installation, await call.body())
    account = call.github.scope(installation.account)
    # Here a repository has less fields than where it is asked for.
    repositories = [
        {name: value for name, value in views.repository(call.api, scope, account).items() if name not in FULL_ONLY}
        for scope in narrowed
    ]
    return answer(views.installation_token(secret, token, repositories), 201)


async def rate_limit(call: Call) -> web.Response:
    """GET the state of the rate limits. Costs nothing."""
    limiter, now, who = call.request.app[LIMITER], call.github.clock.now(), FACTS.get().credential or ""
    buckets = {name: limiter.overview(who, name, now) for name in ("core", "actions_runner_registration")}
    # Not served here, but a part of the answer.
    buckets["search"] = {"limit": 30, "used": 0, "remaining": 30, "reset": int(now) + 60}
    return answer({"resources": buckets, "rate": buckets["core"]})


async def nothing(call: Call) -> web.Response:
    """Any other path or method."""
    raise Refused(404, f"Not Found: {call.request.method} {call.request.path}")


def _operations() -> list[Operation]:
    registration = "actions_runner_registration"
    found = []
    for scope in SCOPES:
        runners = f"{scope}/actions/runners"
        found += [
            Operation("GET", runners, list_runners, tokens=(REGISTER,)),
            # Before {runner_id}: the first route that fits is taken.
            Operation("GET", f"{runners}/downloads", downloads),
            Operation("GET", f"{runners}/deprecations/{{version}}", deprecations),
            Operation("POST", f"{runners}/generate-jitconfig", generate_jitconfig, resource=registration),
            Operation("POST", f"{runners}/registration-token", registration_token, resource=registration),
            Operation("POST", f"{runners}/remove-token", remove_token, resource=registration),
            Operation("GET", f"{runners}/{{runner_id}}", get_runner),
            Operation("DELETE", f"{runners}/{{runner_id}}", delete_runner, tokens=(REMOVE,)),
            Operation("GET", f"{runners}/{{runner_id}}/labels", get_labels),
            Operation("POST", f"{runners}/{{runner_id}}/labels", add_labels),
            Operation("PUT", f"{runners}/{{runner_id}}/labels", set_labels),
            Operation("DELETE", f"{runners}/{{runner_id}}/labels", delete_labels),
            Operation("DELETE", f"{runners}/{{runner_id}}/labels/{{name}}", delete_label),
        ]
    return [
        *found,
        *groups.OPERATIONS,
        *hooks.OPERATIONS,
        Operation("GET", "/repos/{owner}/{repo}", get_repository, needs="sight"),
        Operation("GET", "/orgs/{org}", get_organization, needs="sight"),
        Operation("GET", "/users/{username}", get_user, needs="sight"),
        Operation("GET", "/app", get_app, needs="app"),
        Operation("GET", "/app/installations", list_installations, needs="app"),
        Operation("GET", "/app/installations/{installation_id}", get_installation, needs="app"),
        Operation("POST", "/app/installations/{installation_id}/access_tokens", access_token, needs="app"),
        Operation("GET", "/repos/{owner}/{repo}/installation", find_installation, needs="app"),
        Operation("GET", "/orgs/{org}/installation", find_installation, needs="app"),
        Operation("GET", "/users/{username}/installation", find_installation, needs="app"),
        Operation("GET", "/rate_limit", rate_limit, needs="nothing"),
    ]


OPERATIONS = tuple(_operations())
# What config.sh alone calls, and GitHub's description does not have. As the runner's source has it.
UNDESCRIBED = (
    Operation("POST", "/actions/runner-registration", runner_registration, needs="token", tokens=(REGISTER, REMOVE)),
    Operation("POST", "/actions/runners/register", register_runner, needs="token", tokens=(REGISTER,)),
    Operation(
        "GET",
        "/repos/{owner}/{repo}/actions/runner-groups",
        list_groups_of_repository,
        needs="token",
        tokens=(REGISTER,),
    ),
)


def _permit(operation: Operation, call: Call, credential: Holder | None) -> None:
    if call.token is not None:
        if _scope_name(call.request) not in (None, call.token.scope):
            raise Refused(404, "Not Found")
        return
    if operation.needs == "token":
        raise Refused(404, "Not Found")
    if operation.needs in ("nothing", "app") or operation.handler is nothing:
        return
    if operation.needs == "admin" and credential is None:
        raise Refused(401, "Requires authentication")
    scope = call.scope
    public = scope.kind != "repo" or scope.visibility == "public"
    if operation.needs == "admin":
        authorize(credential, scope.key, operation.write, public=scope.kind == "repo" and public, about=operation.about)
        if operation.write and scope.archived:
            raise Refused(403, "Repository was archived so is read-only.")
        return
    if not public:
        check_sso(credential, scope.key)
    if not public and (credential is None or credential.permission(scope.key) is None):
        raise Refused(404, "Not Found")


def serve(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of an operation."""

    async def handle(request: web.Request) -> web.StreamResponse:
        github, limiter, facts = request.app[GITHUB], request.app[LIMITER], FACTS.get()
        said = facts.headers = {
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": request.headers.get("X-GitHub-Api-Version", API_VERSIONS[0]),
        }
        now, who, counted = github.clock.now(), "", operation.needs != "nothing"
        credential: Holder | None = None
        app: App | None = None
        token: RunnerToken | None = None
        try:
            if not request.headers.get("User-Agent"):
                message = (
                    "Request forbidden by administrative rules. Please make sure your request has a User-Agent header."
                )
                raise Refused(403, message)
            header = request.headers.get("Authorization")
            if remote := REMOTE.match(header or ""):
                token = github.runner_token(remote[1], operation.tokens)
                who = facts.credential = f"{token.kind} of {token.scope}"
            elif operation.needs == "app":
                app = request.app[APPS].authenticate(header)
                who = facts.credential = f"app:{app.slug}"
            else:
                credential = authenticate(request.app[CREDENTIALS], request.app[APPS].token, header, now)
                if credential is not None:
                    who = facts.credential = credential.name
            version = request.headers.get("X-GitHub-Api-Version", API_VERSIONS[0])
            if version not in API_VERSIONS:
                raise Refused(400, f"The API version {version} is not supported. Supported: {', '.join(API_VERSIONS)}.")
            call = Call(request, github, str(request.url.origin()) + _prefix(request.path), app, token)
            if not counted:
                return await operation.handler(call)
            try:
                limiter.enter(who, operation.resource, request.method, operation.template, now)
                _permit(operation, call, credential)
                response = await operation.handler(call)
            finally:
                limiter.leave(who)
            if request.method == "GET":
                etag = response.headers["ETag"] = f'W/"{hashlib.sha256((response.text or "").encode()).hexdigest()}"'
                if request.headers.get("If-None-Match") == etag:
                    limiter.refund(who, operation.resource, now)
                    return web.Response(status=304, headers={"ETag": etag})
            return response
        finally:
            said.update(limiter.headers(who, operation.resource, now))
            if credential is not None:
                said.update(credential_headers(credential, _scope_name(request), operation.write, operation.about))

    return handle


def _prefix(path: str) -> str:
    return "/api/v3" if path.startswith("/api/v3/") else ""


def _scope_name(request: web.Request) -> str | None:
    match = request.match_info
    if "repo" in match:
        return f"{match['owner']}/{match['repo']}".lower()
    name = f"enterprises/{match['enterprise']}" if "enterprise" in match else match.get("org")
    return name and name.lower()


def routes() -> list[web.RouteDef]:
    """All operations under both prefixes, and an end for everything else."""
    found = [
        web.route(operation.method, prefix + operation.template, serve(operation))
        for prefix in PREFIXES
        for operation in (*OPERATIONS, *UNDESCRIBED)
    ]
    rest = Operation("*", "/{rest:.*}", nothing)
    return [*found, web.route("*", "/{rest:.*}", serve(rest))]
