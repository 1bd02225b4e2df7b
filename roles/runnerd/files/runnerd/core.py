# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decision: the observed world in; actions, their reasons and the time to wake up out.

Pure. At most one action per slot; none for a slot that has an operation in flight. An unknown observation never leads
to a destructive action. The rules come from the five promises in `docs/architecture.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .model import (
    Adopt,
    Attempt,
    Chase,
    Clear,
    Deregister,
    Explained,
    Fill,
    Gate,
    Leaving,
    Limits,
    MachineStatus,
    Outcome,
    Phase,
    Plan,
    Refresh,
    SlotAction,
    SlotView,
    Stop,
    Tri,
    World,
)
from .ways import gate_keys, scope_key

#: How old GitHub's list may be, by what it is needed for (seconds). An idle pool reads it six times an hour.
LIST_INTERVAL = 600.0
LIST_FRESH = 60.0
LIST_SPACING = 5.0
#: A runner that has not said that it listens is looked up at GitHub after this long.
LISTEN_PATIENCE = 20.0

#: A runner that listens, and that GitHub's lists have shown offline for this long, is replaced.
OFFLINE_PATIENCE = 600.0
#: Ghosts that are looked after at once; the threads are for slots.
CHASES = 2

#: How long the last lines of a dead container are waited for; once its job's result is known, no more.
LAST_LINES_PATIENCE = 3.0

#: Exit codes of our entrypoint (files/entrypoint.sh of the role github_docker_runners).
EXIT_USED_BEFORE = 64
EXIT_NO_CREDENTIAL = 65
EXIT_NO_RUNNER = 66
EXIT_NO_DOCKER = 67
#: actions/runner: ReturnCode in Constants.cs, passed on because the entrypoint asks for it.
EXIT_VERSION_DEPRECATED = 7


@dataclass(frozen=True)
class _Verdict:
    """One slot's decision."""

    state: str
    reason: str = ""
    action: SlotAction | None = None
    wake_at: float | None = None
    limit_at: float | None = None  # a limit cancels the job then
    want_list: float | None = None  # GitHub's list, if it is older than this many seconds


def decide(world: World) -> Plan:
    """Decide what to do about every slot, ghost and list."""
    verdicts = {view.slot: _slot(view, world) for view in world.slots}
    actions: list[SlotAction | Refresh | Chase] = []
    wakes = [v.wake_at for v in verdicts.values() if v.wake_at is not None]
    explained: dict[str, Explained] = {}
    starting = sum(1 for view in world.slots if view.in_flight)
    probing: set[str] = {
        key for view in world.slots if view.in_flight for key in _gate_keys(view, world) if key in world.gates
    }
    # Who has been empty longest is filled first: short jobs in some slots must not keep the others waiting for ever.
    for view in sorted(world.slots, key=lambda view: view.empty_since):
        verdict = verdicts[view.slot]
        state, reason = verdict.state, verdict.reason
        if isinstance(verdict.action, Fill):
            closed = [world.gates[key] for key in _gate_keys(view, world) if key in world.gates]
            blocked = [gate for gate in closed if gate.until > world.now]
            half_open = {gate.key for gate in closed}
            if blocked:
                last = max(blocked, key=lambda gate: gate.until)
                state, reason = "backing off", last.reason
                wakes.append(last.until)
            elif half_open & probing:
                # The way was closed until now: one slot tries it for all.
                state, reason = "backing off", closed[0].reason
            elif starting >= world.concurrent_starts:
                state, reason = "empty", "waits its turn to start"
            else:
                probing |= half_open
                starting += 1
                actions.append(verdict.action)
        elif isinstance(verdict.action, Deregister) and (gate := _closed_to(view, world)) is not None:
            reason = gate.reason
            wakes.append(gate.until)
        elif verdict.action is not None:
            actions.append(verdict.action)
        explained[view.slot] = Explained(view.slot, state, reason, verdict.limit_at)

    actions.extend(_refreshes(world, verdicts, wakes))
    actions.extend(_chases(world, wakes))
    wake_at = min((at for at in wakes if at > world.now), default=None)
    return Plan(tuple(actions), tuple(explained[view.slot] for view in world.slots), wake_at)


def _gate_keys(view: SlotView, world: World) -> tuple[str, ...]:
    return world.pool_keys.get(view.pool, ())


def closed(world: World, credential: str, scope: str, pool: str = "") -> Gate | None:
    """The gate that forbids to ask GitHub now, with this credential, about this scope or pool; None: none does."""
    gates = [world.gates[key] for key in gate_keys(credential, scope, pool, world.apps) if key in world.gates]
    return max((gate for gate in gates if gate.until > world.now), key=lambda gate: gate.until, default=None)


def _closed_to(view: SlotView, world: World) -> Gate | None:
    attempt = view.attempt
    assert attempt is not None
    return closed(world, attempt.credential, attempt.scope, attempt.pool)


def _refreshes(world: World, verdicts: dict[str, _Verdict], wakes: list[float]) -> list[Refresh]:
    wanted: dict[tuple[str, str], float] = {}
    for view in world.slots:
        attempt = view.attempt
        if attempt is None or not attempt.name:
            continue
        way = (attempt.credential, attempt.scope)
        limit = verdicts[view.slot].want_list
        limit = LIST_INTERVAL if limit is None else limit
        if world.lists.get(scope_key(*way), float("-inf")) < world.refresh_wanted_at:
            limit = min(limit, LIST_SPACING)
        wanted[way] = min(limit, wanted.get(way, LIST_INTERVAL))
    refreshes = []
    for way, age in sorted(wanted.items()):
        key, gate = scope_key(*way), closed(world, *way)
        due = world.lists.get(key, float("-inf")) + age
        if gate is not None:
            due = max(due, gate.until)
        if key in world.refreshing:
            continue
        if due <= world.now:
            refreshes.append(Refresh(key))
        else:
            wakes.append(due)
    return refreshes


def _chases(world: World, wakes: list[float]) -> list[Chase]:
    chases: list[Chase] = []
    for ghost in world.ghosts:
        gate = closed(world, ghost.credential, ghost.scope)
        due = max(ghost.next_check, gate.until) if gate is not None else ghost.next_check
        if ghost.name in world.busy_ghosts:
            continue
        if due <= world.now:
            if len(chases) + len(world.busy_ghosts & {other.name for other in world.ghosts}) < CHASES:
                chases.append(Chase(ghost.name))
        else:
            wakes.append(due)
    return chases


def _slot(view: SlotView, world: World) -> _Verdict:
    attempt, machine = view.attempt, view.machine
    if view.in_flight:
        return _Verdict(_in_flight_state(attempt))
    if machine.status is MachineStatus.UNKNOWN:
        return _Verdict(_rest_state(view), "Docker does not answer")
    if attempt is None:
        return _empty(view, world)
    if attempt.phase in (Phase.CREATING, Phase.MINTING):
        # Nothing is in flight, so runnerd died in the middle. The credential, if any, is lost with it.
        return _clear(view, Outcome.INTERRUPTED, "runnerd was interrupted before the runner was started")
    if attempt.phase is Phase.REMOVING:
        return _clear(view, attempt.outcome or Outcome.INTERRUPTED, attempt.reason)
    if machine.status is MachineStatus.ABSENT or machine.id != attempt.container_id:
        outcome, reason = classify(view)
        return _clear(view, outcome, reason)
    if machine.status is MachineStatus.CREATED:
        return _clear(view, Outcome.INTERRUPTED, "the container was never started")
    if machine.status is MachineStatus.DEAD:
        patience = (machine.dead_since or world.now) + LAST_LINES_PATIENCE
        if not view.output.ended and world.now < patience:
            return _Verdict("finished", "reads its last lines", wake_at=patience)
        outcome, reason = classify(view)
        return _clear(view, outcome, reason)
    return _running(view, attempt, world)


def _empty(view: SlotView, world: World) -> _Verdict:
    if view.machine.status is not MachineStatus.ABSENT:
        return _Verdict("empty", "a container is here that the journal does not know", Adopt(view.slot))
    if not view.wanted:
        return _Verdict("drained" if view.leaving is not Leaving.NO else "empty", view.leaving.value)
    if world.now < view.retry_at:
        return _Verdict("backing off", view.failure, wake_at=view.retry_at)
    return _Verdict("creating", view.failure, Fill(view.slot))


def _clear(view: SlotView, outcome: Outcome, reason: str) -> _Verdict:
    assert view.attempt is not None
    return _Verdict("finished", reason, Clear(view.slot, view.attempt.id, outcome, reason))


def is_busy(view: SlotView) -> bool:
    """Whether any sign says that a job runs. A job that has ended for the runner may still be busy for GitHub."""
    output = view.output
    if view.worker is Tri.YES:
        return True
    if output.done_at is not None:
        return False
    return output.job_at is not None or view.registration.busy is Tri.YES


def _running(view: SlotView, attempt: Attempt, world: World) -> _Verdict:
    """A container that runs: leave it, deregister it, or stop it."""
    now, limits, output = world.now, world.limits, view.output
    started = attempt.started_at if attempt.started_at is not None else attempt.since
    overdue = view.leave_by is not None and now >= view.leave_by

    if is_busy(view):
        # Not from the start of the container: the runner may have been idle for longer than the limit.
        since = view.busy_since if output.job_at is None else max(output.job_at, started)
        if overdue:
            return _stop(view, Outcome.JOB_CANCELLED, f"{view.leaving.value}: the limit for its job has passed", "busy")
        if limits.job and since is not None and now >= since + limits.job:
            return _stop(view, Outcome.JOB_CANCELLED, f"the job ran longer than {limits.job:.0f} s", "busy")
        reason = f"leaves after this job: {view.leaving.value}" if view.leaving is not Leaving.NO else ""
        limit = _earliest(view.leave_by, since + limits.job if limits.job and since is not None else None)
        only_github_says_so = view.worker is Tri.NO and output.job_at is None
        want_list = LIST_FRESH if only_github_says_so else None
        return _Verdict("busy", reason, wake_at=limit, limit_at=limit, want_list=want_list)

    if output.done_at is not None:
        # The job has ended and no worker is there; the runner should end by itself.
        end = output.done_at + limits.teardown
        if view.worker is Tri.NO and now >= end:
            return _stop(view, Outcome.JOB, "the runner did not end after its job", "finished")
        return _Verdict("finished", "the runner is ending", wake_at=max(end, now + 1))

    looked = view.worker is Tri.NO and output.readable
    if attempt.phase is Phase.STOPPING:
        settled = attempt.since + (0 if view.leaving is Leaving.NOW else limits.settle)
        if not looked:
            return _Verdict("drained", "deregistered; cannot look into the container to see that no job runs")
        if now < settled:
            return _Verdict("drained", "deregistered; one more look before it stops", wake_at=settled)
        return _stop(view, attempt.outcome or Outcome.DRAINED, attempt.reason or view.leaving.value, "drained")

    state = "idle" if output.listening_at is not None or view.registration.online else "starting"
    last = None if view.leave_by is None else view.leave_by + limits.settle
    if last is not None and now >= last:
        # Whatever GitHub knows of it (or gives it at this moment): what is left there is looked after as a ghost.
        return _stop(view, Outcome.CUT_OFF, f"{view.leaving.value}: the limit has passed", state)
    if not looked:
        return _Verdict(state, "cannot look into the container to see whether a job runs", wake_at=last)
    if view.registration.exists is Tri.NO:
        return _stop(view, Outcome.REMOVED_AT_GITHUB, "GitHub no longer knows this runner", state)
    if state == "starting" and view.leaving is Leaving.LOST_DOCKER:
        # Without it the runner would wait in vain; and the next one may fare no better, so this counts as a failure.
        why = f"{view.leaving.value}; see: runnerd logs {view.slot} --docker"
        return _stop(view, Outcome.NEVER_ONLINE, why, state)
    if state == "starting":
        late = started + limits.registration
        seen = view.registration.seen_at
        if limits.registration and now >= late and (seen is None or now - seen > LIST_FRESH):
            return _Verdict(state, "asks GitHub whether it is online", wake_at=view.leave_by, want_list=LIST_FRESH)
        if limits.registration and now >= late:
            words = f"; its last words: {output.last_words}" if output.last_words else ""
            reason = f"not online after {limits.registration:.0f} s{words}"
            return _stop(view, Outcome.NEVER_ONLINE, reason, state)
        if view.leaving is Leaving.NO:
            patience = started + LISTEN_PATIENCE
            stale = LISTEN_PATIENCE if now >= patience else None
            return _Verdict(state, "", wake_at=patience if now < patience else late, want_list=stale)
    leaving = view.leaving.value
    if attempt.phase is Phase.DEREGISTERING:
        # Interrupted while asking: GitHub may have forgotten it already, so it must go. Asking twice does no harm.
        why = leaving or "its deregistration was interrupted"
        return _Verdict(state, why, Deregister(view.slot, attempt.id, why))
    if view.leaving is Leaving.NO and _is_offline(view, now):
        # Its container is well, and GitHub does not hear from it: a network that broke, or a listener that hangs.
        return _leave(view, attempt, world, state, f"offline at GitHub for {OFFLINE_PATIENCE:.0f} s")
    if view.leaving is Leaving.NO:
        if not limits.idle or output.listening_at is None:
            return _Verdict(state)
        if now < output.listening_at + limits.idle:
            return _Verdict(state, wake_at=output.listening_at + limits.idle)
        leaving = f"idle for {limits.idle:.0f} s"
    return _leave(view, attempt, world, state, leaving)


def _leave(view: SlotView, attempt: Attempt, world: World, state: str, why: str) -> _Verdict:
    """An idle runner should go: only after every sign, GitHub's among them, says idle."""
    now, output = world.now, view.output
    if attempt.runner_id is None:
        # Adopted without a row: GitHub's list tells the id by the name. Until then it ends with its job, or its limit.
        return _Verdict(state, f"{why}; looks for its registration", wake_at=view.leave_by, want_list=LIST_FRESH)
    if view.leaving is Leaving.NOW:
        if now < attempt.deregister_after:
            return _Verdict(state, f"{why}; GitHub said it is busy", wake_at=attempt.deregister_after)
    else:
        ready = max(attempt.deregister_after, (output.listening_at or now) + world.limits.grace)
        if output.listening_at is not None and now < ready:
            return _Verdict(state, f"{why}; may be about to get a job", wake_at=_earliest(ready, view.leave_by))
        if now < attempt.deregister_after:
            return _Verdict(
                state, f"{why}; GitHub said it is busy", wake_at=_earliest(attempt.deregister_after, view.leave_by)
            )
        seen = view.registration.seen_at
        if seen is None or now - seen > LIST_FRESH:
            return _Verdict(
                state, f"{why}; asks GitHub whether it is busy", wake_at=view.leave_by, want_list=LIST_FRESH
            )
    return _Verdict(state, why, Deregister(view.slot, attempt.id, why), wake_at=view.leave_by)


def _is_offline(view: SlotView, now: float) -> bool:
    since = view.registration.offline_since
    return since is not None and now - since >= OFFLINE_PATIENCE


def _stop(view: SlotView, outcome: Outcome, reason: str, state: str) -> _Verdict:
    assert view.attempt is not None
    return _Verdict(state, reason, Stop(view.slot, view.attempt.id, outcome, reason, look=state != "busy"))


def classify(view: SlotView) -> tuple[Outcome, str]:
    """Say how an attempt ended whose container is dead or gone."""
    attempt, machine, output = view.attempt, view.machine, view.output
    assert attempt is not None
    gone = machine.status is MachineStatus.ABSENT or machine.id != attempt.container_id
    how = _how_it_died(view, gone)
    if attempt.outcome in (Outcome.CUT_OFF, Outcome.JOB_CANCELLED) and output.result == "Canceled":
        return Outcome.JOB_CANCELLED, f"{attempt.reason} (job {output.job!r})"  # it had the time to say so
    if output.done_at is not None:
        return Outcome.JOB, f"job {output.job!r}: {output.result}"
    had_a_job = output.job_at is not None or view.registration.busy is Tri.YES
    if attempt.outcome is Outcome.CUT_OFF and had_a_job:
        return Outcome.JOB_CANCELLED, f"{attempt.reason} just as job {output.job!r} was given"
    if attempt.outcome is not None:
        return attempt.outcome, attempt.reason
    if had_a_job:
        return Outcome.JOB_LOST, f"job {output.job!r} was running when {how}"
    if attempt.phase is Phase.STOPPING:
        return Outcome.DRAINED, attempt.reason
    if not attempt.same_boot:
        return Outcome.HOST_RESTARTED, "the host was restarted"
    if output.version_refused or machine.exit_code == EXIT_VERSION_DEPRECATED:
        return Outcome.VERSION_REFUSED, "GitHub refuses this version of the runner"
    if output.registration_deleted:
        return Outcome.REMOVED_AT_GITHUB, "GitHub deleted the registration"
    if not gone and machine.exit_code == EXIT_USED_BEFORE:
        return Outcome.KILLED, "it was started a second time by hand"
    if not gone and machine.exit_code == EXIT_NO_CREDENTIAL:
        return Outcome.NEVER_ONLINE, "no credential reached the container in time"
    if not gone and machine.exit_code == EXIT_NO_RUNNER:
        return Outcome.NEVER_ONLINE, "the image holds no run.sh of actions/runner where it is looked for"
    if not gone and machine.exit_code == EXIT_NO_DOCKER:
        return Outcome.NEVER_ONLINE, f"its Docker did not come; see: runnerd logs {view.slot} --docker"
    if gone or machine.oom_killed or (machine.exit_code or 0) >= 128:
        return Outcome.KILLED, how
    if output.listening_at is not None or view.registration.online:
        return Outcome.ENDED_IDLE, how
    words = f"; its last words: {output.last_words}" if output.last_words else ""
    return Outcome.NEVER_ONLINE, f"{how} before it came online{words}"


def _how_it_died(view: SlotView, gone: bool) -> str:
    if gone:
        return "its container was removed from outside"
    if view.machine.oom_killed:
        return "its container ran out of memory"
    return f"its container ended with exit code {view.machine.exit_code}"


def _in_flight_state(attempt: Attempt | None) -> str:
    if attempt is None:
        return "creating"
    return {
        Phase.CREATING: "creating",
        Phase.MINTING: "minting",
        Phase.STARTING: "starting",
        Phase.RUNNING: "starting",
        Phase.DEREGISTERING: "idle",
        Phase.STOPPING: "drained",
        Phase.REMOVING: "finished",
        Phase.FINISHED: "empty",
    }[attempt.phase]


def _rest_state(view: SlotView) -> str:
    if view.attempt is None:
        return "empty"
    if view.attempt.phase is Phase.RUNNING:
        return "busy" if is_busy(view) else "idle" if view.output.listening_at is not None else "starting"
    return _in_flight_state(view.attempt)


def _earliest(*times: float | None) -> float | None:
    known = [t for t in times if t is not None]
    return min(known) if known else None


def back_off(failures: int, was_online: bool) -> float:
    """Seconds until a slot is tried again after `failures` bad ends in a row, this one included.

    A runner that had come online is replaced almost at once, whatever ended it: the machine works, and who kills one by
    hand expects a new one. One that never came online would only burn GitHub's budget.
    """
    if was_online:
        return min(0.25 * 2.0 ** min(failures - 1, 10), 1.0)
    return min(2.0 ** min(failures, 10), 300.0)


def leave_by(limits: Limits, reason: Leaving, since: float) -> float | None:
    """When a leaving runner must be gone at the latest; None where it may take as long as its job does."""
    if reason is Leaving.NOW:
        return since
    if reason in (Leaving.SCALED_DOWN, Leaving.DRAINED) and limits.drain:
        return since + limits.drain
    return None
