# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rate limits: the primary ones by their buckets, the secondary ones, what the answers say, and that they pass."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures

import pytest
import requests

from tests.contract.client import Rest
from tests.contract.conftest import CREDENTIALS
from tests.doubles.github.server import Double

ORG = "/orgs/my-org"
LIST = f"{ORG}/actions/runners"
TOKEN_PATH = f"{ORG}/actions/runners/registration-token"


def remaining(answer: requests.Response) -> int:
    return int(answer.headers["X-RateLimit-Remaining"])


def test_the_documented_numbers(rest: Rest) -> None:
    resources = rest("GET", "/rate_limit").json()["resources"]
    assert resources["core"]["limit"] == 5000
    assert resources["actions_runner_registration"]["limit"] == 10000


def test_two_buckets_are_counted_apart_and_asking_is_free(rest: Rest) -> None:
    listed, token = rest("GET", LIST), rest("POST", TOKEN_PATH)
    assert (listed.headers["X-RateLimit-Resource"], remaining(listed)) == ("core", 4999)
    assert (token.headers["X-RateLimit-Resource"], remaining(token)) == ("actions_runner_registration", 9999)
    for _again in range(2):
        resources = rest("GET", "/rate_limit").json()["resources"]
        assert (resources["core"]["used"], resources["actions_runner_registration"]["used"]) == (1, 1)


def test_a_used_up_bucket_refuses_until_its_hour_is_over(rest: Rest, double: Double) -> None:
    double.admin.settings(core_per_hour=2)
    assert [rest("GET", LIST).status_code for _try in range(3)] == [200, 200, 403]
    refused = rest("GET", LIST)
    assert "API rate limit exceeded" in refused.json()["message"]
    assert remaining(refused) == 0
    assert "Retry-After" not in refused.headers
    assert rest("POST", TOKEN_PATH).status_code == 201  # the other bucket
    reset = int(refused.headers["X-RateLimit-Reset"])
    assert rest("GET", "/rate_limit").json()["resources"]["core"]["reset"] == reset
    double.admin.advance(3590)
    assert rest("GET", LIST).status_code == 403
    double.admin.advance(15)
    answer = rest("GET", LIST)
    assert answer.status_code == 200
    assert int(answer.headers["X-RateLimit-Reset"]) > reset


def test_credentials_do_not_share_a_bucket(client: Callable[[str | None], Rest], rest: Rest, double: Double) -> None:
    double.admin.credentials({**CREDENTIALS, "other": {"token": "other", "scopes": {"my-org": "write"}}})
    double.admin.settings(core_per_hour=1)
    assert [rest("GET", LIST).status_code for _try in range(2)] == [200, 403]
    assert client("other")("GET", LIST).status_code == 200


def test_points_a_minute_and_endpoint(rest: Rest, double: Double) -> None:
    double.admin.settings(points_per_minute=10)
    assert [rest("POST", TOKEN_PATH).status_code for _try in range(3)] == [201, 201, 403]
    refused = rest("POST", TOKEN_PATH)
    assert "secondary rate limit" in refused.json()["message"]
    assert refused.headers["Retry-After"] == "60"
    assert remaining(refused) > 0
    assert [rest("GET", LIST).status_code for _try in range(11)] == [200] * 10 + [403]  # a GET costs 1, a POST 5
    double.admin.advance(61)
    assert rest("POST", TOKEN_PATH).status_code == 201


def test_registrations_of_a_scope_in_five_minutes(rest: Rest, double: Double) -> None:
    double.admin.settings(registrations_per_5_minutes=2)
    assert [rest.jit(ORG, name).status_code for name in "abc"] == [201, 201, 403]
    assert rest.jit("/orgs/other-org", "a").status_code == 201
    double.admin.advance(301)
    assert rest.jit(ORG, "c").status_code == 201


def test_concurrent_requests(rest: Rest, double: Double) -> None:
    double.admin.settings(concurrent=0)
    refused = rest("GET", LIST)
    assert (refused.status_code, refused.headers["Retry-After"]) == (403, "60")
    double.admin.settings(concurrent=1)
    # None is left over from the refused one.
    assert [rest("GET", LIST).status_code for _try in range(3)] == [200, 200, 200]


def test_many_at_once_are_fine_within_the_limit(client: Callable[[str | None], Rest], double: Double) -> None:
    clients = [client(CREDENTIALS["admin"]["token"]) for _number in range(8)]  # type: ignore[arg-type]  # it is no None
    with futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: one("GET", LIST).status_code, clients))
    assert answers == [200] * 8


@pytest.mark.parametrize(
    "setting",
    [{"core_per_hour": 0}, {"points_per_minute": 0}, {"concurrent": 0}, {"registrations_per_5_minutes": 0}],
    ids=str,
)
def test_limits_can_be_switched_off(rest: Rest, double: Double, setting: dict[str, int]) -> None:
    double.admin.settings(registration_per_hour=0, **setting)
    assert rest.jit(ORG, "one").status_code == 403
    double.admin.settings(rate_limits=False)
    assert rest.jit(ORG, "one").status_code == 201
    assert rest("GET", LIST).status_code == 200
