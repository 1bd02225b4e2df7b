# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places where a test may end the process, to see what is left behind."""

from __future__ import annotations

import os

_hits: dict[str, int] = {}


def crashpoint(name: str) -> None:
    """End the process as SIGKILL would, if `RUNNERD_CRASH_AT` is `name` or `name:k` and this is the k-th time here."""
    wanted = os.environ.get("RUNNERD_CRASH_AT")
    if not wanted:
        return
    _hits[name] = _hits.get(name, 0) + 1
    where, separator, count = wanted.rpartition(":")
    if not separator or not count.isdigit():
        where, count = wanted, "1"
    if where == name and _hits[name] == int(count):
        os._exit(137)
