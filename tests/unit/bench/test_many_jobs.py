# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Docker's events tell of many jobs."""

from __future__ import annotations

from tests.bench.many_jobs import FIRST, LAST, MIDDLE, tenth, turnarounds


def test_a_turnaround_is_from_one_slots_end_to_its_next_start() -> None:
    """Slots are told apart; a start without an end before it, and an end without a start after it, are none."""
    events = [
        "1000000000 start github-runner-1",
        "1000000000 start github-runner-2",
        "2000000000 die github-runner-1",
        "2100000000 die github-runner-2",
        "2500000000 start github-runner-1",
        "3100000000 start github-runner-2",
        "4000000000 die github-runner-2",
    ]
    assert turnarounds(events) == [(0, "github-runner-1", 0.5), (1, "github-runner-2", 1.0)]


def test_only_some_tenths_are_compared() -> None:
    """The first or the sixth one beside the last; what lies between belongs to none."""
    assert [tenth(at, 100) for at in (0, 10, 11, 89, 90, 100)] == [FIRST, FIRST, "", "", LAST, LAST]
    assert [tenth(at, 100) for at in (49, 50, 60, 61)] == ["", MIDDLE, MIDDLE, ""]
