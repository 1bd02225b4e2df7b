# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that bring hosts of their own: nothing of one finds what another one left."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def purpose() -> str:
    """The name of this folder's lab."""
    return "own"
