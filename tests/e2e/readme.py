# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README.md as a program: its code blocks in order, each with what it is for.

The first line of a block says where it belongs, as a reader needs to know too: `# in the checkout`, `# on the runner
host`, `# instead of …` (another way, not the one that is walked), or the name of the file that it is a part of. A block
of bash without such a line is typed in the user's own shell. After a block may stand `<!-- not run: why -->`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_BLOCK = re.compile(
    r"^```(?P<language>[a-z]+)\n(?P<text>.*?)^```\n(?:<!-- not run: (?P<reason>.+?) -->)?", re.MULTILINE | re.DOTALL
)


class Place(Enum):
    """Where a block belongs."""

    SHELL = "the user's own shell"
    CHECKOUT = "a checkout of the repository"
    HOST = "the runner host"
    NODE = "the Proxmox VE node"
    FILE = "a file"
    OTHERWISE = "another way than the one that is walked"


@dataclass(frozen=True)
class Block:
    """One code block. `name` is the file's, or what an alternative is instead of; `not_run` the reason, if any."""

    line: int
    language: str
    text: str
    place: Place
    name: str = ""
    not_run: str = ""


def blocks(readme: str) -> list[Block]:
    """The code blocks of a page, in order; pictures (blocks without a language) are none.

    Raises:
        ValueError: a block does not say where it belongs.
    """
    found = []
    for match in _BLOCK.finditer(readme):
        line = readme.count("\n", 0, match.start()) + 1
        first = match["text"].partition("\n")[0]
        place, name = _place(first, match["language"])
        if place is None:
            raise ValueError(f"README.md:{line}: nobody can tell where `{first}` belongs. Do: say it in the first line")
        found.append(Block(line, match["language"], match["text"], place, name, match["reason"] or ""))
    return found


def _place(first: str, language: str) -> tuple[Place | None, str]:
    if first == "# in the checkout":
        return Place.CHECKOUT, ""
    if first == "# on the runner host":
        return Place.HOST, ""
    if first == "# on the Proxmox VE node":
        return Place.NODE, ""
    if first.startswith("# instead of "):
        return Place.OTHERWISE, first.removeprefix("# instead of ")
    if match := re.fullmatch(r"# ([\w./-]+\.(?:ini|ya?ml))", first):
        return Place.FILE, match[1]
    return (Place.SHELL, "") if language == "bash" else (None, "")


#: A node on which only storages are real. What cannot be said to its programs ends the script.
_NODE = """
pveum() { :; }
pvesh() {
  [[ "$1 ${2%/*} ${*:3}" == "get /storage --output-format json" ]] || return 1
  printf '{"content":"%s","digest":"0","storage":"%s","type":"dir"}\\n' "${content[${2##*/}]}" "${2##*/}"
}
pvesm() {
  [[ "$1 $3 $#" == "set --content 4" ]] || return 1
  printf '%s\\t%s\\n' "$2" "$4"
}
"""


def storages(script: str, contents: Mapping[str, str]) -> dict[str, list[str]]:
    """What storages keep after what an administrator has typed on the node.

    Args:
        script: bash, with `pvesm set NAME --content LIST`, which replaces a list, and `pvesh get /storage/NAME`.
        contents: the lists before, by the storage's name.

    Returns:
        The lists of those that were set.

    Raises:
        subprocess.CalledProcessError: these programs have no such command here.
    """
    before = " ".join(f"[{name}]={shlex.quote(content)}" for name, content in contents.items())
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"declare -A content=({before})\n{_NODE}{script}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = (line.split("\t") for line in done.stdout.splitlines())
    return {name: list(dict.fromkeys(content.split(","))) for name, content in told}


def substituted(text: str, table: dict[str, str]) -> str:
    """`text` with what stands in the table replaced."""
    for old, new in table.items():
        text = text.replace(old, new)
    return text
