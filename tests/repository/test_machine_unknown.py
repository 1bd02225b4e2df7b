# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No file holds a path of the machine it was written on, or a host of its package registries.

Which these are is read from the machine itself, wherever the test runs: they are written down nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from tests.gates import bootstrap
from tests.gates.tree import ROOT
from tests.repository import sources

#: Folders that mean nothing by themselves: what else lies in them is nobody's secret, and they are named in files.
COMMON = {
    Path(path) for path in ("/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/usr/local/src", "/var/tmp")
}


def addresses(text: str) -> set[str]:
    """Hosts of the URLs in a text, and the folders of its file URLs."""
    found = set()
    for url in re.findall(r"\b(?:https?|file)://[^\s\"';,\]]+", text):
        try:
            parts = urlsplit(url)
        except ValueError:  # a template of an address, not one
            continue
        found.add(parts.hostname or parts.path.rstrip("/"))
    return {word for word in found if len(word) > 3} - {"localhost", "127.0.0.1"}


def folders(checkout: Path, home: Path) -> set[str]:
    """The checkout's path, and those of what lies beside it, unless they are too common to tell anything."""
    near = [] if checkout.parent in COMMON | {home} else list(checkout.parent.iterdir())
    return {str(path) for path in [checkout, *near] if len(path.parts) > 2}


def mentions(text: str, words: Iterable[str]) -> list[str]:
    """The words that stand in the text by themselves, not as a part of a longer name."""
    return [word for word in words if re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text)]


def of_this_machine() -> set[str]:
    """The words that must not be committed: from the configuration of pip, uv, npm and apt, and from the paths here."""
    home = Path.home()
    pip = bootstrap.pip_options(
        [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf"], os.environ
    )
    sources_of_packages = "index-url", "extra-index-url", "find-links", "trusted-host", "proxy"
    values = [value for key, value in pip.items("global") if key in sources_of_packages]
    words = {word for value in values for word in value.split() if "://" not in word}
    told = "\n".join(
        [*values, *(value for key, value in os.environ.items() if key.lower().startswith(("uv_", "npm_")))]
    )
    configured = [home / ".npmrc", Path("/etc/npmrc"), home / ".config" / "uv" / "uv.toml", Path("/etc/uv/uv.toml")]
    configured += Path("/etc/apt").glob("**/*")
    for path in configured:
        if path.is_file() and os.access(path, os.R_OK) and path.suffix not in (".gpg", ".asc", ".pgp"):
            lines = path.read_text("utf-8", errors="replace").splitlines()
            told += "\n".join(["", *(line for line in lines if not line.lstrip().startswith(("#", "//", ";")))])
    return words | addresses(told) | folders(ROOT, home)


def test_words_are_found() -> None:
    assert addresses("URIs: http://mirror.lan/debian\nx=file:///srv/wheels/ https://user:pw@index.lan:81/simple") == {
        "mirror.lan",
        "/srv/wheels",
        "index.lan",
    }
    assert mentions("see /here/it and index.lan/simple", ["/here/it", "index.lan", "/here"]) == [
        "/here/it",
        "index.lan",
        "/here",
    ]
    assert mentions("me/src/it x.index.lan /src/item", ["/src/it", "index.lan"]) == []


def test_folders(tmp_path: Path) -> None:
    for name in ("checkout", "beside"):
        (tmp_path / name).mkdir()
    assert folders(tmp_path / "checkout", home=Path("/home/me")) == {f"{tmp_path}/checkout", f"{tmp_path}/beside"}
    assert folders(tmp_path / "checkout", home=tmp_path) == {f"{tmp_path}/checkout"}


def test_no_file_mentions_this_machine() -> None:
    words = of_this_machine()
    assert str(ROOT) in words or len(ROOT.parts) <= 2
    found = [f"{path}: {word}" for path in sources.files() for word in mentions(sources.text(path), sorted(words))]
    assert not found, "of this machine only, take it out:\n" + "\n".join(found)
