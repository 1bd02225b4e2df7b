# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine that something was measured on, and what was measured."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab.common import CHECKOUT

#: Above this share of the processors' time, used by others, numbers tell of the others.
QUIET = 0.1
#: How often the machine is looked at, three seconds each, until what we did ourselves is over.
LOOKS = 30
#: What a change can make faster or slower. What a benchmark itself is, the page tells.
DEPLOYED = ("galaxy.yml", "playbooks", "plugins", "roles")


@dataclass(frozen=True)
class Machine:
    """Where numbers come from.

    Attributes:
        cores: processors.
        processor: their name.
        memory: GiB.
        kernel: its release.
        engine: the version of the Docker Engine.
        used: the share of the processors' time that was used before the benchmark or after it, by others.
    """

    cores: int
    processor: str
    memory: float
    kernel: str
    engine: str
    used: float

    @property
    def busy(self) -> bool:
        """Whether others worked on it: such numbers count for nothing."""
        return self.used > QUIET

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.processor}), {self.memory:.0f} GiB, Linux {self.kernel}, "
            f"Docker Engine {self.engine}"
        )


def look(engine: str, used: float) -> Machine:
    """This machine; what cannot be read from it now is given."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=_processor(),
        memory=round(pages / 2**30, 1),
        kernel=platform.release(),
        engine=engine,
        used=round(used, 3),
    )


def used(seconds: float = 3.0) -> float:
    """The share of the processors' time that is used now; who asks must do nothing meanwhile."""

    def spent() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as lines:
            times = [int(word) for word in next(lines).split()[1:9]]
        return sum(times), times[3] + times[4]  # idle, and idle while something is read from a disk

    before = spent()
    time.sleep(seconds)
    total, idle = (after - was for after, was in zip(spent(), before, strict=True))
    return 1 - idle / total


def others() -> float:
    """The share that others use, once what we did ourselves has come to its end."""
    share = used()
    for _look in range(LOOKS - 1):
        if share <= QUIET:
            break
        share = used()
    return share


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.machine())


def commit() -> str:
    """The last commit that changed what is deployed, with a `+` if files differ from it; nothing without Git."""
    changed = _git("status", "--porcelain", "--", *DEPLOYED)
    return _git("log", "-1", "--abbrev=10", "--format=%h", "--", *DEPLOYED) + ("+" if changed else "")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip()


def tidy() -> None:
    """Free what the kernel keeps of containers that are gone, if this user may.

    Their names and pages of files keep their control groups alive, by the thousands after as many jobs, and each
    slows whatever starts: 50 runners took 27 s with 3,300 of these, and 21 s without (measured).
    """
    os.sync()
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
