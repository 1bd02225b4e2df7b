# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way to write a scope, and that nothing else gets through."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import ScopeError
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import (
    Scope,
    split_api_url,
    web_url,
)

GITHUB = "https://api.github.com"
GHES = "https://ghes.corp:8443/api/v3"
GHE_COM = "https://api.octo.ghe.com"

OWNERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}", fullmatch=True).filter(
    lambda name: name.lower() not in {"enterprises", "organizations", "orgs", "repos", "users"}
)
REPOSITORIES = st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True).filter(
    lambda name: name not in {".", ".."} and not name.endswith(".git")
)
SCOPES = st.one_of(
    OWNERS.map(lambda owner: ("org", owner, "")),
    OWNERS.map(lambda owner: ("enterprise", owner, "")),
    st.tuples(st.just("repo"), OWNERS, REPOSITORIES),
)


@pytest.mark.parametrize(
    ("text", "kind", "canonical", "api_path"),
    [
        ("octo/repo", "repo", "octo/repo", "/repos/octo/repo"),
        ("octo/repo.git", "repo", "octo/repo", "/repos/octo/repo"),
        ("octo/my.repo_1-x", "repo", "octo/my.repo_1-x", "/repos/octo/my.repo_1-x"),
        ("octo/.github", "repo", "octo/.github", "/repos/octo/.github"),
        ("my-org", "org", "my-org", "/orgs/my-org"),
        ("old-name-", "org", "old-name-", "/orgs/old-name-"),
        ("user_corp/repo", "repo", "user_corp/repo", "/repos/user_corp/repo"),
        ("enterprises/big", "enterprise", "enterprises/big", "/enterprises/big"),
        ("https://github.com/octo/repo", "repo", "octo/repo", "/repos/octo/repo"),
        ("https://github.com/octo/repo/", "repo", "octo/repo", "/repos/octo/repo"),
        ("https://github.com/octo/repo.git", "repo", "octo/repo", "/repos/octo/repo"),
        ("https://www.github.com/octo/repo.git/", "repo", "octo/repo", "/repos/octo/repo"),
        ("http://GitHub.com/my-org", "org", "my-org", "/orgs/my-org"),
        ("https://github.com/enterprises/big/", "enterprise", "enterprises/big", "/enterprises/big"),
    ],
)
def test_accepted(text: str, kind: str, canonical: str, api_path: str) -> None:
    scope = Scope.parse(text)
    assert (scope.kind, str(scope), scope.api_path) == (kind, canonical, api_path)
    assert scope.url == f"https://github.com/{canonical}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " my-org",
        "my-org ",
        "my-org\n",
        "my org",
        "-my-org",
        "my.org",
        "my-org/",
        "/my-org",
        "octo//repo",
        "octo/repo/",
        "octo/repo/settings",
        "octo/..",
        "octo/.",
        "octo/.git",
        "../repo",
        "octo/re%2Fpo",
        "octo/repo?x=1",
        "octo/repo#x",
        "octo/répo",
        "\uff4fcto/repo",
        "o" * 101,
        "octo/" + "r" * 101,
        "enterprises",
        "enterprises/",
        "Enterprises/big",
        "enterprises/big/x",
        "orgs/my-org",
        "repos/octo",
        "github.com/octo/repo",
        "github.com/octo",
        "git@github.com:octo/repo.git",
        "ssh://git@github.com/octo/repo",
        "ftp://github.com/octo",
        "https://",
        "https:///octo",
        "https://github.com",
        "https://github.com/",
        "https://github.com//octo",
        "https://github.com/octo/repo/settings/actions",
        "https://github.com/orgs/my-org",
        "https://github.com/octo?tab=repositories",
        "https://github.com/octo#x",
        "https://github.com/octo/repo\n",
        "https://github.com:8443/octo",
        "https://github.com:x/octo",
        "https://[github.com/octo",
        "https://github.com.evil.example/octo",
        "https://gitlab.com/octo/repo",
        "https://ghes.corp:8443/octo",
        None,
        12,
        ["octo"],
    ],
)
def test_refused_with_value_and_remedy(text: object) -> None:
    with pytest.raises(ScopeError) as caught:
        Scope.parse(text)  # type: ignore[arg-type]  # on purpose
    assert repr(text) in str(caught.value) or "@" in str(text)
    assert "Do: write owner/repo, my-org, enterprises/NAME" in str(caught.value)


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(ScopeError) as caught:
        Scope.parse("https://x:ghp_secret@github.com/octo/repo")
    assert "ghp_secret" not in str(caught.value)
    assert "github.com/octo/repo" in str(caught.value)


def test_another_github_is_named() -> None:
    with pytest.raises(ScopeError, match=r"not on ghes\.corp:8443.*api_url = https://ghes\.corp:8443/api/v3"):
        Scope.parse("https://github.com/octo", GHES)


@given(
    SCOPES,
    st.sampled_from(
        [GITHUB, GHES, GHE_COM, "http://127.0.0.1:8080", "https://[::1]:8443/api/v3", "https://front.corp/ghes/api/v3"]
    ),
)
def test_text_and_url_lead_back(parts: tuple[str, str, str], api_url: str) -> None:
    scope = Scope(*parts, api_url)
    assert Scope.parse(str(scope), api_url) == scope
    assert Scope.parse(scope.url, api_url) == scope
    assert Scope.parse(f"{scope.url}/", f"{api_url}/") == scope
    assert scope.api_path in {f"/repos/{scope}", f"/orgs/{scope}", f"/{scope}"}


@given(
    st.one_of(st.text(), st.text("abc./%?#@:-_ \n\\enterprises", max_size=30)),
    st.sampled_from(["", "https://github.com/"]),
)
@example("enterprises/enterprises", "")
@example("a/../b", "")
def test_no_text_makes_another_path(text: str, before: str) -> None:
    try:
        scope = Scope.parse(before + text)
    except ScopeError:
        return
    name = r"[A-Za-z0-9][A-Za-z0-9_-]*"
    assert re.fullmatch(rf"/(orgs/{name}|enterprises/{name}|repos/{name}/[A-Za-z0-9._-]+)", scope.api_path)
    assert not scope.api_path.endswith(("/.", "/.."))


@pytest.mark.parametrize(
    ("api_url", "web"),
    [
        (GITHUB, "https://github.com"),
        ("https://api.github.com/", "https://github.com"),
        ("https://API.GitHub.com", "https://github.com"),
        (GHE_COM, "https://octo.ghe.com"),
        (GHES, "https://ghes.corp:8443"),
        ("https://ghes.corp/api/v3/", "https://ghes.corp"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://api.corp/api/v3", "https://api.corp"),
        ("https://front.corp/ghes/api/v3", "https://front.corp/ghes"),
    ],
)
def test_web_url(api_url: str, web: str) -> None:
    assert web_url(api_url) == web
    assert Scope.parse("octo", api_url).url == f"{web}/octo"


@pytest.mark.parametrize(
    "api_url",
    [
        "",
        "api.github.com",
        "ftp://api.github.com",
        "https://",
        "https://:443",
        "https://host:x/api/v3",
        "https://host:0/api/v3",
        "https://[host/api/v3",
        "https://user:pw@host/api/v3",
        "https://host/api/v3?x",
        "https://host/api/v3#x",
        "https://host/ api",
        "https://github.com",
        "https://www.github.com",
        "https://octo.ghe.com",
        None,
        5,
    ],
)
def test_bad_api_url(api_url: object) -> None:
    with pytest.raises(ValueError, match=r"Do: write https://api\.github\.com") as caught:
        split_api_url(api_url)  # type: ignore[arg-type]  # on purpose
    assert "api_url = " in str(caught.value)
    assert "pw" not in str(caught.value)
    with pytest.raises(ValueError, match="api_url"):
        Scope.parse("octo", api_url)  # type: ignore[arg-type]  # on purpose
