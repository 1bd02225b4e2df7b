# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out one action: each intention is committed before its effect, so that a crash anywhere can be mended.

Runs in worker threads; the supervisor gives each slot at most one action at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import GitHubError

from .broker import Broker, may_exist
from .clock import Clock
from .crashpoints import crashpoint
from .delivery import CredentialError, input_lines
from .gates import Gates
from .journal import Journal
from .model import FORGOTTEN_BY_GITHUB, Attempt, Clear, Ghost, MachineStatus, Outcome, Phase, Stop, Tri
from .provider import Definition, Delivery, Found, Provider, ProviderError
from .settings import Pool

log = logging.getLogger("runnerd")

#: GitHub allows 64 characters for a runner's name; ours ends in 12 of the container's id.
NAME_LENGTH = 64
#: GitHub removes ephemeral runners that are offline after a day; then a ghost is not ours to chase any more.
GHOST_HORIZON = 90_000.0
#: A lost answer to a POST is looked up twice, after 5 and 10 seconds: mostly it is there then, or never. What comes
#: later is found by the lists, which are read anyway, so that one more call is made for it only if it is there.
LOST_HORIZON = 20.0
#: After GitHub said "busy" to a deregistration (seconds).
BUSY_PAUSE = 30.0


@dataclass(frozen=True)
class Ended:
    """An attempt ended: how, and why."""

    slot: str
    outcome: Outcome
    reason: str
    online_for: float | None = None  # seconds; None: it never came online


def runner_name(prefix: str, slot: str, container_id: str) -> str:
    """The runner's name at GitHub. It tells host, slot and container without the journal's help."""
    tail = name_tail(slot, container_id)
    return prefix[: NAME_LENGTH - len(tail)] + tail


def name_tail(slot: str, container_id: str) -> str:
    """What tells a runner's name from that of any other container's, whatever the prefix was."""
    return f"-{slot}-{container_id[:12]}"


class Effects:
    """What actions do to the world."""

    def __init__(
        self,
        journal: Journal,
        provider: Provider,
        broker: Broker,
        gates: Gates,
        clock: Clock,
        look: Callable[[Iterable[str]], dict[str, Tri]],
    ) -> None:
        """`look`: `evidence.workers`, for the last look before a container is stopped."""
        self._journal = journal
        self._provider = provider
        self._broker = broker
        self._gates = gates
        self._clock = clock
        self._look = look

    # A slot's life

    def fill(self, slot: str, pool: Pool, definition: Definition) -> Ended | None:
        """Create, mint, start, deliver. None: a runner is on its way; otherwise how it failed."""
        if slot not in definition.hashes:
            why = definition.error or f"the Compose file has no service {slot}. Do: run the playbook again"
            return Ended(slot, Outcome.NOT_CREATED, why)
        attempt = self._journal.begin(slot, pool.name, pool.scope, pool.credential, definition.hashes[slot])
        crashpoint("create.before")
        try:
            container_id = self._provider.create(slot)
        except ProviderError as exc:
            return self._end(attempt, Outcome.NOT_CREATED, str(exc))
        crashpoint("create.after")
        name = runner_name(pool.name_prefix, slot, container_id)
        attempt = self._journal.advance(attempt.id, Phase.MINTING, container_id=container_id, name=name)
        crashpoint("mint.before")
        try:
            minted = self._broker.mint(pool.in_slot(slot), name)
        except GitHubError as exc:
            self._gates.refused(exc, pool.credential, pool.scope, pool.name)
            if may_exist(exc):
                self._haunt(attempt, LOST_HORIZON)
            return self._end(attempt, Outcome.NOT_REGISTERED, str(exc))
        crashpoint("mint.after")
        attempt = self._journal.advance(
            attempt.id, Phase.STARTING, runner_id=minted.runner_id, started_at=self._clock.now()
        )
        self._gates.passed(pool.credential, pool.scope, pool.name)
        crashpoint("start.before")
        try:
            delivery = self._provider.start_and_deliver(container_id, input_lines(minted.encoded))
        except (ProviderError, CredentialError) as exc:
            self._haunt(attempt, GHOST_HORIZON)
            return self._end(attempt, Outcome.NOT_CREATED, str(exc))
        crashpoint("start.after")
        self._journal.advance(attempt.id, Phase.RUNNING)
        doubt = "" if delivery is Delivery.SENT else "; whether the credential arrived is not known"
        self._tell(attempt, "started", f"container {container_id[:12]}{doubt}")
        return None

    def adopt(self, slot: str, found: Found, pool: Pool | None) -> None:
        """Write the row of a container that none explains: the journal was lost, or someone made it by hand.

        `pool`: one of its scope, or else the slot's; None: the settings have neither.
        """
        machine = found.machine
        # One that was never started holds no runner: it is cleared away as an interrupted attempt is.
        phase = Phase.CREATING if machine.status is MachineStatus.CREATED else Phase.RUNNING
        prefix = pool.name_prefix if pool else ""
        attempt = self._journal.begin(
            slot,
            found.pool,
            found.scope or (pool.scope if pool else ""),
            pool.credential if pool else "default",
            machine.spec,
            phase=phase,
            container_id=machine.id,
            name=runner_name(prefix, slot, machine.id),
            started_at=self._clock.now(),
        )
        self._tell(attempt, "adopted", f"container {machine.id[:12]}, which the journal did not know")

    def deregister(self, attempt: Attempt, why: str) -> None:
        """Ask GitHub to forget an idle runner: the gate before it is stopped."""
        assert attempt.runner_id is not None
        self._journal.advance(attempt.id, Phase.DEREGISTERING, reason=why)
        crashpoint("deregister.before")
        try:
            answer = self._broker.delete(attempt.scope, attempt.credential, attempt.runner_id)
        except GitHubError as exc:
            self._journal.advance(attempt.id, Phase.RUNNING)
            self._gates.refused(exc, attempt.credential, attempt.scope, attempt.pool)
            return
        crashpoint("deregister.after")
        if answer == "busy":
            self._journal.advance(attempt.id, Phase.RUNNING, deregister_after=self._clock.now() + BUSY_PAUSE)
            self._tell(attempt, "busy", "GitHub says that it runs a job; left alone")
            return
        self._journal.advance(attempt.id, Phase.STOPPING)
        self._tell(attempt, "deregistered", why)

    def stop(self, attempt: Attempt, action: Stop) -> None:
        """Stop the container, unless a worker appeared at the last moment."""
        container_id = attempt.container_id
        assert container_id is not None
        if action.look and self._look([container_id])[container_id] is not Tri.NO:
            return
        attempt = self._journal.advance(attempt.id, outcome=action.outcome, reason=action.reason)
        self._tell(attempt, "stopping", f"{action.outcome.value}: {action.reason}")
        crashpoint("stop.before")
        try:
            self._provider.stop(container_id)
        except ProviderError as exc:
            log.warning("%s: %s", attempt.slot, exc)
        crashpoint("stop.after")

    def clear(self, attempt: Attempt, action: Clear, online_for: float | None) -> Ended | None:
        """Record the outcome, remove the container, finish the attempt. None: it could not be removed yet."""
        minting = attempt.phase is Phase.MINTING
        if attempt.name and action.outcome not in FORGOTTEN_BY_GITHUB and (attempt.runner_id is not None or minting):
            # A row that was adopted has no id: a clone of this machine must not delete its original's runners.
            self._haunt(attempt, GHOST_HORIZON if attempt.runner_id is not None else LOST_HORIZON)
        return self._end(attempt, action.outcome, action.reason, online_for)

    def _end(self, attempt: Attempt, outcome: Outcome, reason: str, online_for: float | None = None) -> Ended | None:
        if attempt.phase is not Phase.REMOVING:
            attempt = self._journal.advance(attempt.id, Phase.REMOVING, outcome=outcome, reason=reason)
        crashpoint("remove.before")
        try:
            if attempt.container_id is not None:
                # Only one that was never handed a credential may be removed while it runs.
                self._provider.remove(attempt.container_id, force=outcome is Outcome.INTERRUPTED)
        except ProviderError as exc:
            log.warning("%s: %s", attempt.slot, exc)
            return None
        crashpoint("remove.after")
        self._journal.finish(attempt, f"{outcome.value}: {reason}")
        log.info("%s: ended: %s: %s", attempt.slot, outcome.value, reason)
        return Ended(attempt.slot, outcome, reason, online_for)

    # Registrations without a container

    def chase(self, ghost: Ghost) -> None:
        """Look a ghost up, delete it, or look again later."""
        now, answered = self._clock.now(), False
        try:
            runner_id = ghost.runner_id
            if runner_id is None:
                found = self._broker.find(ghost.scope, ghost.credential, ghost.name)
                runner_id = found.id if found else None
            if runner_id is not None and self._broker.delete(ghost.scope, ghost.credential, runner_id) == "gone":
                self._journal.lay(ghost.name)
                self._journal.event("", ghost.name, "ghost", "its registration is gone from GitHub")
                return
            answered = True
        except GitHubError as exc:
            self._gates.refused(exc, ghost.credential, ghost.scope)
        wait = min(5.0 * 4**ghost.tries, 900.0)
        if answered and now + wait > ghost.give_up_at:
            self._journal.lay(ghost.name)
            self._journal.event(
                "", ghost.name, "ghost", "looked for no longer; should a list show it offline, it is removed then"
            )
        else:
            self._journal.haunt(replace(ghost, next_check=now + wait, tries=ghost.tries + 1))

    def haunt(self, name: str, scope: str, credential: str, runner_id: int) -> None:
        """Look after a registration that a list showed and no container explains."""
        now = self._clock.now()
        self._journal.haunt(Ghost(name, scope, credential, runner_id, now, now + GHOST_HORIZON))

    def _haunt(self, attempt: Attempt, horizon: float) -> None:
        now = self._clock.now()
        self._journal.haunt(
            Ghost(attempt.name, attempt.scope, attempt.credential, attempt.runner_id, now + 5.0, now + horizon)
        )

    def _tell(self, attempt: Attempt, kind: str, detail: str) -> None:
        self._journal.event(attempt.slot, attempt.name, kind, detail)
        log.info("%s: %s: %s", attempt.slot, kind, detail)
