# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which answer becomes which error, and how the errors read."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors

NOW = 1_800_000_000.0
MESSAGE = {"message": "No.", "documentation_url": "https://docs.github.com/rest"}


def error_for(
    status: int,
    data: Any = None,
    headers: dict[str, str] | None = None,
    hints: dict[int, str] | None = None,
    skew: float = 0.0,
) -> errors.GitHubError:
    answer = CaseInsensitiveDict({"X-GitHub-Request-Id": "AB:12", **(headers or {})})
    seen = errors.facts("https://api.github.com/x", status, answer)
    return errors.error_for("do it", seen, answer, data, "not JSON but text/html", (NOW, skew), hints or {})


def retry_at(status: int, headers: dict[str, str], message: str = "No.", skew: float = 0.0) -> float:
    error = error_for(status, {"message": message}, headers, skew=skew)
    assert isinstance(error, errors.RateLimited)
    return error.retry_at - NOW


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.GitHubError),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.GitHubError),
        (422, errors.Unprocessable),
        (429, errors.RateLimited),
        (500, errors.ServerError),
        (502, errors.ServerError),
        (503, errors.ServerError),
    ],
)
def test_kind_by_status(status: int, kind: type[errors.GitHubError]) -> None:
    error = error_for(status, MESSAGE)
    assert error.__class__ is kind
    assert (error.status, error.message, error.request_id) == (status, "No.", "AB:12")
    assert (error.action, error.url) == ("do it", "https://api.github.com/x")
    assert error.documentation_url == "https://docs.github.com/rest"
    assert error.transient is error.in_doubt is (status >= 500)


def test_the_sentence() -> None:
    error = error_for(403, MESSAGE, hints={403: "use a credential that may"})
    assert str(error) == (
        "Could not do it: 403 Forbidden: No. (request id AB:12, see https://docs.github.com/rest). "
        "Do: use a credential that may"
    )
    assert error.sentence(url=True) == (
        "Could not do it: 403 Forbidden: No. (https://api.github.com/x, request id AB:12, "
        "see https://docs.github.com/rest). Do: use a credential that may"
    )
    not_found = errors.NotFound("find it", message="there are only 'a'")
    assert str(not_found) == not_found.sentence(url=True) == "Could not find it: there are only 'a'"
    assert str(errors.GitHubError("do it", message="Hm.", status=599)) == "Could not do it: 599: Hm."


def test_a_401_has_a_hint_of_its_own() -> None:
    assert "wrong, expired or revoked" in str(error_for(401, {"message": "Bad credentials"}))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
@pytest.mark.parametrize("data", [None, [], "x", {}, {"message": 5}, {"error": "x"}])
def test_what_is_not_githubs_is_no_refusal(status: int, data: Any) -> None:
    """A proxy's 404 must not read as "that runner is gone"."""
    error = error_for(status, data)
    assert error.__class__ is errors.ProtocolError
    assert error.in_doubt
    assert "not JSON but text/html" in str(error)
    assert "which proxy answers" in str(error)


@pytest.mark.parametrize("data", [None, {}, MESSAGE])
def test_429_and_5xx_need_no_body(data: Any) -> None:
    assert isinstance(error_for(429, data), errors.RateLimited)
    assert isinstance(error_for(503, data), errors.ServerError)


@pytest.mark.parametrize(
    ("details", "text"),
    [
        (["one", "two"], "No. (one; two)"),
        ([{"message": "too many labels"}], "No. (too many labels)"),
        ([{"resource": "Runner", "field": "labels", "code": "missing"}], "No. (Runner labels missing)"),
        ([], "No."),
        ("labels", "No."),
        (5, "No."),
        ({"a": 1}, "No."),
        (None, "No."),
    ],
)
def test_details_of_a_422(details: Any, text: str) -> None:
    assert error_for(422, {"message": "No.", "errors": details}).message == text


def test_foreign_text_stays_one_short_line() -> None:
    message = error_for(422, {"message": "a\n\x1b[31mred\x1b[0m\r\n" + "b" * 1000}).message
    assert message.startswith("a [31mred [0m bbb")
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(
    "data", [{"message": "m", "documentation_url": 5}, {"message": "m", "documentation_url": None}]
)
def test_odd_documentation_url(data: Any) -> None:
    assert error_for(404, data).documentation_url in ("5", None)


class TestHints:
    def test_by_status(self) -> None:
        assert error_for(404, MESSAGE, hints={404: "look"}).hint == "look"
        assert error_for(404, MESSAGE, hints={403: "look"}).hint.startswith("see whether it is there")

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 418, 422, 451, 500, 599])
    @pytest.mark.parametrize("hints", [{}, {422: ""}])
    def test_there_is_always_one(self, status: int, hints: dict[int, str]) -> None:
        assert error_for(status, MESSAGE, hints=hints).hint

    def test_githubs_own_word_on_permissions(self) -> None:
        headers = {"X-Accepted-GitHub-Permissions": "organization_self_hosted_runners=write"}
        assert error_for(403, MESSAGE, headers, {403: "use another"}).hint == (
            "use another (GitHub: organization_self_hosted_runners=write)"
        )
        assert "GitHub: " not in error_for(422, MESSAGE, headers).hint

    def test_single_sign_on(self) -> None:
        headers = {"X-GitHub-SSO": "required; url=https://github.com/orgs/o/sso?authorization_request=abc"}
        error = error_for(403, MESSAGE, headers, {403: "use another"})
        assert "single sign-on" in error.hint
        assert "abc" not in str(error)


class TestRateLimits:
    @pytest.mark.parametrize("status", [403, 429])
    def test_retry_after_seconds(self, status: int) -> None:
        headers = {"Retry-After": "37", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 900)}
        assert retry_at(status, headers) == 37
        assert retry_at(status, {"Retry-After": "37", "X-RateLimit-Remaining": "4711"}) == 37
        assert error_for(status, MESSAGE, headers).retry_after == 37

    def test_retry_after_date(self) -> None:
        assert retry_at(429, {"Retry-After": formatdate(NOW + 90, usegmt=True)}) == 90
        assert retry_at(429, {"Retry-After": formatdate(NOW + 90, usegmt=True)}, skew=30) == 60
        assert retry_at(429, {"Retry-After": formatdate(NOW - 90, usegmt=True)}) == 0

    @pytest.mark.parametrize(
        "value", ["soon", "", "-5", "1e9", "99999999999999999999", "Mon, 99 Foo 2026 99:99:99 GMT"]
    )
    def test_unreadable_retry_after_is_a_minute(self, value: str) -> None:
        assert retry_at(429, {"Retry-After": value}) == 60

    @pytest.mark.parametrize("status", [403, 429])
    def test_primary_limit_waits_for_the_reset(self, status: int) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 900)}
        assert retry_at(status, headers) == 900

    def test_the_reset_is_of_githubs_clock(self) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 900)}
        assert retry_at(403, headers, skew=300) == 600
        assert retry_at(403, headers, skew=-300) == 1200

    def test_a_reset_in_the_past_is_not_at_once(self) -> None:
        assert retry_at(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) - 5)}) == 1

    @pytest.mark.parametrize("reset", ["", "soon", "-1", "9" * 40])
    def test_unreadable_reset_is_a_minute(self, reset: str) -> None:
        assert retry_at(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}) == 60

    @pytest.mark.parametrize(
        "message",
        [
            "You have exceeded a secondary rate limit and have been temporarily blocked from content creation.",
            "API rate limit exceeded for user ID 1.",
            "You have triggered an abuse detection mechanism.",
        ],
    )
    def test_secondary_limit_without_a_time_is_a_minute(self, message: str) -> None:
        headers = {"X-RateLimit-Remaining": "4711", "X-RateLimit-Reset": str(int(NOW) + 900)}
        assert retry_at(403, headers, message) == 60

    def test_a_refusal_with_budget_left_is_no_limit(self) -> None:
        error = error_for(403, {"message": "Resource not accessible by integration"}, {"X-RateLimit-Remaining": "4711"})
        assert error.__class__ is errors.Forbidden

    def test_the_hint_tells_the_time(self) -> None:
        assert error_for(429, MESSAGE, {"Retry-After": "60"}).hint == "wait until 2027-01-15T08:01:00Z"


@pytest.mark.parametrize(("sent", "in_doubt"), [(False, False), (True, True), (None, True)])
def test_unreachable_is_in_doubt_unless_it_never_left(sent: bool | None, in_doubt: bool) -> None:
    error = errors.Unreachable("do it", sent=sent, message="no answer")
    assert error.in_doubt is in_doubt
    assert error.transient
