# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that talk to GitHub in a real playbook, their credential given once, and all that Ansible says of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.doubles.github.server import Double
from tests.gates import tree

from .conftest import TOKEN

COLLECTION = "ephemeral.github_runners"
MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def play(folder: Path, tasks: list[dict[str, object]], *words: str, **variables: str) -> str:
    """What ansible-playbook says of these tasks, at its most talkative; it must end well."""
    playbook = folder / "playbook.yml"
    defaults = {f"group/{COLLECTION}.github": {"token": "{{ token }}", "api_url": "{{ api_url }}", "retries": 0}}
    plays = [{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]
    playbook.write_text(yaml.safe_dump(plays, sort_keys=False))
    (folder / "variables.yml").write_text(yaml.safe_dump(variables))
    command = [
        sys.executable,
        "-m",
        "ansible",
        "playbook",
        "-vvvvv",
        "--diff",
        *words,
        "-e",
        "@variables.yml",
        "playbook.yml",
    ]
    environ = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(tree.ensure()),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "HOME": str(folder),
    }
    done = subprocess.run(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def module(name: str, **options: object) -> dict[str, object]:
    return {f"{COLLECTION}.{name}": {"scope": "my-org", **options}}


@pytest.mark.parametrize("check", [True, False])
def test_one_credential_for_all_and_no_word_of_it(double: Double, tmp_path: Path, check: bool) -> None:
    tasks = [
        {"register": "checked", **module("gha_runner_scope")},
        {"register": "version", **module("gha_runner_version_info", architecture="x64")},
        {"register": "made", "no_log": True, **module("github_registration_token")},
        {
            "ansible.builtin.assert": {
                "that": [
                    "checked.group_id == 1",
                    "version.newest.sha256 | length == 64",
                    f"made.token is {'none' if check else 'string'}",
                    "made.url == checked.url",
                ]
            }
        },
        # An option of the task beats the default of the group.
        {"register": "refused", "ignore_errors": True, **module("gha_runner_scope", token="ghp_another")},
        {"ansible.builtin.assert": {"that": ["refused is failed", "refused.error.status == 401"]}},
        {"ignore_errors": True, **module("gha_runner_scope", scope="nobody")},
    ]
    said = play(tmp_path, tasks, *(["--check"] if check else []), token=TOKEN, api_url=double.api_url)
    assert f'"token": "{MASK}"' in said  # it was said which options there were
    assert f"Could not look at nobody: 404 Not Found: Not Found ({double.api_url}/orgs/nobody, request id " in said
    issued = [each["secret"] for each in double.admin.issued()]
    assert len(issued) == (0 if check else 1)
    for secret in [TOKEN, "ghp_another", *issued]:
        assert secret not in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "variables.yml"]
    assert not [path for path in kept if any(secret.encode() in path.read_bytes() for secret in [TOKEN, *issued])]
