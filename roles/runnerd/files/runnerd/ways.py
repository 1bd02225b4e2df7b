# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of what can be closed between runnerd and GitHub; lists and gates hang on them. Pure."""

from __future__ import annotations

from collections.abc import Collection


def scope_key(credential: str, scope: str) -> str:
    """What one credential may do at one scope."""
    return f"scope {scope} ({credential})"


def pool_key(pool: str) -> str:
    """What a pool's own settings can spoil: its group, labels and work folder."""
    return f"pool {pool}"


def budget_key(credential: str, scope: str, apps: Collection[str]) -> str:
    """Whose requests GitHub counts together: all of a token's, and of an App's those of one installation.

    GitHub's "Rate limits for the REST API". An App has one installation for each account.

    Args:
        apps: the names of the credentials that are GitHub Apps.
    """
    where = f" at {scope.partition('/')[0].lower()}" if credential in apps else ""
    return f"credential {credential}{where}"


def gate_keys(credential: str, scope: str, pool: str, apps: Collection[str]) -> tuple[str, str, str]:
    """The gates before a runner of this pool; before a question about the scope stand the first two of them."""
    return budget_key(credential, scope, apps), scope_key(credential, scope), pool_key(pool)
