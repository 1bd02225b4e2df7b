# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The double's runner groups and webhooks: they do what GitHub does, and refuse what it refuses; every answer fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.contract.client import Rest, Runner
from tests.contract.conftest import TOKEN
from tests.doubles.github.server import Double

GROUPS = "/orgs/my-org/actions/runner-groups"
HOOKS = "/orgs/my-org/hooks"
HOOK = {"name": "web", "config": {"url": "https://runners.example.com/hook", "secret": "s"}, "events": ["push"]}
WORKFLOW = "my-org/app/.github/workflows/deploy.yml@main"


def group(rest: Rest, name: str = "new", **fields: Any) -> int:
    answer = rest("POST", GROUPS, {"name": name, **fields})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


class TestGroups:
    def test_what_it_was_made_with_is_told(self, rest: Rest) -> None:
        app = rest("GET", "/repos/my-org/app").json()["id"]
        fields = {"visibility": "selected", "allows_public_repositories": True, "restricted_to_workflows": True}
        number = group(rest, **fields, selected_workflows=[WORKFLOW], selected_repository_ids=[app])
        told = rest("GET", f"{GROUPS}/{number}").json()
        assert {**told, **fields, "selected_workflows": [WORKFLOW], "default": False} == told
        users = rest("GET", f"{GROUPS}/{number}/repositories").json()
        assert (users["total_count"], users["repositories"][0]["full_name"]) == (1, "my-org/app")

    def test_workflows_are_ignored_unless_it_is_restricted(self, rest: Rest) -> None:
        number = group(rest, selected_workflows=[WORKFLOW])
        assert rest("GET", f"{GROUPS}/{number}").json()["selected_workflows"] == []

    def test_a_change_leaves_the_rest(self, rest: Rest) -> None:
        number = group(rest, visibility="private")
        changed = rest("PATCH", f"{GROUPS}/{number}", {"name": "new", "allows_public_repositories": True}).json()
        assert (changed["visibility"], changed["allows_public_repositories"]) == ("private", True)

    def test_with_runners_it_stays(self, rest: Rest) -> None:
        number = group(rest)
        runner = rest.jit("/orgs/my-org", "one", runner_group_id=number).json()["runner"]["id"]
        assert rest("DELETE", f"{GROUPS}/{number}").status_code == 422
        assert rest("DELETE", f"{GROUPS}/1/runners/{runner}").status_code == 404
        assert rest("DELETE", f"{GROUPS}/{number}/runners/{runner}").status_code == 204
        assert rest("GET", f"/orgs/my-org/actions/runners/{runner}").json()["runner_group_id"] == 1
        assert rest("DELETE", f"{GROUPS}/{number}").status_code == 204
        assert rest("GET", f"{GROUPS}/{number}").status_code == 404

    @pytest.mark.parametrize("number", [1, 2])
    def test_githubs_own_stay(self, rest: Rest, number: int) -> None:
        assert rest("DELETE", f"{GROUPS}/{number}").status_code == 422

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 422),
            ({"name": " "}, 422),
            ({"name": "BUILDERS"}, 409),
            ({"name": 5}, 422),
            ({"name": "x", "visibility": "public"}, 422),
            ({"name": "x", "allows_public_repositories": "yes"}, 422),
            ({"name": "x", "selected_repository_ids": ["app"]}, 422),
            ({"name": "x", "selected_repository_ids": [1]}, 422),
            ({"name": "x", "selected_organization_ids": []}, 422),
            ({"name": "x", "selected_workflows": ["deploy.yml"]}, 422),
            ({"name": "x", "colour": "red"}, 422),
        ],
    )
    def test_a_wrong_body(self, rest: Rest, body: dict[str, Any], status: int) -> None:
        before = rest("GET", GROUPS).json()
        assert rest("POST", GROUPS, body).status_code == status
        assert rest("GET", GROUPS).json() == before

    def test_a_wrong_change(self, rest: Rest) -> None:
        number = group(rest)
        for body in ({"visibility": "all"}, {"name": "builders"}, {"name": "new", "selected_repository_ids": []}):
            assert rest("PATCH", f"{GROUPS}/{number}", body).status_code in (409, 422), body
        users = f"{GROUPS}/{number}/repositories"
        assert rest("PUT", users, {"selected_repository_ids": []}).status_code == 422  # it is for all
        assert rest("GET", users).status_code == 404

    def test_an_enterprises_are_for_organizations(self, rest: Rest) -> None:
        groups = "/enterprises/acme/actions/runner-groups"
        other = rest("GET", "/orgs/other-org").json()["id"]
        body = {"name": "x", "visibility": "selected", "selected_organization_ids": [other]}
        number = rest("POST", groups, body).json()["id"]
        told = rest("GET", f"{groups}/{number}/organizations").json()["organizations"]
        assert [each["login"] for each in told] == ["other-org"]
        assert rest("POST", groups, {"name": "y", "visibility": "private"}).status_code == 422
        assert rest("PATCH", f"{groups}/{number}", {"visibility": "all"}).json()["visibility"] == "all"

    def test_only_who_may_use_a_group_gets_its_runners(
        self, rest: Rest, registered: Callable[..., Any], double: Double
    ) -> None:
        """A job of a repository that was not chosen stays in the queue until it is."""
        app = rest("GET", "/repos/my-org/app").json()["id"]
        number = group(rest, visibility="selected")
        registered("r", "x")  # in the default group
        rest.jit("/orgs/my-org", "chosen", "y", runner_group_id=number)
        answer = rest.jit("/orgs/my-org", "in", "z", runner_group_id=number)
        runner = Runner(answer.json()["encoded_jit_config"]).connect()
        try:
            (job,) = double.admin.queue("my-org/app", ["z"], "true")
            assert double.admin.job(job)["status"] == "queued"
            rest("PUT", f"{GROUPS}/{number}/repositories", {"selected_repository_ids": [app]})
            assert runner.job()["id"] == job
        finally:
            runner.close()


class TestWebhooks:
    def test_its_secret_is_never_told(self, rest: Rest) -> None:
        made = rest("POST", HOOKS, HOOK)
        assert made.json()["config"]["secret"] == "********"
        assert rest("GET", HOOKS).json() == [made.json()]

    def test_the_same_twice(self, rest: Rest) -> None:
        assert rest("POST", HOOKS, HOOK).status_code == 201
        assert rest("POST", HOOKS, HOOK).status_code == 422
        assert rest("POST", HOOKS, {**HOOK, "events": ["workflow_job"]}).status_code == 201

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": "web"},
            {**HOOK, "name": "mail"},
            {**HOOK, "config": {"content_type": "json"}},
            {**HOOK, "config": {"url": "runners.example.com"}},
            {**HOOK, "config": {"url": "https://h", "content_type": "xml"}},
            {**HOOK, "events": []},
            {**HOOK, "active": "yes"},
            {**HOOK, "colour": "red"},
        ],
    )
    def test_a_wrong_body(self, rest: Rest, body: dict[str, Any]) -> None:
        assert rest("POST", HOOKS, body).status_code == 422
        assert rest("GET", HOOKS).json() == []

    def test_changed_and_removed(self, rest: Rest) -> None:
        hook = f"{HOOKS}/{rest('POST', HOOKS, HOOK).json()['id']}"
        config = {"url": "https://runners.example.com/other", "content_type": "json"}
        changed = rest("PATCH", hook, {"events": ["workflow_job"], "config": config}).json()
        assert (changed["events"], changed["config"]["content_type"]) == (["workflow_job"], "json")
        assert changed["config"]["url"] == "https://runners.example.com/other"
        # An organization's wants the URL each time, by GitHub's description.
        assert rest("PATCH", hook, {"config": {"content_type": "json"}}).status_code == 422
        assert rest("DELETE", hook).status_code == 204
        for path in (hook, f"{hook}/deliveries"):
            assert rest("GET", path).status_code == 404

    def test_deliveries_come_in_pages_from_a_cursor_on(self, rest: Rest, double: Double) -> None:
        number = rest("POST", HOOKS, HOOK).json()["id"]
        made = double.admin.deliver(number, count=7)
        path, seen = f"{HOOKS}/{number}/deliveries?per_page=3", []
        while path:
            answer = rest("GET", path)
            seen += [each["id"] for each in answer.json()]
            double.admin.deliver(number)  # what comes meanwhile shifts nothing
            path = answer.links["next"]["url"].removeprefix(rest.url) if "next" in answer.links else ""
        assert seen[:7] == made[::-1]
        assert len(seen) == 8

    def test_what_cannot_be_asked_of_the_log(self, rest: Rest) -> None:
        log = f"{HOOKS}/{rest('POST', HOOKS, HOOK).json()['id']}/deliveries"
        for query, status in (("cursor=v1_5", 422), ("status=good", 422), ("status=failure", 200)):
            assert rest("GET", f"{log}?{query}", checked=False).status_code == status
        assert rest("GET", f"{log}/5").status_code == 404

    def test_the_log_lives_for_three_days(self, rest: Rest, double: Double) -> None:
        log = f"{HOOKS}/{rest('POST', HOOKS, HOOK).json()['id']}/deliveries"
        double.admin.advance(3 * 86400 - 60)
        assert len(rest("GET", log).json()) == 1
        double.admin.advance(120)
        assert rest("GET", log).json() == []

    def test_rights_on_runners_are_none_on_webhooks(self, client: Callable[[str], Rest], double: Double) -> None:
        rights = {"my-org": "write"}
        fine = {"kind": "fine-grained", "scopes": rights}
        double.admin.credentials(
            {
                "runners": {"token": "1", "scopes": rights, "oauth_scopes": ["admin:org"]},
                "hooks": {"token": "2", "scopes": rights, "oauth_scopes": ["admin:org_hook"]},
                "fine runners": {**fine, "token": "3", "permissions": {"organization_self_hosted_runners": "write"}},
                "fine hooks": {**fine, "token": "4", "permissions": {"organization_hooks": "read"}},
            }
        )
        found = {token: [client(token)("GET", path).status_code for path in (GROUPS, HOOKS)] for token in "1234"}
        assert found == {"1": [200, 403], "2": [403, 200], "3": [200, 403], "4": [403, 200]}
        assert client("4")("POST", HOOKS, HOOK).status_code == 403

    def test_a_token_may_be_the_password(self, double: Double) -> None:
        """As PyGithub sends it, beside a user's name."""
        url = f"{double.api_url}/orgs/my-org"
        assert requests.get(url, auth=("anybody", TOKEN), timeout=30).status_code == 200
        assert requests.get(url, auth=("anybody", "wrong"), timeout=30).status_code == 401
