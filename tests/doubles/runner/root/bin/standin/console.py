# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a runner program says: its terminal and its diagnostic log."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def utcnow() -> str:
    """The time as the runner prints it: ``2026-11-21 10:00:00Z``."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def is_true(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable is set to what the runner takes for yes."""
    return environ.get(name, "").lower() in ("1", "true", "$true")


class Console:
    """Terminal, ``_diag/<host>_*.log``, and the log's copy on standard output where the environment asks for it.

    Args:
        host: ``Runner`` or ``Worker``.
        root: the runner's root.
        environ: read once for ``ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT`` and ``RUNNER_PERFLOG``.
    """

    def __init__(self, host: str, root: Path, environ: Mapping[str, str]) -> None:
        self.host = host
        self.log_to_stdout = is_true(environ, "ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT")
        self._performance = Path(environ["RUNNER_PERFLOG"]) if environ.get("RUNNER_PERFLOG") else None
        started = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
        self._log = root / "_diag" / f"{host}_{started}-utc.log"
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]  # it is a TextIOWrapper

    def line(self, text: str = "") -> None:
        """Print a line, and log it."""
        print(text, flush=True)
        self.trace(f"WRITE LINE: {text}", source="Terminal")

    def error(self, text: str) -> None:
        """Print a line to standard error, and log it."""
        print(text, file=sys.stderr, flush=True)
        self.trace(f"WRITE ERROR: {text}", source="Terminal", level="ERR ")

    def success(self, text: str) -> None:
        """Print a line with a tick. The real runner does not log these."""
        print(f"√ {text}", flush=True)

    def trace(self, text: str, source: str = "", level: str = "INFO") -> None:
        """Write to the diagnostic log. A full disk is nobody's error here."""
        entry = f"{utcnow()} {level} {source or self.host}] {text}"
        if self.log_to_stdout:
            print(f"[{self.host.upper()} {entry}", flush=True)
        self._append(self._log, f"[{entry}")

    def performance(self, counter: str) -> None:
        """Note that something happened, where ``RUNNER_PERFLOG`` names a folder for it."""
        if self._performance:
            self._append(self._performance / f"{self.host}.perf", f"{counter.replace(':', '_')}:{utcnow()}")

    @staticmethod
    def _append(path: Path, text: str) -> None:
        try:
            os.makedirs(path.parent, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError:
            pass
