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

from tests.chaos.history import Row
from tests.chaos.invariants import NEVER, violations
from tests.doubles.github.settings import moment
from tests.e2e.rig import COUNT, Rig
from tests.lab.common import eventually

#: Docker keeps its last 256 events only, and forgets them when it ends: they are written down as they come, and asked
#: for again from the last one on.
EVENTS = "/var/lib/docker-events"
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
#: GitHub tells times in whole seconds.
WHOLE = 1.5


class Witness:
    """The history of one test, from `with` on."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._rows: list[Row] = []
        self._by_hand: set[str] = set()

    def __enter__(self) -> Witness:
        self.rig.host.exec("rm", "-f", EVENTS)
        self.rig.host.exec("systemd-run", "--unit=witness", "--collect", "bash", "-c", WATCH)
        self._requests = self.rig.github.last_request()
        self._jobs = {job["id"] for job in self.rig.github.jobs()}
        self._began = self.now()
        self.says("wants", slots=sorted(self.rig.slots()), drain=0, job=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rig.host.exec("systemctl", "stop", "witness", check=False)

    def now(self) -> float:
        """The host's time, which is GitHub's too."""
        return float(self.rig.host.exec("date", "+%s.%N").stdout)

    def says(self, what: str, of: str = "", **more: Any) -> None:
        """A person says something to runnerd, now: `wants`, `drain`, `stop`, `shutdown`, `resume`."""
        self._rows.append(Row(self.now(), "person", what, of, more))

    def by_hand(self, command: str, *slots: str) -> None:
        """A person does something to the containers of these slots; a job of those that it ends is lost by that."""
        containers = self.rig.containers()
        meant = {containers[name] for name in map("github-{}".format, slots) if name in containers}
        self.rig.host.exec("sh", "-c", command)
        self._by_hand |= meant - set(self.rig.host.docker("ps", "--no-trunc", "--quiet").split())

    def settle(self, count: int = COUNT, seconds: float = 180) -> None:
        """Wait until all is well, then write down what there is, everywhere."""
        self.rig.idle(count, seconds)
        eventually(lambda: len(self.rig.github.runners()) == len(self.rig.containers()) == count, 60, self.rig.tell)
        here = {number[:12]: name.removeprefix("github-") for name, number in self.rig.containers().items()}
        used = [
            mount["Name"]
            for container in json.loads(self.rig.host.docker("inspect", *here))
            for mount in container["Mounts"]
            if mount["Type"] == "volume"
        ]
        blocks = re.findall(r"# slot (\S+) begin", self.rig.host.read("/opt/github-runners/docker-compose.yml"))
        quiet = {
            "slots": sorted(self.rig.slots()),
            "containers": here,
            # A volume without a container stands for itself.
            "volumes": sorted([*here, *(self.rig.volumes() - set(used))]),
            "blocks": sorted(blocks),
        }
        now = self.now()
        self._rows.append(Row(now, "stage", "quiet", "", quiet))
        names = sorted(runner["name"] for runner in self.rig.github.runners())
        self._rows.append(Row(now, "stage", "registered", "", {"names": names}))

    def judge(self) -> None:
        """Hold the statements against all that was seen."""
        rows = self.rows()
        found = violations(rows)
        assert not found, "\n".join([*map(str, rows[-300:]), "", *map(str, found), self.rig.tell()])

    def rows(self) -> list[Row]:
        """All that was seen, in order."""
        jobs = self._jobs_seen()
        rows = [*self._rows, *jobs, *self._docker(_spans(jobs)), *self._github(), *self._runnerd()]
        return sorted(rows, key=lambda row: row.at)

    def _jobs_seen(self) -> list[Row]:
        """By what the runners told GitHub: an offer that no runner took is no start."""
        jobs = {str(job["id"]): job for job in self.rig.github.jobs() if job["id"] not in self._jobs}
        rows = [Row(moment(job["queued_at"]), "job", "queued", number) for number, job in jobs.items()]
        told: set[tuple[str, str, str]] = set()
        for entry in self.rig.github.journal(self._requests, link="runner")["entries"]:
            found = re.fullmatch(r"/_runner/jobs/(\d+)/(acknowledge|complete)", entry["path"])
            if not found or found[1] not in jobs or entry["status"] not in (200, 204):
                continue
            number, what = found[1], {"acknowledge": "started", "complete": "ended"}[found[2]]
            runner = entry["credential"].removeprefix("runner:")
            if (number, what, runner) not in told:  # it asks again if an answer was lost
                told.add((number, what, runner))
                where = {"runner": runner, "container": runner[-12:]}
                rows.append(Row(moment(entry["time"]), "job", what, number, where))
        ended = {number for number, what, _runner in told if what == "ended"}
        for number, job in jobs.items():
            runners = [runner for each, what, runner in told if (each, what) == (number, "started")]
            if job["completed_at"] and number not in ended and runners:
                rows.append(Row(moment(job["completed_at"]), "job", "killed", number, {"runner": runners[-1]}))
        return rows

    def _github(self) -> list[Row]:
        entries = self.rig.github.journal(self._requests)["entries"]
        return [
            Row(
                at,
                "github",
                "asked",
                entry["path"],
                {"method": entry["method"], "status": entry["status"], "since": at},
            )
            for entry in entries
            if str(entry["agent"]).endswith("runnerd")
            for at in [moment(entry["time"])]
        ]

    def _runnerd(self) -> list[Row]:
        rows = []
        for line in self.rig.runnerd("events", "--last", "2000").splitlines():
            at, slot, kind, detail, *runner = [*line.split("  "), ""]
            if moment(at) >= self._began - WHOLE:
                rows.append(
                    Row(moment(at), "runnerd", kind, next(filter(None, runner), slot), {"slot": slot, "detail": detail})
                )
        return rows

    def _docker(self, spans: dict[str, tuple[float, float]]) -> list[Row]:
        seen: set[tuple[int, str, str]] = set()
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
            if action == "create":
                rows.append(Row(at, "docker", "created", number, {"slot": slot}))
            elif action == "attach":
                attached.add(number)
            elif action == "start":
                starts[number] = starts.get(number, 0) + 1
                if number in attached:
                    attached.discard(number)
                    # A credential belongs to the runner that has the container's id in its name.
                    more = {"credential": number[:12], "starts": starts[number]}
                    rows.append(Row(at, "docker", "delivered", number, more))
            elif action == "kill":
                by = "person" if number in self._by_hand else "runnerd"
                began, ended = spans.get(number[:12], (NEVER, NEVER))
                more = {"slot": slot, "by": by, "working": began + WHOLE < at < ended - WHOLE}
                rows.append(Row(at, "docker", "stopped", number[:12], more))
        return rows


def _spans(jobs: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """When a job ran, by the container's id."""
    ended = {row.more["container"]: row.at for row in jobs if row.what == "ended"}
    return {
        row.more["container"]: (row.at, ended.get(row.more["container"], NEVER))
        for row in jobs
        if row.what == "started"
    }
