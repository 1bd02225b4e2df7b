# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Started as `python3 -I <version folder>/runnerd/__main__.py`: finds its own packages beside it, no others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The folder behind the link `current`: a process keeps the version it was started with.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runnerd.cli import main

if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # A daemon that fails is not to wait for its threads: stopping a container may take minutes.
    os._exit(code)
