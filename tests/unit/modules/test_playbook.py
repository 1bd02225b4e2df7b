# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that talk to GitHub in a real playbook, their credential given once, and all that Ansible says of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.doubles.github.server import Double
from tests.gates import tree
from tests.repository import sources

from .conftest import TOKEN, WEBHOOK

COLLECTION = "ephemeral.github_runners"
MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def play(folder: Path, tasks: list[dict[str, Any]], *words: str, **variables: str) -> str:
    """What ansible-playbook says of these tasks, at its most talkative, with variables as the modules' options."""
    credential = {name: f"{{{{ {name} }}}}" for name in variables}
    defaults = {f"group/{COLLECTION}.github": {"retries": 0, **credential}}
    plays = [{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]
    return ansible(folder, plays, variables, {}, *words)


def ansible(
    folder: Path, plays: list[dict[str, Any]], variables: dict[str, str], environment: dict[str, str], *words: str
) -> str:
    """What ansible-playbook says of these plays, at its most talkative; it must end well."""
    (folder / "playbook.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
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
        **environment,
    }
    done = subprocess.run(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def module(called: str, /, **options: object) -> dict[str, object]:
    return {f"{COLLECTION}.{called}": {"scope": "my-org", **options}}


MODULES = [path.stem for path in sources.files("plugins", suffixes=(".py",)) if path.parts[1] == "modules"]
# What an example needs of the machine or of the world, and what stands for it here; waiting takes as long as it takes.
STANDS_FOR = {
    "https://github.example.com": "{url}",
    "https://github.com/my-org": "{url}/my-org",
    "/etc/ssl/certs/my-company.pem": "{folder}/my-company.pem",
    "offline_for: 600": "offline_for: 1",
}
# Runners that an example is about: name, scope, and whether its machine is there.
RUNNERS = {
    "gha_jit_config": [("nightly", "repos/my-org/my-repository", False)],
    "gha_runner": [
        ("big-machine", "orgs/my-org", True),
        ("nightly", "repos/my-org/my-repository", True),
        ("gh-runner-01-1", "orgs/my-org", False),
    ],
    "gha_runner_info": [
        ("nightly", "repos/my-org/my-repository", True),
        ("gh-runner-01-1", "enterprises/my-enterprise", False),
    ],
}
# These are done; of a task of any other module, only what it is given is worked out.
DONE = ("ansible.builtin.assert", "ansible.builtin.debug", "community.general.github_webhook")


def safe(task: dict[str, Any]) -> dict[str, Any]:
    """The task, or one that only says with what it would be done."""
    if "block" in task:
        return {**task, "block": [safe(each) for each in task["block"]]}
    (action,) = (key for key in task if "." in key)
    if action in DONE or action.startswith(f"{COLLECTION}."):
        return task
    return {"ansible.builtin.debug": {"msg": task[action]}, **{key: task[key] for key in task if key != action}}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(("gha_", "github_"))])
def test_examples(double: Double, tmp_path: Path, register: Callable[..., object], name: str) -> None:
    """Each as it stands in the documentation, one after the other, at GitHub as its reader has it."""
    scopes = ("my-org", "my-org/my-repository", "my-org/my-library", "enterprises/my-enterprise")
    double.admin.credentials({"owner": {"token": TOKEN, "scopes": dict.fromkeys(scopes, "write")}})
    granted = ("organization_self_hosted_runners", "administration", "actions", "contents", "metadata")
    app = {"id": 12345, "client_id": "Iv23liABCDEFGHIJKLMN", "permissions": dict.fromkeys(granted, "write")}
    double.admin.apps({"my-app": {**app, "installations": {"my-org": {}}}})
    key = double.admin.app_key("my-app")
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config/my-app.pem").write_text(key)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "my-company.pem"))
    for runner, scope, online in RUNNERS.get(name, []):
        register(runner, scope=scope, online=online)
    double.admin.scopes({"my-org/my-repository": {"webhooks": [WEBHOOK]}})
    double.admin.deliver(300003, status="timed out", status_code=0)  # to that one
    since = double.admin.journal()["last"]

    text = sources.text(f"plugins/modules/{name}.py").partition('EXAMPLES = r"""')[2].partition('"""')[0]
    for words, instead in STANDS_FOR.items():
        text = text.replace(words, instead.format(url=double.api_url, folder=tmp_path))
    examples = yaml.safe_load(text)
    defaults = {
        f"{COLLECTION}.gha_runner": {"idle_for": 1},
        "community.general.github_webhook": {"github_url": double.api_url},
    }
    plays = [
        {"hosts": "localhost", "gather_subset": ["min"], "module_defaults": defaults, "tasks": [*map(safe, examples)]}
    ]
    variables = {"my_github_token": TOKEN, "my_app_private_key": key}
    variables |= {"my_github_user": "me", "my_webhook_secret": "signs-what-is-sent"}
    said = ansible(tmp_path, plays, variables, {"GITHUB_API_URL": double.api_url})

    recap = said.rpartition("PLAY RECAP")[2]
    assert re.search(r" failed=0 +skipped=0 +rescued=0 +ignored=0", recap)
    asked = double.admin.journal(since)["entries"]
    assert asked
    assert {entry["credential"] for entry in asked} >= {"owner"} or "my_github_token" not in text
    secrets = [TOKEN, variables["my_webhook_secret"], *(line for line in key.splitlines() if "-----" not in line)]
    secrets += [each["secret"] for each in double.admin.issued()]
    assert not [secret for secret in secrets if secret in said]


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
    tasks: list[dict[str, Any]] = [
        {"register": "checked", **module("gha_runner_scope")},
        {"register": "version", **module("gha_runner_version_info", architecture="x64")},
        {"register": "made", "no_log": True, **module("github_registration_token")},
        {"register": "jit", "no_log": True, **module("gha_jit_config", name="new")},
        {"register": "listed", **module("gha_runner_info")},
        {"register": "gone", **module("gha_runner", name="new", state="absent", idle_for=0)},
        {
            "ansible.builtin.assert": {
                "that": [
                    "checked.group_id == 1",
                    "version.newest.sha256 | length == 64",
                    f"made.token is {'string' if app else 'none'}",
                    "made.url == checked.url",
                    f"jit.encoded_jit_config is {'string' if app else 'none'}",
                    f"listed.runners | length == {int(app)}",
                    "gone.runners | map(attribute='name') == listed.runners | map(attribute='name')",
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
