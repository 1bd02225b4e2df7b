# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys as OpenPGP (RFC 4880) writes them: which they are, by fingerprint. Nothing else is verified here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

_ARMOR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(?:[^\r\n:]+: [^\r\n]*\r?\n)*[ \t]*\r?\n"
    r"([A-Za-z0-9+/=\s]*?)"
    r"(?:^=[A-Za-z0-9+/]{4}\s*)?-----END PGP PUBLIC KEY BLOCK-----",
    re.MULTILINE,
)
_PUBLIC_KEY = 6


def fingerprints(text: str) -> list[str]:
    """The fingerprints of all primary keys in a text, forty capital hexadecimal digits each, in order.

    Args:
        text: one or several armoured key blocks.

    Raises:
        ValueError: there is none, or one cannot be read to its end.
    """
    blocks = _ARMOR.findall(text)
    if not blocks or text.count("-----BEGIN") != len(blocks):
        raise ValueError("not an armoured OpenPGP key")
    found = []
    for block in blocks:
        try:
            data = base64.b64decode("".join(block.split()), validate=True)
        except binascii.Error as error:
            raise ValueError("an OpenPGP key whose text is damaged") from error
        for tag, body in _packets(data):
            if tag != _PUBLIC_KEY:
                continue
            if body[:1] != b"\x04":
                raise ValueError("an OpenPGP key of another version than 4")
            digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
            found.append(digest.hexdigest().upper())
    if not found:
        raise ValueError("an OpenPGP block without a key")
    return found


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of every packet (RFC 4880, 4.2)."""
    at = 0
    while at < len(data):
        tag, start, length = _header(data[at : at + 6])
        body = data[at + start : at + start + length]
        if len(body) < length:
            raise ValueError("an OpenPGP key that is cut off")
        yield tag, body
        at += start + length


def _header(head: bytes) -> tuple[int, int, int]:
    """Tag, the header's own length, and that of the body. Lengths that come later are for messages, not for keys."""
    octets = head[1:]
    if head[0] & 0xC0 == 0x80:
        tag, size = (head[0] >> 2) & 0x0F, (1, 2, 4, 0)[head[0] & 3]
        length = int.from_bytes(octets[:size], "big")
    else:
        tag, first = head[0] & 0x3F, octets[0] if octets else 255
        size = 1 if first < 192 else 2 if first < 224 else 5 if first == 255 else 0
        length = int.from_bytes(octets[1:5], "big")
        if size == 1:
            length = first
        elif size == 2:
            length = ((first - 192) << 8) + int.from_bytes(octets[1:2], "big") + 192
    if not head[0] & 0x80 or not size or len(octets) < size:
        raise ValueError("an OpenPGP key that is damaged")
    return tag, 1 + size, length
