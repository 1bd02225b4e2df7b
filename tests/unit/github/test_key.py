# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The private key of a GitHub App: what is tolerated, and what is no key."""

from __future__ import annotations

import subprocess
import traceback
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import key
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.key import KeyProblem, load_key

from .conftest import KEY, PEM

PKCS8 = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
NUMBERS = KEY.private_numbers()


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PKCS8,
        PEM.strip(),
        PEM.replace("\n", "\\n"),
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", "\\r\\n"),
        PEM.replace("\n", " "),
        PEM.replace("\n", "\n    "),
        "\n\n" + PEM + "\n\n",
        "Bag Attributes\n" + PKCS8,
    ],
)
def test_what_is_tolerated(text: str) -> None:
    assert load_key(text).private_numbers() == NUMBERS


@given(
    st.sampled_from([PEM, PKCS8]),
    st.sampled_from(["\n", "\\n", "\r\n", " ", "\t", "\n  "]),
    st.text(" \n\t", max_size=5),
    st.text(" \n\t", max_size=5),
)
def test_any_mixture_of_that(pem: str, ends: str, before: str, after: str) -> None:
    assert load_key(before + ends.join(pem.splitlines()) + after).private_numbers() == NUMBERS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no PEM text"),
        ("/root/my-app.pem", "no PEM text.*lookup"),
        (KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), "a public key"),
        (KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(), "a public key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a public key or certificate"),
        (
            KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode(),
            "encrypted with a passphrase.*openssl",
        ),
        (
            KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")).decode(),
            "encrypted with a passphrase",
        ),
        (KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(), "not an RSA key"),
        (
            ec.generate_private_key(ec.SECP256R1())
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            .decode(),
            "not an RSA key",
        ),
        (PEM.replace("a", "*"), "cut short or damaged"),
        (PEM.replace("RSA PRIVATE", "PRIVATE"), "cut short or damaged"),
        (PEM.rstrip("\n-"), "cut short or damaged"),
    ],
)
def test_what_is_no_key(text: str, why: str) -> None:
    with pytest.raises(KeyProblem, match=rf"^private_key = \(hidden\): {why}") as caught:
        load_key(text)
    assert "Do: " in str(caught.value)
    for line in filter(None, text.splitlines()[1:-1]):
        assert line not in "".join(traceback.format_exception(caught.value))


@given(st.integers(0, len(PEM) - 2))
def test_a_part_of_a_key(length: int) -> None:
    with pytest.raises(KeyProblem):
        load_key(PEM[:length])


@given(st.integers(1, len(PEM.splitlines()) - 2))
def test_a_key_with_a_line_missing(number: int) -> None:
    lines = PEM.splitlines()
    with pytest.raises(KeyProblem):
        load_key("\n".join(lines[:number] + lines[number + 1 :]))


def test_our_words_for_a_passphrase_are_right(tmp_path: Any) -> None:
    """What the message says to type gives a key that is taken."""
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    (tmp_path / "my-app.pem").write_bytes(locked)
    words = "openssl rsa -in my-app.pem -out plain.pem".split()
    subprocess.run([*words, "-passin", "pass:pass"], cwd=tmp_path, check=True, capture_output=True)
    assert load_key((tmp_path / "plain.pem").read_text()).private_numbers() == NUMBERS


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    words = r"PyJWT.*Do: install python3-jwt and python3-cryptography"
    monkeypatch.setattr(key, "HAS_CRYPTOGRAPHY", False)
    with pytest.raises(ImportError, match=words):
        load_key(PEM)
