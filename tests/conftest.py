# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every test has: the collection under its own import path, the daemon, and a run in which no skip goes unseen."""

from __future__ import annotations

import signal
import sys

import hypothesis

from tests.gates import tree

pytest_plugins = ["tests.gates.skips"]

# First, so that an installed copy of the collection never stands in for the working one.
sys.path.insert(0, str(tree.ensure()))

# A shell ignores Ctrl-C for what it runs in the background, as `make test` does, and so would all that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Timings never decide a test: a busy machine is no failure.
hypothesis.settings.register_profile(
    "project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("project")
