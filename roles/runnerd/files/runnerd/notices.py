# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person must do in time, so that the pool goes on: told two weeks ahead. Pure, but for the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from .chores import DAY
from .clock import iso
from .model import Credential
from .updates import ImageStatus
from .versions import VersionStatus

log = logging.getLogger("runnerd")

#: Seconds before an end at which it is told.
AHEAD = 14 * DAY


@dataclass(frozen=True)
class Notice:
    """One matter: what it is about, what is the case, and what to do."""

    what: str
    reason: str
    remedy: str


def notices(
    wall: float, credentials: Iterable[Credential], versions: Iterable[VersionStatus], images: Iterable[ImageStatus]
) -> tuple[Notice, ...]:
    """All that must be told at this time (epoch seconds)."""
    found = []
    for credential in credentials:
        if credential.expires_at is not None and credential.expires_at - wall <= AHEAD:
            found.append(
                Notice(
                    f"credential {credential.name}",
                    _ends("the token", credential.expires_at, wall),
                    "make a new one at GitHub, and run the playbook with it",
                )
            )
    for version in versions:
        if version.accepted_until is not None and version.accepted_until - wall <= AHEAD:
            found.append(
                Notice(
                    f"runner version {version.version}",
                    _ends(f"GitHub's support for it ({', '.join(version.slots)})", version.accepted_until, wall),
                    "give the pool an image with a newer one (README, image updates)",
                )
            )
    for image in images:
        if image.failures:
            since = f"since {iso(image.checked_at)}" if image.checked_at is not None else "yet"
            found.append(
                Notice(
                    f"image {image.image}",
                    f"not updated {since}, and what is here goes on: {image.error}",
                    "see whether this host reaches the registry, and has room for images; then: runnerd update",
                )
            )
    return tuple(found)


def _ends(what: str, end: float, wall: float) -> str:
    if end <= wall:
        return f"{what} ended on {iso(end)}"
    days = int((end - wall) / DAY)
    return f"{what} ends in {days} day{'' if days == 1 else 's'}, on {iso(end)}"


class Reminder:
    """Writes each notice to the log once a day, not each round."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: dict[str, float] = {}

    def remind(self, all_notices: Iterable[Notice], now: float) -> None:
        """`now`: steady seconds."""
        current = {notice.what: notice for notice in all_notices}
        self._told = {what: at for what, at in self._told.items() if what in current}
        for what, notice in current.items():
            if now - self._told.get(what, float("-inf")) >= DAY:
                self._told[what] = now
                log.warning("%s: %s. Do: %s", what, notice.reason, notice.remedy)
