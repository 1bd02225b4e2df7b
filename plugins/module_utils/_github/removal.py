# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deregistering runners that may be at work.

GitHub's word on a runner is not enough: `busy` is wrong for up to a minute after a job began, and both it and `status`
flicker (seen in github-aws-runners/terraform-aws-github-runner#5085 and #5228). So a runner has to look right over some
time, at each of several looks; and GitHub's DELETE has the last word, since it refuses while a job runs.

Nor does GitHub tell since when a runner is offline, so that has to be watched, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .errors import GitHubError
from .runners import Runner, Runners

LOOK = 15.0  # seconds between two looks
APART = 1.0  # seconds between two deletions, as GitHub asks for (docs: best practices for using the REST API)


def idle(runner: Runner) -> bool:
    """It runs no job."""
    return not runner.busy


def ghost(runner: Runner) -> bool:
    """It runs no job and is not there; so is one that has been made and not started yet."""
    return not runner.busy and runner.status == "offline"


def remove(
    runners: Runners,
    runner_id: int,
    fit: Callable[[Runner], bool],
    *,
    seconds: float,
    wait: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Deregister a runner; True if it is gone, by whatever way, False if it is not `fit` when the time is over.

    Args:
        fit: Whether a runner that looks so may be deregistered: `idle` or `ghost`.
        seconds: For how long it has to be fit, at each look.
        wait: Seconds until it has to be fit; it is watched for `seconds` after that if need be.
        sleep, clock: For tests.

    Raises:
        GitHubError: GitHub refuses, or cannot be asked, and that not only for some of the time that there is to wait.
    """
    limit = clock() + wait
    since: float | None = None  # when it began to be fit
    while True:
        try:
            runner = runners.get(runner_id)
            if runner is None:
                return True
            now = clock()
            since = None if not fit(runner) else now if since is None else since
            if since is not None and now - since >= seconds:
                if runners.delete(runner_id) == "gone":
                    return True
                since = None  # it has a job, whatever it looks like
        except GitHubError as exc:
            now, since = clock(), None  # what is not known is not fit
            if not exc.transient or now >= limit:
                raise
        if since is None and now >= limit:
            return False
        sleep(min(LOOK, limit - now if since is None else since + seconds - now))


def ghosts(
    runners: Runners,
    prefix: str,
    *,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[Runner]:
    """The runners with that beginning of their names that are ghosts at each look of some `seconds`.

    It takes no longer than there are any.
    """
    end = clock() + seconds
    found: dict[int, Runner] | None = None
    while True:
        seen = {each.id: each for each in runners.list() if each.name.startswith(prefix) and ghost(each)}
        found = {number: each for number, each in (found or seen).items() if number in seen}
        left = end - clock()
        if not found or left <= 0:
            return list(found.values())
        sleep(min(LOOK, left))


def prune(runners: Runners, found: list[Runner], sleep: Callable[[float], None] = time.sleep) -> list[Runner]:
    """Deregister ghosts; those that are gone then. Who is none any more at a last look stays."""
    gone = []
    for number, each in enumerate(found):
        if number:
            sleep(APART)
        if remove(runners, each.id, ghost, seconds=0.0):
            gone.append(each)
    return gone
