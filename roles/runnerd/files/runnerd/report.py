# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting together what is told after a round: the `Status`, and in time what a person must do."""

from __future__ import annotations

from collections.abc import Iterable

from .broker import Broker
from .clock import Clock
from .core import is_busy
from .journal import Journal
from .model import Explained, SlotView, World
from .notices import Reminder, notices
from .provider import Provider
from .status import SlotStatus, Status
from .updates import Updates
from .versions import Versions


class Reporter:
    """Tells once a round."""

    def __init__(
        self,
        journal: Journal,
        provider: Provider,
        broker: Broker,
        versions: Versions,
        updates: Updates,
        clock: Clock,
    ) -> None:
        """Nothing was told yet."""
        self._journal = journal
        self._provider = provider
        self._broker = broker
        self._versions = versions
        self._updates = updates
        self._clock = clock
        self._states = _States()
        self._reminder = Reminder()

    def report(self, world: World, explained: Iterable[Explained], docker_error: str, version: str) -> Status:
        """The snapshot of this round; `docker_error`: why Docker does not answer; `version`: runnerd's own."""
        views = {view.slot: view for view in world.slots}
        wall = self._clock.wall()
        slots = []
        for told in explained:
            view = views[told.slot]
            since = self._states.since(view, told.state, world.now)
            slots.append(SlotStatus.of(view, told, since, world, wall))
        credentials, versions = self._broker.credentials(), self._versions.status(world)
        definition = self._provider.definition()
        images = self._updates.status(definition)
        warnings = notices(wall, credentials, versions, images)
        self._reminder.remind(warnings, world.now)
        return Status(
            daemon=True,
            version=version,
            paused=self._journal.paused(),
            drains=tuple(sorted(self._journal.drains())),
            docker=docker_error,
            definition=definition.error,
            gates=tuple(gate for gate in world.gates.values() if gate.until > world.now),
            slots=tuple(slots),
            ghosts=len(world.ghosts),
            credentials=credentials,
            versions=versions,
            images=images,
            warnings=warnings,
            now=world.now,
            wall=wall,
        )


class _States:
    """Since when each slot is in the state that is shown."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self._shown: dict[str, tuple[str, float]] = {}

    def since(self, view: SlotView, state: str, now: float) -> float:
        """When the slot came into `state` (steady seconds)."""
        before, since = self._shown.get(view.slot, ("", now))
        if before != state:
            since = self._began(view, state, now)
            self._shown[view.slot] = (state, since)
        return since

    @staticmethod
    def _began(view: SlotView, state: str, now: float) -> float:
        """When this state began: better known from the runner's own words, also after a restart of ours."""
        if state == "busy" and is_busy(view) and view.output.job_at is not None:
            return view.output.job_at
        if state == "idle" and view.output.listening_at is not None:
            return view.output.listening_at
        return now
