# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong between us and GitHub, as types that a caller can act on and sentences that a user can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import responses as phrases
from typing import Any

# GitHub's rule for a limit that tells no time: wait "at least one minute" (docs: rate limits for the REST API).
UNTOLD_WAIT = 60.0

NOT_GITHUB = "see whether api_url is that of GitHub's API, and which proxy answers"


class ScopeError(ValueError):
    """A text that names no scope. The message names the value and what to write instead."""

    def __init__(self, value: object, why: str) -> None:
        super().__init__(
            f"scope = {shown(value)}: {why}. Do: write owner/repo, my-org, enterprises/NAME, or the https:// URL of one"
        )


class GitHubError(Exception):
    """GitHub did not do what was asked of it. Its text is one sentence, made of the attributes.

    Attributes:
        action: What was tried, in words that follow "could not".
        url: The address that was asked; empty if none was.
        status: The HTTP status; None if there was no answer.
        message: GitHub's own words, or ours where GitHub had none. One line.
        request_id: GitHub's name for the request, for its support; None if unknown.
        documentation_url: The page that GitHub points to; None if it points to none.
        hint: What the user can do; may be empty.
        retry_after: Seconds to wait, as GitHub said; None if it did not say.
        transient: The same request may succeed a little later.
        sent: False: the request never left, whatever else went wrong; True: it did, as far as one can tell; None:
            nobody knows. A request whose credential could not be had has not left, whatever kind of error that was.
        in_doubt: The request may have taken effect at GitHub all the same.
    """

    transient = False
    sent: bool | None = True
    _tells_nothing = False  # of what became of the request, if it was sent

    def __init__(
        self,
        action: str,
        *,
        message: str,
        url: str = "",
        status: int | None = None,
        request_id: str | None = None,
        documentation_url: str | None = None,
        hint: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(action, message)
        self.action = action
        self.url = url
        self.status = status
        self.message = message
        self.request_id = request_id
        self.documentation_url = documentation_url
        self.hint = hint
        self.retry_after = retry_after

    @property
    def in_doubt(self) -> bool:
        return self._tells_nothing and self.sent is not False

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, *, url: bool = False) -> str:
        """The error as a sentence, with the address if `url`: for readers who see nothing else of it."""
        status = "" if self.status is None else f"{self.status} {phrases.get(self.status, '')}".strip() + ": "
        where = [self.url] if url and self.url else []
        where += [f"request id {self.request_id}"] if self.request_id else []
        where += [f"see {self.documentation_url}"] if self.documentation_url else []
        text = f"Could not {self.action}: {status}{self.message}" + (f" ({', '.join(where)})" if where else "")
        return f"{text}. Do: {self.hint}" if self.hint else text


class Unauthorized(GitHubError):
    """401: the credential is wrong, expired or revoked."""


class Forbidden(GitHubError):
    """403: the credential is known but may not do this."""


class NotFound(GitHubError):
    """404, or a name that is not there. GitHub also says 404 for what the credential may not see."""


class Conflict(GitHubError):
    """409: it is there already, such as a runner of the same name."""


class Unprocessable(GitHubError):
    """422: GitHub understood and refused, such as an empty list of labels or a runner that is at work."""


class Moved(GitHubError):
    """A redirect that is not followed: to another server, or of a request that would change something."""


class RateLimited(GitHubError):
    """429, or a 403 that is a rate limit, primary or secondary.

    Attributes:
        retry_at: When to ask again, in epoch seconds of this machine's clock.
    """

    def __init__(self, action: str, *, retry_at: float, **facts: Any) -> None:
        super().__init__(action, **facts)
        self.retry_at = retry_at


class ServerError(GitHubError):
    """5xx, from GitHub or from something in front of it."""

    transient = True
    _tells_nothing = True


class ProtocolError(GitHubError):
    """An answer that is not GitHub's: broken JSON, a proxy's page, a missing field, a list that is not complete."""

    transient = True
    _tells_nothing = True


class Unreachable(GitHubError):
    """No answer at all."""

    transient = True
    _tells_nothing = True

    def __init__(self, action: str, *, sent: bool | None, **facts: Any) -> None:
        super().__init__(action, **facts)
        self.sent = sent


_BY_STATUS = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 422: Unprocessable}
_HINTS = {
    401: "give a credential that is valid now; this one is wrong, expired or revoked",
    403: "use a credential that may do this",
    404: "see whether it is there, and whether the credential may see it",
    409: "see what is there already",
}
# What GitHub refuses with its reason and nothing else to go by.
_OTHERWISE = "correct what GitHub names, or see the page that it points to"


def facts(url: str, status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    """What every error that came from an answer carries."""
    return {"url": url, "status": status, "request_id": headers.get("x-github-request-id")}


def error_for(
    action: str,
    seen: dict[str, Any],
    headers: Mapping[str, str],
    data: Any,
    otherwise: str,
    clock: tuple[float, float],
    hints: Mapping[int, str],
) -> GitHubError:
    """Which error an answer other than 2xx is.

    Args:
        action: What was tried.
        seen: What `facts` makes of the answer.
        headers: The answer's headers; a mapping that does not mind upper and lower case.
        data: The answer's JSON; None if there was none.
        otherwise: What to say if that holds no message of GitHub's.
        clock: Epoch seconds of this machine, and seconds by which the server's clock is ahead of it.
        hints: What the user can do, by status.
    """
    status, (now, skew) = seen["status"], clock
    body = data if isinstance(data, dict) and isinstance(data.get("message"), str) else {}
    errors = body.get("errors")
    details = "; ".join(_detail(each) for each in errors) if isinstance(errors, list) else ""
    seen = {
        **seen,
        "message": one_line(body.get("message", otherwise) + (f" ({details})" if details else "")),
        "documentation_url": one_line(body.get("documentation_url") or "") or None,
        "retry_after": _retry_after(headers.get("retry-after"), now + skew),
    }
    if status == 429 or (status == 403 and _is_limit(headers, seen["message"])):
        retry_at = now + _wait(headers, seen["retry_after"], now + skew)
        when = datetime.fromtimestamp(retry_at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return RateLimited(action, retry_at=retry_at, hint=f"wait until {when}", **seen)
    if status >= 500:
        return ServerError(action, hint="try again later; https://www.githubstatus.com tells of outages", **seen)
    if not body:
        return ProtocolError(action, hint=NOT_GITHUB, **seen)
    hint = hints.get(status) or _HINTS.get(status, _OTHERWISE)
    if "required" in headers.get("x-github-sso", ""):
        hint = "authorize the token for the single sign-on of the organization"
    elif status == 403 and "x-accepted-github-permissions" in headers:
        # GitHub's own word on what a fine-grained token or an app lacks (its changelog of 2023-08-10).
        hint = f"{hint} (GitHub: {one_line(headers['x-accepted-github-permissions'])})".strip()
    return _BY_STATUS.get(status, GitHubError)(action, hint=hint, **seen)


def one_line(text: object, length: int = 500) -> str:
    """Foreign text for a message: without line ends and control characters, and not endless."""
    line = " ".join("".join(each if each.isprintable() else " " for each in str(text)).split())
    return line if len(line) <= length else line[:length] + "…"


def shown(value: object) -> str:
    """A user's value for a message, without the password that a URL may carry."""
    return re.sub(r"//.*@", "//***@", repr(value))


def _detail(error: object) -> str:
    """One entry of the `errors` of a 422: a text, or a mapping with some of these keys."""
    if not isinstance(error, dict):
        return str(error)
    return str(
        error.get("message") or " ".join(str(error[key]) for key in ("resource", "field", "code") if key in error)
    )


def _is_limit(headers: Mapping[str, str], message: str) -> bool:
    """Whether a 403 is a rate limit and no refusal (docs: rate limits for the REST API)."""
    spent = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    return spent or bool(re.search(r"rate limit|abuse detection", message, re.IGNORECASE))


def _wait(headers: Mapping[str, str], retry_after: float | None, server_now: float) -> float:
    """Seconds to wait after a rate limit, in the order that GitHub's documentation gives."""
    reset = headers.get("x-ratelimit-reset", "")
    if retry_after is not None:
        return retry_after
    if headers.get("x-ratelimit-remaining") == "0" and re.fullmatch(r"[0-9]{1,10}", reset):
        return max(int(reset) - server_now, 1.0)
    return UNTOLD_WAIT


def _retry_after(value: str | None, server_now: float) -> float | None:
    """Seconds from a Retry-After header, which is a number of seconds or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,7}", value.strip()):
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - server_now, 0.0)
    except (TypeError, ValueError, OverflowError):
        return UNTOLD_WAIT
