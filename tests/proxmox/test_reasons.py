# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reasons that only a task's log has, with the token that the role's README gives."""

from __future__ import annotations

import pytest

from .conftest import Rig


@pytest.mark.parametrize("major", [2])
def test_more_memory_than_the_node_has(rig: Rig) -> None:
    """A token without Sys.Audit is not told beforehand how much that is."""
    text = rig.run(cores=1, memory="64G", start_timeout=3).problems()
    assert "QEMU exited with code 1; kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory (what is" in text
    assert "Do: write less proxmox_runner_vm_memory, or stop another VM of that node, and run this again" in text
