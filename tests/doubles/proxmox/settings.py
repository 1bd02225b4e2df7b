# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything about time, version and policy that a test may set."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass
class Settings:
    """What can be set on the double. Numbers are seconds; the defaults suit tests, the comments name real values."""

    version: str = "9.2.2"  # of Proxmox VE; 8.x has other privileges
    quorate: bool = True  # False: the cluster's file system is read-only
    task_seconds: float = 0.2  # a task takes at least this long
    clone_seconds: float = 0.5  # real: milliseconds (linked, thin) to many minutes (full)
    shutdown_seconds: float = 0.3  # until a guest is down that was asked to
    unauthorized_seconds: float = 0.1  # real: 3; a wrong token is answered late
    ha_seconds: float = 0.5  # real: about 10; from "Requesting HA start" to the start itself
    stats_seconds: float = 0  # real: 10; how old name, status, size in GET /cluster/resources may be
    next_id: int = 100  # where the search for a free VMID begins
    # The datacenter's tag policy: free, existing, list, none; and tags that only administrators may set.
    user_allow: str = "free"
    user_allow_list: list[str] = dataclasses.field(default_factory=list)
    registered_tags: list[str] = dataclasses.field(default_factory=list)

    @property
    def major(self) -> int:
        """8 or 9."""
        return int(self.version.partition(".")[0])

    def update(self, changes: dict[str, Any]) -> None:
        """Take over some values.

        Raises ValueError, and changes nothing, on an unknown name or a value of the wrong kind.
        """
        for name, value in changes.items():
            if name not in {field.name for field in dataclasses.fields(self)}:
                known = ", ".join(field.name for field in dataclasses.fields(self))
                raise ValueError(f"{name} = {value!r}: no such setting. Use one of: {known}.")
            wanted = type(getattr(self, name))
            number = wanted in (int, float)
            kinds = (int, float) if number else wanted
            # A bool is an int to Python, and to nobody else.
            if not isinstance(value, kinds) or (number and isinstance(value, bool)):
                raise ValueError(f"{name} = {value!r}: wrong kind of value. Give a {wanted.__name__}.")
            if number and value < 0:
                raise ValueError(f"{name} = {value!r}: must not be negative. Give 0 or more.")
        if str(changes.get("version", self.version)).partition(".")[0] not in ("8", "9"):
            raise ValueError(f"version = {changes['version']!r}: only 8 and 9 are known.")
        for name, value in changes.items():
            setattr(self, name, value)
