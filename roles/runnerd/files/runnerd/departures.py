# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Slots that have left the settings: their blocks go out of the Compose file once nobody is in them any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from .chores import Chore
from .clock import Clock
from .model import World
from .provider import Provider, ProviderError
from .settings import Settings, SettingsError, load_settings

log = logging.getLogger("runnerd")

#: Seconds until a block is tried again that could not be taken out, or may be wanted.
RETRY = 15.0


class Departures:
    """Who has left, and may still hold a job. Chores are done in threads."""

    def __init__(self, provider: Provider, settings_file: Path, clock: Clock) -> None:
        """Nobody has left yet."""
        self._provider = provider
        self._settings_file = settings_file
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, float] = {}  # slot -> when its block may be taken out at the earliest

    def add(self, slots: Iterable[str]) -> None:
        """These are in the settings no more."""
        with self._lock:
            for slot in slots:
                self._left.setdefault(slot, self._clock.now())

    def chores(self, world: World, settings: Settings, in_flight: Collection[str]) -> Iterator[Chore]:
        """The blocks of those that are empty. Not for while Docker is silent.

        A slot that nobody knows may hold a job then, and its work folder would go, too.
        """
        views = {view.slot for view in world.slots}
        with self._lock:
            self._left = {slot: at for slot, at in self._left.items() if slot not in settings.pool_of}
            due = [slot for slot, at in sorted(self._left.items()) if at <= world.now]
        for slot in due:
            if slot not in views and slot not in in_flight:
                yield Chore(slot, partial(self._release, slot))
        self.add(views - settings.pool_of.keys())

    def _release(self, slot: str) -> None:
        released = False
        try:
            released = self._provider.release(slot, partial(self._wanted_on_disk, slot))
        except ProviderError as exc:
            log.warning("%s: %s", slot, exc)
        with self._lock:
            if released:
                self._left.pop(slot, None)
            else:
                self._left[slot] = self._clock.now() + RETRY

    def _wanted_on_disk(self, slot: str) -> bool:
        """A playbook may have written settings since, and a new block, and not told us yet to read them."""
        try:
            return slot in load_settings(self._settings_file).pool_of
        except SettingsError:
            return True
