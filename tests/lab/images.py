# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's images. Each is tagged with a hash of all that went into it, so that nothing is built twice.

`debian` → `base-<release>` → `host-<release>` (→ `vm-<release>`), `qemu-<release>`, `registry`, `docker-packages`,
`github`, `runner-<layout>`. Built with the engine's own builder through its API, which every engine has; nothing needs
the docker command or its plugins.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors

from tests.lab import archive
from tests.lab.common import CHECKOUT, IMAGE_LABEL, Narrate, Problem

RECIPES = Path(__file__).resolve().parent / "recipes"
DOUBLES = CHECKOUT / "tests" / "doubles"
REPOSITORY = "ghr-lab"
RELEASES = tuple(archive.CODENAMES)
LAYOUTS = ("official", "myoung34")
#: What the doubles and the registry are made from.
NEWEST = RELEASES[-1]


@dataclass(frozen=True)
class File:
    """A file of a build context."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Recipe:
    """All that an image is made of.

    Attributes:
        name: what it is, e.g. `host-13`; the tag's part before the hash.
        files: the build context, with a `Dockerfile`, by path.
        args: build arguments. BASE carries the parent's tag, and so the parent's hash.
    """

    name: str
    files: Mapping[str, File]
    args: Mapping[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """`<repository>/<name>:<hash>`; equal recipes have equal tags, and only they."""
        digest = hashlib.sha256()
        for path, file in sorted(self.files.items()):
            digest.update(f"{path}\0{file.mode:o}\0{len(file.content)}\0".encode() + file.content)
        digest.update(json.dumps(sorted(self.args.items())).encode())
        return f"{REPOSITORY}/{self.name}:{digest.hexdigest()[:16]}"


def folder(path: Path) -> dict[str, File]:
    """The files below a folder as a build context; what Python, editors and systems leave there is left out.

    Raises:
        Problem: there is no Dockerfile.
    """
    if not (path / "Dockerfile").is_file():
        raise Problem(f"{path} has no Dockerfile: is this a whole checkout?")
    kept = (
        file
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in file.relative_to(path).parts)
    )
    return {
        str(file.relative_to(path)): File(file.read_bytes(), 0o755 if file.stat().st_mode & 0o100 else 0o644)
        for file in kept
    }


def tarball(files: Mapping[str, File], owner: int = 0) -> bytes:
    """Files as a tar archive with nothing in it that changes from one time to the next."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, owner, owner
            tar.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


class Images:
    """Makes the images that are missing, and names those that are there.

    Args:
        client: the engine.
        narrate: is told of each image that has to be made.
    """

    def __init__(self, client: docker.DockerClient, narrate: Narrate = print) -> None:
        self._client = client
        self._narrate = narrate
        #: Names of the recipes that had to be made, by this object.
        self.made: list[str] = []

    def exists(self, tag: str) -> bool:
        """Is the image in the engine?"""
        try:
            self._client.images.get(tag)
        except docker.errors.ImageNotFound:
            return False
        return True

    def base(self, release: str) -> str:
        """Debian, from Docker Hub where it can be reached within seconds, else from this machine's own archive."""
        certificates = {
            f"certificates/{name}": File(content) for name, content in archive.extra_certificates().items()
        } or {"certificates/README": File(b"No certificates were added.\n")}

        def recipe(root: str) -> Recipe:
            files = {**folder(RECIPES / "base"), **certificates}
            return Recipe(f"base-{release}", files, {"BASE": root})

        hub = recipe(archive.hub_image(release))
        if self.exists(hub.tag):
            return hub.tag
        try:
            sources, why = archive.own_sources(release), ""
        except Problem as problem:
            sources, why = [], problem.says
        made_by = "\n".join([*archive.MMDEBSTRAP, *sources])
        root = Recipe(f"debian-{release}", {"sources.list": File(made_by.encode())}).tag
        if sources and self.exists(recipe(root).tag):
            return recipe(root).tag
        if archive.hub_answers(self._client, release):
            name, tag = archive.hub_image(release).split(":")
            self._narrate(f"  {name}:{tag}, from Docker Hub …")
            self._client.images.pull(name, tag)
            return self.build(hub)
        if not sources:
            raise Problem(
                f"Docker Hub cannot be reached from the engine, and {why}.",
                "let the engine reach Docker Hub, or run this on Debian",
            )
        self._import(root, release, sources)
        return self.build(recipe(root))

    def _import(self, tag: str, release: str, sources: list[str]) -> None:
        """Debian from an archive, as an image."""
        if self.exists(tag):
            return
        self._narrate(f"  Debian {release}, from this machine's archive (Docker Hub cannot be reached) …")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            tarball_path = Path(place) / "root.tar"
            archive.bootstrap(release, sources, tarball_path, self._narrate)
            repository, _colon, version = tag.partition(":")
            self._client.api.import_image_from_file(
                str(tarball_path), repository=repository, tag=version, changes=[f"LABEL {IMAGE_LABEL}=debian-{release}"]
            )
        self._narrate(f"    {time.monotonic() - begun:.0f} s")

    def host(self, release: str) -> str:
        """A server: Debian with systemd and SSH, without Docker."""
        return self.build(Recipe(f"host-{release}", folder(RECIPES / "host"), {"BASE": self.base(release)}))

    def vm(self, release: str) -> str:
        """What is on a VM template's disk: a host with cloud-init."""
        return self.build(Recipe(f"vm-{release}", folder(RECIPES / "vm"), {"BASE": self.host(release)}))

    def qemu(self, release: str) -> str:
        """QEMU, and a template's disk with a Debian that boots in it."""
        return self.build(Recipe(f"qemu-{release}", folder(RECIPES / "qemu"), {"BASE": self.base(release)}))

    def registry(self) -> str:
        """A container registry."""
        return self.build(Recipe("registry", folder(RECIPES / "registry"), {"BASE": self.base(NEWEST)}))

    def docker_packages(self) -> str:
        """Docker's own apt repository, for Debian 12."""
        bases = {"BASE": self.base("12"), "NEWER": self.base("13")}
        return self.build(Recipe("docker-packages", folder(RECIPES / "docker-packages"), bases))

    def github(self) -> str:
        """The GitHub double."""
        return self.build(Recipe("github", folder(DOUBLES / "github"), {"BASE": self.base(NEWEST)}))

    def dind(self) -> str:
        """The stand-in for docker:dind, with Debian's engine."""
        return self.build(Recipe("dind", folder(RECIPES / "dind"), {"BASE": self.base(NEWEST)}))

    def busybox(self) -> str:
        """A tiny image, for jobs to run."""
        return self.build(Recipe("busybox", folder(RECIPES / "busybox"), {"BASE": self.base(NEWEST)}))

    def runner(self, layout: str = "official", **args: str) -> str:
        """The runner stand-in, with the paths and users of one of the real images.

        Args:
            layout: `official` or `myoung34`.
            args: further build arguments of its Dockerfile, e.g. RUNNER_VERSION.
        """
        recipe = Recipe(
            f"runner-{layout}",
            folder(DOUBLES / "runner"),
            {"BASE": self.base(NEWEST), "LAYOUT": layout, **args},
        )
        return self.build(recipe)

    def demo(self) -> list[str]:
        """All that the demo needs; their tags."""
        return [self.host(NEWEST), self.vm(NEWEST), self.github(), self.registry(), self.runner()]

    def all(self) -> list[str]:
        """All there are; their tags."""
        hosts = [self.host(release) for release in RELEASES]
        servers = [self.github(), self.registry(), self.docker_packages(), self.dind(), self.busybox()]
        return [*hosts, self.vm(NEWEST), self.qemu(NEWEST), *servers, *(self.runner(layout) for layout in LAYOUTS)]

    def build(self, recipe: Recipe, labels: Mapping[str, str] | None = None) -> str:
        """Make an image if it is not there, and return its tag.

        Raises:
            Problem: a step failed; with the last lines of what it said.
        """
        if self.exists(recipe.tag):
            return recipe.tag
        self._narrate(f"  image {recipe.name} …")
        begun = time.monotonic()
        self.made.append(recipe.name)
        steps = self._client.api.build(
            fileobj=io.BytesIO(tarball(recipe.files)),
            custom_context=True,
            buildargs=dict(recipe.args),
            tag=recipe.tag,
            labels={IMAGE_LABEL: recipe.name, **(labels or {})},
            rm=True,
            forcerm=True,
            decode=True,
        )
        follow(steps, f"The image {recipe.name} could not be built")
        self._narrate(f"    {time.monotonic() - begun:.0f} s")
        return recipe.tag

    def remove_all(self) -> int:
        """Remove every image of the lab that no container uses, newest first; return how many went."""
        count = 0
        images = self._client.images.list(filters={"label": IMAGE_LABEL})
        for image in sorted(images, key=lambda one: str(one.attrs["Created"]), reverse=True):
            for name in image.tags or [str(image.id)]:
                try:
                    self._client.images.remove(name)
                    count += 1
                except (docker.errors.ImageNotFound, docker.errors.APIError) as error:
                    if getattr(error, "status_code", 0) not in (404, 409):
                        raise
                    # 409: a container or another image still needs it, for example in another checkout
        return count


def follow(steps: Iterable[Mapping[str, Any]], failed: str) -> list[Mapping[str, Any]]:
    """Read the messages of a long piece of work of the engine (build, push) to its end, and return them.

    Raises:
        Problem: one of them is an error; with the last 30 lines before it.
    """
    seen = []
    for step in steps:
        seen.append(step)
        if "error" in step:
            said = "".join(str(one.get("stream", "")) for one in seen).splitlines()[-30:]
            raise Problem("\n".join([f"{failed}: {step['error']}", *said]))
    return seen
