# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the role github_docker_runners, and which pools they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX, Check

#: A GitHub App as the credential, instead of a token.
APP_OPTIONS = ("app_id", "app_private_key", "app_installation_id")
#: What a pool may set for itself; the flat variable of the same name is its default.
POOL_OPTIONS = (
    "scope",
    "token",
    *APP_OPTIONS,
    "count",
    "labels",
    "extra_labels",
    "group",
    "image",
    "image_pull",
    "image_update",
    "cpus",
    "memory",
    "pids_limit",
    "work_folder",
    "name_prefix",
    "stop_grace_period",
    "environment",
    "docker",
    "docker_socket_acknowledged",
    "dind_image",
    "dind_arguments",
    "volumes",
    "action_archives",
    "gpus",
    "allow_sudo",
    "allow_public",
    "ssh_key",
    "ssh_known_hosts",
)
HOST_OPTIONS = (
    "pools",
    "api_url",
    "ca_file",
    "check_github",
    "docker_repository_url",
    "docker_repository_fingerprint",
    "directory",
    "user",
    "uid",
    "gid",
    "metrics_address",
    "metrics_port",
    "registration_timeout",
    "idle_timeout",
    "job_timeout",
    "drain_timeout",
    "shutdown_timeout",
    "teardown_timeout",
    "online_timeout",
    "wait_for_drain",
)
#: What only the entry point `remove` asks for.
REMOVE_OPTIONS = ("remove_now", "remove_docker")


def pools_of(variables: Mapping[str, Any], problems: list[str]) -> list[tuple[str, Check]]:
    """Every pool's name and values, those of the flat variables where it has none of its own."""
    flat = {option: variables.get(PREFIX + option) for option in POOL_OPTIONS}
    pools = variables.get(f"{PREFIX}pools") or []
    if not pools:
        return [("default", Check(flat, problems))]
    top = Check({"pools": pools}, problems)
    if not isinstance(pools, (list, tuple)) or not all(isinstance(pool, Mapping) for pool in pools):
        top.wrong("pools", "not a list of pools", "write a list with `- name: …` for each pool", secret=True)
        return []
    found: dict[str, Check] = {}
    for number, pool in enumerate(pools, 1):
        where = f"{PREFIX}pools[{pool.get('name') or number}]."
        inherited = {option: value for option, value in flat.items() if option not in _replaced(pool)}
        check = Check({**inherited, **pool}, problems, where, frozenset(flat) - frozenset(pool))
        name = check.text(
            "name",
            r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?",
            "not a pool's name",
            "write up to 20 small letters, digits, -",
        )
        for option in set(pool) - {"name", *POOL_OPTIONS}:
            check.wrong(option, "a pool has no such option", f"use one of {', '.join(POOL_OPTIONS)}", secret=True)
        if name in found:
            check.wrong("name", "two pools have this name", "give each pool a name of its own")
        elif name:
            found[name] = check
    return list(found.items())


def _replaced(pool: Mapping[str, Any]) -> set[str]:
    """The flat variables that a pool with a credential of its own does not inherit: it has one, not two."""
    own = {option for option in ("token", *APP_OPTIONS) if pool.get(option) not in (None, "")}
    replaced = set(APP_OPTIONS) if "token" in own else set()
    if own & set(APP_OPTIONS):
        replaced.add("token")
    if "app_id" in own:
        replaced.add("app_installation_id")  # that of another App
    return replaced
