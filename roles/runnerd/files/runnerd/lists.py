# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub's lists of runners, one a scope and credential, and what only several in a row can tell.

A list can be cut short, and lags: one alone never says that a runner is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import GitHubError
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner

from .broker import Broker
from .clock import Clock
from .effects import Effects, name_tail
from .gates import Gates
from .journal import Journal
from .model import Attempt, Phase, Registration, Tri
from .settings import Settings
from .ways import scope_key

#: Complete lists in a row without a runner until it counts as gone.
GONE = 2


@dataclass(frozen=True)
class _Listing:
    """The last list of one scope, and what the lists before it add to it."""

    at: float = float("-inf")
    runners: dict[str, Runner] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)  # attempt -> complete lists in a row without its runner
    suspects: set[str] = field(default_factory=set)  # offline runners of ours without a container, as of this list
    offline: dict[str, float] = field(default_factory=dict)  # runner -> since when each list shows it offline and idle


class Lists:
    """The last list of each scope."""

    def __init__(self, journal: Journal, broker: Broker, gates: Gates, effects: Effects, clock: Clock) -> None:
        """Nothing is known until `refresh`."""
        self._journal = journal
        self._broker = broker
        self._gates = gates
        self._effects = effects
        self._clock = clock
        self._listings: dict[str, _Listing] = {}

    def read_at(self) -> dict[str, float]:
        """Key of the scope -> when its list was last asked for with success."""
        return {key: listing.at for key, listing in self._listings.items()}

    def refresh(self, key: str, settings: Settings) -> None:
        """Read the list of one scope, and look for registrations that nothing explains. Runs in a worker thread."""
        attempts = {a.name: a for a in self._journal.live() if _key(a) == key}
        pool = next((p for p in settings.pools if p.key == key), None)
        if pool is None and not attempts:
            return  # the last one of a scope that has left ended before there was a thread for this
        scope, credential = (pool.scope, pool.credential) if pool else _scope_of(attempts)
        asked_at = self._clock.now()
        try:
            runners = {r.name: r for r in self._broker.runners(scope, credential)}
        except GitHubError as exc:
            self._gates.refused(exc, credential, scope, pool.name if pool else "")
            return
        before = self._listings.get(key, _Listing())
        missing = {
            a.id: before.missing.get(a.id, 0) + 1
            for name, a in attempts.items()
            if name not in runners and a.runner_id is not None and (a.started_at or asked_at) < asked_at
        }
        offline = {
            name: before.offline.get(name, asked_at)
            for name in attempts
            if name in runners and runners[name].status == "offline" and not runners[name].busy
        }
        live = {a.name for a in self._journal.live()}
        suspects = {
            r.name
            for r in runners.values()
            if r.status == "offline" and not r.busy and r.name not in live and self._journal.owns(r.name)
        }
        for name in suspects & before.suspects:
            self._effects.haunt(name, scope, credential, runners[name].id)
        self._listings[key] = _Listing(asked_at, runners, missing, suspects, offline)

    def registration(self, attempt: Attempt | None) -> Registration:
        """What the last list said of an attempt's runner; one that was read before it was registered says nothing."""
        listing = self._listings.get(_key(attempt)) if attempt else None
        if attempt is None or listing is None or attempt.started_at is None or listing.at < attempt.started_at:
            return Registration()
        runner = listing.runners.get(attempt.name)
        if runner is None:
            gone = listing.missing.get(attempt.id, 0) >= GONE
            return Registration(exists=Tri.NO if gone else Tri.UNKNOWN, seen_at=listing.at)
        return Registration(
            exists=Tri.YES,
            online=runner.status == "online",
            busy=Tri.YES if runner.busy else Tri.NO,
            seen_at=listing.at,
            offline_since=listing.offline.get(attempt.name),
            version=runner.version or "",
        )

    def known_by_name(self, attempt: Attempt) -> Attempt:
        """An adopted container's runner has an id at GitHub: the list tells it by the end of its name.

        By no more, since the prefix may have been another one when it was registered.

        Ask only for one that runs here: a dead one may be a clone's copy, whose original runs under the same name.
        """
        if attempt.runner_id is None and attempt.container_id and attempt.phase is Phase.RUNNING:
            tail = name_tail(attempt.slot, attempt.container_id)
            listing = self._listings.get(_key(attempt), _Listing())
            for name, runner in listing.runners.items():
                if name.endswith(tail):
                    return self._journal.advance(attempt.id, name=name, runner_id=runner.id)
        return attempt


def _key(attempt: Attempt) -> str:
    return scope_key(attempt.credential, attempt.scope)


def _scope_of(attempts: dict[str, Attempt]) -> tuple[str, str]:
    first = next(iter(attempts.values()))
    return first.scope, first.credential
