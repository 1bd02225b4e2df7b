# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Self-hosted runners and runner groups of one scope."""

from __future__ import annotations

import builtins  # `list` is a method here
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .answers import Response, parse, take, take_if_there, take_time
from .errors import NotFound, Unprocessable
from .scope import Scope
from .secret import Secret

if TYPE_CHECKING:  # see access.py
    from .client import Client

T = TypeVar("T")

# What registering and removing runners takes, by kind of scope (GitHub's documentation of each call).
PERMISSIONS = {
    "repo": "the repository permission 'Administration: write' (a classic token: scope 'repo', of an administrator)",
    "org": "the organization permission 'Self-hosted runners: write' (a classic token: scope 'admin:org', of an owner)",
    "enterprise": "the scope 'manage_runners:enterprise' (a classic token, of an owner; no other kind can)",
}


@dataclass(frozen=True)
class Runner:
    """One registration at GitHub.

    Attributes:
        id: GitHub's number for it.
        name: Unique within the scope.
        os: As the runner said; "unknown" before it connected.
        status: "online" or "offline".
        busy: It runs a job, GitHub believes; late by up to a minute, in both directions.
        labels: In no particular order; GitHub writes those of a JIT configuration in lower case.
        ephemeral: Gone after one job; None where GitHub does not say (older GHES).
        version: Of the runner program; None until it has connected.
        group_id: Of its runner group; None where GitHub does not say.
        custom_labels: Those of the labels that can be taken away again.
    """

    id: int
    name: str
    os: str
    status: str
    busy: bool
    labels: tuple[str, ...]
    ephemeral: bool | None = None
    version: str | None = None
    group_id: int | None = None
    custom_labels: tuple[str, ...] = ()

    @classmethod
    def from_api(cls, data: Any) -> Runner:
        """The runner that GitHub's JSON describes; ShapeError if it describes none."""
        labels, custom = _labels(data)
        return cls(
            id=take(data, "id", int),
            name=take(data, "name", str),
            os=take(data, "os", str),
            status=take(data, "status", str),
            busy=take(data, "busy", bool),
            labels=labels,
            ephemeral=take_if_there(data, "ephemeral", bool),
            version=take_if_there(data, "version", str),
            group_id=take_if_there(data, "runner_group_id", int),
            custom_labels=custom,
        )


def _labels(data: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of all labels in GitHub's JSON, and of the custom ones; GitHub need not say which they are."""
    found = [(take(each, "name", str), take_if_there(each, "type", str)) for each in take(data, "labels", list)]
    return tuple(name for name, _kind in found), tuple(name for name, kind in found if kind == "custom")


@dataclass(frozen=True)
class Group:
    """A runner group; new runners join the `default` one if they are told nothing else.

    Attributes:
        id: GitHub's number for it.
        name: Unique within the scope, whatever the case of its letters.
        default: It cannot be deleted.
        visibility: Which repositories can use its runners: "all", "private" or "selected"; None if GitHub does not say.
        allows_public: Public repositories can, so the workflows of anybody who sends a pull request; None: not said.
        inherited: It is the enterprise's, shared with the organization.
        restricted_to_workflows: Only chosen workflows can.
    """

    id: int
    name: str
    default: bool
    visibility: str | None = None
    allows_public: bool | None = None
    inherited: bool = False
    restricted_to_workflows: bool = False

    @classmethod
    def from_api(cls, data: Any) -> Group:
        """The group that GitHub's JSON describes; ShapeError if it describes none."""
        return cls(
            take(data, "id", int),
            take(data, "name", str),
            take(data, "default", bool),
            take_if_there(data, "visibility", str),
            take_if_there(data, "allows_public_repositories", bool),
            bool(take_if_there(data, "inherited", bool)),
            bool(take_if_there(data, "restricted_to_workflows", bool)),
        )


@dataclass(frozen=True)
class JitConfig:
    """A registered runner and what makes a machine be it: `encoded` is for its runner program only, and only once."""

    runner: Runner
    encoded: Secret


@dataclass(frozen=True)
class Token:
    """A registration or removal token, and when it ends (epoch seconds; GitHub gives it an hour)."""

    value: Secret
    expires_at: float


def hints_for(scope: Scope) -> dict[int, str]:
    """What the user can do when GitHub refuses a question about the scope's runners, by HTTP status."""
    credential = f"use a credential with {PERMISSIONS[scope.kind]}"
    return {403: credential, 404: f"see whether {scope.url} is there; if it is, {credential}"}


def find_group(groups: Iterable[Group], name: str | None, scope: Scope) -> Group:
    """The one of the scope's groups that has this name, in upper or lower case; None: the default one.

    Raises:
        NotFound: There is no such group; the message lists those that are there.
    """
    groups = [*groups]
    for group in groups:
        if group.default if name is None else group.name.casefold() == name.casefold():
            return group
    raise NotFound(
        f"find the runner group {'Default' if name is None else name!r} in {scope}",
        message="there are only " + ", ".join(repr(group.name) for group in groups),
        hint="name one of these, or make the group at GitHub, and let the credential see it",
    )


class Runners:
    """The runners of `scope`, through `client`. Every method raises GitHubError if it does not know the answer.

    Raises:
        ValueError: `scope` is reached through another API than `client` talks to.
    """

    def __init__(self, client: Client, scope: Scope) -> None:
        if scope.api_url != client.api_url:
            raise ValueError(
                f"scope = {scope}: it is reached through {scope.api_url}, not through {client.api_url}. "
                "Do: parse it with the client's api_url"
            )
        self._client = client
        self._scope = scope
        self._path = f"{scope.api_path}/actions/runners"
        self._hints = hints_for(scope)

    def list(self) -> builtins.list[Runner]:
        """All runners of the scope."""
        return self._list(f"list the runners of {self._scope}")

    def find(self, name: str) -> Runner | None:
        """The runner called exactly `name`; None if there is none."""
        found = self._list(f"look for the runner {name} in {self._scope}", name=name)
        return next((runner for runner in found if runner.name == name), None)

    def get(self, runner_id: int) -> Runner | None:
        """The runner of that id; None if there is none."""
        action = f"look at the runner {runner_id} of {self._scope}"
        try:
            response = self._client.get(f"{self._path}/{int(runner_id)}", action=action, hints=self._hints)
        except NotFound:
            self._see_scope(action)
            return None
        return parse(response, action, Runner.from_api)

    def generate_jit_config(
        self, name: str, labels: Iterable[str], group_id: int, work_folder: str = "_work"
    ) -> JitConfig:
        """Register an ephemeral runner, and get what makes a machine be it. Asked once, never repeated.

        Args:
            name: Must be new in the scope, up to 64 characters.
            labels: 1 to 100; GitHub adds none of its own, not even ``self-hosted``.
            group_id: See `group_id`.
            work_folder: Where jobs work, relative to the runner's folder, or absolute.

        Raises:
            Conflict: The name is taken.
            Unprocessable: GitHub refuses labels, group or name.
            GitHubError: Any other. With `in_doubt`, the runner may be there all the same: look for its name.
        """
        action = f"make a JIT configuration for the runner {name} in {self._scope}"
        response = self._client.post(
            f"{self._path}/generate-jitconfig",
            action=action,
            hints={**self._hints, 404: f"see whether the runner group {group_id} is still there; {self._hints[404]}"},
            json={"name": name, "labels": [*labels], "runner_group_id": group_id, "work_folder": work_folder},
        )
        return parse(
            response,
            action,
            lambda data: JitConfig(
                Runner.from_api(take(data, "runner", dict)), Secret(take(data, "encoded_jit_config", str))
            ),
        )

    def delete(self, runner_id: int) -> Literal["gone", "busy"]:
        """Deregister a runner: "gone" if it is (or was already), "busy" if GitHub refuses since it runs a job.

        Gone is certain: a 404 counts only if the scope itself can be seen, which costs one more request.
        """
        action = f"delete the runner {runner_id} of {self._scope}"
        try:
            self._client.delete(f"{self._path}/{int(runner_id)}", action=action, hints=self._hints)
        except NotFound:
            self._see_scope(action)
        except Unprocessable as exc:
            # two wordings are about: "is still running a job" and "is currently running a job and cannot be deleted"
            if "running a job" not in exc.message:
                raise
            return "busy"
        return "gone"

    def set_labels(self, runner: Runner, labels: Iterable[str]) -> Runner:
        """Give a runner these custom labels and no others; those that are not custom stay. The runner as it is then."""
        return self._change_labels("PUT", runner, labels)

    def add_labels(self, runner: Runner, labels: Iterable[str]) -> Runner:
        """Give a runner custom labels, 1 to 100, beside those that it has. The runner as it is then."""
        return self._change_labels("POST", runner, labels)

    def probe(self) -> None:
        """See that the scope's runners can be seen; a GitHubError if not. One small question."""
        self._see_scope(f"see the runners of {self._scope}")

    def registration_token(self) -> Token:
        """What ``config.sh --token`` takes; good for any number of runners, for an hour."""
        return self._token("registration-token")

    def remove_token(self) -> Token:
        """What ``config.sh remove --token`` takes."""
        return self._token("remove-token")

    def groups(self) -> builtins.list[Group]:
        """The runner groups of the scope; a repository has the one that GitHub calls 1."""
        if self._scope.kind == "repo":
            return [Group(1, "Default", default=True)]
        action = f"list the runner groups of {self._scope}"
        return self._read(f"{self._scope.api_path}/actions/runner-groups", "runner_groups", action, Group.from_api)

    def group_id(self, name: str) -> int:
        """The id of the runner group `name`, in upper or lower case; 1 for a repository, whatever the name.

        Raises:
            NotFound: There is no such group; the message lists those that are there.
        """
        if self._scope.kind == "repo":
            return 1
        return find_group(self.groups(), name, self._scope).id

    def _change_labels(self, method: str, runner: Runner, labels: Iterable[str]) -> Runner:
        action = f"change the labels of the runner {runner.name} in {self._scope}"
        gone = f"see whether the runner is still there, one that is ephemeral goes with its job; {self._hints[404]}"
        response = self._client.request(
            method,
            f"{self._path}/{runner.id}/labels",
            action=action,
            json={"labels": [*labels]},
            hints={**self._hints, 404: gone},
        )
        found, custom = parse(response, action, _labels)
        return replace(runner, labels=found, custom_labels=custom)

    def _list(self, action: str, **params: str) -> builtins.list[Runner]:
        return self._read(self._path, "runners", action, Runner.from_api, params)

    def _read(
        self, path: str, key: str, action: str, reader: Callable[[Any], T], params: Mapping[str, str] | None = None
    ) -> builtins.list[T]:
        items = self._client.paginate(path, action=action, key=key, params=params, hints=self._hints)
        return parse(Response(200, items, {}, path), action, lambda data: [reader(each) for each in data])

    def _token(self, kind: str) -> Token:
        action = f"make a {kind.replace('-', ' ')} for {self._scope}"
        response = self._client.post(f"{self._path}/{kind}", action=action, hints=self._hints)
        return parse(
            response, action, lambda data: Token(Secret(take(data, "token", str)), take_time(data, "expires_at"))
        )

    def _see_scope(self, action: str) -> None:
        """Make sure that a 404 is about the runner: GitHub also says it for a scope that the credential cannot see."""
        self._client.get(self._path, action=action, params={"per_page": 1}, hints=self._hints)
