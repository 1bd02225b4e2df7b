# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a daily chore is due: once a day at the machine's own time of day, sooner after a failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runnerd.chores import DAY, FIRST_RETRY, LONGEST_RETRY, NEVER, Done, due_at, phase_of

MIDNIGHT = 20_000 * DAY
TIMES = st.floats(0, 4e9, allow_nan=False)


def test_what_was_never_done_is_due_now() -> None:
    assert due_at(NEVER, 3600, MIDNIGHT) == MIDNIGHT


def test_it_is_due_at_its_time_of_day() -> None:
    assert due_at(NEVER.success(MIDNIGHT + 10), 3600, MIDNIGHT + 20) == MIDNIGHT + 3600
    assert due_at(NEVER.success(MIDNIGHT + 3600), 3600, MIDNIGHT + 3601) == MIDNIGHT + DAY + 3600


@given(TIMES, TIMES, st.floats(0, DAY, exclude_max=True), st.integers(0, 30))
def test_it_is_due_within_a_day_whatever_the_clock_did(done: float, now: float, phase: float, failures: int) -> None:
    due = due_at(Done(done, done, failures), phase, now)
    assert due <= now + DAY
    if done <= now:
        assert due > done
    if failures:
        assert due <= now + LONGEST_RETRY


def test_failures_are_tried_again_sooner_and_less_and_less_soon() -> None:
    done, waits = NEVER.success(MIDNIGHT), []
    for _dummy in range(8):
        done = done.failure(MIDNIGHT, "no")
        waits.append(due_at(done, 3600, MIDNIGHT) - MIDNIGHT)
    assert waits[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_RETRY
    assert done.success(MIDNIGHT + 5) == Done(MIDNIGHT + 5)


def test_machines_spread_over_the_day() -> None:
    hours = {int(phase_of(f"machine-{number}", "image") // 3600) for number in range(400)}
    assert hours == set(range(24))
    assert phase_of("a", "bc") == phase_of("a", "bc") != phase_of("ab", "c")
