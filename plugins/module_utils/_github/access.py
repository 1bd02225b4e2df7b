# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a scope there, may the credential manage its runners, and who can use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .answers import parse, take, take_if_there
from .errors import GitHubError, NotFound
from .runners import Group, Runners, find_group, hints_for
from .scope import Scope

if TYPE_CHECKING:  # what it takes costs every process that only knows the types a fifth of a second
    from .client import Client


@dataclass(frozen=True)
class Access:
    """A scope as GitHub tells of it, seen with a credential that may at least read its runners.

    Whether it may also make runners shows when one is made: GitHub has no question for that. It is certain for an App
    (its tokens are made with that right or not at all) and for classic tokens (their scopes know no reading alone).

    Attributes:
        scope: By its present name, as GitHub spells it; not the name asked for if that was an old one.
        visibility: Of a repository: "public", "private" or "internal". None for the other kinds.
        archived: The repository is read-only; it runs no jobs.
        groups: The runner groups of the scope; a repository has one, which GitHub calls 1.
    """

    scope: Scope
    visibility: str | None
    archived: bool
    groups: tuple[Group, ...]

    def group(self, name: str | None = None) -> Group:
        """The group of that name, or the default one, which runners join that are told no other.

        Raises:
            NotFound: It is not there, or the credential does not see it.
        """
        return find_group(self.groups, name, self.scope)

    def open_to_public(self, group: Group) -> bool:
        """Whether workflows of a public repository, so of anybody, can come to run on runners of this group."""
        return self.visibility == "public" if self.scope.kind == "repo" else bool(group.allows_public)


def check_access(client: Client, scope: Scope) -> Access:
    """See that `scope` is there, and that the credential may see its runners and groups. Changes nothing.

    Raises:
        GitHubError: It is not so, or could not be found out; the hint says what to do.
    """
    visibility, archived = None, False
    if scope.kind != "enterprise":  # GitHub's REST API does not tell of enterprises
        action = f"look at {scope}"
        hint = f"see whether {scope.url} is there, and whether the credential may see it"
        try:
            response = client.get(scope.api_path, action=action, hints={**hints_for(scope), 404: hint})
        except NotFound as exc:
            if scope.kind == "org" and _is_user(client, scope):
                exc.hint = (
                    f"{scope.owner} is a person's account, which has no runners of its own: name a repository of it"
                )
            raise
        name = parse(response, action, lambda data: take(data, "full_name" if scope.kind == "repo" else "login", str))
        scope = Scope.parse(name, scope.api_url)
        if scope.kind == "repo":
            private = parse(response, action, lambda data: take(data, "private", bool))
            told = parse(response, action, lambda data: take_if_there(data, "visibility", str))
            visibility = told or ("private" if private else "public")  # old servers tell the one only
            archived = bool(parse(response, action, lambda data: take_if_there(data, "archived", bool)))
    runners = Runners(client, scope)
    runners.probe()
    return Access(scope, visibility, archived, tuple(runners.groups()))


def _is_user(client: Client, scope: Scope) -> bool:
    """Whether an account that is no organization is there; False if that cannot be told."""
    action = f"look at the account {scope.owner}"
    try:
        response = client.get(f"/users/{scope.owner}", action=action)
        return parse(response, action, lambda data: take(data, "type", str)) == "User"
    except GitHubError:
        return False
