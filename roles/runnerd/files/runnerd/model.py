# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words runnerd thinks in: what was observed of a slot, and what may be done about it.

Plain frozen data. No module below this one does input or output; times are seconds of one clock that does not
jump (`clock.Clock.now`), unless a name says `wall`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Tri(Enum):
    """An observation. Unknown is never a reason to destroy anything."""

    NO = "no"
    YES = "yes"
    UNKNOWN = "unknown"


class Phase(str, Enum):
    """How far an attempt has come; committed to the journal before the effect that it names."""

    CREATING = "creating"  # the container may exist
    MINTING = "minting"  # the container exists; a registration under the attempt's name may exist
    STARTING = "starting"  # the registration exists; the container may have been started and the credential delivered
    RUNNING = "running"  # the credential was delivered, or may have been: never offer it again
    DEREGISTERING = "deregistering"  # GitHub was, or is about to be, asked to forget the runner
    STOPPING = "stopping"  # GitHub has forgotten the runner; a last look for a worker, then the container is stopped
    REMOVING = "removing"  # the outcome is known; the container is being removed
    FINISHED = "finished"


class MachineStatus(Enum):
    """What Docker says of a slot's container."""

    ABSENT = "absent"
    CREATED = "created"
    RUNNING = "running"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Outcome(str, Enum):
    """How an attempt ended."""

    JOB = "job"  # ran its one job to the end
    JOB_LOST = "job lost"  # died with a job running
    JOB_CANCELLED = "job cancelled"  # stopped by us: a limit the user set, or `stop --now`
    DRAINED = "drained"  # deregistered while idle, then stopped
    CUT_OFF = "cut off"  # stopped at a limit without a job that we knew of, but not deregistered in time
    KILLED = "killed"  # an idle runner's container was stopped or removed from outside
    ENDED_IDLE = "ended idle"  # the runner left without a job
    REMOVED_AT_GITHUB = "removed at GitHub"
    VERSION_REFUSED = "version refused"
    NEVER_ONLINE = "never online"
    NOT_CREATED = "not created"  # Docker refused
    NOT_REGISTERED = "not registered"  # GitHub refused
    INTERRUPTED = "interrupted"  # runnerd or the host went down in the middle
    HOST_RESTARTED = "host restarted"


#: Outcomes after which GitHub has surely forgotten the runner. That its lists do not show it is no such proof.
FORGOTTEN_BY_GITHUB = frozenset({Outcome.JOB, Outcome.DRAINED, Outcome.NOT_CREATED, Outcome.NOT_REGISTERED})
#: Outcomes that say nothing bad about the slot: it is filled again at once.
BLAMELESS = frozenset(
    {
        Outcome.JOB,
        Outcome.JOB_CANCELLED,
        Outcome.DRAINED,
        Outcome.CUT_OFF,
        Outcome.INTERRUPTED,
        Outcome.HOST_RESTARTED,
    }
)


@dataclass(frozen=True)
class Attempt:
    """One row of the journal: one try to have a runner in a slot, from the intention to the removed container."""

    id: int
    slot: str
    pool: str
    scope: str
    credential: str
    phase: Phase
    since: float  # when this phase began
    spec: str = ""  # Compose's hash of the service when the container was made
    name: str = ""  # the runner's name at GitHub; ends in the container's id
    runner_id: int | None = None
    container_id: str | None = None
    started_at: float | None = None
    leaving_since: float | None = None
    deregister_after: float = 0.0  # GitHub said "busy": do not ask again before
    outcome: Outcome | None = None  # set when we decide the end; otherwise found out when the container is dead
    reason: str = ""
    same_boot: bool = True


@dataclass(frozen=True)
class Machine:
    """A slot's container as Docker lists it."""

    status: MachineStatus = MachineStatus.ABSENT
    id: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    spec: str = ""
    dead_since: float | None = None  # when it was first seen dead
    lost_docker: bool = False  # it runs, and the Docker daemon that belongs to it does not


@dataclass(frozen=True)
class Output:
    """What a runner has said so far. Hints: the job can write to the same stream."""

    readable: bool = False
    ended: bool = False  # all that is of weight has been read
    listening_at: float | None = None
    job: str = ""
    job_detail: str = ""  # repository and run, from the job-started hook
    job_at: float | None = None
    result: str = ""
    done_at: float | None = None
    registration_deleted: bool = False
    version_refused: bool = False
    last_words: str = ""  # the last line before any job; says best why a runner never came online
    version: str = ""  # of the runner program, as it said before any job


@dataclass(frozen=True)
class Registration:
    """What GitHub's last complete list said of an attempt's runner."""

    exists: Tri = Tri.UNKNOWN
    online: bool = False
    busy: Tri = Tri.UNKNOWN
    seen_at: float | None = None  # when the list was read
    offline_since: float | None = None  # every list since then has shown it offline and idle
    version: str = ""  # of the runner program, once it has connected


class Leaving(Enum):
    """Why a slot's runner should go, weakest first."""

    NO = ""
    CHANGED = "its definition changed"
    LOST_DOCKER = "its Docker has ended"
    SCALED_DOWN = "the pool became smaller"
    DRAINED = "drained"
    NOW = "stopped now"


@dataclass(frozen=True)
class SlotView:
    """Everything known of one slot."""

    slot: str
    pool: str
    wanted: bool  # fill it when it is empty
    leaving: Leaving = Leaving.NO
    leave_by: float | None = None  # then it goes even when busy; None: whenever it is done
    empty_since: float = 0.0  # when it was first seen without a runner
    attempt: Attempt | None = None
    machine: Machine = Machine()
    worker: Tri = Tri.UNKNOWN
    output: Output = Output()
    registration: Registration = Registration()
    in_flight: bool = False
    busy_since: float | None = None  # when it was first seen busy; the runner's own word is better
    failures: int = 0
    retry_at: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Limits:
    """Seconds per phase; 0 means none."""

    boot: float = 120  # one call to Docker or Compose
    registration: float = 120  # from the start of the container to "Listening for Jobs"
    idle: float = 0
    job: float = 432000
    drain: float = 21600
    shutdown: float = 600
    teardown: float = 60
    settle: float = 10  # between GitHub's 204 and stopping: a job may just have been assigned
    grace: float = 5  # a runner that began to listen less than this ago may be about to get a job


@dataclass(frozen=True)
class Credential:
    """What may be told of a credential: never the secret."""

    name: str
    kind: str  # "token" or "GitHub App"
    expires_at: float | None = None  # epoch seconds, as GitHub said; None: it does not end, or GitHub has not said so
    budget: int | None = None  # requests left in GitHub's window, at the scope where they are fewest


@dataclass(frozen=True)
class Gate:
    """A closed way: GitHub refused, and asking again before `until` would be wrong."""

    key: str
    until: float
    reason: str
    remedy: str = ""
    failures: int = 1
    told: bool = False  # GitHub itself said until when: nothing opens it sooner


@dataclass(frozen=True)
class Ghost:
    """A registration that may exist at GitHub without a container of ours."""

    name: str
    scope: str
    credential: str
    runner_id: int | None
    next_check: float
    give_up_at: float
    tries: int = 0


@dataclass(frozen=True)
class World:
    """All that a decision may depend on."""

    now: float
    slots: tuple[SlotView, ...]
    limits: Limits = Limits()
    gates: Mapping[str, Gate] = field(default_factory=dict)
    pool_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # pool -> keys of the gates before it
    apps: frozenset[str] = frozenset()  # the credentials that are GitHub Apps
    lists: Mapping[str, float] = field(default_factory=dict)  # key -> when GitHub's list was last read
    ghosts: tuple[Ghost, ...] = ()
    busy_ghosts: frozenset[str] = frozenset()  # names being looked after right now
    refresh_wanted_at: float = float("-inf")  # somebody wants lists that are newer than this
    refreshing: frozenset[str] = frozenset()
    concurrent_starts: int = 4  # Docker's work: with so many at a time two cores are full (measured)


@dataclass(frozen=True)
class Fill:
    """Create a container, register a runner for it, start it and hand it the credential."""

    slot: str


@dataclass(frozen=True)
class Adopt:
    """Write a row for a container that no row explains."""

    slot: str


@dataclass(frozen=True)
class Deregister:
    """Ask GitHub to forget an idle runner."""

    slot: str
    attempt: int
    reason: str


@dataclass(frozen=True)
class Stop:
    """Stop the container; `look` = not if a worker is there at the last moment."""

    slot: str
    attempt: int
    outcome: Outcome
    reason: str
    look: bool


@dataclass(frozen=True)
class Clear:
    """Record the outcome, remove the container with its volumes, finish the attempt."""

    slot: str
    attempt: int
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Refresh:
    """Read GitHub's list of runners for one scope."""

    key: str


@dataclass(frozen=True)
class Chase:
    """Look a ghost up and delete it."""

    name: str


SlotAction = Fill | Adopt | Deregister | Stop | Clear
Action = SlotAction | Refresh | Chase


@dataclass(frozen=True)
class Explained:
    """What a person is told of a slot."""

    slot: str
    state: str
    reason: str = ""
    limit_at: float | None = None  # a limit of the user's cancels its job then, if it still runs


@dataclass(frozen=True)
class Plan:
    """A decision: what to do, what to say, and when to look again at the latest."""

    actions: tuple[Action, ...]
    explained: tuple[Explained, ...]
    wake_at: float | None
