# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the supervisor and the effects need of who makes and destroys the machine in a slot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from .images import Images
from .model import Machine


class ProviderError(Exception):
    """The machine could not be made, started or removed; the message is for people."""


class ProviderDown(ProviderError):
    """Docker did not answer: nothing is known."""


class Delivery(Enum):
    """Whether the credential reached a machine that was started."""

    SENT = "sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Found:
    """A container of ours, with what its labels say of it."""

    machine: Machine
    pool: str = ""
    scope: str = ""


@dataclass(frozen=True)
class Definition:
    """What the Compose file says: service -> Compose's hash of it; `error` if it cannot be used."""

    hashes: dict[str, str] = field(default_factory=dict)
    error: str = ""
    images: frozenset[str] = frozenset()  # all that it names
    follows: Mapping[str, frozenset[str]] = field(default_factory=dict)  # tag to follow -> what the file has for it


class Provider(Protocol):
    """A maker of machines."""

    images: Images

    def list(self) -> dict[str, Found]:
        """Every slot's machine, complete; raises ProviderDown otherwise."""

    def definition(self) -> Definition:
        """The wanted definition of every slot, as it is now."""

    def create(self, slot: str) -> str:
        """Make the slot's machine, unstarted; its id."""

    def start_and_deliver(self, machine_id: str, data: bytes) -> Delivery:
        """Start the machine and write `data` to its first process, once.

        Raises ProviderError if it never ran, or was stopped before it was told.
        """

    def stop(self, machine_id: str) -> None:
        """Ask the machine to end, then make it."""

    def remove(self, machine_id: str, force: bool) -> None:
        """Remove the machine and its anonymous volumes; fine if it is gone. One that runs only with `force`."""

    def runs(self, machine_id: str) -> bool:
        """Whether it runs; raises ProviderDown if that cannot be told."""

    def release(self, slot: str, wanted: Callable[[], bool]) -> bool:
        """The slot has left and is empty: forget its definition. Not if it is `wanted`, asked at the last moment."""

    def follow(self, tag: str, reference: str) -> None:
        """Let the definition have this image wherever it follows that tag."""

    def changes(self) -> Iterator[str]:
        """The slot, when something happened to its machine; ends when Docker goes away."""

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        """The machine's output: when (steady seconds) and what, line by line.

        From `since` on, or a little earlier; until now, or with `follow` until the machine ends.
        """
