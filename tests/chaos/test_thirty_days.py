# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Days of work through one pool: no job is lost, GitHub is hardly asked, and nothing in runnerd grows with the time.

`make chaos` lets thirty days and more than 10,000 jobs pass; a part of one of them is in `make test`.
"""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from pathlib import Path

from runnerd import journal

from . import sizes
from .github import TOKEN
from .history import ASKED, JOB_ENDED
from .invariants import Budget
from .stage import Stage
from .trial import Claim, conclude

DAY = 86400.0
#: For each job: one registration; its version's end is asked again when a pool of one slot was empty in between.
BUDGET = Budget(per_container=2.2, per_hour=20.0, besides=20.0)


def owned() -> int:
    """Bytes that runnerd and the HTTP client hold."""
    gc.collect()
    filters = [tracemalloc.Filter(True, "*/runnerd/*"), tracemalloc.Filter(True, "*/_github/*")]
    return sum(one.size for one in tracemalloc.take_snapshot().filter_traces(filters).statistics("filename"))


def held(stage: Stage) -> dict[str, int]:
    """What could leak."""
    files = sum(file.stat().st_size for file in stage.folder.rglob("*") if file.is_file())
    return {"memory": owned(), "descriptors": len(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
            "disk": files}  # fmt: skip


def work(stage: Stage, days: float, jobs: int) -> None:
    """So many jobs, spread over these days."""
    for number in range(jobs):
        stage.service.queue(stage.dice.choice((20, 60, 240)))
        stage.run(days * DAY / jobs)
        if number % 50 == 0:
            stage.service.forget_what_is_over()


def test_thirty_days(tmp_path: Path, monkeypatch) -> None:
    """One of the two pools uses a GitHub App, the other one a token.

    What a third of the time left behind is all there is at the end, give or take what a few jobs make.
    """
    # What the journal keeps is full after the first third, so that its file must not grow from then on.
    kept = max(50, sizes.JOBS // 4)
    monkeypatch.setattr(journal, "EVENTS_KEPT", 3 * kept)
    monkeypatch.setattr(journal, "ATTEMPTS_KEPT", kept)
    with Stage(tmp_path, sizes.SEED) as stage:
        stage.host.give({"token": TOKEN}, app=stage.service.app())
        stage.host.deploy(repository_credential="app")
        stage.host.end("restarted")
        stage.until(stage.online, "all slots online")
        work(stage, sizes.DAYS / 3, sizes.JOBS // 3)
        stage.settle()
        tracemalloc.start()
        work(stage, sizes.DAYS / 3, sizes.JOBS // 3)
        stage.settle()
        early = held(stage)
        work(stage, sizes.DAYS / 3, sizes.JOBS - 2 * (sizes.JOBS // 3))
        stage.settle()
        late = held(stage)
        tracemalloc.stop()
        ran = len({row.of for row in stage.history.of(JOB_ENDED)})
        assert ran == sizes.JOBS
        claim = Claim("days without a rest", 4, f"{sizes.DAYS:g} days, {ran} jobs, nothing leaks")
        conclude(stage, claim, was_away=False, budget=BUDGET)
        assert late["descriptors"] <= early["descriptors"]
        assert late["threads"] <= early["threads"]
        assert late["memory"] < early["memory"] + 50_000, (early, late)
        assert late["disk"] < 1.2 * early["disk"] + 50_000, (early, late)
        tokens = [row for row in stage.history.of(ASKED) if row.of.endswith("/access_tokens")]
        assert 20 * sizes.DAYS < len(tokens) < 30 * sizes.DAYS + 3, "the App's tokens die after an hour, and not before"
        assert stage.host.supervisor.status.warnings == ()
        asked = sum(1 for _row in stage.history.of(ASKED))
        print(f"{sizes.DAYS} days, {ran} jobs, {asked / ran:.2f} requests a job; {early} -> {late}")
