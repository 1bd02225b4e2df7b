# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook webhook against the GitHub double: community.general makes the webhook, with PyGithub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import yaml

from tests.doubles.github.server import Double
from tests.gates import tree

from .conftest import TOKEN

SECRET = "the-secret-that-GitHub-signs-with"
URL = "https://runners.example.com/webhook"
Play = Callable[..., tuple[int, str]]


@pytest.fixture
def play(double: Double, tmp_path: Path) -> Play:
    """Runs the playbook at its most talkative; its exit code and all it says, in which no secret may be."""

    def go(*words: str, **variables: str | None) -> tuple[int, str]:
        given = {"repository": "my-org/app", "url": URL, "secret": SECRET, "token": TOKEN, "user": "me"}
        given |= {"api_url": double.api_url, **variables}
        named = {f"webhook_{name}": value for name, value in given.items() if value is not None}
        (tmp_path / "webhook.yml").write_text(yaml.safe_dump(named))
        command = [sys.executable, "-m", "ansible", "playbook", "-vvvvv", "--diff", *words, "-e", "@webhook.yml"]
        environ = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(tree.ensure()),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            "HOME": str(tmp_path),
        }
        done = subprocess.run(
            [*command, "ephemeral.github_runners.webhook"],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert TOKEN not in done.stdout
        assert SECRET not in done.stdout
        return done.returncode, done.stdout

    return go


@pytest.fixture
def hooks(double: Double) -> Callable[[], list[dict[str, object]]]:
    """The webhooks of the repository, which has none to begin with."""
    where, headers = f"{double.api_url}/repos/my-org/app/hooks", {"Authorization": f"Bearer {TOKEN}"}

    def now() -> list[dict[str, object]]:
        return list(requests.get(where, headers=headers, timeout=30).json())

    for hook in now():
        requests.delete(f"{where}/{hook['id']}", headers=headers, timeout=30).raise_for_status()
    return now


def changed(said: str) -> int:
    (count,) = re.findall(r"localhost\s+: ok=\d+\s+changed=(\d+)", said)
    return int(count)


def test_its_life(play: Play, hooks: Callable[[], list[dict[str, object]]], double: Double) -> None:
    code, said = play("--check")
    assert (code, hooks()) == (0, []), said
    code, said = play()
    assert (code, changed(said)) == (0, 1), said
    (hook,) = hooks()
    assert hook["events"] == ["workflow_job"]
    assert hook["config"] == {"url": URL, "content_type": "json", "insecure_ssl": "0", "secret": "********"}
    code, said = play()
    assert (code, changed(said), hooks()) == (0, 0, [hook]), said

    double.admin.deliver(hook["id"], status="failed to connect", status_code=502)
    code, said = play()
    assert code == 2
    assert f'webhook_url = {URL}: the last delivery came to \\"failed to connect\\" (502). Do: let GitHub' in said

    code, said = play(state="absent")
    assert (code, hooks()) == (0, []), said


def test_what_is_missing_is_told_at_once(play: Play, double: Double) -> None:
    code, said = play(secret=None, user="")
    assert code == 2
    for name in ("webhook_secret", "webhook_user"):
        assert f"{name} = (nothing): it has to be said. Do: see the head of the playbook" in said
    assert double.admin.journal()["entries"] == []


def test_a_refusal_is_told_in_githubs_words(play: Play) -> None:
    code, said = play(token="ghp_wrong")
    assert code == 2
    assert "Bad credentials" in said
    assert "ghp_wrong" not in said


def test_a_log_that_cannot_be_read(play: Play, double: Double) -> None:
    double.admin.fault(status=403, path="/deliveries$")
    code, said = play()
    assert code == 2
    assert "Could not list the deliveries of the webhook" in said
