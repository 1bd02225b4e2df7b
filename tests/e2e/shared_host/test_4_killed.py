# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promise 4: whatever ends a runner, or the host, the slot is made fresh; for a runner, within five seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from tests.e2e.rig import COUNT, Rig
from tests.lab.common import eventually

ROUNDS = 100
#: Seconds from a container's death to the creation of the next one, by Docker's own events.
PROMISED = 5.0
#: Docker itself keeps the last 256 events only, so they are written down from the beginning.
EVENTS = "/var/lib/docker-events"

# bash reads a script as it goes: what comes after the line that waits for the listener becomes `exit 1`, in place.
EXIT_1 = """
docker exec --user 0 {name} python3 -c "
text = open('run.sh').read()
at = text.index(chr(10) + 'done' + chr(10)) + 6
file = open('run.sh', 'r+')
file.seek(at)
file.write('exit 1' + chr(10) * (len(text) - at - 6))
"
docker exec {name} pkill -KILL -f bin/Runner.Listener
"""

# What ends a container, by hand. When the listener dies, run.sh ends with 0, whatever the listener's own code was.
WAYS = {
    "docker kill (137)": "docker kill {name}",
    "docker stop (143)": "docker stop --time 3 {name}",
    "listener killed (0)": "docker exec {name} pkill -KILL -f bin/Runner.Listener",
    "run.sh ends (1)": EXIT_1,
    "run.sh killed (137)": "docker exec {name} pkill -KILL -f run.sh",
    "docker rm": "docker rm --force {name}",
    "docker restart": "docker restart --time 3 {name}",
}

# Two eat up to the pool's limit. The kernel kills who has most of it, and the adjustment counts as nearly all of it:
# with one eater alone, the eater would have more.
EAT = "docker exec --user 0 {{name}} sh -c 'echo 1000 >/proc/{victim}/oom_score_adj; tail /dev/zero & tail /dev/zero'"
OOM_WAYS = {
    "out of memory: the first process (137)": EAT.format(victim="1"),
    "out of memory: the listener (0)": EAT.format(victim="$(pgrep -o -f bin/Runner.Listener)"),
}


def test_a_hundred_rounds_of_killing(rig: Rig) -> None:
    kill_in_turn(rig, WAYS)
    assert rig.github.wait_job(rig.job("echo still alive"))["result"] == "Succeeded"


def test_a_hundred_rounds_of_the_out_of_memory_killer(rig: Rig) -> None:
    for killed, events in kill_in_turn(rig, OOM_WAYS):
        assert any(e["Action"] == "oom" and e["id"] == killed for e in events), (killed, events)
    assert "its container ran out of memory" in rig.runnerd("events")
    assert rig.github.wait_job(rig.job("echo still alive"))["result"] == "Succeeded"


def kill_in_turn(rig: Rig, ways: Mapping[str, str]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Kill idle runners, one slot after the other; each slot must have a new container as soon as is promised.

    Returns:
        For each one killed: its container's id, and what happened to its slot's containers, by Docker's own events.
    """
    watch = ["docker", "events", "--filter", "type=container", "--format", "{{json .}}"]
    output = f"--property=StandardOutput=truncate:{EVENTS}"
    rig.host.exec("systemd-run", "--unit=docker-events", "--collect", output, *watch)
    killed: dict[str, tuple[str, str]] = {}  # container -> slot, and how
    try:
        for number, (how, command) in zip(range(ROUNDS), itertools.cycle(ways.items()), strict=False):
            slot = f"runner-{number % COUNT + 1}"
            killed[idle_container(rig, slot, killed)] = slot, how
            rig.host.exec("sh", "-c", command.format(name=f"github-{slot}"), check=False)
        rig.idle(COUNT)
    finally:
        rig.host.exec("systemctl", "stop", "docker-events")
    events = [json.loads(line) for line in rig.host.read(EVENTS).splitlines()]
    of = {slot: [e for e in events if e["Actor"]["Attributes"]["name"] == f"github-{slot}"] for slot in rig.slots()}
    took = {container: gap(of[slot], container) for container, (slot, _how) in killed.items()}
    late = {container: (*killed[container], seconds) for container, seconds in took.items() if seconds > PROMISED}
    assert len(killed) == ROUNDS and not late, f"{late}\n{rig.tell()}"
    return [(container, of[slot]) for container, (slot, _how) in killed.items()]


def idle_container(rig: Rig, slot: str, killed: Mapping[str, object]) -> str:
    """Wait until a slot holds an idle runner that was not killed yet; its container."""
    found: list[str] = []

    def holds(slots: dict[str, dict[str, Any]]) -> bool:
        found[:] = [slots[slot]["container"]]
        return slots[slot]["state"] == "idle" and found[0] not in killed

    rig.until(holds, 90)
    return found[0]


def gap(events: list[dict[str, Any]], container: str) -> float:
    """Seconds from a container's death to the creation of the slot's next container.

    The last death counts: `docker restart` brings it to life once more, and it ends by itself.
    """
    died = [e["timeNano"] for e in events if e["id"] == container and e["Action"] == "die"]
    made = next(e["timeNano"] for e in events if e["Action"] == "create" and e["timeNano"] > died[0])
    return float(made - max(at for at in died if at < made)) / 1e9


def test_a_reboot(rig: Rig) -> None:
    before = rig.containers()
    rig.host.reboot()
    rig.idle(3)
    assert not set(before.values()) & set(rig.containers().values())
    assert rig.host.failed_units() == []
    assert rig.github.wait_job(rig.job("echo up again"))["result"] == "Succeeded"


def test_a_reboot_waits_for_a_job_up_to_its_own_limit(rig: Rig) -> None:
    """The base's shutdown limit is 30 s: a job of 10 s comes to its end, and the idle are deregistered."""
    number = rig.job("for i in $(seq 10); do echo tick $i; sleep 1; done", name="short")
    rig.github.wait_job(number, until=lambda job: job["status"] == "in_progress")
    rig.host.reboot()
    job = rig.github.job(number)
    assert job["result"] == "Succeeded" and "tick 10" in job["log"], job
    rig.idle(3)


def test_a_power_cut(rig: Rig) -> None:
    rig.counting()
    before = rig.containers()
    rig.host.reboot(power_cut=True)
    rig.idle(3)
    assert not set(before.values()) & set(rig.containers().values())
    assert "host was restarted" in rig.runnerd("events", "--last", "30")


def test_an_engine_restarted_that_takes_its_containers_along(rig: Rig) -> None:
    """As one does that was there before us; ours lets them live (test_3_jobs_live_on.py)."""
    settings = "/etc/docker/daemon.json"
    ours = rig.host.read(settings)
    rig.host.write(settings, '{"live-restore": false}')
    rig.host.exec("systemctl", "reload", "docker")
    try:
        before = rig.containers()
        rig.host.exec("systemctl", "restart", "docker")
        # Until runnerd has looked, it and GitHub tell of the old ones.
        eventually(lambda: not set(rig.containers().values()) & set(before.values()), 90, rig.tell)
        rig.idle(3)
        assert rig.containers().keys() == before.keys()
        assert rig.host.exec("systemctl", "is-active", "github-docker-runners").stdout.strip() == "active"
    finally:
        rig.host.write(settings, ours)
        rig.host.exec("systemctl", "reload", "docker")


def test_github_down_for_a_while(rig: Rig) -> None:
    rig.github.fault(status=502, path="/actions/")
    before = rig.containers()["github-runner-1"]
    rig.host.docker("rm", "--force", "github-runner-1")
    rig.until(lambda slots: slots["runner-1"]["state"] == "backing off" and "502" in slots["runner-1"]["reason"])
    assert rig.github.wait_job(rig.job("echo others go on"))["result"] == "Succeeded"
    rig.github.clear_faults()
    rig.idle(3)
    assert rig.containers()["github-runner-1"] != before


def test_an_answer_that_is_lost_leaves_no_ghost(rig: Rig) -> None:
    rig.github.fault(cut="after", method="POST", path="generate-jitconfig", times=1)
    rig.host.docker("rm", "--force", "github-runner-1")
    rig.idle(3)
    eventually(lambda: len(rig.github.runners()) == 3, 60, rig.tell)


def test_the_other_image_works_unbuilt(rig: Rig) -> None:
    image = rig.lab.push_runner("1", layout="myoung34")
    rig.deploy(image=image.reference, count=1)
    rig.idle(1)
    job = rig.github.wait_job(rig.job("pwd; id -un"))
    assert job["result"] == "Succeeded" and "/actions-runner/" in job["log"], job
