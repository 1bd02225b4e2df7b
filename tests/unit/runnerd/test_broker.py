# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""runnerd's side of GitHub, against the double: credentials are tried, their end is known, refusals are told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from runnerd.broker import GitHubBroker, try_credentials
from runnerd.model import Credential, Limits
from runnerd.settings import ComposeSettings, GitHubSettings, MetricsSettings, Pool, Settings
from tests.doubles.github.server import Double, running

GOOD, READER, EXPIRED = "github_pat_goodTokenOfTheTest", "github_pat_readerTokenOfTest", "ghp_expiredTokenOfTheTest"
CREDENTIALS = {
    "good": {"token": GOOD, "scopes": {"my-org": "write", "me/home": "write"}, "expires_at": "2099-12-24T10:00:00Z"},
    "reader": {"token": READER, "scopes": {"my-org": "read"}},
    "expired": {"token": EXPIRED, "scopes": {"my-org": "write"}, "expires_at": "2020-01-01T00:00:00Z"},
}


@pytest.fixture
def double() -> Iterator[Double]:
    with running(credentials=CREDENTIALS, scopes={"my-org": {"groups": [{"name": "builders"}]}, "me/home": {}}) as one:
        yield one


def settings_for(double: Double, *pools: Pool) -> Settings:
    github = GitHubSettings(double.api_url, None, 5)
    return Settings("1", github, ComposeSettings(Path("/x")), MetricsSettings(), Limits(), pools)


def pool(scope: str = "my-org", credential: str = "default", group: str = "Default", name: str = "default") -> Pool:
    return Pool(name, scope, ("self-hosted",), ("runner-1",), "host", group, credential=credential)


def tried(double: Double, token: str, *pools: Pool) -> list[str]:
    return try_credentials(settings_for(double, *(pools or (pool(),))), {"default": {"token": token}})


def test_a_good_credential_passes_and_leaves_nothing(double: Double) -> None:
    assert tried(double, GOOD, pool(group="builders"), pool("me/home", name="home")) == []
    broker = GitHubBroker(settings_for(double).github, {"default": {"token": GOOD}}, "test")
    assert broker.runners("my-org", "default") == []


@pytest.mark.parametrize(
    ("token", "a_pool", "words"),
    [
        ("ghp_nobodyKnowsThisOne", pool(), ("GitHub refuses it", "401", "Do: give a credential that is valid now")),
        (EXPIRED, pool(), ("GitHub refuses it", "401")),
        (READER, pool(), ("GitHub refuses it", "403", "Self-hosted runners: write")),
        (GOOD, pool("other-org"), ("GitHub refuses it", "404", "other-org")),
        (GOOD, pool(group="nope"), ("runner group 'nope'", "'builders'")),
    ],
)
def test_a_refusal_is_told_with_its_reason(double: Double, token: str, a_pool: Pool, words: tuple[str, ...]) -> None:
    (line,) = tried(double, token, a_pool)
    assert line.startswith("credential default of the pool default: ")
    assert all(word in line for word in words), line
    assert "Do: " in line
    assert token not in line


def test_github_that_is_down_is_no_refusal(double: Double) -> None:
    settings = settings_for(replace(double, api_url="http://127.0.0.1:9"), pool())
    (line,) = try_credentials(settings, {"default": {"token": GOOD}})
    assert line.startswith("credential default of the pool default: GitHub could not be asked about it. ")
    assert "Do: see whether" in line


def test_each_credential_and_scope_is_tried_once(double: Double) -> None:
    lines = tried(double, "ghp_wrong", pool(), pool(name="twin"), pool("me/home", name="home"))
    assert len(lines) == 2


def broker_of(double: Double, forms: Mapping[str, Mapping[str, str]]) -> GitHubBroker:
    return GitHubBroker(settings_for(double).github, forms, "test")


def test_the_end_of_a_token_and_its_budget_are_known_after_the_first_answer(double: Double) -> None:
    broker = broker_of(double, {"default": {"token": GOOD}, "other": {"token": READER}})
    assert broker.credentials() == (Credential("default", "token"), Credential("other", "token"))
    broker.runners("my-org", "default")
    broker.runners("me/home", "default")
    broker.runners("my-org", "other")
    default, other = broker.credentials()
    assert default.expires_at == datetime(2099, 12, 24, 10, tzinfo=timezone.utc).timestamp()
    assert default.budget is not None
    assert other.expires_at is None


def test_a_credential_that_is_not_there_or_cannot_be_used_is_a_refusal_with_a_remedy(double: Double) -> None:
    broker = broker_of(double, {"bad": {"token": "two words"}})
    for name in ("bad", "missing"):
        with pytest.raises(errors.Unauthorized, match="Do: ") as caught:
            broker.runners("my-org", name)
        assert "two words" not in str(caught.value)


def test_until_when_a_version_is_taken(double: Double) -> None:
    broker = broker_of(double, {"default": {"token": GOOD}})
    assert broker.version_end("my-org", "default", "2.336.0") is None
    old = broker.version_end("my-org", "default", "2.335.0")
    assert old is not None


APP = {
    "homelab": {
        "id": 4711,
        "permissions": {"organization_self_hosted_runners": "write", "administration": "write", "metadata": "read"},
        "installations": {"my-org": {}, "me": {}},
    },
    "reader": {"id": 815, "permissions": {"organization_self_hosted_runners": "read"}, "installations": {"my-org": {}}},
}


def app(double: Double, slug: str = "homelab") -> dict[str, str]:
    double.admin.apps(APP)
    return {"app_id": str(APP[slug]["id"]), "private_key": double.admin.app_key(slug)}


def test_an_app_is_tried_and_has_a_token_of_its_own_for_each_scope(double: Double) -> None:
    form = app(double)
    assert try_credentials(settings_for(double, pool(), pool("me/home", name="home")), {"default": form}) == []
    broker = broker_of(double, {"default": form})
    minted = [broker.mint(pool(), "r-1"), broker.mint(pool("me/home", name="home"), "r-2")]
    assert [
        broker.delete(scope, "default", m.runner_id) for scope, m in zip(("my-org", "me/home"), minted, strict=True)
    ]
    (told,) = broker.credentials()
    assert (told.kind, told.expires_at) == ("GitHub App", None), "its tokens of an hour are nobody's concern"
    assert told.budget is not None


@pytest.mark.parametrize(
    ("slug", "a_pool", "words"),
    [
        ("reader", pool(), "permission"),
        ("homelab", pool("other-org"), "install the App there"),
        ("homelab", pool("enterprises/acme"), "classic token"),
    ],
)
def test_an_app_that_may_not_is_refused_with_a_remedy(double: Double, slug: str, a_pool: Pool, words: str) -> None:
    form = app(double, slug)
    (line,) = try_credentials(settings_for(double, a_pool), {"default": form})
    assert "GitHub refuses it" in line
    assert words in line.partition("Do: ")[2]
    assert form["private_key"].splitlines()[1] not in line


def test_a_key_that_was_deleted_is_refused(double: Double) -> None:
    form = app(double)
    double.admin.forget_app_keys("homelab")
    (line,) = try_credentials(settings_for(double, pool()), {"default": form})
    assert "401" in line
    assert "private_key" in line
