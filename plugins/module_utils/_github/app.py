# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A GitHub App as a credential: its key signs for an hour's token at a time, which is renewed before it ends."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

with suppress(ImportError):  # `HAS_JWT` tells
    import jwt

from .answers import parse, take, take_if_there, take_time
from .client import Client
from .credential import ISSUER
from .errors import Forbidden, GitHubError, NotFound, RateLimited, Unauthorized, Unprocessable
from .key import HAS_JWT, NEEDS, load_key
from .scope import Scope, web_url
from .secret import Secret

# Seconds of a JWT, by GitHub's clock: it refuses one from the future, and one that ends more than ten minutes ahead
# (docs: generating a JSON web token for a GitHub App). Either side has a minute for clocks that differ.
JWT_BACK = 60
JWT_AHEAD = 540
RENEW_BEFORE = 300.0  # seconds before a token's end at which a new one is made; it has an hour
LAST_USE = 10.0  # seconds before its end up to which a token is used if it cannot be renewed
RENEW_AGAIN = 60.0  # seconds between attempts to renew a token that still works
# A token is sometimes not yet known to all of GitHub's servers when it is first used.
NEW_TOKEN = 5.0  # seconds after its making in which a 401 may mean that
PATIENCE = 1.0  # seconds to wait then

# What a token must be allowed to do, no more is asked for (docs: permissions required for GitHub Apps).
PERMISSIONS: dict[str, Mapping[str, str]] = {
    "repo": {"administration": "write", "metadata": "read"},
    "org": {"organization_self_hosted_runners": "write"},
}
_CALLED = {
    "repo": "the repository permission 'Administration: Read and write'",
    "org": "the organization permission 'Self-hosted runners: Read and write'",
}


class AppJwt:
    """The App as itself, with no installation: good for looking those up and for making tokens for them.

    Args:
        issuer: The App's id or client id.
        private_key: One of the App's keys, as PEM text.
    """

    expires_at: float | None = None  # an App's key does not end
    renews_itself = True

    def __init__(self, issuer: str, private_key: str | Secret) -> None:
        if not HAS_JWT:
            raise ImportError(NEEDS)
        self._issuer = issuer
        self._key = load_key(private_key)

    def header(self, now: float) -> str:
        claims = {"iat": int(now) - JWT_BACK, "exp": int(now) + JWT_AHEAD, "iss": self._issuer}
        return f"Bearer {jwt.encode(claims, self._key, algorithm='RS256')}"

    def renew(self, refused: str, now: float) -> bool:
        """Whether it was made by a clock that the answer has shown to be wrong."""
        claims = jwt.decode(refused.partition(" ")[2], options={"verify_signature": False})
        return bool(abs(claims["iat"] + JWT_BACK - now) > JWT_BACK / 2)

    def __repr__(self) -> str:
        return f"AppJwt({self._issuer}, hidden)"


@dataclass(frozen=True)
class InstallationToken:
    """What an App acts with where it is installed; times in epoch seconds of GitHub's clock.

    Attributes:
        installation_id: GitHub's number for the installation that it is of.
        permissions: What it may do, in the API's words; None where GitHub does not say.
        repositories: The full names of those that it was narrowed to; None: all of the installation's.
    """

    value: Secret
    made_at: float
    expires_at: float
    installation_id: int
    permissions: Mapping[str, str] | None = None
    repositories: tuple[str, ...] | None = None


class AppAuth:
    """A GitHub App, for one scope: finds the App's installation there, makes tokens, renews them in time.

    Several threads may use it. One of them renews while the others go on with the old token as long as it lasts. If it
    cannot be renewed for a reason that may pass, the old one is used to its end.

    Args:
        issuer: The App's client id (GitHub's advice) or its id.
        private_key: One of the App's keys, as PEM text; see `key.tidy_pem` for what is tolerated.
        scope: Where the runners are: a repository or an organization.
        installation_id: Of the App at the scope; None: GitHub is asked.
        permissions: What the tokens may do, in the API's words; None: whatever the installation may.
        repositories: The names of the repositories that the tokens are good for; None: all of the installation's.
        options: As for `Client`: how to reach GitHub.

    Raises:
        ValueError: `issuer`, `private_key` or `scope` cannot be right. Nothing of the key is shown.
        ImportError: A Python library is not there.
    """

    expires_at: float | None = None  # an App's key does not end, and its tokens are renewed here
    renews_itself = True

    def __init__(
        self,
        issuer: str,
        private_key: str | Secret,
        scope: Scope,
        *,
        installation_id: int | None = None,
        permissions: Mapping[str, str] | None = None,
        repositories: Iterable[str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        **options: Any,
    ) -> None:
        if scope.kind == "enterprise":
            raise ValueError(
                f"scope = {scope}: GitHub Apps cannot manage the runners of an enterprise. Do: give a classic token "
                "with the scope manage_runners:enterprise, or register at an organization of the enterprise"
            )
        if not ISSUER.fullmatch(issuer):
            raise ValueError(
                "client_id = (hidden): neither the id of a GitHub App nor its client id. "
                "Do: copy one of them from the top of the App's settings page"
            )
        self._issuer = issuer
        self._scope = scope
        self._given = installation_id
        self._found: int | None = None
        narrowed = {"permissions": permissions and dict(permissions), "repositories": repositories and [*repositories]}
        self._narrowed: dict[str, Any] = {key: value for key, value in narrowed.items() if value}
        self._client = Client(scope.api_url, AppJwt(issuer, private_key), sleep=sleep, **options)
        self._sleep = sleep
        self._token: InstallationToken | None = None
        self._not_before = 0.0  # the next attempt to renew a token that still works, by GitHub's clock
        self._lock = threading.Lock()

    def header(self, now: float) -> str:
        token = self._token
        works = token is not None and now < token.expires_at - LAST_USE
        if token and works:
            if now < max(token.expires_at - RENEW_BEFORE, self._not_before):
                return _bearer(token)
            if not self._lock.acquire(blocking=False):
                return _bearer(token)  # another thread renews it
        else:
            self._lock.acquire()
        try:
            if self._token is token or not self._token:  # if not, another thread has been here meanwhile
                self._token = self.make_token()
            return _bearer(self._token)
        except GitHubError as exc:
            if not (token and works and (exc.transient or isinstance(exc, RateLimited))):
                raise
            told = exc.retry_at + (self._client.clock_skew or 0.0) if isinstance(exc, RateLimited) else 0.0
            self._not_before = max(now + RENEW_AGAIN, told)
            return _bearer(token)
        finally:
            self._lock.release()

    def renew(self, refused: str, now: float) -> bool:
        with self._lock:
            token = self._token
            if token is None or _bearer(token) != refused:
                return True
            if not 0 <= now - token.made_at < NEW_TOKEN:
                self._token = None
                return True
        self._sleep(PATIENCE)
        return True

    def __repr__(self) -> str:
        return f"AppAuth({self._issuer}, {self._scope}, hidden)"

    def make_token(self) -> InstallationToken:
        """A new token; the installation is looked up again if it is there no more, as after a new installation."""
        if self._given is not None:
            return self._token_of(self._given)
        if self._found is not None:
            with suppress(NotFound):
                return self._token_of(self._found)
        self._found = self.find_installation()
        return self._token_of(self._found)

    def find_installation(self) -> int:
        """The id of the App's installation at the scope, as GitHub tells it."""
        action = f"find the installation of the GitHub App {self._issuer} for {self._scope}"
        try:
            response = self._client.get(f"{self._scope.api_path}/installation", action=action)
        except GitHubError as exc:
            exc.hint = self._hint(exc) or exc.hint
            raise
        return parse(response, action, lambda data: take(data, "id", int))

    def _token_of(self, installation: int) -> InstallationToken:
        action = f"make a token of the GitHub App {self._issuer} for {self._scope}"
        path = f"/app/installations/{installation}/access_tokens"
        try:
            response = self._client.post(path, action=action, json=self._narrowed or None)
        except GitHubError as exc:
            exc.hint = self._hint(exc) or exc.hint
            raise
        made_at = self._client.server_time()
        return parse(
            response,
            action,
            lambda data: InstallationToken(
                Secret(take(data, "token", str)),
                made_at,
                take_time(data, "expires_at"),
                installation,
                take_if_there(data, "permissions", dict),
                _names(take_if_there(data, "repositories", list)),
            ),
        )

    def _hint(self, exc: GitHubError) -> str:
        """What the user can do; empty where the error's own hint says it."""
        owner, kind = self._scope.owner, self._scope.kind
        page = f"{web_url(self._scope.api_url)}/organizations/{owner}/settings/installations"
        where = f"at {page}" if kind == "org" else f"in the settings of {owner}, under GitHub Apps"
        if isinstance(exc, Unauthorized):
            if re.search(r"claim \('(iat|exp)'\)", exc.message):
                return "set the clock of this machine right"
            return (
                f"give a private_key of this very App ({self._issuer}) that is still listed on its settings page; "
                "and see whether client_id or app_id is right"
            )
        if isinstance(exc, Forbidden) and "suspended" in exc.message:
            return f"let an owner of {owner} lift the suspension of the App {where}"
        if isinstance(exc, NotFound):
            if "Integration" in exc.message:
                return f"see whether client_id or app_id is right: {self._scope.api_url} knows no App {self._issuer}"
            if self._given is not None:
                return (
                    f"see whether installation_id = {self._given} is of this App; or take it out: it is found by itself"
                )
            these = f", with the repository {self._scope.name} among those selected" if kind == "repo" else ""
            return f"let an owner of {owner} install the App there{these}; it is seen {where}"
        if isinstance(exc, Unprocessable) and exc.url.endswith("/access_tokens"):
            return "; and ".join(self._asked_for(where))
        return ""

    def _asked_for(self, where: str) -> list[str]:
        """What has to be granted for a token that is narrowed so, each as something to do."""
        permissions, repositories = (self._narrowed.get(key) for key in ("permissions", "repositories"))
        done = []
        if permissions:
            called = "the permissions " + ", ".join(f"{name}: {level}" for name, level in permissions.items())
            if permissions == PERMISSIONS[self._scope.kind]:
                called = _CALLED[self._scope.kind]
            done.append(f"give the App {called} and let an owner of {self._scope.owner} accept that {where}")
        if repositories:
            noun = "repository" if len(repositories) == 1 else "repositories"
            done.append(f"let the installation have the {noun} {', '.join(repositories)}")
        return done


def _names(repositories: list[Any] | None) -> tuple[str, ...] | None:
    return None if repositories is None else tuple(take(each, "full_name", str) for each in repositories)


def _bearer(token: InstallationToken) -> str:
    return f"Bearer {token.value.reveal()}"
