# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module small_files, run as Ansible runs it: as a program with its parameters on standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).parents[3] / "plugins" / "modules" / "small_files.py"
FILES = {"one.py": "print('ä')\n", "package/inner/__init__.py": ""}


def run(path: Path, check: bool = False, **own: Any) -> dict[str, Any]:
    """One run of the module; its result."""
    arguments = {"path": str(path), "files": FILES, "_ansible_check_mode": check, "_ansible_diff": True, **own}
    arguments["_ansible_remote_tmp"] = arguments["_ansible_tmpdir"] = str(path.parent)
    program = (
        "import json, runpy, sys\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        "with patch_module_args(json.load(sys.stdin)):\n"
        f"    runpy.run_path({str(MODULE)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(arguments), capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict), done.stderr
    return found


def content(path: Path) -> dict[str, str]:
    return {str(file.relative_to(path)): file.read_text("utf-8") for file in path.rglob("*") if file.is_file()}


def test_files_are_written_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    before = run(folder, check=True)
    assert before["changed"] is True
    assert not folder.exists()
    first = run(folder)
    assert first["changed"] is True
    assert first["written"] == before["written"] == sorted(FILES)
    assert first["diff"] == before["diff"]
    assert content(folder) == FILES
    assert (folder / "one.py").stat().st_mode & 0o777 == 0o644
    assert (folder / "package" / "inner").stat().st_mode & 0o777 == 0o755
    again = run(folder)
    assert (again["changed"], again["written"], again["diff"]) == (False, [], [])


@pytest.mark.parametrize("check", [True, False])
def test_what_differs_is_repaired_and_nothing_else(tmp_path: Path, check: bool) -> None:
    folder = tmp_path / "x"
    run(folder)
    (folder / "other").write_text("mine")
    (folder / "one.py").write_text("drifted\n")
    found = run(folder, check=check)
    assert found["written"] == ["one.py"]
    assert [(each["before"], each["after"]) for each in found["diff"]] == [("drifted\n", FILES["one.py"])]
    assert content(folder) == {**FILES, "other": "mine", "one.py": "drifted\n" if check else FILES["one.py"]}


def test_permissions_and_what_is_no_text_are_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    run(folder)
    os.chmod(folder / "one.py", 0o600)
    (folder / "package" / "inner" / "__init__.py").write_bytes(b"\xff\xfe")
    assert run(folder)["written"] == sorted(FILES)
    assert (folder / "one.py").stat().st_mode & 0o777 == 0o644
    assert content(folder) == FILES


def test_a_folder_without_files_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert [run(folder, files={})["changed"] for _each in range(2)] == [True, False]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir(0o700)
    run(folder)
    assert (folder.stat().st_mode & 0o777, content(folder)) == (0o700, FILES)


def test_an_owner_is_kept(tmp_path: Path) -> None:
    """Without root one may only keep what one has: then a change is refused, which is as good a sign of it."""
    folder, mine = tmp_path / "x", {"owner": str(os.getuid()), "group": str(os.getgid())}
    assert run(folder, **mine)["written"] == sorted(FILES)
    assert run(folder, **mine)["changed"] is False
    theirs = {"owner": "1234", "group": "2345"}
    assert run(folder, check=True, **theirs)["written"] == sorted(FILES)
    assert (folder / "one.py").stat().st_uid == os.getuid()
    found = run(folder, **theirs)
    if os.getuid():
        assert found["msg"].startswith("chown failed")
        return
    assert (found["written"], run(folder, **theirs)["changed"]) == (sorted(FILES), False)
    os.chown(folder, 0, 0)
    assert [run(folder, **theirs)["changed"] for _each in range(2)] == [True, False]
    (folder / "one.py").unlink()
    assert run(folder, **theirs)["written"] == ["one.py"]
    run(tmp_path / "new", **theirs)
    for path in (folder, folder / "one.py", tmp_path / "new", tmp_path / "new" / "package"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_a_file_that_is_refused_is_not_written(tmp_path: Path) -> None:
    """What was there stays, the reason is told, and nothing is left beside it."""
    path, judged = tmp_path / "x", {"files": {"one": "good\n"}, "validate": "grep --count good %s"}
    assert run(path, **judged)["written"] == ["one"]
    found = run(path, **{**judged, "files": {"one": "bad\n"}})
    assert (found["failed"], found["stdout"]) == (True, "0\n")
    assert found["msg"] == f"{path}/one: `grep` refuses what was to be written"
    assert content(path) == {"one": "good\n"}
    assert "changed" in run(path, check=True, **{**judged, "files": {"one": "bad\n"}}), "check mode judges nothing"


def test_a_file_that_is_right_is_not_judged_again(tmp_path: Path) -> None:
    run(tmp_path / "x")
    assert run(tmp_path / "x", validate="false %s")["changed"] is False


def test_without_diff_no_content_comes_back(tmp_path: Path) -> None:
    run(tmp_path / "x", files={"one": "the old secret\n"})
    found = run(tmp_path / "x", files={"one": "the new secret\n"}, _ansible_diff=False)
    assert found["written"] == ["one"]
    assert "secret" not in str(found)


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../../b"])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    found = run(tmp_path / "x", files={name: "x"})
    assert found["failed"] is True
    assert found["msg"].startswith(f"files = {name}: not below")
    assert not (tmp_path / "x").exists()


def test_a_mode_that_is_none(tmp_path: Path) -> None:
    assert run(tmp_path / "x", mode="u=rw")["msg"] == "mode = u=rw: not octal. Do: write it as '0644'"


def test_the_parameters_shown_are_names_only(tmp_path: Path) -> None:
    assert run(tmp_path / "x")["invocation"]["module_args"]["files"] == sorted(FILES)
