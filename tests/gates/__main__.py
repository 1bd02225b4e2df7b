# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m tests.gates lint|sanity|all|<gate> …`: run gates; a line each says how it went and how long it took."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from tests.gates import checks, tree

GROUPS = {"lint": [*checks.LINT], "sanity": [*checks.SANITY], "all": [*checks.LINT, *checks.SANITY]}
SINGLE = {gate.__name__: [gate] for gate in GROUPS["all"] if gate.__name__ not in GROUPS}


def passes(gate: Callable[[], None]) -> bool:
    """Run one gate and print a line: its name, its verdict, seconds, what it looks at; and its complaints."""
    begun = time.monotonic()
    complaint = ""
    try:
        gate()
    except checks.Failed as error:
        complaint = str(error)
    about = (gate.__doc__ or "").strip().removesuffix(".")
    verdict = "FAILED" if complaint else "ok"
    print(f"{gate.__name__:<10} {verdict:<6} {time.monotonic() - begun:6.1f} s  {about}", flush=True)
    if complaint:
        print("".join(f"    {line}\n" for line in complaint.splitlines()), flush=True)
    return not complaint


def main() -> int:
    """Exit code 0: all passed; 1: one did not; 2: wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gates",
        description="Run the gates.",
        epilog="tree: only write the folder in which Ansible finds the checkout, and print it.",
    )
    parser.add_argument("what", nargs="+", choices=[*GROUPS, *SINGLE, "tree"])
    what = parser.parse_args().what
    if "tree" in what:
        print(tree.ensure())
    gates = dict.fromkeys(gate for name in what if name != "tree" for gate in {**GROUPS, **SINGLE}[name])
    verdicts = {gate.__name__: passes(gate) for gate in gates}
    bad = [name for name, good in verdicts.items() if not good]
    if verdicts:
        names = f"; not: {', '.join(bad)}" if bad else ""
        print(f"{len(verdicts) - len(bad)} of {len(verdicts)} gates passed{names}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
