# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that searches: it looks into everything, names it, shows nothing, and says what it could not read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import secrets
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.common import Problem
from tests.leaks import search
from tests.leaks.canaries import Canary
from tests.leaks.scan import Finding, Here, Report, scan

SECRET = f"ghp_{secrets.token_hex(18)}"
CANARIES = [Canary("it", SECRET), Canary("another", f"ghp_{secrets.token_hex(18)}")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def look(tmp_path: Path, *what: str) -> Report:
    """Search one place, called "here"."""
    (tmp_path / "own").mkdir(exist_ok=True)
    return scan(Here(tmp_path / "own"), {"here": what}, CANARIES)


def wheres(report: Report) -> set[str]:
    """Where it was found. It must be it, and nothing must have been passed over."""
    assert report.unread == []
    assert {finding.canary for finding in report.findings} <= {"it"}
    return {finding.where for finding in report.findings}


def test_files_of_every_kind_are_read(tmp_path: Path, place: Path) -> None:
    (place / "plain").write_text(f"x {SECRET} y")
    (place / "zeros").write_bytes(bytes(5_000_000) + SECRET.encode() + bytes(3))
    (place / "line\nend").write_text(SECRET)
    (place / "not-utf8-\udcff").write_text(SECRET)
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "er" / "z.gz").write_bytes(gzip.compress(SECRET.encode()))
    (place / "z.bz2").write_bytes(bz2.compress(SECRET.encode()))
    (place / "z.xz").write_bytes(lzma.compress(SECRET.encode()))
    (place / "not-packed.gz").write_text(SECRET)
    (place / "clean").write_text("nothing")
    (place / "clean.gz").write_bytes(gzip.compress(b"nothing"))
    os.mkfifo(place / "a-pipe-that-nobody-writes-to")
    report = look(tmp_path, "below", str(place), str(place / "a-pipe-that-nobody-writes-to"))
    names = {where.removeprefix(f"{place}/") for where in wheres(report)}
    assert names == {
        "plain", "zeros", "line\nend", "not-utf8-\udcff", "deep/er/z.gz", "z.bz2", "z.xz", "not-packed.gz",
    }  # fmt: skip
    assert report.looked["here"] > 10


def test_names_of_files_and_targets_of_links_are_read(tmp_path: Path, place: Path) -> None:
    names = f"names of files and targets of links below {place}"
    assert wheres(look(tmp_path, "below", str(place))) == set()
    (place / SECRET).mkdir()
    assert wheres(look(tmp_path, "below", str(place))) == {names}
    (place / SECRET).rmdir()
    (place / "link").symlink_to(f"/nowhere/{SECRET}")
    assert wheres(look(tmp_path, "below", str(place))) == {names}


def test_files_that_vanish_keep_no_others_from_being_read(place: Path) -> None:
    for number in range(20):
        (place / f"{number}").touch()
    (place / "folder").mkdir()
    sources = search.tree(str(place))
    first = next(sources)
    assert isinstance(first, search.File), first
    paths = {first.path}
    left = {str(path) for path in place.iterdir() if path.name in ("5", "6", "7")} | paths
    for path in place.iterdir():
        if str(path) not in left:
            path.rmdir() if path.is_dir() else path.unlink()
    assert paths | {source.path for source in sources if isinstance(source, search.File)} == left


def test_more_files_than_fit_a_command_line_are_all_read(tmp_path: Path, place: Path) -> None:
    long = place / ("x" * 240)
    long.mkdir()
    count = 2 * search.PATHS // (len(str(long)) + 9)
    for number in range(count):
        (long / f"{number}").write_text(SECRET if number % 2000 == 7 else "nothing")
    report = look(tmp_path, "below", str(place))
    assert {Path(where).name for where in wheres(report)} == {str(number) for number in range(7, count, 2000)}
    assert report.looked["here"] > count


def test_what_cannot_be_read_is_named(tmp_path: Path, place: Path) -> None:
    (place / "broken.gz").write_bytes(gzip.compress(SECRET.encode() * 100)[:-20])
    report = look(tmp_path, "below", str(place))
    assert len(report.unread) == 1 and "broken.gz: cannot be unpacked" in report.unread[0]
    report = look(tmp_path, "says", "sh", "-c", "echo no way >&2; exit 3")
    assert len(report.unread) == 1 and "no way" in report.unread[0]
    report = look(tmp_path, "says", "/no/such/program")
    assert len(report.unread) == 1


def test_output_of_programs_is_read(tmp_path: Path) -> None:
    script = f"import os; os.write(1, b'out'); os.write(2, bytes.fromhex('{SECRET.encode().hex()}'))"
    assert len(wheres(look(tmp_path, "says", sys.executable, "-c", script))) == 1
    assert wheres(look(tmp_path, "says", "echo", "nothing")) == set()


def test_processes_are_read(tmp_path: Path) -> None:
    environment = {**os.environ, "X": SECRET}
    with (
        subprocess.Popen(["sleep", "60"], env=environment) as one,
        subprocess.Popen(["sh", "-c", "read _x", SECRET], stdin=subprocess.PIPE) as other,
    ):
        try:
            assert f"/proc/{one.pid}/environ" in wheres(look(tmp_path, "environments", "own"))
            assert wheres(look(tmp_path, "command_lines", "own")) == {f"/proc/{other.pid}/cmdline"}
        finally:
            one.kill()
            other.kill()


def test_processes_that_have_ended_were_watched(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    here = Here(tmp_path / "own")
    with here.watching() as seen:
        time.sleep(0.5)  # until it is there itself
        subprocess.run(["sleep", "0.2"], env={**os.environ, "X": f"a\n\nb{SECRET}"}, check=True)
        subprocess.run(["sh", "-c", "sleep 0.2", SECRET], check=True)
        subprocess.run(["sleep", "0.21"], check=True)
        report = scan(here, {"seen": ("watched", seen)}, CANARIES)
    kinds = {where.partition("(")[2] for where in wheres(report)}
    assert kinds == {"sleep)", "sh)"} and report.looked["seen"] > 3
    assert not Path(seen).exists()


def test_a_database_is_read_row_by_row_and_as_it_lies_on_the_disk(tmp_path: Path, place: Path) -> None:
    path = place / "x.sqlite"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table t(x)")
        connection.execute("pragma wal_checkpoint(truncate)")
        assert wheres(look(tmp_path, "database", str(path))) == set()
        connection.execute("insert into t values (?)", (f"a {SECRET}",))
        assert wheres(look(tmp_path, "database", str(path))) == {f"{path}-wal", f"rows of {path}"}
        connection.execute("delete from t")
        assert wheres(look(tmp_path, "database", str(path))) == {f"{path}-wal"}
    connection.close()


def test_core_dumps_are_told_from_programs(tmp_path: Path) -> None:
    assert search.is_core(sys.executable) is False
    elf = bytearray(Path(sys.executable).resolve().read_bytes()[:64])
    elf[16:18] = (4).to_bytes(2, sys.byteorder)
    (tmp_path / "any-name").write_bytes(elf)
    assert search.is_core(str(tmp_path / "any-name")) is True
    (tmp_path / "short").write_bytes(elf[:17])
    assert search.is_core(str(tmp_path / "short")) is False
    assert search.is_core(str(tmp_path / "none")) is False


class Told(Here):
    """Keeps what the program told."""

    report = ""

    def search(self, request: str) -> str:
        self.report = super().search(request)
        return self.report


def test_the_report_shows_no_secret_and_the_request_is_gone(tmp_path: Path, place: Path) -> None:
    (place / "plain").write_text(SECRET)
    here = Told(tmp_path)
    report = scan(here, {"here": ("below", str(place))}, CANARIES)
    assert report.findings == [Finding("here", f"{place}/plain", "it", "plain")]
    assert SECRET[:20] not in repr(report) and SECRET[:20] not in here.report
    assert list(tmp_path.iterdir()) == [place]


def test_a_search_that_fails_is_no_clean_one(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no_such_place"):
        look(tmp_path, "no_such_place")


def test_mounts_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    found = list(search.mounts("self"))
    assert any(place == "/" for _device, _root, place, _options in found)
    assert not any(place == "/proc" for _device, _root, place, _options in found)
