# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No task shows a credential, at whatever verbosity."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.repository import sources
from tests.repository.sources import Task

#: A name that stands for a secret's value. Names of files, and questions about a secret, do not.
SECRET = re.compile(
    r"(?i)(?:token|credential|password|passphrase|private_key|jit_?config|secret)s?(?![\w]*(?:_path|_file|_name|_url))"
)
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
#: A value that has gone through a filter of the collection: whether that lets a secret out is for its own tests. One
#: that is there to give out credentials has them in its name.
_FILTERED = re.compile(r"\|\s*ephemeral\.github_runners\.(\w+)")
#: Keywords whose words never reach the output, or that are no values.
_QUIET = {
    "name",
    "no_log",
    "tags",
    "register",
    "loop_control",
    "notify",
    "listen",
    "when",
    "until",
    "changed_when",
    "failed_when",
}
#: These carry values to other tasks, which are looked at themselves, and print none.
_PASSES_ON = ("include_role", "import_role", "include_tasks", "import_tasks", "include_vars")
#: Modules whose words are bare expressions.
_BARE = {"var", "that"}


def _keep(quoted: re.Match[str]) -> str:
    """A quoted word of an expression, if it may be a key (`pool['token']`): no file's name, no pattern of names."""
    return "" if re.search(r"[./]|^.\^", quoted.group()) else quoted.group()


def expressions(node: Any, bare: bool = False) -> list[str]:
    """The Jinja expressions in a value, without names of files and patterns."""
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in expressions(value, bare or key in _BARE)]
    if isinstance(node, list):
        return [found for value in node for found in expressions(value, bare)]
    if isinstance(node, str):
        return [_QUOTED.sub(_keep, found) for found in ([node] if bare else _TEMPLATE.findall(node))]
    return []


def reveals(expression: str) -> bool:
    """Whether an expression's value may be a secret."""
    filters = _FILTERED.findall(expression)
    return bool(SECRET.search(filters[-1] if filters else expression))


def shows_a_secret(task: Task) -> str | None:
    """What is wrong with the task, if anything."""
    environment = task.keywords.get("environment")
    names = list(environment) if isinstance(environment, dict) else []
    if any(SECRET.search(word) for word in [*names, *expressions(environment)]):
        return "carries a secret in environment, which Ansible prints at -vvv even with no_log"
    action = task.action.rpartition(".")[2]
    values = {key: value for key, value in task.keywords.items() if key not in _QUIET}
    if not any(reveals(expression) for expression in expressions(values)):
        return None
    if action == "set_fact":
        return "keeps a secret as a fact, which a fact cache writes to disk"
    if action not in _PASSES_ON and task.no_log in (False, None):
        return "handles a secret without no_log"
    return None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("- a.b.uri:\n    url: x\n  environment:\n    GITHUB_TOKEN: '{{ x }}'\n  no_log: true", "environment"),
        ("- a.b.uri:\n    url: x\n  environment:\n    GH: '{{ my_token }}'\n  no_log: true", "environment"),
        ("- a.b.uri:\n    url: x\n  environment:\n    LANG: C", None),
        ("- a.b.copy:\n    content: '{{ role_token }}'", "no_log"),
        ("- a.b.copy:\n    content: '{{ role_token }}'\n  no_log: false", "no_log"),
        ("- a.b.copy:\n    content: '{{ role_token }}'\n  no_log: true", None),
        ("- block:\n    - a.b.copy:\n        content: '{{ role_token }}'\n  no_log: true", None),
        ("- block:\n    - a.b.copy:\n        content: '{{ role_token }}'", "no_log"),
        ("- a.b.copy:\n    src: credentials.json", None),
        ("- a.b.copy:\n    dest: \"{{ folder ~ '/credentials.json' }}\"", None),
        ("- a.b.copy:\n    content: \"{{ pool['token'] }}\"", "no_log"),
        ("- a.b.copy:\n    content: \"{{ lookup('a.b.env', 'GITHUB_TOKEN') }}\"", "no_log"),
        ("- a.b.debug:\n    msg: \"{{ query('a.b.varnames', '^x_(token|count)$') }}\"", None),
        ("- a.b.debug:\n    msg: '{{ x_token | ephemeral.github_runners.judge }}'", None),
        ("- a.b.debug:\n    msg: '{{ x | ephemeral.github_runners.credentials }}'", "no_log"),
        ("- a.b.debug:\n    var: role_credentials", "no_log"),
        ("- a.b.debug:\n    msg: x\n  loop: '{{ role_credentials }}'", "no_log"),
        ("- a.b.set_fact:\n    x: '{{ role_token }}'\n  no_log: true", "fact"),
        ("- a.b.include_role:\n    name: x\n  vars:\n    x_token: '{{ role_token }}'", None),
        ("- hosts: all\n  tasks:\n    - a.b.copy:\n        content: '{{ role_token }}'", "no_log"),
    ],
)
def test_a_shown_secret_is_seen(text: str, wrong: str | None) -> None:
    (task,) = sources.tasks_in(text, "here")
    complaint = shows_a_secret(task)
    assert (complaint is None) if wrong is None else (complaint is not None and wrong in complaint)


def test_no_task_shows_a_secret() -> None:
    found = sources.tasks()
    assert found, "no task found at all: are the roles elsewhere now?"
    complaints = [f"{task.where}: {wrong}" for task in found if (wrong := shows_a_secret(task))]
    assert not complaints, "\n".join(complaints)
