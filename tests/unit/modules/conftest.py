# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GitHub double, and modules run as programs against it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import USER_AGENT
from tests.contract import uses
from tests.contract.client import Runner
from tests.doubles.github import jit
from tests.doubles.github.server import Double, running
from tests.gates import tree

TOKEN = "ghp_theTokenThatNobodyMaySee"
WEBHOOK = "https://runners.example.com/webhook"  # the organization's is the double's first, number 300001
SCOPES = {
    "my-org": {
        "groups": [{"name": "builders"}, {"name": "open", "allows_public_repositories": True}],
        "webhooks": [WEBHOOK],
    },
    "my-org/app": {"visibility": "private", "webhooks": [WEBHOOK]},
    "my-org/site": {"visibility": "public"},
    "enterprises/acme": {"organizations": ["my-org"]},
    "me": {"type": "User"},
    "me/home": {"visibility": "private"},
}
CREDENTIALS = {
    "owner": {"token": TOKEN, "scopes": dict.fromkeys(SCOPES, "write")},
    "reader": {"token": "github_pat_reader", "kind": "fine-grained", "scopes": {"my-org": "read"}},
    "stranger": {"token": "github_pat_stranger", "kind": "fine-grained", "scopes": {"my-org": "none"}},
    "old": {"token": "ghp_old", "scopes": {"my-org": "write"}, "expires_at": "2020-01-01T00:00:00Z"},
}
Result = dict[str, Any]
Run = Callable[..., Result]


def warnings_in(found: Result) -> list[str]:
    """A result's warnings, which newer cores write as mappings."""
    return [each if isinstance(each, str) else each["event"]["msg"] for each in found.get("warnings", [])]


@pytest.fixture
def double() -> Iterator[Double]:
    """GitHub. It is asked for nothing that is not in the list of what is tried against GitHub's own description."""
    with running(credentials=CREDENTIALS, scopes=SCOPES) as found:
        yield found
        entries = [each for each in found.admin.journal()["entries"] if each["agent"] == USER_AGENT]
        asked = {f"{each['method']} {each['path']}" for each in entries}
        assert not {each for each in asked if uses.operation(each) is None}, "not in tests/contract/uses.py"


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Runs modules; see worker.py."""
    outside = re.compile(r"(?i).*_proxy|GITHUB_.*|.*_CA_BUNDLE|NETRC")
    environ = {name: value for name, value in os.environ.items() if not outside.fullmatch(name)}
    output = tmp_path_factory.mktemp("modules") / "output"
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("worker.py"))],
        env={**environ, "PYTHONPATH": str(tree.ensure())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout

        def run(order: dict[str, Any]) -> str:
            output.unlink(missing_ok=True)
            assert process.stdin
            assert process.stdout
            print(json.dumps({**order, "output": str(output)}), file=process.stdin, flush=True)
            assert process.stdout.readline() == "done\n"
            return output.read_text("utf-8")

        yield run
        process.stdin.close()


@pytest.fixture
def run(worker: Callable[..., str], double: Double, tmp_path: Path) -> Run:
    """Runs a module against the double; no word of it may show the token.

    Arguments are the module's options; None takes one of the usual ones out.
    """

    def go(
        module: str,
        /,
        check: bool = False,
        environ: dict[str, str] | None = None,
        missing: tuple[str, ...] = (),
        added: dict[str, str] | None = None,
        **options: Any,
    ) -> Result:
        options = {"scope": "my-org", "token": TOKEN, "api_url": double.api_url, "retries": 0, **options}
        arguments = {name: value for name, value in options.items() if value is not None}
        for own in ("remote_tmp", "tmpdir"):
            arguments[f"_ansible_{own}"] = str(tmp_path)
        arguments |= {"_ansible_check_mode": check, "_ansible_verbosity": 5, "_ansible_diff": True}
        order = {"module": module, "arguments": arguments, "missing": missing, "added": added or {}}
        said = worker({**order, "environ": {"HOME": str(tmp_path), **(environ or {})}})
        assert TOKEN not in said
        try:
            found = json.loads(said)
        except ValueError:
            pytest.fail(said, pytrace=False)
        assert isinstance(found, dict)
        return found

    return go


@pytest.fixture
def enroll(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Registers runners; each is told by its JIT configuration."""
    key = jit.new_key()
    monkeypatch.setattr(jit.KeyPool, "take", lambda self: key)  # one for all: making a hundred takes a minute
    with requests.Session() as session:

        def go(name: str, *labels: str, scope: str = "orgs/my-org") -> str:
            answer = session.post(
                f"{double.api_url}/{scope}/actions/runners/generate-jitconfig",
                json={"name": name, "runner_group_id": 1, "labels": labels or ["self-hosted"]},
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=30,
            )
            assert answer.status_code == 201, answer.text
            return str(answer.json()["encoded_jit_config"])

        yield go


@pytest.fixture
def register(double: Double, enroll: Callable[..., str]) -> Iterator[Callable[..., Runner]]:
    """Registers runners, `online` if so told; they stay what they are until the test is over."""
    found: list[Runner] = []
    double.admin.settings(poll_grace=900)

    def go(name: str, *labels: str, online: bool = False, **options: str) -> Runner:
        found.append(Runner(enroll(name, *labels, **options)))
        return found[-1].connect() if online else found[-1]

    yield go
    for each in found:
        each.close()


@pytest.fixture
def calls(double: Double) -> Callable[[], list[str]]:
    """What GitHub was asked, as `METHOD path`, since the last call."""
    seen = 0

    def ask() -> list[str]:
        nonlocal seen
        journal = double.admin.journal(seen)
        seen = journal["last"]
        return [f"{entry['method']} {entry['path']}" for entry in journal["entries"]]

    return ask
