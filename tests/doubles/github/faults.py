# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults a test can order, and when each applies. Pure: the wire and the state ask, and do what they are told."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

# Each tied to something seen in practice; runner-facing ones name the report.
EFFECTS = {
    "status": (int, "answer with this status instead of doing anything (with body, headers, retry_after if given)"),
    "html": (int, "answer with this status and an HTML page, as a proxy in between does"),
    "malformed": (bool, "do it, but answer with broken JSON"),
    "truncate": (int, "do it, but send only so many bytes of the answer and cut the connection"),
    "cut": (str, "'before': cut the connection, nothing was done; 'after': it was done, the answer is lost"),
    "busy_lag": (
        float,
        "a runner looks idle, also to DELETE, for so many seconds after it got a job (philips tf#5085)",
    ),
    "flicker": (str, "'busy' or 'status': every other look at a runner shows it idle or offline (tf#5228)"),
    "short_list": (int, "the list of runners lacks its last N, also in total_count"),
    "deregister": (
        str,
        "'online' or 'acknowledge': the registration vanishes then, the runner is not told (actions/runner#4617)",
    ),
    "complete_early": (
        float,
        "the job is reported as over so many seconds after it began, and goes on (actions/runner#4492)",
    ),
    "refuse_version": (str, "runner versions that match this pattern get no session"),
}
ON_THE_WIRE = ("status", "html", "malformed", "truncate", "cut", "delay")
CHOICES = {"cut": ("before", "after"), "flicker": ("busy", "status"), "deregister": ("online", "acknowledge")}
MATCHERS = {"method": str, "path": str, "runner": str, "times": int, "skip": int}
MODIFIERS = {"delay": (int, float), "body": object, "headers": dict, "retry_after": (int, float), "result": str}


@dataclasses.dataclass
class Fault:
    """One ordered fault: what it does, where, and how often it has."""

    id: int
    effect: str
    value: Any
    method: str = ".*"  # a pattern for the whole method
    path: str = ".*"  # a pattern found anywhere in the path
    runner: str = ".*"  # a pattern for the whole name of a runner
    times: int | None = None  # how often it applies; None = until it is deleted
    skip: int = 0  # how many matches pass unharmed first
    modifiers: dict[str, Any] = dataclasses.field(default_factory=dict)
    matched: int = 0
    applied: int = 0

    def strikes(self) -> bool:
        """Count one match; True when the fault applies to it."""
        self.matched += 1
        if self.matched <= self.skip or (self.times is not None and self.applied >= self.times):
            return False
        self.applied += 1
        return True


def parse(number: int, body: Any) -> Fault:
    """A fault from a JSON object. Raises ValueError that names the key, the value and what to write."""
    if not isinstance(body, dict):
        raise ValueError("a fault is a JSON object.")
    effects = [key for key in body if key in EFFECTS] or [key for key in body if key == "delay"]
    if len(effects) != 1:
        raise ValueError(
            f"effects = {effects}: a fault has exactly one. Give one of: {', '.join(EFFECTS)}, or delay alone."
        )
    effect = effects[0]
    for key, value in body.items():
        kinds: Any = EFFECTS[key][0] if key in EFFECTS else MATCHERS.get(key, MODIFIERS.get(key))
        if kinds is None:
            known = ", ".join([*EFFECTS, *MATCHERS, *MODIFIERS])
            raise ValueError(f"{key} = {value!r}: unknown. Use: {known}.")
        if kinds is float:
            kinds = (int, float)
        if value is None and key == "times":
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool and kinds is not object):
            raise ValueError(f"{key} = {value!r}: wrong kind of value.")
        if kinds in (int, (int, float)) and value < 0:
            raise ValueError(f"{key} = {value!r}: must not be negative.")
        if key in CHOICES and value not in CHOICES[key]:
            raise ValueError(f"{key} = {value!r}: write one of {', '.join(CHOICES[key])}.")
        if key in ("method", "path", "runner", "refuse_version"):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{key} = {value!r}: not a regular expression ({error}).") from None
    return Fault(
        id=number,
        effect=effect,
        value=body[effect],
        **{key: body[key] for key in MATCHERS if key in body},
        modifiers={key: body[key] for key in MODIFIERS if key in body},
    )


class Faults:
    """All faults in force, oldest first. The first that applies wins."""

    def __init__(self) -> None:
        self.all: list[Fault] = []
        self._numbers = itertools.count(1)

    def add(self, body: Any) -> Fault:
        """Order a fault. Raises ValueError."""
        fault = parse(next(self._numbers), body)
        self.all.append(fault)
        return fault

    def on_request(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets on the wire."""
        for fault in self.all:
            here = re.fullmatch(fault.method, method, re.I) and re.search(fault.path, path)
            if fault.effect in ON_THE_WIRE and here and fault.strikes():
                return fault
        return None

    def on_runner(self, effect: str, runner: str, value: Any = None) -> Fault | None:
        """The fault of this effect (and value, if given) that this runner meets."""
        for fault in self.all:
            wanted = fault.effect == effect and value in (None, fault.value)
            if wanted and re.fullmatch(fault.runner, runner) and fault.strikes():
                return fault
        return None

    def on_version(self, version: str) -> bool:
        """Whether a runner of this version is refused."""
        return any(
            fault.effect == "refuse_version" and re.fullmatch(fault.value, version) and fault.strikes()
            for fault in self.all
        )

    def on_list(self) -> int:
        """How many runners the list in hand lacks."""
        for fault in self.all:
            if fault.effect == "short_list" and fault.strikes():
                return int(fault.value)
        return 0
