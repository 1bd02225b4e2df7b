# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The double as a program: `python -m tests.doubles.proxmox`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.proxmox import access
from tests.doubles.proxmox.cli import Admin, AdminError

PROGRAM = [sys.executable, "-m", "tests.doubles.proxmox"]
ROOT = Path(__file__).parents[2]


def test_it_serves_until_it_is_told_to_stop(pve_tls: tuple[Path, Path], tmp_path: Path) -> None:
    own = str(pve_tls[0])
    (tmp_path / "access.json").write_text(json.dumps(access()))
    (tmp_path / "cluster.json").write_text(json.dumps({"vms": {"250": {"config": {"name": "other"}}}}))
    options = ["--port", "0", "--admin-port", "0", "--cert", own, "--key", own]
    options += ["--access", str(tmp_path / "access.json"), "--cluster", str(tmp_path / "cluster.json")]
    with subprocess.Popen([*PROGRAM, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(
            r"Proxmox VE double: API https://127\.0\.0\.1:\d+, admin (http://127\.0\.0\.1:\d+)/\n", line
        )
        assert found, line
        vm = Admin(found[1]).vm(250)
        process.terminate()
        assert process.wait(60) == 0
    assert vm
    assert vm["config"] == {"name": "other"}
    with pytest.raises(AdminError, match="Is it running"):
        Admin(found[1]).state()


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        ([], 2, "the following arguments are required: --cert, --key"),
        (["--cert", "/no/such", "--key", "/no/such"], 1, "proxmox-double: [Errno 2] No such file or directory"),
        (["--cert", "x", "--key", "x", "--access", "/no/such"], 2, "/no/such: No such file or directory"),
    ],
)
def test_it_says_what_is_wrong(options: list[str], code: int, why: str) -> None:
    done = subprocess.run([*PROGRAM, *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, why in done.stderr) == (code, True), done.stderr
