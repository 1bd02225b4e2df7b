# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decision, for any world that can be observed: what it must never do, and that it is a function."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runnerd import core
from runnerd.core import decide
from runnerd.model import (
    Adopt,
    Attempt,
    Chase,
    Clear,
    Deregister,
    Fill,
    Gate,
    Ghost,
    Leaving,
    Limits,
    Machine,
    MachineStatus,
    Outcome,
    Output,
    Phase,
    Refresh,
    Registration,
    SlotView,
    Stop,
    Tri,
    World,
)
from runnerd.ways import gate_keys, scope_key

NOW = 10_000.0
KEY = scope_key("default", "acme")
GATES = gate_keys("default", "acme", "default", apps=())
moments = st.none() | st.sampled_from([NOW - 500_000, NOW - 700, NOW - 30, NOW - 1, NOW, NOW + 50])
CONTAINER = "c" * 64

outputs = st.builds(
    Output,
    readable=st.booleans(),
    ended=st.booleans(),
    listening_at=moments,
    job_at=st.none() | st.none() | moments,
    done_at=moments,
    registration_deleted=st.booleans(),
    version_refused=st.booleans(),
)
attempts = st.builds(
    Attempt,
    id=st.just(1),
    slot=st.just("runner-1"),
    pool=st.just("default"),
    scope=st.just("acme"),
    credential=st.just("default"),
    phase=st.sampled_from([phase for phase in Phase if phase is not Phase.FINISHED]),
    since=st.sampled_from([NOW - 700, NOW - 3]),
    name=st.just("host-runner-1-cccccccccccc"),
    runner_id=st.none() | st.just(7),
    container_id=st.none() | st.just(CONTAINER),
    started_at=moments,
    deregister_after=st.sampled_from([0.0, NOW + 10]),
    outcome=st.none() | st.sampled_from(Outcome),
    same_boot=st.booleans(),
)
machines = st.builds(
    Machine,
    status=st.sampled_from(MachineStatus),
    id=st.sampled_from([CONTAINER, "d" * 64]),
    exit_code=st.none() | st.sampled_from([0, 1, 7, 64, 65, 66, 67, 137]),
    oom_killed=st.booleans(),
    dead_since=moments,
)
registrations = st.builds(
    Registration, exists=st.sampled_from(Tri), online=st.booleans(), busy=st.sampled_from(Tri), seen_at=moments
)
views = st.builds(
    SlotView,
    slot=st.just("runner-1"),
    pool=st.just("default"),
    wanted=st.booleans(),
    leaving=st.sampled_from(Leaving),
    leave_by=moments,
    attempt=st.none() | attempts,
    machine=machines,
    worker=st.sampled_from(Tri),
    output=outputs,
    registration=registrations,
    in_flight=st.booleans(),
    busy_since=moments,
    retry_at=st.sampled_from([0.0, NOW + 20]),
)
#: Most of what there is to decide is about runners that are there; at random they would be rare.
running = st.builds(
    SlotView,
    slot=st.just("runner-1"),
    pool=st.just("default"),
    wanted=st.booleans(),
    leaving=st.sampled_from(Leaving),
    leave_by=st.none() | st.just(NOW + 50) | moments,
    attempt=attempts.map(
        lambda attempt: replace(
            attempt, container_id=CONTAINER, runner_id=7, started_at=NOW - 300, deregister_after=0.0, outcome=None
        )
    ).filter(lambda attempt: attempt.phase in (Phase.RUNNING, Phase.DEREGISTERING, Phase.STOPPING)),
    machine=st.just(Machine(MachineStatus.RUNNING, CONTAINER)),
    worker=st.sampled_from(Tri),
    output=outputs.map(lambda output: replace(output, done_at=None)) | outputs,
    registration=registrations.map(lambda registration: replace(registration, seen_at=NOW - 1)) | registrations,
    busy_since=moments,
)
gates = st.dictionaries(
    st.sampled_from(GATES),
    st.sampled_from([NOW - 5, NOW + 60]),
    max_size=3,
).map(lambda found: {key: Gate(key, until, "because") for key, until in found.items()})
worlds = st.builds(
    World,
    now=st.just(NOW),
    slots=st.lists(views | running | running, min_size=1, max_size=4).map(
        lambda found: tuple(
            replace(view, slot=f"runner-{i}", attempt=view.attempt and replace(view.attempt, id=i, slot=f"runner-{i}"))
            for i, view in enumerate(found)
        )
    ),
    limits=st.builds(Limits, idle=st.sampled_from([0.0, 60.0]), job=st.sampled_from([0.0, 600.0])),
    gates=gates,
    pool_keys=st.just({"default": GATES}),
    lists=st.sampled_from([{}, {KEY: NOW - 700}, {KEY: NOW - 1}]),
    ghosts=st.sampled_from([(), (Ghost("g", "acme", "default", 9, NOW - 1, NOW + 900),)]),
    refreshing=st.sampled_from([frozenset(), frozenset({KEY})]),
    concurrent_starts=st.sampled_from([1, 4]),
)


def surely_busy(view: SlotView) -> bool:
    """A worker is there; or the runner said that it took a job, and not that it is over."""
    return view.worker is Tri.YES or (view.output.job_at is not None and view.output.done_at is None)


@settings(max_examples=1500, deadline=None)
@given(worlds)
def test_what_it_must_never_do(world: World) -> None:
    plan = decide(world)
    assert decide(world) == plan, "not a function"
    view_of = {view.slot: view for view in world.slots}
    by_slot = [action for action in plan.actions if not isinstance(action, (Refresh, Chase))]
    assert len({action.slot for action in by_slot}) == len(by_slot), "two actions for one slot"
    assert [told.slot for told in plan.explained] == list(view_of)
    closed = {key for key, gate in world.gates.items() if gate.until > world.now}

    for action in by_slot:
        view = view_of[action.slot]
        status = view.machine.status
        assert not view.in_flight, "an action while another is under way"
        assert status is not MachineStatus.UNKNOWN, "an action on what is not known"
        mine = view.attempt is not None and view.machine.id == view.attempt.container_id
        if isinstance(action, Fill):
            assert view.wanted and view.attempt is None and status is MachineStatus.ABSENT
            assert view.retry_at <= world.now and not closed
        if isinstance(action, Adopt):
            assert view.attempt is None and status is not MachineStatus.ABSENT
        if isinstance(action, Clear) and status is MachineStatus.RUNNING and mine:
            assert view.attempt is not None
            assert view.attempt.phase in (Phase.CREATING, Phase.MINTING, Phase.REMOVING), "a running runner was removed"
        if isinstance(action, Deregister):
            assert not closed & set(GATES[:2]), "a call inside a back-off window"
            assert not surely_busy(view) and view.worker is Tri.NO and view.output.readable
            assert (
                view.leaving is Leaving.NOW or view.registration.busy is not Tri.YES or view.output.done_at is not None
            )
        if isinstance(action, Stop):
            assert view.attempt is not None
            overdue = view.leave_by is not None and world.now >= view.leave_by
            began = max(view.output.job_at, view.attempt.started_at or 0.0) if view.output.job_at else view.busy_since
            too_long = world.limits.job > 0 and began is not None and world.now >= began + world.limits.job
            if surely_busy(view):
                assert overdue or too_long, "a busy runner was stopped before its limit"
            elif not overdue and not too_long:
                assert view.worker is Tri.NO, "stopped although nobody could look"
    if closed & set(GATES[:2]):
        assert not [action for action in plan.actions if isinstance(action, (Refresh, Chase))]
    starting = sum(view.in_flight for view in world.slots)
    fills = sum(isinstance(action, Fill) for action in plan.actions)
    assert fills == 0 or fills + starting <= world.concurrent_starts
    assert plan.wake_at is None or plan.wake_at > world.now or plan.actions


def test_who_has_been_empty_longest_is_filled_first() -> None:
    """Otherwise short jobs in the first slots would keep the others, or another pool, waiting for ever."""
    since = {"runner-1": NOW - 1, "runner-2": NOW - 60, "runner-3": NOW - 60, "runner-4": NOW - 5}
    views = tuple(SlotView(slot, "default", wanted=True, empty_since=at) for slot, at in since.items())
    plan = decide(World(NOW, views, concurrent_starts=3))
    assert plan.actions == (Fill("runner-2"), Fill("runner-3"), Fill("runner-4"))
    assert [(told.slot, told.reason) for told in plan.explained] == [
        ("runner-1", "waits its turn to start"), *((slot, "") for slot in ("runner-2", "runner-3", "runner-4"))
    ]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(worlds)
def test_every_slot_that_waits_has_someone_to_wake_it(world: World) -> None:
    """No dead end: a slot whose runner must change acts, is awaited, or has a time to be looked at again."""
    plan = decide(world)
    acting = {action.slot for action in plan.actions if not isinstance(action, (Refresh, Chase))}
    for view in world.slots:
        gone = view.attempt is not None and view.machine.status is MachineStatus.ABSENT
        dead = view.attempt is not None and view.machine.status is MachineStatus.DEAD
        if (gone or dead) and not view.in_flight:
            assert view.slot in acting or plan.wake_at is not None


@pytest.mark.parametrize("ended", [False, True])
def test_the_last_lines_of_the_dead_are_waited_for(ended: bool) -> None:
    """Also with a result: the job itself may have told that one."""
    view = SlotView(
        slot="runner-1",
        pool="default",
        wanted=True,
        attempt=Attempt(1, "runner-1", "default", "acme", "default", Phase.RUNNING, NOW - 60, container_id=CONTAINER),
        machine=Machine(MachineStatus.DEAD, CONTAINER, exit_code=0, dead_since=NOW - 0.1),
        output=Output(readable=True, ended=ended, job="x", job_at=NOW - 50, result="Succeeded", done_at=NOW - 1),
    )
    plan = decide(World(NOW, (view,), lists={KEY: NOW}))
    if ended:
        assert plan.actions == (Clear("runner-1", 1, Outcome.JOB, "job 'x': Succeeded"),)
    else:
        assert plan.actions == ()
        assert plan.wake_at == NOW - 0.1 + core.LAST_LINES_PATIENCE


@pytest.mark.parametrize("module", ["core", "model", "ways"])
def test_the_core_imports_nothing_that_does_input_or_output(module: str) -> None:
    tree = ast.parse((Path(core.__file__).parent / f"{module}.py").read_text())
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported <= {"__future__", "dataclasses", "enum", "collections.abc", "model", "ways"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in ("open", "print", "input")]
