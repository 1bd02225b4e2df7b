# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time that passes only when it is told to, and who lives by it: the host, GitHub."""

from __future__ import annotations

from tests.doubles.github.settings import Clock as GitHubsClock

EPOCH = 1_790_000_000.0


class Time:
    """The one time of a simulation, in seconds."""

    def __init__(self) -> None:
        self.at = 0.0

    def passes(self, seconds: float) -> None:
        """Somebody waits: for Docker, for GitHub, for the next thing to happen."""
        self.at += seconds


class HostClock:
    """Both clocks of a host, as `runnerd.clock.Clock`: one counts from its boot, the other can be set wrong."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._booted = time.at - 1000.0
        self._boots = 1
        self.wrong_by = 0.0

    def now(self) -> float:
        return self._time.at - self._booted

    def wall(self) -> float:
        return EPOCH + self._time.at + self.wrong_by

    @property
    def boot_id(self) -> str:
        return f"boot-{self._boots}"

    def reboot(self) -> None:
        self._boots += 1
        self._booted = self._time.at


class GitHubClock(GitHubsClock):
    """GitHub's clock; it is always right."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def now(self) -> float:
        return EPOCH + self._time.at

    real = now

    def monotonic(self) -> float:
        return self._time.at
