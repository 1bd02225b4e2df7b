# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What belongs to a runner's container: its companion, which is the Docker daemon beside it; its folder on the host.

The companion lives in the runner's network and so names the runner's container by its id: who belongs to whom is told
by Docker alone. Both are one machine: made, started and removed together.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: On a companion `docker`; on volumes with a runner image's own Node.js `externals`.
LABEL_ROLE = "ephemeral.github-runners.role"
#: On the runner's container: dind, socket or none.
LABEL_DOCKER = "ephemeral.github-runners.docker"
LABEL_WORK_FOLDER = "ephemeral.github-runners.work-folder"

#: As Docker lists a container.
Summary = Mapping[str, Any]

_WILL_DO = ("created", "running", "paused", "restarting")


def companion_service(slot: str) -> str:
    """The Compose service of the companion of a slot's runner."""
    return f"{slot}-docker"


def is_companion(summary: Summary) -> bool:
    """Whether this container is a companion, and no runner."""
    return (summary.get("Labels") or {}).get(LABEL_ROLE) == "docker"


def runner_of(companion: Summary) -> str:
    """The id of the runner's container, which may be gone."""
    mode: str = (companion.get("HostConfig") or {}).get("NetworkMode") or ""
    return mode.removeprefix("container:")


def companions_of(machine_id: str, summaries: Iterable[Summary]) -> list[Summary]:
    """The companions of a runner's container; one, or none."""
    return [one for one in summaries if is_companion(one) and runner_of(one) == machine_id]


def has_lost_docker(runner: Summary, companions: Iterable[Summary]) -> bool:
    """Whether a runner should have a companion, and it ended, or somebody removed it."""
    wants_one = (runner.get("Labels") or {}).get(LABEL_DOCKER) == "dind"
    return wants_one and not any(one["State"] in _WILL_DO for one in companions)


def spec_of(*hashes: str) -> str:
    """Compose's hashes of a machine's services, as one."""
    return "+".join(filter(None, hashes))


def specs(hashes: Mapping[str, str]) -> dict[str, str]:
    """Slot -> what tells its machine's definition from any other, from Compose's hash of each service."""
    companions = {companion_service(slot) for slot in hashes}
    return {
        slot: spec_of(hashed, hashes.get(companion_service(slot), ""))
        for slot, hashed in hashes.items()
        if slot not in companions
    }


class WorkFolders:
    """Work folders on the host, for runners that use the host's Docker: one a slot, new for each runner."""

    def __init__(self, folder: Path) -> None:
        """`folder`: that of the Compose file."""
        self._folder = folder / "work"

    def remove(self, slot: str) -> None:
        """Remove the slot's folder, if there is one; raises OSError."""
        place = self._folder / slot
        if place.is_symlink():  # by whom ever: what it leads to is none of ours
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)

    def renew(self, slot: str, wanted: str) -> None:
        """Remove the old one; make a new one if the container's label says that it is `wanted`; raises OSError."""
        self.remove(slot)
        place = self._folder / slot
        if wanted != str(place):
            return
        # Nobody on the host but root gets past the upper one; the lower one is for the image's own user, whoever it is.
        self._folder.mkdir(mode=0o700, exist_ok=True)
        place.mkdir()
        place.chmod(0o777)  # past our umask
