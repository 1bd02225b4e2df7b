# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where runners register: a repository, an organization or an enterprise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from .errors import ScopeError, shown

GITHUB_API = "https://api.github.com"

# Wider than GitHub's rules for new accounts (old ones have a hyphen at the end, managed users an underscore), but
# nothing that would mean something else in a URL.
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_REPOSITORY = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
# First words of GitHub's own pages and API paths: no account is called so.
_RESERVED = {"enterprises", "organizations", "orgs", "repos", "users"}


def split_api_url(api_url: str) -> SplitResult:
    """The parts of the URL of a GitHub API, without a slash at the end.

    Raises:
        ValueError: It is not a plain http(s) URL.
    """
    plain = isinstance(api_url, str) and re.fullmatch(r"https?://[^\s@?#]+", api_url)
    parts = None
    try:
        parts = urlsplit(api_url.rstrip("/")) if plain else None
        host = parts.hostname if parts and parts.port != 0 else None  # reading `port` refuses what is no number
    except ValueError:
        host = None
    website = host and re.fullmatch(r"(www\.)?github\.com|(?!api\.).+\.ghe\.com", host)
    if parts and host and not website:
        return parts._replace(netloc=parts.netloc.lower())
    raise ValueError(
        f"api_url = {shown(api_url)}: not the plain URL of an API. "
        "Do: write https://api.github.com, https://api.SUBDOMAIN.ghe.com or https://HOST/api/v3"
    )


def web_url(api_url: str) -> str:
    """The address for browsers (and for the runner program) of the GitHub whose API is at `api_url`.

    github.com and data residency (*.ghe.com) have the API on a host of its own, GitHub Enterprise Server below a path.
    """
    parts = split_api_url(api_url)
    host = parts.netloc
    if re.fullmatch(r"api\.(github|.+\.ghe)\.com", parts.hostname or ""):
        host = host.removeprefix("api.")
    return f"{parts.scheme}://{host}{parts.path.removesuffix('/api/v3')}"


@dataclass(frozen=True)
class Scope:
    """Where runners register. Make it with `Scope.parse`.

    Attributes:
        kind: "repo", "org" or "enterprise".
        owner: The account: a user or organization for a repository, else the organization or the enterprise itself.
        name: The repository's name; empty for the other kinds.
        api_url: The API through which the scope is reached.
    """

    kind: str
    owner: str
    name: str = ""
    api_url: str = GITHUB_API

    @classmethod
    def parse(cls, text: str, api_url: str = GITHUB_API) -> Scope:
        """The scope that `text` names.

        Args:
            text: ``owner/repo``, ``my-org``, ``enterprises/name``, or the URL of one (with or without ``www.``,
                ``.git`` and a slash at the end) on the same GitHub as `api_url`.
            api_url: The URL of that GitHub's API.

        Raises:
            ScopeError: `text` is anything else.
            ValueError: `api_url` is not the URL of an API.
        """
        api_url = split_api_url(api_url).geturl()
        if not isinstance(text, str):
            raise ScopeError(text, "not a text")
        path = _path_of_url(text, api_url) if "://" in text else text
        first, slash, second = path.partition("/")
        if not slash:
            scope = cls("org", first, "", api_url)
        elif first == "enterprises":
            scope = cls("enterprise", second, "", api_url)
        else:
            scope = cls("repo", first, second.removesuffix(".git"), api_url)
        if not _OWNER.fullmatch(scope.owner) or scope.owner.lower() in _RESERVED:
            raise ScopeError(text, "not the name of a repository, an organization or an enterprise")
        if scope.kind == "repo" and not _REPOSITORY.fullmatch(scope.name):
            raise ScopeError(text, "no repository can have that name")
        return scope

    @property
    def api_path(self) -> str:
        """The beginning of the path of every call about this scope, such as ``/orgs/my-org``."""
        if self.kind == "org":
            return f"/orgs/{self}"
        return f"/repos/{self}" if self.kind == "repo" else f"/{self}"

    @property
    def url(self) -> str:
        """The scope's page: what ``config.sh --url`` takes."""
        return f"{web_url(self.api_url)}/{self}"

    def __str__(self) -> str:
        if self.kind == "repo":
            return f"{self.owner}/{self.name}"
        return self.owner if self.kind == "org" else f"enterprises/{self.owner}"


def _path_of_url(text: str, api_url: str) -> str:
    """The path of the URL `text`, as ``owner/repo`` and the like; ScopeError if it is on another GitHub."""
    home = urlsplit(web_url(api_url))
    try:
        url = urlsplit(text)
        server = (url.hostname, url.port)
    except ValueError:
        server = (None, None)
    if server[0] is None or url.scheme not in ("http", "https") or re.search(r"[@?#\s]", text):
        raise ScopeError(text, "not a plain https:// URL")
    if server not in ((home.hostname, home.port), (f"www.{home.hostname}", home.port)):
        raise ScopeError(text, f"not on {home.netloc}, which the option api_url = {api_url} belongs to")
    return url.path.removeprefix(home.path).removeprefix("/").removesuffix("/")
