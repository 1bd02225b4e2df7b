# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The locked tools are those asked for, and the lock names no machine's package index."""

from __future__ import annotations

import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository import sources


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


def test_all_that_is_wanted_is_locked() -> None:
    assert wanted() <= set(locked()), "lock anew, as requirements-dev.in says"


def test_every_pin_has_a_hash() -> None:
    assert not [name for name, lines in locked().items() if not any("--hash=sha256:" in line for line in lines)]


def test_the_lock_names_no_index() -> None:
    assert not re.findall(r"(?m)^\s*-(?!-hash=).*|.*://.*", sources.text("requirements-dev.txt"))
