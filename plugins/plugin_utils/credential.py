# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credentials among the variables: what is wrong with them, their names on the host, and that no line shows one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.credential import credential_problems
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX, Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.options import APP_OPTIONS, pools_of

#: GitHub's registration tokens (29 capitals and digits) and the tokens of App installations live for an hour.
_ONE_HOUR_TOKEN = re.compile(r"A[A-Z0-9]{28}|ghs_.+", re.DOTALL)
GITHUB_TOKEN = re.compile(r"\b(?:gh[opsu]_|github_pat_)[A-Za-z0-9_]{16,}")
#: As far as a line may show one: perhaps damaged, cut short, and without quotes around it.
_PEM = re.compile(r"-----BEGIN [A-Z](?:(?!\.\.\.|: |\. Do: )[^\"'])*")

_HOW_TO_GET_ONE = (
    "make a fine-grained personal access token at https://github.com/settings/personal-access-tokens/new "
    "(organization: Self-hosted runners, read and write; repository: Administration, read and write) "
    "and keep it with ansible-vault"
)
#: An App's options, as the library and runnerd's credentials file call them.
_APP = {"app_id": "app_id", "app_private_key": "private_key", "app_installation_id": "installation_id"}


def judge_credential(check: Check, scope: Scope | None) -> None:
    """What is wrong with a pool's token or App, as far as that shows without asking GitHub."""
    app = [option for option in APP_OPTIONS if _is_set(check, option)]
    if app and _is_set(check, "token"):
        check.wrong("token", f"{app[0]} is set too, and a pool has one credential", "take one of them out", secret=True)
    elif app:
        _judge_app(check, scope)
    else:
        _judge_token(check)


def _judge_token(check: Check) -> None:
    value = check.values.get("token")
    if not _is_set(check, "token"):
        check.wrong("token", "not set", f"{_HOW_TO_GET_ONE}; or set app_id and app_private_key of a GitHub App")
    elif not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        check.wrong("token", "not one line without spaces", "copy the token again, alone", secret=True)
    elif _ONE_HOUR_TOKEN.fullmatch(value):
        check.wrong("token", "looks like a token that dies after an hour", _HOW_TO_GET_ONE, secret=True)


def _judge_app(check: Check, scope: Scope | None) -> None:
    if scope is not None and scope.kind == "enterprise":
        remedy = "use a classic token with manage_runners:enterprise, or an organization of the enterprise"
        check.wrong("scope", "GitHub Apps cannot manage the runners of an enterprise", remedy)
    key = check.values.get("app_private_key")
    if isinstance(key, str) and len(key) < 200 and re.search(r"^[~/.]|\.(?:pem|key)$", key.strip()):
        remedy = "write \"{{ lookup('ansible.builtin.file', 'my-app.pem') }}\" with a file that ansible-vault encrypted"
        check.wrong("app_private_key", "the path of a file, where its content is needed", remedy, secret=True)
        return
    for line in credential_problems({form: check.values.get(option) for option, form in _APP.items()}):
        form, _equals, rest = line.partition(" = ")
        option = next((ours for ours, theirs in _APP.items() if theirs == form), "app_id")
        check.problems.append(f"{check.place(option)}{option} = {rest}")


def _is_set(check: Check, option: str) -> bool:
    return check.values.get(option) not in (None, "")


def form_of(check: Check) -> dict[str, str]:
    """A pool's credential as runnerd's credentials file has it. Secret."""
    if not any(_is_set(check, option) for option in APP_OPTIONS):
        return {"token": str(check.values.get("token"))}
    return {form: str(check.values[option]) for option, form in _APP.items() if _is_set(check, option)}


def _forms(variables: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Every pool's credential, by the pool's name."""
    return {name: form_of(check) for name, check in pools_of(variables, [])}


def credential_names(variables: Mapping[str, Any]) -> dict[str, str]:
    """The name of every pool's credential: equal ones are one, and that of the flat variables is called ``default``."""
    ((_default, flat),) = pools_of({**variables, f"{PREFIX}pools": []}, [])
    names = {json.dumps(form_of(flat)): "default"}
    return {pool: names.setdefault(json.dumps(form), f"pool-{pool}") for pool, form in _forms(variables).items()}


def runner_credentials(variables: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What belongs into runnerd's credentials file: every credential that a pool uses, by its name. Secret."""
    names = credential_names(variables)
    return {names[pool]: form for pool, form in _forms(variables).items()}


def secrets_of(check: Check) -> list[str]:
    """What no line may show of a pool's credential: its token, and its key as a whole and line by line."""
    token, key = (str(check.values.get(option) or "") for option in ("token", "app_private_key"))
    lines = [line for line in re.split(r"\s+|\\n", key) if len(line) >= 16 and not line.startswith("-----")]
    return [text for text in (token, key, *lines) if len(text) >= 8]


def hidden(problems: list[str], variables: Mapping[str, Any]) -> list[str]:
    """The problems, each once (pools may share a variable), without a secret that stands where none belongs."""
    secrets = {secret for _name, check in pools_of(variables, []) for secret in secrets_of(check)}
    lines = []
    for line in dict.fromkeys(problems):
        for secret in sorted(secrets, key=len, reverse=True):
            line = line.replace(secret, "(hidden)")
        lines.append(_PEM.sub("(hidden)", GITHUB_TOKEN.sub("(hidden)", line)))
    return lines
