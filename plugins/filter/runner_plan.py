# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role github_docker_runners is to do, and everything that is wrong with what it was told.

Pure: variables and facts in, a plan and lines for a person out. It never raises because of what a user wrote, and no
line or plan shows a token. The parts are in ``plugins/plugin_utils``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import split_api_url
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX, Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.credential import (
    credential_names,
    hidden,
    runner_credentials,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.host import (
    host_options,
    judge_host,
    limit,
    owned,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.options import (
    HOST_OPTIONS,
    POOL_OPTIONS,
    REMOVE_OPTIONS,
    pools_of,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.pool import judge_pool
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.question import api_url_of, question_of
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.ssh import runner_ssh_files

#: Where the role runnerd puts the authorities.
CA_FILE = "/etc/runnerd/ca.pem"
#: What runnerd is told of a pool.
TOLD = ("name", "scope", "group", "labels", "work_folder", "credential", "name_prefix", "slots")


def _misspelt(own: Check) -> None:
    """Others may have variables of their own that begin as ours do; only what looks like a slip is one."""
    known = {*POOL_OPTIONS, *HOST_OPTIONS, *REMOVE_OPTIONS}
    for name in sorted(set(own.values) - known):
        if near := difflib.get_close_matches(name, known, 1, 0.8):
            own.wrong(name, "no such variable", f"write {PREFIX}{near[0]}", secret=True)


def runner_leave(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What draining and removing need to know, and what is wrong with it. Neither needs a scope or a token.

    Args:
        variables: The role's variables by full name, defaults included; unknown ones are looked at for misspellings.

    Returns:
        ``problems`` (lines ``variable = value: why. Do: …``), ``directory``, ``user``, ``drain_timeout`` (seconds).
    """
    problems: list[str] = []
    own = Check({name.removeprefix(PREFIX): value for name, value in variables.items()}, problems)
    _misspelt(own)
    found = {**owned(own), "drain_timeout": limit(own, "drain")}
    return {"problems": hidden(problems, variables), **found}


def runner_plan(variables: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be done with these variables on this host, and all that is wrong with them.

    Args:
        variables: The role's variables by full name, defaults included; unknown ones are looked at for misspellings.
        host: ``name``, ``groups``, ``inventory`` (its folder, or None), and facts: ``distribution``, ``version``,
            ``architecture``, ``service_mgr``, ``uid``, ``processors``, ``memory_mb``; ``ca`` (the content of
            the file ``ca_file``).

    Returns:
        ``problems`` (lines ``variable = value: why. Do: …``; the rest may be used only if there are none), ``pools``,
        ``slots`` (names, in order), ``settings`` (what runnerd is told), ``directory``, ``user``, ``uid``, ``gid``,
        ``engine`` (what to install where there is none), ``online_timeout`` and ``drain_timeout`` (seconds),
        ``ca_file`` (on the control node; may be empty) and ``questions`` (to GitHub, each once: ``key``, ``scope``,
        ``credential``, which is a name).
    """
    problems: list[str] = []
    own = Check({name.removeprefix(PREFIX): value for name, value in variables.items()}, problems)
    judge_host(host, problems)

    _misspelt(own)
    api_url: str | None = None
    try:
        api_url = split_api_url(own.values.get("api_url", "")).geturl()
        if not api_url.startswith("https:"):
            own.wrong("api_url", "the token would go over the wire in clear", "write https://")
    except ValueError as error:  # its text is already `api_url = value: why. Do: …`
        problems.append(f"{PREFIX}{error}")

    pools: list[dict[str, Any]] = []
    host = {**host, "directory": own.values.get("directory")}
    credentials = credential_names(variables)
    slots: dict[str, str] = {}
    questions: dict[str, dict[str, str]] = {}
    for name, check in pools_of(variables, problems):
        pool = {**judge_pool(check, name, api_url, host), "credential": credentials.get(name, "")}
        for slot in pool["slots"]:
            if slot in slots:
                check.wrong("name", f"the slot {slot} would be in the pool {slots[slot]} too", "choose another name")
                break
            slots[slot] = name
        pools.append(pool)
        if question := question_of(check, api_url_of(own)):
            questions.setdefault(question["key"], {**question, "credential": pool["credential"]})

    machine = host_options(own, host)
    settings = {
        "github": {"api_url": api_url or "", "ca_file": CA_FILE if machine["ca_file"] else None, "timeout": 30},
        "compose": {
            "project": "github-runners",
            "file": f"{machine['directory']}/docker-compose.yml",
            "profile": "runnerd",
        },
        "metrics": machine["metrics"],
        "limits": machine["limits"],
        "pools": [{key: pool[key] for key in TOLD} for pool in pools],
    }
    plan = {
        "pools": pools,
        "slots": list(slots),
        "settings": settings,
        **{key: machine[key] for key in ("directory", "user", "uid", "gid", "engine", "online_timeout")},
        "drain_timeout": machine["limits"]["drain"],
        "ca_file": machine["ca_file"],
        "questions": list(questions.values()),
    }
    return {"problems": hidden(problems, variables), **plan}


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {
            "runner_plan": runner_plan,
            "runner_leave": runner_leave,
            "runner_credentials": runner_credentials,
            "runner_ssh_files": runner_ssh_files,
        }
