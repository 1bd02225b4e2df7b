# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README.md as tests/e2e/own_host/test_readme.py walks it: each block has a place, and hardly one is left out."""

from __future__ import annotations

import pytest

from tests.e2e.readme import Place, blocks
from tests.lab.common import CHECKOUT


def test_at_most_three_blocks_are_not_run() -> None:
    page = blocks((CHECKOUT / "README.md").read_text("utf-8"))
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
