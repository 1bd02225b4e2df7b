# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a request proves who sends it."""

from __future__ import annotations

import re
from typing import Protocol

from .secret import Secret


class Auth(Protocol):
    """What the client needs of a credential. The kinds are `TokenAuth` and, in app.py, `AppAuth`."""

    @property
    def expires_at(self) -> float | None:
        """When the credential that the user gave ends, in epoch seconds; None if it cannot tell, or never does."""

    @property
    def renews_itself(self) -> bool:
        """The tokens it sends are of its own making: when one of them ends is nothing that a person must know."""

    def header(self, now: float) -> str:
        """The value of the Authorization header, asked for before every request, from any thread.

        Args:
            now: GitHub's clock, epoch seconds, as far as it is known.

        Raises:
            GitHubError: It must be made at GitHub first, and could not be.
        """

    def renew(self, refused: str, now: float) -> bool:
        """GitHub answered 401 to this header: is there another worth a try? If so, `header` gives it next."""


class TokenAuth:
    """A personal access token, or any other token that GitHub takes as a bearer.

    Its form is not checked beyond "one word of printable ASCII": GitHub changes length and prefix of its tokens.

    Raises:
        ValueError: The token is empty, or holds something that no header can carry. The message does not show it.
    """

    # A token does not know its end; GitHub tells it with every answer, see `Client.token_expires_at`.
    expires_at: float | None = None
    renews_itself = False

    def __init__(self, token: str | Secret) -> None:
        self._token = token if isinstance(token, Secret) else Secret(token)
        if not re.fullmatch(r"[!-~]+", self._token.reveal()):
            raise ValueError(
                "token = (hidden): it is empty, or has a space, a line end or a letter beyond ASCII in it. "
                "Do: give the token as GitHub showed it, one word"
            )

    def header(self, now: float) -> str:
        return f"Bearer {self._token.reveal()}"

    def renew(self, refused: str, now: float) -> bool:
        return False

    def __repr__(self) -> str:
        return "TokenAuth(hidden)"
