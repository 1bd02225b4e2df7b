# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets, and the texts by which they are found, whatever was done to them on the way.

A secret is cut into pieces first. So a part of it is found as well as the whole, and so is a text that was broken into
lines. Each piece is looked for as it is and encoded, once or twice over.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Characters of a piece. The random texts that secrets are made of do not meet by chance in 20 of them.
PIECE = 20
#: How many pieces of a long line are looked for, at its beginning and at its end each.
AT_AN_END = 2


@dataclass(frozen=True)
class Canary:
    """A secret to look for.

    Attributes:
        name: for the report.
        secret: one of several lines (a PEM key) is looked for line by line.
        times: how many times over it may have been encoded.
    """

    name: str
    secret: str = field(repr=False)
    times: int = 2


def _base64(piece: bytes) -> list[bytes]:
    """A piece as it looks inside a longer text in base64, without the characters that its neighbours decide upon.

    Three forms, since it may begin at any of a group's three bytes; and both alphabets.
    """
    forms = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + piece)
        first = -(-before * 8 // 6)
        forms.append(encoded[first : (before + len(piece)) * 8 // 6])
    return [*forms, *(form.translate(bytes.maketrans(b"+/", b"-_")) for form in forms)]


def _url(piece: bytes) -> list[bytes]:
    """In a URL or a form: with and without "/" escaped, digits in either case."""
    forms = [urllib.parse.quote(piece, safe=safe).encode() for safe in ("", "/")]
    return [*forms, *(re.sub(rb"%..", lambda code: code.group().lower(), form) for form in forms)]


def _json(piece: bytes) -> list[bytes]:
    r"""In a JSON text: with "/" as it is, as `\/`; and "+" as .NET writes it."""
    text = json.dumps(piece.decode())[1:-1].encode()
    return [text, text.replace(b"/", rb"\/"), text.replace(b"+", rb"\u002B"), text.replace(b"+", rb"\u002b")]


ENCODINGS: Mapping[str, Callable[[bytes], list[bytes]]] = {
    "base64": _base64,
    "URL-encoded": _url,
    "JSON-escaped": _json,
}


def pieces(secret: str) -> list[str]:
    """The parts of a secret that are looked for, none shorter than `PIECE`.

    The frame of a PEM text is no secret, and its first line begins like that of every other key.

    Raises:
        ValueError: the secret is too short to be told from anything else.
    """
    lines = secret.splitlines()
    begins = next((i for i, line in enumerate(lines) if line.startswith("-----BEGIN")), None)
    if begins is not None:
        lines = [line for line in lines[begins + 2 :] if not line.startswith("-----END")]
    found = []
    for line in (line.strip() for line in lines):
        parts = [line[start : start + PIECE] for start in range(0, len(line) - PIECE + 1, PIECE)]
        if len(line) % PIECE and parts:
            parts.append(line[-PIECE:])
        found += parts if len(parts) <= 2 * AT_AN_END else parts[:AT_AN_END] + parts[-AT_AN_END:]
    if not found:
        raise ValueError(f"a secret of {len(secret)} characters, in lines shorter than {PIECE}, cannot be looked for")
    return found


def forms(piece: str, times: int = 2) -> dict[bytes, str]:
    """Every text in which a piece may hide when it was encoded up to so many times, and the name of that form."""
    found = {piece.encode(): "plain"}
    latest = dict(found)
    for _each in range(times):
        fresh: dict[bytes, str] = {}
        for text, before in latest.items():
            for name, encode in ENCODINGS.items():
                for form in encode(text):
                    fresh.setdefault(form, name if before == "plain" else f"{before}, {name}")
        latest = {form: name for form, name in fresh.items() if form not in found}
        found |= latest
    return found


@dataclass(frozen=True)
class Needle:
    """What a text that was found gives away: which canary, and in which form."""

    canary: str
    form: str


def needles(canaries: Iterable[Canary]) -> dict[bytes, Needle]:
    """Every text to look for. None has a line end or a NUL in it.

    Raises:
        ValueError: two canaries have one name, or a secret is too short.
    """
    found: dict[bytes, Needle] = {}
    names = set()
    for canary in canaries:
        if canary.name in names:
            raise ValueError(f"two canaries are called {canary.name}")
        names.add(canary.name)
        for piece in pieces(canary.secret):
            for text, form in forms(piece, canary.times).items():
                found.setdefault(text, Needle(canary.name, form))
    return found


def issued(handed_out: Iterable[Mapping[str, Any]]) -> list[Canary]:
    """Canaries for all that the GitHub double has handed out (`GitHub.issued()`).

    Of a JIT configuration it is the private key inside that makes it a secret. The rest is names and addresses.
    """
    found = []
    for number, one in enumerate(handed_out, 1):
        if one["kind"] == "jit":
            found.append(Canary(runner_key(one["name"]), private_key(one["secret"]), times=1))
        else:
            found.append(Canary(f"{one['kind']} {number}", one["secret"]))
    return found


def runner_key(runner: str) -> str:
    """The name of the canary that is a runner's key."""
    return f"key of runner {runner}"


def private_key(blob: str) -> str:
    """The private exponent in a JIT configuration, three lines.

    As it stands in the runner's file `.credentials_rsaparams`, in that file's base64, and in the whole, which is base64
    once more.
    """
    whole = base64.b64decode(blob)
    file = json.loads(whole)[".credentials_rsaparams"]
    content = base64.b64decode(file)
    exponent = json.loads(content)["d"]
    start = content.index(exponent.encode())
    in_file, start_in_file = _part(file, start, start + len(exponent))
    start_in_whole = whole.index(file.encode()) + start_in_file
    in_whole, _start = _part(blob, start_in_whole, start_in_whole + len(in_file))
    return "\n".join([exponent, in_file, in_whole])


def _part(encoded: str, start: int, end: int) -> tuple[str, int]:
    """The characters of a text in base64 that bytes `start` to `end` alone decide upon, and where they begin."""
    first = -(-start * 8 // 6)
    return encoded[first : end * 8 // 6], first
