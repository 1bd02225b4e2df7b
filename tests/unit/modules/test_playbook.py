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
    credential = {name: f"{{{{ {name} }}}}" for name in variables}
    defaults = {f"group/{COLLECTION}.github": {"retries": 0, **credential}}
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


@pytest.mark.parametrize("app", [True, False])
def test_one_credential_for_all_and_no_word_of_it(double: Double, tmp_path: Path, app: bool) -> None:
    """An App's in earnest; a token in check mode. At the end, an option of a task beats the default of the group."""
    credential, another, status, secrets = {"token": TOKEN}, {"token": "ghp_another"}, 401, [TOKEN, "ghp_another"]
    if app:
        permissions = {"organization_self_hosted_runners": "write", "metadata": "read"}
        double.admin.apps({"my-app": {"id": 5, "permissions": permissions, "installations": {"my-org": {}}}})
        key = double.admin.app_key("my-app")
        credential, another, status = {"app_id": "5", "private_key": key}, {"installation_id": "999"}, 404
        secrets = [line for line in key.splitlines() if "-----" not in line]
    tasks: list[dict[str, object]] = [
        {"register": "checked", **module("gha_runner_scope")},
        {"register": "version", **module("gha_runner_version_info", architecture="x64")},
        {"register": "made", "no_log": True, **module("github_registration_token")},
        {
            "ansible.builtin.assert": {
                "that": [
                    "checked.group_id == 1",
                    "version.newest.sha256 | length == 64",
                    f"made.token is {'string' if app else 'none'}",
                    "made.url == checked.url",
                ]
            }
        },
        {"register": "refused", "ignore_errors": True, **module("gha_runner_scope", **another)},
        {"ansible.builtin.assert": {"that": ["refused is failed", f"refused.error.status == {status}"]}},
        {"ignore_errors": True, **module("gha_runner_scope", scope="nobody")},
    ]
    said = play(tmp_path, tasks, *([] if app else ["--check"]), api_url=double.api_url, **credential)
    assert f'"{"private_key" if app else "token"}": "{MASK}"' in said  # it was said which options there were
    what = "find the installation of the GitHub App 5 for nobody" if app else "look at nobody"
    assert f"Could not {what}: 404 Not Found: Not Found ({double.api_url}/orgs/nobody" in said
    issued = [each["secret"] for each in double.admin.issued()]
    assert bool(issued) is app
    assert not [secret for secret in [*secrets, *issued] if secret in said]
    ours = {"playbook.yml", "variables.yml"}
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name not in ours]
    assert not [secret for secret in [*secrets, *issued] if any(secret.encode() in content for content in kept)]
