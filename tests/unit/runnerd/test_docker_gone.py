# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker goes away while a runner's output is followed: what was not heard was not "not said"."""

from __future__ import annotations

import gc
import json
import shutil
import socketserver
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from docker.transport.unixconn import UnixHTTPConnectionPool

from runnerd.containers import ComposeProvider
from runnerd.evidence import Listener
from runnerd.model import Output
from runnerd.settings import ComposeSettings
from tests.unit.runnerd.fakes import FakeClock

CONTAINER = "c" * 64


class Engine:
    """One container's output, over HTTP at a UNIX socket, in the frames of Docker's API; its server comes and goes."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.path = path
        self.clock = clock
        self.said: list[tuple[float, str]] = []
        self.asked: list[tuple[bool, bool]] = []  # each reading of the output: followed; only from some time on
        self.version, self.versions = "1.45", 0  # of the API, the only one that it speaks; how often it was asked for
        self.changes = ["create", "attach", "start", "exec_create: true", "die", "destroy"]
        self.tears_after: int | None = None  # lines, in a reading that is not followed
        self.going = threading.Event()
        self.rotates = threading.Event()  # streams that follow end here, in good order

    def say(self, at: float, line: str) -> None:
        self.said.append((at, line))

    def come(self) -> None:
        self.going.clear()
        self._server = _Server(str(self.path), _Answer)
        self._server.engine = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go(self) -> None:
        """As a killed daemon goes: every stream is torn in the middle of a frame."""
        self._server.shutdown()
        self.going.set()
        self._server.server_close()
        self.path.unlink()

    def frames(self) -> list[bytes]:
        stamps = [
            datetime.fromtimestamp(at + self.clock.offset, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            for at, _line in self.said
        ]
        texts = [f"{stamp} {line}\n".encode() for stamp, (_at, line) in zip(stamps, self.said, strict=True)]
        return [struct.pack(">BxxxL", 1, len(text)) + text for text in texts]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    engine: Engine


class _Answer(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/version" and not url.path.startswith(f"/v{self.server.engine.version}/"):
            self.send_error(400, "client version is not supported")
        elif url.path.endswith("/logs"):
            query = parse_qs(url.query)
            self._logs(query["follow"] == ["1"], "since" in query)
        elif url.path == "/version":
            self.server.engine.versions += 1
            self._json({"ApiVersion": self.server.engine.version})
        elif url.path.endswith("/events"):
            self._events(json.loads(parse_qs(url.query)["filters"][0])["event"])
        else:
            self._json({"Id": CONTAINER, "State": {"Running": True}, "Config": {"Tty": False}})

    def _json(self, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _logs(self, follow: bool, since: bool) -> None:
        engine = self.server.engine
        engine.asked.append((follow, since))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        torn = None if follow else engine.tears_after
        frames = engine.frames()
        for frame in frames[:torn]:
            self._chunk(frame)
        while follow and not engine.going.is_set() and not engine.rotates.is_set():
            time.sleep(0.005)
        if torn is None and not engine.going.is_set():
            self._chunk(b"")
            return
        self._chunk(frames[-1][:11])
        self.close_connection = True

    def _events(self, wanted: list[str]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for action in self.server.engine.changes:
            if action.partition(":")[0] in wanted:
                labels = {"ephemeral.github-runners.slot": "runner-1", "name": "github-runner-1"}
                self._chunk(json.dumps({"Action": action, "Actor": {"Attributes": labels}}).encode() + b"\n")
        self.server.engine.going.wait(10)
        self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def log_message(self, *dummy: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp())  # short enough for a socket's name
    engine = Engine(folder / "docker.sock", FakeClock())
    monkeypatch.setattr("docker.utils.utils.DEFAULT_UNIX_SOCKET", f"http+unix://{engine.path}")
    monkeypatch.setattr("runnerd.evidence.FIRST_RETRY", 0.02)
    monkeypatch.setattr("runnerd.evidence.LONGEST_RETRY", 0.02)
    engine.say(900, "Listening for Jobs")
    engine.come()
    yield engine
    if not engine.going.is_set():
        engine.go()
    shutil.rmtree(folder)


@pytest.fixture
def listener(engine: Engine, tmp_path: Path) -> Iterator[Listener]:
    provider = ComposeProvider(ComposeSettings(file=tmp_path / "docker-compose.yml"), engine.clock)
    listener = Listener(provider, lambda: None)
    yield listener
    listener.follow([])


def test_docker_is_asked_for_its_version_once_until_it_goes_away(engine: Engine, tmp_path: Path) -> None:
    """An upgrade may bring one that speaks no version that the last one spoke."""
    provider = ComposeProvider(ComposeSettings(file=tmp_path / "docker-compose.yml"), engine.clock)
    changes = provider.changes()
    for _news in ("start", "die", "destroy"):
        assert next(changes) == "runner-1"
    for _each in range(3):
        assert provider.runs(CONTAINER)
        list(provider.output(CONTAINER, follow=False))
    assert engine.versions == 1
    engine.go()
    assert list(changes) == [], "what Docker tells of all else would wake the loop for nothing"
    engine.version = "1.52"
    engine.come()
    assert provider.runs(CONTAINER) and provider.runs(CONTAINER)
    assert engine.versions == 2


def test_what_a_container_was_asked_for_leaves_nothing_behind(engine: Engine, tmp_path: Path) -> None:
    """Each has addresses of its own, and for each the SDK keeps a pool of connections."""

    def pools() -> int:
        gc.collect()
        return sum(isinstance(one, UnixHTTPConnectionPool) for one in gc.get_objects())

    provider = ComposeProvider(ComposeSettings(file=tmp_path / "docker-compose.yml"), engine.clock)
    before = pools()
    for number in range(30):
        assert provider.runs(f"{number:064}")
    assert pools() == before + 1


def becomes(listener: Listener, true: Callable[[Output], object]) -> Output:
    end = time.monotonic() + 20
    while not true(listener.output(CONTAINER)):
        assert time.monotonic() < end, listener.output(CONTAINER)
        time.sleep(0.005)
    return listener.output(CONTAINER)


def test_what_was_said_while_docker_was_away_is_heard_later(engine: Engine, listener: Listener) -> None:
    listener.follow([CONTAINER])
    becomes(listener, lambda output: output.readable)
    becomes(listener, lambda output: (True, True) in engine.asked)

    engine.go()
    gone = becomes(listener, lambda output: not output.readable)
    time.sleep(0.1)  # some tries, all in vain
    assert not gone.ended
    assert not listener.output(CONTAINER).readable
    assert not listener.output(CONTAINER).ended

    engine.say(950, "Running job: build")
    engine.asked.clear()
    engine.come()
    back = becomes(listener, lambda output: output.readable)
    assert (back.listening_at, back.job, back.job_at, back.ended) == (900, "build", 950, False)
    assert engine.asked[0] == (False, False), "it was not read from the start again"


def test_half_of_what_was_said_is_nothing_to_go_by(engine: Engine, listener: Listener) -> None:
    engine.say(950, "Running job: build")
    engine.tears_after = 1
    listener.follow([CONTAINER])
    becomes(listener, lambda output: len(engine.asked) > 3)
    assert listener.output(CONTAINER) == Output(), "the job was not heard, and that counts"
    engine.tears_after = None
    whole = becomes(listener, lambda output: output.readable)
    assert (whole.listening_at, whole.job) == (900, "build")


def test_a_stream_that_ends_before_its_container_is_read_anew(
    engine: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runnerd.evidence.FIRST_RETRY", 0.5)
    monkeypatch.setattr("runnerd.evidence.LONGEST_RETRY", 0.5)
    listener.follow([CONTAINER])
    becomes(listener, lambda output: output.readable)
    becomes(listener, lambda output: (True, True) in engine.asked)
    engine.rotates.set()
    between = becomes(listener, lambda output: not output.readable)
    assert not between.ended
    engine.rotates.clear()
    engine.say(950, "Running job: build")
    whole = becomes(listener, lambda output: output.readable)
    assert (whole.listening_at, whole.job, whole.ended) == (900, "build", False)
