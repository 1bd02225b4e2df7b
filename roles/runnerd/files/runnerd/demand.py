# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many runners a pool should have now.

A constant today. Webhooks, scale sets and polling are later kinds; they change only what `desired` returns, and wake
the supervisor when it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .settings import Settings


class Demand(Protocol):
    """What the supervisor needs to know."""

    def desired(self) -> Mapping[str, int]:
        """Pool -> number of runners, at most the pool's slots."""


class FixedDemand:
    """As many as the pool has slots, always."""

    def __init__(self, settings: Settings) -> None:
        """Read the counts once; a reload makes another."""
        self._desired = {pool.name: len(pool.slots) for pool in settings.pools}

    def desired(self) -> Mapping[str, int]:
        """The settings' own counts."""
        return self._desired
