# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The private key of a GitHub App, as people give it: what is wrong with it, and the key itself."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# They are loaded where a key is: they take 4 MB and 30 ms (measured), which who has a token is spared.
HAS_CRYPTOGRAPHY = find_spec("cryptography") is not None
HAS_JWT = HAS_CRYPTOGRAPHY and find_spec("jwt") is not None

NEEDS = (
    "a GitHub App needs the Python libraries PyJWT >= 2.3 and cryptography >= 3.4. "
    "Do: install python3-jwt and python3-cryptography"
)


class KeyProblem(ValueError):
    """A text that is no private key of a GitHub App. Shows nothing of it."""

    def __init__(self, why: str, remedy: str = "give the text of the .pem file that GitHub made for the App") -> None:
        super().__init__(f"private_key = (hidden): {why}. Do: {remedy}")


def tidy_pem(text: str) -> str:
    r"""The one private key in `text`, as PEM with lines of its own.

    Mended is what vaults, environments and YAML make of line ends: ``\n`` in two letters, blanks, CR LF, indentation.

    Raises:
        KeyProblem: There is none, or one that cannot be used: encrypted, public, of another kind, cut short.
    """
    text = text.replace("\\r", "").replace("\\n", "\n")
    begin = re.search(r"-----BEGIN ([A-Z0-9 ]+)-----", text)
    if not begin:
        hint = "give the text itself, such as {{ lookup('file', 'my-app.pem') }}, not its path"
        raise KeyProblem("no PEM text, which begins with -----BEGIN", hint)
    kind = begin[1]
    if "PUBLIC" in kind or kind == "CERTIFICATE":
        raise KeyProblem("a public key or certificate")
    if kind.startswith("ENCRYPTED") or "ENCRYPTED" in text[begin.end() : begin.end() + 100]:
        hint = "take the passphrase off (openssl rsa -in my-app.pem -out plain.pem) and keep the result in a vault"
        raise KeyProblem("encrypted with a passphrase", hint)
    if kind not in ("RSA PRIVATE KEY", "PRIVATE KEY"):
        raise KeyProblem("not an RSA key, which those of GitHub Apps are")
    body, end, _rest = text[begin.end() :].partition(f"-----END {kind}-----")
    letters = "".join(body.split())
    if not end or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", letters):
        raise KeyProblem("cut short or damaged", "give the whole text, from -----BEGIN to -----END and its dashes")
    lines = (letters[at : at + 64] for at in range(0, len(letters), 64))
    return "\n".join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""))


def load_key(private_key: str | Secret) -> RSAPrivateKey:
    """The key that the text holds.

    Raises:
        KeyProblem: It holds none.
        ImportError: The libraries for it are not there.
    """
    if not HAS_CRYPTOGRAPHY:
        raise ImportError(NEEDS)
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = tidy_pem(private_key.reveal() if isinstance(private_key, Secret) else private_key)
    key = None
    # The library's own words may quote the key. And raised outside, an error has no frames of it.
    with suppress(Exception):
        key = load_pem_private_key(pem.encode(), None)
    if key is None:
        raise KeyProblem("cut short or damaged", "give the whole text, from -----BEGIN to -----END and its dashes")
    if not isinstance(key, RSAPrivateKey):
        raise KeyProblem("not an RSA key, which those of GitHub Apps are")
    return key
