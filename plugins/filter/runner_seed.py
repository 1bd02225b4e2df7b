# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variable names of the homelab playbooks that this collection grew from, in its own words. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

PREFIX = "github_docker_runners_"

#: The seed's names whose meaning is the same.
SAME = {f"github_runner_{option}": option for option in ("count", "labels", "cpus", "memory", "image")}


#: In the seed: the host's Docker, or one of the runner's own.
SOCKET = "github_runner_mount_docker_socket"


def _mounts_socket(seed: Mapping[str, Any], problems: list[str]) -> bool | None:
    """Whether jobs get the host's Docker; None if nothing is said."""
    if SOCKET not in seed:
        return None
    text = str(seed[SOCKET]).strip().lower()
    if text not in ("true", "yes", "on", "false", "no", "off"):
        problems.append(
            f"{SOCKET} = {json.dumps(seed[SOCKET], default=str)}: not true or false. Do: set {PREFIX}docker"
        )
        return None
    return text in ("true", "yes", "on")


def _scope(seed: Mapping[str, Any], problems: list[str]) -> str:
    """The seed tells a scope in three variables: its kind, and a name for each kind."""
    kind, organization, repository = (seed.get(f"github_{name}") for name in ("scope", "org", "repo"))
    if kind is None:
        kind = "repo" if repository else "org" if organization else ""
    if kind == "repo" and repository:
        return str(repository) if "/" in str(repository) or not organization else f"{organization}/{repository}"
    if kind == "org" and organization:
        return str(organization)
    if kind in ("org", "repo"):
        problems.append(f"github_{kind} = null: not set, though github_scope = {kind}. Do: set {PREFIX}scope alone")
    elif kind:
        problems.append(f"github_scope = {kind}: not org or repo. Do: set {PREFIX}scope to a scope's name instead")
    return ""


def runner_seed(seed: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The seed's variables by the collection's names.

    Args:
        seed: The seed's variables that are set, by name (``github_scope``, ``github_runner_count`` …).
        own: The variables of the role github_docker_runners that are set, by full name, without its defaults.

    Returns:
        ``variables``: what is to be set, by full name; ``problems``: lines ``variable = value: why. Do: …``;
        ``notes``: what a person should hear.
    """
    problems: list[str] = []
    told = {option: (name, seed[name]) for name, option in SAME.items() if name in seed}
    mounts = _mounts_socket(seed, problems)
    if mounts is not None:
        told["docker"] = (SOCKET, "socket" if mounts else "dind")
    if scope := _scope(seed, problems):
        told["scope"] = ("github_scope, github_org and github_repo", scope)
    variables = {}
    for option, (name, value) in told.items():
        mine = own.get(PREFIX + option)
        if PREFIX + option not in own:
            variables[PREFIX + option] = value
        elif str(mine) != str(value):
            problems.append(
                f"{PREFIX}{option} = {json.dumps(mine, default=str)}: {name} says {json.dumps(value, default=str)}. "
                f"Do: keep {PREFIX}{option} only"
            )
    if seed.get("github_registration_token") and not own.get(f"{PREFIX}token"):
        problems.append(
            "github_registration_token = (hidden): this token dies after an hour, and every job needs a new one. "
            f"Do: make a fine-grained token at https://github.com/settings/personal-access-tokens/new and set "
            f"{PREFIX}token instead (README, the permissions of the token)"
        )
    notes = []
    if variables.get(f"{PREFIX}docker") == "socket":
        # Who wrote that has said it; who did not know is told.
        variables.setdefault(f"{PREFIX}docker_socket_acknowledged", True)
        notes.append(
            f"{SOCKET} = true: every job is root on this host. Do: if they need not be, set {PREFIX}docker to dind, "
            "a Docker of each runner's own"
        )
    return {"variables": variables, "problems": problems, "notes": notes}


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"runner_seed": runner_seed}
