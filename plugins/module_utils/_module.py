# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where Ansible meets the library `_github`: options in, a client out; an error in, a failure that says what to do out.

Private to the collection: it changes without notice.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import HAS_REQUESTS, Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.connect import app_for, client_for
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.credential import credential_problems
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import GitHubError, RateLimited
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.key import HAS_JWT
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.labels import ARCHITECTURES
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import GITHUB_API, Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.secret import Secret

if TYPE_CHECKING:
    from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.app import AppAuth

try:
    from ansible.module_utils.secrets import register_secret
except ImportError:  # ansible-core before 2.22 has nothing of the kind: there only no_log on the task hides a result

    def register_secret(value: str, /) -> str:
        """Leave the value as it is."""
        return value


# The option groups; their documentation is in plugins/doc_fragments/_github.py.
SCOPE = {"scope": {"type": "str", "required": True}}
CREDENTIAL = {
    "token": {"type": "str", "no_log": True},
    "client_id": {"type": "str"},
    "app_id": {"type": "str"},
    "private_key": {"type": "str", "no_log": True},
    "private_key_file": {"type": "path", "no_log": False},
    "installation_id": {"type": "str"},
}
CONNECTION = {
    "api_url": {"type": "str", "default": GITHUB_API, "fallback": (env_fallback, ["GITHUB_API_URL"])},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
    "retries": {"type": "int", "default": 3},
}
LEAST = {"timeout": 1, "retries": 0}
# Of some modules.
ARCHITECTURE = {"architecture": {"type": "str", "choices": [*ARCHITECTURES]}}

# Not Ansible's `fallback`: a variable that happens to be set must not contradict an option that is given.
ENVIRONMENT = {
    "token": "GITHUB_TOKEN",
    "client_id": "GITHUB_APP_CLIENT_ID",
    "app_id": "GITHUB_APP_ID",
    "private_key": "GITHUB_APP_PRIVATE_KEY",
    "private_key_file": "GITHUB_APP_PRIVATE_KEY_FILE",
    "installation_id": "GITHUB_APP_INSTALLATION_ID",
}
# What an app's credential consists of: each comes from the options or, if none of its names is there, the environment.
APP_PARTS = (("client_id", "app_id"), ("private_key", "private_key_file"), ("installation_id",))

WARNED_AHEAD = 14 * 86400.0  # seconds before a token's end


class Failure(Exception):
    """Its text is how the module ends."""


def wrong(option: str, value: object, why: str, remedy: str) -> Failure:
    """The failure for an option that cannot be used."""
    return Failure(f"{option} = {value}: {why}. Do: {remedy}")


def merge(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The credential that a module's options and the environment give together, by the options' names.

    Whoever gives any part of one as an option means that one: the environment then adds what is missing of an app, and
    is not asked for a token at all.
    """
    given = {name: options[name] for name in CREDENTIAL if options.get(name) is not None}
    told = {name: environ[variable] for name, variable in ENVIRONMENT.items() if environ.get(variable)}
    if not given:
        return told
    if "token" in given:
        return given
    missing = [name for part in APP_PARTS if not given.keys() & {*part} for name in part]
    return {**given, **{name: told[name] for name in missing if name in told}}


def is_key(text: str) -> bool:
    """Whether it is a private key, or looks so, and not the name of a file with one."""
    return "-----BEGIN" in text


def with_key(credential: Mapping[str, Any]) -> dict[str, Any]:
    """The credential with the content of `private_key_file` as `private_key`.

    Raises:
        Failure: The file cannot be read, or there are both.
    """
    form = {name: value for name, value in credential.items() if value != ""}  # as credential.py looks at it
    path = form.pop("private_key_file", None)
    if path is None:
        return form
    if is_key(path):
        raise wrong("private_key_file", "(hidden)", "the key itself, not its file", "give it as private_key")
    if "private_key" in form:
        raise wrong("private_key_file", path, "there is a private_key too", "give one of the two")
    why = "no text"
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return {**form, "private_key": file.read()}
    except OSError as exc:
        why = str(exc.strerror)
    except ValueError:
        pass
    remedy = "name the .pem file that GitHub made for the App, on the host where the module runs"
    raise wrong("private_key_file", path, why, remedy)


class GitHubModule:
    """A module that talks to GitHub about one scope.

    Args:
        options: The argument spec of what is its own.
        permissions: What an App's tokens may do, by kind of scope; None: what the runners of the scope need.
        rules: What of them goes together, as for `AnsibleModule`, such as ``required_if``.

    Attributes:
        params: The value of each option.
        check_mode: Nothing is to be changed.
        warn: Says something to the user.
    """

    def __init__(
        self, options: Mapping[str, Any], *, permissions: Mapping[str, Mapping[str, str]] | None = None, **rules: Any
    ) -> None:
        spec = {**SCOPE, **CREDENTIAL, **CONNECTION, **options}
        self._ansible = AnsibleModule(argument_spec=spec, supports_check_mode=True, **rules)
        self._permissions = permissions or {}
        self.params: dict[str, Any] = self._ansible.params
        self.check_mode: bool = self._ansible.check_mode
        self.warn: Callable[[str], None] = self._ansible.warn

    def run(self, work: Callable[[GitHubModule, Client, Scope], dict[str, Any]]) -> None:
        """Do the module's work and end the program: with what `work` returns, or with what went wrong."""
        try:
            client, scope = self._connect()
            result = work(self, client, scope)
        except Failure as exc:
            self._ansible.fail_json(msg=str(exc))
        except GitHubError as exc:
            self._ansible.fail_json(msg=exc.sentence(url=True), error=described(exc))
        self._warn_of_the_end(client.token_expires_at)
        self._ansible.exit_json(**{"changed": False, **result})

    def architecture(self) -> str:
        """The option `architecture`, or what this machine has, in GitHub's word; Failure if GitHub has none."""
        name = self.params["architecture"] or platform.machine()
        if name not in ARCHITECTURES:
            raise wrong("architecture", name, "GitHub has no runner for this machine", "name the runners' architecture")
        return ARCHITECTURES[name]

    def app(self, scope: Scope, permissions: Mapping[str, str] | None, repositories: Iterable[str] | None) -> AppAuth:
        """The App that the module was given, for tokens narrowed so; see `app_for`. Failure if it was given none."""
        try:
            return app_for(self._form, scope, permissions=permissions, repositories=repositories, **self._connection())
        except ValueError as exc:
            raise Failure(f"{exc}{self._origin}") from None

    def _connect(self) -> tuple[Client, Scope]:
        """What the options stand for; Failure if they make no sense."""
        if not HAS_REQUESTS:
            raise missing("requests")
        for name, least in LEAST.items():
            if self.params[name] < least:
                raise wrong(name, self.params[name], "too small", f"give a whole number from {least} on")
        credential = merge(self.params, os.environ)
        told = sorted(ENVIRONMENT[name] for name in credential if self.params[name] is None)
        self._origin = f" (from the environment: {', '.join(told)})" if told else ""
        self._hide(credential)
        try:
            form = self._form = with_key(credential)
        except Failure as exc:
            raise Failure(f"{exc}{self._origin}") from None
        self._hide(form)
        if "private_key" in form and not HAS_JWT:
            raise missing("PyJWT and cryptography")
        # Their texts, and those of the errors below, are already `option = value: why. Do: …`.
        if problems := credential_problems(form):
            raise Failure("\n".join(problems) + self._origin)
        try:
            scope = Scope.parse(self.params["scope"], self.params["api_url"])
            return client_for(form, scope, permissions=self._permissions.get(scope.kind), **self._connection()), scope
        except ValueError as exc:
            raise Failure(str(exc)) from None

    def _hide(self, credential: Mapping[str, Any]) -> None:
        """Have Ansible hide its secrets: it does so by itself only for options that are always one."""
        for name, value in credential.items():
            if value and (name in ("token", "private_key") or is_key(value)):
                self._ansible.no_log_values.add(register_secret(value))

    def _connection(self) -> dict[str, Any]:
        """How GitHub is reached, as `Client` takes it."""
        return {name: self.params[name] for name in ("ca_file", "timeout", "retries")}

    def _warn_of_the_end(self, expires_at: float | None) -> None:
        """Say so if the token ends soon."""
        if expires_at is not None and expires_at - time.time() < WARNED_AHEAD:
            self.warn(f"token = (hidden): it ends at {iso(expires_at)}. Do: make a new one and give that")


def missing(libraries: str) -> Failure:
    """The failure for Python libraries that are not there; names the Python that misses them."""
    install = libraries.replace(" and ", " ")
    remedy = f"{sys.executable} -m pip install {install}, or install your system's packages of that name"
    return Failure(f"{missing_required_lib(libraries)}. Do: {remedy}")


def result_secret(value: Secret) -> str:
    """A credential for a module's result, which Ansible hides from then on where it can (ansible-core >= 2.22)."""
    return str(register_secret(value.reveal()))


def iso(moment: float | None) -> str | None:
    """Epoch seconds as GitHub writes a time, such as ``2026-11-21T10:00:00Z``; None for none."""
    return None if moment is None else datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def result_runner(runner: Runner) -> dict[str, Any]:
    """A runner in a result; every module that returns one documents it alike. Its labels have no order at GitHub."""
    return {**asdict(runner), "labels": sorted(runner.labels), "custom_labels": sorted(runner.custom_labels)}


def described(error: GitHubError) -> dict[str, Any]:
    """An error as the key `error` of a failure; every module documents it in RETURN."""
    wait = max(error.retry_at - time.time(), 0.0) if isinstance(error, RateLimited) else error.retry_after
    return {
        "kind": type(error).__name__,
        "action": error.action,
        "url": error.url,
        "status": error.status,
        "message": error.message,
        "request_id": error.request_id,
        "documentation_url": error.documentation_url,
        "remedy": error.hint,
        "retry_after": None if wait is None else math.ceil(wait),
        "transient": error.transient,
    }
