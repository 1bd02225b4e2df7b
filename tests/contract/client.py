# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests speak with: a REST client that holds every answer to GitHub's description, and a small runner."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.contract.description import Description
from tests.doubles.github.api import OPERATIONS

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def template_of(method: str, path: str) -> str | None:
    """The served operation that a path belongs to; the first that fits, as in the server."""
    path = path.partition("?")[0].removeprefix("/api/v3")
    for operation in OPERATIONS:
        pattern = re.sub(r"\{\w+\}", "[^/]+", operation.template)
        if operation.method == method and re.fullmatch(pattern, path):
            return operation.template
    return None


#: Of a scope: what a credential may ask for that may read, and what one must be able to write for.
READ, WRITE = "/actions/runners", "/actions/runners/registration-token"


def message(answer: requests.Response) -> str:
    """GitHub's words for what is wrong."""
    return str(answer.json()["message"])


class Rest:
    """GitHub's REST API with one token. Every answer is checked, unless ``checked=False`` (for ordered faults)."""

    def __init__(self, url: str, token: str | None, description: Description, verify: str | bool = True) -> None:
        self.url = url
        self._description = description
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = verify
        self._session.headers.update({"Accept": "application/vnd.github+json", "User-Agent": "contract tests"})
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: str | None = None,
        headers: dict[str, str | None] | None = None,
        checked: bool = True,
    ) -> requests.Response:
        """One request. ``data`` is a body sent as it is."""
        answer = self._session.request(method, self.url + path, json=body, data=data, headers=headers, timeout=30)
        template = template_of(method, path)
        if checked and template is not None:
            self._description.check(template, answer.request, answer)
        return answer

    def jit(self, scope: str, name: str, *labels: str, **fields: Any) -> requests.Response:
        """Ask for a JIT configuration. ``scope`` is a path such as ``/orgs/my-org``."""
        body = {"name": name, "runner_group_id": 1, "labels": list(labels) or ["self-hosted"], **fields}
        return self("POST", f"{scope}/actions/runners/generate-jitconfig", body)

    def names(self, scope: str) -> dict[str, dict[str, Any]]:
        """The runners of a scope (the first hundred) by name."""
        found = self("GET", f"{scope}/actions/runners?per_page=100").json()["runners"]
        return {runner["name"]: runner for runner in found}

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


def _integer(text: str) -> int:
    return int.from_bytes(base64.b64decode(text), "big")


class Runner:
    """A runner as the double sees one, made from its JIT configuration."""

    def __init__(self, blob: str) -> None:
        files = {name: json.loads(base64.b64decode(text)) for name, text in json.loads(base64.b64decode(blob)).items()}
        self.settings, self.credentials = files[".runner"], files[".credentials"]
        numbers = {name: _integer(text) for name, text in files[".credentials_rsaparams"].items()}
        self.key = rsa.RSAPrivateNumbers(
            numbers["p"],
            numbers["q"],
            numbers["d"],
            numbers["dp"],
            numbers["dq"],
            numbers["inverseQ"],
            rsa.RSAPublicNumbers(numbers["exponent"], numbers["modulus"]),
        ).private_key()
        self.base = self.settings["ServerUrlV2"]
        self.token = ""
        self.session = ""
        self._http = requests.Session()
        self._http.trust_env = False

    def assertion(self, key: rsa.RSAPrivateKey | None = None, **changes: Any) -> str:
        """What proves that it has the key. ``changes`` to the claims, and another ``key``, make it wrong."""
        client, now = self.credentials["data"]["clientId"], int(time.time())
        claims = {"iss": client, "sub": client, "aud": self.credentials["data"]["authorizationUrl"], "exp": now + 240}
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(claims, key or self.key, algorithm="RS256")

    def ask_token(self, assertion: str | None = None) -> requests.Response:
        """POST token."""
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION}
        url = self.credentials["data"]["authorizationUrl"]
        return self._http.post(url, {**form, "client_assertion": assertion or self.assertion()}, timeout=30)

    def call(self, method: str, path: str, body: Any = None, data: str | None = None) -> requests.Response:
        """Any other call."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return self._http.request(method, self.base + path, json=body, data=data, headers=headers, timeout=30)

    def ask_session(self, version: str = "2.336.0", **changes: Any) -> requests.Response:
        """POST session."""
        body = {
            "agentName": self.settings["AgentName"],
            "version": version,
            "os": "Linux",
            "architecture": "X64",
            "ephemeral": True,
            "disableUpdate": True,
        }
        return self.call("POST", "/session", {**body, **changes})

    def connect(self, **fields: Any) -> Runner:
        """Token and session."""
        answer = self.ask_token()
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        answer = self.ask_session(**fields)
        assert answer.status_code == 200, answer.text
        self.session = answer.json()["sessionId"]
        return self

    def poll(self) -> requests.Response:
        """GET message."""
        return self.call("GET", f"/message?sessionId={self.session}")

    def poll_socket(self) -> socket.socket:
        """A message call that is open: the bare connection, to be cut."""
        at = urlsplit(self.base)
        link = socket.create_connection((str(at.hostname), int(at.port or 80)), timeout=30)
        path = f"{at.path}/message?sessionId={self.session}"
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode())
        return link

    def job(self) -> dict[str, Any]:
        """The job that is offered, asked for until there is one."""
        while True:
            answer = self.poll()
            assert answer.status_code in (200, 202), answer.text
            if answer.status_code == 200:
                return dict(answer.json()["body"])

    def step(self, what: str, job: int, body: Any = None, data: str | None = None) -> requests.Response:
        """acknowledge, renew, log or complete."""
        return self.call("POST", f"/jobs/{job}/{what}", body, data)

    def run_one(self, result: str = "Succeeded") -> int:
        """Take a job, say a word, end it; its id."""
        job = int(self.job()["id"])
        assert self.step("acknowledge", job).status_code == 200
        assert self.step("log", job, data="done\n").status_code == 204
        assert self.step("complete", job, {"result": result}).status_code == 204
        return job

    def close(self) -> None:
        """Close its connections, without a word to GitHub."""
        self._http.close()
