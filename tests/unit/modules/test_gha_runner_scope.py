# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gha_runner_scope against the GitHub double."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest

from tests.doubles.github.server import Double
from tests.doubles.github.settings import iso, moment

from .conftest import CREDENTIALS, TOKEN, Run, warnings_in

MODULE = "gha_runner_scope"
DEFAULT = {
    "id": 1,
    "name": "Default",
    "default": True,
    "visibility": "all",
    "allows_public": False,
    "inherited": False,
    "restricted_to_workflows": False,
}


def test_an_organization(run: Run, double: Double, calls: Callable[[], list[str]]) -> None:
    found = run(MODULE, scope="My-Org", architecture="aarch64")
    again = run(MODULE, scope="My-Org", architecture="aarch64")
    check = run(MODULE, scope="My-Org", architecture="aarch64", check=True)
    assert all(call.startswith("GET ") for call in calls())
    assert found == again
    assert found == {**check, "invocation": found["invocation"]}
    groups = found.pop("groups")
    assert groups[0] == DEFAULT
    assert [(each["id"], each["name"], each["allows_public"]) for each in groups[1:]] == [
        (2, "GitHub-hosted", True),
        (3, "builders", False),
        (4, "open", True),
    ]
    del found["invocation"]
    assert found == {
        "changed": False,
        "scope": "my-org",
        "kind": "org",
        "url": f"{double.api_url}/my-org",
        "api_url": double.api_url,
        "api_path": "/orgs/my-org",
        "visibility": None,
        "group_id": 1,
        "group": "Default",
        "labels": ["self-hosted", "linux", "arm64", "ephemeral"],
        "token_expires_at": None,
    }


def test_a_repository(run: Run) -> None:
    found = run(MODULE, scope="my-org/app", runner_group="default", labels=["Self-Hosted", "gpu", "self-hosted"])
    assert (found["kind"], found["visibility"], found["api_path"]) == ("repo", "private", "/repos/my-org/app")
    assert (found["group_id"], found["group"], len(found["groups"])) == (1, "Default", 1)
    assert found["labels"] == ["Self-Hosted", "gpu"]


def test_an_enterprise(run: Run) -> None:
    found = run(MODULE, scope="enterprises/acme")
    assert (found["kind"], found["visibility"], found["api_path"]) == ("enterprise", None, "/enterprises/acme")
    assert found["groups"][0]["id"] == 1


def test_the_labels_fit_this_machine(run: Run) -> None:
    expected = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    assert run(MODULE)["labels"] == ["self-hosted", "linux", expected, "ephemeral"]


@pytest.mark.parametrize("name", ["builders", "BUILDERS"])
def test_a_runner_group(run: Run, name: str) -> None:
    found = run(MODULE, runner_group=name)
    assert (found["group_id"], found["group"]) == (3, "builders")


@pytest.mark.parametrize(
    ("scope", "there"), [("my-org", "'Default', 'GitHub-hosted', 'builders', 'open'"), ("my-org/app", "'Default'")]
)
def test_a_runner_group_that_is_not_there(run: Run, scope: str, there: str) -> None:
    found = run(MODULE, scope=scope, runner_group="nobody")
    assert found["msg"].startswith(f"Could not find the runner group 'nobody' in {scope}: there are only {there}.")
    assert found["error"]["kind"] == "NotFound"


class TestPublic:
    @pytest.mark.parametrize("options", [{"scope": "my-org/site"}, {"runner_group": "open"}])
    def test_is_refused_unless_allowed(self, run: Run, options: dict[str, str]) -> None:
        found = run(MODULE, **options)
        assert found["failed"] is True
        assert found["msg"].startswith("allow_public = false: ")
        assert "pull request" in found["msg"]
        assert found["msg"].endswith(", if that is what you want")
        assert "failed" not in run(MODULE, allow_public=True, **options)

    def test_internal_is_not_public(self, run: Run, double: Double) -> None:
        double.admin.scopes({"my-org/inside": {"visibility": "internal"}})
        double.admin.credentials({"owner": {"token": TOKEN, "scopes": {"my-org/inside": "write"}}})
        assert run(MODULE, scope="my-org/inside")["visibility"] == "internal"


def test_an_archived_repository_is_refused(run: Run, double: Double) -> None:
    double.admin.scopes({"my-org/old": {"archived": True}})
    double.admin.credentials({"owner": {"token": TOKEN, "scopes": {"my-org/old": "write"}}})
    assert run(MODULE, scope="my-org/old", allow_public=True)["msg"] == (
        f"scope = my-org/old: archived, so it runs no jobs. Do: unarchive it at {double.api_url}/my-org/old/settings"
    )


class TestNotThere:
    def test_a_persons_account(self, run: Run) -> None:
        assert "me is a person's account, which has no runners of its own" in run(MODULE, scope="me")["error"]["remedy"]

    @pytest.mark.parametrize("scope", ["my-org/nothing", "nobody"])
    def test_not_found(self, run: Run, double: Double, scope: str) -> None:
        found = run(MODULE, scope=scope)
        assert (found["error"]["status"], found["error"]["kind"]) == (404, "NotFound")
        assert f"{double.api_url}/{scope}" in found["error"]["remedy"]

    def test_a_repository_under_another_name(self, run: Run, double: Double) -> None:
        """GitHub answers a renamed one's old name with a redirect on the same host."""
        double.admin.fault(status=301, path="^/repos/my-org/old$", headers={"Location": "/repos/my-org/app"})
        found = run(MODULE, scope="my-org/old")
        assert found["scope"] == "my-org/app"
        assert warnings_in(found) == ["scope = my-org/old: GitHub calls it my-org/app now. Do: write that"]


class TestCredential:
    def test_that_may_not(self, run: Run) -> None:
        found = run(MODULE, token="github_pat_stranger")
        assert (found["error"]["status"], found["error"]["kind"]) == (403, "Forbidden")
        assert "Self-hosted runners" in found["error"]["remedy"]

    def test_of_single_sign_on(self, run: Run, double: Double) -> None:
        double.admin.credentials({"owner": {**CREDENTIALS["owner"], "sso": ["my-org"]}})
        found = run(MODULE)
        assert found["error"]["status"] == 403
        assert found["error"]["remedy"] == "authorize the token for the single sign-on of the organization"

    def test_that_may_only_read_passes(self, run: Run) -> None:
        """GitHub does not tell; the module's notes say so."""
        assert run(MODULE, token="github_pat_reader")["scope"] == "my-org"

    @pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False)])
    def test_that_ends_soon(self, run: Run, double: Double, days: int, warned: bool) -> None:
        end = iso(moment(double.admin.state()["time"]) + days * 86400)
        double.admin.credentials({"owner": {**CREDENTIALS["owner"], "expires_at": end}})
        found = run(MODULE)
        assert found["token_expires_at"] == end
        expected = [f"token = (hidden): it ends at {end}. Do: make a new one and give that"]
        assert warnings_in(found) == (expected if warned else [])


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["a b"], "labels = 'a b': no label: 1 to 256 characters, no blank, no comma. Do: write each by itself"),
        ([""], "labels = '': no label"),
        (["x" * 257], "labels = 'xxx"),
        ([], "labels = (0 of them): GitHub takes 1 to 100"),
        ([str(number) for number in range(101)], "labels = (101 of them): GitHub takes 1 to 100"),
    ],
)
def test_labels_that_are_none(run: Run, calls: Callable[[], list[str]], labels: list[str], problem: str) -> None:
    found = run(MODULE, labels=labels)
    assert found["failed"] is True
    assert found["msg"].startswith(problem)
    assert calls() == []


def test_all_wrong_labels_are_told_at_once(run: Run) -> None:
    assert run(MODULE, labels=["a b", "c", "d,e f"])["msg"].count("labels = ") == 2
