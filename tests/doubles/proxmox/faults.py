# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults a test can order, and when each applies. Pure: the wire and the tasks ask, and do what they are told."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

EFFECTS = {
    "status": (int, "answer with this status and `message=` as the reason instead of doing anything; 595: node away"),
    "malformed": (bool, "do it, but answer with something that is no JSON, as a proxy in between does"),
    "cut": (str, "'before': cut the connection, nothing was done; 'after': it was done, the answer is lost"),
    "task_fails": (str, "the task ends with this exit status, its work is not done"),
    "task_hangs": (bool, "the task never ends by itself, its work is not done; stopping it ends it"),
    "task_takes": (float, "the task takes so many seconds longer"),
    "agent_silent": (bool, "the agent of the guest does not answer: 'QEMU guest agent is not running'"),
}
ON_THE_WIRE = ("status", "malformed", "cut", "delay")
ON_TASKS = ("task_fails", "task_hangs", "task_takes")
CHOICES = {"cut": ("before", "after")}
MATCHERS = {"method": str, "path": str, "task": str, "vmid": int, "times": int, "skip": int}
MODIFIERS = {"delay": (int, float), "message": str}


@dataclasses.dataclass
class Fault:
    """One ordered fault: what it does, where, and how often it has."""

    id: int
    effect: str
    value: Any
    method: str = ".*"  # a pattern for the whole method
    path: str = ".*"  # a pattern found anywhere in the path
    task: str = ".*"  # a pattern for the whole type of a task: qmclone
    vmid: int | None = None  # of the task (a clone's is the template's) or of the guest
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
    for key, value in body.items():
        kinds: Any = EFFECTS[key][0] if key in EFFECTS else MATCHERS.get(key, MODIFIERS.get(key))
        if kinds is None:
            known = ", ".join([*EFFECTS, *MATCHERS, *MODIFIERS])
            raise ValueError(f"{key} = {value!r}: unknown. Use: {known}.")
        if kinds is float:
            kinds = (int, float)
        if value is None and key in ("times", "vmid"):
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise ValueError(f"{key} = {value!r}: wrong kind of value.")
        if kinds in (int, (int, float)) and value < 0:
            raise ValueError(f"{key} = {value!r}: must not be negative.")
        if key in CHOICES and value not in CHOICES[key]:
            raise ValueError(f"{key} = {value!r}: write one of {', '.join(CHOICES[key])}.")
        if key in ("method", "path", "task"):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{key} = {value!r}: not a regular expression ({error}).") from None
    return Fault(
        id=number,
        effect=effects[0],
        value=body[effects[0]],
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

    def on_task(self, kind: str, vmid: int) -> Fault | None:
        """The fault that a task meets."""
        for fault in self.all:
            here = re.fullmatch(fault.task, kind) and fault.vmid in (None, vmid)
            if fault.effect in ON_TASKS and here and fault.strikes():
                return fault
        return None

    def on_agent(self, vmid: int) -> bool:
        """Whether this guest's agent is silent now."""
        return any(
            fault.effect == "agent_silent" and fault.vmid in (None, vmid) and fault.strikes() for fault in self.all
        )
