# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other port: define the cluster, order faults, read the journal. For tests, never for clients of Proxmox VE."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .state import Cluster, Guest
from .wire import Journal, answer

CLUSTER: web.AppKey[Cluster] = web.AppKey("cluster", Cluster)
JOURNAL: web.AppKey[Journal] = web.AppKey("journal", Journal)


class Unknown(Exception):
    """There is no such thing."""


def guest_view(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    """A VM as it is, whoever may see it."""
    return {
        "node": guest.node,
        "config": guest.config,
        "pending": guest.pending,
        "pending_delete": sorted(guest.pending_delete),
        "running": cluster.running(guest),
        "disk": guest.disk,
        "origin": guest.origin,
        "drive": guest.drive,
        "pool": cluster.pool_of(guest.vmid),
        "image": dataclasses.asdict(guest.image),
    }


def state_view(cluster: Cluster) -> dict[str, Any]:
    """Everything. ``changes`` grows with every change."""
    return {
        "changes": cluster.changes,
        "nodes": {name: dataclasses.asdict(node) for name, node in cluster.nodes.items()},
        "storages": {name: dataclasses.asdict(storage) for name, storage in cluster.storages.items()},
        "volumes": {volid: dataclasses.asdict(volume) for volid, volume in cluster.volumes.items()},
        "vms": {str(vmid): guest_view(cluster, guest) for vmid, guest in list(cluster.guests.items())},
        "pools": {name: sorted(cluster.access.pools.get(name, ())) for name in cluster.pools},
        "ha": {str(vmid): fields for vmid, fields in cluster.ha.items()},
        "tasks": [
            {
                "upid": task.upid,
                "type": task.type,
                "id": task.id,
                "user": task.user,
                "running": task.running,
                "exitstatus": task.exitstatus,
                "log": task.log,
            }
            for task in cluster.tasks.values()
        ],
        "complaints": cluster.complaints,
    }


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


def _guest(request: web.Request) -> Guest:
    vmid, guests = request.match_info["vmid"], request.app[CLUSTER].guests
    if not vmid.isdigit() or int(vmid) not in guests:
        raise Unknown(f"There is no VM {vmid}.")
    return guests[int(vmid)]


async def health(request: web.Request) -> web.Response:
    """GET /healthz: it serves."""
    return answer({"ok": True})


async def get_state(request: web.Request) -> web.Response:
    """GET state. With ``?after=N&timeout=S`` it waits, up to S seconds, until ``changes`` is more than N."""
    cluster = request.app[CLUSTER]
    after, end = _query_number(request, "after", -1), time.monotonic() + _query_number(request, "timeout", 0)
    while cluster.changes <= after and time.monotonic() < end:
        await asyncio.sleep(0.05)
    return answer(state_view(cluster))


async def get_journal(request: web.Request) -> web.Response:
    """GET journal ``?since=N``."""
    return answer(request.app[JOURNAL].since(int(_query_number(request, "since", 0))))


async def get_faults(request: web.Request) -> web.Response:
    """GET the faults in force and how often each was matched and applied."""
    return answer({"faults": [dataclasses.asdict(fault) for fault in request.app[CLUSTER].faults.all]})


async def add_fault(request: web.Request) -> web.Response:
    """POST a fault; see README.md for the fields."""
    return answer({"id": request.app[CLUSTER].faults.add(await _object(request)).id}, 201)


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE all faults, or one by its id."""
    faults = request.app[CLUSTER].faults
    wanted = request.match_info.get("id")
    kept = [] if wanted is None else [fault for fault in faults.all if str(fault.id) != wanted]
    if wanted is not None and len(kept) == len(faults.all):
        raise Unknown(f"There is no fault {wanted}.")
    faults.all[:] = kept
    return web.Response(status=204)


async def put_cluster(request: web.Request) -> web.Response:
    """PUT nodes, storages, vms, pools, ha: adds and changes."""
    request.app[CLUSTER].define(await _object(request))
    await request.app[CLUSTER].on_nodes()
    return web.Response(status=204)


async def put_access(request: web.Request) -> web.Response:
    """PUT all users, roles and access control lists."""
    request.app[CLUSTER].access.replace(await _object(request))
    return web.Response(status=204)


async def patch_settings(request: web.Request) -> web.Response:
    """PATCH settings: any field of settings.Settings."""
    settings, changes = request.app[CLUSTER].settings, await _object(request)
    if str(changes.get("version", settings.version)).partition(".")[0] != str(settings.major):
        raise ValueError(f"version = {changes['version']!r}: the major version is set once, in Options.settings.")
    settings.update(changes)
    return answer(vars(settings))


async def delete_guest(request: web.Request) -> web.Response:
    """DELETE a VM, as if somebody had done it by hand."""
    cluster, guest = request.app[CLUSTER], _guest(request)
    if cluster.running(guest):
        await asyncio.to_thread(cluster.machines.stop, guest.vmid)
    await asyncio.to_thread(cluster.machines.destroy, guest.vmid)
    cluster.remove(guest.vmid)
    cluster.changed()
    return web.Response(status=204)


async def power_off(request: web.Request) -> web.Response:
    """POST off: a VM is off, as if it had powered itself off."""
    cluster, guest = request.app[CLUSTER], _guest(request)
    if cluster.running(guest):
        await asyncio.to_thread(cluster.machines.stop, guest.vmid)
    guest.started = None
    cluster.changed()
    return web.Response(status=204)


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Wrong input is answered with what is wrong."""
    try:
        return await handler(request)
    except ValueError as error:
        return answer({"error": str(error)}, 422)
    except Unknown as error:
        return answer({"error": str(error)}, 404)


def routes() -> list[web.RouteDef]:
    """Where it all is."""
    return [
        web.get("/healthz", health),
        web.get("/_admin/state", get_state),
        web.get("/_admin/journal", get_journal),
        web.get("/_admin/faults", get_faults),
        web.post("/_admin/faults", add_fault),
        web.delete("/_admin/faults", clear_faults),
        web.delete("/_admin/faults/{id}", clear_faults),
        web.put("/_admin/cluster", put_cluster),
        web.put("/_admin/access", put_access),
        web.patch("/_admin/settings", patch_settings),
        web.delete("/_admin/vms/{vmid}", delete_guest),
        web.post("/_admin/vms/{vmid}/off", power_off),
    ]
