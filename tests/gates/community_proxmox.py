# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both major versions of community.proxmox that the role works with, each out of the `ansible` package that has it."""

from __future__ import annotations

from pathlib import Path

from . import wheels

#: Major version -> (the collection's version, the package that has it, SHA-256 of its wheel).
VERSIONS = {
    1: ("1.4.0", "ansible==12.3.0", "cd156f82fa87f7a899212b0efa9f7ca3a24d609212de9f78428a572eb01e5414"),
    2: ("2.0.0", "ansible==14.5.0", "245623ccc2d31d0f6f4bdb63168d550cad305fb032cc43d96e8f61ce8ab0ba84"),
}


def path(major: int) -> Path:
    """What belongs first into ANSIBLE_COLLECTIONS_PATH (and PYTHONPATH), to have this major version.

    Raises:
        wheels.MissingWheel: it cannot be fetched.
    """
    package, sha256 = VERSIONS[major][1:]
    return wheels.unpack(package, sha256, "ansible_collections/community/proxmox/")
