# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults on demand: ways in which real runners have gone wrong, and how long the stand-in waits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Name: what its value means (None: it takes none), and the value it has if none is given.
KNOWN: dict[str, tuple[str | None, float | None]] = {
    "exit": ("exit code", None),
    "slow-start": ("seconds", None),
    "never-connect": (None, None),
    "hang": ("seconds until the listener kills the worker", 0),  # 0: as long as the real one waits
    "zombie": (None, None),
    "skip-job": (None, None),
    "ignore-term": (None, None),
    "update-loop": (None, None),
    "fill-disk": ("MiB to write at most", None),
}

REMEDY = "Do: give a JSON object, a JSON list or a comma list of " + ", ".join(
    name if not meaning else f"{name}=<{meaning}>" for name, (meaning, _default) in KNOWN.items()
)


class BadFault(ValueError):
    """A fault that is not known, or has a value it cannot have."""


@dataclass(frozen=True)
class Faults:
    """The faults in force. ``in`` tells whether one is; ``[]`` gives its number."""

    values: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read ``STANDIN_FAULTS``: ``hang=5,zombie``, ``["hang=5", "zombie"]`` or ``{"hang": 5, "zombie": true}``.

        Raises:
            BadFault: naming the fault and what is known.
        """
        text = text.strip()
        try:
            given = json.loads(text) if text[:1] in ("{", "[") else text.split(",")
        except ValueError as error:
            raise BadFault(f"STANDIN_FAULTS = {text!r}: not JSON ({error}). {REMEDY}") from error
        if isinstance(given, list):
            pairs = [str(item).partition("=")[::2] for item in given]
        else:
            pairs = [(name, "" if value is True else str(value)) for name, value in given.items() if value is not False]
        return cls({name.strip(): cls._value(name.strip(), value) for name, value in pairs if name.strip()})

    @staticmethod
    def _value(name: str, text: str) -> float:
        if name not in KNOWN:
            raise BadFault(f"STANDIN_FAULTS: unknown fault {name!r}. {REMEDY}")
        meaning, default = KNOWN[name]
        if not text and (meaning is None or default is not None):
            return default or 0.0
        try:
            value = float(text)
        except ValueError:
            value = -1
        if meaning is None or not 0 <= value < float("inf"):
            wanted = f"wants a number from 0 ({meaning})" if meaning else "takes no value"
            raise BadFault(f"STANDIN_FAULTS: {name} = {text!r}: {wanted}. {REMEDY}")
        return value

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def __or__(self, other: Faults) -> Faults:
        return Faults({**self.values, **other.values})


def time_scale(environ: Mapping[str, str]) -> float:
    """``STANDIN_TIME_SCALE``: by how much every waiting time of the real runner is multiplied. 1 if unset.

    Raises:
        BadFault: it is no positive number.
    """
    text = environ.get("STANDIN_TIME_SCALE") or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = 0
    if not 0 < scale < float("inf"):
        raise BadFault(f"STANDIN_TIME_SCALE = {text!r}: not a positive number. Do: give 1 for the real runner's times")
    return scale
