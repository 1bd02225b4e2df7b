# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A web server on loopback that answers as a test tells it, and a client of it whose clock and sleep are the test's."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.auth import TokenAuth
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client

TOKEN = "ghp_theTokenThatNobodyMaySee"
KEY = generate_private_key(public_exponent=65537, key_size=2048)  # of the tests' GitHub App
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
NOW = 1_800_000_000.0  # what the client's clock shows, epoch seconds


@dataclass(frozen=True)
class Request:
    """A request as the server saw it; `body` is its JSON, what is twice in the `query` is there with a comma."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any
    connection: tuple[str, int]


@dataclass
class Answer:
    """What to answer; `body` is sent as it is if it is text or bytes, else as JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Cut:
    """Close the connection instead of an answer, or after `beginning`, with a reset if `reset`."""

    beginning: bytes = b""
    reset: bool = False


@dataclass
class Silence:
    """Say nothing until the test is over."""


Told = Answer | Cut | Silence
Script = Told | Callable[[Request], Told]


class Server:
    """What the test holds: `script` is worked off, one entry a request; `requests` is what came in, if `arrived`."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.script: list[Script] = []
        self.requests: list[Request] = []
        self.arrived = threading.Event()
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        if context:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"{'https' if context else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def tell(self, *script: Script) -> None:
        """Answer the next requests so, in this order."""
        self.script += script

    @property
    def calls(self) -> list[str]:
        """Method and path of each request."""
        return [f"{each.method} {each.path}" for each in self.requests]

    def stop_listening(self) -> None:
        """Refuse connections from now on; those that are open live on."""
        self._http.shutdown()
        self._http.server_close()

    def stop(self) -> None:
        self.over.set()
        self.stop_listening()
        self._thread.join()

    def next(self, request: Request) -> Told:
        """What to answer to this request; a refusal if the script is over."""
        with self._lock:
            self.requests.append(request)
            self.arrived.set()
            entry = self.script.pop(0) if self.script else Answer(418, {"message": "the test expects no such request"})
        return entry(request) if callable(entry) else entry


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    """The handler of one request, for `server`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # the client has gone, as some tests want it to
                self.close_connection = True

        def serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            parts = urlsplit(self.path)
            told = server.next(
                Request(
                    self.command,
                    parts.path,
                    {key: ",".join(values) for key, values in parse_qs(parts.query).items()},
                    self.headers,
                    json.loads(raw) if raw else None,
                    self.client_address,
                )
            )
            if isinstance(told, Silence):
                server.over.wait()
            if isinstance(told, Answer):
                self.answer(told)
                return
            self.close_connection = True
            if isinstance(told, Cut):
                self.wfile.write(told.beginning)
                if told.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = serve

        def answer(self, told: Answer) -> None:
            body = told.body
            if not isinstance(body, bytes):
                body = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response_only(told.status)
            for name, value in {"Content-Length": str(len(body)), **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No proxy and no .netrc of the machine's."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Starts servers."""
    servers: list[Server] = []

    def start(context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(context))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    return start_server()


@dataclass
class Surroundings:
    """The client's clock, and how long it slept."""

    now: float = NOW
    slept: list[float] = field(default_factory=list)
    seen: list[tuple[str, str, int | None]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def on_request(self, method: str, path: str, status: int | None, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((method, path, status))


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


@pytest.fixture
def make_client(server: Server, around: Surroundings) -> Callable[..., Client]:
    """Makes clients of the server."""

    def make(api_url: str = server.url, **options: Any) -> Client:
        return Client(
            api_url,
            TokenAuth(TOKEN),
            **{"sleep": around.sleep, "now": lambda: around.now, "on_request": around.on_request, **options},
        )

    return make


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()
