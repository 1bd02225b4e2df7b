# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging what a user wrote: values by name in, lines ``variable = value: why. Do: …`` out. Nothing is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "github_docker_runners_"

#: systemd hides these from the daemon (ProtectHome, PrivateTmp), or they are made anew at each boot.
_HIDDEN = ("/home", "/root", "/run", "/tmp", "/var/tmp")  # noqa: S108 - names to refuse, no file is made there


def shown(value: object) -> str:
    """`value` as it looks in YAML, shortened."""
    plain = isinstance(value, str) and value.strip() and value.isprintable()
    text = str(value) if plain else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass
class Check:
    """Values by name, each judged and made what it stands for; what is wrong is written down and nothing raised.

    `where` comes before an option's name in a line: the place of a pool, for instance. Options that were `inherited`
    are said to be where they come from, the flat variables, whose names begin with `prefix`.
    """

    values: Mapping[str, Any]
    problems: list[str]
    where: str = PREFIX
    inherited: frozenset[str] = frozenset()
    prefix: str = PREFIX

    def place(self, option: str) -> str:
        return self.prefix if option in self.inherited else self.where

    def wrong(self, option: str, why: str, remedy: str, *, secret: bool = False) -> None:
        value = "(hidden)" if secret else shown(self.values.get(option))
        self.problems.append(f"{self.place(option)}{option} = {value}: {why}. Do: {remedy}")

    def integer(self, option: str, minimum: int, example: int, *, maximum: int | None = None, unit: str = "") -> int:
        """A whole number; texts such as ``-e`` and INI files give are read as numbers. `minimum` if it is none."""
        value = self.values.get(option)
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
            number = int(value)
        if number is not None and minimum <= number and (maximum is None or number <= maximum):
            return number
        span = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        unit = f" ({unit})" if unit else ""
        self.wrong(option, f"not a whole number {span}", f"give a whole number {span}{unit}, such as {example}")
        return minimum

    def text(self, option: str, pattern: str | re.Pattern[str], why: str, remedy: str) -> str:
        """A text that matches the whole of `pattern`; empty if it does not."""
        value = self.values.get(option)
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return str(value)
        self.wrong(option, why, remedy)
        return ""

    def choice(self, option: str, choices: tuple[str, ...]) -> str:
        allowed = " or ".join(choices)
        return self.text(option, "|".join(choices), f"not {allowed}", f"write {allowed}")

    def yes(self, option: str) -> bool:
        """True or false; texts such as ``-e`` and INI files give are read as YAML reads them."""
        value = self.values.get(option)
        if isinstance(value, bool):
            return value
        text = value.strip().lower() if isinstance(value, str) else ""
        if text not in ("true", "yes", "on", "false", "no", "off"):
            self.wrong(option, "not true or false", "write true or false")
        return text in ("true", "yes", "on")

    def path(self, option: str, remedy: str) -> str:
        """An absolute path that the hardened daemon can reach."""
        text = self.text(option, r"(?:/[\w.+@-]+)+", "not a plain absolute path", remedy)
        parts = text.split("/")
        if ".." in parts or "." in parts:
            self.wrong(option, "not a plain absolute path", remedy)
        elif any(text == folder or text.startswith(f"{folder}/") for folder in _HIDDEN):
            self.wrong(option, "the daemon runs without access to this folder (systemd's sandbox)", remedy)
        return text
