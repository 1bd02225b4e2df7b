# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The labels of runners: what GitHub takes for one, and which a runner should have."""

from __future__ import annotations

import re
from collections.abc import Iterable

# GitHub's names of architectures, by themselves and by those of kernels (`uname -m`, Ansible's facts).
ARCHITECTURES = {"x64": "x64", "arm64": "arm64", "arm": "arm", "x86_64": "x64", "aarch64": "arm64"}
LABEL = re.compile(r"[^\s,]{1,256}")  # GitHub's pages and `config.sh` part labels at commas
MOST = 100  # a runner's (docs: create configuration for a just-in-time runner)


def default_labels(architecture: str) -> list[str]:
    """The labels of a runner that was told none: true of it, and those that workflows are written for.

    A JIT configuration gets no label but those that are asked for, not even ``self-hosted`` (seen at GitHub).

    Args:
        architecture: A key of ARCHITECTURES.
    """
    return ["self-hosted", "linux", ARCHITECTURES[architecture], "ephemeral"]


def distinct_labels(labels: Iterable[str]) -> list[str]:
    """Each label once, as it was written first: GitHub does not tell capitals from small letters."""
    found: dict[str, str] = {}
    for label in labels:
        found.setdefault(label.lower(), label)
    return list(found.values())


def next_custom_labels(wanted: Iterable[str], labels: Iterable[str], custom: Iterable[str], append: bool) -> list[str]:
    """The custom labels that a runner is to have.

    Args:
        wanted: Labels that it is to have, custom or not.
        labels: All that it has now. Those that are not `custom` stay whatever is done, so they are not made again.
        custom: The custom ones among them.
        append: Leave it those that are not wanted.
    """
    custom = [*custom]
    fixed = {label.lower() for label in labels} - {label.lower() for label in custom}
    return distinct_labels([*(custom if append else []), *(label for label in wanted if label.lower() not in fixed)])


def label_problems(labels: Iterable[str]) -> list[str]:
    """All that GitHub would refuse, each ``labels = value: why. Do: remedy``."""
    labels = [*labels]
    problems = [
        f"labels = {label!r}: no label: 1 to 256 characters, no blank, no comma. Do: write each by itself"
        for label in labels
        if not LABEL.fullmatch(label)
    ]
    count = len(distinct_labels(labels))
    if not 1 <= count <= MOST:
        problems.append(f"labels = ({count} of them): GitHub takes 1 to {MOST}. Do: write as many")
    return problems
