# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a scope there, and who can use its runners."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.access import Access, check_access
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Group
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope

from .conftest import Answer, Server

NO_RUNNERS = Answer(200, {"total_count": 0, "runners": []})
NOT_FOUND = Answer(404, {"message": "Not Found"})


def repository(**more: Any) -> Answer:
    return Answer(200, {"full_name": "octo/repo", "private": True, **more})


def groups(**more: Any) -> Answer:
    group = {"id": 3, "name": "Default", "default": True, "visibility": "all", **more}
    return Answer(200, {"total_count": 1, "runner_groups": [group]})


def check(client: Client, text: str) -> Access:
    return check_access(client, Scope.parse(text, client.api_url))


class TestRepository:
    @pytest.mark.parametrize(
        ("told", "visibility"),
        [
            ({"visibility": "internal"}, "internal"),
            ({"visibility": "public", "private": False}, "public"),
            ({}, "private"),  # a server of an older release
            ({"private": False}, "public"),
        ],
    )
    def test_visibility(self, server: Server, client: Client, told: dict[str, Any], visibility: str) -> None:
        server.tell(repository(**told), NO_RUNNERS)
        access = check(client, "octo/repo")
        assert (access.visibility, access.archived) == (visibility, False)
        assert access.open_to_public(access.groups[0]) is (visibility == "public")
        assert [group.id for group in access.groups] == [1]
        assert server.calls == ["GET /repos/octo/repo", "GET /repos/octo/repo/actions/runners"]

    def test_archived(self, server: Server, client: Client) -> None:
        server.tell(repository(archived=True), NO_RUNNERS)
        assert check(client, "octo/repo").archived

    def test_renamed(self, server: Server, client: Client) -> None:
        server.tell(
            Answer(301, {"message": "Moved"}, {"Location": f"{server.url}/repositories/1"}),
            repository(full_name="Octo/new-name"),
            NO_RUNNERS,
        )
        assert str(check(client, "octo/repo").scope) == "Octo/new-name"
        assert server.calls[-1] == "GET /repos/Octo/new-name/actions/runners"

    def test_not_there(self, server: Server, client: Client) -> None:
        server.tell(NOT_FOUND)
        with pytest.raises(errors.NotFound, match=r"Could not look at octo/repo: .* Do: see whether http"):
            check(client, "octo/repo")

    def test_no_right(self, server: Server, client: Client) -> None:
        server.tell(repository(), Answer(403, {"message": "Resource not accessible by personal access token"}))
        with pytest.raises(errors.Forbidden, match=r"see the runners of octo/repo.*'Administration: write'"):
            check(client, "octo/repo")


class TestOrganization:
    def test_groups(self, server: Server, client: Client) -> None:
        server.tell(Answer(200, {"login": "My-Org"}), NO_RUNNERS, groups(allows_public_repositories=True))
        access = check(client, "my-org")
        group = Group(3, "Default", True, "all", True)
        assert access == Access(Scope.parse("My-Org", client.api_url), None, False, (group,))
        assert access.open_to_public(group)
        assert server.calls == [
            "GET /orgs/my-org",
            "GET /orgs/My-Org/actions/runners",
            "GET /orgs/My-Org/actions/runner-groups",
        ]

    def test_closed_to_the_public(self, server: Server, client: Client) -> None:
        server.tell(Answer(200, {"login": "my-org"}), NO_RUNNERS, groups(allows_public_repositories=False))
        access = check(client, "my-org")
        assert not access.open_to_public(access.groups[0])

    @pytest.mark.parametrize(("name", "number"), [(None, 3), ("default", 3), ("GPU", 5), ("gpu", 5)])
    def test_a_group_by_name(self, server: Server, client: Client, name: str | None, number: int) -> None:
        found = groups()
        found.body["runner_groups"].insert(0, {"id": 5, "name": "gpu", "default": False})
        found.body["total_count"] = 2
        server.tell(Answer(200, {"login": "my-org"}), NO_RUNNERS, found)
        assert check(client, "my-org").group(name).id == number

    def test_no_such_group(self, server: Server, client: Client) -> None:
        server.tell(Answer(200, {"login": "my-org"}), NO_RUNNERS, groups(name="only", default=False))
        access = check(client, "my-org")
        with pytest.raises(errors.NotFound, match=r"the runner group 'gpu' in my-org: there are only 'only'\. Do: "):
            access.group("gpu")
        with pytest.raises(
            errors.NotFound, match=r"the runner group 'Default' in my-org: there are only 'only'\. Do: "
        ):
            access.group()

    def test_no_right(self, server: Server, client: Client) -> None:
        server.tell(Answer(403, {"message": "No."}))
        with pytest.raises(errors.Forbidden, match=r"Could not look at my-org: .*'Self-hosted runners: write'"):
            check(client, "my-org")

    def test_a_persons_account(self, server: Server, client: Client) -> None:
        server.tell(NOT_FOUND, Answer(200, {"type": "User"}))
        with pytest.raises(errors.NotFound, match=r"Do: .*my-org is a person's account.*name a repository of it"):
            check(client, "my-org")
        assert server.calls == ["GET /orgs/my-org", "GET /users/my-org"]

    @pytest.mark.parametrize("second", [NOT_FOUND, Answer(200, {"type": "Organization"}), Answer(200, {})])
    def test_not_there(self, server: Server, client: Client, second: Answer) -> None:
        server.tell(NOT_FOUND, second)
        with pytest.raises(errors.NotFound, match=r"Do: see whether http.*/my-org is there"):
            check(client, "my-org")


def test_enterprise(server: Server, client: Client) -> None:
    server.tell(NO_RUNNERS, groups())
    access = check(client, "enterprises/big")
    assert (access.visibility, [group.name for group in access.groups]) == (None, ["Default"])
    assert server.calls[0] == "GET /enterprises/big/actions/runners"
