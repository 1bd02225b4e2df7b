# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of the repository, as the tests here read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.gates import checks
from tests.gates.tree import ROOT

#: The folders of which the collection consists for Galaxy: it must work with nothing else.
PUBLIC = ("meta", "plugins", "roles", "playbooks")


def text(path: Path | str) -> str:
    """The content of a file, `path` being relative to the checkout. Bytes that are no UTF-8 are replaced."""
    return (ROOT / path).read_text("utf-8", errors="replace")


def files(*folders: str, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """The repository's files, relative to the checkout; in these folders, with these suffixes, if any are given."""
    return [
        path
        for path in checks.files()
        if (not folders or path.parts[0] in folders) and (not suffixes or path.suffix in suffixes)
    ]


def roles() -> list[str]:
    """The names of the roles."""
    return sorted({path.parts[1] for path in files("roles") if len(path.parts) > 2})


@dataclass(frozen=True)
class Task:
    """One task of a role or playbook, with the blocks round it."""

    where: str
    keywords: dict[str, Any]
    no_log: Any = field(default=False)

    @property
    def action(self) -> str:
        """The module's name as written."""
        return next((key for key in self.keywords if "." in key), "")


_SECTIONS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")


def _walk(node: Any, where: str, no_log: Any) -> Iterator[Task]:
    if isinstance(node, list):
        for item in node:
            yield from _walk(item, where, no_log)
    elif isinstance(node, dict):
        inherited = node.get("no_log", no_log)
        inside = [node[section] for section in _SECTIONS if section in node]
        if inside or "hosts" in node:
            yield from (task for section in inside for task in _walk(section, where, inherited))
        elif "import_playbook" not in node and "ansible.builtin.import_playbook" not in node:
            yield Task(f"{where}: {node.get('name', next(iter(node), '?'))}", node, inherited)


def tasks_in(content: str, where: str) -> list[Task]:
    """Every task of one YAML text, those in blocks too."""
    return list(_walk(yaml.load(content, Loader=_Loader), where, False))


class _Loader(yaml.SafeLoader):
    """Safe, and knows Ansible's own tags: their value is taken as text."""


def _as_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


for _tag in ("!vault", "!unsafe"):
    _Loader.add_constructor(_tag, _as_text)


def tasks() -> list[Task]:
    """Every task of the roles, the playbooks and Molecule's scenarios."""
    found = []
    for path in files("roles", "playbooks", "molecule", suffixes=(".yml", ".yaml")):
        in_role = len(path.parts) > 3 and path.parts[0] == "roles" and path.parts[2] in ("tasks", "handlers")
        in_play = path.match("playbooks/*.yml") or (path.parts[0] == "molecule" and path.name != "molecule.yml")
        if in_role or in_play:
            found += tasks_in(text(path), str(path))
    return found


def comment_beside(lines: list[str], index: int, after: str) -> bool:
    """Whether a line says why: by a comment behind `after` on the same line, or by a comment line right above it."""
    words = re.compile(r"[#(,]\s*\w.*\w")
    behind = lines[index].split(after, 1)[-1]
    above = lines[index - 1].strip() if index else ""
    return bool(words.search(behind)) or bool(above.startswith("#") and words.search(above))
