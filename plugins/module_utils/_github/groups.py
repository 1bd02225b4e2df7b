# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runner groups of an organization or an enterprise, to be changed: settings, who may use them, their end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from .answers import Response, parse, take, take_if_there
from .client import Client
from .errors import NotFound
from .runners import Group, Runner, hints_for
from .scope import Scope

T = TypeVar("T")


@dataclass(frozen=True)
class Users:
    """Whom a group of visibility "selected" is for: repositories of an organization, organizations of an enterprise.

    Attributes:
        called: GitHub's word for them, in paths and answers.
        field: The list of their ids in requests.
        name: Where each has its name.
        visibilities: What a group's can be set to; GitHub may tell another all the same.
    """

    called: str
    field: str
    name: str
    visibilities: tuple[str, ...]


USERS = {
    "org": Users("repositories", "selected_repository_ids", "full_name", ("all", "private", "selected")),
    "enterprise": Users("organizations", "selected_organization_ids", "login", ("all", "selected")),
}


@dataclass(frozen=True)
class GroupSettings(Group):
    """A runner group with all that can be set.

    Attributes:
        selected_workflows: The chosen ones, if `restricted_to_workflows`.
        workflows_read_only: Both cannot be changed here, since the group is the enterprise's.
    """

    selected_workflows: tuple[str, ...] = ()
    workflows_read_only: bool = False

    @classmethod
    def from_api(cls, data: Any) -> GroupSettings:
        """The group that GitHub's JSON describes; ShapeError if it describes none."""
        return cls(
            **vars(Group.from_api(data)),
            selected_workflows=tuple(map(str, take_if_there(data, "selected_workflows", list) or ())),
            workflows_read_only=bool(take_if_there(data, "workflow_restrictions_read_only", bool)),
        )


class RunnerGroups:
    """The runner groups of `scope`, through `client`. Every method raises GitHubError if GitHub does not do it.

    Raises:
        ValueError: `scope` is a repository, which has no groups of its own.
    """

    def __init__(self, client: Client, scope: Scope) -> None:
        if scope.kind not in USERS:
            raise ValueError(
                f"scope = {scope}: a repository has no runner groups. Do: name its organization, {scope.owner}"
            )
        self.users = USERS[scope.kind]
        self._client = client
        self._scope = scope
        self._path = f"{scope.api_path}/actions/runner-groups"
        self._hints = hints_for(scope)

    def find(self, name: str) -> GroupSettings | None:
        """The group of that name, in upper or lower case; None if there is none."""
        action = f"list the runner groups of {self._scope}"
        for group in self._list(self._path, "runner_groups", action, GroupSettings.from_api):
            if group.name.casefold() == name.casefold():
                return group
        return None

    def users_of(self, group: GroupSettings) -> dict[int, str]:
        """Whom a group of visibility "selected" is for: names by ids."""
        action = f"list the {self.users.called} of the runner group {group.name} of {self._scope}"
        pairs = self._list(f"{self._path}/{group.id}/{self.users.called}", self.users.called, action, self._user)
        return dict(pairs)

    def user(self, name: str) -> tuple[int, str]:
        """Id and present name of a repository of the organization, or of an organization, by its name."""
        name, kind = (f"{self._scope.owner}/{name}", "repos") if self._scope.kind == "org" else (name, "orgs")
        hint = f"see whether {name} is there, and whether the credential may see it; an App has to be installed on it"
        action = f"look at {name}"
        response = self._client.get(f"/{kind}/{name}", action=action, hints={404: hint})
        return parse(response, action, self._user)

    def create(self, name: str, settings: Mapping[str, Any]) -> GroupSettings:
        """Make a group; what `settings` does not say is as GitHub has it: for all repositories but public ones.

        Args:
            name: Must be new in the scope.
            settings: In GitHub's words, with the ids of `users.field`.
        """
        action = f"make the runner group {name} in {self._scope}"
        response = self._client.post(self._path, action=action, json={"name": name, **settings}, hints=self._hints)
        return parse(response, action, GroupSettings.from_api)

    def update(self, group: GroupSettings, settings: Mapping[str, Any]) -> None:
        """Change what `settings` says, in GitHub's words, but not who the group's users are."""
        action = f"change the runner group {group.name} of {self._scope}"
        # An organization's has to be sent its name.
        body = {"name": group.name, **settings}
        self._client.patch(f"{self._path}/{group.id}", action=action, json=body, hints=self._hints)

    def set_users(self, group: GroupSettings, ids: Iterable[int]) -> None:
        """Let these and no others use a group of visibility "selected"."""
        action = f"choose the {self.users.called} of the runner group {group.name} of {self._scope}"
        path = f"{self._path}/{group.id}/{self.users.called}"
        self._client.put(path, action=action, json={self.users.field: [*ids]}, hints=self._hints)

    def runners_in(self, group: GroupSettings) -> list[Runner]:
        """The runners of a group."""
        action = f"list the runners of the runner group {group.name} of {self._scope}"
        return self._list(f"{self._path}/{group.id}/runners", "runners", action, Runner.from_api)

    def release(self, group: GroupSettings, runner: Runner) -> None:
        """Move a runner to the default group. One that is gone is none of the group's any more."""
        action = f"move the runner {runner.name} from the runner group {group.name} to the default one of {self._scope}"
        with suppress(NotFound):
            self._client.delete(f"{self._path}/{group.id}/runners/{runner.id}", action=action, hints=self._hints)

    def delete(self, group: GroupSettings) -> None:
        """Remove a group, in which there must be no runner."""
        action = f"remove the runner group {group.name} of {self._scope}"
        try:
            self._client.delete(f"{self._path}/{group.id}", action=action, hints=self._hints)
        except NotFound:  # so the first of two attempts did it, or another; or the scope cannot be seen any more
            if self.find(group.name):
                raise

    def _user(self, data: Any) -> tuple[int, str]:
        return take(data, "id", int), take(data, self.users.name, str)

    def _list(self, path: str, key: str, action: str, reader: Callable[[Any], T]) -> list[T]:
        items = self._client.paginate(path, action=action, key=key, hints=self._hints)
        return parse(Response(200, items, {}, path), action, lambda data: [reader(each) for each in data])
