# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A strict stand-in for the part of Proxmox VE that makes, changes and removes virtual machines. See README.md."""

from __future__ import annotations
