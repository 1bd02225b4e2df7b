# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags, contexts and sources: what makes two images the same, and where Debian comes from."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import archive, images
from tests.lab.common import Problem
from tests.lab.images import File, Recipe

RECIPE = Recipe("thing", {"Dockerfile": File(b"FROM x\n"), "run": File(b"#!/bin/sh\n", 0o755)}, {"BASE": "debian:1"})


def test_equal_recipes_have_equal_tags() -> None:
    again = Recipe("thing", dict(reversed(RECIPE.files.items())), dict(RECIPE.args))
    assert again.tag == RECIPE.tag
    assert RECIPE.tag.startswith("ghr-lab/thing:")


@pytest.mark.parametrize(
    "other",
    [
        replace(RECIPE, name="other"),
        replace(RECIPE, args={"BASE": "debian:2"}),
        replace(RECIPE, args={**RECIPE.args, "MORE": ""}),
        replace(RECIPE, files={**RECIPE.files, "run": File(b"#!/bin/sh\n", 0o644)}),
        replace(RECIPE, files={**RECIPE.files, "run": File(b"#!/bin/bash\n", 0o755)}),
        replace(RECIPE, files={**RECIPE.files, "new": File(b"")}),
        replace(RECIPE, files={"Dockerfile": RECIPE.files["Dockerfile"]}),
    ],
)
def test_any_change_is_another_tag(other: Recipe) -> None:
    assert other.tag != RECIPE.tag


contexts = st.dictionaries(st.text("ab/", min_size=1), st.binary(max_size=4), max_size=3)


@given(contexts, contexts)
def test_no_two_contexts_share_a_tag(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    tags = [Recipe("x", {path: File(data) for path, data in files.items()}).tag for files in (one, two)]
    assert (tags[0] == tags[1]) == (one == two)


def test_a_context_is_the_folder_without_what_tools_leave_there(tmp_path: Path) -> None:
    for name in ("Dockerfile", "tool", "sub/file", "__pycache__/tool.pyc", ".cache/x", "sub/.swp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "tool").chmod(0o700)
    found = images.folder(tmp_path)
    assert {name: file.mode for name, file in found.items()} == {
        "Dockerfile": 0o644,
        "tool": 0o755,
        "sub/file": 0o644,
    }


def test_a_folder_without_a_dockerfile_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=str(tmp_path)):
        images.folder(tmp_path)


def test_a_tar_is_the_same_each_time_and_has_modes_and_owner() -> None:
    made = images.tarball(RECIPE.files, owner=1000)
    assert made == images.tarball(dict(reversed(RECIPE.files.items())), owner=1000)
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        run = tar.getmember("run")
        assert (run.mode, run.uid, run.gid) == (0o755, 1000, 1000)


def test_a_failed_step_is_told_with_what_was_said_before() -> None:
    steps = [{"stream": "Step 1\n"}, {"stream": "no such package\n"}, {"error": "returned 100"}]
    with pytest.raises(Problem, match=r"x failed: returned 100\nStep 1\nno such package"):
        images.follow(steps, "x failed")


def test_the_recipes_in_the_checkout_are_whole() -> None:
    for name in ("base", "host", "registry"):
        assert b"ARG BASE\nFROM ${BASE}\n" in images.folder(images.RECIPES / name)["Dockerfile"].content
    packages = images.folder(images.RECIPES / "docker-packages")
    assert {packages[name].mode for name in ("make-packages", "make-repository")} == {0o755}
    assert images.folder(images.RECIPES / "host")["lab-boot"].mode == 0o755


TARGETS = [
    "http://mirror/debian bookworm",
    "http://mirror/debian bookworm-updates",
    "http://mirror/debian-security bookworm-security",
    "http://second/debian bookworm",
    "http://vendor/apt stable",
]


def test_the_machines_archive_serves_another_release() -> None:
    assert archive.translate(TARGETS, "bookworm", "trixie") == [
        "deb http://mirror/debian trixie main",
        "deb http://mirror/debian trixie-updates main",
        "deb http://mirror/debian-security trixie-security main",
    ]


def test_only_what_the_machine_has_is_used() -> None:
    assert archive.translate(["http://mirror/debian bookworm", ""], "bookworm", "bookworm") == [
        "deb http://mirror/debian bookworm main"
    ]
    assert archive.translate(["http://vendor/apt stable"], "bookworm", "trixie") == []


def test_a_machine_that_is_not_debian_has_no_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive.platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    with pytest.raises(Problem, match="no Debian archive"):
        archive.own_sources("13")


def test_extra_certificates_are_found_below_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "corp.crt").write_bytes(b"corp")
    (tmp_path / "note.txt").write_bytes(b"no")
    assert archive.extra_certificates(tmp_path) == {"corp.crt": b"corp"}
    assert archive.extra_certificates(tmp_path / "none") == {}
