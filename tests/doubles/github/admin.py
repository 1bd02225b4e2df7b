# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other port: queue jobs, watch, move the clock, order faults, read the journal.

For people and tests, never for clients of GitHub.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .access import Credential, Refused, parse_credentials
from .api import CREDENTIALS
from .call import APPS
from .hooks import HOOKS
from .jit import KEYS
from .runnerlink import Bell
from .settings import iso
from .state import GitHub, Job, Runner
from .wire import GITHUB, JOURNAL, Handler, answer

#: Of what is made at once on request: some ten seconds' work.
MOST_KEYS = 200
CHANGES: web.AppKey[Bell] = web.AppKey("changes", Bell)


class Unknown(Exception):
    """There is no such thing."""


def _time(moment: float | None) -> str | None:
    return None if moment is None else iso(moment)


def runner_view(github: GitHub, runner: Runner) -> dict[str, Any]:
    """A runner as it is, not as GitHub's readers see it under a fault."""
    session = runner.session
    return {
        "id": runner.id,
        "name": runner.name,
        "scope": github.scopes[runner.scope].name,
        "group_id": runner.group_id,
        "labels": sorted(runner.labels),
        "os": runner.os,
        "architecture": runner.architecture,
        "version": runner.version,
        "status": "online" if github.online(runner) else "offline",
        "busy": runner.job is not None and runner.job.status in ("assigned", "in_progress"),
        "created_at": iso(runner.created),
        "session": session
        and {
            "id": session.id,
            "remote": session.remote,
            "opened_at": iso(session.opened),
            "polls": session.polls,
        },
        "job": runner.job.id if runner.job is not None else None,
        "gone": runner.gone or None,
        "gone_at": _time(runner.gone_at or None),
    }


def job_view(job: Job) -> dict[str, Any]:
    """A job without its log."""
    last = job.assignments[-1] if job.assignments else None
    return {
        "id": job.id,
        "run_id": job.run_id,
        "name": job.name,
        "repository": job.repository,
        "labels": sorted(job.labels),
        "status": job.status,
        "result": job.result,
        "reason": job.reason,
        "runner_id": last[0] if last and job.runner else None,
        "runner_name": last[1] if last and job.runner else None,
        "assignments": [
            {"runner_id": number, "runner_name": name, "at": iso(at)} for number, name, at in job.assignments
        ],
        "queued_at": iso(job.queued),
        "assigned_at": _time(job.assigned),
        "started_at": _time(job.started),
        "completed_at": _time(job.completed),
        "held": job.held,
        "log_length": sum(len(part) for part in job.log),
    }


def state_view(github: GitHub) -> dict[str, Any]:
    """Everything but logs and secrets. ``changes`` grows with every change."""
    github.sweep()
    runners = [runner_view(github, runner) for runner in github.runners.values()]
    return {
        "changes": github.changes,
        "time": iso(github.clock.now()),
        "scopes": [
            {"name": scope.name, "kind": scope.kind, "visibility": scope.visibility} for scope in github.scopes.values()
        ],
        "runners": runners,
        "gone": [runner_view(github, runner) for runner in github.gone],
        "jobs": [job_view(job) for job in github.jobs.values()],
        "sessions": [
            {**runner["session"], "runner_id": runner["id"], "runner_name": runner["name"]}
            for runner in runners
            if runner["session"] and runner["status"] == "online"
        ],
    }


def set_credentials(github: GitHub, credentials: dict[str, Credential], body: Any) -> None:
    """Replace all credentials; scopes they name come into being. Raises ValueError, and changes nothing then."""
    found = parse_credentials(body)
    for entry in body.values():
        for scope in entry["scopes"]:
            github.add_scope(scope[: -len("/*")] if scope.endswith("/*") else scope)
    credentials.clear()
    credentials.update(found)


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text() or "{}")
    except ValueError:
        raise ValueError("the body is not JSON.") from None
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object.")
    return body


def _query_number(request: web.Request, name: str, default: float) -> float:
    text = request.query.get(name, str(default))
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} = {text!r}: not a number.") from None


def _job(request: web.Request) -> Job:
    text = request.match_info["id"]
    github = request.app[GITHUB]
    if not text.isdigit() or int(text) not in github.jobs:
        raise Unknown(f"There is no job {text}.")
    return github.jobs[int(text)]


async def page(request: web.Request) -> web.Response:
    """GET /: for a person."""
    text = importlib.resources.files(__package__ or __name__).joinpath("page.html").read_text("utf-8")
    return web.Response(text=text, content_type="text/html")


async def health(request: web.Request) -> web.Response:
    """GET /healthz: it serves."""
    return answer({"ok": True})


async def get_state(request: web.Request) -> web.Response:
    """GET state. With ``?after=N&timeout=S`` it waits, up to S seconds, until ``changes`` is more than N."""
    github, clock = request.app[GITHUB], request.app[GITHUB].clock
    after, end = _query_number(request, "after", -1), clock.monotonic() + _query_number(request, "timeout", 0)
    while github.changes <= after and (left := end - clock.monotonic()) > 0:
        await request.app[CHANGES].wait(left)
    return answer(state_view(github))


JOB_FIELDS: dict[str, type] = {"repository": str, "name": str, "labels": list, "script": str, "env": dict, "count": int}


async def queue_jobs(request: web.Request) -> web.Response:
    """POST jobs ``{repository, labels, script, name?, env?, count?}``."""
    body = await _object(request)
    for name, value in body.items():
        if name not in JOB_FIELDS:
            raise ValueError(f"{name} = {value!r}: unknown. Use: {', '.join(JOB_FIELDS)}.")
        if not isinstance(value, JOB_FIELDS[name]) or isinstance(value, bool):
            raise ValueError(f"{name} = {value!r}: give a {JOB_FIELDS[name].__name__}.")
    for name in ("repository", "labels", "script"):
        if name not in body:
            raise ValueError(f"{name} is missing.")
    count = body.get("count", 1)
    if not 1 <= count <= 1000:
        raise ValueError(f"count = {count}: give 1 to 1000.")
    name, env = body.get("name", "job"), {str(key): str(value) for key, value in body.get("env", {}).items()}
    jobs = []
    for number in range(1, count + 1):
        title = name if count == 1 else f"{name} ({number})"
        jobs.append(
            request.app[GITHUB].queue_job(body["repository"], title, map(str, body["labels"]), body["script"], env)
        )
    return answer({"jobs": [job_view(job) for job in jobs]}, 201)


async def get_job(request: web.Request) -> web.Response:
    """GET a job with its log."""
    request.app[GITHUB].sweep()
    job = _job(request)
    return answer({**job_view(job), "log": "".join(job.log)})


async def cancel_job(request: web.Request) -> web.Response:
    """POST cancel."""
    job = _job(request)
    request.app[GITHUB].cancel_job(job)
    return answer(job_view(job), 202)


async def get_journal(request: web.Request) -> web.Response:
    """GET journal ``?since=N&link=rest|runner|all``."""
    link = request.query.get("link", "rest")
    if link not in ("rest", "runner", "all"):
        raise ValueError(f"link = {link!r}: write rest, runner or all.")
    return answer(request.app[JOURNAL].since(int(_query_number(request, "since", 0)), link))


async def get_issued(request: web.Request) -> web.Response:
    """GET issued: every JIT configuration and token handed out. For leak scans."""
    return answer({"issued": request.app[GITHUB].issued})


async def move_clock(request: web.Request) -> web.Response:
    """POST clock ``{advance: seconds}``."""
    seconds = (await _object(request)).get("advance")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise ValueError(f"advance = {seconds!r}: give a number of seconds.")
    request.app[GITHUB].advance(seconds)
    return answer({"time": iso(request.app[GITHUB].clock.now())})


async def make_keys(request: web.Request) -> web.Response:
    """POST keys ``{ahead: count}``: answered when so many runners' keys are ready."""
    count = (await _object(request)).get("ahead")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_KEYS:
        raise ValueError(f"ahead = {count!r}: give a number of keys from 0 to {MOST_KEYS}.")
    await asyncio.get_running_loop().run_in_executor(None, KEYS.ahead, count)
    return web.Response(status=204)


async def get_faults(request: web.Request) -> web.Response:
    """GET the faults in force and how often each was matched and applied."""
    faults = request.app[GITHUB].faults.all
    shown = [{name: getattr(fault, name) for name in fault.__dataclass_fields__} for fault in faults]
    return answer({"faults": shown})


async def add_fault(request: web.Request) -> web.Response:
    """POST a fault; see README.md for the fields."""
    fault = request.app[GITHUB].faults.add(await _object(request))
    request.app[GITHUB].sweep()
    return answer({"id": fault.id}, 201)


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE all faults, or one by its id."""
    faults = request.app[GITHUB].faults
    wanted = request.match_info.get("id")
    kept = [] if wanted is None else [fault for fault in faults.all if str(fault.id) != wanted]
    if wanted is not None and len(kept) == len(faults.all):
        raise Unknown(f"There is no fault {wanted}.")
    faults.all[:] = kept
    return web.Response(status=204)


async def put_credentials(request: web.Request) -> web.Response:
    """PUT all credentials."""
    set_credentials(request.app[GITHUB], request.app[CREDENTIALS], await _object(request))
    return web.Response(status=204)


async def delete_credential(request: web.Request) -> web.Response:
    """DELETE a credential: it is revoked."""
    credentials, name = request.app[CREDENTIALS], request.match_info["name"]
    token = next((token for token, one in credentials.items() if one.name == name), None)
    if token is None:
        raise Unknown(f"There is no credential {name}.")
    del credentials[token]
    return web.Response(status=204)


async def put_apps(request: web.Request) -> web.Response:
    """PUT all GitHub Apps."""
    request.app[APPS].replace(await _object(request))
    return web.Response(status=204)


def _slug(request: web.Request) -> str:
    slug = request.match_info["slug"]
    if slug not in request.app[APPS]:
        raise Unknown(f"There is no App {slug}.")
    return slug


async def make_key(request: web.Request) -> web.Response:
    """POST keys: a private key of an App, told this once."""
    return answer({"private_key": request.app[APPS].new_key(_slug(request))}, 201)


async def delete_keys(request: web.Request) -> web.Response:
    """DELETE all keys of an App."""
    request.app[APPS].forget_keys(_slug(request))
    return web.Response(status=204)


async def delete_tokens(request: web.Request) -> web.Response:
    """DELETE all installation tokens of an App: they are revoked."""
    request.app[APPS].revoke_tokens(_slug(request))
    return web.Response(status=204)


async def put_scopes(request: web.Request) -> web.Response:
    """PUT scopes, name -> fields as in state.SCOPE_FIELDS: adds and changes, never removes."""
    for name, fields in (await _object(request)).items():
        if not isinstance(fields, dict):
            raise ValueError(f"scope {name}: write an object.")
        request.app[GITHUB].add_scope(name, **fields)
    request.app[HOOKS].settle()
    return web.Response(status=204)


async def patch_settings(request: web.Request) -> web.Response:
    """PATCH settings: any field of settings.Settings."""
    github = request.app[GITHUB]
    github.settings.update(await _object(request))
    github.sweep()
    github.on_work()
    return answer(vars(github.settings))


async def remove_runner(request: web.Request) -> web.Response:
    """DELETE a runner as if GitHub did it, busy or not. ``?silent=1``: its listener does not learn of it."""
    github, text = request.app[GITHUB], request.match_info["id"]
    runner = github.runners.get(int(text)) if text.isdigit() else None
    if runner is None:
        raise Unknown(f"There is no runner {text}.")
    github.remove(runner, "removed by GitHub", told=request.query.get("silent") != "1")
    return web.Response(status=204)


async def add_deliveries(request: web.Request) -> web.Response:
    """POST deliveries of a webhook; see hooks.DELIVERY_FIELDS."""
    hooks, text = request.app[HOOKS], request.match_info["id"]
    try:
        hook = hooks.by_id(None, int(text) if text.isdigit() else 0)
    except Refused:
        raise Unknown(f"There is no webhook {text}.") from None
    return answer({"ids": hooks.deliver(hook, **await _object(request))}, 201)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Wrong input is answered with what is wrong."""
    try:
        return await handler(request)
    except ValueError as error:
        return answer({"error": str(error)}, 422)
    except Unknown as error:
        return answer({"error": str(error)}, 404)


def routes() -> list[web.RouteDef]:
    """Where it all is."""
    handlers: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
        ("GET", "/", page),
        ("GET", "/healthz", health),
        ("GET", "/_admin/state", get_state),
        ("POST", "/_admin/jobs", queue_jobs),
        ("GET", "/_admin/jobs/{id}", get_job),
        ("POST", "/_admin/jobs/{id}/cancel", cancel_job),
        ("GET", "/_admin/journal", get_journal),
        ("GET", "/_admin/issued", get_issued),
        ("POST", "/_admin/clock", move_clock),
        ("POST", "/_admin/keys", make_keys),
        ("GET", "/_admin/faults", get_faults),
        ("POST", "/_admin/faults", add_fault),
        ("DELETE", "/_admin/faults", clear_faults),
        ("DELETE", "/_admin/faults/{id}", clear_faults),
        ("PUT", "/_admin/credentials", put_credentials),
        ("DELETE", "/_admin/credentials/{name}", delete_credential),
        ("PUT", "/_admin/apps", put_apps),
        ("POST", "/_admin/apps/{slug}/keys", make_key),
        ("DELETE", "/_admin/apps/{slug}/keys", delete_keys),
        ("DELETE", "/_admin/apps/{slug}/tokens", delete_tokens),
        ("PUT", "/_admin/scopes", put_scopes),
        ("PATCH", "/_admin/settings", patch_settings),
        ("DELETE", "/_admin/runners/{id}", remove_runner),
        ("POST", "/_admin/hooks/{id}/deliveries", add_deliveries),
    ]
    return [web.route(method, path, handler) for method, path, handler in handlers]
