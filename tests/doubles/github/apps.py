# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub Apps: their keys, where they are installed, and the tokens that are made for them.

Pure but for the clock of the state it is given. What an App may is decided anew at each use of a token: an
installation that is suspended, narrowed or gone takes its tokens with it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, TypeGuard

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .access import Refused, bearer, needed_permission
from .state import GitHub, Scope

LEVELS = ("read", "write", "admin")
JWT_LIFE = 600  # seconds a JWT may end ahead: documented
MOST_REPOSITORIES = 500  # of a token that is narrowed to some: documented
FIELDS = ("id", "client_id", "owner", "public_keys", "permissions", "installations")
INSTALLATION_FIELDS = ("id", "repositories", "permissions", "suspended")


@dataclasses.dataclass(frozen=True)
class Installation:
    """An App on an account. ``repositories``: the selected ones, lower case; None: all."""

    id: int
    account: str  # lower case
    permissions: Mapping[str, str]
    repositories: frozenset[str] | None = None
    suspended: bool = False


@dataclasses.dataclass(frozen=True)
class App:
    """A registered App. ``keys``: public keys as PEM; a JWT signed with any of them is the App's."""

    id: int
    client_id: str
    slug: str
    owner: str  # as first written
    permissions: Mapping[str, str]
    keys: tuple[str, ...]
    installations: Mapping[str, Installation]  # by account

    def by_id(self, number: int) -> Installation:
        """Raises Refused 404 for an installation that is none of this App's."""
        for one in self.installations.values():
            if one.id == number:
                return one
        raise Refused(404, "Not Found")


@dataclasses.dataclass(frozen=True)
class Token:
    """An installation token, used like any other credential."""

    name: str
    installation: Installation
    permissions: Mapping[str, str]
    repositories: frozenset[str] | None  # narrower than the installation's; None: as those
    expires_at: float
    kind: str = "app"
    oauth_scopes: tuple[str, ...] | None = None
    sso: frozenset[str] = frozenset()  # Apps need no single sign-on

    def permission(self, scope: str, about: str = "runners") -> str | None:
        """``write``, ``read``, ``none``, or None where the scope is not even seen; ``about``: as in access.NEEDED."""
        scope = scope.lower()
        if scope.startswith("enterprises/") or scope.partition("/")[0] != self.installation.account:
            return None
        selections = (self.repositories, self.installation.repositories)
        if "/" in scope and any(selected is not None and scope not in selected for selected in selections):
            return None
        name = needed_permission(scope, about)[1]
        had = [permissions.get(name, "none") for permissions in (self.permissions, self.installation.permissions)]
        return min(had, key=("none", *LEVELS).index).replace("admin", "write")


class Apps:
    """All Apps and their tokens."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._apps: dict[str, App] = {}
        self._numbers: dict[tuple[str, str], int] = {}  # ids stay when Apps are defined anew
        self._tokens: dict[str, tuple[str, str, Token]] = {}  # secret -> slug, account, token

    def __contains__(self, slug: str) -> bool:
        return slug in self._apps

    # -- the administrator's side ------------------------------------------------------------------------------------

    def replace(self, body: Any) -> None:
        """Define all Apps, from ``{slug: {id?, client_id?, owner?, public_keys?, permissions, installations}}``.

        ``installations``: account -> ``{id?, repositories?, permissions?, suspended?}``; without ``repositories`` all
        of the account's, without ``permissions`` those of the App. Keys made by ``new_key`` stay unless
        ``public_keys`` are given. Accounts that are named come into being. Raises ValueError, and changes nothing then.
        """
        if not isinstance(body, dict):
            raise ValueError(f"apps: write a JSON object, slug -> {{{', '.join(FIELDS)}}}.")
        found = {slug: self._parse(slug, entry) for slug, entry in body.items()}
        for app in found.values():
            for name in (app.owner, *app.installations, *_selected(app)):
                self._github.add_scope(name)
        self._apps = found

    def new_key(self, slug: str) -> str:
        """Make a private key, as a click on the App's page does; PEM. GitHub keeps the public half. Raises KeyError."""
        app = self._apps[slug]
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._apps[slug] = dataclasses.replace(app, keys=(*app.keys, public.decode()))
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()

    def forget_keys(self, slug: str) -> None:
        """Delete all keys of an App. Raises KeyError."""
        self._apps[slug] = dataclasses.replace(self._apps[slug], keys=())

    def revoke_tokens(self, slug: str) -> None:
        """End all tokens of an App at once. Raises KeyError."""
        app = self._apps[slug]
        self._tokens = {secret: entry for secret, entry in self._tokens.items() if entry[0] != app.slug}

    def _parse(self, slug: str, entry: Any) -> App:
        if not isinstance(entry, dict) or not set(entry) <= set(FIELDS):
            raise ValueError(f"app {slug}: write an object of {', '.join(FIELDS)} and nothing else.")
        keys = entry.get("public_keys")
        if keys is None:
            keys = self._apps[slug].keys if slug in self._apps else ()
        for key in keys:
            try:
                serialization.load_pem_public_key(str(key).encode())
            except ValueError:
                raise ValueError(f"app {slug}: public_keys: one is no public key. Give PEM texts.") from None
        permissions = _permissions(f"app {slug}", entry.get("permissions", {}))
        installations = entry.get("installations", {})
        if not isinstance(installations, dict):
            raise ValueError(f"app {slug}: installations: write an object, account -> its fields.")
        return App(
            id=int(entry.get("id", self._number("app", slug))),
            client_id=str(entry.get("client_id", f"Iv23li{hashlib.sha256(slug.encode()).hexdigest()[:14]}")),
            slug=slug,
            owner=str(entry.get("owner", next(iter(installations), "my-org"))),
            permissions=permissions,
            keys=tuple(map(str, keys)),
            installations={
                account.lower(): self._installation(slug, account.lower(), fields, permissions)
                for account, fields in installations.items()
            },
        )

    def _installation(self, slug: str, account: str, fields: Any, permissions: Mapping[str, str]) -> Installation:
        where = f"app {slug}, installation {account}"
        if not isinstance(fields, dict) or not set(fields) <= set(INSTALLATION_FIELDS):
            raise ValueError(f"{where}: write an object of {', '.join(INSTALLATION_FIELDS)} and nothing else.")
        selected = fields.get("repositories")
        names = None if selected is None else frozenset(str(name).lower() for name in selected)
        if names and not all(name.startswith(f"{account}/") for name in names):
            raise ValueError(f"{where}: repositories = {selected!r}. Write owner/repo, of this account.")
        return Installation(
            id=int(fields.get("id", self._number(slug, account))),
            account=account,
            permissions=_permissions(where, fields["permissions"]) if "permissions" in fields else permissions,
            repositories=names,
            suspended=bool(fields.get("suspended", False)),
        )

    def _number(self, kind: str, name: str) -> int:
        return self._numbers.setdefault((kind, name), 70001 + len(self._numbers))

    # -- GitHub's side -----------------------------------------------------------------------------------------------

    def authenticate(self, header: str | None) -> App:
        """The App whose JWT this is. Raises Refused 401, or 404 where no App is called so."""
        text, now = bearer(header), self._github.clock.now()
        if text is None:
            raise Refused(401, "A JSON web token could not be decoded")
        try:
            issuer = str(jwt.decode(text, options={"verify_signature": False}).get("iss"))
        except jwt.PyJWTError:
            raise Refused(401, "A JSON web token could not be decoded") from None
        app = next((one for one in self._apps.values() if issuer in (str(one.id), one.client_id)), None)
        if app is None:
            raise Refused(404, "Integration not found")
        if not app.keys:
            raise Refused(401, "Integration must generate a public key")
        claims = next((claims for key in app.keys if (claims := _verified(text, key)) is not None), None)
        if claims is None:
            raise Refused(401, "A JSON web token could not be decoded")
        issued, end = claims.get("iat"), claims.get("exp")
        if not _is_integer(issued) or issued > now:
            raise Refused(
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            )
        if not _is_integer(end) or end <= now:
            raise Refused(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the "
                "assertion expires",
            )
        if end > now + JWT_LIFE:
            raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
        return app

    def installed(self, app: App, scope: Scope) -> Installation:
        """The App's installation that reaches a scope. Raises Refused 404."""
        found = app.installations.get(scope.owner)
        hidden = scope.kind == "repo" and found and found.repositories is not None
        if found is None or (hidden and scope.key not in (found.repositories or ())):
            raise Refused(404, "Not Found")
        return found

    def issue(self, app: App, installation: Installation, body: Mapping[str, Any]) -> tuple[str, Token, list[Scope]]:
        """Make a token, narrowed as the body asks: its secret, itself, the repositories it was narrowed to.

        Raises Refused 403 (suspended), 422 (more than the installation has, or a body that is wrong).
        """
        if installation.suspended:
            raise Refused(403, "This installation has been suspended")
        unknown = set(body) - {"repositories", "repository_ids", "permissions"}
        names, numbers = body.get("repositories", []), body.get("repository_ids", [])
        asked = body.get("permissions", dict(installation.permissions))
        if unknown or not isinstance(names, list) or not isinstance(numbers, list) or not isinstance(asked, dict):
            raise Refused(422, "Invalid request.")
        if len(names) + len(numbers) > MOST_REPOSITORIES:
            raise Refused(422, f"A token cannot be narrowed to more than {MOST_REPOSITORIES} repositories.")
        for name, level in asked.items():
            had = installation.permissions.get(name)
            if level not in LEVELS or had is None or LEVELS.index(level) > LEVELS.index(had):
                raise Refused(422, "The permissions requested are not granted to this installation.")
        narrowed = [self._repository(app, installation, one) for one in (*names, *numbers)]
        now = self._github.clock.now()
        token = Token(
            name=f"app:{app.slug}/{installation.account}",
            installation=installation,
            # Reading what GitHub tells everybody who sees a repository goes with any permission.
            permissions={**({"metadata": "read"} if "metadata" in installation.permissions else {}), **asked},
            repositories=frozenset(scope.key for scope in narrowed) if names or numbers else None,
            expires_at=now + self._github.settings.installation_token_life,
        )
        # As long as those that GitHub began to give in 2026, and with dots in it: no client may measure a token.
        secret = f"ghs_{secrets.token_urlsafe(24)}.{secrets.token_urlsafe(300)}.{secrets.token_urlsafe(60)}"
        self._tokens[secret] = (app.slug, installation.account, token)
        self._github.issued.append(
            {"kind": "installation-token", "scope": installation.account, "at": now, "app": app.slug, "secret": secret}
        )
        return secret, token, narrowed

    def _repository(self, app: App, installation: Installation, wanted: Any) -> Scope:
        for scope in self._github.scopes.values():
            short = scope.name.partition("/")[2].lower()
            named = scope.id == wanted if isinstance(wanted, int) else short == str(wanted).lower()
            if scope.kind == "repo" and scope.owner == installation.account and named:
                try:
                    self.installed(app, scope)
                except Refused:
                    break
                return scope
        raise Refused(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )

    def token(self, secret: str) -> Token | None:
        """The token of this secret, with what its installation is now; None if there is no such, or no longer.

        Raises Refused 403 while the installation is suspended.
        """
        slug, account, token = self._tokens.get(secret, ("", "", None))
        app = self._apps.get(slug)
        installation = app.installations.get(account) if app else None
        if token is None or installation is None or installation.id != token.installation.id:
            return None
        if installation.suspended:
            raise Refused(403, "This installation has been suspended")
        return dataclasses.replace(token, installation=installation)


def _permissions(where: str, given: Any) -> Mapping[str, str]:
    if not isinstance(given, dict) or not all(level in LEVELS for level in given.values()):
        raise ValueError(f"{where}: permissions = {given!r}. Write permission -> {', '.join(LEVELS)}.")
    return dict(given)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _selected(app: App) -> list[str]:
    return [name for one in app.installations.values() for name in one.repositories or ()]


def _verified(text: str, key: str) -> dict[str, Any] | None:
    """What a JWT says, if this key signed it. Its times are judged by GitHub's clock, elsewhere."""
    unjudged = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    try:
        return dict(jwt.decode(text, key, algorithms=["RS256"], options=unjudged))  # type: ignore[arg-type]  # a dict of bools it is
    except jwt.PyJWTError:
        return None
