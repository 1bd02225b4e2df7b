# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `tests/chaos` breaks in a simulation, broken on a real host: real Docker, real systemd, a witness beside it.

`make chaos-host`; about an hour, and not in `test`, which has the most frequent of it in `test_3_jobs_live_on.py`,
`test_4_killed.py` and `test_9_remove.py`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.rig import COUNT, Rig
from tests.e2e.witness import Witness
from tests.lab.common import eventually

SEED = int(os.environ.get("CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "60"))
#: Seconds. Without the Engine no name is resolved, so a runner is silent for a while, and GitHub has to bear with it.
SILENT = 180
#: systemd reads it at each start of runnerd; it is taken away before the next one.
CRASH = "/var/lib/runnerd-crash"
DROP_IN = f"[Service]\nEnvironmentFile=-{CRASH}\n"
POINTS = [
    f"{effect}.{when}"
    for effect in ("create", "mint", "start", "deregister", "stop", "remove")
    for when in ("before", "after")
]


@pytest.fixture
def witness(rig: Rig) -> Iterator[Witness]:
    """One who sees the whole test; what is seen has to bear out all statements."""
    with Witness(rig) as witness:
        yield witness
        rig.github.clear_faults()
        witness.settle()
        witness.judge()


def again(rig: Rig, jobs: int = 3) -> None:
    """Jobs run."""
    for number in [rig.job(f"echo {each}") for each in range(jobs)]:
        assert rig.github.wait_job(number, 240)["result"] == "Succeeded", rig.tell()


# runnerd


@pytest.fixture(scope="module")
def crash(shared: Rig) -> Iterator[None]:
    """The unit reads where runnerd is to end."""
    folder = "/etc/systemd/system/runnerd.service.d"
    shared.host.exec("mkdir", "-p", folder)
    shared.host.write(f"{folder}/crash.conf", DROP_IN)
    shared.host.exec("systemctl", "daemon-reload")
    yield
    shared.host.exec("rm", "-r", folder)
    shared.host.exec("systemctl", "daemon-reload")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.usefixtures("crash")
def test_killed_at_a_side_effect(rig: Rig, witness: Witness, point: str) -> None:
    """Promise 4: runnerd is gone before or after it has done something; the next one finds its way, a job goes on."""
    number = rig.counting()
    slot = next(name for name, each in sorted(rig.slots().items()) if each["state"] == "idle")
    rig.host.write(CRASH, f"RUNNERD_CRASH_AT={point}\n")
    rig.host.exec("systemctl", "restart", "runnerd")
    rig.host.exec("rm", CRASH)
    before = _deaths(rig)
    if point.startswith(("deregister", "stop")):
        witness.says("drain", slot, limit=600)
        rig.runnerd("drain", slot, check=False)  # it may be dead before it answers
    else:
        witness.by_hand(f"docker rm --force --volumes github-{slot}", slot)
    eventually(lambda: _deaths(rig) == before + 1, 60, rig.tell)
    eventually(lambda: bool(rig.status().get("daemon")), 60, rig.tell)
    if point.startswith(("deregister", "stop")):
        rig.until(lambda slots: slots[slot]["state"] == "drained" and not slots[slot]["container"])
        witness.says("resume")
        rig.runnerd("resume")
    rig.idle_but_one()
    rig.finish(number)


def _deaths(rig: Rig) -> int:
    """How often runnerd has ended as one that is killed does."""
    return rig.host.journal("--unit=runnerd").count("status=137")


def test_a_second_instance_does_nothing(rig: Rig, witness: Witness) -> None:
    """Promise 1 and 5: somebody starts runnerd by hand; two would fill each slot twice."""
    number = rig.counting()
    before, since = rig.containers(), rig.github.last_request()
    done = rig.host.exec("env", "CREDENTIALS_DIRECTORY=/etc/runnerd", "runnerd", "serve", check=False, timeout=20)
    assert done.rc not in (0, 124), done
    assert "another runnerd" in done.stdout + done.stderr, done
    assert rig.containers() == before and rig.github.writes(since) == []
    rig.finish(number)


def test_a_journal_of_yesterday(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 5: a backup of the journal is put back; it knows nobody who lives now."""
    journal = "/var/lib/runnerd/journal.sqlite"
    rig.host.exec("systemctl", "stop", "runnerd")
    rig.host.exec("sh", "-c", f"mkdir -p /root/kept && cp -a {journal}* /root/kept/")
    rig.host.exec("systemctl", "start", "runnerd")
    rig.idle(COUNT)
    again(rig, 6)
    number = rig.counting()
    busy = rig.containers()[f"github-{rig.slot_of(number)}"]
    rig.host.exec("systemctl", "stop", "runnerd")
    rig.host.exec("sh", "-c", f"rm -f {journal}* && cp -a /root/kept/* /var/lib/runnerd/ && rm -r /root/kept")
    rig.host.exec("systemctl", "start", "runnerd")
    rig.idle_but_one()
    assert busy in rig.containers().values()
    rig.finish(number)


def test_left_dead_while_jobs_end(rig: Rig, witness: Witness) -> None:
    """Promise 4: nobody is there when jobs end, and whoever comes then finds out how they ended."""
    number = rig.counting()
    container = f"github-{rig.slot_of(number)}"
    rig.host.exec("systemctl", "stop", "runnerd")
    rig.host.docker("exec", container, "touch", "/tmp/finish")
    rig.github.wait_job(number)
    time.sleep(30)
    rig.host.exec("systemctl", "start", "runnerd")
    rig.idle(COUNT)
    assert "job 'counting': Succeeded" in rig.runnerd("events", "--last", "30")


def test_upgraded_while_a_job_runs(rig: Rig, witness: Witness) -> None:
    """Promise 3: a newer collection is deployed; the daemon changes, the runners do not."""
    number = rig.counting()
    before = rig.containers()
    code = rig.project.collection / "roles" / "runnerd" / "files" / "runnerd" / "__init__.py"
    text = code.read_text(encoding="utf-8")
    code.write_text(f"{text}\n# newer\n", encoding="utf-8")
    try:
        assert rig.deploy().changed
        assert rig.containers() == before
        rig.finish(number)
        witness.settle()
    finally:
        code.write_text(text, encoding="utf-8")
    rig.deploy()


# Docker


def test_an_engine_that_hangs(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: what Docker does not tell is not taken for anything, and it is not asked for ever."""
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    before = rig.containers()
    rig.host.exec("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", "docker")
    try:
        time.sleep(45)
        assert rig.host.exec("systemctl", "is-active", "runnerd").stdout.strip() == "active"
    finally:
        rig.host.exec("systemctl", "kill", "--kill-whom=main", "--signal=SIGCONT", "docker")
    rig.idle_but_one()
    assert rig.containers() == before
    rig.finish(number)


def test_an_engine_killed_again_and_again(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: the Engine dies at any moment, also between attaching to a container and starting it."""
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    dice = random.Random(SEED)
    slots = [name for name, each in rig.slots().items() if each["state"] == "idle"]
    for _round in range(8):
        witness.by_hand(f"docker rm --force --volumes github-{(slot := dice.choice(slots))}", slot)
        time.sleep(dice.uniform(0, 0.6))
        rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "docker")
        rig.host.exec("systemctl", "reset-failed", "docker", check=False)
        rig.host.exec("systemctl", "start", "docker")
        rig.idle_but_one()
    rig.finish(number)


def test_an_image_that_is_gone(rig: Rig, witness: Witness) -> None:
    """Promise 4: somebody cleans up; the slot says what is missing, and is filled when it is there again."""
    image = rig.host.docker("inspect", "github-runner-1", "--format", "{{.Config.Image}}").strip()
    rig.runnerd("pause")
    witness.by_hand("docker rm --force --volumes github-runner-1 github-runner-2 github-runner-3", *rig.slots())
    rig.host.docker("rmi", "--force", rig.host.docker("image", "inspect", image, "--format", "{{.Id}}").strip())
    rig.runnerd("resume")
    rig.until(lambda slots: all(each["state"] == "backing off" for each in slots.values()))
    assert all(image.split("@")[0] in each["reason"] for each in rig.slots().values()), rig.tell()
    rig.host.docker("pull", image)
    rig.runnerd("resume")


def test_a_busy_container_stopped_by_hand(rig: Rig, witness: Witness) -> None:
    """Promise 4: the job is lost by the user's own hand, which is said; the slot is filled anew."""
    number = rig.counting()
    slot = rig.slot_of(number)
    witness.by_hand(f"docker stop --time 1 github-{slot}", slot)
    rig.idle(COUNT)
    assert rig.github.wait_job(number)["result"] != "Succeeded"
    assert "counting" in rig.runnerd("events", "--last", "20")


# The host


def test_packages_upgraded_under_a_job(rig: Rig, witness: Witness) -> None:
    """Promise 3: unattended upgrades put in a new libc and a new Docker, and needrestart restarts what uses the old."""
    apt = "DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -qq -y -o DPkg::Lock::Timeout=300"
    rig.host.exec("sh", "-c", f"apt-get -qq update && {apt} install --no-install-recommends needrestart", timeout=300)
    rig.github.settings(lease_life=SILENT)
    number = rig.counting()
    before = rig.containers()
    said = rig.host.exec("sh", "-c", f"{apt} install --reinstall libc6 && needrestart -r a", timeout=300)
    assert "docker.service" not in _restarted(said.stdout) and "containerd.service" not in _restarted(said.stdout)
    assert "runnerd.service" in _restarted(said.stdout), said.stdout  # it saw that something uses the old one
    rig.host.exec("sh", "-c", f"{apt} install --reinstall docker.io containerd", timeout=300)
    rig.idle_but_one()
    assert rig.containers() == before
    rig.finish(number)


def _restarted(said: str) -> str:
    """What needrestart says that it restarts, without what it leaves alone."""
    return said.partition("Service restarts being deferred")[0]


# GitHub

#: Each with what runnerd has to live through: a runner that is gone, and one with a job.
FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500, "path": "/actions/"},
    "503 as HTML": {"html": 503, "path": "/actions/"},
    "401 for a while": {"status": 401, "path": "/actions/"},
    "403": {"status": 403, "path": "/actions/"},
    "404": {"status": 404, "path": "/actions/"},
    "429 with Retry-After": {"status": 429, "retry_after": 10, "path": "/actions/"},
    "slow": {"delay": 8, "path": "/actions/"},
    "cut half-way through a list": {"truncate": 200, "path": "/actions/runners$"},
    "broken JSON": {"malformed": True, "path": "/actions/"},
    "no answer to a JIT configuration": {"cut": "after", "method": "POST", "path": "generate-jitconfig"},
    "no way to ask for a JIT configuration": {"cut": "before", "method": "POST", "path": "generate-jitconfig"},
    "busy comes late": {"busy_lag": 60},
    "busy flickers": {"flicker": "busy"},
    "status flickers": {"flicker": "status"},
    "a list that lacks its last": {"short_list": 1},
    "completion reported early": {"complete_early": 2},
}


@pytest.mark.parametrize("name", FAULTS)
def test_github(rig: Rig, witness: Witness, name: str) -> None:
    """Promise 3, 4 and 5: nothing that GitHub says wrongly, late or not at all kills a job or leaves a ghost."""
    rig.github.fault(**FAULTS[name])
    number = rig.counting()
    busy = rig.slot_of(number)
    idle = next(slot for slot in sorted(rig.slots()) if slot != busy)
    witness.by_hand(f"docker rm --force --volumes github-{idle}", idle)
    time.sleep(20)
    rig.github.clear_faults()
    rig.runnerd("resume")  # what GitHub refused for good is not tried again by itself for a while
    rig.idle_but_one()
    rig.finish(number)


def test_removed_at_github_while_it_works(rig: Rig) -> None:
    """Promise 3: its registration is gone, so GitHub takes no result from it; but its job comes to its end.

    No witness: GitHub never hears of that end.
    """
    rig.github.fault(deregister="acknowledge", times=1)
    number = rig.counting()
    slot = rig.slot_of(number)
    container = rig.containers()[f"github-{slot}"]
    time.sleep(20)
    assert rig.containers()[f"github-{slot}"] == container
    rig.host.docker("exec", container, "touch", "/tmp/finish")
    rig.idle(COUNT)
    assert "job 'counting': Succeeded" in rig.runnerd("events", "--last", "20")


@pytest.mark.timeout(3600)
def test_removed_at_github_while_it_listens(rig: Rig, witness: Witness) -> None:
    """Promise 4: nobody tells the runner, which listens for ever; two lists, ten minutes apart, tell runnerd."""
    rig.github.fault(deregister="online", times=1)
    witness.by_hand("docker rm --force --volumes github-runner-1", "runner-1")
    rig.github.wait_runners(lambda runners: len(runners) < COUNT)
    rig.github.wait_online(COUNT, 1500)
    again(rig)


# Drain


@pytest.mark.parametrize("way", ["smaller count", "new settings", "runnerd drain", "systemctl stop"])
def test_drained_while_busy_is_late(rig: Rig, witness: Witness, way: str) -> None:
    """Promise 3: GitHub calls a runner with a job idle, and lets it be deleted; the job comes to its end."""
    rig.github.fault(busy_lag=60)
    number = rig.job("sleep 25; echo done", name="late")
    rig.github.wait_job(number, until=lambda job: job["status"] == "in_progress")
    count = COUNT
    if way == "smaller count":
        count = 0 if rig.github.job(number)["runner_name"] is None else 1
        witness.says("wants", slots=["runner-1"], drain=600, job=0)
        rig.deploy(count=1)
    elif way == "new settings":
        rig.deploy(extra_labels=["other"])
    elif way == "runnerd drain":
        witness.says("drain", limit=600)
        rig.runnerd("drain", "--wait", timeout=180)
    else:
        witness.says("drain", limit=600)
        rig.host.exec("systemctl", "stop", "github-docker-runners", timeout=180)
    job = rig.github.wait_job(number)
    assert job["result"] == "Succeeded" and "done" in job["log"], job
    if way in ("runnerd drain", "systemctl stop"):
        assert rig.containers() == {} and rig.github.runners() == []
        witness.says("resume")
        rig.host.exec("systemctl", "restart", "github-docker-runners")
    else:
        rig.idle(count)
        witness.says("wants", slots=[f"runner-{each}" for each in (1, 2, 3)], drain=0, job=0)
        rig.github.clear_faults()
        rig.deploy()


# Everything at once


@pytest.mark.timeout(7200)
def test_any_combination(rig: Rig, witness: Witness) -> None:
    """All promises: jobs come, and things break, at random, by a seed that is told."""
    print(f"CHAOS_SEED={SEED}")
    dice = random.Random(SEED)
    acts: dict[str, Callable[[], object]] = {
        "runnerd killed": lambda: rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "runnerd"),
        "runnerd restarted": lambda: rig.host.exec("systemctl", "restart", "runnerd"),
        "docker killed": lambda: rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "docker"),
        "an idle container removed": lambda: _remove_one_that_is_idle(rig, witness, dice),
        "github fails": lambda: rig.github.fault(**dice.choice(list(FAULTS.values())), times=dice.randint(1, 5)),
        "github is well": rig.github.clear_faults,
        "paused and resumed": lambda: (rig.runnerd("pause", check=False), rig.runnerd("resume", check=False)),
        "reloaded": lambda: rig.runnerd("reload", check=False),
    }
    jobs = []
    for _round in range(ROUNDS):
        jobs += [rig.job(f"sleep {dice.choice((0, 1, 3))}") for _each in range(dice.randint(0, 3))]
        name = dice.choice(sorted(acts))
        print(f"{witness.now():.1f} {name}")
        acts[name]()
        time.sleep(dice.uniform(0, 5))
    rig.github.clear_faults()
    rig.host.exec("systemctl", "reset-failed", "docker", check=False)
    rig.host.exec("systemctl", "start", "docker")
    eventually(lambda: bool(rig.status().get("daemon")), 60, rig.tell)
    rig.runnerd("resume")
    for number in jobs:
        assert rig.github.wait_job(number, 600)["result"] == "Succeeded", rig.tell()


def _remove_one_that_is_idle(rig: Rig, witness: Witness, dice: random.Random) -> None:
    """Of those in which nobody works, by its own processes."""
    names = [name for name in rig.containers() if name.startswith("github-runner-")]
    if names:
        name = dice.choice(sorted(names))
        command = f"docker top {name} 2>/dev/null | grep -q Runner.Worker || docker rm --force --volumes {name}"
        witness.by_hand(command, name.removeprefix("github-"))
