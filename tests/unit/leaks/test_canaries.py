# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A secret is found in every form, wherever it stands; nothing else is taken for it."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import re
import textwrap
import urllib.parse
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doubles.github import jit
from tests.leaks.canaries import PIECE, Canary, Needle, issued, needles, pieces

TOKEN = "ghp_0f1e2d3c4b5a69788796a5b4c3d2e1f00112"
#: With all that base64 has beyond letters and digits, and with what in base64 becomes that.
AWKWARD = "q+/8~~~?+/0aB/+cD1e+F/2g/???+3~~~~4+m/N5o+"

around = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=9)


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def base64_of_urls(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def url(text: str) -> str:
    return urllib.parse.quote(text)


def url_in_lower_case(text: str) -> str:
    return re.sub("%..", lambda code: code.group().lower(), urllib.parse.quote(text, safe=""))


def form(text: str) -> str:
    return urllib.parse.urlencode({"x": text})


def json_of(text: str) -> str:
    return json.dumps({"x": text})


def json_of_php(text: str) -> str:
    return json.dumps({"x": text}).replace("/", r"\/")


def json_of_dotnet(text: str) -> str:
    return json.dumps({"x": text}).replace("+", r"\u002B")


WAYS = [
    str,
    base64_of,
    base64_of_urls,
    url,
    url_in_lower_case,
    form,
    json_of,
    json_of_php,
    json_of_dotnet,
]


def base64_in_lines(text: str) -> str:
    """With a line end every 76 characters, one of them within the text."""
    return base64.encodebytes(("x" * 50 + text).encode()).decode()


@functools.cache
def texts(canaries: tuple[Canary, ...]) -> dict[bytes, Needle]:
    return needles(canaries)


def found(text: str, *canaries: Canary) -> set[str]:
    """The names of the canaries in a text."""
    return {needle.canary for form, needle in texts(canaries).items() if form in text.encode()}


@pytest.mark.parametrize("secret", [TOKEN, AWKWARD])
@settings(max_examples=20)
@given(before=around, between=around, after=around)
def test_a_secret_is_found_after_any_two_ways(secret: str, before: str, between: str, after: str) -> None:
    for first, second in itertools.product([*WAYS, base64_in_lines], WAYS):
        text = second(between + first(before + secret + after) + between)
        names = found(text, Canary("it", secret), Canary("another", TOKEN[::-1]))
        assert names == {"it"}, (first.__name__, second.__name__)


@pytest.mark.parametrize("way", WAYS)
def test_a_beginning_and_an_end_are_found(way: Callable[[str], str]) -> None:
    assert found(way("token " + TOKEN[: PIECE + 2] + "..."), Canary("it", TOKEN)) == {"it"}
    assert found(way("token ..." + TOKEN[-PIECE - 2 :]), Canary("it", TOKEN)) == {"it"}


def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


KEY, OTHER_KEY = key(), key()
YAML_BLOCK = textwrap.indent(KEY, "    ")


@pytest.mark.parametrize("way", [*WAYS, base64_in_lines])
@pytest.mark.parametrize("text", [KEY, YAML_BLOCK, "".join(KEY.splitlines()[1:-1])], ids=["PEM", "YAML", "one line"])
def test_a_key_is_found(way: Callable[[str], str], text: str) -> None:
    assert found(way(text), Canary("it", KEY), Canary("another", OTHER_KEY)) == {"it"}


def test_every_line_of_a_key_but_the_first_is_found() -> None:
    lines = KEY.splitlines()
    for line in lines[2:-2]:
        assert found(f"- {line}", Canary("it", KEY)) == {"it"}
    assert found("\n".join([*lines[:2], *lines[-1:]]), Canary("it", KEY)) == set()


BLOBS = [
    jit.encode(
        {
            ".runner": {"AgentName": "one"},
            ".credentials": {"scheme": "OAuth"},
            ".credentials_rsaparams": jit.rsa_parameters(jit.new_key()),
        }
    )
    for _each in range(2)
]


@pytest.mark.parametrize("way", [*WAYS, base64_in_lines])
def test_a_jit_configuration_is_found_whole_unpacked_and_half_unpacked(way: Callable[[str], str]) -> None:
    handed_out = [{"kind": "jit", "name": f"r{i}", "secret": blob} for i, blob in enumerate(BLOBS)]
    canaries = [
        *issued(handed_out),
        *issued([{"kind": "registration-token", "secret": "A0123456789ABCDEF0123456789A"}]),
    ]
    whole = BLOBS[0]
    half = json.loads(base64.b64decode(whole))[".credentials_rsaparams"]
    for text in (whole, half, base64.b64decode(half).decode()):
        assert found(way(text), *canaries) == {"key of runner r0"}
    harmless = json.loads(base64.b64decode(whole))
    assert found(way(harmless[".runner"] + harmless[".credentials"]), *canaries) == set()
    public = json.loads(base64.b64decode(half))["modulus"]
    assert found(way(public), *canaries) == set()
    assert found(way("A0123456789ABCDEF0123456789A"), *canaries) == {"registration-token 1"}


def test_pieces_cover_a_token() -> None:
    assert pieces("a" * 20 + "b" * 20) == ["a" * 20, "b" * 20]
    assert pieces("a" * 20 + "b" * 5) == ["a" * 20, "a" * 15 + "b" * 5]
    assert len(pieces("x" * 1000)) == 4


def test_what_cannot_be_looked_for_is_refused_unshown() -> None:
    with pytest.raises(ValueError, match="19 characters") as refused:
        needles([Canary("short", "a" * 19)])
    assert "aaa" not in str(refused.value)
    with pytest.raises(ValueError, match="two canaries"):
        needles([Canary("same", TOKEN), Canary("same", AWKWARD)])
    assert TOKEN not in repr(Canary("it", TOKEN))


def test_no_needle_breaks_the_list_of_them() -> None:
    all_of_them = needles([Canary("it", TOKEN), Canary("key", KEY), Canary("awkward", AWKWARD)])
    assert all(len(text) >= PIECE and not set(text) & {0, 10, 13} and text.isascii() for text in all_of_them)
