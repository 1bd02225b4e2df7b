# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of the containers, as the Docker Engine has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import docker
import requests

#: Seconds without a word from the Engine while it pulls; and for a question.
PULL_SILENCE, LOOK_TIMEOUT = 300, 10


class ImageError(Exception):
    """The Engine, or the registry behind it, did not do it; the message is for people."""


class Images(Protocol):
    """What following a tag needs of an Engine."""

    def reference(self, image: str) -> str:
        """What the image of this name is now, by what never changes; empty if it is not here. Raises ImageError."""

    def pull(self, image: str) -> None:
        """Get what the registry has under this name now; raises ImageError."""

    def discard(self, reference: str) -> bool:
        """Remove an image that has no name any more and no container; False: one uses it. Raises ImageError."""


class EngineImages:
    """Those of the local Engine."""

    def reference(self, image: str) -> str:
        """As the playbook finds it: see `reference_of`."""
        found = self._inspect(image)
        return reference_of(found, image) if found else ""

    def pull(self, image: str) -> None:
        """With root's `docker login`, if there is one."""
        try:
            client = docker.APIClient(version="auto", timeout=PULL_SILENCE)
            for said in client.pull(image, stream=True, decode=True):
                if "error" in said:
                    raise ImageError(str(said["error"]))
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ImageError(_words(exc)) from exc

    def discard(self, reference: str) -> bool:
        """Never by force, and never one that has a name: whoever named it may want it."""
        found = self._inspect(reference)
        if not found or found.get("RepoTags"):
            return True
        try:
            docker.APIClient(version="auto", timeout=LOOK_TIMEOUT).remove_image(reference)
        except docker.errors.ImageNotFound:
            return True
        except (docker.errors.DockerException, requests.RequestException) as exc:
            if isinstance(exc, docker.errors.APIError) and exc.status_code == requests.codes.conflict:
                return False
            raise ImageError(_words(exc)) from exc
        return True

    @staticmethod
    def _inspect(image: str) -> dict[str, Any]:
        try:
            client: Any = docker.APIClient(version="auto", timeout=LOOK_TIMEOUT)  # the stubs leave this call out
            found: dict[str, Any] = client.inspect_image(image)
        except docker.errors.ImageNotFound:
            return {}
        except (docker.errors.DockerException, requests.RequestException) as exc:
            raise ImageError(_words(exc)) from exc
        return found


def reference_of(inspected: Mapping[str, Any], image: str) -> str:
    """`repository@sha256:…`, or `sha256:…` if it came from no registry.

    The playbook comes to the same (plugins/filter/runner_state.py; a test compares them): so neither undoes what the
    other writes.
    """
    digests = sorted(inspected.get("RepoDigests") or [])
    repository = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
    own = [digest for digest in digests if digest.rpartition("@")[0] == repository]
    return str([*own, *digests, inspected["Id"]][0])


def _words(exc: BaseException) -> str:
    explanation = getattr(exc, "explanation", None) or exc
    return (str(explanation).strip().splitlines() or [type(exc).__name__])[0]
