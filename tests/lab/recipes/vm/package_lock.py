# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold dpkg's lock, as apt itself does, until somebody waits for it, and for /etc/lab/package-lock seconds more."""

from __future__ import annotations

import fcntl
import pathlib
import time

seconds = float(pathlib.Path("/etc/lab/package-lock").read_text("utf-8"))
with open("/var/lib/dpkg/lock-frontend", "w", encoding="utf-8") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    while "-> POSIX" not in pathlib.Path("/proc/locks").read_text("utf-8"):
        time.sleep(0.1)
    time.sleep(seconds)
