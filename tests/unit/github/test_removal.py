# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a runner is deregistered: against a GitHub that is a function of time, and a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import removal
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import (
    GitHubError,
    ServerError,
    Unauthorized,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner, Runners

IDLE = Runner(7, "one", "Linux", "online", False, ())
BUSY = replace(IDLE, busy=True)
OFFLINE = replace(IDLE, status="offline")


@dataclass
class GitHub:
    """What is told of runners at each second, and whether a DELETE is refused then."""

    there: Callable[[float], list[Runner]]
    refuses: Callable[[float], bool] = lambda now: False
    now: float = 0.0
    looks: list[float] = field(default_factory=list)
    deletes: list[float] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def list(self) -> list[Runner]:
        self.looks.append(self.now)
        return [each for each in self.there(self.now) if each.id not in self.gone]

    def get(self, runner_id: int) -> Runner | None:
        return next((each for each in self.list() if each.id == runner_id), None)

    def delete(self, runner_id: int) -> str:
        self.deletes.append(self.now)
        if self.refuses(self.now):
            return "busy"
        self.gone.add(runner_id)
        return "gone"

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    @property
    def around(self) -> dict[str, Any]:
        return {"sleep": self.sleep, "clock": lambda: self.now}

    @property
    def runners(self) -> Runners:
        return cast(Runners, self)


def remove(github: GitHub, seconds: float = 60, wait: float = 0, fit: Any = removal.idle) -> bool:
    return removal.remove(github.runners, 7, fit, seconds=seconds, wait=wait, **github.around)


def outage(kind: type[GitHubError] = ServerError) -> Any:
    raise kind("look", message="no")


def always(*runners: Runner) -> GitHub:
    return GitHub(lambda now: [*runners])


class TestRemove:
    def test_an_idle_one_after_looks_over_a_minute(self) -> None:
        github = always(IDLE)
        assert remove(github)
        assert github.looks == [0, 15, 30, 45, 60]
        assert github.deletes == [60]

    def test_at_once_if_so_told(self) -> None:
        github = always(IDLE)
        assert remove(github, seconds=0)
        assert (github.looks, github.deletes) == ([0], [0])

    def test_a_busy_one_is_left_alone(self) -> None:
        github = always(BUSY)
        assert not remove(github)
        assert (github.looks, github.deletes) == ([0], [])

    def test_one_whose_job_shows_late(self) -> None:
        github = GitHub(lambda now: [BUSY if now > 30 else IDLE])
        assert not remove(github)
        assert github.deletes == []

    def test_one_whose_job_ends_in_time(self) -> None:
        github = GitHub(lambda now: [BUSY if now < 100 else IDLE])
        assert remove(github, wait=100)
        assert github.deletes == [160]

    def test_one_whose_job_does_not(self) -> None:
        github = always(BUSY)
        assert not remove(github, wait=100)
        assert (github.now, github.deletes) == (100, [])

    def test_one_that_flickers(self) -> None:
        github = GitHub(lambda now: [IDLE if now % 45 else BUSY])
        assert not remove(github, wait=600)
        assert github.deletes == []

    def test_github_has_the_last_word(self) -> None:
        github = GitHub(lambda now: [IDLE], refuses=lambda now: now < 600)
        assert not remove(github)
        assert github.deletes == [60]
        assert remove(replace(github, now=0, deletes=[]), wait=3600)

    def test_a_refusal_begins_the_watch_anew(self) -> None:
        github = GitHub(lambda now: [IDLE], refuses=lambda now: now < 65)
        assert remove(github, wait=3600)
        assert github.deletes == [60, 60 + removal.LOOK + 60]

    def test_one_that_goes_by_itself(self) -> None:
        github = GitHub(lambda now: [BUSY] if now < 50 else [])
        assert remove(github, wait=100)
        assert github.deletes == []

    def test_an_outage_begins_the_watch_anew(self) -> None:
        """What is not known is not idle."""
        github = GitHub(lambda now: [IDLE] if not 20 < now < 50 else outage())
        assert remove(github, wait=300)
        assert github.deletes == [60 + 60]

    def test_an_outage_without_time_to_wait(self) -> None:
        github = GitHub(lambda now: [IDLE] if now < 20 else outage())
        with pytest.raises(ServerError):
            remove(github)
        assert github.deletes == []

    def test_an_outage_at_the_end_of_the_wait(self) -> None:
        github = GitHub(lambda now: [BUSY] if now < 20 else outage())
        with pytest.raises(ServerError):
            remove(github, wait=300)
        assert github.now == 300

    def test_a_delete_without_an_answer_is_looked_after(self) -> None:
        github = GitHub(lambda now: [IDLE], refuses=lambda now: bool(now < 65 and outage()))
        assert remove(github, wait=300)
        assert github.deletes == [60, 60 + removal.LOOK + 60]

    def test_a_refusal_for_good_is_not_waited_out(self) -> None:
        github = GitHub(lambda now: [BUSY] if now < 20 else outage(Unauthorized))
        with pytest.raises(Unauthorized):
            remove(github, wait=300)
        assert github.now == 30

    def test_one_that_is_not_there(self) -> None:
        assert remove(always())

    @pytest.mark.parametrize("one", [IDLE, BUSY, replace(OFFLINE, busy=True)])
    def test_no_ghost(self, one: Runner) -> None:
        github = always(one)
        assert not remove(github, fit=removal.ghost)
        assert github.deletes == []

    @given(busy=st.lists(st.booleans(), min_size=1, max_size=60), wait=st.integers(0, 600))
    def test_never_unless_idle_at_every_look(self, busy: list[bool], wait: int) -> None:
        """Each quarter of a minute is one or the other."""
        github = GitHub(lambda now: [BUSY if busy[int(now // 15) % len(busy)] else IDLE])
        removed = remove(github, wait=wait)
        assert github.now <= wait + 60
        assert removed is bool(github.deletes)
        for end in github.deletes:
            watched = [each for each in github.looks if end - 60 <= each <= end]
            assert len(watched) >= 5
            assert not any(busy[int(each // 15) % len(busy)] for each in watched)


def ghosts(github: GitHub, prefix: str = "one", seconds: float = 60) -> list[int]:
    found = removal.ghosts(github.runners, prefix, seconds=seconds, **github.around)
    return [each.id for each in found]


class TestGhosts:
    def test_those_that_stay_offline(self) -> None:
        late, other = replace(OFFLINE, id=8, name="one-8"), replace(OFFLINE, id=9, name="another")
        github = GitHub(lambda now: [OFFLINE, replace(late, status="online" if now == 45 else "offline"), other])
        assert ghosts(github) == [7]
        assert github.looks == [0, 15, 30, 45, 60]

    def test_a_new_one_has_not_been_watched(self) -> None:
        """Even under the same name."""
        github = GitHub(lambda now: [OFFLINE, replace(OFFLINE, id=8 if now < 30 else 9)])
        assert ghosts(github) == [7]

    def test_it_takes_no_time_if_there_is_none(self) -> None:
        github = always(IDLE, BUSY)
        assert ghosts(github) == []
        assert github.looks == [0]

    def test_and_no_more_than_needed(self) -> None:
        github = GitHub(lambda now: [OFFLINE if now < 20 else IDLE])
        assert ghosts(github, seconds=3600) == []
        assert github.looks == [0, 15, 30]

    def test_at_once_if_so_told(self) -> None:
        github = always(OFFLINE)
        assert ghosts(github, seconds=0) == [7]
        assert github.looks == [0]


def test_pruning_looks_once_more_and_goes_slowly() -> None:
    """One is online by now, one has a job that GitHub does not show."""
    other, third = replace(OFFLINE, id=8), replace(OFFLINE, id=9)
    github = GitHub(lambda now: [replace(OFFLINE, status="online"), other, third], refuses=lambda now: now == 1)
    gone = removal.prune(github.runners, [OFFLINE, other, third], github.sleep)
    assert gone == [third]
    assert github.deletes == [1, 2]
