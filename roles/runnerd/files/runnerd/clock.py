# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two clocks: one for limits, that never jumps; one for people."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path


class Clock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds since boot, also through suspend; comparable between processes of one boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since the epoch; for display, and for times that GitHub gives."""
        return time.time()

    @cached_property
    def boot_id(self) -> str:
        """Changes with every boot of the host; a `now()` of another boot means nothing."""
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # A container that runs systemd shares the kernel's boot id; its own boot is the start of its first process.
        fields = Path("/proc/1/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
        return f"{kernel}/{fields[19]}"


def iso(wall: float, timespec: str = "seconds") -> str:
    """Epoch seconds as people and `status --json` write them: `2026-11-21T10:00:00Z`, or with `milliseconds`."""
    return datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec=timespec).replace("+00:00", "Z")
