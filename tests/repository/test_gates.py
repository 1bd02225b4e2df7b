# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates' own parts."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.gates import bootstrap, checks, tally, tree


def test_tree_leads_back_to_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "galaxy.yml").touch()
    collections = tree.ensure(tmp_path)
    assert collections == tmp_path / ".cache" / "collections"
    assert (collections / "ansible_collections" / "ephemeral" / "github_runners" / "galaxy.yml").exists()


def test_tree_is_repaired(tmp_path: Path) -> None:
    link = tree.content(tmp_path)
    link.parent.mkdir(parents=True)
    link.symlink_to("/elsewhere")
    tree.ensure(tmp_path)
    tree.ensure(tmp_path)
    assert link.resolve() == tmp_path.resolve()
    assert [path.name for path in link.parent.iterdir()] == [link.name]


def test_collection_is_the_working_copy() -> None:
    module = importlib.import_module("ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope")
    assert Path(str(module.__file__)).resolve().is_relative_to(tree.ROOT)


def test_pip_version_is_read() -> None:
    assert bootstrap.pip_version("    default_packages = dict(\n        pip='24.2',\n    )") == "24.2"
    with pytest.raises(ValueError, match="get_venv_packages"):
        bootstrap.pip_version("nothing of the kind")


def test_pip_options_keep_what_the_user_set(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://one.invalid/simple\ntimeout = 5%\n")
    environ = {"PIP_INDEX_URL": "https://two.invalid/simple", "PIP_CONFIG_FILE": "x", "HOME": "y"}
    options = bootstrap.pip_options([tmp_path / "none", file], environ)
    assert dict(options.items("global")) == {"index-url": "https://two.invalid/simple", "timeout": "5%"}


def test_a_failing_program_fails_its_gate() -> None:
    with pytest.raises(checks.Failed, match=r"(?s)words of it.*exit code 3"):
        checks.run("sh", "-c", "echo words of it; exit 3")
    with pytest.raises(checks.Failed, match="make venv"):
        checks.run("a-program-that-is-not-there")


@pytest.mark.parametrize(
    ("log", "code", "line"),
    [
        ("...\n66 passed in 8.11s\n", 0, "66 passed, 0 failed in 9s"),
        (
            "== 2 passed, 1 warning in 61.00s (0:01:01) ==\nx\n=== 1 failed, 3 passed, 1 skipped in 0.10s ===\n",
            2,
            "5 passed, 1 failed, 1 skipped in 9s",
        ),
        ("2 failed, 1 error in 0.1s\n", 2, "0 passed, 2 failed, 1 error in 9s"),
        ("== 2 errors in 0.1s ==\n", 2, "0 passed, 0 failed, 2 error in 9s"),
        ("4 passed in 1.0s\nmake: *** [lint] Error 1\n", 2, "4 passed, 0 failed, 1 error in 9s"),
        ("it said: 4 passed in 1.0s\n", 0, "0 passed, 0 failed in 9s"),
    ],
)
def test_tally_is_over_all_runs(log: str, code: int, line: str) -> None:
    assert tally.tally(log, code, 9) == line
