# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``pveum`` commands, as documentation tells administrators to type them, as the double's access rules.

A shell reads the commands, with a ``pveum`` that only says how it was called. Standard library only.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from typing import Any, NoReturn

#: Each argument ends with a tabulator, each command with a line's end. ``pvesm`` is about storages.
_SHELL = 'pveum() { printf "%s\\t" "$@"; echo; }\npvesm() { :; }\n'


#: Each command's arguments, and its options with what they are when they are not said.
_COMMANDS: dict[tuple[str, ...], tuple[tuple[str, ...], dict[str, str]]] = {
    ("user", "add"): (("user",), {"comment": ""}),
    ("user", "token", "add"): (("user", "token"), {"privsep": "1", "comment": ""}),
    ("pool", "add"): (("pool",), {"comment": ""}),
    ("role", "add"): (("role",), {"privs": ""}),
    ("acl", "modify"): (("path",), {"users": "", "tokens": "", "roles": "", "propagate": "1"}),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{self.prog}: {message}")


def _parse(words: list[str]) -> argparse.Namespace:
    command = next((each for each in _COMMANDS if tuple(words[: len(each)]) == each), None)
    if command is None:
        raise ValueError(f"pveum {' '.join(words)}: no such command here")
    parser = _Parser(prog=f"pveum {' '.join(command)}", add_help=False, allow_abbrev=False)
    positional, options = _COMMANDS[command]
    for name in positional:
        parser.add_argument(name)
    for name, default in options.items():
        parser.add_argument(f"--{name}", default=default)
    return parser.parse_args(words[len(command) :], argparse.Namespace(command=command))


def commands(script: str) -> list[list[str]]:
    """The arguments of each ``pveum`` in a piece of bash."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _SHELL + script], stdout=subprocess.PIPE, text=True, check=True
    )
    return [line.rstrip("\t").split("\t") for line in done.stdout.splitlines()]


def pasted(page: str, major: int) -> str:
    """What a page of documentation has an administrator of this version type: its blocks of bash that begin so."""
    blocks = re.findall(r"```bash\n# Proxmox VE ([0-9 and]+)\n(.*?)```", page, re.DOTALL)
    return "".join(text for versions, text in blocks if str(major) in versions.split(" and "))


def rules(script: str, secret: str) -> tuple[dict[str, Any], list[str]]:
    """What these commands make of a cluster without users.

    Args:
        script: bash.
        secret: What each token's secret is; a real ``pveum`` makes one up and shows it.

    Returns:
        The rules, as ``server.Options.access`` takes them, and the names of the pools.

    Raises:
        ValueError: a command that there is not, or that Proxmox VE would refuse since something is there or is not.
    """
    users: dict[str, Any] = {}
    roles: dict[str, list[str]] = {}
    acl: list[dict[str, Any]] = []
    pools: list[str] = []
    for told in map(_parse, commands(script)):
        if told.command == ("user", "add"):
            _new(users, told.user)
            users[told.user] = {"tokens": {}}
        elif told.command == ("user", "token", "add"):
            _new(users[told.user]["tokens"], told.token)
            users[told.user]["tokens"][told.token] = {"secret": secret, "privsep": told.privsep == "1"}
        elif told.command == ("pool", "add"):
            _new(pools, told.pool)
            pools.append(told.pool)
        elif told.command == ("role", "add"):
            _new(roles, told.role)
            roles[told.role] = told.privs.replace(",", " ").split()
        else:
            who = [each for option in (told.users, told.tokens) for each in option.split(",") if each]
            acl += [
                {"path": told.path, "who": each, "role": role, "propagate": told.propagate == "1"}
                for role in told.roles.split(",")
                for each in who
            ]
    return {"users": users, "roles": roles, "acl": acl}, pools


def _new(known: Any, name: str) -> None:
    if name in known:
        raise ValueError(f"pveum: {name} is there already")
