# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The locked tools are those asked for, and the lock names no machine's package index."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository import sources

#: Top-level packages of the repository; `standin` is the runner double's.
OWN = {"ansible_collections", "runnerd", "standin", "tests"}


def wanted() -> set[str]:
    """Names of what requirements-dev.in asks for."""
    lines = (line.split("#")[0].strip() for line in sources.text("requirements-dev.in").splitlines())
    return {canonicalize_name(Requirement(line).name) for line in lines if line}


def locked() -> dict[str, list[str]]:
    """What requirements-dev.txt pins: names, each with the lines that belong to it."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in sources.text("requirements-dev.txt").splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            name = canonicalize_name(Requirement(line.removesuffix("\\").strip()).name)
        found.setdefault(name, []).append(line)
    return found


def imported(text: str) -> set[str]:
    """The top-level modules that a Python text imports, its own package's left out."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names}


def test_imports_are_found() -> None:
    text = "from __future__ import annotations\nimport os.path, b\nfrom c.d import e\nfrom . import f\n"
    assert imported(text) == {"__future__", "os", "b", "c"}


def test_every_import_is_wanted() -> None:
    """What is imported is asked for by name: what another package happens to bring may go with its next release."""
    python = sources.files("plugins", "roles", "tests", "molecule", suffixes=(".py",))
    names = {name for path in python for name in imported(sources.text(path))} - OWN - sys.stdlib_module_names
    of_ansible = {"ansible": "ansible", "ansible_test": "ansible"}  # they come in ansible-core, which ansible brings
    distributions = packages_distributions()
    providers = {name: [of_ansible[name]] if name in of_ansible else distributions.get(name, []) for name in names}
    unasked = {
        name: found for name, found in providers.items() if not wanted() & {canonicalize_name(one) for one in found}
    }
    assert not unasked, f"imported, not in requirements-dev.in: {unasked}"


def test_all_that_is_wanted_is_locked() -> None:
    assert wanted() <= set(locked()), "lock anew, as requirements-dev.in says"


def test_every_pin_has_a_hash() -> None:
    assert not [name for name, lines in locked().items() if not any("--hash=sha256:" in line for line in lines)]


def test_the_lock_names_no_index() -> None:
    assert not re.findall(r"(?m)^\s*-(?!-hash=).*|.*://.*", sources.text("requirements-dev.txt"))
