# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How GitHub writes down what it knows. Shapes follow its own API description; contract tests hold them to it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from typing import Any

from .apps import App, Installation, Token
from .settings import iso
from .state import GitHub, Group, Runner, Scope

EPOCH = "2024-01-01T00:00:00Z"


def runner(github: GitHub, one: Runner) -> dict[str, Any]:
    """A self-hosted runner. ``version`` is null until it has connected once."""
    status, busy = github.shown(one)
    return {
        "id": one.id,
        "runner_group_id": one.group_id,
        "name": one.name,
        "os": one.os,
        "status": status,
        "busy": busy,
        "ephemeral": one.ephemeral,
        "version": one.version,
        "labels": labels(one),
    }


def labels(one: Runner) -> list[dict[str, Any]]:
    """Labels of a runner. Their order means nothing, at GitHub neither."""
    return [
        {"id": _label_id(name), "name": one.spelled.get(name, name), "type": kind} for name, kind in one.labels.items()
    ]


def _label_id(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], "big") + 1


def group(api: str, scope: Scope, one: Group) -> dict[str, Any]:
    """A runner group of an organization or enterprise."""
    url = f"{api}{path(scope)}/actions/runner-groups/{one.id}"
    view: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "visibility": one.visibility,
        "default": one.id == 1,
        "runners_url": f"{url}/runners",
        "allows_public_repositories": one.allows_public_repositories,
        "restricted_to_workflows": one.restricted_to_workflows,
        "selected_workflows": list(one.selected_workflows),
        "workflow_restrictions_read_only": one.workflow_restrictions_read_only,
    }
    if scope.kind == "org":
        view["inherited"] = one.inherited
    if one.visibility == "selected":
        view["selected_repositories_url" if scope.kind == "org" else "selected_organizations_url"] = (
            f"{url}/{'repositories' if scope.kind == 'org' else 'organizations'}"
        )
    return view


def simple_organization(api: str, scope: Scope) -> dict[str, Any]:
    """An organization in a list."""
    names = "login id node_id url repos_url events_url hooks_url issues_url members_url public_members_url avatar_url"
    whole = organization(api, scope)
    return {name: whole[name] for name in (*names.split(), "description")}


def path(scope: Scope) -> str:
    """Where a scope is in the API: ``/repos/o/r``, ``/orgs/o`` or ``/enterprises/e``."""
    if scope.kind == "enterprise":
        return f"/{scope.name}"
    return f"/{'repos' if scope.kind == 'repo' else 'orgs'}/{scope.name}"


def downloads(version: str) -> list[dict[str, Any]]:
    """The runner's archives. The checksums are well-formed, and those of no real file."""
    found = []
    for system, architecture, ending in (
        ("linux", "x64", "tar.gz"),
        ("linux", "arm64", "tar.gz"),
        ("linux", "arm", "tar.gz"),
        ("osx", "arm64", "tar.gz"),
        ("win", "x64", "zip"),
    ):
        name = f"actions-runner-{system}-{architecture}-{version}.{ending}"
        found.append(
            {
                "os": system,
                "architecture": architecture,
                "download_url": f"https://github.com/actions/runner/releases/download/v{version}/{name}",
                "filename": name,
                "sha256_checksum": hashlib.sha256(name.encode()).hexdigest(),
            }
        )
    return found


def node_id(kind: str, number: int) -> str:
    """GitHub's global id: opaque to everyone."""
    return base64.b64encode(f"{kind}{number}".encode()).decode()


def owner(api: str, scope: Scope) -> dict[str, Any]:
    """The owner of a repository as other objects carry it."""
    url = f"{api}/users/{scope.name}"
    plain = ("followers", "subscriptions", "organizations", "repos", "received_events")
    braced = {"following": "{/other_user}", "gists": "{/gist_id}", "starred": "{/owner}{/repo}", "events": "{/privacy}"}
    return {
        "login": scope.name,
        "id": scope.id,
        "node_id": node_id("O", scope.id),
        "avatar_url": f"https://avatars.githubusercontent.com/u/{scope.id}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"https://github.com/{scope.name}",
        **{f"{name}_url": f"{url}/{name}" for name in plain},
        **{f"{name}_url": f"{url}/{name}{rest}" for name, rest in braced.items()},
        "type": "User" if scope.kind == "user" else "Organization",
        "site_admin": False,
    }


def organization(api: str, scope: Scope) -> dict[str, Any]:
    """An organization."""
    url = f"{api}/orgs/{scope.name}"
    return {
        "login": scope.name,
        "id": scope.id,
        "node_id": node_id("O", scope.id),
        "url": url,
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events",
        "hooks_url": f"{url}/hooks",
        "issues_url": f"{url}/issues",
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{scope.id}",
        "description": None,
        "html_url": f"https://github.com/{scope.name}",
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "type": "Organization",
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "archived_at": None,
    }


_REPOSITORY_URLS = {
    "contributors": "",
    "deployments": "",
    "downloads": "",
    "events": "",
    "forks": "",
    "hooks": "",
    "languages": "",
    "merges": "",
    "stargazers": "",
    "subscribers": "",
    "subscription": "",
    "tags": "",
    "teams": "",
    "archive": "/{archive_format}{/ref}",
    "assignees": "{/user}",
    "blobs": "{/sha}",
    "branches": "{/branch}",
    "collaborators": "{/collaborator}",
    "comments": "{/number}",
    "commits": "{/sha}",
    "compare": "/{base}...{head}",
    "contents": "/{+path}",
    "git_commits": "{/sha}",
    "git_refs": "{/sha}",
    "git_tags": "{/sha}",
    "issue_comment": "{/number}",
    "issue_events": "{/number}",
    "issues": "{/number}",
    "keys": "{/key_id}",
    "labels": "{/name}",
    "milestones": "{/number}",
    "notifications": "{?since,all,participating}",
    "pulls": "{/number}",
    "releases": "{/id}",
    "statuses": "/{sha}",
    "trees": "{/sha}",
}


def repository(api: str, scope: Scope, owned_by: Scope) -> dict[str, Any]:
    """A repository."""
    url, page = f"{api}/repos/{scope.name}", f"https://github.com/{scope.name}"
    counts = (
        "forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count network_count"
    )
    return {
        "id": scope.id,
        "node_id": node_id("R", scope.id),
        "name": scope.name.partition("/")[2],
        "full_name": scope.name,
        "owner": owner(api, owned_by),
        "private": scope.visibility != "public",
        "visibility": scope.visibility,
        "html_url": page,
        "description": None,
        "fork": False,
        "url": url,
        **{f"{name}_url": f"{url}/{name}{rest}" for name, rest in _REPOSITORY_URLS.items()},
        "clone_url": f"{page}.git",
        "git_url": f"git://github.com/{scope.name}.git",
        "ssh_url": f"git@github.com:{scope.name}.git",
        "svn_url": page,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "default_branch": "main",
        **dict.fromkeys(f"{counts} subscribers_count".split(), 0),
        **dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_discussions", "has_downloads"), True),
        **dict.fromkeys(("has_pages", "disabled"), False),
        "archived": scope.archived,
        "pushed_at": EPOCH,
        "created_at": EPOCH,
        "updated_at": EPOCH,
    }


def user(api: str, scope: Scope) -> dict[str, Any]:
    """An account, a person's or an organization's."""
    unsaid = ("name", "company", "blog", "location", "email", "hireable", "bio")
    counts = ("public_repos", "public_gists", "followers", "following")
    return {
        **owner(api, scope),
        **dict.fromkeys(unsaid, None),
        **dict.fromkeys(counts, 0),
        "user_view_type": "public",
        "created_at": EPOCH,
        "updated_at": EPOCH,
    }


def app(api: str, one: App, owned_by: Scope) -> dict[str, Any]:
    """A GitHub App as it sees itself."""
    return {
        "id": one.id,
        "slug": one.slug,
        "node_id": node_id("A", one.id),
        "client_id": one.client_id,
        "owner": owner(api, owned_by),
        "name": one.slug,
        "description": None,
        "external_url": "https://example.com",
        "html_url": f"https://github.com/apps/{one.slug}",
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "permissions": dict(one.permissions),
        "events": [],
        "installations_count": len(one.installations),
    }


def installation(api: str, of: App, one: Installation, account: Scope) -> dict[str, Any]:
    """An App on an account."""
    page = "settings" if account.kind == "user" else f"organizations/{account.name}/settings"
    return {
        "id": one.id,
        "client_id": of.client_id,
        "account": owner(api, account),
        "repository_selection": _selection(one.repositories),
        "access_tokens_url": f"{api}/app/installations/{one.id}/access_tokens",
        "repositories_url": f"{api}/installation/repositories",
        "html_url": f"https://github.com/{page}/installations/{one.id}",
        "app_id": of.id,
        "app_slug": of.slug,
        "target_id": account.id,
        "target_type": "User" if account.kind == "user" else "Organization",
        "permissions": dict(one.permissions),
        "events": [],
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "single_file_name": None,
        "suspended_by": owner(api, account) if one.suspended else None,
        "suspended_at": EPOCH if one.suspended else None,
    }


def _selection(repositories: Collection[str] | None) -> str:
    return "all" if repositories is None else "selected"


def installation_token(secret: str, one: Token, repositories: list[dict[str, Any]]) -> dict[str, Any]:
    """A token of an App, with the repositories that it was narrowed to."""
    narrowed = one.repositories if one.repositories is not None else one.installation.repositories
    return {
        "token": secret,
        "expires_at": iso(one.expires_at),
        "permissions": dict(one.permissions),
        "repository_selection": _selection(narrowed),
        **({"repositories": repositories} if repositories else {}),
    }


def token(value: str, end: float) -> dict[str, str]:
    """A registration or remove token."""
    return {"token": value, "expires_at": iso(end)}
