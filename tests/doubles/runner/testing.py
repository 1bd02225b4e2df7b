# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand-in's contract tests need: the least service it can talk to, and a way to run it without a container.

The service is strict about signatures, but knows few of GitHub's rules: those are the double's.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import os
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

#: Seconds after which a test gives up. No test's verdict hangs on it: what is waited for comes, or the test fails.
LIMIT = 60

#: A time as the runner prints it.
UTC = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


@dataclass
class Registration:
    """A runner the service knows."""

    name: str
    client_id: str
    key: rsa.RSAPrivateKey
    files: dict[str, bytes]
    ephemeral: bool = True
    tokens: set[str] = field(default_factory=set)
    session: str | None = None

    @property
    def blob(self) -> str:
        """The JIT configuration."""
        files = {name: base64.b64encode(content).decode() for name, content in self.files.items()}
        return base64.b64encode(json.dumps(files).encode()).decode()


@dataclass
class Job:
    """A job and what became of it."""

    id: str
    script: str
    env: dict[str, str]
    name: str = "build"
    repository: str = "acme/app"
    log: str = ""
    acknowledged: bool = False
    renewals: int = 0
    cancel: bool = False
    lost: bool = False
    result: str | None = None

    @property
    def lines(self) -> list[str]:
        """The log's lines."""
        return self.log.splitlines()


@dataclass
class Service:
    """The ``/_runner`` calls of tests/doubles/README.md for one test, on a loopback port, in a thread of its own."""

    tls: ssl.SSLContext | None = None
    registrations: dict[str, Registration] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    #: Call (``POST /session``) → statuses to answer instead, one after another.
    failures: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stopping = False
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._port = self._run(self._start)

    # For tests

    @property
    def url(self) -> str:
        """The base URL: ``ServerUrlV2``."""
        return f"{'https' if self.tls else 'http'}://localhost:{self._port}/_runner"

    def register(self, name: str = "runner-1", **settings: Any) -> Registration:
        """Make a runner; more fields of ``.runner`` by keyword."""
        key = private_key(len(self.registrations))
        client_id = secrets.token_hex(16)
        runner = {
            "AgentId": 7,
            "AgentName": name,
            "PoolId": 1,
            "PoolName": "Default",
            "DisableUpdate": False,
            "Ephemeral": True,
            "ServerUrl": self.url,
            "GitHubUrl": "",
            "WorkFolder": "_work",
            "UseV2Flow": True,
            "ServerUrlV2": self.url,
            **settings,
        }
        credentials = {
            "scheme": "OAuth",
            "data": {
                "clientId": client_id,
                "authorizationUrl": f"{self.url}/token",
                "requireFipsCryptography": "True",
            },
        }
        files = {
            ".runner": json.dumps(runner).encode(),
            ".credentials": json.dumps(credentials).encode(),
            ".credentials_rsaparams": json.dumps(rsa_parameters(key)).encode(),
        }
        registration = Registration(name, client_id, key, files, ephemeral=bool(runner["Ephemeral"]))
        self.registrations[client_id] = registration
        return registration

    def queue(self, script: str, **values: Any) -> Job:
        """Queue a job for whoever listens."""
        job = Job(id=f"job-{len(self.jobs)}", script=script, env=values.pop("env", {}), **values)
        self.jobs.append(job)
        body = {
            "id": job.id,
            "run_id": 42,
            "name": job.name,
            "repository": job.repository,
            "script": script,
            "env": job.env,
        }
        self.send("RunnerJobRequest", body)
        return job

    def send(self, kind: str, body: dict[str, Any]) -> None:
        """Have the next message call answered with this."""
        with self._changed:
            self.messages.append({"messageId": len(self.requests), "messageType": kind, "body": body})

    def delete(self, registration: Registration) -> None:
        """Deregister a runner."""
        with self._changed:
            del self.registrations[registration.client_id]

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until something the service knows is so."""
        with self._changed:
            assert self._changed.wait_for(condition, LIMIT), "what was waited for did not come"

    def stop(self) -> None:
        """Stop serving."""
        self._stopping = True
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(LIMIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # The server

    def _run(self, start: Callable[[], Any]) -> int:
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        port: int = asyncio.run_coroutine_threadsafe(start(), self._loop).result(LIMIT)
        return port

    async def _start(self) -> int:
        app = web.Application(middlewares=[self._watched])
        app.add_routes(
            [
                web.post("/_runner/token", self._token),
                web.post("/_runner/session", self._open),
                web.delete("/_runner/session", self._close),
                web.get("/_runner/message", self._message),
                web.post("/_runner/jobs/{id}/{action}", self._job),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "localhost", 0, ssl_context=self.tls)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    @web.middleware
    async def _watched(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Note the call, refuse it if the test wants so, tell the waiting test that something may have changed."""
        call = f"{request.method} {request.path.removeprefix('/_runner')}"
        self.requests.append(call)
        failures = self.failures.get(call, [])
        try:
            if failures:
                return web.Response(status=failures.pop(0), text="refused by the test")
            answer: web.StreamResponse = await handler(request)
            return answer
        finally:
            with self._changed:
                self._changed.notify_all()

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assertion = str(form["client_assertion"])
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False})["iss"]
            registration = self.registrations[issuer]
            claims = jwt.decode(
                assertion,
                registration.key.public_key(),
                algorithms=["RS256"],
                audience=f"{self.url}/token",
                options={"require": ["exp", "iss", "sub", "aud"]},
            )
            assert claims["sub"] == issuer
        except (jwt.InvalidTokenError, KeyError):
            return web.json_response({"error": "invalid_client"}, status=400)
        token = secrets.token_hex(16)
        registration.tokens.add(token)
        return web.json_response({"access_token": token, "expires_in": 3600})

    def _who(self, request: web.Request) -> Registration | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return next((known for known in self.registrations.values() if token in known.tokens), None)

    async def _open(self, request: web.Request) -> web.Response:
        registration = self._who(request)
        if registration is None:
            return web.Response(status=401)
        if registration.session:
            return web.Response(status=409, text="a session is alive")
        registration.session = secrets.token_hex(8)
        self.sessions.append(await request.json())
        return web.json_response({"sessionId": registration.session})

    async def _close(self, request: web.Request) -> web.Response:
        registration = self._who(request)
        if registration is None:
            return web.Response(status=401)
        registration.session = None
        return web.Response(status=204)

    async def _message(self, request: web.Request) -> web.Response:
        for _attempt in range(100):  # 10 s, as the double holds it
            if self._stopping or request.transport is None:
                break
            registration = self._who(request)
            if registration is None:
                return web.Response(status=401)
            if registration.session != request.query["sessionId"]:
                return web.Response(status=404)
            if self.messages:
                return web.json_response(self.messages.pop(0))
            await asyncio.sleep(0.1)
        return web.Response(status=202)

    async def _job(self, request: web.Request) -> web.Response:
        registration = self._who(request)
        if registration is None:
            return web.Response(status=401)
        job = next(job for job in self.jobs if job.id == request.match_info["id"])
        if job.lost:
            return web.Response(status=404)
        action = request.match_info["action"]
        if action == "acknowledge":
            job.acknowledged = True
            names = ("id", "name", "repository", "script", "env")
            return web.json_response({**{name: getattr(job, name) for name in names}, "run_id": 42})
        if action == "renew":
            job.renewals += 1
            return web.json_response({"cancel": job.cancel})
        if action == "log":
            job.log += await request.text()
        elif action == "complete":
            job.result = (await request.json())["result"]
            if registration.ephemeral:
                del self.registrations[registration.client_id]
        return web.Response(status=204)


@functools.cache
def private_key(number: int) -> rsa.RSAPrivateKey:
    """One of a few keys, made once: making them takes longer than most tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def rsa_parameters(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The fields of ``.credentials_rsaparams``."""
    private = key.private_numbers()
    numbers = {
        "exponent": private.public_numbers.e,
        "modulus": private.public_numbers.n,
        "d": private.d,
        "p": private.p,
        "q": private.q,
        "dp": private.dmp1,
        "dq": private.dmq1,
        "inverseQ": private.iqmp,
    }
    return {
        name: base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()
        for name, number in numbers.items()
    }


class Process:
    """A started program of the stand-in: its output, as it comes, and its end."""

    def __init__(self, command: list[str], environ: dict[str, str], cwd: Path, ignored: bool) -> None:
        def reset_signals() -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)

        self.process = subprocess.Popen(
            command,
            env=environ,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            preexec_fn=reset_signals,  # what the test run itself was started with must not decide
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    @property
    def output(self) -> str:
        """All that came so far."""
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, count: int = 1) -> None:
        """Wait until this many lines match."""

        def found() -> bool:
            return sum(bool(re.search(pattern, line)) for line in self.lines) >= count

        with self._changed:
            assert self._changed.wait_for(found, LIMIT), f"{pattern!r} did not come:\n{self.output}"

    def wait(self) -> int:
        """Wait for the end of the program and of its output. Returns the exit code, negative after a signal."""
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)


class Runner:
    """A runner's root in a folder of the test's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(Path(__file__).parent / "root", root)
        self.processes: list[Process] = []
        self._open: list[int] = []
        self._marker = f"STANDIN_TEST={root}"
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(root),
            "LANG": "C.UTF-8",
            "RUNNER_ALLOW_RUNASROOT": "1",
            "STANDIN_TIME_SCALE": "0.01",
            "STANDIN_TEST": str(root),
        }

    def install(self, registration: Registration) -> None:
        """Put the three files into the root, as an entrypoint does."""
        for name, content in registration.files.items():
            (self.root / name).write_bytes(content)

    @property
    def files(self) -> set[str]:
        """Which of the three files there are."""
        return {name for name in (".runner", ".credentials", ".credentials_rsaparams") if (self.root / name).exists()}

    def start(self, *arguments: str, program: str = "run.sh", ignored: bool = False, **environ: str) -> Process:
        """Start a program of the root, if wished with SIGINT ignored; more variables by keyword."""
        command = [str(self.root / program), *arguments]
        process = Process(command, {**self.environ, **environ}, self.root, ignored)
        self.processes.append(process)
        return process

    @property
    def workspace(self) -> Path:
        """Where a job of ``acme/app`` works."""
        return self.root / "_work" / "app" / "app"

    def go(self, fifo: str = "go") -> None:
        """Let a job go on that reads a line from this named pipe of its workspace."""
        # For reading too: opening waits for nobody, and a reader that comes later finds the line.
        descriptor = os.open(self.workspace / fifo, os.O_RDWR)
        self._open.append(descriptor)
        os.write(descriptor, b"\n")

    def running(self) -> dict[int, str]:
        """The processes of this runner that live: id → name."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._marker.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        found[int(folder.name)] = (folder / "comm").read_text().strip()
            except OSError:
                continue  # it has ended meanwhile
        return found

    def stop(self) -> None:
        """Kill what is left."""
        while running := self.running():
            for pid in running:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        while self._open:
            os.close(self._open.pop())
        for process in self.processes:
            process.wait()
            assert process.process.stdout is not None
            process.process.stdout.close()
