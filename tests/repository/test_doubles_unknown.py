# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users install knows nothing of the doubles and the lab: it would not be told apart from the real thing."""

from __future__ import annotations

import re

import pytest

from tests.repository import sources

#: The tests' folders and packages, and hosts of the top-level domain that is reserved for tests (RFC 6761).
MENTION = re.compile(r"\btests?/|\btests\.\w|(?<![\w.])(?:[\w-]+\.)+test\b|\btest[- ]double|\bstand-in\b")


@pytest.mark.parametrize(
    ("line", "mentions"),
    [
        ("api_url: https://api.github.test", True),
        ("src: ../../tests/doubles/github", True),
        ("from tests.lab import Lab", True),
        ("if latest.test_result:", False),
        ("url: https://api.github.com/latest/", False),
    ],
)
def test_a_mention_is_seen(line: str, mentions: bool) -> None:
    assert bool(MENTION.search(line)) is mentions


def test_public_files_do_not_mention_them() -> None:
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in sources.files(*sources.PUBLIC)
        for number, line in enumerate(sources.text(path).splitlines(), 1)
        if MENTION.search(line)
    ]
    assert not found, "\n".join(found)
