# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The library without Ansible, and with what the oldest supported host has: Python 3.10 and the OLDEST libraries.

It is copied as the role copies it, and used in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import jwt
import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import client

from .conftest import KEY, PEM, TOKEN, Answer, Cut, Request, Server

LIBRARY = Path(client.__file__).parent
OLDEST = {"requests": "2.25.1", "PyJWT": "2.3.0", "cryptography": "3.4.8"}  # of Ubuntu 22.04

BLOCKER = """
import importlib, json, sys

sys.modules.update(dict.fromkeys(BLOCKED))  # Python's way to say that there is none
for name in BLOCKED:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " could be imported all the same")
library = "ansible_collections.ephemeral.github_runners.plugins.module_utils._github"
(
    access, answers, app, auth, client, connect, credential, errors, groups, hooks, key, removal, runners, scope,
    secret, versions,
) = (
    importlib.import_module(library + "." + name)
    for name in (
        "access", "answers", "app", "auth", "client", "connect", "credential", "errors", "groups", "hooks", "key",
        "removal", "runners", "scope", "secret", "versions",
    )
)
"""

USE = """
import cryptography, jwt, requests

api, token, pem = sys.argv[1:]
there = runners.Runners(
    client.Client(api, auth.TokenAuth(token), sleep=lambda seconds: None), scope.Scope.parse("my-org", api)
)
said = {"python": sys.version_info[:2], "ansible": bool(sys.modules.get("ansible"))}
libraries = {"requests": requests, "PyJWT": jwt, "cryptography": cryptography}
said["libraries"] = {name: library.__version__ for name, library in libraries.items()}
said["list"] = [runner.name for runner in there.list()]
try:
    there.generate_jit_config("x", ["y"], 1)
except errors.Unreachable as exc:
    said["cut"] = [exc.sent, token in str(exc)]
try:
    there.generate_jit_config("x", ["y"], 1)
except errors.ProtocolError as exc:
    said["short"] = exc.in_doubt
except errors.Unreachable as exc:
    said["short"] = exc.in_doubt
try:
    there.registration_token()
except errors.RateLimited as exc:
    said["limited"] = exc.retry_after
said["delete"] = there.delete(5)
form = {"app_id": 5, "private_key": pem.replace("\\n", "\\\\n"), "installation_id": 7}
as_app = connect.client_for(form, scope.Scope.parse("my-org", api))
said["as app"] = runners.Runners(as_app, scope.Scope.parse("my-org", api)).delete(6)
said["problems"] = len(credential.credential_problems({**form, "private_key": pem[:500]}))
print(json.dumps(said))
"""

WITHOUT_JWT = """
try:
    connect.auth_for({"app_id": 5, "private_key": sys.argv[1]}, scope.Scope.parse("my-org"))
except ImportError as exc:
    print(json.dumps([str(exc), repr(connect.auth_for({"token": "x"}, scope.Scope.parse("my-org")))]))
"""

WITHOUT_REQUESTS = """
assert client.HAS_REQUESTS is False
try:
    client.Client("https://api.github.com", auth.TokenAuth("x"))
except ImportError as exc:
    print(json.dumps(str(exc)))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH that has the library and nothing else of the collection."""
    package = tmp_path / "ansible_collections/ephemeral/github_runners/plugins/module_utils/_github"
    shutil.copytree(LIBRARY, package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture(scope="session")
def oldest(pytestconfig: pytest.Config) -> str:
    """A Python with the oldest libraries: 3.10 if there is one, else the one that runs this. Kept between runs."""
    python = next(filter(_works, [*Path.home().glob(".pyenv/versions/3.10*/bin/python"), "python3.10"]), sys.executable)
    version = _output(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    wanted = [f"{name}=={number}" for name, number in OLDEST.items()]
    folder = pytestconfig.cache.mkdir("-".join(["oldest", *wanted, f"python-{version}"]))
    if not (folder / "ready").exists():
        _output(python, "-m", "venv", "--clear", str(folder / "venv"))
        _output(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", *wanted)
        (folder / "ready").touch()
    return str(folder / "venv/bin/python")


def _works(python: Path | str) -> bool:
    found = shutil.which(python)
    # A shim of pyenv is there even if its Python is not.
    return bool(found) and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0


def _output(*command: Path | str, **environment: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _run(python: str, path: Path, blocked: list[str], program: str, *arguments: str) -> Any:
    whole = f"BLOCKED = {blocked!r}\n{BLOCKER}\n{program}"
    return json.loads(_output(python, "-c", whole, *arguments, PYTHONPATH=str(path)))


def _use(server: Server, python: str, path: Path) -> dict[str, Any]:
    def listed(*numbers: int) -> Answer:
        facts = {"os": "linux", "status": "online", "busy": False, "labels": []}
        return Answer(200, {"total_count": 3, "runners": [{"id": n, "name": f"r{n}", **facts} for n in numbers]})

    def judged(request: Request) -> Answer:
        text = request.headers["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(text, KEY.public_key(), algorithms=["RS256"], options={"verify_iat": False})
        assert abs(claims["iat"] - time.time() - 30 * 86400) < 100, "not by the server's clock"
        assert claims["iss"] == "5"
        return Answer(201, {"token": "ghs_x", "expires_at": "2099-01-01T00:00:00Z"})

    first = listed(1, 2)
    first.headers["Link"] = f'<{server.url}/orgs/my-org/actions/runners?page=2>; rel="next"'
    server.tell(
        first,
        Cut(),
        listed(3),
        Cut(),
        Cut(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n{"),
        Answer(429, {"message": "slow down"}, {"Retry-After": "30"}),
        Answer(500),
        Answer(422, {"message": "Runner r5 is still running a job"}),
        Answer(401, {"message": "what is the time?"}, {"Date": formatdate(time.time() + 30 * 86400, usegmt=True)}),
        judged,
        Answer(204),
    )
    said: dict[str, Any] = _run(python, path, ["ansible"], USE, server.url, TOKEN, PEM)
    assert server.requests[-1].headers["Authorization"] == "Bearer ghs_x"
    return said


EXPECTED = {
    "ansible": False,
    "list": ["r1", "r2", "r3"],
    "cut": [None, False],
    "short": True,
    "limited": 30.0,
    "delete": "busy",
    "as app": "gone",
    "problems": 1,
}


def test_without_ansible(server: Server, path: Path) -> None:
    said = _use(server, sys.executable, path)
    assert said.items() >= EXPECTED.items()
    assert said["python"] == list(sys.version_info[:2])


def test_on_the_oldest_host(server: Server, path: Path, oldest: str) -> None:
    said = _use(server, oldest, path)
    assert said.items() >= EXPECTED.items()
    assert said["libraries"] == OLDEST


def test_without_jwt(path: Path) -> None:
    """A token needs neither library; an App says which it needs."""
    said = _run(sys.executable, path, ["ansible", "jwt", "cryptography"], WITHOUT_JWT, PEM)
    assert said == [
        "a GitHub App needs the Python libraries PyJWT >= 2.3 and cryptography >= 3.4. "
        "Do: install python3-jwt and python3-cryptography",
        "TokenAuth(hidden)",
    ]


def test_without_requests(path: Path) -> None:
    """ansible-test imports every file without it; using it says what to install."""
    said = _run(sys.executable, path, ["ansible", "requests", "urllib3"], WITHOUT_REQUESTS)
    assert said == "GitHub's API needs the Python library requests >= 2.25.1. Do: install python3-requests"
