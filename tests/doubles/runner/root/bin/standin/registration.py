# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``config.sh``: registers a runner with a token, or removes it, by the calls of the real one's "runner admin flow"."""

from __future__ import annotations

import argparse
import platform
import random
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from . import settings as settings_
from .console import Console
from .service import ANSWER, CONNECT, architecture, authorities

SUCCESS, TERMINATED = 0, 1
ATTEMPTS = 3
BACKOFF = (1, 5)  # seconds between two attempts, at random
LABEL_LENGTH = 256


class Problem(Exception):
    """What ends it; the text is the last line."""


def main(command: str, root: Path, console: Console, options: argparse.Namespace, scale: float) -> int:
    """``configure`` or ``remove``. Returns the exit code."""
    if command == "remove" and options.local:
        settings_.remove(root, console)
        return SUCCESS
    try:
        if command == "remove":
            _remove(root, console, options, scale)
        else:
            _configure(root, console, options, scale)
    except (Problem, settings_.NotConfigured) as problem:
        console.error(str(problem))
        return TERMINATED
    return SUCCESS


class GitHub:
    """The calls, for one scope, with one token.

    Args:
        url: of the scope, as ``--url`` gives it.
        token: a registration or remove token.
        version: of this runner.
        console: told of refusals, as the real one does; never of the token.
        scale: what the waiting times are multiplied with.
    """

    def __init__(self, url: str, token: str, version: str, console: Console, scale: float) -> None:
        parts = urlsplit(url)
        words = parts.path.strip("/").split("/")
        hosted = parts.hostname == "github.com" or str(parts.hostname).endswith(".ghe.com")
        self.api = f"{parts.scheme}://api.{parts.netloc}" if hosted else f"{parts.scheme}://{parts.netloc}/api/v3"
        if len(words) == 1:
            self._entity = f"{self.api}/orgs/{words[0]}/actions"
        elif words[0] == "enterprises":
            self._entity = f"{self.api}/{'/'.join(words)}/actions"
        else:
            self._entity = f"{self.api}/repos/{'/'.join(words)}/actions"
        self._url = url
        self._token = token
        self._version = version
        self._console = console
        self._scale = scale
        self._verify = authorities()

    def check(self, event: str) -> dict[str, Any]:
        """Show the token: may it ``register``, or ``remove``? The answer names the service."""
        body = {"url": self._url, "runner_event": event}
        return self._call("POST", f"{self.api}/actions/runner-registration", body)

    def groups(self) -> list[dict[str, Any]]:
        """The runner groups."""
        return list(self._call("GET", f"{self._entity}/runner-groups")["runner_groups"])

    def named(self, name: str) -> int | None:
        """The id of the runner of this name."""
        found = self._call("GET", f"{self._entity}/runners?name={quote(name, safe='')}")["runners"]
        return int(found[0]["id"]) if found else None

    def register(self, **fields: Any) -> dict[str, Any]:
        """Register, or take over a registration."""
        return self._call("POST", f"{self.api}/actions/runners/register", {"url": self._url, **fields})

    def delete(self, number: int) -> None:
        """Remove the registration."""
        self._call("DELETE", f"{self._entity}/runners/{number}")

    def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"RemoteAuth {self._token}", "User-Agent": f"GitHubActionsRunner/{self._version}"}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = requests.request(
                    method, url, json=body, headers=headers, timeout=(CONNECT, ANSWER), verify=self._verify
                )
            except requests.RequestException as error:
                problem = str(error)
            else:
                if answer.ok:
                    return dict(answer.json()) if answer.content else {}
                status = HTTPStatus(answer.status_code)
                number = answer.headers.get("X-GitHub-Request-Id", "")
                self._console.error(
                    f"Http response code: {status.phrase.replace(' ', '')} from '{method} {url}' (Request Id: {number})"
                )
                self._console.error(answer.text)
                problem = f"Response status code does not indicate success: {status.value} ({status.phrase})."
                if status == HTTPStatus.NOT_FOUND:
                    break
            if attempt < ATTEMPTS:
                time.sleep(random.uniform(*BACKOFF) * self._scale)
        raise Problem(problem)


def _configure(root: Path, console: Console, options: argparse.Namespace, scale: float) -> None:
    console.line("Self-hosted runner registration")
    if settings_.is_configured(root):
        raise Problem(
            "Cannot configure the runner because it is already configured. To reconfigure the runner, run"
            " 'config.cmd remove' or './config.sh remove' first."
        )
    _section(console, "Authentication")
    url = _required(options, "url", r"https?://[^/\s]+/[^/\s]+(/[^/\s]+)?/?").rstrip("/")
    version = settings_.version(root)
    github = GitHub(url, _required(options, "token"), version, console, scale)
    tenant = github.check("register")
    console.line()
    console.success("Connected to GitHub")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    _section(console, "Runner Registration")
    group = _group(github.groups(), options.runnergroup)
    name = options.name or platform.node()
    labels = _labels(options)
    body = {
        "group_id": group["id"],
        "name": name,
        "version": version,
        "updates_disabled": options.disableupdate,
        "ephemeral": options.ephemeral,
        "labels": labels,
        "public_key": _as_xml(key),
    }
    there = github.named(name)
    if there is None:
        runner = github.register(**body)
        console.success("Runner successfully added")
    else:
        console.line("A runner exists with the same name")
        if not options.replace:
            raise Problem(f"A runner exists with the same name {name}.")
        runner = github.register(**body, runner_id=there, replace=True)
        console.success("Successfully replaced the runner")

    _section(console, "Runner settings")
    authorization = runner["authorization"]
    settings = {
        "agentId": runner["id"],
        "agentName": name,
        "poolId": group["id"],
        "poolName": group["name"],
        "disableUpdate": options.disableupdate,
        "ephemeral": options.ephemeral,
        "serverUrl": tenant["url"],
        "gitHubUrl": url,
        "workFolder": options.work or "_work",
        "useV2Flow": True,
        "useRunnerAdminFlow": True,
        "serverUrlV2": authorization["server_url"],
    }
    credentials = {
        "scheme": "OAuth",
        "data": {
            "clientId": authorization["client_id"],
            "authorizationUrl": authorization["authorization_url"],
            "requireFipsCryptography": "True",
        },
    }
    # As the real one: what is false is not written.
    settings_.save(root, {name: value for name, value in settings.items() if value is not False}, credentials, key)
    console.line()
    console.success("Settings Saved.")
    console.line()


def _remove(root: Path, console: Console, options: argparse.Namespace, scale: float) -> None:
    _section(console, "Runner removal")
    action = "Removing runner from the server"
    try:
        if settings_.is_configured(root) and (root / settings_.CREDENTIALS).exists():
            settings = settings_.load(root)
            if not settings.github_url:
                raise Problem(
                    "A runner of a JIT configuration cannot be removed with a token. Do: delete it by the REST API"
                )
            token = _required(options, "token")
            GitHub(settings.github_url, token, settings_.version(root), console, scale).delete(settings.agent_id)
            console.line()
            console.success("Runner removed successfully")
        else:
            console.line(
                "Cannot connect to server, because config files are missing. Skipping removing runner from the server."
            )
        settings_.remove(root, console)
    except (Problem, settings_.NotConfigured):
        console.error(f"Failed: {action}")
        raise
    console.line()


def _section(console: Console, title: str) -> None:
    for line in ("", f"# {title}", ""):
        console.line(line)


def _required(options: argparse.Namespace, name: str, pattern: str = r".+") -> str:
    """An input that has to be there. The real one would ask a person; here there is none."""
    value = getattr(options, name) or ""
    if not re.fullmatch(pattern, value):
        raise Problem(f"Invalid configuration provided for {name}. Terminating unattended configuration.")
    return str(value)


def _group(groups: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    default = next((group["name"] for group in groups if group.get("default")), "default")
    name = wanted or default
    for group in groups:
        if group["name"].lower() == name.lower() and not group.get("is_hosted"):
            return group
    raise Problem(f'Could not find any self-hosted runner group named "{name}".')


def _labels(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The default ones, and those given; each once, whatever its case."""
    given = [label for label in (options.labels or "").split(",") if label]
    if any(len(label) > LABEL_LENGTH for label in given):
        raise Problem("Invalid configuration provided for labels. Terminating unattended configuration.")
    if options.no_default_labels and not given:
        raise Problem("Disabling default labels via --no-default-labels without specifying --labels is not supported")
    default = [] if options.no_default_labels else ["self-hosted", platform.system(), architecture()]
    found: dict[str, dict[str, Any]] = {}
    for label in (*default, *given):
        kind = "system" if label in default else "user"
        found.setdefault(label.lower(), {"id": 0, "name": label, "type": kind})
    return list(found.values())


def _as_xml(key: rsa.RSAPrivateKey) -> str:
    """The public half, as .NET writes it."""
    numbers = key.public_key().public_numbers()
    modulus, exponent = settings_.base64_of(numbers.n), settings_.base64_of(numbers.e)
    return f"<RSAKeyValue><Modulus>{modulus}</Modulus><Exponent>{exponent}</Exponent></RSAKeyValue>"
