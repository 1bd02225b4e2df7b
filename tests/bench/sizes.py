# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much is measured: the one place with the variables of `make bench` and their defaults.

The defaults are small: they show that a benchmark works, and measure little.
"""

from __future__ import annotations

import os


def _number(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_{name}", str(default)))


def _numbers(name: str, default: str) -> tuple[int, ...]:
    return tuple(int(word) for word in os.environ.get(f"BENCH_{name}", default).split())


#: B3: numbers of hosts; deployments of blank hosts, and runs that change nothing, in each way.
HOSTS = _numbers("HOSTS", "1")
FIRST_DEPLOYS = _number("FIRST_DEPLOYS", 1)
SECOND_RUNS = _number("SECOND_RUNS", 3)
#: B4: numbers of slots, in rising order; how long (seconds) runnerd is looked at with each.
IDLE_SLOTS = _numbers("IDLE_SLOTS", "4 16")
IDLE_SECONDS = _number("IDLE_SECONDS", 60)
