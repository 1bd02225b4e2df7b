# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster as it is: nodes, storages, guests, pools, tasks. What may be done with a guest is in guests.py."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from .access import Access, Refused
from .faults import Faults
from .formats import DRIVE, Card, Drive, parse_boolean, parse_size
from .machines import Image, Machines
from .settings import Settings

GIB = 1 << 30
LOCK_TIMEOUT = 10  # seconds that a change waits for another one of the same guest


def die(text: str) -> Refused:
    """An error of the code behind the API: 500, and the text as the reason."""
    return Refused(500, text)


async def _nothing() -> None:
    pass


@dataclasses.dataclass
class Node:
    """A member of the cluster."""

    name: str
    address: str = "127.0.0.1"  # where its API listens
    cpus: int = 8
    memory: int = 32768  # MiB
    bridges: list[str] = dataclasses.field(default_factory=lambda: ["vmbr0"])
    online: bool = True


@dataclasses.dataclass
class Storage:
    """Where disks are."""

    name: str
    type: str = "lvmthin"
    content: str = "images,rootdir"
    shared: bool = False
    nodes: list[str] = dataclasses.field(default_factory=list)  # empty: on all
    total: int = 512 * GIB

    @property
    def linked_clones(self) -> bool:
        """Whether a volume can be based on another one's."""
        return self.type in ("lvmthin", "zfspool", "rbd", "dir", "nfs", "btrfs")

    @property
    def files(self) -> bool:
        """Whether volumes are files."""
        return self.type in ("dir", "nfs", "btrfs", "cifs")

    def volume(self, vmid: int, name: str, extension: str = "qcow2") -> str:
        """The id of a volume."""
        return f"{self.name}:{vmid}/{name}.{extension}" if self.files else f"{self.name}:{name}"


@dataclasses.dataclass
class Volume:
    """A disk on a storage."""

    size: int  # bytes
    vmid: int  # 0: nobody's, an image to import
    base: str = ""  # the volume it is a linked clone of
    image: Image | None = None  # what is on an image to import


@dataclasses.dataclass(frozen=True)
class Remote:
    """What a node finds at a URL, or at a path of its own: a disk image."""

    content: str = ""  # stands for its bytes: what its checksum is of
    size: str = "3G"  # of the disk that it becomes
    image: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields of machines.Image

    def volume(self) -> Volume:
        """What becomes of it on a storage."""
        return Volume(parse_size(self.size), 0, image=Image(**self.image))


@dataclasses.dataclass
class Guest:
    """A virtual machine or a template."""

    vmid: int
    node: str
    config: dict[str, Any]
    image: Image = dataclasses.field(default_factory=Image)
    pending: dict[str, Any] = dataclasses.field(default_factory=dict)
    pending_delete: set[str] = dataclasses.field(default_factory=set)
    drive: dict[str, str] | None = None  # the files on the cloud-init drive, as last written
    written: dict[str, str] | None = None  # and the settings that they were written from
    started: float | None = None  # since the epoch; None = off
    disk: str = ""  # changes with every new boot disk
    origin: int | None = None  # what it was cloned from

    @property
    def name(self) -> str:
        """Its name; one is made up where there is none."""
        return str(self.config.get("name", f"VM {self.vmid}"))

    @property
    def template(self) -> bool:
        """Whether it is one."""
        return bool(self.config.get("template"))

    @property
    def memory(self) -> int:
        """MiB."""
        return int(str(self.config.get("memory", 512)).removeprefix("current="))

    @property
    def cpus(self) -> int:
        """Virtual processors."""
        return int(self.config.get("sockets", 1)) * int(self.config.get("cores", 1))

    @property
    def agent(self) -> bool:
        """Whether the configuration has a channel for the agent."""
        parts = [part.removeprefix("enabled=") for part in str(self.config.get("agent", "0")).split(",")]
        return any(parse_boolean(part) for part in parts if "=" not in part)

    @property
    def drives(self) -> dict[str, Drive]:
        """Its drives by name."""
        return {key: Drive.parse(str(value)) for key, value in self.config.items() if DRIVE.fullmatch(key)}

    @property
    def cards(self) -> dict[str, Card]:
        """Its network cards by name."""
        return {key: Card.parse(str(self.config[key])) for key in sorted(self.config) if key.startswith("net")}

    @property
    def boot_drive(self) -> str:
        """The first drive in the boot order that is a disk; empty for none."""
        order = str(self.config.get("boot", "")).removeprefix("order=").split(";")
        named = [*order, str(self.config.get("bootdisk", ""))]
        drives = self.drives
        return next((key for key in named if key in drives and not drives[key].is_cdrom), "")

    def digest(self) -> str:
        """SHA-1 of the configuration file."""
        text = json.dumps([self.config, self.pending, sorted(self.pending_delete)], sort_keys=True)
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def check_lock(self) -> None:
        """Raises Refused while another job has locked it."""
        if self.config.get("lock"):
            raise die(f"VM is locked ({self.config['lock']})")


@dataclasses.dataclass
class Task:
    """A worker process."""

    upid: str
    node: str
    type: str
    id: str
    user: str
    pid: int
    pstart: int
    starttime: int
    log: list[str] = dataclasses.field(default_factory=list)
    endtime: int | None = None
    exitstatus: str | None = None
    worker: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.endtime is None

    def end(self, exitstatus: str) -> None:
        """Write down how it ended."""
        self.endtime = int(time.time())
        self.exitstatus = exitstatus
        self.log.append("TASK OK" if exitstatus == "OK" else f"TASK ERROR: {exitstatus}")


class Cluster:
    """Everything there is. Used in one event loop only."""

    def __init__(self, settings: Settings, machines: Machines) -> None:
        self.settings = settings
        self.machines = machines
        self.access = Access(settings.major)
        self.faults = Faults()
        self.nodes: dict[str, Node] = {}
        self.storages: dict[str, Storage] = {}
        self.volumes: dict[str, Volume] = {}
        self.guests: dict[int, Guest] = {}
        self.remotes: dict[str, Remote] = {}  # by URL, or by path
        self.pools: dict[str, str] = {}  # name -> comment; members are in access.pools
        self.ha: dict[int, dict[str, str]] = {}  # VMID -> {state, group}
        self.tasks: dict[str, Task] = {}
        self.tickets: dict[str, str] = {}  # ticket -> user
        self.commands: dict[tuple[int, int], tuple[int, str, str]] = {}  # run by the agent: (VMID, number) -> result
        self.stats: dict[int, dict[str, Any]] = {}  # of guests, as last broadcast
        self.stats_at = float("-inf")  # when; by the monotonic clock
        self.complaints: list[str] = []  # what the double itself did wrong; a test run fails for it
        self.changes = 0
        self.on_nodes: Callable[[], Awaitable[None]] = _nothing  # to be called after nodes came or went
        self._locks: dict[int, asyncio.Lock] = {}
        self._pids = itertools.count(4711, 3)
        self._disks = itertools.count(1)

    def changed(self) -> None:
        """Something is not as it was."""
        self.changes += 1

    def define(self, body: Mapping[str, Any]) -> None:
        """Add or change ``{nodes?, storages?, vms?, pools?, ha?, urls?}``, see README.md. Raises ValueError."""
        unknown = set(body) - {"nodes", "storages", "vms", "pools", "ha", "urls"}
        if unknown:
            raise ValueError(f"{min(unknown)} = ...: unknown. Use: nodes, storages, vms, pools, ha, urls.")
        try:
            for name, fields in body.get("nodes", {}).items():
                node = self.nodes.get(name) or Node(name)
                self.nodes[name] = dataclasses.replace(node, **fields)
            for name, fields in body.get("storages", {}).items():
                self.storages[name] = dataclasses.replace(self.storages.get(name) or Storage(name), **fields)
            for vmid, fields in body.get("vms", {}).items():
                self._define_guest(int(vmid), **fields)
            for name, fields in body.get("pools", {}).items():
                self.pools[name] = fields.get("comment", "")
                members = self.access.pools.setdefault(name, set())
                members.update(f"/vms/{vmid}" for vmid in fields.get("vms", []))
                members.update(f"/storage/{storage}" for storage in fields.get("storages", []))
            for vmid, fields in body.get("ha", {}).items():
                self.ha[int(vmid)] = {"state": "started", **fields}
            for url, fields in body.get("urls", {}).items():
                self.remotes[url] = Remote(**fields)
                self.remotes[url].volume()
        except TypeError as error:
            raise ValueError(f"{error}.") from None
        self.changed()

    def _define_guest(
        self, vmid: int, node: str = "", config: Mapping[str, Any] | None = None, image: Mapping[str, Any] | None = None
    ) -> None:
        known = self.guests.get(vmid)
        if known is None:
            known = self.guests[vmid] = Guest(vmid, node or self.first.name, {})
            known.disk = self.new_disk()
        if node:
            known.node = node
        if known.node not in self.nodes:
            raise ValueError(f"vms.{vmid}.node = {known.node!r}: no such node. Use: {', '.join(self.nodes)}.")
        for key, value in (config or {}).items():
            if value is None:
                known.config.pop(key, None)
            else:
                known.config[key] = value
        known.image = dataclasses.replace(known.image, **(image or {}))
        for drive in known.drives.values():
            if drive.storage and drive.storage not in self.storages:
                raise ValueError(f"vms.{vmid}: storage '{drive.storage}' does not exist.")
            if drive.storage and (not drive.is_cdrom or drive.is_cloudinit):
                self.volumes.setdefault(drive.volume, Volume(drive.size or parse_size("4M"), vmid))

    def new_disk(self) -> str:
        """The identity of a disk that did not exist."""
        return f"disk-{next(self._disks)}"

    @property
    def first(self) -> Node:
        """The node that clients begin with. Raises ValueError in a cluster without any."""
        if not self.nodes:
            raise ValueError("nodes = {}: a cluster has at least one. Name it in Options.cluster.")
        return next(iter(self.nodes.values()))

    def node(self, name: str) -> Node:
        """A member by name. Raises Refused: an unknown name is looked up in DNS in vain."""
        if name not in self.nodes:
            raise die(
                f"hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
            )
        return self.nodes[name]

    def guest(self, vmid: int, node: str) -> Guest:
        """A guest on a node. Raises Refused."""
        guest = self.guests.get(vmid)
        if guest is None or guest.node != node:
            raise die(f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
        return guest

    def storage(self, name: str, node: str) -> Storage:
        """A storage that a node has. Raises Refused."""
        if name not in self.storages:
            raise die(f"storage '{name}' does not exist")
        storage = self.storages[name]
        if storage.nodes and node not in storage.nodes:
            raise die(f"storage '{name}' is not available on node '{node}'")
        return storage

    def check_quorum(self) -> None:
        """Raises Refused without quorum."""
        if not self.settings.quorate:
            raise die("cluster not ready - no quorum?")

    def check_writable(self, guest: Guest) -> None:
        """Raises Refused where the configuration file cannot be written: without quorum all are read-only."""
        if not self.settings.quorate:
            name = f"/etc/pve/nodes/{guest.node}/qemu-server/{guest.vmid}.conf.tmp.{next(self._pids)}"
            raise die(f"unable to open file '{name}' - Permission denied")

    def pool_of(self, vmid: int) -> str:
        """The pool it is in; empty for none."""
        return next((pool for pool, members in self.access.pools.items() if f"/vms/{vmid}" in members), "")

    def remove(self, vmid: int) -> None:
        """A VM is gone, with its volumes, its membership in a pool, its access rules, and what HA was told of it."""
        self.forget(vmid)
        self.ha.pop(vmid, None)
        self.access.acl = [one for one in self.access.acl if one.path != f"/vms/{vmid}"]

    def forget(self, vmid: int) -> None:
        """One that was begun to be made is gone; what was told of its number before that stays."""
        self.guests.pop(vmid, None)
        for volid in [volid for volid, volume in self.volumes.items() if volume.vmid == vmid]:
            del self.volumes[volid]
        for members in self.access.pools.values():
            members.discard(f"/vms/{vmid}")

    def free_disk_name(self, vmid: int, storage: Storage) -> str:
        """The next `vm-250-disk-N` that is not taken."""
        for number in itertools.count():
            name = f"vm-{vmid}-disk-{number}"
            if not any(volume.startswith(f"{storage.name}:") and name in volume for volume in self.volumes):
                return name
        raise AssertionError  # numbers do not end

    def running(self, guest: Guest) -> bool:
        """Whether it is on. One that has powered itself off is noticed here."""
        if guest.started is not None and not self.machines.running(guest.vmid):
            guest.started = None
            self.changed()
        return guest.started is not None

    @contextlib.asynccontextmanager
    async def locked(self, vmid: int) -> AsyncIterator[None]:
        """One change at a time. Raises Refused when another one takes too long."""
        lock = self._locks.setdefault(vmid, asyncio.Lock())
        try:
            await asyncio.wait_for(lock.acquire(), LOCK_TIMEOUT)
        except (TimeoutError, asyncio.TimeoutError):
            raise die(f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout") from None
        try:
            yield
        finally:
            lock.release()

    def fork(
        self,
        kind: str,
        of: int | str,
        node: str,
        user: str,
        work: Callable[[Task], Awaitable[None]],
        seconds: float | None = None,
        undo: Callable[[], None] = lambda: None,
    ) -> str:
        """Begin a task of a guest, or of a file; its UPID. ``work`` raises Refused where the task fails; ``undo`` is
        called when it has."""
        pid, now = next(self._pids), int(time.time())
        pstart = 100_000 + pid
        upid = f"UPID:{node}:{pid:08X}:{pstart:08X}:{now:08X}:{kind}:{of}:{user}:"
        task = Task(upid, node, kind, str(of), user, pid, pstart, now)
        self.tasks[upid] = task
        takes = self.settings.task_seconds if seconds is None else seconds
        task.worker = asyncio.create_task(self._run(task, of, work, takes, undo))
        self.changed()
        return upid

    async def _run(
        self,
        task: Task,
        of: int | str,
        work: Callable[[Task], Awaitable[None]],
        seconds: float,
        undo: Callable[[], None],
    ) -> None:
        fault = self.faults.on_task(task.type, of)
        try:
            if fault and fault.effect == "task_fails":
                task.log.append("ordered by a test")
            if fault and fault.effect == "task_takes":
                seconds += fault.value
            await asyncio.sleep(seconds)
            if fault and fault.effect == "task_hangs":
                while fault in self.faults.all:
                    await asyncio.sleep(0.05)
            if fault and fault.effect == "task_fails":
                raise die(fault.value)
            await work(task)
            task.end("OK")
        except Refused as refused:
            undo()
            task.end(refused.message)
        except asyncio.CancelledError:
            undo()
            task.end("interrupted by signal")
        except Exception as error:
            self.complaints.append(f"{task.type} {task.id}: {error!r}")
            task.end("the double itself failed")
        finally:
            self.changed()

    def ended(self, vmid: int, result: tuple[int, str, str]) -> int:
        """Keep what a command in a guest gave; the number to ask for it by."""
        number = next(self._pids)
        self.commands[vmid, number] = result
        return number

    def stop_task(self, task: Task) -> None:
        """End a task by force."""
        if task.worker is not None:
            task.worker.cancel()
