# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Docker daemon beside a runner shares with it. Pure.

A job names paths of its own container when it starts others (its work folder; the runner's Node.js, which is mounted
into a job's ``container:``); the daemon looks for them in its own. So the two containers share these folders, at the
same paths.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.container import ROOTS, below

#: The runner's variable for the folder of tools that actions install and keep.
_TOOLS = "AGENT_TOOLSDIRECTORY"
_DECLARATION = re.compile(r"^  (externals-[0-9a-f]{12}): .*\n", re.MULTILINE)


def runner_layouts(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Where the runner and its tools are in each image.

    Args:
        results: The results of ``docker image inspect IMAGE``, run in a loop by ansible.builtin.command.

    Returns:
        By the image's name: ``root``, the runner's own folder (the image's working folder, or its ``RUNNER_HOME``);
        ``tools``, that of ``AGENT_TOOLSDIRECTORY``, or empty.
    """
    found: dict[str, dict[str, str]] = {}
    for result in results:
        try:
            config = json.loads(str(result.get("stdout")))[0]["Config"]
        except (ValueError, LookupError, TypeError):
            config = {}
        environment = dict(line.partition("=")[::2] for line in config.get("Env") or [])
        folder = str(config.get("WorkingDir") or "")
        root = environment.get("RUNNER_HOME") or (folder if folder in ROOTS else ROOTS[0])
        if config or result["item"] not in found:
            found[str(result["item"])] = {"root": root, "tools": environment.get(_TOOLS, "")}
    return found


def runner_shares(pool: Mapping[str, Any], layout: Mapping[str, str] | None) -> dict[str, Any]:
    """The folders that a runner shares with its daemon.

    Args:
        pool: A pool of the plan.
        layout: What `runner_layouts` says of its image; None if the image is not there, in check mode.

    Returns:
        ``root``: the runner's own folder; ``fresh``: folders that begin as the image has them, for this runner alone;
        ``key``: the name of the volume with ``<root>/externals``, which all runners of an image share, read-only.
    """
    layout = layout or {"root": ROOTS[0], "tools": ""}
    environment = pool["environment"]
    root = environment.get("RUNNER_HOME") or layout["root"]
    work = posixpath.join(root, pool["work_folder"])
    tools = environment.get(_TOOLS, layout["tools"])
    fresh = ["/var/run", work]
    if posixpath.isabs(tools) and not any(below(tools, volume["target"]) for volume in pool["volumes"]):
        fresh += [] if below(tools, work) else [tools]
    key = hashlib.sha256(str(pool["image"]).encode()).hexdigest()[:12]
    return {"root": root, "fresh": fresh, "key": f"externals-{key}"}


def runner_externals(pools: Sequence[Mapping[str, Any]], shown: Mapping[str, Any]) -> list[str]:
    """The lines of the Compose file that declare the volumes with runners' ``externals``.

    The volume's name changes with the image, so that a new image never meets the old one's Node.js. runnerd removes
    volumes that no container uses, and lines that no service uses.

    Args:
        pools: Those of the plan.
        shown: ``digests``, by the name of an image; ``compose``, the file as it is; ``kept``, the blocks of it that
            stay, see `runner_slots`.
    """
    lines: dict[str, str] = {}
    used = set(re.findall(r"source: (externals-[0-9a-f]{12})$", "".join(shown["kept"]), re.MULTILINE))
    for match in _DECLARATION.finditer(shown["compose"]):
        if match[1] in used:
            lines[match[1]] = match[0]
    for pool in pools:
        if pool["docker"] == "dind":
            key = runner_shares(pool, None)["key"]
            reference = shown["digests"].get(pool["image"]) or pool["image"]
            lines[key] = declaration(key, reference)
    return [lines[key] for key in sorted(lines)]


def declaration(key: str, reference: str) -> str:
    """One of these lines. runnerd writes the same (composefile.py) when the image behind a tag changes."""
    version = hashlib.sha256(reference.encode()).hexdigest()[:12]
    return f"  {key}: {{name: github-runners-{key}-{version}, labels: {{ephemeral.github-runners.role: externals}}}}\n"


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {
            "runner_layouts": runner_layouts,
            "runner_shares": runner_shares,
            "runner_externals": runner_externals,
        }
