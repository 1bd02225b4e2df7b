# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GitHub knows: scopes, runners, sessions and jobs, and the rules between them.

Pure: no network, no threads, no waiting. Time comes from the clock passed in; ``sweep`` applies what time alone changes
and is called before every question and a few times a second. Errors are ``Refused`` with the status GitHub answers.
"""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from . import jit
from .access import Refused
from .faults import Faults
from .settings import Clock, Settings, deprecation, latest_version, moment, version_key

HOSTED_GROUP = 2  # GitHub-hosted runners: nobody may register in it
SCOPE_FIELDS = ("type", "visibility", "archived", "organizations", "groups", "webhooks")
GROUP_FIELDS = (
    "name",
    "visibility",
    "repositories",
    "organizations",
    "allows_public_repositories",
    "workflow_restrictions_read_only",
    "inherited",
)
REGISTER, REMOVE = "registration-token", "remove-token"
RESULTS = ("Succeeded", "Failed", "Canceled")


@dataclasses.dataclass
class Group:
    """A runner group of an organization or enterprise."""

    id: int
    name: str
    visibility: str = "all"  # all, selected or private
    repositories: tuple[str, ...] = ()  # lower case, for visibility "selected"
    allows_public_repositories: bool = False
    organizations: tuple[str, ...] = ()  # lower case, for visibility "selected" of an enterprise's
    restricted_to_workflows: bool = False  # kept and told; jobs here are of no workflow
    selected_workflows: tuple[str, ...] = ()
    workflow_restrictions_read_only: bool = False
    inherited: bool = False  # the enterprise's, as an organization sees it

    def admits(self, repository: Scope) -> bool:
        """Whether jobs of this repository may run on the group's runners."""
        if repository.visibility == "public" and not self.allows_public_repositories:
            return False
        chosen = repository.key in self.repositories or repository.owner in self.organizations
        return self.visibility != "selected" or chosen


@dataclasses.dataclass(eq=False)
class Scope:
    """An organization, a user, a repository or an enterprise."""

    id: int
    name: str  # my-org, my-org/app or enterprises/acme, as first written
    kind: str  # org, user, repo or enterprise
    visibility: str = "private"  # of a repository: public or private
    archived: bool = False  # of a repository: nothing in it can be changed
    organizations: tuple[str, ...] | None = None  # of an enterprise, lower case; None = all there are
    groups: dict[int, Group] = dataclasses.field(default_factory=dict)
    webhooks: list[str] = dataclasses.field(default_factory=list)  # URLs of those to make; see hooks.py

    @property
    def key(self) -> str:
        """The name in lower case: GitHub's names do not differ in case alone."""
        return self.name.lower()

    @property
    def owner(self) -> str:
        """The account it belongs to (itself, if it is one), in lower case."""
        return self.key.partition("/")[0]


@dataclasses.dataclass(eq=False)
class Session:
    """A runner's connection: alive while it is polled or its job is renewed, never again once it has ended."""

    id: str
    runner: Runner
    remote: str  # the address it was opened from
    opened: float  # wall
    heard: float  # monotonic: when a message call last ended
    polls: int = 0  # message calls open now
    ended: bool = False
    offered: tuple[int, int] | None = None  # the job this session was told of: id, number of the assignment
    refreshed: bool = False


@dataclasses.dataclass(eq=False)
class Runner:
    """A registration."""

    id: int
    name: str
    scope: str
    group_id: int
    labels: dict[str, str]  # lower case -> read-only or custom
    key: rsa.RSAPublicKey = dataclasses.field(repr=False)
    client_id: str
    token_url: str
    created: float  # wall
    seen: float  # wall: when it was last online, or was created
    jit: bool = True  # made by a JIT configuration, not by config.sh with a token
    ephemeral: bool = True
    spelled: dict[str, str] = dataclasses.field(default_factory=dict)  # labels as config.sh wrote them, by lower case
    os: str = "unknown"
    architecture: str = ""
    version: str | None = None
    disable_update: bool = False
    session: Session | None = None
    job: Job | None = None  # the one job of its life
    gone: str = ""  # why the registration is no more
    gone_at: float = 0.0  # wall
    told: bool = True  # False: the runner still believes that it is registered
    looks: int = 0  # how often a reader saw it; for the fault "flicker"


@dataclasses.dataclass(eq=False)
class Job:
    """A job of a workflow."""

    id: int
    run_id: int
    name: str
    repository: str
    labels: frozenset[str]
    script: str
    env: dict[str, str]
    queued: float  # wall, as the next ones
    assigned: float | None = None
    started: float | None = None
    completed: float | None = None
    status: str = "queued"  # queued, assigned, in_progress or completed
    result: str | None = None
    reason: str = ""  # why it ended, when not by its runner's word
    runner: Runner | None = None
    assignments: list[tuple[int, str, float]] = dataclasses.field(default_factory=list)  # runner id, name, wall
    log: list[str] = dataclasses.field(default_factory=list)
    cancelled: bool = False
    since: float = 0.0  # monotonic: when it was assigned, acknowledged or last renewed
    began: float = 0.0  # monotonic: when it was assigned
    held: bool = False  # a worker has it in hand, whatever the status says
    complete_at: float | None = None  # monotonic: the fault "complete_early"
    complete_as: str = "Canceled"

    def request(self) -> dict[str, Any]:
        """What its runner is told."""
        return {name: getattr(self, name) for name in ("id", "run_id", "name", "repository", "script", "env")}


@dataclasses.dataclass(frozen=True)
class RunnerToken:
    """A registration or remove token, by which config.sh registers runners of one scope, or removes them."""

    kind: str  # REGISTER or REMOVE
    scope: str
    ends: float  # wall


class GitHub:
    """The whole of it.

    ``on_change`` is called after anything a reader could notice has changed, ``on_work`` when there may be something to
    tell a runner that waits for a message.
    """

    def __init__(self, clock: Clock, settings: Settings | None = None, faults: Faults | None = None) -> None:
        self.clock = clock
        self.settings = settings or Settings()
        self.faults = faults or Faults()
        self.on_change: Callable[[], None] = lambda: None
        self.on_work: Callable[[], None] = lambda: None
        self.changes = 0
        self.scopes: dict[str, Scope] = {}
        self.runners: dict[int, Runner] = {}  # registered now
        self.gone: list[Runner] = []
        self.jobs: dict[int, Job] = {}
        self._unfinished: list[Job] = []  # those of them that time can change; it may hold some that have just ended
        self.issued: list[dict[str, Any]] = []  # every credential handed out, for leak scans
        self._access: dict[str, tuple[Runner, float]] = {}  # access token -> runner, end of life (wall)
        self._clients: dict[str, Runner] = {}
        self._runner_tokens: dict[str, RunnerToken] = {}
        self._sessions: dict[str, Session] = {}
        self._online: frozenset[int] = frozenset()
        self._scope_ids = itertools.count(1001)
        self._runner_ids = itertools.count(21)
        self._job_ids = itertools.count(501)
        self._message_ids = itertools.count(1)

    # -- scopes ------------------------------------------------------------------------------------------------------

    def add_scope(self, name: str, **fields: Any) -> Scope:
        """The scope of this name, made if it is new: ``my-org``, ``owner/repo`` (with its owner), ``enterprises/acme``.

        Fields: ``type`` (``Organization`` or ``User``, for an owner), ``visibility`` and ``archived`` (of a
        repository), ``organizations`` (of an enterprise), ``groups``: a list of mappings of GROUP_FIELDS, added to
        Default (1) and the GitHub-hosted one (2), ``webhooks``: URLs, added. Raises ValueError.
        """
        known = self.scopes.get(name.lower())
        unknown = set(fields) - set(SCOPE_FIELDS)
        if unknown:
            raise ValueError(f"scope {name}: {', '.join(sorted(unknown))}: unknown. Use {', '.join(SCOPE_FIELDS)}.")
        first, slash, second = name.partition("/")
        if not first or (slash and not second) or "/" in second:
            raise ValueError(f"scope {name!r}: write my-org, owner/repo or enterprises/name.")
        if known is None:
            kind = "enterprise" if slash and first == "enterprises" else "repo" if slash else "org"
            known = self.scopes[name.lower()] = Scope(next(self._scope_ids), name, kind)
            if kind != "repo":
                known.groups = {
                    1: Group(1, "Default"),
                    HOSTED_GROUP: Group(HOSTED_GROUP, "GitHub-hosted", "all", (), True),
                }
            elif known.owner not in self.scopes:
                self.add_scope(first)
        if "type" in fields:
            if fields["type"] not in ("Organization", "User") or known.kind not in ("org", "user"):
                raise ValueError(
                    f"scope {name}: type = {fields['type']!r}. Only an owner has one: Organization or User."
                )
            known.kind = "org" if fields["type"] == "Organization" else "user"
        if "visibility" in fields:
            if fields["visibility"] not in ("public", "private", "internal") or known.kind != "repo":
                raise ValueError(
                    f"scope {name}: visibility = {fields['visibility']!r}. Only a repository has one: public, private."
                )
            known.visibility = fields["visibility"]
        if "archived" in fields:
            if not isinstance(fields["archived"], bool) or known.kind != "repo":
                raise ValueError(f"scope {name}: archived = {fields['archived']!r}. Of a repository: true or false.")
            known.archived = fields["archived"]
        if "organizations" in fields:
            known.organizations = tuple(key.lower() for key in fields["organizations"])
        known.webhooks += fields.get("webhooks", [])
        for entry in fields.get("groups", []):
            if known.kind not in ("org", "enterprise"):
                raise ValueError(
                    f"scope {name}: groups = {fields['groups']!r}. Only organizations and enterprises have them."
                )
            if not set(entry) <= set(GROUP_FIELDS) or "name" not in entry:
                raise ValueError(f"scope {name}: group {entry!r}. Give {', '.join(GROUP_FIELDS)}.")
            number = next((old.id for old in known.groups.values() if old.name == entry["name"]), max(known.groups) + 1)
            lists = ("repositories", "organizations")
            users = {key: tuple(each.lower() for each in entry[key]) for key in lists if key in entry}
            known.groups[number] = Group(number, **{**entry, **users})
        self._changed()
        return known

    def scope(self, name: str) -> Scope:
        """A scope by its name. Raises Refused 404."""
        known = self.scopes.get(name.lower())
        if known is None:
            raise Refused(404, "Not Found")
        return known

    def group(self, scope: Scope, group_id: int) -> Group:
        """A runner group. Raises Refused 404; a repository has none of its own."""
        if group_id not in scope.groups:
            raise Refused(404, "Not Found")
        return scope.groups[group_id]

    def groups_for(self, scope: Scope, repository: str | None) -> list[Group]:
        """The groups of a scope; only those that a repository may use, if one is named."""
        groups = [scope.groups[number] for number in sorted(scope.groups)]
        if repository is None:
            return groups
        wanted = repository if "/" in repository else f"{scope.name}/{repository}"
        seen = self.scopes.get(wanted.lower())
        return [group for group in groups if seen is not None and group.admits(seen)]

    # -- registrations -----------------------------------------------------------------------------------------------

    def listed(self, scope: Scope, name: str | None = None) -> list[Runner]:
        """The runners registered at exactly this scope."""
        self.sweep()
        found = [
            runner for runner in self.runners.values() if runner.scope == scope.key and name in (None, runner.name)
        ]
        return found[: max(0, len(found) - self.faults.on_list())]

    def runner(self, scope: Scope, runner_id: int) -> Runner:
        """A registered runner of this scope. Raises Refused 404."""
        self.sweep()
        runner = self.runners.get(runner_id)
        if runner is None or runner.scope != scope.key:
            raise Refused(404, "Not Found")
        return runner

    def issue_token(self, scope: Scope, kind: str) -> tuple[str, float]:
        """A registration or remove token and the end of its life."""
        token, end = f"A{secrets.token_hex(14).upper()}", self.clock.now() + self.settings.token_life
        self.issued.append({"kind": kind, "scope": scope.name, "at": self.clock.now(), "secret": token})
        self._runner_tokens[token] = RunnerToken(kind, scope.key, end)
        return token, end

    def runner_token(self, secret: str, kinds: Iterable[str]) -> RunnerToken:
        """The token of this secret. Raises Refused 404 for one that is unknown, over, or of none of these kinds."""
        token = self._runner_tokens.get(secret)
        if token is None or token.ends <= self.clock.now() or token.kind not in kinds:
            raise Refused(404, "Not Found")
        return token

    def register(
        self,
        scope: Scope,
        *,
        name: str,
        group_id: int,
        labels: Iterable[str],
        work_folder: str,
        base: str,
        key: rsa.RSAPrivateKey,
    ) -> tuple[Runner, str]:
        """Register an ephemeral runner and make its JIT configuration.

        ``base`` is the URL under which runners reach GitHub. Raises Refused: 403 for the GitHub-hosted group, 404 for
        an unknown one, 409 for a name that is taken.
        """
        runner = self._enroll(
            scope,
            name=name,
            group_id=group_id,
            labels=dict.fromkeys(sorted({label.lower() for label in labels}), "read-only"),
            key=key.public_key(),
            base=base,
        )
        now = runner.created
        blob = jit.encode(
            {
                ".runner": {
                    "AgentId": runner.id,
                    "AgentName": name,
                    "PoolId": group_id,
                    "PoolName": scope.groups[group_id].name if scope.groups else "Default",
                    "DisableUpdate": False,  # the REST call has no field for it
                    "Ephemeral": True,
                    "ServerUrl": f"{base}/",
                    "GitHubUrl": "",
                    "WorkFolder": work_folder,
                    "UseV2Flow": True,
                    "ServerUrlV2": f"{base}/_runner",
                },
                ".credentials": {
                    "scheme": "OAuth",
                    "data": {
                        "clientId": runner.client_id,
                        "authorizationUrl": runner.token_url,
                        "requireFipsCryptography": "False",
                    },
                },
                ".credentials_rsaparams": jit.rsa_parameters(key),
            }
        )
        self.issued.append(
            {"kind": "jit", "scope": scope.name, "at": now, "runner_id": runner.id, "name": name, "secret": blob}
        )
        return runner, blob

    def _enroll(
        self,
        scope: Scope,
        *,
        name: str,
        group_id: int,
        labels: dict[str, str],
        key: rsa.RSAPublicKey,
        base: str,
        number: int | None = None,
        **more: Any,
    ) -> Runner:
        """Make a registration, under a new number if none is given. Raises Refused: see ``register``."""
        self.sweep()
        self.check_group(scope, group_id)
        if self.named(scope, name) is not None:
            raise Refused(409, f"Already exists - A runner with the name {name} already exists.")
        now = self.clock.now()
        runner = Runner(
            id=number or next(self._runner_ids),
            name=name,
            scope=scope.key,
            group_id=group_id,
            labels=labels,
            key=key,
            client_id=str(uuid.uuid4()),
            token_url=f"{base}/_runner/token",
            created=now,
            seen=now,
            **more,
        )
        self.runners[runner.id] = self._clients[runner.client_id] = runner
        self._changed()
        return runner

    def named(self, scope: Scope, name: str) -> Runner | None:
        """The registered runner of this name."""
        return next((one for one in self.runners.values() if one.name == name and one.scope == scope.key), None)

    def configure(
        self,
        scope: Scope,
        *,
        name: str,
        version: str,
        labels: Iterable[tuple[str, str]],
        replaces: int | None,
        **more: Any,
    ) -> Runner:
        """Register a runner that ran config.sh; ``more`` as for ``_enroll``.

        ``labels``: names as written, each with read-only or custom. ``replaces``: the id of the runner of that name
        whose registration it takes over.

        Raises Refused: as ``register``; 403 for a version that may not; 404 or 422 for a runner to be replaced that is
        not there, or has a job (from memory).
        """
        now = self.clock.now()
        if any(end is not None and moment(end) <= now for end in deprecation(self.settings, version, now)):
            raise Refused(403, f"Runner version v{version} is deprecated and cannot be registered.")
        spelled = {label.lower(): label for label, _kind in labels}
        kinds = {label.lower(): kind for label, kind in labels}
        if replaces is not None:
            old = self.runner(scope, replaces)
            if old.name != name or self.busy(old):
                raise Refused(422, f'Bad request - Runner "{old.name}" cannot be replaced.')
            self.remove(old, "replaced")
        return self._enroll(
            scope, name=name, labels=kinds, number=replaces, jit=False, spelled=spelled, version=version, **more
        )

    def check_group(self, scope: Scope, group_id: int) -> None:
        """Raise Refused unless runners may be registered in this group. A repository has just group 1."""
        if group_id == HOSTED_GROUP:
            raise Refused(403, "Runners cannot be registered in the group of GitHub-hosted runners.")
        if group_id != 1 and group_id not in scope.groups:
            raise Refused(404, "Not Found")

    def delete_runner(self, scope: Scope, runner_id: int) -> None:
        """What DELETE does. Raises Refused 404, or 422 while a job runs (as far as GitHub knows)."""
        runner = self.runner(scope, runner_id)
        if self.busy(runner):
            raise Refused(422, f'Bad request - Runner "{runner.name}" is still running a job')
        self.remove(runner, "deleted by request")

    def remove(self, runner: Runner, reason: str, *, told: bool = True) -> None:
        """End a registration. A worker that runs goes on; whether the listener learns of it is ``told``."""
        if runner.gone:
            return
        runner.gone, runner.gone_at, runner.told = reason, self.clock.now(), told
        del self.runners[runner.id]
        self.gone.append(runner)
        self._changed()
        self.on_work()

    def set_labels(self, runner: Runner, custom: Iterable[str], *, keep: bool) -> None:
        """Give a runner custom labels, besides (``keep``) or instead of those it has. Read-only ones stay."""
        kept = {label: kind for label, kind in runner.labels.items() if keep or kind == "read-only"}
        runner.labels = {**{label.lower(): "custom" for label in custom}, **kept}
        self._changed()

    def remove_label(self, runner: Runner, label: str) -> None:
        """Take one custom label away. Raises Refused 404 for one it has not, 422 for a read-only one."""
        kind = runner.labels.get(label.lower())
        if kind is None:
            raise Refused(404, "Not Found")
        if kind == "read-only":
            raise Refused(422, f"The label {label} is read-only and cannot be removed.")
        del runner.labels[label.lower()]
        self._changed()

    # -- what a reader sees ------------------------------------------------------------------------------------------

    def online(self, runner: Runner) -> bool:
        """The truth: its session is alive."""
        return runner.session is not None and self._alive(runner.session)

    def busy(self, runner: Runner) -> bool:
        """What GitHub believes: it has a job. Late under the fault ``busy_lag``."""
        if runner.job is None or runner.job.status not in ("assigned", "in_progress"):
            return False
        lag = self.faults.on_runner("busy_lag", runner.name)
        return lag is None or self.clock.monotonic() - runner.job.began >= lag.value

    def shown(self, runner: Runner) -> tuple[str, bool]:
        """status and busy as the next reader sees them."""
        online, busy = self.online(runner), self.busy(runner)
        runner.looks += 1
        if runner.looks % 2 == 0:
            online = online and not self.faults.on_runner("flicker", runner.name, "status")
            busy = busy and not self.faults.on_runner("flicker", runner.name, "busy")
        return ("online" if online else "offline"), busy

    # -- the runner's side -------------------------------------------------------------------------------------------

    def client(self, client_id: str) -> Runner:
        """The runner whose key may ask for access now. Raises Refused 400 (invalid_client).

        No access: the registration is gone, or the JIT configuration was left unused for too long.
        """
        self.sweep()
        runner = self._clients.get(client_id)
        unused = (
            runner is not None
            and runner.jit
            and runner.session is None
            and self.clock.now() > runner.created + self.settings.jit_life
        )
        if runner is None or runner.gone or unused:
            raise Refused(400, "invalid_client")
        return runner

    def grant(self, runner: Runner) -> tuple[str, float]:
        """An access token and its life in seconds."""
        token = secrets.token_urlsafe(32)
        self._access[token] = (runner, self.clock.now() + self.settings.access_token_life)
        return token, self.settings.access_token_life

    def bearer(self, token: str, *, job: bool = False) -> Runner:
        """The runner of an access token. Raises Refused 401. A job's calls (``job``) may outlive the token."""
        runner, end = self._access.get(token, (None, 0.0))
        if runner is None or (not job and end <= self.clock.now()):
            raise Refused(401, "The access token is unknown or has expired.")
        return runner

    def open_session(
        self, runner: Runner, *, version: str, os: str, architecture: str, disable_update: bool, remote: str
    ) -> Session:
        """Open a runner's session. Raises Refused 404 (no registration), 409 (one is alive), 403 (version)."""
        self.sweep()
        if runner.gone:
            raise Refused(404, "The runner registration has been deleted from the server, please re-configure.")
        if self.online(runner):
            raise Refused(409, "A session for this runner already exists.")
        self._check_version(version, first=runner.version is None)
        if runner.session is not None:
            runner.session.ended = True
        runner.version, runner.os, runner.architecture, runner.disable_update = (
            version,
            os,
            architecture,
            disable_update,
        )
        session = Session(str(uuid.uuid4()), runner, remote, self.clock.now(), self.clock.monotonic())
        runner.session = self._sessions[session.id] = session
        self._changed()
        self.sweep()
        return session

    def _check_version(self, version: str, *, first: bool) -> None:
        """Raise Refused 403 if this version gets no jobs; ``first``: the runner shows up for the first time.

        A JIT configuration is made without a word about the version; its first session is where that can be refused.
        """
        now = self.clock.now()
        register, runtime = deprecation(self.settings, version, now)
        ends = [end for end in (runtime, register if first else None) if end is not None]
        over = any(moment(end) <= now for end in ends)
        if over or self.faults.on_version(version):
            raise Refused(403, f"Runner version v{version} is deprecated and cannot receive messages.")

    def poll_begin(self, runner: Runner, session_id: str) -> Session:
        """A message call begins. Raises Refused 404 when the session or the registration is gone."""
        self.sweep()
        session = self._session(runner, session_id)
        session.polls += 1
        self._changed()
        return session

    def _session(self, runner: Runner, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if (
            session is None
            or session is not runner.session
            or not self._alive(session)
            or (runner.gone and runner.told)
        ):
            raise Refused(404, "The session or the runner registration does not exist.")
        return session

    def poll_end(self, session: Session, *, cut: bool) -> None:
        """A message call ended; a connection that was cut ends the session with it."""
        session.polls -= 1
        session.heard = self.clock.monotonic()
        session.ended = session.ended or cut
        self.sweep()

    def message(self, runner: Runner, session: Session) -> dict[str, Any] | None:
        """What there is to tell this session now. Raises Refused 404 when it has lost its registration."""
        self.sweep()
        self._session(runner, session.id)
        latest = latest_version(self.settings, self.clock.now())
        job = runner.job
        offer = (job.id, len(job.assignments)) if job is not None and job.status == "assigned" else None
        if job is not None and offer not in (None, session.offered):
            session.offered = offer
            return self._message("RunnerJobRequest", job.request())
        old = version_key(runner.version or "") < version_key(latest)
        if job is None and old and not runner.disable_update and not session.refreshed and not runner.gone:
            session.refreshed = True
            return self._message("RunnerRefreshMessage", {"targetVersion": latest})
        return None

    def _message(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"messageId": next(self._message_ids), "messageType": kind, "body": body}

    def close_session(self, runner: Runner, session_id: str) -> None:
        """The runner says goodbye. Raises Refused 404 for a session that is not (or no longer) its own."""
        session = self._session(runner, session_id)
        session.ended = True
        self.sweep()
        self._changed()

    def acknowledge(self, runner: Runner, job_id: int) -> Job:
        """The runner takes its job. Raises Refused 404 when it is not its own any more."""
        self.sweep()
        job = self.jobs.get(job_id)
        mine = job is not None and job.runner is runner and job.status in ("assigned", "in_progress")
        if job is None or not mine or (job.status == "assigned" and runner.gone and runner.told):
            raise Refused(404, "The job is not this runner's any more.")
        job.since = self.clock.monotonic()
        if job.status == "assigned":
            job.status, job.started, job.held = "in_progress", self.clock.now(), True
            early = self.faults.on_runner("complete_early", runner.name)
            if early is not None:
                job.complete_at = job.since + early.value
                job.complete_as = str(early.modifiers.get("result", "Canceled"))
            if self.faults.on_runner("deregister", runner.name, "acknowledge"):
                self.remove(runner, "deregistered silently", told=False)
        self._changed()
        return job

    def held_job(self, runner: Runner, job_id: int) -> Job:
        """The job this runner has in hand. Raises Refused 404."""
        self.sweep()
        job = self.jobs.get(job_id)
        if job is None or job.runner is not runner or not job.held:
            raise Refused(404, "The job is not this runner's any more.")
        return job

    def renew(self, runner: Runner, job_id: int) -> bool:
        """The job goes on. True when it shall be cancelled."""
        job = self.held_job(runner, job_id)
        job.since = self.clock.monotonic()
        return job.cancelled

    def append_log(self, runner: Runner, job_id: int, text: str) -> None:
        """Add to the job's log."""
        self.held_job(runner, job_id).log.append(text)
        self._changed()

    def complete(self, runner: Runner, job_id: int, result: str) -> None:
        """The job is over; so are the registration and the key of its ephemeral runner. Raises Refused 400, 404."""
        job = self.held_job(runner, job_id)
        if result not in RESULTS:
            raise Refused(400, f"result = {result!r}. Use one of: {', '.join(RESULTS)}.")
        job.held = False
        if job.status == "in_progress":
            self._finish(job, result, "")
        self._free(job)
        self._changed()

    # -- jobs --------------------------------------------------------------------------------------------------------

    def queue_job(self, repository: str, name: str, labels: Iterable[str], script: str, env: dict[str, str]) -> Job:
        """Queue a job. The repository is made if it is new; its owner has to exist. Raises ValueError."""
        if repository.count("/") != 1 or repository.startswith("enterprises/"):
            raise ValueError(f"repository = {repository!r}: write owner/repo.")
        if repository.lower() not in self.scopes and repository.lower().partition("/")[0] not in self.scopes:
            known = ", ".join(scope.name for scope in self.scopes.values()) or "none"
            raise ValueError(
                f"repository = {repository!r}: its owner is unknown here (known: {known}). "
                "Give it to a credential first."
            )
        scope = self.add_scope(repository)
        wanted = frozenset(label.lower() for label in labels)
        if not wanted:
            raise ValueError(
                "labels = []: a job names at least one label in runs-on. Give one, for example self-hosted."
            )
        number = next(self._job_ids)
        job = Job(number, 9000 + number, name, scope.name, wanted, script, env, self.clock.now())
        self.jobs[number] = job
        self._unfinished.append(job)
        self._changed()
        self.sweep()
        return job

    def cancel_job(self, job: Job) -> None:
        """Cancel a job: at once when no runner has begun it, else its runner is asked to."""
        self.sweep()
        if job.status in ("queued", "assigned"):
            self._release(job)
            job.status, job.result, job.reason, job.completed = (
                "completed",
                "Canceled",
                "cancelled before it began",
                self.clock.now(),
            )
        job.cancelled = True
        self._changed()
        self.sweep()

    def _release(self, job: Job) -> None:
        if job.runner is not None:
            job.runner.job = None
            job.runner = None

    def _finish(self, job: Job, result: str, reason: str) -> None:
        """A job that was begun ends, and with it the registration of an ephemeral runner."""
        job.status, job.result, job.reason, job.completed = "completed", result, reason, self.clock.now()
        if job.runner is not None and job.runner.ephemeral:
            self.remove(job.runner, "had its one job")
        self._free(job)

    def _free(self, job: Job) -> None:
        """Let a runner that is not ephemeral have its next job, once its worker has ended."""
        runner = job.runner
        if runner is not None and not runner.ephemeral and runner.job is job and not job.held:
            runner.job = None
            if runner.session is not None:
                runner.session.heard = self.clock.monotonic()  # it has just said that the job is over
            self.on_work()

    def _fits(self, job: Job, runner: Runner) -> bool:
        repository = self.scopes[job.repository.lower()]
        scope = self.scopes[runner.scope]
        if scope.kind == "repo":
            within = scope.key == repository.key
        elif scope.kind == "enterprise":
            owner = self.scopes[repository.owner]
            within = owner.kind == "org" and (scope.organizations is None or owner.key in scope.organizations)
        else:
            within = scope.key == repository.owner
        admitted = scope.kind == "repo" or (
            runner.group_id in scope.groups and scope.groups[runner.group_id].admits(repository)
        )
        return within and admitted and job.labels <= runner.labels.keys()

    # -- what time alone does ----------------------------------------------------------------------------------------

    def _alive(self, session: Session) -> bool:
        if session.ended:
            return False
        now = self.clock.monotonic()
        if session.polls > 0 or now - session.heard < self.settings.poll_grace:
            return True
        job = session.runner.job
        return job is not None and job.held and now - job.since < self.settings.renew_grace

    def advance(self, seconds: float) -> None:
        """Move the wall clock. Who is online stays so: see ``sweep``."""
        self.sweep()
        self.clock.advance(seconds)
        self.sweep()
        self._changed()

    def sweep(self) -> None:
        """Apply the rules of time, then give queued jobs to idle runners."""
        now, real = self.clock.now(), self.clock.monotonic()
        for runner in list(self.runners.values()):
            session = runner.session
            if self.online(runner):
                runner.seen = now  # first, so that a clock moved by days does not make the living offline for days
                idle_life = self.settings.idle_jit_life
                idle = runner.jit and runner.job is None
                if idle and session is not None and 0 < idle_life <= now - session.opened:
                    self.remove(runner, "idle for too long")
                elif runner.job is None and self.faults.on_runner("deregister", runner.name, "online"):
                    self.remove(runner, "deregistered silently", told=False)
            elif not self._has_job(runner) and now - runner.seen >= self._offline_life(runner):
                self.remove(runner, "offline for too long")
        self._unfinished = [job for job in self._unfinished if job.status != "completed" or job.held]
        for job in self._unfinished:
            if job.status == "assigned" and real - job.since >= self.settings.pickup_life:
                self._release(job)
                job.status = "queued"
                self._changed()
            elif job.held and real - job.since >= self.settings.lease_life:
                job.held = False
                if job.status == "in_progress":
                    self._finish(job, "Failed", "the runner lost communication with the server")
                self._free(job)
                self._changed()
            elif job.status == "in_progress" and job.complete_at is not None and real >= job.complete_at:
                job.complete_at = None
                self._finish(job, job.complete_as, "reported early")
        self._dispatch()
        online = frozenset(runner.id for runner in self.runners.values() if self.online(runner))
        if online != self._online:
            self._online = online
            self._changed()

    def _offline_life(self, runner: Runner) -> float:
        return self.settings.offline_ephemeral_life if runner.ephemeral else self.settings.offline_life

    def _has_job(self, runner: Runner) -> bool:
        return runner.job is not None and runner.job.status in ("assigned", "in_progress")

    def _dispatch(self) -> None:
        queued = [job for job in self._unfinished if job.status == "queued"]
        idle = (
            [runner for runner in self.runners.values() if runner.job is None and self.online(runner)] if queued else []
        )
        for job in queued:
            runner = next((runner for runner in idle if self._fits(job, runner)), None)
            if runner is None:
                continue
            idle.remove(runner)
            now = self.clock.now()
            job.status, job.runner, job.assigned = "assigned", runner, now
            job.began = job.since = self.clock.monotonic()
            job.assignments.append((runner.id, runner.name, now))
            runner.job = job
            self._changed()
            self.on_work()

    def _changed(self) -> None:
        self.changes += 1
        self.on_change()
