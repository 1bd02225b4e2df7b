# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback plugin that loads the collection's filters in Ansible's own process; each task's has them from there.

Otherwise each task that uses one compiles all of them anew: a quarter of the CPU time of a run that changes nothing.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader

DOCUMENTATION = """
name: filters
type: aggregate
short_description: Loads the collection's filters once
description:
  - What a run does is the same with it and without it.
"""


class CallbackModule(CallbackBase):
    """Any one of them loads all."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "filters"

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Before the first task."""
        assert filter_loader.get("ephemeral.github_runners.proxmox_vm_plan")
