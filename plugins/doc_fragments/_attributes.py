# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules can do, in Ansible's own words. Private to the collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and says what it would change, without changing anything.
  diff_mode:
    description: Returns what changed, or would change in check mode, when in diff mode.
  idempotent:
    description: A second run with the same options changes nothing.
  platform:
    description: Systems on which the module can run.
    support: full
    platforms: posix
"""

    # Beside the one above, for modules that only look.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: It changes nothing in any mode.
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
    details: It changes nothing.
"""
