# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of the jobs of a benchmark."""

from __future__ import annotations

from collections.abc import Iterable

from tests.lab.github import GitHub


def lost(github: GitHub, numbers: Iterable[int], seconds: float = 600) -> int:
    """How many of these jobs did not run to a good end, on one runner; waits until all have come to one.

    Raises:
        TimeoutError: they have not, in time.
    """
    wanted = set(numbers)

    def over(state: dict[str, list[dict[str, object]]]) -> bool:
        return all(job["status"] == "completed" for job in state["jobs"] if job["id"] in wanted)

    github.wait(over, seconds)
    mine = [job for job in github.jobs() if job["id"] in wanted]
    return sum(job["result"] != "Succeeded" or len(job["assignments"]) != 1 for job in mine)
