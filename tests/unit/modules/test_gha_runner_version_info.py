# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gha_runner_version_info against the GitHub double."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tests.doubles.github.server import Double
from tests.doubles.github.settings import iso, moment

from .conftest import Run

MODULE = "gha_runner_version_info"
DAY = 86400


@pytest.fixture
def days(double: Double) -> Callable[[float], str]:
    """A time so many days from now, as GitHub writes it."""
    now = moment(double.admin.state()["time"])
    return lambda count: iso(now + count * DAY)


@pytest.fixture(autouse=True)
def _releases(double: Double, days: Callable[[float], str]) -> None:
    """A new release ten days ago; a version lasts thirty days beyond the next."""
    double.admin.settings(releases={"2.335.0": days(-60), "2.336.0": days(-45), "2.337.0": days(-10)})


def test_the_newest(run: Run, calls: Callable[[], list[str]]) -> None:
    found = run(MODULE, architecture="x86_64")
    again, check = run(MODULE, architecture="x86_64"), run(MODULE, architecture="x86_64", check=True)
    assert set(calls()) == {
        "GET /orgs/my-org/actions/runners/downloads",
        "GET /orgs/my-org/actions/runners/deprecations/2.337.0",
    }
    assert found == again
    assert found == {**check, "invocation": found["invocation"]}
    name = "actions-runner-linux-x64-2.337.0.tar.gz"
    del found["invocation"]
    assert found == {
        "changed": False,
        "version": "2.337.0",
        "accepted": True,
        "accepted_until": None,
        "registers_until": None,
        "works_until": None,
        "newest": {
            "version": "2.337.0",
            "os": "linux",
            "architecture": "x64",
            "filename": name,
            "url": f"https://github.com/actions/runner/releases/download/v2.337.0/{name}",
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
        },
    }


def test_one_that_has_a_while_to_go(run: Run, days: Callable[[float], str]) -> None:
    found = run(MODULE, version="2.336.0", architecture="arm64")
    assert (found["version"], found["accepted"], found["newest"]["version"]) == ("2.336.0", True, "2.337.0")
    assert found["newest"]["filename"] == "actions-runner-linux-arm64-2.337.0.tar.gz"
    assert found["accepted_until"] == found["works_until"] == days(20)
    assert found["registers_until"] is None


def test_one_that_is_refused(run: Run, days: Callable[[float], str]) -> None:
    found = run(MODULE, version="2.335.0")
    assert (found["accepted"], found["accepted_until"]) == (False, days(-15))


def test_the_earlier_end_counts(run: Run, double: Double, days: Callable[[float], str]) -> None:
    double.admin.settings(deprecations={"2.336.0": {"registration_deprecates_at": days(3)}})
    found = run(MODULE, version="2.336.0")
    assert (found["accepted_until"], found["registers_until"], found["works_until"]) == (days(3), days(3), days(20))


def test_githubs_clock_decides(run: Run, double: Double) -> None:
    double.admin.advance(21 * DAY)
    assert run(MODULE, version="2.336.0")["accepted"] is False


def test_a_server_that_does_not_know_the_question(run: Run, double: Double) -> None:
    double.admin.fault(status=404, path="/deprecations/")
    found = run(MODULE, version="2.336.0")
    assert (found["version"], found["accepted"], found["accepted_until"]) == ("2.336.0", None, None)
    assert found["newest"]["version"] == "2.337.0"


@pytest.mark.parametrize("version", ["latest", "v2.336.0", "2", "2.336.0/../.."])
def test_no_version(run: Run, version: str) -> None:
    found = run(MODULE, version=version)
    assert found["msg"] == f"version = {version!r}: not the version of a runner. Do: write it like 2.336.0"


def test_a_machine_without_a_runner(run: Run) -> None:
    found = run(MODULE, os="win", architecture="arm")
    assert found["error"]["kind"] == "NotFound"
    assert "there are only linux on x64" in found["msg"]


@pytest.mark.parametrize("option", ["os", "architecture"])
def test_a_choice_that_is_none(run: Run, calls: Callable[[], list[str]], option: str) -> None:
    found = run(MODULE, **{option: "plan9"})
    assert f"value of {option} must be one of: " in found["msg"]
    assert calls() == []
