# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts the parts together and serves them: as a program (``__main__``) or inside a test (``running``)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

from aiohttp import web

from . import admin, api, call, hooks, runnerlink, wire
from .access import Credential, Limiter
from .apps import Apps
from .cli import Admin
from .jit import KEYS
from .settings import Clock, Settings
from .state import GitHub

TICK = 0.25  # seconds between two looks at what time alone changes


@dataclasses.dataclass(frozen=True)
class Options:
    """How to serve. Ports: 0 = any that is free."""

    host: str = "127.0.0.1"
    port: int = 0
    admin_host: str = "127.0.0.1"
    admin_port: int = 0
    cert: Path | None = None  # with key: the API speaks TLS
    key: Path | None = None
    public_url: str = ""  # how runners reach the API; empty = as whoever asks for the JIT configuration does
    credentials: dict[str, Any] = dataclasses.field(default_factory=dict)  # see access.parse_credentials
    apps: dict[str, Any] = dataclasses.field(default_factory=dict)  # see apps.Apps.replace
    scopes: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # see state.GitHub.add_scope
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # see settings.Settings


@dataclasses.dataclass(frozen=True)
class Double:
    """A running double: where it is, and its admin client."""

    api_url: str
    admin_url: str
    admin: Admin


@contextlib.asynccontextmanager
async def serving(options: Options) -> AsyncIterator[Double]:
    """Serve until the block ends. Raises ValueError for options that make no sense, OSError for a port in use."""
    settings = Settings()
    settings.update(options.settings)
    github = GitHub(Clock(), settings)
    for name, fields in options.scopes.items():
        github.add_scope(name, **fields)
    credentials: dict[str, Credential] = {}
    admin.set_credentials(github, credentials, options.credentials)
    apps, webhooks = Apps(github), hooks.Hooks(github)
    apps.replace(options.apps)
    webhooks.settle()
    work, changes, journal = runnerlink.Bell(), runnerlink.Bell(), wire.Journal()
    github.on_work, github.on_change = work.ring, changes.ring

    front = web.Application(middlewares=[wire.record, wire.strike, wire.errors], client_max_size=16 * 2**20)
    front.on_response_prepare.append(wire.headers)
    back = web.Application(middlewares=[admin.errors], client_max_size=16 * 2**20)
    for app in (front, back):
        app[wire.GITHUB], app[wire.JOURNAL], app[api.CREDENTIALS], app[call.APPS] = github, journal, credentials, apps
        app[hooks.HOOKS] = webhooks
    front[api.LIMITER], front[api.PUBLIC_URL] = Limiter(settings), options.public_url.rstrip("/")
    front[runnerlink.WORK], back[admin.CHANGES] = work, changes
    front.add_routes([*runnerlink.routes(), *api.routes()])
    back.add_routes(admin.routes())

    tls = None
    if options.cert is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.cert, options.key)
    async with contextlib.AsyncExitStack() as stack:
        KEYS.start()
        urls = []
        for app, host, port, context in (
            (front, options.host, options.port, tls),
            (back, options.admin_host, options.admin_port, None),
        ):
            # With handler_cancellation a client that hangs up ends its message call, and so its session, at once.
            # shutdown_timeout: open message calls are not waited for (0 would mean: for ever).
            runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.01)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, port, ssl_context=context).start()
            urls.append(f"{'https' if context else 'http'}://{host}:{runner.addresses[0][1]}")
        tick = asyncio.create_task(_tick(github))
        stack.callback(tick.cancel)
        yield Double(urls[0], urls[1], Admin(urls[1]))


async def _tick(github: GitHub) -> None:
    while True:
        github.sweep()
        await asyncio.sleep(TICK)


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

    with futures.ThreadPoolExecutor(1, "GitHub double") as pool:
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
