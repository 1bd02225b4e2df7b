# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A GitHub that nobody here wrote: Stoplight Prism serves GitHub's own description, and refuses what does not fit it.

It knows no credentials and keeps nothing: what it answers are the description's examples. The double is for all else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests.contract import description
from tests.contract.uses import operation

LOCKED = Path(__file__).with_name("npm")  # package.json and package-lock.json
CLI = "node_modules/@stoplight/prism-cli/dist/index.js"
INSTALL = 600  # seconds at most; it is 90 MB
START = 120  # seconds at most; a machine with other work needs its time
METHODS = {"get", "post", "put", "patch", "delete"}


class MissingPrism(Exception):
    """It is not here and cannot be fetched; the text says what to type."""


def install(cache: Path = description.CACHE) -> Path:
    """Prism's program, taken from the cache or fetched with npm, as locked. Raises MissingPrism."""
    lock = hashlib.sha256((LOCKED / "package-lock.json").read_bytes()).hexdigest()[:12]
    kept = cache / f"prism-{lock}"
    if not kept.is_dir():
        _download(cache, kept)
    return kept / CLI


def _download(cache: Path, kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise MissingPrism(
            f"Prism, which serves GitHub's API description, is not in {kept}, and npm, which fetches it, is not "
            "installed.\nInstall npm (on Debian or Ubuntu: apt-get install npm) and run again."
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        for file in LOCKED.glob("package*.json"):
            shutil.copy(file, folder)
        # No package's own script is run: one of them only counts who installs it.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL, check=False)
        if done.returncode != 0 or not (Path(folder) / CLI).exists():
            raise MissingPrism(f"`{' '.join(command)}` failed ({done.returncode}):\n{done.stdout}{done.stderr}")
        # At once; if another run did the same meanwhile, its folder is as good.
        with contextlib.suppress(OSError):
            os.rename(folder, kept)
            os.mkdir(folder)  # for the end of this block


def operations_only(document: dict[str, Any], operations: Iterable[str]) -> dict[str, Any]:
    """GitHub's description with these operations (`METHOD /path/{template}`) and nothing else."""
    wanted = {tuple(each.split(" ", 1)) for each in operations}
    subset = description.cut(document, sorted({path for _method, path in wanted}))
    missing = [f"{method} {path}" for method, path in wanted if method.lower() not in subset["paths"].get(path, {})]
    if missing:
        raise AssertionError(f"not an operation of GitHub's: {missing}")
    for path, item in subset["paths"].items():
        subset["paths"][path] = {
            key: each for key, each in item.items() if key not in METHODS or (key.upper(), path) in wanted
        }
    return subset


@contextlib.contextmanager
def serving(program: Path, document: dict[str, Any], folder: Path) -> Iterator[str]:
    """Serve a description until the block ends; the URL. Raises MissingPrism if it does not come up."""
    file, log = folder / "description.json", folder / "prism.log"
    file.write_text(json.dumps(document), "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["node", str(program), "mock", "--host", "127.0.0.1", "--port", str(port), "--errors", str(file)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            end = time.monotonic() + START
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > end:
                    raise MissingPrism(f"Prism does not come up:\n{log.read_text('utf-8', 'replace')[-2000:]}")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # there is nothing that it could lose


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Tap:
    """A place between client and Prism: it notes what is asked, and can have Prism answer with another status.

    Attributes:
        url: Where it is.
        asked: Each request as `METHOD /path`, with the status of its answer.
        refusals: What Prism itself said against a request or an answer.
        prefer: The status to answer an operation with; one that the description has.
    """

    def __init__(self, behind: str) -> None:
        self.asked: list[tuple[str, int]] = []
        self.refusals: list[str] = []
        self.prefer: dict[str, int] = {}
        self._behind = behind
        self._session = requests.Session()
        self._session.trust_env = False
        tap = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                tap._pass_on(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Tap:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._session.close()

    def clear(self) -> None:
        """Forget what was."""
        self.asked, self.refusals, self.prefer = [], [], {}

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        what = f"{handler.command} {handler.path.partition('?')[0]}"
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
        # GitHub's documentation wants this type, its description knows only what comes back, and Prism goes by that.
        if headers.get("Accept") == "application/vnd.github+json":
            headers["Accept"] = "application/json"
        if status := self.prefer.get(operation(what) or ""):
            headers["Prefer"] = f"code={status}"
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        answer = self._session.request(
            handler.command, self._behind + handler.path, data=body, headers=headers, timeout=60, allow_redirects=False
        )
        self.asked.append((what, answer.status_code))
        # https://docs.stoplight.io/docs/prism/: its own refusals are problems by RFC 7807, GitHub's errors are not.
        problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
        if problem or "sl-violations" in answer.headers:
            self.refusals.append(f"{what}: {answer.headers.get('sl-violations') or answer.text}")
        handler.send_response(answer.status_code)
        handler.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)
