# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions of the runner program: the newest with its checksum, and until when one is accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .answers import ShapeError, parse, take, take_if_there, take_time_if_there
from .client import Client
from .errors import NotFound
from .runners import hints_for
from .scope import Scope


@dataclass(frozen=True)
class Download:
    """The newest runner program for one kind of machine.

    Attributes:
        os: "linux", "osx" or "win".
        architecture: "x64", "arm64" or "arm".
        version: Such as "2.336.0".
        filename: Of the archive.
        url: Where the archive is.
        sha256: Its checksum, 64 hexadecimal digits; None where GitHub does not say.
    """

    os: str
    architecture: str
    version: str
    filename: str
    url: str
    sha256: str | None

    @classmethod
    def from_api(cls, data: Any) -> Download:
        """The download that GitHub's JSON describes; ShapeError if it describes none."""
        filename = take(data, "filename", str)
        version = re.search(r"-([0-9]+(?:\.[0-9]+){2,3})\.(?:tar\.gz|zip)$", filename)
        if not version:
            raise ShapeError("'filename' has no version in it")
        sha256 = take_if_there(data, "sha256_checksum", str)
        if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ShapeError("'sha256_checksum' is none")
        return cls(
            take(data, "os", str),
            take(data, "architecture", str),
            version[1],
            filename,
            take(data, "download_url", str),
            sha256 or None,
        )


@dataclass(frozen=True)
class Support:
    """Until when GitHub takes a version; epoch seconds, None if no end is set.

    Attributes:
        version: The one asked for.
        registers_until: From then on, new runners of this version are refused.
        works_until: From then on, its runners get no jobs.
    """

    version: str
    registers_until: float | None
    works_until: float | None

    @property
    def ends_at(self) -> float | None:
        """When the first of the two ends: a fresh runner for every job needs both."""
        return min((end for end in (self.registers_until, self.works_until) if end is not None), default=None)

    def accepted(self, now: float) -> bool:
        """Whether a new runner of this version would get jobs now (epoch seconds)."""
        return self.ends_at is None or now < self.ends_at


def downloads(client: Client, scope: Scope) -> list[Download]:
    """The newest runner program, for each kind of machine. Raises GitHubError."""
    action = f"ask for the newest runner program for {scope}"
    response = client.get(f"{scope.api_path}/actions/runners/downloads", action=action, hints=hints_for(scope))
    return parse(response, action, _list_of_downloads)


def newest(client: Client, scope: Scope, os: str = "linux", architecture: str = "x64") -> Download:
    """The newest runner program for such machines.

    Raises:
        NotFound: There is none; the message tells which there are.
        GitHubError: It could not be found out.
    """
    found = downloads(client, scope)
    for each in found:
        if (each.os, each.architecture) == (os, architecture):
            return each
    raise NotFound(
        f"find the runner program for {os} on {architecture}",
        message="there are only " + ", ".join(f"{each.os} on {each.architecture}" for each in found),
        hint="name one of these",
    )


def support(client: Client, scope: Scope, version: str) -> Support | None:
    """Until when GitHub takes runners of `version`; None if it does not tell, as a server of an older release.

    Raises:
        ValueError: `version` is no version.
        GitHubError: It could not be found out.
    """
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){2,3}", version):
        raise ValueError(f"version = {version!r}: not the version of a runner. Do: write it like 2.336.0")
    action = f"ask until when the runner version {version} is accepted for {scope}"
    path = f"{scope.api_path}/actions/runners"
    try:
        response = client.get(f"{path}/deprecations/{version}", action=action, hints=hints_for(scope))
    except NotFound:
        # Not this question, or not this scope? The list of runners is there for everybody who may see them.
        client.get(path, action=action, params={"per_page": 1}, hints=hints_for(scope))
        return None
    return parse(
        response,
        action,
        lambda data: Support(
            take(data, "runner_version", str),
            take_time_if_there(data, "registration_deprecates_at"),
            take_time_if_there(data, "runtime_deprecates_at"),
        ),
    )


def _list_of_downloads(data: Any) -> list[Download]:
    if not isinstance(data, list):
        raise ShapeError(f"what should be a list is {type(data).__name__}")
    return [Download.from_api(each) for each in data]
