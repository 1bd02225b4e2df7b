# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub's REST side: registrations, names, groups, labels, tokens, pages, versions."""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3

from tests.contract.client import READ, Rest, Runner, message
from tests.doubles.github import jit
from tests.doubles.github.server import Double

ORG = "/orgs/my-org"
REPO = "/repos/my-org/app"
ENTERPRISE = "/enterprises/acme"
SCOPES = (ORG, REPO, ENTERPRISE)


def links(answer: requests.Response) -> dict[str, str]:
    return {rel: url for url, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers.get("Link", ""))}


# Registrations


@pytest.mark.parametrize("scope", SCOPES)
def test_a_new_runner_is_offline_and_has_only_the_labels_given(rest: Rest, scope: str) -> None:
    answer = rest.jit(scope, "one", "GPU", "Linux", "gpu")
    assert answer.status_code == 201
    runner = answer.json()["runner"]
    assert (runner["status"], runner["busy"], runner["ephemeral"], runner["version"]) == ("offline", False, True, None)
    assert sorted((label["name"], label["type"]) for label in runner["labels"]) == [
        ("gpu", "read-only"),
        ("linux", "read-only"),
    ]
    assert rest("GET", f"{scope}/actions/runners/{runner['id']}").json() == runner
    assert rest.names(scope)["one"] == runner


def test_the_jit_configuration_has_the_three_files(rest: Rest, double: Double) -> None:
    runner = Runner(rest.jit(ORG, "one", "x", work_folder="elsewhere").json()["encoded_jit_config"])
    number = rest.names(ORG)["one"]["id"]
    assert runner.settings == {
        "AgentId": number,
        "AgentName": "one",
        "PoolId": 1,
        "PoolName": "Default",
        "DisableUpdate": False,
        "Ephemeral": True,
        "ServerUrl": f"{double.api_url}/",
        "GitHubUrl": "",
        "WorkFolder": "elsewhere",
        "UseV2Flow": True,
        "ServerUrlV2": f"{double.api_url}/_runner",
    }
    assert runner.credentials["scheme"] == "OAuth"
    assert runner.credentials["data"]["authorizationUrl"] == f"{double.api_url}/_runner/token"
    assert runner.key.key_size == 2048


def test_the_work_folder_has_a_default(registered: Callable[..., Runner]) -> None:
    assert registered().settings["WorkFolder"] == "_work"


def test_each_runner_has_a_key_and_a_client_id_of_its_own(registered: Callable[..., Runner]) -> None:
    one, two = registered("one"), registered("two")
    assert one.key.private_numbers() != two.key.private_numbers()
    assert one.credentials["data"]["clientId"] != two.credentials["data"]["clientId"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_name_is_taken_until_its_runner_is_gone(rest: Rest, scope: str) -> None:
    first = rest.jit(scope, "one").json()["runner"]["id"]
    again = rest.jit(scope, "one")
    assert again.status_code == 409
    assert "already exists" in message(again)
    assert list(rest.names(scope)) == ["one"]
    assert rest("DELETE", f"{scope}/actions/runners/{first}").status_code == 204
    second = rest.jit(scope, "one")
    assert second.status_code == 201
    assert second.json()["runner"]["id"] != first


def test_scopes_do_not_share_names_nor_runners(rest: Rest) -> None:
    in_org = rest.jit(ORG, "one").json()["runner"]["id"]
    assert rest.jit("/orgs/other-org", "one").status_code == 201
    assert rest.jit(REPO, "one").status_code == 201
    for other in ("/orgs/other-org", REPO, ENTERPRISE):
        assert rest("GET", f"{other}/actions/runners/{in_org}").status_code == 404
        assert rest("DELETE", f"{other}/actions/runners/{in_org}").status_code == 404
    assert in_org == rest.names(ORG)["one"]["id"]


GOOD: dict[str, Any] = {"name": "one", "runner_group_id": 1, "labels": ["self-hosted"]}


@pytest.mark.parametrize("missing", ["name", "runner_group_id", "labels"])
@pytest.mark.parametrize("scope", SCOPES)
def test_every_key_of_a_registration_is_required(rest: Rest, scope: str, missing: str) -> None:
    body = {key: value for key, value in GOOD.items() if key != missing}
    answer = rest("POST", f"{scope}/actions/runners/generate-jitconfig", body)
    assert answer.status_code == 422
    assert f"Invalid input: object is missing required key: {missing}" in message(answer)
    assert rest.names(scope) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": []},
        {"labels": "self-hosted"},
        {"labels": [1]},
        {"labels": [""]},
        {"labels": [f"l{n}" for n in range(101)]},
        {"labels": ["x" * 257]},
        {"name": ""},
        {"name": 1},
        {"name": "x" * 65},
        {"runner_group_id": "1"},
        {"runner_group_id": True},
        {"runner_group_id": None},
        {"work_folder": ""},
        {"work_folder": 3},
        {"group": "Default"},
    ],
    ids=str,
)
def test_a_wrong_registration_is_refused(rest: Rest, wrong: dict[str, Any]) -> None:
    answer = rest("POST", f"{ORG}/actions/runners/generate-jitconfig", {**GOOD, **wrong})
    assert answer.status_code == 422
    assert next(iter(wrong)).rstrip("s") in message(answer)
    assert rest.names(ORG) == {}


@pytest.mark.parametrize(
    "right", [{"labels": [f"l{n}" for n in range(100)]}, {"labels": ["x" * 256]}, {"name": "x" * 64}]
)
def test_the_limits_themselves_are_allowed(rest: Rest, right: dict[str, Any]) -> None:
    assert rest("POST", f"{ORG}/actions/runners/generate-jitconfig", {**GOOD, **right}).status_code == 201


@pytest.mark.parametrize(("text", "why"), [("{", "Problems parsing JSON"), ("[]", "Body should be a JSON object")])
def test_a_body_that_is_no_object_is_refused(rest: Rest, text: str, why: str) -> None:
    answer = rest("POST", f"{ORG}/actions/runners/generate-jitconfig", data=text)
    assert (answer.status_code, message(answer)) == (400, why)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("group", "status"), [(2, 403), (99, 404), (0, 404)])
def test_groups_one_may_not_register_in(rest: Rest, scope: str, group: int, status: int) -> None:
    assert rest.jit(scope, "one", runner_group_id=group).status_code == status
    assert rest.names(scope) == {}


def test_an_organization_has_groups_a_repository_only_the_first(rest: Rest) -> None:
    answer = rest.jit(ORG, "one", runner_group_id=3)
    assert answer.status_code == 201
    assert answer.json()["runner"]["runner_group_id"] == 3
    assert Runner(answer.json()["encoded_jit_config"]).settings["PoolName"] == "builders"
    assert rest.jit(REPO, "one", runner_group_id=3).status_code == 404


def test_deleting_a_runner_that_never_started(rest: Rest) -> None:
    number = rest.jit(ORG, "one").json()["runner"]["id"]
    path = f"{ORG}/actions/runners/{number}"
    assert rest("DELETE", path).status_code == 204
    assert rest("DELETE", path).status_code == 404
    assert rest("GET", path).status_code == 404
    assert rest.names(ORG) == {}


def test_a_runner_id_that_is_no_number(rest: Rest) -> None:
    assert rest("GET", f"{ORG}/actions/runners/one").status_code == 404


@pytest.mark.parametrize("kind", ["registration-token", "remove-token"])
@pytest.mark.parametrize("scope", SCOPES)
def test_tokens_live_an_hour_and_differ(rest: Rest, double: Double, scope: str, kind: str) -> None:
    answer = rest("POST", f"{scope}/actions/runners/{kind}")
    assert answer.status_code == 201
    now = email.utils.parsedate_to_datetime(answer.headers["Date"])
    end = datetime.datetime.fromisoformat(answer.json()["expires_at"].replace("Z", "+00:00"))
    assert abs((end - now).total_seconds() - 3600) <= 1
    other = rest("POST", f"{scope}/actions/runners/{kind}").json()["token"]
    assert other != answer.json()["token"]
    assert {answer.json()["token"], other} <= {entry["secret"] for entry in double.admin.issued()}


# Labels


def test_custom_labels_come_and_go_read_only_ones_stay(rest: Rest) -> None:
    number = rest.jit(ORG, "one", "self-hosted").json()["runner"]["id"]
    path = f"{ORG}/actions/runners/{number}/labels"

    def names(answer: requests.Response) -> dict[str, str]:
        assert answer.status_code == 200
        body = answer.json()
        assert body["total_count"] == len(body["labels"])
        return {label["name"]: label["type"] for label in body["labels"]}

    own = {"self-hosted": "read-only"}
    assert names(rest("GET", path)) == own
    assert names(rest("POST", path, {"labels": ["GPU", "self-hosted"]})) == {**own, "gpu": "custom"}
    assert names(rest("POST", path, {"labels": ["fast"]})) == {**own, "gpu": "custom", "fast": "custom"}
    assert names(rest("DELETE", f"{path}/Fast")) == {**own, "gpu": "custom"}
    assert names(rest("PUT", path, {"labels": ["slow"]})) == {**own, "slow": "custom"}
    assert names(rest("PUT", path, {"labels": []})) == own
    assert names(rest("POST", path, {"labels": ["slow"]})) == {**own, "slow": "custom"}
    assert names(rest("DELETE", path)) == own


def test_labels_that_cannot_be_removed_or_added(rest: Rest) -> None:
    number = rest.jit(ORG, "one", "self-hosted").json()["runner"]["id"]
    path = f"{ORG}/actions/runners/{number}/labels"
    assert rest("DELETE", f"{path}/self-hosted").status_code == 422
    assert rest("DELETE", f"{path}/unknown").status_code == 404
    assert rest("POST", path, {"labels": []}).status_code == 422
    assert rest("POST", path, {}).status_code == 422
    assert rest("GET", f"{ORG}/actions/runners/99999/labels").status_code == 404


# Pages


@pytest.fixture
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runners share a key: making dozens takes seconds."""
    key = jit.new_key()
    monkeypatch.setattr(jit.KeyPool, "take", lambda self: key)


@pytest.mark.usefixtures("one_key")
def test_lists_come_in_pages(rest: Rest) -> None:
    wanted = [f"r{number:03}" for number in range(105)]
    for name in wanted:
        assert rest.jit(ORG, name).status_code == 201

    def walk(query: str) -> list[list[str]]:
        pages, url = [], f"{ORG}/actions/runners{query}"
        while url:
            answer = rest("GET", url)
            assert answer.json()["total_count"] == 105
            pages.append([runner["name"] for runner in answer.json()["runners"]])
            url = links(answer).get("next", "").removeprefix(rest.url)
        return pages

    by_default = walk("")
    assert [len(page) for page in by_default] == [30, 30, 30, 15]
    assert sorted(name for page in by_default for name in page) == wanted
    assert [len(page) for page in walk("?per_page=100")] == [100, 5]
    assert [len(page) for page in walk("?per_page=1000")] == [100, 5]
    assert [len(page) for page in walk("?per_page=50&page=3")] == [5]
    assert walk("?per_page=50&page=4") == [[]]

    middle = links(rest("GET", f"{ORG}/actions/runners?per_page=50&page=2"))
    pages = {rel: re.findall(r"[?&]page=(\d+)", url) for rel, url in middle.items()}
    assert pages == {"prev": ["1"], "next": ["3"], "first": ["1"], "last": ["3"]}
    assert all("per_page=50" in url for url in middle.values())


def test_one_page_has_no_link(rest: Rest) -> None:
    rest.jit(ORG, "one")
    assert "Link" not in rest("GET", f"{ORG}/actions/runners").headers


def test_runners_are_found_by_their_exact_name(rest: Rest) -> None:
    rest.jit(ORG, "one")
    rest.jit(ORG, "one-two")
    found = rest("GET", f"{ORG}/actions/runners?name=one").json()
    assert found["total_count"] == 1
    assert [runner["name"] for runner in found["runners"]] == ["one"]
    assert rest("GET", f"{ORG}/actions/runners?name=on").json() == {"total_count": 0, "runners": []}


def test_an_answer_that_has_not_changed_costs_nothing(rest: Rest) -> None:
    path = f"{ORG}/actions/runners"
    first = rest("GET", path)
    again = rest("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["X-RateLimit-Used"] == first.headers["X-RateLimit-Used"]
    rest.jit(ORG, "one")
    assert rest("GET", path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


# Groups


def test_groups_of_an_organization(rest: Rest, double: Double) -> None:
    found = rest("GET", f"{ORG}/actions/runner-groups").json()
    assert [(group["id"], group["name"], group["default"]) for group in found["runner_groups"]] == [
        (1, "Default", True),
        (2, "GitHub-hosted", False),
        (3, "builders", False),
    ]
    assert found["total_count"] == 3
    assert rest("GET", f"{ORG}/actions/runner-groups/3").json() == found["runner_groups"][2]
    assert rest("GET", f"{ORG}/actions/runner-groups/9").status_code == 404
    assert len(rest("GET", f"{ORG}/actions/runner-groups?per_page=2&page=2").json()["runner_groups"]) == 1
    rest.jit(ORG, "one", runner_group_id=3)
    rest.jit(ORG, "two")
    inside = rest("GET", f"{ORG}/actions/runner-groups/3/runners").json()
    assert [runner["name"] for runner in inside["runners"]] == ["one"]


def test_groups_a_repository_may_use(rest: Rest, double: Double) -> None:
    double.admin.scopes(
        {
            "my-org/open": {"visibility": "public"},
            "my-org/second": {},
            "my-org": {"groups": [{"name": "few", "visibility": "selected", "repositories": ["my-org/app"]}]},
        }
    )

    def names(repository: str) -> list[str]:
        found = rest("GET", f"{ORG}/actions/runner-groups?visible_to_repository={repository}").json()
        return [group["name"] for group in found["runner_groups"]]

    assert names("app") == ["Default", "GitHub-hosted", "builders", "few"]
    assert names("second") == ["Default", "GitHub-hosted", "builders"]
    assert names("open") == ["GitHub-hosted"]
    assert names("unknown") == []


def test_a_repository_has_no_groups(rest: Rest) -> None:
    assert rest("GET", f"{REPO}/actions/runner-groups").status_code == 404


# What every request needs and every answer carries


@pytest.mark.parametrize("agent", [urllib3.util.SKIP_HEADER, ""], ids=["none", "empty"])
def test_a_user_agent_is_mandatory(rest: Rest, agent: str) -> None:
    answer = rest("GET", ORG + READ, headers={"User-Agent": agent})
    assert answer.status_code == 403
    assert "User-Agent" in message(answer)


def test_api_versions(rest: Rest) -> None:
    for version in ("2022-11-28", "2026-03-10"):
        answer = rest("GET", ORG + READ, headers={"X-GitHub-Api-Version": version})
        assert (answer.status_code, answer.headers["X-GitHub-Api-Version-Selected"]) == (200, version)
    assert rest("GET", ORG + READ, headers={"X-GitHub-Api-Version": "2020-01-01"}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ORG + READ, 200),
        ("GET", "/orgs/unknown" + READ, 404),
        ("GET", "/nothing", 404),
        ("PATCH", ORG + READ, 404),
    ],
)
def test_every_answer_carries_an_id_the_date_and_the_limits(rest: Rest, method: str, path: str, status: int) -> None:
    answer = rest(method, path)
    assert answer.status_code == status
    assert {
        "Date",
        "X-GitHub-Request-Id",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Used",
        "X-RateLimit-Reset",
        "X-RateLimit-Resource",
    } <= set(answer.headers)
    assert rest(method, path).headers["X-GitHub-Request-Id"] != answer.headers["X-GitHub-Request-Id"]


def test_the_date_follows_the_movable_clock(rest: Rest, double: Double) -> None:
    before = email.utils.parsedate_to_datetime(rest("GET", "/rate_limit").headers["Date"])
    double.admin.advance(30 * 86400)
    after = email.utils.parsedate_to_datetime(rest("GET", "/rate_limit").headers["Date"])
    assert datetime.timedelta(days=30) <= after - before < datetime.timedelta(days=30, minutes=5)


# Versions of the runner


def test_versions_end_thirty_days_after_the_next_release(rest: Rest, double: Double) -> None:
    double.admin.settings(releases={"2.400.0": "2026-01-01T00:00:00Z", "2.401.0": "2026-02-01T00:00:00Z"})
    path = f"{ORG}/actions/runners/deprecations"
    old = rest("GET", f"{path}/2.400.0").json()
    assert old["runtime_deprecates_at"] == "2026-03-03T00:00:00Z"
    assert rest("GET", f"{path}/2.401.0").json() == {
        "runner_version": "2.401.0",
        "registration_deprecates_at": None,
        "runtime_deprecates_at": None,
    }
    double.admin.settings(deprecations={"2.401.0": {"registration_deprecates_at": "2026-05-01T00:00:00Z"}})
    assert rest("GET", f"{path}/2.401.0").json()["registration_deprecates_at"] == "2026-05-01T00:00:00Z"


def test_downloads_are_of_the_newest_version_released(rest: Rest, double: Double) -> None:
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).isoformat()
    double.admin.settings(releases={"2.99.0": "2026-01-01", "2.100.0": "2026-02-01", "2.101.0": soon})
    path = f"{ORG}/actions/runners/downloads"
    linux = [one for one in rest("GET", path).json() if (one["os"], one["architecture"]) == ("linux", "x64")]
    assert [one["filename"] for one in linux] == ["actions-runner-linux-x64-2.100.0.tar.gz"]
    assert re.fullmatch("[0-9a-f]{64}", linux[0]["sha256_checksum"])
    double.admin.advance(2 * 86400)
    assert "2.101.0" in rest("GET", path).json()[0]["filename"]
