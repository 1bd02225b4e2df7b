# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the entry point `template` of the role proxmox_runner_vm is to ask, to do and to say.

Pure: variables and answers in, a plan and lines for a person out. No line or plan shows the token's secret.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_template


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {
            "proxmox_template_wanted": vm_template.wanted,
            "proxmox_template_questions": vm_template.questions,
            "proxmox_template_plan": vm_template.plan,
        }
