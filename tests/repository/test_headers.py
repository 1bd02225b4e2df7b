# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every file says whose it is and under which licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repository import sources

HEADER = (
    "Copyright: (c) 2026, the ephemeral.github_runners authors",
    "GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "SPDX-License-Identifier: GPL-3.0-or-later",
)

#: What has no header, and why.
WITHOUT = {
    "LICENSE": "is the licence",
    "*.md": "prose; the licence of the whole stands in README.md and galaxy.yml",
    "*.json": "knows no comments",
    ".gitignore": "a list of names",
    "changelogs/changelog.yaml": "written by antsibull-changelog, which keeps no comments",
    "requirements-dev.txt": "written by uv",
    "bin/version.txt": "its whole content is data",
    "tests/sanity/ignore-*.txt": "ansible-test takes no line that is a comment only",
}


def has_header(text: str) -> bool:
    """Whether the three lines stand at the top, in comments of whatever kind, after a shebang at most."""
    lines = [line for line in text.splitlines()[:8] if not line.startswith("#!")]
    for start in range(3):
        if len(lines) >= start + 3 and all(wanted in lines[start + n] for n, wanted in enumerate(HEADER)):
            return True
    return False


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("".join(f"# {line}\n" for line in HEADER), True),
        ("#!/bin/sh\n" + "".join(f"# {line}\n" for line in HEADER), True),
        ("{#\n" + "\n".join(HEADER) + "\n#}\n", True),
        ("".join(f"# {line}\n" for line in HEADER[:2]), False),
        ("import os\n" * 8 + "".join(f"# {line}\n" for line in HEADER), False),
    ],
)
def test_header_is_recognised(text: str, right: bool) -> None:
    assert has_header(text) is right


def test_every_file_has_the_header() -> None:
    def exempt(path: Path) -> bool:
        return any(path.match(pattern) for pattern in WITHOUT) or not sources.text(path).strip()

    missing = [str(path) for path in sources.files() if not exempt(path) and not has_header(sources.text(path))]
    assert not missing, "no licence header: " + ", ".join(missing)
