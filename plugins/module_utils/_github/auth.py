# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a request proves who sends it."""

from __future__ import annotations

import re
from typing import Protocol

from .secret import Secret


class Auth(Protocol):
    """What the client needs of a credential. Other kinds (a GitHub App) provide the same two names."""

    def header(self) -> str:
        """The value of the Authorization header, asked for before every request, from any thread."""

    @property
    def expires_at(self) -> float | None:
        """When the credential ends, in epoch seconds; None if it cannot tell."""


class TokenAuth:
    """A personal access token, or any other token that GitHub takes as a bearer.

    Its form is not checked beyond "one word of printable ASCII": GitHub changes length and prefix of its tokens.

    Raises:
        ValueError: The token is empty, or holds something that no header can carry. The message does not show it.
    """

    # A token does not know its end; GitHub tells it with every answer, see `Client.token_expires_at`.
    expires_at: float | None = None

    def __init__(self, token: str | Secret) -> None:
        self._token = token if isinstance(token, Secret) else Secret(token)
        if not re.fullmatch(r"[!-~]+", self._token.reveal()):
            raise ValueError(
                "token = (hidden): it is empty, or has a space, a line end or a letter beyond ASCII in it. "
                "Do: give the token as GitHub showed it, one word"
            )

    def header(self) -> str:
        return f"Bearer {self._token.reveal()}"

    def __repr__(self) -> str:
        return "TokenAuth(hidden)"
