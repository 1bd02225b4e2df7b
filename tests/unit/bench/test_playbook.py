# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmarks of the playbook and of an idle runnerd count by."""

from __future__ import annotations

import configparser
import os
import subprocess
from pathlib import Path

import pytest

from tests.bench.idle import megabytes
from tests.bench.playbook import _unchanged
from tests.bench.playbook_fleet import BASELINE, FILES, Cost, Counter
from tests.lab.common import Problem


def test_what_goes_over_ssh_is_counted_and_goes_on(tmp_path: Path) -> None:
    """Ansible is told of the programs; each call is one, with its words and its exit code."""
    for name in ("ssh", "sftp"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$0" "$2"; exit 3\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "user").mkdir()
    counter = Counter(tmp_path / "user")
    told = configparser.ConfigParser()
    told.read(tmp_path / "user" / "ansible.cfg")
    counter.begin()
    for name in ("ssh", "sftp", "ssh"):
        program = told["ssh_connection"][f"{name}_executable"]
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(
            [program, "a", "b c"], env=environment, stdout=subprocess.PIPE, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stdout) == (3, f"{tmp_path / name} b c\n")
    assert counter.end() == 3
    counter.begin()
    assert counter.end() == 0


def test_a_run_that_should_change_nothing_and_does_is_no_sample() -> None:
    """A second run that works is not one, and ours after the baseline shows that both come to the same."""
    assert _unchanged(Cost(1, 1, 1, 1, changed=0))
    with pytest.raises(Problem, match="changed 2 things"):
        _unchanged(Cost(1, 1, 1, 1, changed=2))


def test_memory_is_told_in_megabytes() -> None:
    """Those of a million bytes: the smaller ones, in which a limit is harder to keep."""
    rollup = "0040 rollup\nRss:               49380 kB\nPss:               30000 kB\nPss_Dirty:          1 kB\n"
    assert (megabytes(rollup, "Rss"), megabytes(rollup, "Pss")) == (50.56512, 30.72)


def test_the_baseline_has_every_file_that_ours_writes() -> None:
    """By the paths: what the benchmark hands the baseline, the baseline uses."""
    text = BASELINE.read_text("utf-8")
    for path in FILES:
        assert f"{{{{ ready }}}}/{path}" in text or path == "opt/github-runners", path
