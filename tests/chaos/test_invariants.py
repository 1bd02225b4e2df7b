# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge is judged: a good history passes, and each planted violation is found by its own invariant."""

from __future__ import annotations

from typing import Any

import pytest

from .history import Row
from .invariants import Budget, violations

C1, C2 = "a" * 12, "b" * 12
NAME = f"host-runner-1-{C2}"


def row(at: float, who: str, what: str, of: str = "", **more: Any) -> Row:
    return Row(at, who, what, of, more)


def asked(at: float, **more: Any) -> Row:
    return row(at, "github", "asked", "/orgs/my-org/actions/runners", method="GET", status=200, since=at, **more)


def delivered(at: float, container: str, credential: str, starts: int = 1) -> Row:
    return row(at, "docker", "delivered", container, credential=credential, starts=starts)


def job(at: float, what: str, number: str = "1", container: str = C1) -> Row:
    return row(at, "job", what, number, runner=f"host-runner-1-{container}", container=container)


def stopped(at: float, container: str = C1, working: bool = True, by: str = "runnerd") -> Row:
    return row(at, "docker", "stopped", container, slot="runner-1", by=by, working=working)


def wants(at: float, *slots: str) -> Row:
    return row(at, "person", "wants", slots=slots, drain=100.0, job=1000.0)


def quiet(at: float, **changes: Any) -> Row:
    facts = {"slots": ["runner-1"], "containers": {C2: "runner-1"}, "volumes": [C2], "blocks": ["runner-1"], **changes}
    return row(at, "stage", "quiet", **facts)


def registered(at: float, *names: str) -> Row:
    return row(at, "stage", "registered", names=list(names))


BEGIN = [wants(0, "runner-1"), row(1, "docker", "created", C1), delivered(1, C1, "one"), job(2, "queued")]
RAN = [*BEGIN, job(3, "started"), job(9, "ended")]
END = [row(10, "docker", "created", C2), delivered(10, C2, "two"), quiet(20), registered(20, NAME)]
GOOD = [*RAN, *END]
KILLED = [*BEGIN, job(3, "started"), job(5, "killed")]
LEFT = [wants(5), wants(6, "runner-1")]
REPORT = row(6, "runnerd", "ended", f"host-runner-1-{C1}", detail="job lost: job 'x' was running")


@pytest.mark.parametrize(
    "history",
    [
        [],
        GOOD,
        [*KILLED, REPORT, *END],
        [*BEGIN, job(3, "started"), stopped(4, by="person"), job(4, "killed"), REPORT],
        [*BEGIN, job(3, "started"), wants(50), stopped(150), job(150, "killed"), REPORT],
        [*BEGIN, job(3, "started"), row(50, "person", "stop", limit=0.0), stopped(50), job(50, "killed"), REPORT],
        [*BEGIN, job(3, "started"), stopped(1004), job(1004, "killed"), REPORT],
        [*RAN, stopped(9, working=False)],
        [*GOOD, asked(30, wait=60.0), asked(91)],
    ],
)
def test_a_good_history_is_good(history: list[Row]) -> None:
    assert violations(history) == []


@pytest.mark.parametrize(
    ("invariant", "history"),
    [
        ("every queued job", [*GOOD, job(30, "queued", "2")]),
        ("every queued job", [*GOOD, job(30, "queued", "2"), job(31, "started", "2", C2)]),
        ("every queued job", [*RAN, job(30, "started", "1", C2), job(40, "ended", "1", C2)]),
        ("every queued job", KILLED),
        ("every queued job", [*KILLED, row(6, "runnerd", "ended", f"host-runner-1-{C1}", detail="job lost: ")]),
        ("every queued job", [*KILLED, row(6, "runnerd", "ended", NAME, detail="job lost: why")]),
        ("a container runs at most", [*RAN, job(9, "queued", "2"), job(10, "started", "2"), job(11, "ended", "2")]),
        ("no busy runner", [*BEGIN, job(3, "started"), stopped(4), job(4, "killed"), REPORT]),
        ("no busy runner", [*BEGIN, job(3, "started"), wants(50), stopped(148), job(148, "killed"), REPORT]),
        ("no busy runner", [*BEGIN, job(3, "started"), *LEFT, stopped(150), job(150, "ended")]),
        (
            "no busy runner",
            [*BEGIN, job(3, "started"), row(4, "person", "drain", limit=50.0), row(5, "person", "resume"), stopped(90),
             job(90, "ended")],
        ),
        (
            "no busy runner",
            [*BEGIN, job(3, "started"), row(4, "person", "stop", "runner-2", limit=0.0), stopped(90), job(90, "ended")],
        ),
        ("no busy runner", [*BEGIN, job(3, "started"), stopped(1001), job(1001, "ended")]),
        ("when all is quiet", [*RAN, quiet(20, containers={}, volumes=[]), registered(20)]),
        ("when all is quiet", [*RAN, quiet(20, volumes=[C1, C2]), registered(20, NAME)]),
        ("when all is quiet", [*RAN, quiet(20, blocks=["runner-1", "runner-2"]), registered(20, NAME)]),
        ("when all is quiet", [*RAN, quiet(20), registered(20)]),
        ("when all is quiet", [*RAN, quiet(20), registered(20, NAME, f"host-runner-1-{C1}")]),
        ("a credential is delivered once", [*GOOD, delivered(30, "c" * 12, "two")]),
        ("a credential is delivered once", [*GOOD, delivered(30, C2, "three")]),
        ("a credential is delivered once", [*GOOD, delivered(30, "c" * 12, "three", starts=2)]),
        ("GitHub is not asked", [*GOOD, asked(30, wait=60.0), asked(80)]),
        ("GitHub is not asked", [*GOOD, asked(30, until=90.0), asked(31, wait=5.0), asked(91)]),
        ("calls stay within", [*GOOD, *(asked(30 + n / 100) for n in range(100))]),
        ("every error is foreseen", [*GOOD, row(30, "runnerd", "error", detail="KeyError", foreseen=False)]),
    ],
)  # fmt: skip
def test_each_violation_is_found(invariant: str, history: list[Row]) -> None:
    found = violations(history, Budget(per_container=5, per_hour=10, besides=10))
    assert found
    assert {one.invariant.startswith(invariant) for one in found} == {True}, "\n".join(map(str, found))
