# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Slots that have left the settings: their blocks go out of the Compose file once nobody is in them any more."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from pathlib import Path

from .model import World
from .provider import Provider, ProviderError
from .settings import Settings, SettingsError, load_settings

log = logging.getLogger("runnerd")


class Departures:
    """Who has left, and may still hold a job."""

    def __init__(self, provider: Provider, settings_file: Path) -> None:
        """Nobody has left yet."""
        self._provider = provider
        self._settings_file = settings_file
        self._left: set[str] = set()

    def add(self, slots: Iterable[str]) -> None:
        """These are in the settings no more."""
        self._left.update(slots)

    def release(self, world: World, settings: Settings, in_flight: Collection[str]) -> None:
        """Take those that are empty out of the Compose file. Not while Docker is silent.

        A slot that nobody knows may hold a job then, and its work folder would go, too.
        """
        views = {view.slot for view in world.slots}
        for slot in sorted(self._left):
            if slot in settings.pool_of:
                self._left.discard(slot)
            elif slot not in views and slot not in in_flight and not self._wanted_on_disk(slot):
                try:
                    self._provider.release(slot)
                    self._left.discard(slot)
                except ProviderError as exc:
                    log.warning("%s: %s", slot, exc)
        self._left |= views - settings.pool_of.keys()

    def _wanted_on_disk(self, slot: str) -> bool:
        """A playbook may have written settings that we have not been told to read yet."""
        try:
            return slot in load_settings(self._settings_file).pool_of
        except SettingsError:
            return True
