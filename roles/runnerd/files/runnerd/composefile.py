# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Compose file as text: taking out the block of a slot that has left.

The playbook writes each service between two marker comments. Cutting the block out leaves the very text that the
playbook would write without that slot, so its next run finds nothing to change.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path


def without_slot(text: str, slot: str) -> str:
    """The Compose file's text without the block of `slot`; unchanged if there is none, or its end is missing."""
    lines = text.splitlines(keepends=True)
    begin, end = f"# slot {slot} begin", f"# slot {slot} end"
    stripped = [line.strip() for line in lines]
    if begin not in stripped or end not in stripped[stripped.index(begin) :]:
        return text
    first = stripped.index(begin)
    last = stripped.index(end, first)
    return _without_unused_volumes("".join(lines[:first] + lines[last + 1 :]))


#: A volume that the runners of one image share, see the playbook's filter runner_externals.
_VOLUME = re.compile(r"^  (externals-[0-9a-f]{12}): .*\n", re.MULTILINE)


def _without_unused_volumes(text: str) -> str:
    """Without the volumes that no service names, and without their heading if none is left."""
    text = _VOLUME.sub(lambda match: match[0] if f"source: {match[1]}\n" in text else "", text)
    return text.removesuffix("volumes:\n")


def replace_text(path: Path, text: str) -> None:
    """Write `text` in one step, keeping owner and mode: a reader sees the old file or the new one."""
    status = path.stat()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, status.st_mode & 0o7777)
        os.chown(name, status.st_uid, status.st_gid)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
