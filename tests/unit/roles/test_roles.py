# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles say twice, since there is no other way, says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]


def load(*path: str) -> Any:
    return yaml.safe_load(ROOT.joinpath(*path).read_text("utf-8"))


def test_runnerd_has_the_version_of_the_collection() -> None:
    """galaxy.yml is not in an installed collection, so the role cannot read it."""
    assert load("roles", "runnerd", "vars", "main.yml")["__runnerd_version"] == load("galaxy.yml")["version"]


def test_every_file_of_the_daemon_is_installed() -> None:
    """The role takes the Python files that lie directly in the two folders."""
    for folder in ("roles/runnerd/files/runnerd", "plugins/module_utils/_github"):
        deeper = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert deeper
        assert all(path.parent == ROOT / folder and path.suffix == ".py" for path in deeper), deeper
