# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is tried, what it must come to, and how each try ends: all is well again, what became of it is counted, and only
then is it judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from . import results, sizes
from .invariants import USUAL, Budget
from .stage import Stage


class Patience(NamedTuple):
    """How many seconds after its end a fault may be felt; and why, where that is longer than a new runner takes."""

    seconds: float
    because: str = ""


AT_ONCE = Patience(10.0)
LEAVES = Patience(30.0, "who leaves is looked at once more before it is stopped")
CREDENTIAL = Patience(75.0, "a container waits for its credential for a minute")
TRIES = Patience(75.0, "what brought nothing is done again after up to a minute")
SLOT = Patience(330.0, "a slot that brings no runner online is tried again after up to 5 min")
REGISTRATION = Patience(460.0, f"{SLOT.because}, and a runner has 2 min to come online")
ERROR = Patience(330.0, "after an error GitHub is asked again after up to 5 min")
REFUSAL = Patience(960.0, "after a refusal GitHub is asked again after up to 15 min")


def told(seconds: float) -> Patience:
    """GitHub itself has said for how long it wants to hear nothing."""
    return Patience(seconds + AT_ONCE.seconds, "as long as GitHub has said")


@dataclass(frozen=True)
class Claim:
    """A class of faults, the promise that it attacks, and when every slot must hold an online runner again."""

    name: str
    promise: int
    sentence: str
    heals: Patience = field(default=AT_ONCE, kw_only=True)

    def __str__(self) -> str:
        return self.name


def conclude(
    stage: Stage, claim: Claim, was_away: bool = True, patience: float = 3 * 3600, budget: Budget = USUAL
) -> None:
    """The fault is over: every slot must come back, and do a job. `was_away`: else nobody expects all slots online."""
    heal = None
    try:
        if was_away:
            heal = stage.until(stage.online, "all slots online", patience)
        for host in stage.hosts:
            for _dummy in host.wanted.all:
                stage.service.queue(30)
        stage.settle(patience)
        if stage.dice.random() < 1 / sizes.EVERY:
            stage.idle_hour()
    finally:
        results.note(results.Result(claim.name, claim.promise, claim.sentence, *claim.heals, *stage.came_of_it(), heal))
    stage.judge(budget)
    late = heal is not None and heal > claim.heals.seconds
    assert not late, f"{claim}: healed after {heal:.0f} s, not {claim.heals.seconds:.0f}\n{stage.told()}"
