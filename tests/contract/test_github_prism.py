# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module, and the daemon's calls, against an independent mock of GitHub's own description (Stoplight Prism).

So that code and double cannot share one misunderstanding: what is asked fits the description, and what the description
gives as an example of an answer is understood.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.auth import TokenAuth
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import GitHubError
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from tests.contract import description, prism, uses
from tests.contract.prism import Tap
from tests.contract.uses import CALLS, OPERATIONS, USES, Call, Use
from tests.repository import sources
from tests.unit.modules import conftest as modules

worker = modules.worker  # a fixture: it runs modules


@pytest.fixture(scope="session")
def program() -> Path:
    """Prism."""
    try:
        return prism.install()
    except prism.MissingPrism as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def running(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tap]:
    """Prism with the operations that are used, and the tap before it."""
    document = prism.operations_only(json.loads(description.fetch().read_text("utf-8")), OPERATIONS)
    with prism.serving(program, document, tmp_path_factory.mktemp("prism")) as url, Tap(url) as tap:
        yield tap


@pytest.fixture
def tap(running: Tap) -> Tap:
    running.clear()
    return running


@pytest.fixture(scope="session")
def key() -> str:
    """The private key of an App. Prism asks for none."""
    pem = generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return pem.decode()


@pytest.fixture
def client(tap: Tap) -> Client:
    return Client(tap.url, TokenAuth("ghp_any"), retries=0)


@pytest.mark.parametrize("use", USES, ids=str)
def test_a_module_asks_and_understands(
    worker: Callable[..., str],
    tap: Tap,
    key: str,
    tmp_path: Path,
    use: Use,
) -> None:
    options = {"scope": "my-org", "token": "ghp_any", "api_url": tap.url, "retries": 0, **use.options}
    if "app_id" in options:
        options["private_key"] = key
    arguments: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for own in ("remote_tmp", "tmpdir"):
        arguments[f"_ansible_{own}"] = str(tmp_path)
    arguments["_ansible_check_mode"] = use.check
    if use.refused:
        tap.prefer = dict([use.refused])
    order = {"module": use.module, "arguments": arguments, "missing": [], "added": {}, "environ": {}}
    said = worker(order)
    found = json.loads(said)
    assert not tap.refusals
    assert {uses.operation(asked) or asked for asked, _status in tap.asked} == {*use.asks}
    if use.refused:
        assert found["error"]["status"] == use.refused[1]
    else:
        assert "failed" not in found, found["msg"]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_library_asks_and_understands(tap: Tap, client: Client, call: Call) -> None:
    found = call.do(Runners(client, Scope.parse(call.scope, tap.url)))
    assert found is not None
    assert not tap.refusals
    assert {uses.operation(asked) or asked for asked, _status in tap.asked} == {*call.asks}


def test_every_module_is_tried() -> None:
    groups = yaml.safe_load(sources.text("meta/runtime.yml"))["action_groups"]
    assert {use.module for use in USES} == {*groups["github"]}


RUNNERS = "/orgs/my-org/actions/runners"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", f"{RUNNERS}/generate-jitconfig", {"json": {"name": "new", "labels": ["x"]}}, 422),
        ("POST", f"{RUNNERS}/generate-jitconfig", {"json": {"name": "n", "runner_group_id": 1, "labels": []}}, 422),
        ("POST", "/orgs/my-org/actions/runner-groups", {"json": {"name": "new", "visibility": "public"}}, 422),
        ("GET", RUNNERS, {"params": {"per_page": "many"}}, 422),
        ("GET", "/orgs/my-org/actions/nothing", {}, 404),
        ("PUT", RUNNERS, {"json": {}}, 405),
    ],
)
def test_it_refuses_what_does_not_fit(
    tap: Tap, client: Client, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    with pytest.raises(GitHubError) as caught:
        client.request(method, path, action="try", **options)
    assert caught.value.status == status
    assert len(tap.refusals) == 1


def test_an_operation_that_is_not_githubs_is_noticed() -> None:
    document = json.loads(description.fetch().read_text("utf-8"))
    with pytest.raises(AssertionError, match="not an operation of GitHub's"):
        prism.operations_only(document, ["PUT /orgs/{org}/actions/runners"])


def test_it_ends(program: Path, tmp_path: Path) -> None:
    document = prism.operations_only(json.loads(description.fetch().read_text("utf-8")), ["GET /rate_limit"])
    with prism.serving(program, document, tmp_path) as url:
        port = int(urlsplit(url).port or 0)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_without_npm_and_cache_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(prism.MissingPrism, match="apt-get install npm"):
        prism.install(tmp_path)
