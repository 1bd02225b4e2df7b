# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of the ``/_runner`` protocol (tests/doubles/README.md): what the runner and GitHub say to each other."""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import jwt
import requests

from .settings import Credentials, Settings

T = TypeVar("T")

#: Seconds for a connection, and for an answer to all but the message call, which the service holds open.
CONNECT, ANSWER, MESSAGE = 10, 30, 60

#: The system's certificates, which the real runner trusts, and the variables that name others: OpenSSL's and Python's.
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


class ServiceError(Exception):
    """No answer, or one that may be different the next time."""


class RegistrationGone(Exception):
    """The runner is not registered any more. ``at_token``: its key was refused, rather than the call itself."""

    def __init__(self, message: str, at_token: bool = False) -> None:
        super().__init__(message)
        self.at_token = at_token


class SessionConflict(Exception):
    """Another session of this runner is alive."""


class SessionGone(Exception):
    """The session has ended; the registration may live."""


class VersionRefused(Exception):
    """The service wants a newer runner."""


class JobGone(Exception):
    """The job is not this runner's, or not any more."""


def retry(call: Callable[[], T], seconds: float, attempts: int = 5) -> T:
    """Do a call again while the service does not answer it, with a wait in between.

    Raises:
        ServiceError: the last attempt's; what else the call raises comes through at once.
    """
    for _attempt in range(attempts - 1):
        try:
            return call()
        except ServiceError:
            time.sleep(seconds)
    return call()


class Service:
    """One runner's link to GitHub. May be used from several threads."""

    def __init__(self, settings: Settings, credentials: Credentials, version: str) -> None:
        self._settings = settings
        self._credentials = credentials
        self._version = version
        self._lock = threading.Lock()
        self._token, self._token_ends = "", 0.0
        self._verify = authorities()

    def open_session(self) -> str:
        """Open the session and return its id.

        Raises:
            RegistrationGone, SessionConflict, VersionRefused, ServiceError
        """
        answer = self._call(
            "POST",
            "/session",
            json={
                "agentName": self._settings.agent_name,
                "version": self._version,
                "os": platform.system(),
                "architecture": architecture(),
                "ephemeral": self._settings.ephemeral,
                "disableUpdate": self._settings.disable_update,
            },
            errors={409: SessionConflict, 404: RegistrationGone, 403: VersionRefused},
        )
        return str(fields(answer, "sessionId")["sessionId"])

    def close_session(self, session: str) -> None:
        """End the session.

        Raises:
            RegistrationGone, SessionGone, ServiceError
        """
        self._call("DELETE", "/session", params={"sessionId": session}, errors={404: SessionGone})

    def next_message(self, session: str) -> dict[str, Any] | None:
        """Wait for a message, as long as the service holds the call open; None if there was none.

        Raises:
            RegistrationGone, SessionGone, VersionRefused, ServiceError
        """
        errors: dict[int, type[Exception]] = {404: SessionGone, 403: VersionRefused}
        answer = self._call("GET", "/message", params={"sessionId": session}, errors=errors, seconds=MESSAGE)
        return None if answer.status_code == 202 else fields(answer, "messageType", "body")

    def acknowledge(self, job: str) -> dict[str, Any]:
        """Accept a job and return it.

        Raises:
            JobGone, RegistrationGone, ServiceError
        """
        answer = self._call("POST", f"/jobs/{job}/acknowledge", errors={404: JobGone})
        return fields(answer, "id", "name", "repository", "script")

    def renew(self, job: str) -> bool:
        """Say that the job still runs. True if it shall be cancelled.

        Raises:
            JobGone, RegistrationGone, ServiceError
        """
        answer = self._call("POST", f"/jobs/{job}/renew", errors={404: JobGone})
        return bool(fields(answer, "cancel")["cancel"])

    def log(self, job: str, text: str) -> None:
        """Append to the job's log.

        Raises:
            JobGone, RegistrationGone, ServiceError
        """
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        self._call("POST", f"/jobs/{job}/log", data=text.encode(), headers=headers, errors={404: JobGone})

    def complete(self, job: str, result: str) -> None:
        """Say how the job ended: ``Succeeded``, ``Failed`` or ``Canceled``. An ephemeral runner's registration ends.

        Raises:
            JobGone, RegistrationGone, ServiceError
        """
        self._call("POST", f"/jobs/{job}/complete", json={"result": result}, errors={404: JobGone})

    def _call(
        self,
        method: str,
        path: str,
        errors: dict[int, type[Exception]],
        seconds: float = ANSWER,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> requests.Response:
        """Send one request with a fresh token; once more with a new one if the service refuses it."""
        url = self._settings.server_url + path
        for again in (True, False):
            bearer = {"Authorization": f"Bearer {self._bearer()}", **(headers or {})}
            answer = self._request(method, url, seconds, headers=bearer, **options)
            if answer.status_code == 401 and again:
                with self._lock:
                    self._token = ""
                continue
            break
        if answer.status_code in errors:
            raise errors[answer.status_code](reason(answer))
        if not answer.ok:
            raise ServiceError(f"{method} {url}: {reason(answer)}")
        return answer

    def _bearer(self) -> str:
        with self._lock:
            if not self._token or time.monotonic() > self._token_ends:
                self._token, lifetime = self._new_token()
                # A tenth early, so that it does not end on the way.
                self._token_ends = time.monotonic() + lifetime * 0.9
            return self._token

    def _new_token(self) -> tuple[str, float]:
        """Show that we hold the key. Returns the access token and its lifetime in seconds."""
        now = int(time.time())
        url = self._credentials.token_url
        claims = {
            "iss": self._credentials.client_id,
            "sub": self._credentials.client_id,
            "aud": url,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + 300,
        }
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, self._credentials.key, algorithm="RS256"),
        }
        answer = self._request("POST", url, ANSWER, data=form)
        if answer.status_code == 400 and "invalid_client" in answer.text:
            raise RegistrationGone(reason(answer), at_token=True)
        if not answer.ok:
            raise ServiceError(f"POST {url}: {reason(answer)}")
        values = fields(answer, "access_token", "expires_in")
        return values["access_token"], float(values["expires_in"])

    def _request(self, method: str, url: str, seconds: float, **options: Any) -> requests.Response:
        headers = {"User-Agent": f"GitHubActionsRunner-linux/{self._version}", **options.pop("headers", {})}
        try:
            return requests.request(
                method,
                url,
                headers=headers,
                timeout=(CONNECT, seconds),
                allow_redirects=False,
                verify=self._verify,
                **options,
            )
        except requests.RequestException as error:
            raise ServiceError(f"{method} {url}: {error}") from error


def authorities() -> str | bool:
    """Whom to trust: a file of certificates, or True for what the library brings."""
    candidates = [os.environ[name] for name in CA_VARIABLES if os.environ.get(name)] + [SYSTEM_CA]
    return next((name for name in candidates if os.path.exists(name)), True)


def fields(answer: requests.Response, *names: str) -> dict[str, Any]:
    """The JSON object of an answer, which must have these fields.

    Raises:
        ServiceError: it is something else.
    """
    try:
        values = answer.json()
    except ValueError as error:
        raise ServiceError(f"{answer.url}: the answer is no JSON: {error}") from error
    if not isinstance(values, dict) or any(name not in values for name in names):
        raise ServiceError(f"{answer.url}: the answer is no object with {', '.join(names)}")
    return values


def architecture() -> str:
    """The machine as GitHub names it."""
    return {"x86_64": "X64", "aarch64": "ARM64"}.get(platform.machine(), platform.machine())


def reason(answer: requests.Response) -> str:
    """Status and text of an answer, short."""
    return f"{answer.status_code} {answer.text.strip()[:200]}".strip()
