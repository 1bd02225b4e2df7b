# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials do not show themselves."""

from __future__ import annotations

import json

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.auth import TokenAuth
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.secret import Secret


def test_secret_shows_only_on_request() -> None:
    secret = Secret("abc123")
    assert secret.reveal() == "abc123"
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, repr([secret])):  # noqa: UP031, one more way to show
        assert "abc123" not in shown
        assert "Secret(hidden)" in shown
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        "Bearer " + secret  # type: ignore[operator]  # that is the point


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize("token", ["ghp_abc123", Secret("ghp_abc123")])
def test_token_is_a_bearer(token: str | Secret) -> None:
    auth = TokenAuth(token)
    assert auth.header() == "Bearer ghp_abc123"
    assert auth.expires_at is None
    assert "abc123" not in repr(auth) + str(auth)


@pytest.mark.parametrize("token", ["", " ", "abc123\n", "abc 123", "abc123\r\nX-Evil: 1", "abc123€", "abc\x00123"])
def test_a_token_that_no_header_can_carry(token: str) -> None:
    with pytest.raises(ValueError, match="token = \\(hidden\\)") as caught:
        TokenAuth(token)
    assert "123" not in str(caught.value)
