# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever silences a tool or hides a change says why, beside it."""

from __future__ import annotations

import re

import pytest

from tests.repository import sources

#: What needs a reason. Each pattern's match ends where the reason may begin.
SILENCERS = re.compile(
    r"""
      (?:changed_when|failed_when):\ *(?:false|no)\b
    | ignore_(?:errors|unreachable):\ *(?:true|yes|"?\{\{.*)
    | \#\ *noqa\b(?::\ *[A-Z]+[0-9]+(?:[, ]+[A-Z]+[0-9]+)*)?
    | \#\ *type:\ *ignore\b(?:\[[\w, -]*\])?
    | \#\ *pylint:\ *disable[=\w,-]*
    | \#\ *shellcheck\ disable=[\w,]+
    | \#\ *yamllint\ disable[\w-]*(?:\ rule:[\w-]+)*
    """,
    re.VERBOSE,
)


def unexplained(text: str) -> list[int]:
    """The numbers of the lines that silence something without a reason."""
    lines = text.splitlines()
    found = []
    for index, line in enumerate(lines):
        match = SILENCERS.search(line)
        if match and not sources.comment_beside(lines, index, after=match.group()):
            found.append(index + 1)
    return found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("  changed_when: false\n", [1]),
        ("  changed_when: false  # it only reads\n", []),
        ("  # it only reads\n  changed_when: false\n", []),
        ("  failed_when: false  #\n", [1]),
        ("x = f()  # type: ignore[no-any-return]\n", [1]),
        ("x = f()  # type: ignore[no-any-return]  # the library has no types\n", []),
        ("import a  # noqa: F401\n", [1]),
        ("import a  # noqa: F401  # makes it known\n", []),
        ("import a  # noqa: F401, E402\n", [1]),
        ("import a  # noqa: F401, E402, makes it known\n", []),
        ("import a  # noqa\n", [1]),
        ("# shellcheck disable=SC1090\n. ./file\n", [1]),
        ("# what it is comes from the user\n# shellcheck disable=SC1090\n. ./file\n", []),
        ("  changed_when: result.rc == 1\n", []),
    ],
)
def test_a_missing_reason_is_seen(text: str, lines: list[int]) -> None:
    assert unexplained(text) == lines


def test_every_silencer_has_a_reason() -> None:
    missing = [
        f"{path}:{line}"
        for path in sources.files()
        if path.suffix in (".py", ".yml", ".sh", ".j2")
        and path.parts[:2] != ("tests", "repository")  # it names them all
        and not path.match("plugins/*/*.yml")  # examples of use
        for line in unexplained(sources.text(path))
    ]
    assert not missing, "no reason beside it: " + ", ".join(missing)


def test_every_sanity_ignore_has_a_reason() -> None:
    missing = [
        f"{path}:{number}"
        for path in sources.files("tests")
        if path.match("tests/sanity/ignore-*.txt")
        for number, line in enumerate(sources.text(path).splitlines(), 1)
        if not re.search(r"#\s*\w", line)
    ]
    assert not missing, "no reason beside it: " + ", ".join(missing)
