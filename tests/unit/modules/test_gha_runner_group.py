# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gha_runner_group against the GitHub double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.doubles.github.server import Double

from .conftest import CREDENTIALS, TOKEN, Result, Run

MODULE = "gha_runner_group"
GROUPS = "/orgs/my-org/actions/runner-groups"
WORKFLOW = "my-org/app/.github/workflows/deploy.yml@refs/heads/main"
BEFORE: dict[str, Any] = {
    "repositories": ["app"],
    "allows_public_repositories": True,
    "selected_workflows": [WORKFLOW, WORKFLOW.replace("main", "next")],
}
Calls = Callable[[], list[str]]
Ask = Callable[..., Any]


@pytest.fixture
def ask(double: Double) -> Ask:
    """Asks the double itself, as its owner."""

    def go(method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.request(method, double.api_url + path, json=body, headers=headers, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    return go


@pytest.fixture
def group(run: Run) -> Callable[..., Result]:
    """Runs the module for the group "new"."""
    return lambda **options: run(MODULE, **{"name": "new", **options})


def writes(calls: Calls) -> list[str]:
    return [call for call in calls() if not call.startswith("GET ")]


def runner_in(ask: Ask, group: int, name: str = "one") -> int:
    """The number of a runner that is registered in a group of my-org."""
    body = {"name": name, "runner_group_id": group, "labels": ["self-hosted"]}
    return int(ask("POST", "/orgs/my-org/actions/runners/generate-jitconfig", body)["runner"]["id"])


def same(found: Result, other: Result) -> bool:
    return {**found, "invocation": None} == {**other, "invocation": None}


class TestLife:
    def test_made_changed_and_removed(self, group: Callable[..., Result], calls: Calls, ask: Ask) -> None:
        """Each in check mode, in earnest, and again."""
        options: dict[str, Any] = {"repositories": ["app", "my-org/Site"], "allows_public_repositories": True}
        expected = {
            "id": 5,
            "name": "new",
            "visibility": "selected",
            "repositories": ["my-org/app", "my-org/site"],
            "organizations": None,
            "allows_public_repositories": True,
            "restricted_to_workflows": False,
            "selected_workflows": [],
        }
        check = group(check=True, **options)
        assert writes(calls) == []
        made = group(**options)
        assert writes(calls) == [f"POST {GROUPS}"]
        assert (made["changed"], made["group"], made["scope"]) == (True, expected, "my-org")
        assert made["diff"]["before"] == {}
        assert made["diff"]["after"]["repositories"] == expected["repositories"]
        assert check["group"] == {**expected, "id": None}
        assert same({**check, "group": expected}, made)
        for again in (group(**options), group(check=True, **options), group()):
            assert (again["changed"], again["group"]) == (False, expected)
            assert again["diff"]["before"] == again["diff"]["after"]
        assert writes(calls) == []

        options = {"repositories": ["site"], "selected_workflows": [WORKFLOW]}
        expected |= {"repositories": ["my-org/site"], "restricted_to_workflows": True, "selected_workflows": [WORKFLOW]}
        check = group(check=True, **options)
        assert writes(calls) == []
        changed = group(**options)
        assert writes(calls) == [f"PATCH {GROUPS}/5", f"PUT {GROUPS}/5/repositories"]
        assert (changed["changed"], changed["group"]) == (True, expected)
        assert changed["diff"] == {"before": made["diff"]["after"], "after": changed["diff"]["after"]}
        assert same(check, changed)
        assert group(**options)["changed"] is False
        told = ask("GET", f"{GROUPS}/5")
        assert (told["allows_public_repositories"], told["selected_workflows"]) == (True, [WORKFLOW])

        check = group(check=True, state="absent")
        assert writes(calls) == []
        removed = group(state="absent")
        assert writes(calls) == [f"DELETE {GROUPS}/5"]
        assert (removed["changed"], removed["group"], removed["moved_runners"]) == (True, None, [])
        assert removed["diff"] == {"before": changed["diff"]["after"], "after": {}}
        assert same(check, removed)
        for again in (group(state="absent"), group(state="absent", check=True)):
            assert (again["changed"], again["group"], again["diff"]) == (False, None, {"before": {}, "after": {}})
        assert writes(calls) == []

    def test_githubs_defaults(self, group: Callable[..., Result]) -> None:
        check, made = group(check=True), group()
        assert made["group"] == {**check["group"], "id": 5}
        assert (made["group"]["visibility"], made["group"]["allows_public_repositories"]) == ("all", False)

    def test_the_name_in_other_letters(self, run: Run, calls: Calls, ask: Ask) -> None:
        found = run(MODULE, name="BUILDERS", visibility="private")
        assert (found["changed"], found["group"]["name"], found["group"]["id"]) == (True, "builders", 3)
        assert ask("GET", f"{GROUPS}/3")["name"] == "builders"

    def test_the_default_group_can_be_changed(self, run: Run, ask: Ask) -> None:
        assert run(MODULE, name="default", repositories=["app"])["changed"] is True
        assert ask("GET", f"{GROUPS}/1")["visibility"] == "selected"


class TestOneSetting:
    """What the task does not name stays."""

    @pytest.mark.parametrize(
        ("options", "changes"),
        [
            ({"visibility": "all"}, {"visibility": "all", "repositories": None}),
            ({"repositories": []}, {"repositories": []}),
            ({"repositories": ["site"]}, {"repositories": ["my-org/site"]}),
            ({"allows_public_repositories": False}, {"allows_public_repositories": False}),
            ({"selected_workflows": [WORKFLOW]}, {"selected_workflows": [WORKFLOW]}),
            ({"selected_workflows": []}, {"selected_workflows": []}),
        ],
    )
    def test_alone(self, group: Callable[..., Result], options: dict[str, Any], changes: dict[str, Any]) -> None:
        before = group(**BEFORE)["group"]
        found = group(**options)
        assert (found["changed"], found["group"]) == (True, {**before, **changes})
        assert group()["group"] == {**before, **changes}

    def test_no_workflows_any_more(self, group: Callable[..., Result]) -> None:
        group(**BEFORE)
        found = group(restricted_to_workflows=False)
        assert found["changed"] is True
        assert (found["group"]["restricted_to_workflows"], found["group"]["selected_workflows"]) == (False, [])
        again = group(restricted_to_workflows=False)
        assert (again["changed"], again["group"]) == (False, found["group"])

    @pytest.mark.parametrize(("restricted", "changed"), [(False, False), (True, True)])
    def test_workflows_that_github_keeps_without_heeding_them(
        self, run: Run, double: Double, ask: Ask, restricted: bool, changed: bool
    ) -> None:
        told = ask("GET", GROUPS)
        told["runner_groups"][2]["selected_workflows"] = [WORKFLOW]
        double.admin.fault(method="GET", path="/runner-groups$", status=200, body=told)
        found = run(MODULE, name="builders", restricted_to_workflows=restricted)
        assert (found["changed"], found["group"]["selected_workflows"]) == (changed, [WORKFLOW] if restricted else [])
        assert ask("GET", f"{GROUPS}/3")["selected_workflows"] == found["group"]["selected_workflows"]

    def test_the_order_of_lists_means_nothing(self, group: Callable[..., Result]) -> None:
        group(**{**BEFORE, "repositories": ["app", "site"]})
        reverse = BEFORE["selected_workflows"][::-1]
        found = group(repositories=["site", "APP", "my-org/app"], selected_workflows=[*reverse, *reverse])
        assert found["changed"] is False

    def test_a_group_that_was_for_selected_ones_before(self, group: Callable[..., Result]) -> None:
        """GitHub still knows which."""
        group(repositories=["app"])
        group(visibility="all")
        assert group(visibility="selected")["group"]["repositories"] == ["my-org/app"]
        group(visibility="all")
        assert group(repositories=[])["group"]["repositories"] == []
        assert group()["group"]["repositories"] == []


class TestRepositories:
    @pytest.fixture
    def many(self, double: Double) -> list[str]:
        """101 repositories."""
        names = [f"app-{number:03}" for number in range(101)]
        double.admin.scopes({f"my-org/{name}": {} for name in names})
        owner = {"token": TOKEN, "scopes": {"my-org": "write", "my-org/*": "write"}}
        double.admin.credentials({"owner": owner})
        return names

    def test_101_over_two_pages(self, group: Callable[..., Result], calls: Calls, many: list[str]) -> None:
        assert group(repositories=many)["group"]["repositories"] == [f"my-org/{name}" for name in many]
        calls()
        assert group(repositories=many)["changed"] is False
        # The names of those that are there are known: no question for each.
        assert calls() == [f"GET {GROUPS}", *[f"GET {GROUPS}/5/repositories"] * 2]

    def test_a_page_that_fails_half_way(
        self, group: Callable[..., Result], double: Double, calls: Calls, many: list[str]
    ) -> None:
        group(repositories=many)
        calls()
        double.admin.fault(status=502, path="/repositories$", skip=1)
        found = group(repositories=many[:5], allows_public_repositories=True)
        assert (found["error"]["status"], found["error"]["transient"]) == (502, True)
        assert found["error"]["action"] == "list the repositories of the runner group new of my-org"
        assert writes(calls) == []

    def test_one_that_is_not_there(self, group: Callable[..., Result], calls: Calls) -> None:
        found = group(repositories=["app", "nothing"])
        assert found["msg"].startswith("Could not look at my-org/nothing: 404 Not Found")
        assert "an App has to be installed on it" in found["error"]["remedy"]
        assert writes(calls) == []

    def test_one_under_its_old_name(self, group: Callable[..., Result], double: Double) -> None:
        double.admin.fault(status=301, path="^/repos/my-org/old$", headers={"Location": "/repos/my-org/app"})
        assert group(repositories=["old"])["group"]["repositories"] == ["my-org/app"]
        double.admin.fault(status=301, path="^/repos/my-org/old$", headers={"Location": "/repos/my-org/app"})
        assert group(repositories=["old"])["changed"] is False


class TestEnterprise:
    def test_a_group_for_organizations(self, run: Run, calls: Calls, double: Double) -> None:
        options: dict[str, Any] = {"scope": "enterprises/acme", "name": "large"}
        made = run(MODULE, organizations=["My-Org"], **options)
        assert writes(calls) == ["POST /enterprises/acme/actions/runner-groups"]
        group = made["group"]
        assert (group["visibility"], group["organizations"], group["repositories"]) == ("selected", ["my-org"], None)
        assert run(MODULE, organizations=["my-org"], **options)["changed"] is False
        assert run(MODULE, organizations=[], **options)["group"]["organizations"] == []
        assert run(MODULE, state="absent", **options)["changed"] is True


class TestAbsent:
    def test_the_default_group(self, run: Run, calls: Calls) -> None:
        found = run(MODULE, name="Default", state="absent")
        assert found["msg"].startswith("name = Default: the default group, which is always there. Do: ")
        assert writes(calls) == []

    def test_an_enterprises_group(self, run: Run, double: Double, calls: Calls) -> None:
        double.admin.scopes({"my-org": {"groups": [{"name": "shared", "inherited": True}]}})
        found = run(MODULE, name="shared", state="absent")
        assert found["msg"].startswith("name = shared: the group is the enterprise's, and my-org only sees it. Do: ")
        assert writes(calls) == []

    @pytest.mark.parametrize("check", [True, False])
    def test_with_a_runner_in_it(self, run: Run, calls: Calls, ask: Ask, check: bool) -> None:
        runner_in(ask, 3, "build-1")
        calls()
        found = run(MODULE, name="builders", state="absent", check=check)
        assert found["msg"].startswith("move_runners = false: there are runners in the group builders (1: build-1), ")
        assert "error" not in found
        assert writes(calls) == []

    def test_its_runners_are_moved(self, run: Run, calls: Calls, ask: Ask) -> None:
        number = runner_in(ask, 3, "build-1")
        calls()
        check = run(MODULE, name="builders", state="absent", move_runners=True, check=True)
        assert writes(calls) == []
        found = run(MODULE, name="builders", state="absent", move_runners=True)
        assert writes(calls) == [f"DELETE {GROUPS}/3/runners/{number}", f"DELETE {GROUPS}/3"]
        assert (found["changed"], found["moved_runners"]) == (True, ["build-1"])
        assert same(check, found)
        assert ask("GET", f"/orgs/my-org/actions/runners/{number}")["runner_group_id"] == 1

    def test_a_runner_that_goes_meanwhile(self, run: Run, ask: Ask, double: Double) -> None:
        number = runner_in(ask, 3)
        double.admin.fault(status=404, path=f"/runners/{number}$")
        found = run(MODULE, name="builders", state="absent", move_runners=True)
        assert found["error"]["status"] == 422  # it was only said to be gone, and GitHub removes no group with runners
        double.admin.remove_runner(number)
        assert run(MODULE, name="builders", state="absent")["changed"] is True

    def test_a_lost_answer(self, run: Run, double: Double, calls: Calls) -> None:
        """The second attempt is told 404: the first one did it."""
        double.admin.fault(cut="after", method="DELETE", times=1)
        assert run(MODULE, name="builders", state="absent", retries=1)["changed"] is True
        assert calls()[-3:] == [*[f"DELETE {GROUPS}/3"] * 2, f"GET {GROUPS}"]

    def test_not_found_is_not_gone(self, run: Run, double: Double) -> None:
        double.admin.fault(status=404, method="DELETE")
        assert run(MODULE, name="builders", state="absent")["error"]["status"] == 404


class TestRefused:
    def test_a_credential_that_may_only_read(self, run: Run, calls: Calls) -> None:
        token = CREDENTIALS["reader"]["token"]
        assert run(MODULE, name="builders", token=token)["changed"] is False
        for options in ({"visibility": "private"}, {"state": "absent"}, {"name": "new"}):
            found = run(MODULE, **{"name": "builders", **options}, token=token)
            assert (found["error"]["status"], found["error"]["kind"]) == (403, "Forbidden")
            assert "Self-hosted runners: write" in found["error"]["remedy"]
            assert "organization_self_hosted_runners=write" in found["error"]["remedy"]

    @pytest.mark.parametrize(
        ("lacking", "scope", "status", "remedy"),
        [
            ({"oauth_scopes": ["repo"]}, "my-org", 403, "scope 'admin:org'"),
            ({"oauth_scopes": ["admin:org"]}, "enterprises/acme", 404, "scope 'manage_runners:enterprise'"),
            (
                {"kind": "fine-grained", "permissions": {"administration": "write"}},
                "my-org",
                403,
                "(GitHub: organization_self_hosted_runners=",
            ),
            ({"sso": ["my-org"]}, "my-org", 403, "authorize the token for the single sign-on"),
        ],
    )
    def test_each_missing_permission(
        self, run: Run, double: Double, lacking: dict[str, Any], scope: str, status: int, remedy: str
    ) -> None:
        double.admin.credentials({"some": {"token": TOKEN, "scopes": {scope: "write"}, **lacking}})
        error = run(MODULE, name="builders", scope=scope)["error"]
        assert error["status"] == status
        assert remedy in error["remedy"]

    def test_another_was_faster(self, group: Callable[..., Result], double: Double) -> None:
        double.admin.fault(status=409, method="POST")
        error = group()["error"]
        assert (error["kind"], error["action"]) == ("Conflict", "make the runner group new in my-org")

    def test_a_lost_answer_is_no_second_group(self, group: Callable[..., Result], double: Double, calls: Calls) -> None:
        double.admin.fault(cut="after", method="POST", times=1)
        assert group(retries=3)["error"]["kind"] == "Unreachable"
        assert writes(calls) == [f"POST {GROUPS}"]
        assert group()["changed"] is False

    def test_workflows_that_the_enterprise_chooses(self, run: Run, double: Double, calls: Calls) -> None:
        group = {"name": "shared", "inherited": True, "workflow_restrictions_read_only": True}
        double.admin.scopes({"my-org": {"groups": [group]}})
        found = run(MODULE, name="shared", selected_workflows=[WORKFLOW])
        assert "the workflows of this group are the enterprise's to choose" in found["msg"]
        assert writes(calls) == []
        assert run(MODULE, name="shared", visibility="private")["changed"] is True

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"name": " "}, "name = ' ': no name"),
            ({"scope": "my-org/app"}, "scope = my-org/app: a repository has no runner groups. Do: name its organizati"),
            ({"organizations": ["x"]}, "organizations = ['x']: the groups of my-org are for repositories. Do: "),
            (
                {"scope": "enterprises/acme", "repositories": ["x"]},
                "repositories = ['x']: the groups of enterprises/acme are for organizations. Do: ",
            ),
            ({"scope": "enterprises/acme", "visibility": "private"}, "visibility = private: an enterprise's groups do"),
            ({"visibility": "all", "repositories": []}, "visibility = all: there are repositories too"),
            ({"repositories": ["other/app"]}, "repositories = 'other/app': not of my-org"),
            ({"repositories": ["a b"]}, "repositories = 'a b': nothing can have that name"),
            ({"repositories": [".."]}, "repositories = '..': nothing can have that name"),
            ({"selected_workflows": ["deploy.yml"]}, "selected_workflows = 'deploy.yml': no workflow at a place in"),
            ({"selected_workflows": [WORKFLOW.partition("@")[0]]}, "selected_workflows = "),
            (
                {"selected_workflows": [WORKFLOW], "restricted_to_workflows": False},
                "restricted_to_workflows = false: there are selected_workflows too",
            ),
        ],
    )
    def test_options_that_make_no_sense(
        self, group: Callable[..., Result], calls: Calls, options: dict[str, Any], problem: str
    ) -> None:
        found = group(**options)
        assert found["failed"] is True
        assert found["msg"].startswith(problem)
        assert ". Do: " in found["msg"]
        assert calls() == []
