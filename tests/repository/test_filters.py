# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible loads all filters of the collection in the process of each task that uses one: so they load nothing slow."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.gates import tree

#: A fifth of a second and an eighth, for each task; only who talks to GitHub needs them.
SLOW = {"requests", "urllib3", "jwt", "docker"}

LOAD = """
import importlib, pkgutil, sys
from ansible_collections.ephemeral.github_runners.plugins import filter
found = [each.name for each in pkgutil.iter_modules(filter.__path__, filter.__name__ + ".")]
for name in found:
    importlib.import_module(name)
print(len(found), *sorted(each for each in sys.modules if "." not in each))
"""


def test_filters_load_nothing_slow() -> None:
    environ = {**os.environ, "PYTHONPATH": str(tree.ensure())}
    said = subprocess.run([sys.executable, "-c", LOAD], env=environ, capture_output=True, text=True, check=True).stdout
    number, *loaded = said.split()
    assert int(number) > 0
    assert SLOW.isdisjoint(loaded)
