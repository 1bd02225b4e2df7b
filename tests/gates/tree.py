# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checkout under the path that Ansible and Python want: `ansible_collections/ephemeral/github_runners`.

A tree of one symbolic link, so that pytest, mypy, ansible-lint, ansible-test and Molecule see the working copy itself.
Python merges it with the `ansible_collections` of site-packages, since both are namespace packages.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, NAME = "ephemeral", "github_runners"


def content(root: Path = ROOT) -> Path:
    """The collection inside the tree; what ansible-test calls the content root."""
    return root / ".cache" / "collections" / "ansible_collections" / NAMESPACE / NAME


def ensure(root: Path = ROOT) -> Path:
    """Write the tree if it is not there, and return what belongs into ANSIBLE_COLLECTIONS_PATH.

    The link is relative: a checkout may be moved. Safe when several processes do it at once.
    """
    link = content(root)
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(root, link.parent)
    if not link.is_symlink() or os.readlink(link) != target:
        fresh = link.with_name(f".{NAME}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target, target_is_directory=True)
        fresh.replace(link)
    return link.parents[2]
