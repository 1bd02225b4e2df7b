# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python3 tally.py LOG EXIT_CODE SECONDS`: one closing line over all runs of pytest whose output is in LOG.

Uses the standard library only, and is run as a file: it has to work where nothing is installed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

#: pytest's last line, with or without the rulers: `=== 1 failed, 2 passed, 1 warning in 0.12s (0:00:01) ===`.
_SUMMARY = re.compile(r"^=* ?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s(?: \([\d:]+\))?(?: =*)?$")


def tally(log: str, code: int, seconds: int) -> str:
    """The closing line.

    Args:
        log: the output of all runs.
        code: exit code of what ran them; if it is not 0 though no test failed, that counts as an error.
        seconds: how long it took.
    """
    counts: Counter[str] = Counter()
    for line in log.splitlines():
        match = _SUMMARY.match(line.strip())
        if match:
            for part in match.group(1).split(", "):
                number, what = part.split(" ")
                counts[what.rstrip("s") if what in ("errors", "warnings") else what] += int(number)
    if code and not counts["failed"] + counts["error"]:
        counts["error"] += 1
    words = [f"{counts['passed']} passed", f"{counts['failed']} failed"]
    words += [f"{counts[what]} {what}" for what in ("error", "skipped", "xfailed") if counts[what]]
    return f"{', '.join(words)} in {seconds}s"


if __name__ == "__main__":
    print(tally(Path(sys.argv[1]).read_text("utf-8", errors="replace"), int(sys.argv[2]), int(sys.argv[3])))
