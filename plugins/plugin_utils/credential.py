# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credentials among the variables: what is wrong with them, their names on the host, and that no line shows one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX, Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.options import pools_of

#: GitHub's registration tokens (29 capitals and digits) and the tokens of App installations live for an hour.
_ONE_HOUR_TOKEN = re.compile(r"A[A-Z0-9]{28}|ghs_.+", re.DOTALL)
GITHUB_TOKEN = re.compile(r"\b(?:gh[opsu]_|github_pat_)[A-Za-z0-9_]{16,}")

_REMEDY = (
    "make a fine-grained personal access token at https://github.com/settings/personal-access-tokens/new "
    "(organization: Self-hosted runners, read and write; repository: Administration, read and write) "
    "and keep it with ansible-vault"
)


def judge_token(check: Check) -> None:
    """What is wrong with a pool's token, as far as that shows without asking GitHub."""
    value = check.values.get("token")
    if value in (None, ""):
        check.wrong("token", "not set", _REMEDY)
    elif not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        check.wrong("token", "not one line without spaces", "copy the token again, alone", secret=True)
    elif _ONE_HOUR_TOKEN.fullmatch(value):
        check.wrong("token", "looks like a token that dies after an hour", _REMEDY, secret=True)


def tokens_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Every pool's token, by the pool's name."""
    return {name: check.values.get("token") for name, check in pools_of(variables, [])}


def credential_names(variables: Mapping[str, Any]) -> dict[str, str]:
    """The name of every pool's credential: equal tokens are one, and the flat variable's is called ``default``."""
    flat = variables.get(f"{PREFIX}token")
    names: dict[Any, str] = {str(flat): "default"}
    return {pool: names.setdefault(str(token), f"pool-{pool}") for pool, token in tokens_of(variables).items()}


def runner_credentials(variables: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What belongs into runnerd's credentials file: every credential that a pool uses, by its name. Secret."""
    names = credential_names(variables)
    return {names[pool]: {"token": str(token)} for pool, token in tokens_of(variables).items()}


def hidden(problems: list[str], variables: Mapping[str, Any]) -> list[str]:
    """The problems, each once (pools may share a variable), without a token that stands where none belongs."""
    secrets = [str(token) for token in tokens_of(variables).values() if len(str(token or "")) >= 8]
    lines = []
    for line in dict.fromkeys(problems):
        for secret in secrets:
            line = line.replace(secret, "(hidden)")
        lines.append(GITHUB_TOKEN.sub("(hidden)", line))
    return lines
