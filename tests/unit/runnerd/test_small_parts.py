# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small pure parts: the credential's lines, the Compose file's text, the table, names, back-off."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnerd.companion import WorkFolders, companions_of, has_lost_docker, specs
from runnerd.composefile import replace_text, without_slot
from runnerd.core import back_off
from runnerd.delivery import CredentialError, input_lines
from runnerd.effects import runner_name
from runnerd.model import Explained, SlotView, World
from runnerd.status import SlotStatus, duration, table


def jit(files: dict[str, str]) -> str:
    inner = {name: base64.b64encode(content.encode()).decode() for name, content in files.items()}
    return base64.b64encode(json.dumps(inner).encode()).decode()


def test_a_jit_configuration_becomes_one_line_a_file() -> None:
    lines = (
        input_lines(jit({".runner": "{}", ".credentials": "x", ".credentials_rsaparams": "y"})).decode().splitlines()
    )
    assert [line.split()[0] for line in lines] == [".runner", ".credentials", ".credentials_rsaparams", "end"]
    assert json.loads(base64.b64decode(lines[0].split()[1])) == {"DisableUpdate": True}
    assert base64.b64decode(lines[1].split()[1]) == b"x"


@pytest.mark.parametrize("before", [{"DisableUpdate": False}, {"disableUpdate": "False"}, {}])
def test_the_runner_is_told_not_to_update_itself(before: dict[str, object]) -> None:
    settings = "\ufeff" + json.dumps({"AgentName": "r", **before})
    line = input_lines(jit({".runner": settings})).decode().splitlines()[0]
    assert json.loads(base64.b64decode(line.split()[1])) == {"AgentName": "r", "DisableUpdate": True}


@pytest.mark.parametrize("strange", ["[1]", "not JSON"])
def test_a_form_that_is_not_known_is_left_as_it_is(strange: str) -> None:
    line = input_lines(jit({".runner": strange})).decode().splitlines()[0]
    assert base64.b64decode(line.split()[1]).decode() == strange


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "not base64 s3cret",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"a": 1}').decode(),
        jit({".credentials": "no .runner"}),
        jit({".runner": "{}", "../escape": "s3cret"}),
        jit({".runner": "{}", ".a\nend": "s3cret"}),
    ],
)
def test_anything_else_is_refused_and_never_shown(encoded: str) -> None:
    with pytest.raises(CredentialError) as caught:
        input_lines(encoded)
    assert "s3cret" not in str(caught.value)


FILE = """services:
  # slot runner-1 begin
  runner-1:
    image: a
  # slot runner-1 end
  # slot runner-10 begin
  runner-10:
    image: a
  # slot runner-10 end
"""


def test_cutting_a_slot_out_leaves_the_others_text_as_it_was() -> None:
    assert without_slot(FILE, "runner-1") == FILE.replace(
        "  # slot runner-1 begin\n  runner-1:\n    image: a\n  # slot runner-1 end\n", ""
    )
    assert without_slot(FILE, "runner-2") == FILE
    assert without_slot(FILE.replace("# slot runner-1 end", ""), "runner-1") == FILE.replace("# slot runner-1 end", "")


def test_replacing_keeps_mode_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("old")
    path.chmod(0o640)
    replace_text(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert list(tmp_path.iterdir()) == [path]


@given(
    st.text("abc-", min_size=1, max_size=90), st.integers(1, 999), st.text("0123456789abcdef", min_size=64, max_size=64)
)
def test_names_fit_github_and_tell_slot_and_container(prefix: str, number: int, container_id: str) -> None:
    name = runner_name(prefix, f"runner-{number}", container_id)
    assert len(name) <= 64
    assert name.endswith(f"-runner-{number}-{container_id[:12]}")


@given(st.integers(1, 5000), st.booleans())
def test_backing_off_grows_and_has_an_end(failures: int, was_online: bool) -> None:
    assert 0 < back_off(failures, was_online) <= back_off(failures + 1, was_online) <= (1 if was_online else 300)


@pytest.mark.parametrize(
    ("state", "failures", "reason"),
    [
        *((state, 1, "again, after: no such label") for state in ("creating", "minting", "starting")),
        ("starting", 0, ""),
        ("idle", 1, ""),
    ],
)
def test_in_the_middle_of_another_attempt_it_is_told_why(state: str, failures: int, reason: str) -> None:
    view = SlotView("runner-1", "default", True, failures=failures, failure="no such label")
    assert SlotStatus.of(view, Explained("runner-1", state, ""), 0.0, World(1.0, (view,)), 0.0).reason == reason


def test_the_table_shows_what_a_person_asks() -> None:
    slot = {"slot": "runner-1", "state": "busy", "seconds": 75, "runner": "h-runner-1-ab", "job": "build",
            "job_detail": "acme/app run 1", "reason": "", "remedy": ""}  # fmt: skip
    lines = table({"slots": [slot]}).splitlines()
    assert lines[0].split() == ["SLOT", "STATE", "SINCE", "RUNNER", "JOB", "REASON"]
    assert lines[1] == "runner-1  busy   1 min 15 s  h-runner-1-ab  build (acme/app run 1)"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (3600, "1 h 0 min"), (90000, "1 d 1 h"), (None, "-")]
)
def test_durations(seconds: object, text: str) -> None:
    assert duration(seconds) == text


RUNNER = {"Id": "a" * 64, "State": "running", "Labels": {"ephemeral.github-runners.docker": "dind"}}


def companion(state: str, runner: str = "a" * 64) -> dict[str, object]:
    """As Docker lists the daemon beside a runner."""
    return {
        "Id": "d" * 64,
        "State": state,
        "Labels": {"ephemeral.github-runners.role": "docker"},
        "HostConfig": {"NetworkMode": f"container:{runner}"},
    }


def test_a_companion_belongs_to_the_container_whose_network_it_lives_in() -> None:
    mine, other = companion("running"), companion("running", "b" * 64)
    assert companions_of("a" * 64, [RUNNER, mine, other]) == [mine]
    assert companions_of("c" * 64, [RUNNER, mine, other]) == []


@pytest.mark.parametrize(
    ("states", "lost"), [(["running"], False), (["created"], False), (["exited"], True), (["dead"], True), ([], True)]
)
def test_a_runner_loses_its_docker(states: list[str], lost: bool) -> None:
    assert has_lost_docker(RUNNER, [companion(state) for state in states]) is lost
    assert has_lost_docker({**RUNNER, "Labels": {}}, [companion(state) for state in states]) is False


def test_a_definition_changes_with_that_of_the_companion() -> None:
    one = specs({"runner-1": "x", "runner-1-docker": "y", "bare-1": "z"})
    assert one.keys() == {"runner-1", "bare-1"} and one["bare-1"] == "z"
    assert specs({"runner-1": "x", "runner-1-docker": "other"})["runner-1"] != one["runner-1"]
    assert specs({"runner-1": "other", "runner-1-docker": "y"})["runner-1"] != one["runner-1"]


def test_a_work_folder_is_new_for_each_runner_and_only_where_it_is_wanted(tmp_path: Path) -> None:
    folders, mine = WorkFolders(tmp_path), tmp_path / "work" / "runner-1"
    folders.renew("runner-1", "_work")
    assert not mine.exists()
    folders.renew("runner-1", str(mine))
    (mine / "deep").mkdir()
    (mine / "deep" / "file").write_text("of a job")
    assert mine.stat().st_mode & 0o7777 == 0o777
    assert mine.parent.stat().st_mode & 0o7777 == 0o700
    folders.renew("runner-1", str(mine))
    assert list(mine.iterdir()) == []
    folders.remove("runner-1")
    assert not mine.exists()
    folders.remove("runner-1")


def test_a_work_folder_that_a_job_made_a_link_leads_nowhere(tmp_path: Path) -> None:
    folders, mine, victim = WorkFolders(tmp_path), tmp_path / "work" / "runner-1", tmp_path / "victim"
    victim.mkdir()
    mine.parent.mkdir()
    mine.symlink_to(victim)
    folders.renew("runner-1", str(mine))
    assert victim.is_dir() and mine.is_dir() and not mine.is_symlink()
