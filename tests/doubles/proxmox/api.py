# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API: every operation that is served. Its parameters, permissions and answers are in the description."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from . import cloudinit
from .access import Refused, builtin_roles
from .formats import DRIVE, split_list
from .guests import Actions, wrong
from .state import GIB, Cluster, Guest, Node, Storage, Task, die

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Call:
    """One verified, authorized request."""

    cluster: Cluster
    actions: Actions
    who: str
    values: dict[str, Any]  # parameters by type

    @property
    def guest(self) -> Guest:
        """The guest in the path. Raises Refused."""
        return self.cluster.guest(int(self.values["vmid"]), str(self.values["node"]))

    @property
    def node(self) -> Node:
        """The node in the path. Raises Refused."""
        return self.cluster.node(str(self.values["node"]))

    def may(self, path: str, *privileges: str) -> bool:
        """Whether the caller has any of these privileges at a path."""
        return self.cluster.access.may(self.who, path, privileges, any_of=True)


Handler = Callable[[Call], Any | Awaitable[Any]]
OPERATIONS: dict[tuple[str, str], Handler] = {}


def serve(method: str, template: str) -> Callable[[Handler], Handler]:
    """Register the function for an operation."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[method, template] = handler
        return handler

    return register


# --- who and what is there


@serve("GET", "/version")
@serve("GET", "/nodes/{node}/version")
def version(call: Call) -> Any:
    """The version of the node that answers."""
    found = call.cluster.settings.version
    return {"version": found, "release": ".".join(found.split(".")[:2]), "repoid": "d0ab1e5a"}


@serve("POST", "/access/ticket")
def ticket(call: Call) -> Any:
    """Log in with a password."""
    name = call.values["username"]
    name = name if "@" in name else f"{name}@{call.values.get('realm', 'pam')}"
    user = call.cluster.access.users.get(name)
    if user is None or not user.enable or not user.password or user.password != call.values["password"]:
        raise Refused(401, "authentication failure")
    made = f"PVE:{name}:{int(time.time()):08X}::{secrets.token_urlsafe(24)}"
    call.cluster.tickets[made] = name
    return {"username": name, "ticket": made, "CSRFPreventionToken": csrf(made)}


def csrf(of_ticket: str) -> str:
    """The token that has to come with every write made with a ticket."""
    return f"{of_ticket.split(':')[2]}:{of_ticket[-12:]}"


@serve("GET", "/access/permissions")
def permissions(call: Call) -> Any:
    """What the caller may, by path."""
    if call.values.get("userid", call.who) != call.who:
        call.cluster.access.require(call.who, "/access", "Sys.Audit")
    access = call.cluster.access
    who = call.values.get("userid", call.who)
    paths = {"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
    paths |= {entry.path for entry in access.acl} | {path for members in access.pools.values() for path in members}
    if "path" in call.values:
        paths = {call.values["path"]}
    found = {path: dict.fromkeys(sorted(access.privileges(who, path)), 1) for path in sorted(paths)}
    return {path: privileges for path, privileges in found.items() if privileges}


@serve("GET", "/access/roles")
def roles(call: Call) -> Any:
    """All roles, each with its privileges."""
    access = call.cluster.access
    special = builtin_roles(access.major)
    return [
        {"roleid": name, "privs": ",".join(sorted(privileges)), "special": int(name in special)}
        for name, privileges in sorted(access.roles.items())
    ]


# --- the cluster


@serve("GET", "/cluster/nextid")
def nextid(call: Call) -> Any:
    """The next VMID that is free; or whether one is."""
    taken = call.cluster.guests
    if "vmid" in call.values:
        if call.values["vmid"] in taken:
            raise wrong("vmid", f"VM {call.values['vmid']} already exists")
        return str(call.values["vmid"])
    return str(next(number for number in range(call.cluster.settings.next_id, 1_000_000) if number not in taken))


@serve("GET", "/cluster/status")
def cluster_status(call: Call) -> Any:
    """Members and quorum."""
    nodes = call.cluster.nodes
    found: list[dict[str, Any]] = [
        {
            "id": f"node/{node.name}",
            "type": "node",
            "name": node.name,
            "nodeid": number,
            "ip": node.address,
            "online": int(node.online),
            "local": int(number == 1),
            "level": "",
        }
        for number, node in enumerate(nodes.values(), 1)
    ]
    if len(nodes) > 1:
        quorate = int(call.cluster.settings.quorate)
        whole = {"id": "cluster", "type": "cluster", "name": "lab", "nodes": len(nodes), "quorate": quorate}
        found.append({**whole, "version": len(nodes)})
    return found


@serve("GET", "/cluster/options")
def cluster_options(call: Call) -> Any:
    """Of datacenter.cfg: the tag policy."""
    settings = call.cluster.settings
    found: dict[str, Any] = {"keyboard": "en-us"}
    if settings.user_allow != "free":
        found["user-tag-access"] = {"user-allow": settings.user_allow, "user-allow-list": settings.user_allow_list}
    if settings.registered_tags:
        found["registered-tags"] = settings.registered_tags
    return found


@serve("GET", "/cluster/ha/resources")
def ha_resources(call: Call) -> Any:
    """What the HA manager looks after."""
    return [{"sid": f"vm:{vmid}", "type": "vm", **fields} for vmid, fields in call.cluster.ha.items()]


@serve("GET", "/cluster/resources")
def cluster_resources(call: Call) -> Any:
    """Everything at a glance; of guests those that the caller may see."""
    wanted = call.values.get("type", "")
    cluster = call.cluster
    found: list[dict[str, Any]] = []
    if wanted in ("", "vm"):
        found += [_guest_resource(call, guest) for guest in _visible(call, cluster.guests.values())]
    if wanted in ("", "node"):
        found += [_node_view(call, node) for node in cluster.nodes.values()]
    if wanted in ("", "storage"):
        for storage in cluster.storages.values():
            # Unlike in the lists of storages, the right to take space of one does not show it here.
            if call.may(f"/storage/{storage.name}", "Datastore.Audit"):
                found += [_storage_resource(call, storage, node) for node in storage.nodes or cluster.nodes]
    if wanted in ("", "pool"):
        for pool in cluster.pools:
            if call.may(f"/pool/{pool}", "Pool.Audit"):
                found.append({"id": f"/pool/{pool}", "type": "pool", "pool": pool})
    return found


def _visible(call: Call, guests: Any) -> list[Guest]:
    return [guest for guest in list(guests) if call.may(f"/vms/{guest.vmid}", "VM.Audit")]


def _stats(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    view = _guest_view(cluster, guest)
    names = "cpu disk diskread diskwrite maxdisk maxmem mem name netin netout status uptime".split()
    return {**{name: view[name] for name in names}, "maxcpu": view["cpus"], "template": int(guest.template)}


def _broadcast(cluster: Cluster) -> dict[int, dict[str, Any]]:
    """What pvestatd has last told the cluster of all guests: a new one is not in it, and a status may be old."""
    now = time.monotonic()
    if now >= cluster.stats_at + cluster.settings.stats_seconds:
        cluster.stats_at = now
        cluster.stats = {vmid: _stats(cluster, guest) for vmid, guest in cluster.guests.items()}
    return cluster.stats


def _guest_resource(call: Call, guest: Guest) -> dict[str, Any]:
    found: dict[str, Any] = {"id": f"qemu/{guest.vmid}", "vmid": guest.vmid, "node": guest.node, "type": "qemu"}
    found |= {"status": "unknown", **_broadcast(call.cluster).get(guest.vmid, {})}
    found |= {name: guest.config[name] for name in ("lock", "tags") if name in guest.config}
    pool = call.cluster.pool_of(guest.vmid)
    if pool and call.may(f"/pool/{pool}", "Pool.Audit"):
        found["pool"] = pool
    if guest.vmid in call.cluster.ha:
        found["hastate"] = call.cluster.ha[guest.vmid]["state"]
    if not call.cluster.nodes[guest.node].online:
        found["status"] = "unknown"
    return found


def _storage_resource(call: Call, storage: Storage, node: str) -> dict[str, Any]:
    return {
        "id": f"storage/{node}/{storage.name}",
        "type": "storage",
        "node": node,
        "storage": storage.name,
        "plugintype": storage.type,
        "content": storage.content,
        "shared": int(storage.shared),
        "status": "available" if call.cluster.nodes[node].online else "unknown",
        "disk": _used(call.cluster, storage),
        "maxdisk": storage.total,
    }


def _used(cluster: Cluster, storage: Storage) -> int:
    return sum(volume.size for volid, volume in cluster.volumes.items() if volid.startswith(f"{storage.name}:"))


# --- nodes


def _node_view(call: Call, node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {"node": node.name, "type": "node", "id": f"node/{node.name}"}
    found |= {"status": "online" if node.online else "offline", "level": ""}
    if call.may(f"/nodes/{node.name}", "Sys.Audit"):
        found |= {"maxcpu": node.cpus, "maxmem": node.memory * MIB, "maxdisk": 64 * GIB}
        if node.online:
            guests = call.cluster.guests.values()
            used = sum(guest.memory for guest in guests if guest.node == node.name and guest.started)
            found |= {"mem": used * MIB, "cpu": 0.01, "uptime": 4711, "disk": 4 * GIB}
    return found


@serve("GET", "/nodes")
def nodes(call: Call) -> Any:
    """The members."""
    return [_node_view(call, node) for node in call.cluster.nodes.values()]


@serve("GET", "/nodes/{node}/status")
def node_status(call: Call) -> Any:
    """Memory, processors, versions of a node."""
    node = call.node
    used = sum(guest.memory for guest in call.cluster.guests.values() if guest.node == node.name and guest.started)
    total, free = node.memory * MIB, (node.memory - used) * MIB
    return {
        "boot-info": {"mode": "efi", "secureboot": 0},
        "cpu": 0.01,
        "cpuinfo": {"cores": node.cpus, "cpus": node.cpus, "model": "a double's", "sockets": 1},
        "current-kernel": {"machine": "x86_64", "release": "6.17.2-1-pve", "sysname": "Linux", "version": "#1 SMP"},
        "loadavg": ["0.10", "0.10", "0.10"],
        "memory": {"available": free, "free": free, "total": total, "used": used * MIB},
        "pveversion": f"pve-manager/{call.cluster.settings.version}/d0ab1e5a",
        "rootfs": {"avail": 60 * GIB, "free": 60 * GIB, "total": 64 * GIB, "used": 4 * GIB},
    }


@serve("GET", "/nodes/{node}/network")
def network(call: Call) -> Any:
    """Bridges; the description's prose: those that the caller may use or audit."""
    found = []
    for bridge in call.node.bridges:
        if call.may(f"/sdn/zones/localnetwork/{bridge}", "SDN.Audit", "SDN.Use") or call.may("/", "Sys.Audit"):
            found.append({"iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "method": "manual"})
    wanted = call.values.get("type")
    return found if wanted in (None, "bridge", "any_bridge", "any_local_bridge", "include_sdn") else []


@serve("GET", "/nodes/{node}/lxc")
def containers(call: Call) -> Any:
    """No containers here."""
    return [] if call.node else None


# --- storage


def _storages(call: Call) -> list[Storage]:
    return [
        storage
        for storage in call.cluster.storages.values()
        if call.may(f"/storage/{storage.name}", "Datastore.Audit", "Datastore.AllocateSpace")
    ]


@serve("GET", "/storage")
def storages(call: Call) -> Any:
    """Storages of the datacenter."""
    wanted = call.values.get("type")
    found = [one for one in _storages(call) if wanted in (None, one.type)]
    return [{"storage": one.name, "type": one.type, "content": one.content, "shared": int(one.shared)} for one in found]


@serve("GET", "/nodes/{node}/storage")
def node_storages(call: Call) -> Any:
    """Storages that a node has."""
    found = []
    content = set(split_list(call.values.get("content", "")))
    target = call.values.get("target", call.node.name)
    here = [
        one
        for one in call.cluster.storages.values()
        if (not one.nodes or call.node.name in one.nodes) and (not content or content & set(one.content.split(",")))
    ]
    if call.values.get("storage") not in (None, *(one.name for one in here)):
        raise wrong("storage", "No such storage.")
    for one in _storages(call):
        if one not in here or call.values.get("storage", one.name) != one.name:
            continue
        if target != call.node.name and not (one.shared and (not one.nodes or target in one.nodes)):
            continue
        view = _storage_view(call, one)
        found.append({**view, "storage": one.name, "used_fraction": view["used"] / one.total})
    return found


def _storage_view(call: Call, storage: Storage) -> dict[str, Any]:
    used = _used(call.cluster, storage)
    found = {"type": storage.type, "content": storage.content, "shared": int(storage.shared)}
    return {**found, "active": 1, "enabled": 1, "total": storage.total, "used": used, "avail": storage.total - used}


@serve("GET", "/nodes/{node}/storage/{storage}/status")
def storage_status(call: Call) -> Any:
    """How full a storage is."""
    return _storage_view(call, call.cluster.storage(call.values["storage"], call.node.name))


@serve("GET", "/nodes/{node}/storage/{storage}/content")
def content(call: Call) -> Any:
    """Volumes on a storage: those that the caller may take."""
    storage = call.cluster.storage(call.values["storage"], call.node.name)
    found = []
    for volid, volume in call.cluster.volumes.items():
        kind = "import" if volid.startswith(f"{storage.name}:import/") else "images"
        if not volid.startswith(f"{storage.name}:") or call.values.get("content", kind) != kind:
            continue
        if call.values.get("vmid", volume.vmid) == volume.vmid and _may_take(call, storage, volume.vmid):
            entry = {"volid": volid, "format": "qcow2" if volid.endswith(".qcow2") else "raw", "size": volume.size}
            entry |= {"vmid": volume.vmid} if volume.vmid else {}
            found.append({**entry, "parent": volume.base} if volume.base else entry)
    return found


def _may_take(call: Call, storage: Storage, owner: int | None) -> bool:
    """PVE::Storage::check_volume_access: an image to import is everybody's who was let in here, a disk its VM's."""
    path = f"/storage/{storage.name}"
    if not owner or call.may(path, "Datastore.Allocate"):
        return True
    return call.may(path, "Datastore.Audit") and call.may(f"/vms/{owner}", "VM.Config.Disk")


@serve("POST", "/nodes/{node}/storage/{storage}/download-url")
def download_url(call: Call) -> Any:
    """Have the node download a file, with its checksum: disk images only."""
    storage, values = call.cluster.storage(call.values["storage"], call.node.name), call.values
    if not storage.files:
        raise die(f"can't upload to storage type '{storage.type}', not a file based storage!")
    if values["content"] not in storage.content.split(","):
        raise die(f"storage '{storage.name}' is not configured for content-type '{values['content']}'")
    name = re.sub(r"[^a-zA-Z0-9_.-]", "_", re.sub(r"^.*[/\\]", "", values["filename"]))
    if values["content"] != "import":
        raise Refused(501, "The double downloads disk images only")
    if call.cluster.settings.version < "8.4" or not re.fullmatch(r"[\w.+=-]+\.(ova|qcow2|raw|vmdk)", name, re.ASCII):
        raise wrong("filename", "invalid filename or wrong extension")
    volume = f"{storage.name}:import/{name}"

    async def work(task: Task) -> None:
        remote, there = call.cluster.remotes.get(values["url"]), call.cluster.volumes.get(volume)
        if there is not None and not values.get("checksum"):
            raise die(f"refusing to override existing file '/var/lib/vz/import/{name}'")
        if remote is None:
            raise die(f"download failed: command 'wget -O {name} {values['url']}' failed: exit code 8")
        if values.get("checksum"):
            got = hashlib.new(values["checksum-algorithm"], remote.content.encode()).hexdigest()
            if got != values["checksum"].lower():
                raise die(f"checksum mismatch: got '{got}' != expect '{values['checksum']}'")
        call.cluster.volumes[volume] = remote.volume()

    return call.cluster.fork("download", name, call.node.name, call.who, work)


# --- pools


def _members(call: Call, pool: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(call.cluster.access.pools.get(pool, ())):
        kind, name = path[1:].split("/", 1)
        if kind == "vms" and int(name) in call.cluster.guests:
            found.append(_guest_resource(call, call.cluster.guests[int(name)]))
        elif kind == "storage":
            found.append(_storage_resource(call, call.cluster.storages[name], call.cluster.first.name))
    return found


@serve("GET", "/pools")
def pools(call: Call) -> Any:
    """Pools that the caller may see; one with its members, for whoever asks: what the check says is not heeded."""
    wanted = call.values.get("poolid")
    if wanted is not None:
        if wanted not in call.cluster.pools:
            raise die(f"pool '{wanted}' does not exist")
        return [{"poolid": wanted, "comment": call.cluster.pools[wanted], "members": _members(call, wanted)}]
    visible = [pool for pool in call.cluster.pools if call.may(f"/pool/{pool}", "Pool.Audit")]
    return [{"poolid": pool, "comment": call.cluster.pools[pool]} for pool in sorted(visible)]


@serve("GET", "/pools/{poolid}")
def pool(call: Call) -> Any:
    """A pool and its members."""
    name = call.values["poolid"]
    if name not in call.cluster.pools:
        raise die(f"pool '{name}' does not exist")
    return {"comment": call.cluster.pools[name], "members": _members(call, name)}


@serve("POST", "/pools")
def make_pool(call: Call) -> Any:
    """A new pool."""
    name = call.values["poolid"]
    if name in call.cluster.pools:
        raise die(f"create pool failed: pool '{name}' already exists")
    call.cluster.pools[name] = call.values.get("comment", "")
    call.cluster.access.pools[name] = set()


@serve("PUT", "/pools")
@serve("PUT", "/pools/{poolid}")
def change_pool(call: Call) -> Any:
    """Members come and go."""
    name, access = call.values["poolid"], call.cluster.access
    if name not in call.cluster.pools:
        raise die(f"update pools failed: pool '{name}' does not exist")
    if "comment" in call.values:
        call.cluster.pools[name] = call.values["comment"]
    for vmid in map(int, split_list(call.values.get("vms", ""))):
        access.require(call.who, f"/vms/{vmid}", "Permissions.Modify", "VM.Allocate", any_of=True)
        path, present = f"/vms/{vmid}", call.cluster.pool_of(vmid)
        if call.values.get("delete"):
            if present != name:
                raise die(f"update pools failed: VM {vmid} is not a pool member")
            access.pools[name].discard(path)
        else:
            if present == name:
                raise die(f"update pools failed: VM {vmid} is already a pool member")
            if present and not call.values.get("allow-move"):
                raise die(
                    f"update pools failed: VM {vmid} belongs already to pool '{present}' and 'allow-move' is not set"
                )
            if present:
                access.require(call.who, f"/pool/{present}", "Pool.Allocate")
                access.pools[present].discard(path)
            access.pools[name].add(path)
    for storage in split_list(call.values.get("storage", "")):
        access.require(call.who, f"/storage/{storage}", "Permissions.Modify", "Datastore.Allocate", any_of=True)
        change = access.pools[name].discard if call.values.get("delete") else access.pools[name].add
        change(f"/storage/{storage}")


@serve("DELETE", "/pools")
@serve("DELETE", "/pools/{poolid}")
def delete_pool(call: Call) -> Any:
    """An empty pool goes."""
    name = call.values["poolid"]
    if name not in call.cluster.pools:
        raise die(f"delete pool failed: pool '{name}' does not exist")
    for path in sorted(call.cluster.access.pools.get(name, ())):
        what = f"VM {path[5:]}" if path.startswith("/vms/") else f"storage '{path[9:]}'"
        raise die(f"delete pool failed: pool '{name}' is not empty (contains {what})")
    del call.cluster.pools[name]
    call.cluster.access.pools.pop(name, None)


# --- tasks


def _task_view(task: Task) -> dict[str, Any]:
    names = ("upid", "node", "type", "id", "user", "pid", "pstart", "starttime")
    return {name: getattr(task, name) for name in names}


def _ended_view(task: Task) -> dict[str, Any]:
    """Its user without the token, which has a field of its own that the description does not have: left out."""
    user = task.user.partition("!")[0]
    return {**_task_view(task), "user": user, "endtime": task.endtime, "status": task.exitstatus}


def _task_kind(task: Task) -> str:
    """What a list can be asked for by `statusfilter`."""
    if task.running:
        return "unknown"
    return "ok" if task.exitstatus == "OK" else "warning" if str(task.exitstatus).startswith("WARNINGS: ") else "error"


def _task(call: Call) -> Task:
    upid = call.values["upid"]
    task = call.cluster.tasks.get(upid)
    if task is None:
        parses = re.fullmatch(r"UPID:[^:]+:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:[^:]+:[^:]*:[^:]+:", upid)
        raise wrong("upid", "no such task" if parses else "unable to parse worker upid")
    return task


def _owns(call: Call, task: Task) -> bool:
    return call.who == task.user or call.who == task.user.partition("!")[0]


@serve("GET", "/nodes/{node}/tasks")
def tasks(call: Call) -> Any:
    """Tasks of the caller, or all with Sys.Audit; those that run first, then newest first.

    A token sees its own. Its user sees those too, but not while they run: only what has ended is known as a token's.
    """
    values, found = call.values, []
    source = values.get("source", "archive")
    kinds = {"ok", "warning", "error", "unknown"}
    if values.get("errors"):
        kinds -= {"ok"}
    elif "statusfilter" in values:
        kinds = {each.lower() for each in split_list(values["statusfilter"])}
    newest = [*reversed(call.cluster.tasks.values())]
    for task in sorted(newest, key=lambda task: not task.running):
        owns = call.who == task.user if task.running else _owns(call, task)
        if task.node != call.node.name or not (owns or call.may(f"/nodes/{task.node}", "Sys.Audit")):
            continue
        if source != "all" and task.running != (source == "active"):
            continue
        if task.id != str(values.get("vmid", task.id)) or values.get("typefilter", task.type) != task.type:
            continue
        if not values.get("since", 0) <= task.starttime <= values.get("until", task.starttime):
            continue
        if values.get("userfilter", "").lower() not in task.user.lower() or _task_kind(task) not in kinds:
            continue
        found.append({**_task_view(task), "status": "RUNNING"} if task.running else _ended_view(task))
    start = values.get("start", 0)
    return found[start : start + values.get("limit", 50)]


@serve("GET", "/cluster/tasks")
def cluster_tasks(call: Call) -> Any:
    """The last tasks of all nodes, newest first: those of a user, or all with Sys.Audit. A token is not even shown its
    own, since they are compared by their user's name."""
    found = []
    for task in reversed(call.cluster.tasks.values()):
        if call.who == task.user.partition("!")[0] or call.may("/", "Sys.Audit"):
            entry = _ended_view(task)
            unknown = ("endtime", "status") if task.running else ()
            found.append({name: value for name, value in entry.items() if name not in unknown})
    return found[:25]


@serve("GET", "/nodes/{node}/tasks/{upid}/status")
def task_status(call: Call) -> Any:
    """Whether a task runs, and how it ended."""
    task = _task(call)
    if not _owns(call, task):
        call.cluster.access.require(call.who, f"/nodes/{call.values['node']}", "Sys.Audit")
    view = {**_task_view(task), "status": "running" if task.running else "stopped"}
    return view if task.running else {**view, "exitstatus": task.exitstatus}


@serve("GET", "/nodes/{node}/tasks/{upid}/log")
def task_log(call: Call) -> Any:
    """What a task has written."""
    task = _task(call)
    if not _owns(call, task):
        call.cluster.access.require(call.who, f"/nodes/{call.values['node']}", "Sys.Audit")
    lines = task.log or ["no content"]
    start = call.values.get("start", 0)
    return [{"n": n, "t": text} for n, text in enumerate(lines, 1)][start : start + call.values.get("limit", 50)]


@serve("DELETE", "/nodes/{node}/tasks/{upid}")
def stop_task(call: Call) -> Any:
    """Stop a task."""
    task = _task(call)
    if not _owns(call, task):
        call.cluster.access.require(call.who, f"/nodes/{call.values['node']}", "Sys.Modify")
    call.cluster.stop_task(task)


# --- guests


def _guest_view(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    on = cluster.running(guest)
    boot = guest.drives.get(guest.boot_drive)
    found: dict[str, Any] = {
        "vmid": guest.vmid,
        "name": guest.name,
        "status": "running" if on else "stopped",
        "cpus": guest.cpus,
        "cpu": 0,
        "maxmem": guest.memory * MIB,
        "mem": guest.memory * MIB // 2 if on else 0,
        "maxdisk": boot.size if boot else 0,
        "disk": 0,
        "diskread": 0,
        "diskwrite": 0,
        "netin": 0,
        "netout": 0,
        "uptime": int(time.time() - guest.started) if on and guest.started else 0,
    }
    if on:
        found["pid"] = 10_000 + guest.vmid
    if guest.template:
        found["template"] = 1
    for name in ("lock", "tags"):
        if name in guest.config:
            found[name] = guest.config[name]
    if any(re.fullmatch(r"serial\d+", name) for name in guest.config):
        found["serial"] = 1
    return found


@serve("GET", "/nodes/{node}/qemu")
def guests(call: Call) -> Any:
    """Guests of a node that the caller may see."""
    found = _visible(call, [one for one in call.cluster.guests.values() if one.node == call.node.name])
    return [_guest_view(call.cluster, one) for one in found]


@serve("POST", "/nodes/{node}/qemu")
def create(call: Call) -> Any:
    """A new guest."""
    values = {key: value for key, value in call.values.items() if key not in ("node", "vmid")}
    return call.actions.create(call.who, call.values["vmid"], call.node.name, values)


@serve("DELETE", "/nodes/{node}/qemu/{vmid}")
def destroy(call: Call) -> Any:
    """Remove a guest."""
    return call.actions.destroy(call.who, call.guest, call.values)


@serve("POST", "/nodes/{node}/qemu/{vmid}/clone")
def clone(call: Call) -> Any:
    """Clone a guest or a template."""
    return call.actions.clone(call.who, call.guest, call.values)


@serve("POST", "/nodes/{node}/qemu/{vmid}/template")
def template(call: Call) -> Any:
    """Turn a guest into a template."""
    return call.actions.make_template(call.who, call.guest)


@serve("GET", "/nodes/{node}/qemu/{vmid}/config")
def config(call: Call) -> Any:
    """The configuration with pending changes; without them when ``current`` is set."""
    guest = call.guest
    found = dict(guest.config)
    if not call.values.get("current"):
        found |= guest.pending
        for name in guest.pending_delete:
            found.pop(name, None)
    if "cipassword" in found:
        found["cipassword"] = "**********"
    return {**found, "digest": guest.digest()}


def _change(call: Call) -> dict[str, Any]:
    return {key: value for key, value in call.values.items() if key not in ("node", "vmid")}


@serve("PUT", "/nodes/{node}/qemu/{vmid}/config")
async def update(call: Call) -> Any:
    """Change the configuration, and wait for it."""
    guest, values = call.guest, _change(call)
    call.actions.check_update(call.who, guest, values)
    async with call.cluster.locked(guest.vmid):
        call.actions.update(call.who, guest, values)


@serve("POST", "/nodes/{node}/qemu/{vmid}/config")
def update_as_task(call: Call) -> Any:
    """Change the configuration in a task."""
    guest, values = call.guest, _change(call)
    call.actions.check_update(call.who, guest, values)

    async def work(task: Task) -> None:
        async with call.cluster.locked(guest.vmid):
            call.actions.update(call.who, guest, values)

    return call.cluster.fork("qmconfig", guest.vmid, guest.node, call.who, work)


@serve("GET", "/nodes/{node}/qemu/{vmid}/pending")
def pending(call: Call) -> Any:
    """What is, what is to come and what is to go."""
    guest = call.guest
    found = []
    for name in sorted({*guest.config, *guest.pending}):
        entry: dict[str, Any] = {"key": name}
        for key, values in (("value", guest.config), ("pending", guest.pending)):
            if name in values:
                entry[key] = "**********" if name == "cipassword" else str(values[name])
        if name in guest.pending_delete:
            entry["delete"] = 1
        found.append(entry)
    return [*found, {"key": "digest", "value": guest.digest()}]


@serve("PUT", "/nodes/{node}/qemu/{vmid}/resize")
def resize(call: Call) -> Any:
    """Make a disk larger."""
    return call.actions.resize(call.who, call.guest, call.values)


@serve("PUT", "/nodes/{node}/qemu/{vmid}/unlink")
async def unlink(call: Call) -> Any:
    """Take drives out of the configuration."""
    guest = call.guest
    for name in split_list(call.values["idlist"]):
        if not DRIVE.fullmatch(name) and not name.startswith("unused"):
            raise wrong("idlist", f"unable to unlink '{name}'")
    async with call.cluster.locked(guest.vmid):
        call.actions.update(call.who, guest, {"delete": call.values["idlist"]})


@serve("GET", "/nodes/{node}/qemu/{vmid}/snapshot")
def snapshots(call: Call) -> Any:
    """No snapshots but what is."""
    return [{"name": "current", "description": "You are here!"}] if call.guest else None


# --- power


@serve("GET", "/nodes/{node}/qemu/{vmid}/status/current")
def status(call: Call) -> Any:
    """How it is."""
    guest = call.guest
    found = _guest_view(call.cluster, guest)
    managed = call.cluster.ha.get(guest.vmid)
    found["ha"] = {"managed": 1, **managed} if managed else {"managed": 0}
    found["qmpstatus"] = found["status"]
    if guest.agent:
        found["agent"] = 1
    return found


@serve("POST", "/nodes/{node}/qemu/{vmid}/status/start")
def start(call: Call) -> Any:
    """Switch on."""
    return call.actions.start(call.who, call.guest)


@serve("POST", "/nodes/{node}/qemu/{vmid}/status/stop")
def stop(call: Call) -> Any:
    """Pull the plug."""
    return call.actions.stop(call.who, call.guest)


@serve("POST", "/nodes/{node}/qemu/{vmid}/status/shutdown")
def shutdown(call: Call) -> Any:
    """Ask it to go down."""
    return call.actions.shutdown(call.who, call.guest, call.values)


@serve("POST", "/nodes/{node}/qemu/{vmid}/status/reboot")
def reboot(call: Call) -> Any:
    """Down and up again."""
    return call.actions.reboot(call.who, call.guest, call.values)


@serve("POST", "/nodes/{node}/qemu/{vmid}/status/reset")
def reset(call: Call) -> Any:
    """The reset button."""
    return call.actions.reset(call.who, call.guest)


# --- cloud-init


@serve("GET", "/nodes/{node}/qemu/{vmid}/cloudinit")
def cloudinit_pending(call: Call) -> Any:
    """cloud-init's settings as they are on the drive, and as they will be: GET pending tells nothing of these."""
    guest = call.guest
    now = {name: str(value) for name, value in guest.config.items() if cloudinit.is_option(name)}
    written = now if guest.written is None else guest.written
    found = []
    for name in sorted({*now, *written}):
        entry: dict[str, Any] = {"key": name}
        if name not in now:
            entry["delete"] = 1
        else:
            if name in written:
                entry["value"] = written[name]
            if written.get(name) != now[name]:
                entry["pending"] = now[name]
        hidden = {"value", "pending"} if name == "cipassword" else set()
        found.append({key: "**********" if key in hidden else value for key, value in entry.items()})
    return found


@serve("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit")
def cloudinit_write(call: Call) -> Any:
    """Write the drive anew."""
    call.actions.write_drive(call.guest)


@serve("GET", "/nodes/{node}/qemu/{vmid}/cloudinit/dump")
def cloudinit_dump(call: Call) -> Any:
    """A file as it would be on the drive."""
    names = {"user": "user-data", "network": "network-config", "meta": "meta-data"}
    found = cloudinit.files(call.guest.vmid, call.guest.config)[names[call.values["type"]]]
    return re.sub(r"(?m)^password: .*", "password: **********", found)


# --- the guest agent


async def _agent(call: Call) -> Guest:
    """The guest, when its agent answers. Raises Refused."""
    guest = call.guest
    if "agent" not in guest.config:
        raise die("No QEMU guest agent configured")
    if not call.cluster.running(guest):
        raise die(f"VM {guest.vmid} is not running")
    silent = call.cluster.faults.on_agent(guest.vmid)
    if silent or await asyncio.to_thread(call.cluster.machines.interfaces, guest.vmid) is None:
        raise die("QEMU guest agent is not running")
    return guest


@serve("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces")
async def agent_interfaces(call: Call) -> Any:
    """Interfaces and addresses."""
    guest = await _agent(call)
    return {"result": await asyncio.to_thread(call.cluster.machines.interfaces, guest.vmid)}


@serve("GET", "/nodes/{node}/qemu/{vmid}/agent/get-host-name")
async def agent_host_name(call: Call) -> Any:
    """The name that the guest has given itself."""
    guest = await _agent(call)
    found = await asyncio.to_thread(call.cluster.machines.run, guest.vmid, ["hostname"], b"")
    return {"result": {"host-name": found[1].strip()}}


@serve("POST", "/nodes/{node}/qemu/{vmid}/agent/ping")
async def agent_ping(call: Call) -> Any:
    """Whether the agent answers."""
    await _agent(call)
    return {"result": {}}


@serve("POST", "/nodes/{node}/qemu/{vmid}/agent/exec")
async def agent_exec(call: Call) -> Any:
    """Run a command; its number."""
    guest = await _agent(call)
    stdin = call.values.get("input-data", "").encode()
    done = await asyncio.to_thread(call.cluster.machines.run, guest.vmid, call.values["command"], stdin)
    return {"pid": call.cluster.ended(guest.vmid, done)}


@serve("GET", "/nodes/{node}/qemu/{vmid}/agent/exec-status")
async def agent_exec_status(call: Call) -> Any:
    """How a command ended."""
    guest = await _agent(call)
    done = call.cluster.commands.pop((guest.vmid, call.values["pid"]), None)
    if done is None:
        raise die(f"Agent error: PID {call.values['pid']} does not exist")
    found: dict[str, Any] = {"exited": 1, "exitcode": done[0]}
    return {**found, **{key: text for key, text in (("out-data", done[1]), ("err-data", done[2])) if text}}


@serve("GET", "/nodes/{node}/qemu/{vmid}/agent/file-read")
async def agent_file_read(call: Call) -> Any:
    """A file's content; characters beyond ASCII byte by byte, or base64 with ``decode`` off."""
    guest = await _agent(call)
    path = call.values["file"]
    try:
        found = await asyncio.to_thread(call.cluster.machines.read, guest.vmid, path)
    except FileNotFoundError:
        raise die(f"Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory") from None
    if not call.values.get("decode", True):
        return {"content": base64.b64encode(found).decode()}
    return {"content": found.decode("latin-1")}


def authenticate(cluster: Cluster, header: str, cookie: str) -> str:
    """Who sends a request: a user or a token. Raises Refused 401."""
    unified = cluster.settings.version >= "9.2"  # since then nothing tells what exactly is wrong

    def no(why: str) -> Refused:
        return Refused(401, "Authentication failed!" if unified else why)

    if header.startswith("PVEAPIToken="):
        name, secret = header.removeprefix("PVEAPIToken=").partition("=")[::2]
        user, token = name.partition("!")[::2]
        found = cluster.access.users.get(user)
        if found is None:
            raise no(f"no such user ('{user}')")
        if not found.enable:
            raise no(f"user '{user}' is disabled")
        if token not in found.tokens:
            raise no(f"no such token '{token}' for user '{user}'")
        if found.tokens[token].expire and found.tokens[token].expire < time.time():
            raise no(f"token '{token}' access expired")
        if not secrets.compare_digest(found.tokens[token].secret.encode(), secret.encode()):
            raise no("invalid token value!")
        return name
    if not cookie:
        raise Refused(401, "No ticket")
    if cookie not in cluster.tickets:
        raise no("invalid PVE ticket")
    return cluster.tickets[cookie]
