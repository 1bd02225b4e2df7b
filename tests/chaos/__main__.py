# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m tests.chaos RESULTS PAGE…`: put the tables made of the results between the marks in these pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from . import results

MARKS = "<!-- {name}: made by make chaos -->\n{text}<!-- end of {name} -->"


def filled(page: str, tables: dict[str, str]) -> str:
    """The page's text with each table between its marks; unchanged where it has none."""
    for name, text in tables.items():
        marks = MARKS.format(name=name, text=f"{text}\n")
        page = re.sub(MARKS.format(name=name, text=".*?"), lambda _match, marks=marks: marks, page, flags=re.DOTALL)
    return page


def main(results_file: Path, pages: list[Path]) -> None:
    """Fill them all."""
    found = results.read(results_file)
    tables = {"reliability": results.table(found), "reliability summary": results.summary(found)}
    for page in pages:
        page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
