# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A skipped test turns the run red, unless tests/skips.txt gives a reason: tried on a small project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gates import skips
from tests.gates.tree import ROOT

TESTS = """
import pytest

def test_good():
    pass

@pytest.mark.skip(reason="no engine")
def test_skipped():
    pass

@pytest.mark.xfail(reason="known")
@pytest.mark.parametrize("n", [1])
def test_expected(n):
    assert False
"""


def run(folder: Path, tests: str, allowed: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin over these tests, with this list of skips."""
    (folder / "tests").mkdir()
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (folder / "tests" / "skips.txt").write_text(allowed)
    (folder / "tests" / "test_it.py").write_text(tests)
    options = ["-q", "-p", "tests.gates.skips", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder / "tests")],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_skips_without_leave_fail_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS, "# nothing\n")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "skipped without leave" in done.stdout
    assert "tests/test_it.py::test_skipped\n" in done.stdout
    assert "tests/test_it.py::test_expected[1]\n" in done.stdout


def test_listed_skips_are_printed(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS, "tests/test_it.py::test_skipped: needs a moon\ntests/*::test_expected[?]: issue 9\n")
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert "tests/test_it.py::test_skipped: needs a moon\n" in done.stdout
    assert "tests/test_it.py::test_expected[1]: issue 9\n" in done.stdout


def test_a_file_that_skips_itself_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "import pytest\n\npytest.skip('not here', allow_module_level=True)\n", "")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "tests/test_it.py\n" in done.stdout


def test_a_run_without_tests_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "", "").returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_list_without_reasons_stops_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS, "tests/test_it.py::test_skipped\n")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "line 1" in done.stdout and "gives no reason" in done.stdout


def test_brackets_are_literal() -> None:
    (rule,) = skips.parse("tests/a.py::test_x[*]: why: because")
    assert rule.allows("tests/a.py::test_x[1]")
    assert not rule.allows("tests/a.py::test_x1")
    assert rule.reason == "why: because"
