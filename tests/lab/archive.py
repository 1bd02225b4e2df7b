# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where Debian can be had from here: Docker Hub, or the archive that this machine itself is configured with.

Nothing of this machine is written anywhere but into images: the archive's address goes into those made from it, and
certificates that its administrator added go into all of them, because the same network lies between them and the world.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import docker
import docker.errors
import requests

from tests.lab.common import Narrate, Problem, apt_get

CODENAMES = {"12": "bookworm", "13": "trixie"}
#: Where an administrator puts certificates that a machine shall trust besides Debian's own (update-ca-certificates(8)).
EXTRA_CERTIFICATES = Path("/usr/local/share/ca-certificates")
#: How a small Debian is made, much as the image at Docker Hub is.
MMDEBSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--include=ca-certificates",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=force-unsafe-io",  # images need not survive a power cut while they are made
)


def hub_image(release: str) -> str:
    """The name of a Debian release at Docker Hub."""
    return f"debian:{release}-slim"


def hub_answers(client: docker.DockerClient | None, release: str = "13") -> bool:
    """Can Debian be pulled? The engine is asked, since it may have a proxy or a mirror; without one, this machine."""
    try:
        if client is None:
            return requests.get("https://registry-1.docker.io/v2/", timeout=5).status_code in (200, 401)
        client.images.get_registry_data(hub_image(release))
    except (docker.errors.DockerException, requests.RequestException):
        return False
    return True


def extra_certificates(folder: Path = EXTRA_CERTIFICATES) -> dict[str, bytes]:
    """The administrator's certificates, by a file name that is theirs alone."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("**/*.crt"))} if folder.is_dir() else {}


def translate(targets: Iterable[str], own: str, wanted: str) -> list[str]:
    """This machine's archive, as the sources of another release.

    Args:
        targets: lines `<site> <suite>`, as `apt-get indextargets` gives them.
        own: code name of this machine's release.
        wanted: code name of the release to be had.

    Returns:
        Lines of sources.list: first the release itself, then updates and security where this machine has them too.
    """
    suites = {own: wanted, f"{own}-updates": f"{wanted}-updates", f"{own}-security": f"{wanted}-security"}
    found: dict[str, str] = {}
    for target in targets:
        site, _space, suite = target.partition(" ")
        if suite in suites:
            found.setdefault(suite, site)
    return [f"deb {found[suite]} {suites[suite]} main" for suite in suites if suite in found]


def own_sources(release: str) -> list[str]:
    """Lines of sources.list for a Debian release, from the archive that this machine uses.

    Raises:
        Problem: this machine is not a Debian one, or its apt names no archive.
    """
    try:
        machine = platform.freedesktop_os_release()
    except OSError:
        machine = {}
    if machine.get("ID") != "debian" or not shutil.which("apt-get"):
        raise Problem("this machine has no Debian archive of its own")
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages", "Component: main"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    own = machine.get("VERSION_CODENAME", "")
    sources = translate(said.splitlines(), own, CODENAMES[release])
    if not sources or not sources[0].endswith(f" {CODENAMES[release]} main"):
        raise Problem(f"apt on this machine names no Debian archive for {own!r}")
    return sources


def answers(source: str) -> bool:
    """Does the archive of one line of sources.list answer?"""
    _deb, site, suite, _component = source.split()
    try:
        return requests.head(f"{site.rstrip('/')}/dists/{suite}/InRelease", timeout=5, allow_redirects=True).ok
    except requests.RequestException:
        return False


def bootstrap(release: str, sources: list[str], tarball: Path, narrate: Narrate) -> None:
    """Make the root file system of a small Debian from an archive, with mmdebstrap.

    Raises:
        Problem: mmdebstrap is missing and cannot be installed, or fails.
    """
    if not shutil.which("mmdebstrap"):
        if os.geteuid():
            raise Problem(
                "Docker Hub cannot be reached, and mmdebstrap, which makes Debian from an archive, is not there.",
                "sudo apt-get install mmdebstrap",
            )
        narrate("  apt-get install mmdebstrap …")
        apt_get("update")
        apt_get("install", "--yes", "--no-install-recommends", "mmdebstrap")
    listing = tarball.with_suffix(".list")
    listing.write_text("".join(f"{line}\n" for line in sources))
    done = subprocess.run(
        [
            *MMDEBSTRAP,
            CODENAMES[release],
            str(tarball),
            str(listing),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Problem(f"mmdebstrap could not make Debian {release}:\n{done.stderr.strip()[-2000:]}")
