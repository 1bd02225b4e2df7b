# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README.md as tests/e2e/own_host/test_readme.py walks it: each block has a place, and hardly one is left out.

And what it says of errors is what the code says.
"""

from __future__ import annotations

import re

import pytest

from tests.e2e.readme import Place, blocks, storages
from tests.lab.common import CHECKOUT
from tests.repository import sources

README = (CHECKOUT / "README.md").read_text("utf-8")


def test_at_most_three_blocks_are_not_run() -> None:
    page = blocks(README)
    assert len([block for block in page if not block.not_run]) > 10
    assert len([block for block in page if block.not_run]) <= 3


def test_a_block_says_where_it_belongs() -> None:
    page = blocks(
        "```\na picture\n```\n\n```bash\n# in the checkout\nmake test\n```\n<!-- not run: it is this -->\n"
        "```bash\necho hello\n```\n\n```yaml\n# group_vars/all.yml\nname: value\n```\n"
        "```yaml\n# instead of a token\nname: value\n```\n```bash\n# on the runner host\nuptime\n```\n"
    )
    assert [(block.place, block.name, block.not_run) for block in page] == [
        (Place.CHECKOUT, "", "it is this"),
        (Place.SHELL, "", ""),
        (Place.FILE, "group_vars/all.yml", ""),
        (Place.OTHERWISE, "a token", ""),
        (Place.HOST, "", ""),
    ]
    with pytest.raises(ValueError, match=r"README\.md:3: nobody can tell where `name: value`"):
        blocks("One\n\n```yaml\nname: value\n```\n")


@pytest.mark.parametrize("before", ["iso,vztmpl,backup", "snippets,import,images"])
def test_what_is_typed_on_the_node_takes_nothing_from_a_storage(before: str) -> None:
    (block,) = [block for block in blocks(README) if block.place is Place.NODE]
    assert {name: set(kept) for name, kept in storages(block.text, {"local": before}).items()} == {
        "local": {"import", *before.split(",")}
    }


def test_errors_are_quoted_as_they_are() -> None:
    """What is in italics in the first column of the table of errors, but for what stands for something else."""
    table = README.partition("\n## When something is wrong\n")[2].partition("\n## ")[0]
    quoted = re.findall(r"\*([^*]+)\*", "\n".join(re.findall(r"^\| (.*?) \| ", table, re.MULTILINE)))
    assert len(quoted) > 8
    code = "".join(map(sources.text, sources.files("plugins", "roles", suffixes=(".py", ".yml"))))
    joined = re.sub(r"\s+", " ", re.sub(r'"\n\s*f?"', "", code))
    for words in quoted:
        said = re.sub("…|HOST", "", words).strip()
        assert said in joined, said
