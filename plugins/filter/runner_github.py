# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GitHub and the registry said to a host's variables, as lines for a person. Pure; no line shows a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX, Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.credential import hidden
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.options import pools_of
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.question import (
    api_url_of,
    judge_answer,
    judge_pull,
    judge_way,
    question_of,
)


def runner_refused(
    variables: Mapping[str, Any],
    host: Mapping[str, Any],
    answers: Sequence[Mapping[str, Any]],
    way: Mapping[str, Any],
) -> list[str]:
    """What is wrong with a host's variables by GitHub's word.

    Args:
        variables: As for runner_plan.
        host: As for runner_plan.
        answers: The results of ephemeral.github_runners.gha_runner_scope, run in a loop over the ``questions`` of the
            plan; also those that were asked for other hosts.
        way: The result of ansible.builtin.uri, which asked for the API's first page from the host.

    Returns:
        Lines ``variable = value: why. Do: …``.
    """
    problems: list[str] = []
    own = Check({name.removeprefix(PREFIX): value for name, value in variables.items()}, problems)
    by_key = {answer["item"]["key"]: answer for answer in answers if "item" in answer}
    api_url = api_url_of(own)
    pools = pools_of(variables, problems)
    problems.clear()  # what is wrong with the pools themselves has been said by runner_plan
    for _name, check in pools:
        question = question_of(check, api_url)
        if question and question["key"] in by_key:
            judge_answer(own, check, by_key[question["key"]], Scope.parse(question["scope"], str(api_url)))
    judge_way(own, str(host.get("name")), way)
    return hidden(problems, variables)


def runner_pulls(variables: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a host's images by the registries' word.

    Args:
        variables: As for runner_plan.
        results: The results of ``docker pull IMAGE``, run in a loop over images by ansible.builtin.command.

    Returns:
        Lines ``variable = value: why. Do: …``.
    """
    problems: list[str] = []
    pools = [check for _name, check in pools_of(variables, problems)]
    for result in results:
        if int(result.get("rc") or 0) == 0:
            continue
        image = str(result["item"])
        users = [
            (check, option)
            for check in pools
            for option in ("image", "dind_image")
            if str(check.values.get(option)).strip() == image
        ]
        for check, option in users or [(Check({}, problems), "image")]:
            judge_pull(check, option, image, result)
    return hidden(problems, variables)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"runner_refused": runner_refused, "runner_pulls": runner_pulls}
