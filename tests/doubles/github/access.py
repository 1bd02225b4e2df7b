# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may do what, and how often: credentials, permissions and rate limits. Pure; the time is passed in."""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from .settings import Settings, iso, moment

KINDS = ("classic", "fine-grained", "app")
PERMISSIONS = ("write", "read", "none")
FIELDS = ("token", "scopes", "kind", "expires_at", "oauth_scopes", "permissions", "sso")


class Refused(Exception):
    """GitHub says no: the status and what the answer carries."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class Holder(Protocol):
    """Who asks: a ``Credential``, or an installation token of a GitHub App."""

    @property
    def name(self) -> str:
        """For the journal and the rate limits."""

    @property
    def kind(self) -> str:
        """One of KINDS."""

    @property
    def expires_at(self) -> float | None:
        """Wall."""

    @property
    def oauth_scopes(self) -> tuple[str, ...] | None:
        """Of a classic token, if it was said."""

    @property
    def sso(self) -> frozenset[str]:
        """Organizations (lower case) for whose single sign-on it is not authorized."""

    def permission(self, scope: str, about: str = "runners") -> str | None:
        """``write``, ``read``, ``none``, or None where the scope is not even seen; ``about``: a key of NEEDED."""


@dataclasses.dataclass(frozen=True)
class Credential:
    """A token and what it may do.

    ``scopes``: lower case -> ``write``, ``read`` or ``none`` (seen, no rights): the rights of its user there, or what a
    fine-grained token was limited to. ``oauth_scopes`` of a classic token and ``permissions`` of a fine-grained one
    take away from that; None: they are as they need to be.
    """

    name: str
    token: str = dataclasses.field(repr=False)
    kind: str
    scopes: dict[str, str]
    expires_at: float | None = None
    oauth_scopes: tuple[str, ...] | None = None
    permissions: dict[str, str] | None = None
    sso: frozenset[str] = frozenset()

    def permission(self, scope: str, about: str = "runners") -> str | None:
        """``write``, ``read``, ``none``, or None where the scope is not even seen; ``about``: a key of NEEDED.

        ``owner/*`` stands for every repository of the owner.
        """
        scope = scope.lower()
        owner = scope.partition("/")[0]
        role = self.scopes.get(scope, self.scopes.get(f"{owner}/*") if scope.count("/") == 1 else None)
        classic, fine = needed_permission(scope, about)
        if role is not None and self.oauth_scopes is not None and classic not in _with_implied(self.oauth_scopes):
            return "none" if "/" not in scope else None  # private repositories and enterprises are hidden then
        if role is not None and self.permissions is not None:
            return min(role, self.permissions.get(fine, "none"), key=("none", "read", "write").index)
        return role


def _with_implied(scopes: tuple[str, ...]) -> set[str]:
    """OAuth scopes with those that they include (docs: scopes for OAuth apps)."""
    implied = {
        "admin:enterprise": "manage_runners:enterprise",
        "admin:org": "manage_runners:org",
        "repo": "admin:repo_hook",
    }
    return {*scopes, *(implied[one] for one in scopes if one in implied)}


def parse_credentials(body: Any) -> dict[str, Credential]:
    """Credentials by token, from ``{name: {token, scopes, kind?, expires_at?, oauth_scopes?, permissions?, sso?}}``.

    Raises ValueError, whose text holds no token.
    """
    if not isinstance(body, dict):
        raise ValueError(f"credentials: write a JSON object, name -> {{{', '.join(FIELDS)}}}.")
    found: dict[str, Credential] = {}
    for name, entry in body.items():
        if not isinstance(entry, dict) or not set(entry) <= set(FIELDS):
            raise ValueError(f"credential {name}: write an object of {', '.join(FIELDS)} and nothing else.")
        token, scopes, kind = entry.get("token"), entry.get("scopes"), entry.get("kind", "classic")
        if not isinstance(token, str) or not token:
            raise ValueError(f"credential {name}: has no token. Give one.")
        if token in found:
            raise ValueError(f"credential {name}: has the token of {found[token].name}. Give each its own.")
        if not isinstance(scopes, dict) or not all(value in PERMISSIONS for value in scopes.values()):
            raise ValueError(f"credential {name}: scopes = {scopes!r}. Write scope -> {', '.join(PERMISSIONS)}.")
        if kind not in KINDS:
            raise ValueError(f"credential {name}: kind = {kind!r}. Use one of: {', '.join(KINDS)}.")
        oauth_scopes, permissions, sso = entry.get("oauth_scopes"), entry.get("permissions"), entry.get("sso", [])
        if oauth_scopes is not None and (kind != "classic" or not isinstance(oauth_scopes, list)):
            raise ValueError(f"credential {name}: oauth_scopes = {oauth_scopes!r}. A list, of a classic token only.")
        if permissions is not None and (
            kind != "fine-grained"
            or not isinstance(permissions, dict)
            or not all(value in PERMISSIONS for value in permissions.values())
        ):
            raise ValueError(
                f"credential {name}: permissions = {permissions!r}. "
                f"Write permission -> {', '.join(PERMISSIONS)}, of a fine-grained token only."
            )
        if not isinstance(sso, list) or (sso and kind == "app"):
            raise ValueError(f"credential {name}: sso = {sso!r}. A list of organizations, of a person's token only.")
        expires = entry.get("expires_at")
        try:
            end = None if expires is None else moment(str(expires))
        except ValueError:
            raise ValueError(
                f"credential {name}: expires_at = {expires!r}. Write it as 2026-11-21T10:00:00Z."
            ) from None
        found[token] = Credential(
            name,
            token,
            kind,
            {key.lower(): value for key, value in scopes.items()},
            end,
            None if oauth_scopes is None else tuple(map(str, oauth_scopes)),
            permissions,
            frozenset(str(organization).lower() for organization in sso),
        )
    return found


def bearer(header: str | None) -> str | None:
    """The secret in an Authorization header; None where it holds none in a way that GitHub takes.

    As a password, beside whatever user's name, GitHub takes a token too.
    """
    scheme, _blank, secret = (header or "").partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            return base64.b64decode(secret, validate=True).decode().partition(":")[2]
    return secret.strip() if scheme.lower() in ("bearer", "token") else None


def authenticate(
    credentials: dict[str, Credential],
    tokens: Callable[[str], Holder | None],
    header: str | None,
    now: float,
) -> Holder | None:
    """Who an Authorization header is of; None without one. Raises Refused 401.

    ``tokens`` knows those of Apps by their secret.
    """
    if not header:
        return None
    secret = bearer(header)
    holder = None if secret is None else credentials.get(secret) or tokens(secret)
    if holder is None or (holder.expires_at is not None and holder.expires_at <= now):
        raise Refused(401, "Bad credentials")
    return holder


# By what an operation is about and the kind of scope: the scope of a classic token, and the permission of the others.
NEEDED = {
    "runners": {
        "enterprise": ("manage_runners:enterprise", ""),
        "repo": ("repo", "administration"),
        "org": ("admin:org", "organization_self_hosted_runners"),
    },
    "hooks": {
        "repo": ("admin:repo_hook", "repository_hooks"),
        "org": ("admin:org_hook", "organization_hooks"),
    },
}


def needed_permission(scope: str, about: str = "runners") -> tuple[str, str]:
    """What it takes there: the scope of a classic token, and the permission of the others."""
    kind = "enterprise" if scope.startswith("enterprises/") else "repo" if "/" in scope else "org"
    return NEEDED[about][kind]


def check_sso(credential: Holder | None, scope: str) -> None:
    """Raise Refused 403 if the scope's organization wants a single sign-on that the credential is not good for."""
    owner = scope.lower().partition("/")[0]
    if credential is None or owner not in credential.sso:
        return
    page = f"https://github.com/orgs/{owner}/sso?authorization_request=A{'0' * 16}"
    raise Refused(
        403,
        "Resource protected by organization SAML enforcement. "
        "You must grant your Personal Access token access to this organization.",
        {"X-GitHub-SSO": f"required; url={page}"},
    )


def authorize(credential: Holder | None, scope: str, write: bool, public: bool = False, about: str = "runners") -> None:
    """Raise Refused unless the credential may read (or write) what an operation on this scope is about.

    401 without a credential, 404 where the credential does not see the scope, 403 where it sees it and may not.
    """
    if credential is None:
        raise Refused(401, "Requires authentication")
    check_sso(credential, scope)
    permission = credential.permission(scope, about)
    if permission is None and not public:
        raise Refused(404, "Not Found")
    allowed = permission == "write" or (permission == "read" and not write)
    # GitHub Apps and fine-grained tokens cannot manage runners of an enterprise.
    if allowed and not (scope.startswith("enterprises/") and credential.kind != "classic"):
        return
    messages = {
        "classic": f"Must have admin rights to {'Repository' if '/' in scope else 'Organization'}.",
        "fine-grained": "Resource not accessible by personal access token",
        "app": "Resource not accessible by integration",
    }
    raise Refused(403, messages[credential.kind])


def credential_headers(credential: Holder, scope: str | None, write: bool, about: str = "runners") -> dict[str, str]:
    """What GitHub tells on every answer about the credential in use."""
    headers = {}
    if credential.expires_at is not None:
        headers["github-authentication-token-expiration"] = (
            iso(credential.expires_at).replace("T", " ").replace("Z", " UTC")
        )
    if credential.kind == "classic":
        headers["X-OAuth-Scopes"] = ", ".join(sorted(_oauth_scopes(credential)))
        headers["X-Accepted-OAuth-Scopes"] = needed_permission(scope, about)[0] if scope else ""
    elif scope and needed_permission(scope, about)[1]:
        headers["X-Accepted-GitHub-Permissions"] = (
            f"{needed_permission(scope, about)[1]}={'write' if write else 'read'}"
        )
    return headers


def _oauth_scopes(credential: Holder) -> set[str]:
    """Those of a classic token; where it was not said, the ones it needs."""
    if credential.oauth_scopes is not None:
        return set(credential.oauth_scopes)
    assert isinstance(credential, Credential)
    return {needed_permission(key)[0] for key, value in credential.scopes.items() if value != "none"}


@dataclasses.dataclass
class _Window:
    start: float
    used: int = 0


class Limiter:
    """GitHub's primary and secondary rate limits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._windows: dict[tuple[str, str], _Window] = {}
        self._points: dict[tuple[str, str], collections.deque[tuple[float, int]]] = {}
        self._registrations: dict[str, collections.deque[float]] = {}
        self._running: collections.Counter[str] = collections.Counter()

    def _limit(self, who: str, resource: str) -> int:
        if who == "":
            return self._settings.anonymous_per_hour
        return (
            self._settings.registration_per_hour
            if resource == "actions_runner_registration"
            else self._settings.core_per_hour
        )

    def _window(self, who: str, resource: str, now: float) -> _Window:
        window = self._windows.get((who, resource))
        if window is None or now >= window.start + 3600:
            window = self._windows[(who, resource)] = _Window(now)
        return window

    def overview(self, who: str, resource: str, now: float) -> dict[str, int]:
        """limit, used, remaining and reset (seconds since the epoch) of one bucket."""
        window = self._window(who, resource, now)
        limit = self._limit(who, resource)
        used = min(window.used, limit)
        return {"limit": limit, "used": used, "remaining": limit - used, "reset": int(window.start + 3600)}

    def headers(self, who: str, resource: str, now: float) -> dict[str, str]:
        """The ``X-RateLimit-*`` headers of one bucket."""
        state = self.overview(who, resource, now)
        headers = {f"X-RateLimit-{name.capitalize()}": str(value) for name, value in state.items()}
        return {**headers, "X-RateLimit-Resource": resource}

    def enter(self, who: str, resource: str, method: str, endpoint: str, now: float) -> None:
        """Count a request that begins. Raises Refused 403, as GitHub does, when it is one too many."""
        self._running[who] += 1
        if not self._settings.rate_limits:
            return
        window = self._window(who, resource, now)
        if window.used >= self._limit(who, resource):
            raise Refused(403, f"API rate limit exceeded for {who or 'your address'}.")
        window.used += 1
        if self._running[who] > self._settings.concurrent:
            raise secondary()
        points = self._points.setdefault((who, endpoint), collections.deque())
        while points and points[0][0] <= now - 60:
            points.popleft()
        cost = 1 if method in ("GET", "HEAD", "OPTIONS") else 5
        if sum(price for _when, price in points) + cost > self._settings.points_per_minute:
            raise secondary()
        points.append((now, cost))

    def leave(self, who: str) -> None:
        """The request is over."""
        self._running[who] -= 1

    def refund(self, who: str, resource: str, now: float) -> None:
        """A 304 does not count against the primary limit."""
        window = self._window(who, resource, now)
        window.used = max(0, window.used - 1)

    def register(self, scope: str, now: float) -> None:
        """Count a runner registration of this scope. Raises Refused 403 when it is one too many."""
        seen = self._registrations.setdefault(scope, collections.deque())
        while seen and seen[0] <= now - 300:
            seen.popleft()
        if self._settings.rate_limits and len(seen) >= self._settings.registrations_per_5_minutes:
            raise secondary()
        seen.append(now)


def secondary() -> Refused:
    """The refusal of a secondary rate limit."""
    return Refused(
        403,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        {"Retry-After": "60"},
    )
