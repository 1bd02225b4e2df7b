# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who writes down, from outside, what happens on a real host and at GitHub while a test breaks something.

The rows are those of `tests/chaos/history.py`, and the same statements are held against them: Docker's own events, the
jobs and requests that the GitHub double has seen, and what runnerd says of runners that ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from runnerd.journal import EVENTS_KEPT
from tests.chaos.history import (
    ASKED,
    CREATED,
    DELIVERED,
    ERROR,
    JOB_ENDED,
    JOB_KILLED,
    JOB_QUEUED,
    JOB_STARTED,
    QUIET,
    REGISTERED,
    STOPPED,
    Row,
    of,
)
from tests.chaos.invariants import NEVER, violations
from tests.doubles.github.settings import moment
from tests.e2e.rig import COUNT, Rig
from tests.lab.common import eventually

#: Docker keeps its last 256 events only, and forgets them when it ends: they are written down as they come, and asked
#: for again from the last one on.
EVENTS = "/var/lib/docker-events"
#: A file: systemd would take the shell's variables in a command line for its own.
WATCH_FILE = "/var/lib/watch-docker"
WATCH = f"""
touch {EVENTS}
while :; do
    since=$(tail -n 1 {EVENTS} | grep -o '"timeNano":[0-9]*' | cut -d : -f 2)
    since=${{since:-$(date +%s)000000000}}
    docker events --since "${{since%?????????}}.${{since: -9}}" \\
        --filter type=container --format '{{{{json .}}}}' >>{EVENTS}
    sleep 0.1
done
"""
#: How the name of a container ends that is the Docker of a runner's own.
COMPANION = "-docker"
#: Seconds between a thing and its being written down.
LATE = 0.2
#: Seconds until runnerd has read an answer, and all its threads know that GitHub wants rest.
ON_ITS_WAY = 0.05


class Witness:
    """The history of one test, from `with` on."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.foreseen = ""  # an error that runnerd may end by, and says
        self._rows: list[Row] = []
        self._by_hand: dict[str, tuple[float, float]] = {}  # container -> when a person ended it, from and to

    def __enter__(self) -> Witness:
        self.rig.host.exec("systemctl", "stop", "witness", check=False)  # one that a killed run has left
        self.rig.host.exec("rm", "-f", EVENTS)
        self.rig.host.write(WATCH_FILE, WATCH)
        self.rig.host.exec("systemd-run", "--unit=witness", "--collect", "bash", WATCH_FILE)
        self._requests = self.rig.github.last_request()
        self._jobs = {job["id"] for job in self.rig.github.jobs()}
        self._began = self.rig.now()
        self._there = {name.removeprefix("github-"): number for name, number in self.rig.containers().items()}
        self.says("wants", slots=sorted(self.rig.slots()), drain=0, job=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rig.host.exec("systemctl", "stop", "witness", check=False)

    def says(self, what: str, of: str = "", **more: Any) -> None:
        """A person says something to runnerd, now: `wants`, `drain`, `stop`, `shutdown`, `resume`."""
        self._rows.append(Row(self.rig.now(), "person", what, of, more))

    def by_hand(self, command: str, *slots: str) -> None:
        """A person does something to the containers of these slots; a job of those that it ends is lost by that."""
        containers = self.rig.containers()
        names = [f"github-{slot}{half}" for slot in slots for half in ("", COMPANION)]
        meant = {containers[name] for name in names if name in containers}
        began = self.rig.now()
        self.rig.host.exec("sh", "-c", command)
        ended = meant - set(self.rig.host.docker("ps", "--no-trunc", "--quiet").split())
        self._by_hand |= dict.fromkeys(ended, (began, self.rig.now()))

    def settle(self, count: int = COUNT, seconds: float = 240) -> None:
        """Wait until all is well, then write down what there is, everywhere."""
        self.rig.idle(count, seconds)
        eventually(lambda: len(self.rig.github.runners()) == len(self._machines()) == count, 60, self.rig.tell)
        here = {machine[0][:12]: slot for slot, machine in self._machines().items()}
        there = json.loads(self.rig.host.docker("inspect", *self.rig.containers().values()))
        ended = [container["Name"] for container in there if not container["State"]["Running"]]
        assert not ended, f"slots are idle, and these have ended: {ended}"
        used = [mount["Name"] for container in there for mount in container["Mounts"] if mount["Type"] == "volume"]
        blocks = re.findall(r"# slot (\S+) begin", self.rig.host.read("/opt/github-runners/docker-compose.yml"))
        quiet = {
            "slots": sorted(self.rig.slots()),
            "containers": here,
            # A volume without a container stands for itself.
            "volumes": sorted([*here, *(self.rig.volumes() - set(used))]),
            "blocks": sorted(blocks),
        }
        now = self.rig.now()
        self._rows.append(Row(now, *QUIET, "", quiet))
        names = sorted(runner["name"] for runner in self.rig.github.runners())
        self._rows.append(Row(now, *REGISTERED, "", {"names": names}))

    def _machines(self) -> dict[str, list[str]]:
        """Slot -> the ids of its runner's container, and of its Docker's where it has one of its own.

        A Docker that has lost its runner is under a name of its own, so that it is one too many.
        """
        containers = {name.removeprefix("github-"): number for name, number in sorted(self.rig.containers().items())}
        whole: dict[str, list[str]] = {}
        for name, number in containers.items():
            runner = name.removesuffix(COMPANION)
            whole.setdefault(runner if runner in containers else name, []).append(number)
        return whole

    def judge(self) -> None:
        """Hold the statements against all that was seen."""
        rows = self.rows()
        found = [*map(str, violations(rows)), *self._blind(rows)]
        assert not found, "\n".join([*map(str, rows[-300:]), "", *found, self.rig.tell()])

    def _blind(self, rows: Sequence[Row]) -> list[str]:
        """What must have been seen, and was not: then the statements say little."""
        delivered = {row.of[:12] for row in of(rows, DELIVERED)}
        delivered |= {number[:12] for number in self._there.values()}
        return [
            f"BLIND: nobody saw that a container was made that took a job\n  {row}"
            for row in of(rows, JOB_STARTED)
            if row.more["container"] not in delivered
        ]

    def rows(self) -> list[Row]:
        """All that was seen, in order."""
        jobs = self._jobs_seen()
        rows = [*self._rows, *jobs, *self._docker(jobs), *self._github(), *self._runnerd(), *self._errors()]
        return sorted(rows, key=lambda row: row.at)

    def _jobs_seen(self) -> list[Row]:
        """By what the runners told GitHub: an offer that no runner took is no start."""
        jobs = {str(job["id"]): job for job in self.rig.github.jobs() if job["id"] not in self._jobs}
        rows = [Row(moment(job["queued_at"]), *JOB_QUEUED, number) for number, job in jobs.items()]
        where = {number: self._container_of(int(number)) for number in jobs}
        runners: dict[str, str] = {}
        told: set[tuple[str, str, str]] = set()
        for entry in self.rig.github.journal(self._requests, link="runner")["entries"]:
            found = re.fullmatch(r"/_runner/jobs/(\d+)/(acknowledge|complete)", entry["path"])
            if not found or found[1] not in jobs or entry["status"] not in (200, 204):
                continue
            number, runner = found[1], entry["credential"].removeprefix("runner:")
            if (number, found[2], runner) in told:
                continue  # it asks again if an answer was lost
            told.add((number, found[2], runner))
            more = {"runner": runner, "container": where[number] or runner[-12:]}
            if found[2] == "acknowledge":
                runners[number] = runner
                rows.append(Row(entry["answered_at"], *JOB_STARTED, number, more))
            else:
                rows.append(Row(entry["asked_at"], *JOB_ENDED, number, {**more, "result": jobs[number]["result"]}))
        ended = {row.of for row in of(rows, JOB_ENDED)}
        for number, job in jobs.items():
            if job["completed_at"] and number not in ended and number in runners:
                more = {"runner": runners[number], "container": where[number] or runners[number][-12:]}
                rows.append(Row(moment(job["completed_at"]), *JOB_KILLED, number, more))
        return rows

    def _container_of(self, number: int) -> str:
        """Where a job says that it runs; empty if it has not come to say so."""
        found = re.search(r"^container ([0-9a-f]{12})$", self.rig.github.job(number)["log"], re.MULTILINE)
        return found[1] if found else ""

    def _github(self) -> list[Row]:
        return [
            Row(
                entry["answered_at"] + (ON_ITS_WAY if entry["rest_until"] else 0),
                *ASKED,
                entry["path"],
                {
                    "method": entry["method"],
                    "status": entry["status"],
                    "since": entry["asked_at"],
                    "until": entry["rest_until"] or 0.0,
                },
            )
            for entry in self.rig.github.journal(self._requests)["entries"]
            if str(entry["agent"]).endswith("runnerd")
        ]

    def _runnerd(self) -> list[Row]:
        lines = self.rig.runnerd("events", "--json", "--last", str(EVENTS_KEPT)).splitlines()
        return [
            Row(
                moment(told["at"]),
                "runnerd",
                told["kind"],
                told["runner"] or told["slot"],
                {"slot": told["slot"], "detail": told["detail"]},
            )
            for told in map(json.loads, lines)
            if moment(told["at"]) >= self._began
        ]

    def _errors(self) -> list[Row]:
        """What runnerd's log has a traceback of."""
        said = self.rig.host.exec(
            "journalctl", "--unit=runnerd", f"--since=@{self._began:.0f}", "--output=cat", "--no-pager"
        ).stdout
        found = re.findall(r"^Traceback .*\n(?: .*\n)*(.*)", said, re.MULTILINE)
        return [
            Row(self._began, *ERROR, error, {"foreseen": bool(self.foreseen) and self.foreseen in error})
            for error in found
        ]

    def _docker(self, jobs: Sequence[Row]) -> list[Row]:
        spans = _spans(jobs)
        # Whose credential it was, by who took a job there; in one that took none it is the runner's of its own name.
        credentials = {row.more["container"]: row.more["runner"][-12:] for row in of(jobs, JOB_STARTED)}
        seen: set[tuple[int, str, str]] = set()
        runners = dict(self._there)  # slot -> its runner's container at the time
        dead: set[str] = set()
        starts: dict[str, int] = {}
        attached: set[str] = set()
        rows = []
        for line in self.rig.host.read(EVENTS).splitlines():
            event = json.loads(line)
            at, number, action = event["timeNano"] / 1e9, event["id"], event["Action"]
            if (event["timeNano"], number, action) in seen:
                continue
            seen.add((event["timeNano"], number, action))
            slot = event["Actor"]["Attributes"]["name"].removeprefix("github-")
            if slot.endswith(COMPANION) and action != "kill":
                continue  # made, started and removed with its runner; that it is, `settle` tells
            if action == "create":
                runners[slot] = number
                rows.append(Row(at, *CREATED, number, {"slot": slot}))
            elif action == "attach":
                attached.add(number)
            elif action == "start":
                starts[number] = starts.get(number, 0) + 1
                if number in attached:
                    attached.discard(number)
                    more = {"credential": credentials.get(number[:12], number[:12]), "starts": starts[number]}
                    rows.append(Row(at, *DELIVERED, number, more))
            elif action == "kill":
                by_hand = self._by_hand.get(number, (NEVER, NEVER))
                by = "person" if by_hand[0] <= at <= by_hand[1] else "runnerd"
                runner = number[:12]
                if slot.endswith(COMPANION):  # who takes its Docker takes the runner
                    slot = slot.removesuffix(COMPANION)
                    runner = runners.get(slot, "")[:12]
                began, ended = spans.get(runner, (NEVER, NEVER))
                working = began + LATE < at < ended - LATE and runner not in dead
                rows.append(Row(at, *STOPPED, runner, {"slot": slot, "by": by, "working": working}))
            elif action == "die":
                dead.add(number[:12])
        return rows


def _spans(jobs: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """When a job ran, by the container's id."""
    ended = {row.more["container"]: row.at for row in of(jobs, JOB_ENDED)}
    return {row.more["container"]: (row.at, ended.get(row.more["container"], NEVER)) for row in of(jobs, JOB_STARTED)}
