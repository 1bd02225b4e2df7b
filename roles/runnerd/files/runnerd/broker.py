# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything runnerd says to GitHub."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.connect import client_for
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner, Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.versions import support

from .gates import Gates
from .model import Credential
from .settings import GitHubSettings, Pool, Settings


@dataclass(frozen=True)
class Minted:
    """A registration and the credential for it. The credential is never kept, logged or passed to the core."""

    runner_id: int
    encoded: str

    def __repr__(self) -> str:
        return f"Minted(runner_id={self.runner_id})"


class Broker(Protocol):
    """What the effects need of GitHub."""

    def mint(self, pool: Pool, name: str) -> Minted:
        """Register a runner of this name; raises GitHubError."""

    def delete(self, scope: str, credential: str, runner_id: int) -> str:
        """Forget a runner: `gone`, or `busy` when GitHub says that it runs a job."""

    def runners(self, scope: str, credential: str) -> list[Runner]:
        """All runners of the scope, complete."""

    def find(self, scope: str, credential: str, name: str) -> Runner | None:
        """The runner of exactly this name."""

    def version_end(self, scope: str, credential: str, version: str) -> float | None:
        """Until when (epoch seconds) GitHub takes runners of this version; None: no end is set, or told."""

    def credentials(self) -> tuple[Credential, ...]:
        """What is known of each credential, without asking."""


class GitHubBroker:
    """GitHub's REST API, one client for each credential and scope: an App has a token of its own for each scope."""

    def __init__(
        self,
        settings: GitHubSettings,
        credentials: Mapping[str, Mapping[str, str]],
        user_agent: str,
        gates: Gates | None = None,
        on_request: Callable[[str, str, int | None, float], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`credentials`: as `settings.load_credentials` returns them; `gates`: keep the rests that GitHub wants."""
        self._settings = settings
        self._credentials = credentials
        self._options: dict[str, Any] = {
            "timeout": settings.timeout,
            "ca_file": settings.ca_file,
            "user_agent": user_agent,
            "on_request": on_request,
            "now": now,
        }
        self._clients: dict[tuple[str, str], Client] = {}
        self._groups: dict[tuple[str, str], int] = {}
        self._gates = gates
        self._lock = threading.Lock()

    def credentials(self) -> tuple[Credential, ...]:
        """As their clients have heard from GitHub; a token's end is the same at every scope."""
        with self._lock:
            clients = dict(self._clients)
        told = []
        for name, form in self._credentials.items():
            own = [client for (credential, _scope), client in clients.items() if credential == name]
            ends = [client.token_expires_at for client in own if client.token_expires_at is not None]
            budgets = [client.rate_limit.remaining for client in own if client.rate_limit is not None]
            kind = "token" if "token" in form else "GitHub App"
            told.append(Credential(name, kind, min(ends, default=None), min(budgets, default=None)))
        return tuple(told)

    def mint(self, pool: Pool, name: str) -> Minted:
        """One POST, never repeated: if the answer is lost, a registration may exist."""
        runners = self._runners(pool.scope, pool.credential)
        group = self._group(pool, runners)
        try:
            config = runners.generate_jit_config(name, list(pool.labels), group, pool.work_folder)
        except errors.NotFound:
            # The group may have been made anew, under another id.
            with self._lock:
                self._groups.clear()
            raise
        return Minted(config.runner.id, config.encoded.reveal())

    def delete(self, scope: str, credential: str, runner_id: int) -> str:
        """204 and 404 are `gone`; 422 is `busy`."""
        return self._runners(scope, credential).delete(runner_id)

    def runners(self, scope: str, credential: str) -> list[Runner]:
        """Every page; a list cut short is an error."""
        return self._runners(scope, credential).list()

    def find(self, scope: str, credential: str, name: str) -> Runner | None:
        """By GitHub's exact `name` filter."""
        return self._runners(scope, credential).find(name)

    def version_end(self, scope: str, credential: str, version: str) -> float | None:
        """By GitHub's list of deprecations; servers of older releases have none."""
        where = self._scope(scope)
        told = support(self._client(where, credential), where, version)
        return told.ends_at if told else None

    def try_out(self, pool: Pool) -> None:
        """See that the pool's credential may do all that runnerd needs of it; raises GitHubError if not.

        GitHub has no question for the right to make runners: so a registration token is made, which nobody uses.
        """
        runners = self._runners(pool.scope, pool.credential)
        runners.probe()
        runners.group_id(pool.group)
        runners.registration_token()

    def _runners(self, scope: str, credential: str) -> Runners:
        where = self._scope(scope)
        return Runners(self._client(where, credential), where)

    def _scope(self, scope: str) -> Scope:
        return Scope.parse(scope, self._settings.api_url)

    def _client(self, scope: Scope, credential: str) -> Client:
        action = f"use the credential {credential!r} for {scope}"
        form = self._credentials.get(credential)
        if form is None:
            why = "this host's credentials file does not hold it"
            raise errors.Unauthorized(action, message=why, hint="run the playbook again")
        with self._lock:
            key = (credential, str(scope))
            if key not in self._clients:
                try:
                    self._clients[key] = client_for(form, scope, **self._options, **self._rests(credential, str(scope)))
                except (ValueError, ImportError) as exc:  # their texts end in a remedy, and show no secret
                    why, _do, remedy = str(exc).partition(". Do: ")
                    raise errors.Unauthorized(action, message=why, hint=remedy) from None
            return self._clients[key]

    def _rests(self, credential: str, scope: str) -> dict[str, Any]:
        """The client's options by which all who share a credential rest together."""
        if self._gates is None:
            return {}
        return {
            "before_request": partial(self._gates.check, credential, scope),
            "on_limit": partial(self._gates.refused, credential=credential, scope=scope),
        }

    def _group(self, pool: Pool, runners: Runners) -> int:
        key = (pool.key, pool.group)
        with self._lock:
            known = self._groups.get(key)
        if known is None:
            known = runners.group_id(pool.group)
            with self._lock:
                self._groups[key] = known
        return known


def try_credentials(settings: Settings, credentials: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Ask GitHub whether each credential may do what its pools need; a line for each that may not, or nobody knows."""
    broker = GitHubBroker(settings.github, credentials, f"ephemeral.github_runners/{settings.version} runnerd check")
    problems = []
    for pool in {(pool.key, pool.group): pool for pool in settings.pools}.values():
        try:
            broker.try_out(pool)
        except errors.GitHubError as exc:
            words = "GitHub could not be asked about" if exc.transient else "GitHub refuses"
            if isinstance(exc, errors.RateLimited):
                words = "GitHub lets us wait before it can be asked about"
            problems.append(f"credential {pool.credential} of the pool {pool.name}: {words} it. {exc}")
    return problems


def may_exist(exc: errors.GitHubError) -> bool:
    """Whether a registration may exist although minting it failed: the answer was lost, or the name is taken."""
    return exc.in_doubt or isinstance(exc, errors.Conflict)
