# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts the parts together and serves them: as a program (``__main__``) or inside a test (``running``)."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import ssl
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

from aiohttp import web

from . import admin, schema
from .cli import Admin
from .machines import Machines, MachinesInMemory
from .settings import Settings
from .state import Cluster
from .wire import PREFIX, Front, Journal

#: One node with a template, as `README.md` tells. What is given in Options.cluster is added to it or changes it.
TEMPLATE = {
    "name": "debian-13-cloud",
    "template": 1,
    "ostype": "l26",
    "cores": 1,
    "memory": "1024",
    "cpu": "x86-64-v2-AES",
    "scsihw": "virtio-scsi-single",
    "scsi0": "local-lvm:base-9999-disk-0,discard=on,size=2252M",
    "ide2": "local-lvm:vm-9999-cloudinit,media=cdrom,size=4M",
    "boot": "order=scsi0",
    "net0": "virtio=BC:24:11:00:99:99,bridge=vmbr0",
    "agent": "enabled=1",
    "serial0": "socket",
    "vga": "serial0",
    "smbios1": "uuid=6c1ba1a5-9999-4c5a-9d3c-2f0e6f1f9999",
    "vmgenid": "8c1ba1a5-9999-4c5a-9d3c-2f0e6f1f9999",
    "tags": "template",
}
CLUSTER: dict[str, Any] = {
    "nodes": {"pve": {}},
    "storages": {"local-lvm": {}, "local": {"type": "dir", "content": "iso,vztmpl,backup,import,snippets"}},
    "vms": {"9999": {"config": TEMPLATE}},
}


@dataclasses.dataclass(frozen=True)
class Options:
    """How to serve. Ports: 0 = any that is free."""

    port: int = 0  # of every node's API, on the address of the node
    admin_host: str = "127.0.0.1"
    admin_port: int = 0
    cert: Path | None = None  # with key: the API speaks TLS; clients of Proxmox VE speak nothing else
    key: Path | None = None
    bare: bool = False  # without the node and the template that are there otherwise
    cluster: dict[str, Any] = dataclasses.field(default_factory=dict)  # see state.Cluster.define
    access: dict[str, Any] = dataclasses.field(default_factory=dict)  # see access.Access.replace
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # see settings.Settings
    machines: Machines | None = None  # None: in memory


@dataclasses.dataclass(frozen=True)
class Double:
    """A running double: where it is, and its admin client."""

    host: str  # of the first node
    port: int
    ports: dict[str, int]  # of every node
    admin_url: str
    admin: Admin
    machines: Machines


class DoubleFailed(AssertionError):
    """The double has done what Proxmox VE's description does not allow, or was asked for what it does not serve."""


class _Listeners:
    """The nodes' API ports. A node that is down does not listen."""

    def __init__(self, cluster: Cluster, journal: Journal, options: Options) -> None:
        self.cluster = cluster
        self.journal = journal
        self.options = options
        self.ports: dict[str, int] = {}
        self._runners: dict[str, web.AppRunner] = {}
        self._context: ssl.SSLContext | None = None
        if options.cert is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(options.cert, options.key)

    async def adjust(self) -> None:
        """Listen for all nodes that are up, and for no other."""
        for name, node in self.cluster.nodes.items():
            if node.online and name not in self._runners:
                await self._open(name, node.address)
            elif not node.online and name in self._runners:
                await self._runners.pop(name).cleanup()

    async def _open(self, name: str, address: str) -> None:
        front = Front(self.cluster, schema.load(), self.journal, name)
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", PREFIX + "/{path:.*}", front.handle)
        runner = web.AppRunner(app, handler_cancellation=False, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        port = self.ports.get(name, self.options.port)
        await web.TCPSite(runner, address, port, ssl_context=self._context).start()
        self.ports[name] = runner.addresses[0][1]
        self._runners[name] = runner

    async def close(self) -> None:
        """Listen no more."""
        for runner in self._runners.values():
            await runner.cleanup()


@contextlib.asynccontextmanager
async def serving(options: Options) -> AsyncIterator[Double]:
    """Serve until the block ends.

    Raises:
        ValueError: options that make no sense.
        OSError: a port is in use.
        wheels.MissingWheel: the API's description is not here and cannot be fetched.
        DoubleFailed: at the end, if anything was not as the description has it.
    """
    settings = Settings()
    settings.update(options.settings)
    machines = options.machines or MachinesInMemory(settings.shutdown_seconds)
    cluster = Cluster(settings, machines)
    if not options.bare:
        cluster.define(copy.deepcopy(CLUSTER))
    cluster.define(options.cluster)
    cluster.access.replace(options.access)
    journal = Journal()
    async with contextlib.AsyncExitStack() as stack:
        listeners = _Listeners(cluster, journal, options)
        stack.push_async_callback(listeners.close)
        await listeners.adjust()
        back = web.Application(middlewares=[admin.errors], client_max_size=16 * 2**20)
        back[admin.CLUSTER], back[admin.JOURNAL] = cluster, journal
        cluster.on_nodes = listeners.adjust
        back.add_routes(admin.routes())
        runner = web.AppRunner(back, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, options.admin_host, options.admin_port).start()
        url = f"http://{options.admin_host}:{runner.addresses[0][1]}"
        first = cluster.first
        try:
            yield Double(first.address, listeners.ports[first.name], listeners.ports, url, Admin(url), machines)
        finally:
            await _end(cluster)
    if cluster.complaints:
        raise DoubleFailed("\n".join(dict.fromkeys(cluster.complaints)))


async def _end(cluster: Cluster) -> None:
    """Stop what still runs."""
    workers = [task.worker for task in cluster.tasks.values() if task.running and task.worker is not None]
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for guest in cluster.guests.values():
        if cluster.running(guest):
            await asyncio.to_thread(cluster.machines.stop, guest.vmid)
        await asyncio.to_thread(cluster.machines.destroy, guest.vmid)


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Double]:
    """Serve in a thread until the block ends; for tests.

    Takes the fields of Options. Raises what ``serving`` raises.
    """
    ready: futures.Future[tuple[Double, asyncio.AbstractEventLoop, asyncio.Event]] = futures.Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with serving(Options(**options)) as double:
            ready.set_result((double, asyncio.get_running_loop(), stop))
            await stop.wait()

    with futures.ThreadPoolExecutor(1, "Proxmox VE double") as pool:
        done = pool.submit(lambda: asyncio.run(serve()))
        started: list[futures.Future[Any]] = [ready, done]
        futures.wait(started, return_when=futures.FIRST_COMPLETED)
        if done.done():
            done.result()  # raises: it could not start
        double, loop, stop = ready.result()
        try:
            yield double
        finally:
            loop.call_soon_threadsafe(stop.set)
            done.result()
