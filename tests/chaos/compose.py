# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Compose file on the disk, as the playbook writes it and Compose reads it, and the images that it names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from runnerd.composefile import images as images_in
from runnerd.images import ImageError
from runnerd.provider import Definition

TAG, IMAGE = "registry.example/runner:latest", "registry.example/runner@sha256:1"
NEXT_IMAGE, BROKEN_IMAGE = IMAGE.replace("sha256:1", "sha256:2"), IMAGE.replace("sha256:1", "sha256:3")
_BLOCK = re.compile(r"^  # slot (\S+) begin\n(.*?)^  # slot \1 end\n", re.MULTILINE | re.DOTALL)


def image_with(version: str) -> str:
    """The image with this version of the runner."""
    return IMAGE.replace("sha256:1", f"sha256:{version}")


def compose_text(slots: Mapping[str, tuple[str, str]], image: str, more: str = "") -> str:
    """What the playbook writes; slot -> its pool and scope, which become labels."""
    blocks = [
        f"  # slot {slot} begin\n  {slot}:\n    image: {image}  # follows {TAG}\n    labels: {pool} {scope}\n{more}"
        f"  # slot {slot} end\n"
        for slot, (pool, scope) in sorted(slots.items())
    ]
    return "services:\n" + "".join(blocks)


def defined(text: str) -> Definition:
    """Slot -> `image spec`; raises ValueError where Compose would complain."""
    rest = _BLOCK.sub("", text)
    if rest != "services:\n":
        raise ValueError(f"yaml: line {1 + text.count(chr(10))}: did not find what was expected")
    named, follows = images_in(text)
    hashes = {}
    for slot, block in _BLOCK.findall(text):
        (image,) = images_in(block)[0]
        hashes[slot] = f"{image} {hashlib.sha256(block.encode()).hexdigest()[:12]}"
    return Definition(hashes, images=named, follows=follows)


class Images:
    """The image of the tag here, and what the registry has."""

    def __init__(self) -> None:
        self.here: dict[str, str] = {TAG: IMAGE}
        self.registry: dict[str, str] = {TAG: IMAGE}
        self.local = {IMAGE}
        self.habits: dict[str, dict[str, Any]] = {BROKEN_IMAGE: {"ends_at_once": 1}}  # image -> its program's own
        self.used: Callable[[], set[str]] = set
        self.error = ""

    def publish(self, version: str) -> None:
        """The tag means an image with this version of the runner, at the registry."""
        self.registry[TAG] = image_with(version)
        self.habits[image_with(version)] = {"version": version}

    def reference(self, image: str) -> str:
        return self.here.get(image, "")

    def pull(self, image: str) -> None:
        if self.error:
            raise ImageError(self.error)
        self.here[image] = self.registry[image]
        self.local.add(self.here[image])

    def discard(self, reference: str) -> bool:
        if reference in self.used():
            return False
        self.local.discard(reference)
        return True
