# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Compose file as text: taking out the block of a slot that has left, moving an image to what its tag means now.

The playbook writes each service between two marker comments, and a tag that is to be followed behind the image that it
means. What is left or put in here is the very text that the playbook would write, so its next run finds nothing to
change.
"""

from __future__ import annotations

import hashlib
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


_IMAGE = re.compile(r"^([ \t]*image:[ \t]+)(\S+)(?:([ \t]+# follows )(\S+))?[ \t]*$", re.MULTILINE)


def images(text: str) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """All images that the file names; and each tag that is followed, with what the file has for it."""
    named: set[str] = set()
    follows: dict[str, set[str]] = {}
    for _head, reference, _word, tag in _IMAGE.findall(text):
        named.add(reference)
        if tag:
            follows.setdefault(tag, set()).add(reference)
    return frozenset(named), {tag: frozenset(references) for tag, references in follows.items()}


def with_image(text: str, tag: str, reference: str) -> str:
    """The file's text with `reference` wherever `tag` is followed, and with a volume of its own for its `externals`."""
    text = _IMAGE.sub(lambda m: f"{m[1]}{reference}{m[3]}{m[4]}" if m[4] == tag else m[0], text)
    key, version = (hashlib.sha256(name.encode()).hexdigest()[:12] for name in (tag, reference))
    name = f"  externals-{key}: {{name: github-runners-externals-{key}-"
    return re.sub(rf"^{re.escape(name)}[0-9a-f]{{12}}", name + version, text, flags=re.MULTILINE)


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
