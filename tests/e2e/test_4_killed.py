# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promise 4: whatever ends a runner, or the host, the slot is made fresh; for a runner, within five seconds."""

from __future__ import annotations

import itertools
from datetime import datetime

from tests.e2e.rig import Rig
from tests.lab.common import eventually

ROUNDS = 100
OOM_ROUNDS = 5  # each eats memory for some seconds first

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


def test_a_hundred_rounds_of_killing(rig: Rig) -> None:
    for number, (how, command) in zip(range(ROUNDS), itertools.cycle(WAYS.items()), strict=False):
        slot = f"runner-{number % 3 + 1}"
        rig.until(lambda slots, slot=slot: slots[slot]["state"] == "idle", 30)  # type: ignore[misc]  # bound on purpose
        before = rig.containers()[f"github-{slot}"]
        rig.host.exec("sh", "-c", command.format(name=f"github-{slot}"), check=False)
        fresh_container(rig, f"github-{slot}", before, how)
    rig.idle(3)
    assert rig.github.wait_job(rig.job("echo still alive"))["result"] == "Succeeded"


def fresh_container(rig: Rig, name: str, before: str, how: str) -> None:
    """A container of another id within five seconds."""
    eventually(lambda: rig.containers().get(name, before) != before, 5, lambda: f"{how}: {rig.tell()}")


def test_the_out_of_memory_killer(rig: Rig) -> None:
    rig.deploy(memory="128m", count=1)
    rig.idle(1)
    for _round in range(OOM_ROUNDS):
        rig.until(lambda slots: slots["runner-1"]["state"] == "idle", 60)
        before = rig.containers()["github-runner-1"]
        number = rig.job("sleep 60", name="eats", env={"STANDIN_FAULTS": "eat-memory"})
        rig.github.wait_job(number, until=lambda job: job["assignments"])
        eventually(lambda before=before: rig.containers().get("github-runner-1", before) != before, 60, rig.tell)  # type: ignore[misc]  # bound on purpose
    rig.idle(1)
    events = [line.split("  ") for line in rig.runnerd("events", "--last", "200").splitlines()]
    mine = [(at, kind, rest) for at, slot, kind, *rest in events if slot == "runner-1" and kind in ("ended", "started")]
    deaths = [i for i, (_at, _kind, rest) in enumerate(mine) if "its container ran out of memory" in rest[0]]
    assert len(deaths) >= OOM_ROUNDS, mine
    for i in deaths:
        died, began = (datetime.fromisoformat(mine[k][0].replace("Z", "+00:00")) for k in (i, i + 1))
        assert mine[i + 1][1] == "started" and (began - died).total_seconds() <= 5, mine[i : i + 2]


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
        rig.idle(3)
        assert rig.containers().keys() == before.keys()
        assert not set(rig.containers().values()) & set(before.values())
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
