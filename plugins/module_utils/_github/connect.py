# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a credential, for one scope, to a client that sends it. What signs for an App is loaded for an App.

Apart from the forms themselves (`credential`), since this takes libraries that cost a third of a second to load: the
filters look at credentials in every process that Ansible starts for a task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .auth import Auth, TokenAuth
from .client import Client
from .credential import checked, text_of
from .scope import Scope

if TYPE_CHECKING:
    from .app import AppAuth


def auth_for(
    credential: Mapping[str, Any], scope: Scope, *, permissions: Mapping[str, str] | None = None, **options: Any
) -> Auth:
    """The credential, ready to be sent: for this scope, and with no more rights than its runners need.

    Args:
        credential: Its form; see the module's text.
        scope: Where the runners are. A token is good for any scope its owner may manage, an App for this one.
        permissions: What an App's tokens may do instead, in the API's words.
        options: As for `Client`: how an App reaches GitHub.

    Raises:
        ValueError: The form is wrong, or an App for an enterprise; one problem a line, none shows a secret.
        ImportError: A Python library that an App needs is not there.
    """
    given = checked(credential)
    if "token" in given:
        return TokenAuth(text_of(given["token"]))
    return app_for(credential, scope, permissions=permissions, **options)


def app_for(
    credential: Mapping[str, Any],
    scope: Scope,
    *,
    permissions: Mapping[str, str] | None = None,
    repositories: Iterable[str] | None = None,
    **options: Any,
) -> AppAuth:
    """The App that a credential is.

    Args:
        permissions: What its tokens may do, in the API's words; None: what the runners of the scope need.
        repositories: The names of those that its tokens are good for; None: a repository's own, for another scope all.
        credential, scope, options: As for `auth_for`.

    Raises:
        ValueError, ImportError: As `auth_for`; and it is a token.
    """
    from .app import PERMISSIONS, AppAuth

    given = checked(credential)
    if "token" in given:
        raise ValueError(
            "token = (hidden): only a GitHub App makes tokens. Do: give client_id (or app_id), private_key"
        )
    installation = given.get("installation_id")
    return AppAuth(
        str(given.get("client_id", given.get("app_id"))),
        text_of(given["private_key"]),
        scope,
        installation_id=None if installation is None else int(installation),
        permissions=permissions or PERMISSIONS.get(scope.kind),
        repositories=repositories or ([scope.name] if scope.kind == "repo" else None),
        **options,
    )


def client_for(
    credential: Mapping[str, Any], scope: Scope, *, permissions: Mapping[str, str] | None = None, **options: Any
) -> Client:
    """A client for this scope with this credential; see `auth_for`, and `Client` for `options`; raises what they do."""
    return Client(scope.api_url, auth_for(credential, scope, permissions=permissions, **options), **options)
