# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labels: which there are by default, what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.labels import (
    ARCHITECTURES,
    default_labels,
    distinct_labels,
    label_problems,
    next_custom_labels,
)


@pytest.mark.parametrize(
    ("machine", "label"), [("x86_64", "x64"), ("x64", "x64"), ("aarch64", "arm64"), ("arm64", "arm64"), ("arm", "arm")]
)
def test_default_labels(machine: str, label: str) -> None:
    assert default_labels(machine) == ["self-hosted", "linux", label, "ephemeral"]


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_default_labels_are_labels(machine: str) -> None:
    assert label_problems(default_labels(machine)) == []


@pytest.mark.parametrize("label", ["", " ", "a b", "a,b", "a\tb", "a\n", "x" * 257])
def test_what_is_no_label(label: str) -> None:
    (problem,) = label_problems(["fine", label])
    assert problem.startswith(f"labels = {label!r}: ")
    assert ". Do: " in problem


@pytest.mark.parametrize(("count", "problems"), [(0, 1), (1, 0), (100, 0), (101, 1)])
def test_how_many(count: int, problems: int) -> None:
    labels = [f"l{number}" for number in range(count)]
    assert len(label_problems(labels)) == problems
    assert len(label_problems([*labels, *map(str.upper, labels)])) == problems


@given(st.lists(st.text(alphabet="aAbB", min_size=1, max_size=2)))
def test_each_once_and_as_it_was_first(labels: list[str]) -> None:
    found = distinct_labels(labels)
    small = [label.lower() for label in labels]
    assert [label.lower() for label in found] == list(dict.fromkeys(small))
    assert all(labels[small.index(label.lower())] == label for label in found)


@pytest.mark.parametrize(
    ("wanted", "append", "custom"),
    [
        (["a", "b"], False, ["a", "b"]),
        (["A", "c", "C"], False, ["A", "c"]),
        (["c"], True, ["a", "b", "c"]),
        (["A", "c"], True, ["a", "b", "c"]),
        ([], False, []),
        ([], True, ["a", "b"]),
        (["Linux", "c"], False, ["c"]),
        (["Linux"], True, ["a", "b"]),
    ],
)
def test_next_custom_labels(wanted: list[str], append: bool, custom: list[str]) -> None:
    """Of a runner that has `a` and `b`, and `linux`, which stays."""
    assert next_custom_labels(wanted, ["linux", "a", "b"], ["a", "b"], append) == custom
