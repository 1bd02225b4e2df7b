# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A home folder for ansible-test, in which it needs nothing but the package index that pip is configured for.

ansible-test makes virtual environments and puts pip into them with a script that it fetches from a server of its own,
unless the script lies in its cache already (`ansible_test/_util/target/setup/requirements.py`, `bootstrap`). The one
laid down here takes the pip that Python itself brings. A home of its own, so that the user's cache stays as it is.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

_GET_PIP = """\
# Laid down by tests/gates/bootstrap.py: the pip that Python brings, instead of a download.
import ensurepip

ensurepip.bootstrap(default_pip=True)
"""


def pip_version(source: str) -> str:
    """The version of pip that ansible-test asks for, which is part of the script's name.

    Args:
        source: text of `ansible_test/_internal/python_requirements.py`.

    Raises:
        ValueError: it does not stand where it stood in ansible-core 2.19 to 2.22.
    """
    found = re.search(r"\bpip='([0-9.]+)'", source)
    if not found:
        raise ValueError("ansible-test has no line pip='VERSION' any more. Do: look at get_venv_packages there.")
    return found.group(1)


def pip_options(files: list[Path], environ: Mapping[str, str]) -> configparser.RawConfigParser:
    """The user's settings of pip, which ansible-test would not pass on: files first, then `PIP_…` variables.

    What stands in pip's global file needs no mention: pip reads that in any home.
    """
    merged = configparser.RawConfigParser()
    merged.read(files)
    if not merged.has_section("global"):
        merged.add_section("global")
    for name, value in environ.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE":
            merged.set("global", name.removeprefix("PIP_").lower().replace("_", "-"), value)
    return merged


def ansible_test_home(home: Path) -> Path:
    """Make the folder, and return it."""
    spec = importlib.util.find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("ansible-test is not there. Do: make venv")
    source = Path(next(iter(spec.submodule_search_locations)), "_internal", "python_requirements.py").read_text("utf-8")
    script = home / ".ansible" / "test" / "cache" / f"get_pip_{pip_version(source).replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_GET_PIP, "utf-8")

    user = Path.home()
    settings = Path(os.environ.get("XDG_CONFIG_HOME", user / ".config"))
    config = home / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.touch(mode=0o600)  # an index's address may hold a password
    with config.open("w", encoding="utf-8") as file:
        pip_options([user / ".pip" / "pip.conf", settings / "pip" / "pip.conf"], os.environ).write(file)
    return home
