# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gha_runner_info against the GitHub double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.client import Runner
from tests.doubles.github.server import Double

from .conftest import Run

MODULE = "gha_runner_info"
Register = Callable[..., Runner]
Calls = Callable[[], list[str]]


@pytest.fixture
def four(register: Register, double: Double) -> None:
    """A busy runner, an idle one, one that never started, and one of another name."""
    register("pool-busy", "self-hosted", "GPU", online=True)
    register("pool-idle", "self-hosted", online=True)
    register("pool-offline", "self-hosted", "gpu")
    register("other", "linux")
    double.admin.queue("my-org/app", ["gpu"], "true")


@pytest.mark.usefixtures("four")
class TestFilters:
    @pytest.mark.parametrize(
        ("options", "names"),
        [
            ({}, "pool-busy pool-idle pool-offline other"),
            ({"name": "pool-idle"}, "pool-idle"),
            ({"name": "pool-"}, ""),
            ({"name_prefix": "pool-"}, "pool-busy pool-idle pool-offline"),
            ({"name_prefix": ""}, "pool-busy pool-idle pool-offline other"),
            ({"labels": ["gpu"]}, "pool-busy pool-offline"),
            ({"labels": ["GPU", "Self-Hosted"]}, "pool-busy pool-offline"),
            ({"labels": ["gpu", "linux"]}, ""),
            ({"labels": []}, "pool-busy pool-idle pool-offline other"),
            ({"status": "online"}, "pool-busy pool-idle"),
            ({"status": "offline"}, "pool-offline other"),
            ({"busy": True}, "pool-busy"),
            ({"busy": False}, "pool-idle pool-offline other"),
            ({"ephemeral": True}, "pool-busy pool-idle pool-offline other"),
            ({"ephemeral": False}, ""),
            ({"name_prefix": "pool-", "labels": ["gpu"], "status": "offline", "busy": False}, "pool-offline"),
            ({"name": "pool-idle", "busy": True}, ""),
        ],
    )
    def test_each(self, run: Run, options: dict[str, Any], names: str) -> None:
        found = run(MODULE, **options)
        assert [each["name"] for each in found["runners"]] == names.split()
        assert found["total"] == (4 if "name" not in options else int(options["name"] == "pool-idle"))

    def test_again_and_in_check_mode(self, run: Run, calls: Calls) -> None:
        calls()
        found, again, check, check_again = run(MODULE), run(MODULE), run(MODULE, check=True), run(MODULE, check=True)
        assert found == again
        assert found == {**check, "invocation": found["invocation"]}
        assert check == check_again
        assert found["changed"] is False
        assert calls() == ["GET /orgs/my-org/actions/runners"] * 4


def test_a_runner_whole(run: Run, register: Register) -> None:
    number = register("one", "Linux", "gpu").settings["AgentId"]
    expected = {
        "id": number,
        "name": "one",
        "os": "unknown",
        "status": "offline",
        "busy": False,
        "labels": ["gpu", "linux"],
        "custom_labels": [],
        "ephemeral": True,
        "version": None,
        "group_id": 1,
    }
    assert run(MODULE)["runners"] == [expected]


@pytest.mark.parametrize(
    ("scope", "path"), [("my-org/app", "repos/my-org/app"), ("enterprises/acme", "enterprises/acme")]
)
def test_each_kind_of_scope(run: Run, register: Register, scope: str, path: str) -> None:
    register("one", scope=path)
    found = run(MODULE, scope=scope)
    assert ([each["name"] for each in found["runners"]], found["scope"]) == (["one"], scope)


def test_where_github_does_not_say_what_is_ephemeral(run: Run, double: Double) -> None:
    """An older Enterprise Server."""
    one = {"id": 7, "name": "one", "os": "linux", "status": "online", "busy": False, "labels": []}
    double.admin.fault(status=200, body={"total_count": 1, "runners": [one]})
    assert [len(run(MODULE, ephemeral=each)["runners"]) for each in (None, True, False)] == [1, 0, 0]


class TestPages:
    @pytest.fixture(autouse=True)
    def _hundred_and_one(self, enroll: Callable[..., str]) -> None:
        for number in range(101):
            enroll(f"r{number:03}")

    def test_all_of_them(self, run: Run, calls: Calls) -> None:
        calls()
        found = run(MODULE)
        assert [each["name"] for each in found["runners"]] == [f"r{number:03}" for number in range(101)]
        assert found["total"] == 101
        assert len(calls()) == 2

    def test_a_filter_sees_the_second_page(self, run: Run) -> None:
        assert [each["name"] for each in run(MODULE, name_prefix="r100")["runners"]] == ["r100"]

    @pytest.mark.parametrize("fault", [{"status": 502}, {"cut": "before"}, {"truncate": 300}, {"malformed": True}])
    def test_half_a_list_is_none(self, run: Run, double: Double, fault: dict[str, Any]) -> None:
        double.admin.fault(skip=1, **fault)
        found = run(MODULE)
        assert found["failed"] is True
        assert found["error"]["action"] == "list the runners of my-org"
        assert "page=2" in found["error"]["url"]
        assert "runners" not in found

    def test_a_page_is_asked_for_again(self, run: Run, double: Double) -> None:
        double.admin.fault(skip=1, times=1, status=502)
        assert run(MODULE, retries=1)["total"] == 101
