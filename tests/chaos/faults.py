# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fault class is, and how each is tried: in the midst of work, for a while, and then all must be well by itself.

A new one is a line in a table of `test_faults_*.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import sizes
from .compose import NEXT_IMAGE, TAG
from .docker import Container
from .history import ATTEMPT_ENDED, STOPPED
from .program import Habits
from .stage import Stage
from .trial import Claim, conclude
from .world import NotNow

Act = Callable[[Stage], object]


def nothing(stage: Stage) -> None:
    """It passes by itself."""


def always(stage: Stage) -> bool:
    """The judge's word is enough."""
    return True


@dataclass(frozen=True)
class Fault(Claim):
    """One class, and how it is done. `lasts`: seconds; 0: it is over as soon as it has struck.

    `seen`: what is to be seen beside what the judge wants.
    """

    strike: Act
    heal: Act = nothing
    lasts: float = 300.0
    seen: Callable[[Stage], bool] = always


def try_out(folder: Path, fault: Fault) -> None:
    """Strike while jobs run, others wait and others come; heal; all must be well again, and the history good."""
    for number in range(sizes.TIMES):
        with Stage(folder / str(number), sizes.SEED + number) as stage:
            stage.until(stage.online, "all slots online")
            for seconds in (60, 400):
                stage.service.queue(seconds)
            stage.run(stage.dice.uniform(0, 55))
            fault.strike(stage)
            stage.run(min(1.0, fault.lasts))
            for _dummy in range(3):
                stage.service.queue(30)
            stage.run(fault.lasts)
            fault.heal(stage)
            idle_faults = [each for each in stage.service.github.faults.all if not each.applied]
            assert not idle_faults, f"{fault}: never struck: {idle_faults}"
            stage.service.clear()
            stage.host.engine.habits = Habits()
            conclude(stage, fault)
            assert fault.seen(stage), f"{fault}: not seen\n{stage.told()}"


def idle(stage: Stage) -> Container:
    """A container with an idle runner."""
    return _first(container for container in stage.host.engine.running() if not container.working)


def busy(stage: Stage) -> Container:
    """A container with a job."""
    return _first(container for container in stage.host.engine.running() if container.working)


def _first(containers: Iterable[Container]) -> Container:
    for container in containers:
        return container
    raise NotNow("there is no such container")


def wait_for(stage: Stage, done: Callable[[], bool]) -> None:
    """Let time pass until a fault can go on."""
    end = stage.time.at + 600
    while not done():
        if stage.time.at > end:
            raise NotNow("it does not come to that")
        stage.run(1.0)


def changed(stage: Stage) -> None:
    """Runners have to go, so that there is something to do."""
    stage.host.deploy(definition="    # changed\n")


def deaf(stage: Stage) -> None:
    """All runners go on listening when they are deregistered, which they are."""
    behave(deaf=True)(stage)
    changed(stage)
    wait_for(stage, lambda: all(each.program and each.program.deaf for each in stage.host.engine.running()))
    stage.host.deploy(definition="    # changed again\n")


def stopped_by_runnerd(stage: Stage) -> bool:
    """It had to stop a container."""
    return any(row.more["by"] == "runnerd" for row in stage.history.of(STOPPED))


def moves(image: str) -> Act:
    """The tag means this image at the registry."""

    def act(stage: Stage) -> None:
        stage.host.engine.images.registry[TAG] = image
        stage.host.person("update")

    return act


moved_image = moves(NEXT_IMAGE)


def ended(words: str) -> Callable[[Stage], bool]:
    """runnerd has told of a runner that ended so."""
    return lambda stage: any(words in row.more["detail"] for row in stage.history.of(ATTEMPT_ENDED))


def engine(**changes: object) -> Act:
    """Set these of the engine's faults."""

    def act(stage: Stage) -> None:
        for name, value in changes.items():
            setattr(stage.host.engine, name, value)
        stage.host.wake()

    return act


def behave(**habits: object) -> Act:
    """All runners that start from now on have these habits."""
    return lambda stage: setattr(stage.host.engine, "habits", Habits(**habits))


def github(**fault: object) -> Act:
    """One of the GitHub double's own faults."""
    return lambda stage: stage.service.fault(**fault)


def both(*acts: Act) -> Act:
    """One after the other."""
    return lambda stage: [act(stage) for act in acts]
