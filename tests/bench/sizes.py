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
