# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge is judged: a good history passes, and each planted violation is found by its own invariant."""

from __future__ import annotations

from typing import Any

import pytest

from .fates import Fate, fates
from .history import QUIET, Row, of
from .invariants import Budget, violations

C1, C2 = "a" * 12, "b" * 12
NAME = f"host-runner-1-{C2}"


def row(at: float, who: str, what: str, of: str = "", **more: Any) -> Row:
    return Row(at, who, what, of, more)


def asked(at: float, since: float | None = None, **more: Any) -> Row:
    facts = {"method": "GET", "status": 200, "since": at if since is None else since, **more}
    return row(at, "github", "asked", "/orgs/my-org/actions/runners", **facts)


def delivered(at: float, container: str, credential: str, starts: int = 1) -> Row:
    return row(at, "docker", "delivered", container, credential=credential, starts=starts)


def job(at: float, what: str, number: str = "1", container: str = C1, **more: Any) -> Row:
    return row(at, "job", what, number, runner=f"host-runner-1-{container}", container=container, **more)


def ended(at: float, detail: str) -> Row:
    return row(at, "runnerd", "ended", f"host-runner-1-{C1}", detail=detail)


def doubt(at: float, of_what: str, on: bool) -> Row:
    return row(at, "host", "doubt", of_what, on=on)


def began(at: float) -> Row:
    return row(at, "runnerd", "began")


def idle_hour(at: float, calls: int) -> list[Row]:
    asking = [asked(at + 170.0 * number) for number in range(calls)]
    return [row(at, "stage", "idle", on=True, hosts=1), *asking, row(at + 3600, "stage", "idle", on=False, hosts=1)]


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
REPORT = ended(6, "job lost: job 'x' was running")
UNSEEN = ended(6, "killed: its container was removed from outside")
#: Its runner had the time to cancel its job.
CANCELED = [*BEGIN, job(3, "started"), job(5, "ended", result="Canceled"), ended(6, "job: job 'x': Canceled")]
REFUSED = asked(30, wait=600.0)


#: What each of them goes on with, so that it shows something.
ELSEWHERE = [job(10, "queued", "9"), job(10, "started", "9", "9" * 12), job(15, "ended", "9", "9" * 12)]


def whole(history: list[Row]) -> list[Row]:
    """With another job, and seen to its end."""
    end = [] if any(of(history, QUIET)) else END
    return sorted([*history, *ELSEWHERE, *end], key=lambda each: each.at)


@pytest.mark.parametrize(
    "history",
    [
        GOOD,
        [*KILLED, ended(6, "job cancelled: stopped now"), *END],
        [*BEGIN, job(3, "started"), job(4, "killed", seen=False), UNSEEN],
        [*BEGIN, job(3, "started"), job(4, "killed", seen=False), ended(6, "ended idle: with exit code 1")],
        [*BEGIN, job(3, "started"), job(700, "ended", result="Failed", unheard=True)],
        [*KILLED, REPORT, *END],
        [*BEGIN, job(3, "started"), stopped(4, by="person"), job(4, "killed"), REPORT],
        [*CANCELED, stopped(4, by="person", working=False)],
        [*BEGIN, job(3, "started"), wants(50), stopped(150), job(150, "killed"), REPORT],
        [*BEGIN, job(3, "started"), row(50, "person", "stop", limit=0.0), stopped(50), job(50, "killed"), REPORT],
        [*BEGIN, job(3, "started"), stopped(1004), job(1004, "killed"), REPORT],
        [*RAN, stopped(9, working=False)],
        [*GOOD, asked(30, wait=60.0), asked(91)],
        [*GOOD, REFUSED, asked(31, since=29)],
        [*GOOD, REFUSED, row(40, "host", "forgets"), asked(50)],
        [*GOOD, doubt(29, "clock", True), REFUSED, doubt(31, "clock", False), began(40), asked(50)],
        [*GOOD, REFUSED, doubt(31, "clock", True), began(40), asked(50)],
        [*GOOD, doubt(29, "disk", True), REFUSED, doubt(31, "disk", False), began(40), asked(50)],
        [*GOOD, REFUSED, row(30, "host", "runnerd ended"), began(32), asked(50)],
        [*GOOD, *idle_hour(30, 20)],
    ],
)
def test_a_good_history_is_good(history: list[Row]) -> None:
    assert violations(whole(history)) == []


#: So small that a few calls are too many.
BUDGET = Budget(per_container=5, per_hour=40, besides=10)


@pytest.mark.parametrize(
    ("invariant", "history"),
    [
        ("every queued job", [*GOOD, job(30, "queued", "2")]),
        ("every queued job", [*GOOD, job(30, "queued", "2"), job(31, "started", "2", C2)]),
        ("every queued job", [*RAN, job(30, "started", "1", C2), job(40, "ended", "1", C2)]),
        ("every queued job", KILLED),
        ("every queued job", [*KILLED, ended(6, "job lost: ")]),
        ("every queued job", [*KILLED, ended(6, "drained: asked for")]),
        ("every queued job", [*KILLED, ended(6, "host restarted: the host was restarted")]),
        ("every queued job", [*KILLED, UNSEEN]),
        ("every queued job", [*BEGIN, job(3, "started"), job(4, "killed", seen=False), ended(6, "drained: asked for")]),
        ("every queued job", [*BEGIN, job(3, "started"), job(5, "ended", result="Canceled")]),
        ("every queued job", [*KILLED, ended(6, "ended idle: with exit code 1")]),
        (
            "every queued job",
            [*KILLED, row(5, "host", "runnerd ended"), began(5), ended(6, "ended idle: with exit code 1")],
        ),
        ("every queued job", [*BEGIN, job(3, "started"), job(4, "killed", seen=False), ended(6, "drained: drained")]),
        ("every queued job", CANCELED),
        ("every queued job", [*CANCELED, stopped(4, working=False)]),
        ("every queued job", [*CANCELED, stopped(300, by="person", working=False)]),
        (
            "every queued job",
            [
                *BEGIN,
                job(3, "started"),
                stopped(4, by="person", working=False),
                job(5, "ended", result="Failed"),
                ended(6, "job: job 'x': Failed"),
            ],
        ),
        (
            "every queued job",
            [*BEGIN, job(3, "started"), job(5, "ended", result="Failed"), ended(6, "job: 'x': Failed")],
        ),
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
        ("when all is quiet", [*RAN, quiet(20, old=["runner-1"]), registered(20, NAME)]),
        ("when all is quiet", [*RAN, quiet(20), registered(20)]),
        ("when all is quiet", [*RAN, quiet(20), registered(20, NAME, f"host-runner-1-{C1}")]),
        ("a credential is delivered once", [*GOOD, delivered(30, "c" * 12, "two")]),
        ("a credential is delivered once", [*GOOD, delivered(30, C2, "three")]),
        ("a credential is delivered once", [*GOOD, delivered(30, "c" * 12, "three", starts=2)]),
        ("GitHub is not asked", [*GOOD, asked(30, wait=60.0), asked(80)]),
        ("GitHub is not asked", [*GOOD, asked(30, until=90.0), asked(31, wait=5.0), asked(91)]),
        ("GitHub is not asked", [*GOOD, asked(30, wait=600.0), asked(80, wait=5.0), asked(100)]),
        ("GitHub is not asked", [*GOOD, REFUSED, began(40), asked(50)]),
        ("GitHub is not asked", [*GOOD, REFUSED, row(31, "host", "runnerd ended"), began(40), asked(50)]),
        ("GitHub is not asked", [*GOOD, doubt(20, "clock", True), doubt(21, "clock", False), REFUSED, began(40),
                                 asked(50)]),
        ("GitHub is not asked", [*GOOD, doubt(29, "clock", True), REFUSED, asked(50)]),
        ("GitHub is not asked", [*GOOD, REFUSED, doubt(31, "disk", True), began(40), asked(50)]),
        ("calls stay within", [*GOOD, *idle_hour(30, 21)]),
        ("calls stay within", [*GOOD, *(asked(30 + n / 100) for n in range(100))]),
        ("every error is foreseen", [*GOOD, row(30, "runnerd", "error", detail="KeyError", foreseen=False)]),
    ],
)  # fmt: skip
def test_each_violation_is_found(invariant: str, history: list[Row]) -> None:
    found = violations(whole(history), BUDGET)
    assert found
    assert {one.invariant.startswith(invariant) for one in found} == {True}, "\n".join(map(str, found))


@pytest.mark.parametrize(
    "history",
    [
        [],
        [*RAN, registered(20, NAME)],
        [*BEGIN, job(3, "started"), *END],
    ],
    ids=["nothing", "nobody looked", "no job ended"],
)
def test_a_history_that_shows_nothing_is_red(history: list[Row]) -> None:
    assert {one.invariant for one in violations(history)} >= {"the history shows something"}


def test_what_became_of_jobs_is_counted_before_it_is_judged() -> None:
    """Also where the judge refuses: two of these jobs are lost."""
    rows = [*RAN, *KILLED, job(30, "queued", "2"), job(30, "queued", "3"), job(31, "started", "3"), *ELSEWHERE]
    rows += [job(32, "killed", "3", C2), row(33, "runnerd", "ended", f"host-runner-1-{C2}", detail="job lost: it was")]
    found = {each.number: each.fate for each in fates(rows)}
    assert found == {"1": Fate.LOST, "2": Fate.LOST, "3": Fate.REPORTED, "9": Fate.RAN}
