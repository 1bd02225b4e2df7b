# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials: they do not show themselves, and what is wrong with the form of one is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import credential
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.app import PERMISSIONS, AppAuth
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.auth import TokenAuth
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.connect import (
    app_for,
    auth_for,
    client_for,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.credential import credential_problems
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.secret import Secret

from .conftest import PEM

ORG = Scope.parse("my-org")
CANARY = "ghp_canary0123456789"


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
    assert auth.header(0.0) == "Bearer ghp_abc123"
    assert auth.expires_at is None
    assert not auth.renew("Bearer ghp_abc123", 0.0)
    assert "abc123" not in repr(auth) + str(auth)


@pytest.mark.parametrize("token", ["", " ", "abc123\n", "abc 123", "abc123\r\nX-Evil: 1", "abc123€", "abc\x00123"])
def test_a_token_that_no_header_can_carry(token: str) -> None:
    with pytest.raises(ValueError, match="token = \\(hidden\\)") as caught:
        TokenAuth(token)
    assert "123" not in str(caught.value)


class TestForms:
    @pytest.mark.parametrize(
        "form",
        [
            {"token": CANARY},
            {"token": Secret(CANARY)},
            {"token": CANARY, "app_id": "", "private_key": None},  # variables without a value
        ],
    )
    def test_token(self, form: dict[str, Any]) -> None:
        assert credential_problems(form) == []
        auth = auth_for(form, ORG)
        assert isinstance(auth, TokenAuth)
        assert auth.header(0.0) == f"Bearer {CANARY}"

    @pytest.mark.parametrize(
        ("form", "issuer"),
        [
            ({"client_id": "Iv23liAAAABBBBCCCC"}, "Iv23liAAAABBBBCCCC"),
            ({"app_id": "123456", "token": ""}, "123456"),
            ({"app_id": 123456, "installation_id": None}, "123456"),
            ({"app_id": 123456, "client_id": "Iv1.8a61f9b3a7aba766", "installation_id": "77"}, "Iv1.8a61f9b3a7aba766"),
        ],
    )
    @pytest.mark.parametrize("scope", ["my-org", "octo/repo"])
    def test_app(self, form: dict[str, Any], issuer: str, scope: str) -> None:
        whole = {**form, "private_key": PEM}
        assert credential_problems(whole) == []
        auth = auth_for(whole, Scope.parse(scope))
        assert isinstance(auth, AppAuth)
        assert repr(auth) == f"AppAuth({issuer}, {scope}, hidden)"

    @pytest.mark.parametrize(
        ("form", "problems"),
        [
            (
                {},
                ["token = '': no credential. Do: give token; or, for a GitHub App, client_id (or app_id) and private"],
            ),
            ({"token": None}, ["token = '': no credential"]),
            ({"token": "two words"}, ["token = (hidden): it is empty, or has a space"]),
            ({"tokn": CANARY}, ["tokn = (hidden): a credential has no such part. Do: write token", "token = ''"]),
            ({"token": CANARY, "app_id": 5}, ["app_id = (hidden): there is a token too"]),
            ({"app_id": 5}, ["private_key = '': an App needs one"]),
            ({"private_key": PEM}, ["client_id = '': it is not said whose"]),
            ({"app_id": True, "private_key": PEM}, ["app_id = (hidden): neither a client id"]),
            ({"client_id": "0123456789abcdef" * 3, "private_key": PEM}, ["client_id = (hidden): neither a client id"]),
            ({"app_id": 5, "private_key": CANARY}, ["private_key = (hidden): no PEM text"]),
            ({"app_id": 5, "private_key": PEM, "installation_id": 0}, ["installation_id = 0: not a number from 1 on"]),
            ({"app_id": 5, "private_key": PEM, "installation_id": "x"}, ["installation_id = 'x': not a number"]),
            ({"app_id": 5, "private_key": PEM, "installation_id": CANARY * 2}, ["installation_id = (hidden): not a"]),
            ({"app_id": "a b", "private_key": "x", "installation_id": -1}, ["app_id = ", "private_key = ", "install"]),
        ],
    )
    def test_wrong(self, form: dict[str, Any], problems: list[str]) -> None:
        found = credential_problems(form)
        assert [line.startswith(begin) for line, begin in zip(found, problems, strict=True)] == [True] * len(problems)
        assert all(". Do: " in line for line in found)
        with pytest.raises(ValueError, match="Do: ") as caught:
            auth_for(form, ORG)
        assert str(caught.value) == "\n".join(found)
        assert "canary" not in str(found)
        assert PEM.splitlines()[5] not in str(found)

    def test_a_key_is_looked_at_without_the_libraries_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Preflight may run where they are not; then the text is all that can be judged."""
        monkeypatch.setattr(credential, "HAS_CRYPTOGRAPHY", False)
        assert credential_problems({"app_id": 5, "private_key": PEM}) == []
        assert len(credential_problems({"app_id": 5, "private_key": PEM[:-40]})) == 1

    def test_client(self) -> None:
        client = client_for({"token": CANARY}, Scope.parse("my-org", "https://ghe.example/api/v3"), retries=0)
        assert client.api_url == "https://ghe.example/api/v3"

    def test_a_token_is_no_app(self) -> None:
        with pytest.raises(
            ValueError, match=r"^token = \(hidden\): only a GitHub App makes tokens\. Do: give client_id"
        ):
            app_for({"token": CANARY}, ORG)

    def test_what_an_app_is_narrowed_to(self) -> None:
        form = {"app_id": 5, "private_key": PEM}
        assert app_for(form, ORG)._narrowed == {"permissions": PERMISSIONS["org"]}
        repository = Scope.parse("my-org/app")
        assert app_for(form, repository)._narrowed == {"permissions": PERMISSIONS["repo"], "repositories": ["app"]}
        asked: dict[str, Any] = {"permissions": {"contents": "read"}, "repositories": ["lib"]}
        assert app_for(form, repository, **asked)._narrowed == asked

    def test_app_and_enterprise(self) -> None:
        with pytest.raises(
            ValueError, match=r"scope = enterprises/big: GitHub Apps cannot .* Do: give a classic token"
        ):
            auth_for({"app_id": 5, "private_key": PEM}, Scope.parse("enterprises/big"))
