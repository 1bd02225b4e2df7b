# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promise 3: a job that runs outlives whatever the user does, or what happens to runnerd; its log is whole."""

from __future__ import annotations

import pytest

from tests.e2e.rig import Rig
from tests.lab.common import eventually


def test_a_run_that_changes_nothing(rig: Rig) -> None:
    number = rig.counting()
    assert rig.deploy().changed == 0
    rig.finish(number)


def test_scaled_up_and_down(rig: Rig) -> None:
    number = rig.counting()
    rig.deploy(count=5)
    rig.until(lambda slots: len(slots) == 5 and sum(s["state"] == "idle" for s in slots.values()) == 4)
    rig.deploy(count=2)
    rig.until(lambda slots: not any(s["state"] == "idle" and not s["wanted"] for s in slots.values()))
    rig.finish(number)
    rig.idle(2)


def test_a_slot_that_leaves_stays_in_the_file_until_it_is_empty_and_the_next_run_changes_nothing(rig: Rig) -> None:
    blockers = [rig.counting(), rig.counting(), rig.counting()]
    leaving = next(number for number in blockers if rig.slot_of(number) == "runner-3")
    result = rig.deploy(count=2)
    assert "runner-3" in result.output and "drains" in result.output
    compose = "/opt/github-runners/docker-compose.yml"
    assert "# slot runner-3 begin" in rig.host.read(compose)
    assert "github-runner-3" in rig.host.exec("docker", "compose", "-f", compose, "ps", "--all").stdout
    assert rig.deploy(count=2).changed == 0
    rig.finish(leaving)
    rig.until(lambda slots: "runner-3" not in slots)
    eventually(lambda: "# slot runner-3 begin" not in rig.host.read(compose), 60, rig.tell)
    assert rig.deploy(count=2).changed == 0
    for number in blockers:
        if number != leaving:
            rig.finish(number)


def test_a_new_image(rig: Rig) -> None:
    image = rig.lab.push_runner("2", revision="2")
    number = rig.counting()
    slot = rig.slot_of(number)
    busy = rig.containers()[f"github-{slot}"]
    rig.deploy(image=image.reference)
    rig.until(lambda slots: sum(s["state"] == "idle" for s in slots.values()) == 2)

    def renewed() -> bool:
        images = rig.host.docker("ps", "--no-trunc", "--format", "{{.ID}} {{.Image}}").splitlines()
        return sum(image.digest in line for line in images) == 2 and any(busy in line for line in images)

    eventually(renewed, 90, rig.tell)
    rig.finish(number)
    rig.idle(3)
    assert image.digest in rig.host.docker("inspect", f"github-{slot}", "--format", "{{.Config.Image}}")


@pytest.mark.parametrize(
    "command",
    [
        ("systemctl", "restart", "runnerd"),
        ("systemctl", "kill", "--signal=SIGKILL", "runnerd"),
        ("systemctl", "reload", "github-docker-runners"),
    ],
    ids=["restart", "crash", "reload"],
)
def test_runnerd_restarted_crashed_or_reloaded(rig: Rig, command: tuple[str, ...]) -> None:
    number = rig.counting()
    before, since = rig.containers(), rig.github.last_request()
    rig.host.exec(*command)
    rig.until(lambda slots: [s["state"] for s in slots.values()].count("busy") == 1 and len(slots) == 3)
    rig.until(lambda slots: [s["state"] for s in slots.values()].count("idle") == 2)
    assert rig.containers() == before
    assert rig.github.writes(since) == []
    rig.finish(number)


@pytest.mark.parametrize(
    "command",
    [("systemctl", "restart", "docker"), ("systemctl", "kill", "--signal=SIGKILL", "docker")],
    ids=["restart", "crash"],
)
def test_the_engine_restarted_or_crashed(rig: Rig, command: tuple[str, ...]) -> None:
    """As an upgrade of its package does: the role switches live-restore on in an Engine that it installs."""
    rig.github.settings(lease_life=60)  # without the Engine no name is resolved, so the runner is silent for a while
    number = rig.counting()
    runner, before = rig.github.job(number)["runner_name"], rig.containers()
    rig.host.exec(*command)
    rig.until(lambda slots: [s["state"] for s in slots.values()].count("busy") == 1 and len(slots) == 3)
    assert rig.containers() == before
    assert rig.github.wait_job(rig.job("echo hello"))["result"] == "Succeeded"
    rig.finish(number)
    rig.idle(3)
    # What a runner says is heard again.
    assert f"ended  job: job 'counting': Succeeded  {runner}" in rig.runnerd("events", "--last", "30")


def test_a_lost_journal(rig: Rig) -> None:
    number = rig.counting()
    before = rig.containers()
    rig.host.exec("systemctl", "stop", "runnerd")
    rig.host.exec("sh", "-c", "rm -f /var/lib/runnerd/journal.sqlite*")
    rig.host.exec("systemctl", "start", "runnerd")
    rig.until(lambda slots: [s["state"] for s in slots.values()].count("busy") == 1 and len(slots) == 3)
    assert rig.containers() == before
    rig.finish(number)
    rig.idle(3)


@pytest.mark.parametrize("verb", ["pull", "up -d", "down", "stop", "restart", "up -d --remove-orphans"])
def test_compose_verbs_find_nothing_to_do(rig: Rig, verb: str) -> None:
    number = rig.counting()
    before = rig.containers()
    rig.host.exec(
        "docker", "compose", "-f", "/opt/github-runners/docker-compose.yml", *verb.split(), check=False, timeout=60
    )
    assert rig.containers() == before
    running = rig.host.docker("ps", "--no-trunc", "--quiet").split()
    assert set(before.values()) <= set(running)
    rig.finish(number)


def test_compose_ps_lists_every_runner(rig: Rig) -> None:
    listed = rig.host.exec("docker", "compose", "-f", "/opt/github-runners/docker-compose.yml", "ps", "--all").stdout
    assert all(f"github-runner-{number}" in listed for number in (1, 2, 3))


def test_systemctl_stop_waits_for_the_job_and_deregisters_the_idle(rig: Rig) -> None:
    number = rig.counting()
    rig.host.exec("systemctl", "stop", "--no-block", "github-docker-runners")
    rig.until(lambda slots: sum(s["state"] == "drained" and not s["container"] for s in slots.values()) == 2)
    assert (
        rig.host.exec("systemctl", "is-active", "github-docker-runners", check=False).stdout.strip() == "deactivating"
    )
    assert len(rig.github.runners()) == 1
    waiting = rig.job("echo hello")
    rig.finish(number)
    eventually(
        lambda: (
            rig.host.exec("systemctl", "is-active", "github-docker-runners", check=False).stdout.strip() == "inactive"
        ),
        30,
        rig.tell,
    )
    assert rig.containers() == {} and rig.github.runners() == []
    assert rig.github.job(waiting)["status"] == "queued", "a leaving slot took a job"
    rig.host.exec("systemctl", "start", "github-docker-runners")
    assert rig.github.wait_job(waiting)["result"] == "Succeeded"


def test_draining_one_slot(rig: Rig) -> None:
    number = rig.counting()
    slot = rig.slot_of(number)
    rig.runnerd("drain", slot)
    rig.until(lambda slots: slots[slot]["leaving"] and slots[slot]["state"] == "busy")
    rig.finish(number)
    rig.until(lambda slots: slots[slot]["state"] == "drained" and not slots[slot]["container"])
    rig.runnerd("resume")
    rig.idle(3)


def test_pause_and_resume(rig: Rig) -> None:
    rig.runnerd("pause")
    assert rig.github.wait_job(rig.job("echo hello"))["result"] == "Succeeded"
    rig.until(lambda slots: sorted(s["state"] for s in slots.values()) == ["empty", "idle", "idle"])
    rig.runnerd("resume")
    rig.idle(3)


def test_stop_now_cancels_and_reports(rig: Rig) -> None:
    number = rig.counting()
    rig.runnerd("stop", "--now")
    assert rig.containers() == {}
    assert rig.github.wait_job(number)["result"] == "Canceled"
    assert "job cancelled" in rig.runnerd("events", "--last", "20")
    eventually(lambda: rig.github.runners() == [], 60, rig.tell)


def test_the_drain_limit_cancels_and_reports(rig: Rig) -> None:
    number = rig.counting()
    rig.runnerd("drain", "--wait", "--limit", "5")
    assert rig.github.wait_job(number)["result"] == "Canceled"
    assert "the limit for its job has passed" in rig.runnerd("events", "--last", "20")


def test_events_logs_status_and_metrics_tell_of_a_job(rig: Rig) -> None:
    number = rig.counting()
    slot = rig.slot_of(number)
    line = next(line for line in rig.runnerd("status").splitlines() if line.startswith(f"{slot} "))
    assert "busy" in line and "counting" in line and "my-org/app" in line
    address = "http://127.0.0.1:9252/metrics"
    metrics = rig.host.exec("curl", "--silent", "--fail", address).stdout
    assert 'runnerd_slots{pool="default",state="busy"} 1.0' in metrics
    assert 'runnerd_slots{pool="default",state="idle"} 2.0' in metrics
    assert "my-org" not in metrics.replace('what="scope my-org', "")
    runner = rig.slots()[slot]["runner"]
    rig.finish(number)
    rig.idle(3)
    events = rig.runnerd("events", "--last", "50")
    assert f"ended  job: job 'counting': Succeeded  {runner}" in events
    assert "Running job: counting" in rig.runnerd("logs", slot)
