# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the lab shares: places, names, and how it says that something is wrong."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
#: Everything the lab keeps between runs, but for images. `make clean-cache` removes it.
CACHE = CHECKOUT / ".cache" / "lab"

#: Labels, on all that the lab makes in Docker: by them it is found again and removed.
LAB_LABEL = "ephemeral.github-runners.lab"
IMAGE_LABEL = "ephemeral.github-runners.lab-image"

#: How the lab talks while it works: one plain line at a time.
Narrate = Callable[[str], None]


class Problem(Exception):
    """One thing that is wrong, and what a person can do about it.

    Args:
        says: what is wrong, with the value that was found.
        do: what to type or to change; empty when there is nothing better than to read `says`.
    """

    def __init__(self, says: str, do: str = "") -> None:
        super().__init__(f"{says} Do: {do}" if do else says)
        self.says = says
        self.do = do


def prefix(purpose: str, checkout: Path = CHECKOUT) -> str:
    """The name that everything of one lab begins with: one per checkout and purpose, so that two never collide."""
    return f"ghr-{hashlib.sha256(str(checkout).encode()).hexdigest()[:6]}-{purpose}"


def eventually(true: Callable[[], bool], seconds: float, failing: Callable[[], str], pause: float = 0.1) -> None:
    """Wait for something that sends no event.

    Args:
        true: asked again and again.
        seconds: how long to go on.
        failing: says what was waited for; its text becomes the error.
        pause: seconds between two questions.

    Raises:
        Problem: it did not come true in time.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise Problem(f"After {seconds:g} s: {failing()}")
        time.sleep(pause)


def run(*command: str) -> str:
    """Run a program and return what it said on both channels.

    Raises:
        Problem: it did not end with 0; with its last words.
    """
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise Problem(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout.strip()[-3000:]}")
    return done.stdout


def apt_get(*words: str) -> None:
    """Run apt-get; another apt that is at work is waited for, for up to five minutes."""
    run("apt-get", "-o", "DPkg::Lock::Timeout=300", *words)
