# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much is measured: the one place with the variables of `make bench` and their defaults.

The defaults are small: they show that a benchmark works, and measure little.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

#: What was asked for, by name.
_chosen: dict[str, str] = {}


def _number(name: str, default: int) -> int:
    return _numbers(name, str(default))[0]


def _numbers(name: str, default: str) -> tuple[int, ...]:
    _chosen[name] = os.environ.get(f"BENCH_{name}", default)
    return tuple(int(word) for word in _chosen[name].split())


def chosen(beginnings: Sequence[str]) -> dict[str, str]:
    """The variables of `make bench` whose names begin so (after `BENCH_`), and what they were."""
    return {name: value for name, value in _chosen.items() if name.startswith(tuple(beginnings))}


# B1: how long jobs are, how many turnarounds of each way, and how many of those that Docker restarts ever later.
TURNAROUND_LENGTHS = _numbers("TURNAROUND_LENGTHS", "1")
TURNAROUND_TURNS = _number("TURNAROUND_TURNS", 4)
TURNAROUND_RESTARTS = _number("TURNAROUND_RESTARTS", 4)

# B2: how many runners, how many `docker run` at once, how often each.
BURST_COUNTS = _numbers("BURST_COUNTS", "4")
BURST_CONCURRENCY = _numbers("BURST_CONCURRENCY", "4")
BURST_TIMES = _number("BURST_TIMES", 1)

# B3: numbers of hosts; deployments of blank hosts, and runs that change nothing, in each way.
HOSTS = _numbers("HOSTS", "1")
FIRST_DEPLOYS = _number("FIRST_DEPLOYS", 1)
SECOND_RUNS = _number("SECOND_RUNS", 3)

# B4: numbers of slots, in rising order; how long (seconds) runnerd is looked at with each.
IDLE_SLOTS = _numbers("IDLE_SLOTS", "4 16")
IDLE_SECONDS = _number("IDLE_SECONDS", 60)

# B5: how many batches, and the jobs of each.
CALLS_BATCHES = _number("CALLS_BATCHES", 1)
CALLS_JOBS = _number("CALLS_JOBS", 6)

# B6: how many busy slots, how long their jobs are (seconds), how often runnerd is killed.
KILLED_SLOTS = _number("KILLED_SLOTS", 4)
KILLED_JOB = _number("KILLED_JOB", 20)
KILLED_TIMES = _number("KILLED_TIMES", 1)

# B7: how many jobs, through how many slots.
JOBS = _number("JOBS", 40)
JOBS_SLOTS = _number("JOBS_SLOTS", 4)
