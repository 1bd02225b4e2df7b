# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pool: what its options mean, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.labels import (
    ARCHITECTURES,
    LABEL,
    MOST,
    default_labels,
    distinct_labels,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import Check, shown
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.container import (
    ARCHIVES,
    ARCHIVES_VARIABLE,
    judge_docker,
    judge_gpus,
    judge_volumes,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.credential import (
    GITHUB_TOKEN,
    judge_credential,
    secrets_of,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.ssh import judge_ssh

#: GitHub refuses longer runner names; runnerd ends each with the first twelve digits of its container's id.
NAME_LIMIT = 64
CONTAINER_DIGITS = 12
#: Docker refuses a smaller limit. As a number without a unit means bytes, this also finds a forgotten unit.
MEMORY_MINIMUM = 6 * 2**20

#: Lower-case components, as Docker's reference grammar has it; a tag, a digest, or both.
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64}"
)
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?(?:([kmgt])i?b?|b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def _labels(check: Check, option: str) -> list[str]:
    value = check.values.get(option)
    if isinstance(value, str):
        words = [word for word in re.split(r"[\s,]+", value) if word]
        check.wrong(option, "a text, where a list is needed", f"write {json.dumps(words)}")
        return []
    if not isinstance(value, (list, tuple)):
        check.wrong(option, "not a list", "write a list of labels, such as [self-hosted, linux, homelab]")
        return []
    bad = [label for label in value if not isinstance(label, str) or not LABEL.fullmatch(label)]
    if bad:
        check.wrong(
            option,
            f"no label: {', '.join(shown(label) for label in bad)}",
            "write each label as a text (numbers in quotes) without spaces and commas",
        )
    return [str(label) for label in value if label not in bad]


def _memory(check: Check, host: Mapping[str, Any]) -> str:
    value = check.values.get("memory")
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    match = _MEMORY.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        check.wrong(
            "memory", "not an amount of memory", "write a number and a unit, such as 3g or 512m; 0 for no limit"
        )
        return ""
    size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    total = int(host.get("memory_mb") or 0)
    if 0 < size < MEMORY_MINIMUM:
        check.wrong("memory", "less than Docker's least of 6m", "write the unit too, such as 3g or 512m")
    elif total and size > total * 2**20:
        check.wrong("memory", f"this host has {total} MiB", f"write at most {total}m, or give the host more memory")
    return match[0].replace(" ", "") if size else ""


def _cpus(check: Check, host: Mapping[str, Any]) -> str:
    value = check.values.get("cpus")
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"\s*[0-9]{1,4}(?:\.[0-9]{1,2})?\s*", text):
        check.wrong("cpus", "not a number of processors", "write a number, such as 2 or 1.5; 0 for no limit")
        return ""
    total = int(host.get("processors") or 0)
    if total and float(text) > total:
        check.wrong("cpus", f"this host has {total}", f"write at most {total}, or give the host more processors")
    return f"{float(text):g}" if float(text) else ""


def _environment(check: Check) -> dict[str, str]:
    value, secrets = check.values.get("environment"), secrets_of(check)
    if not isinstance(value, Mapping):
        check.wrong("environment", "not names with values", "write NAME: value, one a line", secret=True)
        return {}
    found = {}
    for name, content in value.items():
        one = Check({}, check.problems, check.place("environment"))
        option = f"environment[{name}]"
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            one.wrong(option, "not the name of a variable", "use letters, digits and underscores only", secret=True)
        elif name.startswith("ACTIONS_RUNNER_INPUT_"):
            one.wrong(option, "the runner takes this for an option of its own", "take it out", secret=True)
        elif isinstance(content, bool):
            found[name] = "true" if content else "false"
        elif not isinstance(content, (str, int, float)):
            one.wrong(option, "not a text", "give a text or a number", secret=True)
        elif GITHUB_TOKEN.search(str(content)) or any(secret in str(content) for secret in secrets):
            one.wrong(
                option,
                "a GitHub token or an App's key, which every job and `docker inspect` could read",
                "use a secret of the workflow, or the job's own GITHUB_TOKEN",
                secret=True,
            )
        else:
            found[name] = str(content)
    return found


def _scope(check: Check, api_url: str | None, host: Mapping[str, Any]) -> Scope | None:
    value = check.values.get("scope")
    if value in (None, ""):
        inventory = host.get("inventory")
        files = [f"host_vars/{host.get('name')}.yml", *(f"group_vars/{group}.yml" for group in host.get("groups", []))]
        beside = f"beside the inventory, in {inventory}" if inventory else "beside the inventory file"
        check.wrong(
            "scope",
            "not set, and there is no default: perhaps Ansible did not read your group variables",
            f"set it to owner/repo, my-org or enterprises/NAME in one of {', '.join(files)} {beside}",
        )
    elif value in ("org", "organization", "repo", "repository", "enterprise"):
        check.wrong("scope", "a kind of scope, not a name", "write owner/repo, my-org or enterprises/NAME")
    elif api_url is not None:
        try:
            return Scope.parse(value, api_url)
        except ValueError as error:  # its text is already `scope = value: why. Do: …`
            check.problems.append(f"{check.place('scope')}{error}")
    return None


def judge_pool(check: Check, name: str, api_url: str | None, host: Mapping[str, Any]) -> dict[str, Any]:
    """One pool as the Compose file and runnerd's settings need it."""
    scope = _scope(check, api_url, host)
    judge_credential(check, scope)
    count = check.integer("count", 1, 2, maximum=1000)
    slots = [f"{'runner' if name == 'default' else name}-{number}" for number in range(1, count + 1)]

    docker = judge_docker(check)
    labels = _labels(check, "labels")
    architecture = host.get("architecture")
    if not check.values.get("labels") and architecture in ARCHITECTURES:  # if not, that is said elsewhere
        labels = default_labels(architecture)
        labels += [] if docker["docker"] == "none" else ["docker"]  # a label is a promise
    labels = distinct_labels([*labels, *_labels(check, "extra_labels")])
    if len(labels) > MOST:
        check.wrong("labels", f"{len(labels)} labels in all, GitHub takes {MOST}", "write fewer")

    group = check.text("group", r"\S(?:.*\S)?", "not a name", "write the runner group's name, such as Default")
    if scope is not None and scope.kind == "repo" and group.lower() not in ("default", ""):
        check.wrong("group", f"the repository {scope} has no runner groups", "write Default, or use the organization")

    prefix = check.text(
        "name_prefix",
        r"[A-Za-z0-9][A-Za-z0-9._-]*",
        "runner names may have letters, digits, dots, hyphens and underscores only",
        "write a short name, such as gh-runner-01",
    )
    room = NAME_LIMIT - CONTAINER_DIGITS - len(f"--{slots[-1]}")
    if len(prefix) > room:
        check.wrong("name_prefix", f"{len(prefix)} characters; GitHub's limit leaves {room}", "write a shorter one")

    work_folder = check.text(
        "work_folder",
        r"(?!.*(?:^|/)\.\.(?:/|$))[\w./-]+",
        "not a plain path",
        "write a folder's name below the runner's own, such as _work",
    )
    directory = str(host.get("directory") or "")
    volumes = judge_volumes(check, directory, work_folder)
    if docker["docker"] == "socket":
        if work_folder != "_work":
            check.wrong(
                "work_folder", "with the host's Docker it is a folder of the host's", "take it out, or write _work"
            )
        # Containers that a job starts are siblings of its own: a path has to mean the same in it and on the host.
        work_folder = f"{directory}/work/{{slot}}"
    archives = {ARCHIVES_VARIABLE: ARCHIVES} if any(volume["target"] == ARCHIVES for volume in volumes) else {}
    return {
        "name": name,
        "scope": str(scope) if scope else "",
        "group": group,
        "allow_public": check.yes("allow_public"),
        "labels": labels,
        "work_folder": work_folder,
        "name_prefix": prefix,
        "slots": slots,
        "image": check.text(
            "image",
            _IMAGE,
            "not the name of an image",
            "write it as docker pull takes it, in small letters, such as ghcr.io/actions/actions-runner:latest",
        ),
        "dind_image": check.text(
            "dind_image", _IMAGE, "not the name of an image", "write it as docker pull takes it, such as docker:dind"
        ),
        **docker,
        "image_pull": check.choice("image_pull", ("missing", "always")),
        "image_update": check.choice("image_update", ("scheduled", "manual")),
        "cpus": _cpus(check, host),
        "memory": _memory(check, host),
        "pids_limit": check.integer("pids_limit", 0, 4096),
        "stop_grace_period": check.integer("stop_grace_period", 1, 30, unit="seconds"),
        "environment": {**archives, **_environment(check)},
        "volumes": volumes,
        "gpus": judge_gpus(check),
        "allow_sudo": check.yes("allow_sudo"),
        "ssh": judge_ssh(check),
    }
