# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much is tried, and where the results go: the one place with the variables of `make chaos` and their defaults.

The defaults are the short form, a part of `make test`.
"""

from __future__ import annotations

import os
from pathlib import Path

SEED = int(os.environ.get("CHAOS_SEED", "1"))  # the gate's is always the same; `make chaos` takes a fresh one
EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "15"))  # of random combinations
STEPS = int(os.environ.get("CHAOS_STEPS", "25"))  # in each
SHRINK = "CHAOS_SHRINK" in os.environ  # a combination that failed is made small, which takes long
TIMES = int(os.environ.get("CHAOS_TIMES", "1"))  # each fault class, at another moment
EVERY = int(os.environ.get("CHAOS_EVERY", "24"))  # runnerd is killed at each so many-th side effect
DAYS = float(os.environ.get("CHAOS_DAYS", "0.5"))
JOBS = int(os.environ.get("CHAOS_JOBS", "200"))  # in these days
RESULTS = Path(os.environ["CHAOS_RESULTS"]) if "CHAOS_RESULTS" in os.environ else None  # a file of JSON lines
