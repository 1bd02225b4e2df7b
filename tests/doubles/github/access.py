# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may do what, and how often: credentials, permissions and rate limits. Pure; the time is passed in."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from .settings import Settings, iso, moment

KINDS = ("classic", "fine-grained", "app")
PERMISSIONS = ("write", "read", "none")


class Refused(Exception):
    """GitHub says no: the status and what the answer carries."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclasses.dataclass(frozen=True)
class Credential:
    """A token and what it may do. ``scopes``: lower case -> ``write``, ``read`` or ``none`` (seen, no rights)."""

    name: str
    token: str = dataclasses.field(repr=False)
    kind: str
    scopes: dict[str, str]
    expires_at: float | None = None

    def permission(self, scope: str) -> str | None:
        """``write``, ``read``, ``none``, or None where the scope is not even seen.

        ``owner/*`` stands for every repository of the owner.
        """
        scope = scope.lower()
        owner = scope.partition("/")[0]
        return self.scopes.get(scope, self.scopes.get(f"{owner}/*") if scope.count("/") == 1 else None)


def parse_credentials(body: Any) -> dict[str, Credential]:
    """Credentials by token, from ``{name: {token, scopes, kind?, expires_at?}}``.

    Raises ValueError, whose text holds no token.
    """
    if not isinstance(body, dict):
        raise ValueError("credentials: write a JSON object, name -> {token, scopes, kind, expires_at}.")
    found: dict[str, Credential] = {}
    for name, entry in body.items():
        if not isinstance(entry, dict) or not set(entry) <= {"token", "scopes", "kind", "expires_at"}:
            raise ValueError(f"credential {name}: write an object of token, scopes, kind, expires_at and nothing else.")
        token, scopes, kind = entry.get("token"), entry.get("scopes"), entry.get("kind", "classic")
        if not isinstance(token, str) or not token:
            raise ValueError(f"credential {name}: has no token. Give one.")
        if token in found:
            raise ValueError(f"credential {name}: has the token of {found[token].name}. Give each its own.")
        if not isinstance(scopes, dict) or not all(value in PERMISSIONS for value in scopes.values()):
            raise ValueError(f"credential {name}: scopes = {scopes!r}. Write scope -> {', '.join(PERMISSIONS)}.")
        if kind not in KINDS:
            raise ValueError(f"credential {name}: kind = {kind!r}. Use one of: {', '.join(KINDS)}.")
        expires = entry.get("expires_at")
        try:
            end = None if expires is None else moment(str(expires))
        except ValueError:
            raise ValueError(
                f"credential {name}: expires_at = {expires!r}. Write it as 2026-11-21T10:00:00Z."
            ) from None
        found[token] = Credential(name, token, kind, {key.lower(): value for key, value in scopes.items()}, end)
    return found


def authenticate(credentials: dict[str, Credential], header: str | None, now: float) -> Credential | None:
    """The credential of an Authorization header; None without one. Raises Refused 401."""
    if not header:
        return None
    scheme, _blank, token = header.partition(" ")
    credential = credentials.get(token.strip()) if scheme.lower() in ("bearer", "token") else None
    if credential is None or (credential.expires_at is not None and credential.expires_at <= now):
        raise Refused(401, "Bad credentials")
    return credential


def needed_permission(scope: str) -> tuple[str, str]:
    """What runners of this scope need: the scope of a classic token, and the permission of the others."""
    if scope.startswith("enterprises/"):
        return "manage_runners:enterprise", ""
    if "/" in scope:
        return "repo", "administration"
    return "admin:org", "organization_self_hosted_runners"


def authorize(credential: Credential | None, scope: str, write: bool, public: bool = False) -> None:
    """Raise Refused unless the credential may read (or write) the runners of this scope.

    401 without a credential, 404 where the credential does not see the scope, 403 where it sees it and may not.
    """
    if credential is None:
        raise Refused(401, "Requires authentication")
    permission = credential.permission(scope)
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


def credential_headers(credential: Credential, scope: str | None, write: bool) -> dict[str, str]:
    """What GitHub tells on every answer about the credential in use."""
    headers = {}
    if credential.expires_at is not None:
        headers["github-authentication-token-expiration"] = (
            iso(credential.expires_at).replace("T", " ").replace("Z", " UTC")
        )
    if credential.kind == "classic":
        had = sorted({needed_permission(key)[0] for key, value in credential.scopes.items() if value != "none"})
        headers["X-OAuth-Scopes"] = ", ".join(had)
        headers["X-Accepted-OAuth-Scopes"] = needed_permission(scope)[0] if scope else ""
    elif scope and needed_permission(scope)[1]:
        headers["X-Accepted-GitHub-Permissions"] = f"{needed_permission(scope)[1]}={'write' if write else 'read'}"
    return headers


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
