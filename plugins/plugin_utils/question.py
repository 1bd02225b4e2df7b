# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GitHub is to be asked about a host's pools before anything is changed, and what its answers mean for them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.access import Access
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import NotFound, one_line
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Group
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope, split_api_url
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.credential import form_of, judge_credential

#: The options of the module gha_runner_scope that have another name here.
_OURS = {"private_key": "app_private_key", "installation_id": "app_installation_id"}
#: What a line of the module's begins with, if it is about one of its options.
_OPTION = re.compile(r"(token|app_id|private_key|installation_id|scope|api_url|ca_file) = (.*)", re.DOTALL)
#: Ansible's sentence on a library that a module lacks: the library, and the Python.
_MISSING = re.compile(r"required Python library \((.*?)\) on \S+ Python (\S+)\.(?: |$)")
#: Errors that tell nothing of scope and credential: GitHub was not reached, or something else answered.
_NOT_GITHUB = ("Unreachable", "ProtocolError", "ServerError", "Moved")
_SKIP = "github_docker_runners_check_github: false skips the question"


def api_url_of(own: Check) -> str | None:
    """The API to ask; None if the variable is no good, or the credential would go over the wire in clear."""
    try:
        url = split_api_url(own.values.get("api_url", "")).geturl()
    except ValueError:
        return None
    return url if url.startswith("https:") else None


def question_of(check: Check, api_url: str | None) -> dict[str, str] | None:
    """What to ask about a pool: whether this credential may manage the runners of this scope.

    Equal questions have equal keys, on all hosts. None if the pool's scope or credential is no good anyhow.
    """
    if api_url is None:
        return None
    try:
        scope = Scope.parse(check.values.get("scope", ""), api_url)
    except ValueError:
        return None
    problems: list[str] = []
    judge_credential(Check(check.values, problems), scope)
    if problems:
        return None
    asked = [scope.api_url, str(scope).lower(), sorted(form_of(check).items())]
    # Nobody finds a credential by its digest: it is too long to be guessed.
    return {"key": hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16], "scope": str(scope)}


def judge_answer(own: Check, check: Check, answer: Mapping[str, Any], scope: Scope) -> None:
    """What an answer of gha_runner_scope's means for one pool. `own`: the variables that are the same for all pools."""
    if "groups" not in answer:
        _judge_failure(own, check, answer)
        return
    groups = tuple(Group(**group) for group in answer["groups"])
    access = Access(Scope.parse(answer["scope"], scope.api_url), answer["visibility"], False, groups)
    try:
        group = access.group(str(check.values.get("group")))
    except NotFound as exc:
        check.wrong("group", f"{scope} has no such runner group, {exc.message}", exc.hint)
        return
    if access.open_to_public(group) and not Check(check.values, []).yes("allow_public"):
        what, remedy = (
            f"the runner group {group.name} of {scope} takes jobs of public repositories",
            ("forbid that in the settings of the group, or use another group"),
        )
        if scope.kind == "repo":
            what, remedy = f"{scope} is public", "make it private, or use runners that are not yours"
        check.wrong(
            "allow_public",
            f"{what}, so anybody who sends a pull request can have code run on your machine",
            f"{remedy}; or set it to true, if that is what you want",
        )


def _judge_failure(own: Check, check: Check, answer: Mapping[str, Any]) -> None:
    error = answer.get("error")
    message = one_line(answer.get("msg") or "it said nothing")
    if isinstance(error, Mapping):
        why, remedy = _told(error)
        credential = "token" if "token" in form_of(check) else "app_id"
        if error.get("kind") in _NOT_GITHUB:
            own.wrong("api_url", f"the control node {why}", f"{remedy}; {_SKIP}")
        elif error.get("kind") in ("Unauthorized", "Forbidden", "RateLimited"):
            check.wrong(credential, why, remedy, secret=True)
        else:
            check.wrong("scope", why, remedy)
    elif match := _OPTION.match(message):
        option = _OURS.get(match[1], match[1])
        place = check.place(option) if option in check.values else own.place(option)
        own.problems.append(f"{place}{option} = {match[2]}")
    else:
        why, _do, remedy = message.partition(". Do: ")
        if missing := _MISSING.search(why):
            why = f"{missing[2]} has no library {missing[1]}"
        own.wrong("check_github", f"the control node cannot ask GitHub: {why}", f"{remedy or _SKIP}")


def _told(error: Mapping[str, Any]) -> tuple[str, str]:
    """An error of the library's as why and remedy."""
    status = f"{error['status']} " if error.get("status") else ""
    where = f" ({error['url']}" + (f", request id {error['request_id']}" if error.get("request_id") else "") + ")"
    why = f"could not {error.get('action')}: {status}{error.get('message')}{where if error.get('url') else ''}"
    return why, str(error.get("remedy") or "see what GitHub says")


def judge_way(own: Check, host: str, answer: Mapping[str, Any]) -> None:
    """Whether the runner host reaches GitHub at all, by the result of ansible.builtin.uri there: any answer will do."""
    if int(answer.get("status") or -1) > 0 or "msg" not in answer:
        return
    message = one_line(answer["msg"])
    own.wrong(
        "api_url",
        f"{host} does not reach it: {message.partition('Request failed: ')[2] or message}",
        f"see to the network of {host} (name resolution, firewall, proxy); {_SKIP}",
    )


def judge_pull(check: Check, option: str, image: str, result: Mapping[str, Any]) -> None:
    """What a failed ``docker pull`` means for a pool's option, or for the flat one if no pool has the image."""
    said = one_line(result.get("stderr") or result.get("msg") or "it said nothing")
    why = f"docker pull says: {said.removeprefix('Error response from daemon: ')}"
    remedy = (
        "see whether name and tag are right and the host reaches the registry; for a private image, docker login there"
    )
    Check({option: image}, check.problems, check.place(option)).wrong(option, why, remedy)
