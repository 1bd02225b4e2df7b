# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks `drain` and `remove`: jobs finish, GitHub forgets the runners, and nothing is left behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.e2e.rig import COUNT, PROJECT_LABEL, Rig
from tests.lab.common import eventually
from tests.lab.project import Result

#: All of ours on the host has this in its name.
OURS = "find /etc /opt /usr/local /var/lib /run /root /home -xdev -iname *runner*"


def left(rig: Rig) -> list[str]:
    """What is there of ours: files, containers, volumes, networks, units, the user; and runners at GitHub."""
    found = rig.host.exec(*OURS.split()).stdout.split()
    if rig.host.exec("which", "docker", check=False).rc == 0:
        found += rig.containers()
        found += rig.volumes()
        found += rig.host.docker("network", "ls", "--quiet", "--filter", f"label={PROJECT_LABEL}").split()
    found += rig.host.exec("systemctl", "list-units", "--all", "--plain", "--no-legend", "*runner*").stdout.split()
    found += rig.host.exec("getent", "passwd", "github-runner", check=False).stdout.split()
    found += rig.host.exec("getent", "group", "github-runner", check=False).stdout.split()
    return found + [str(runner["name"]) for runner in rig.github.runners()]


def while_a_job_runs(rig: Rig, playbook: str) -> Result:
    """Run a playbook while a job counts: idle runners go at once, the job comes to its end, and then the play does."""
    number = rig.counting()
    slot = rig.slot_of(number)
    with ThreadPoolExecutor() as executor:
        play = executor.submit(rig.leave, playbook)
        eventually(lambda: list(rig.containers()) == [f"github-{slot}"], 120, rig.tell)
        rig.github.wait_runners(lambda runners: len(runners) == 1)
        assert not play.done()
        rig.finish(number)
        result = play.result()
    assert result.rc == 0, result.output
    assert f"slot {slot}: busy" in result.output and "job counting" in result.output
    return result


def test_drain_lets_the_job_finish_and_deploy_fills_the_slots_again(rig: Rig) -> None:
    assert rig.leave("drain", "--check").rc == 0
    assert len(rig.containers()) == COUNT
    assert while_a_job_runs(rig, "drain").changed > 0
    assert rig.containers() == {} and rig.github.runners() == []
    unit = rig.host.exec("systemctl", "is-active", "github-docker-runners.service", check=False)
    assert unit.stdout.strip() == "inactive"
    again = rig.leave("drain")
    assert (again.rc, again.changed) == (0, 0), again.output
    rig.deploy()
    rig.idle(COUNT)


def test_drain_cancels_what_runs_longer_than_the_limit(rig: Rig) -> None:
    number = rig.counting()
    result = rig.leave("drain", "-e", "github_docker_runners_drain_timeout=3")
    assert result.rc == 0, result.output
    assert rig.containers() == {}
    assert rig.github.wait_job(number)["result"] != "Succeeded"


def test_remove_says_in_check_mode_what_would_go(rig: Rig) -> None:
    before, since = rig.containers(), rig.github.last_request()
    result = rig.leave("remove", "--check")
    assert result.rc == 0 and result.changed > 0, result.output
    for words in ("slot runner-1: idle", "/etc/runnerd", "/var/lib/runnerd", "Docker stays"):
        assert words in result.output
    assert rig.containers() == before
    assert rig.github.writes(since) == []
    assert rig.deploy().changed == 0


def test_remove_lets_the_job_finish_and_leaves_nothing(rig: Rig) -> None:
    rig.host.write("/opt/github-runners/notes.txt", "mine")
    result = while_a_job_runs(rig, "remove")
    assert "notes.txt" in result.output
    assert left(rig) == ["/opt/github-runners"]
    assert rig.host.failed_units() == []
    rig.host.exec("rm", "/opt/github-runners/notes.txt")
    assert rig.leave("remove").changed == 1
    again = rig.leave("remove", "--limit", "gh-runner-01")
    assert (again.rc, again.changed) == (0, 0), again.output
    assert left(rig) == []


def test_remove_without_a_daemon_asks_before_it_loses_a_job(rig: Rig) -> None:
    number = rig.counting()
    rig.host.exec("rm", "/usr/local/bin/runnerd")
    rig.host.exec("systemctl", "stop", "runnerd.service")
    result = rig.leave("remove")
    assert result.rc != 0
    assert "runnerd = " in result.output and "remove_now=true" in result.output, result.output
    assert len(rig.containers()) == COUNT and rig.github.job(number)["status"] == "in_progress"
    now = rig.leave("remove", "-e", "github_docker_runners_remove_now=true")
    assert now.rc == 0, now.output
    assert rig.containers() == {}
    assert rig.host.failed_units() == []
    for runner in rig.github.runners():  # nobody could deregister them; GitHub does so after a day
        rig.github.remove_runner(runner["id"])


def test_remove_now_cancels_jobs_and_removes_docker_if_asked(rig: Rig) -> None:
    words = ["-e", "github_docker_runners_remove_now=true", "-e", "github_docker_runners_remove_docker=true"]
    rig.host.docker("create", "--name", "mine", rig.image.pinned, "true")
    refused = rig.leave("remove", *words)
    assert refused.rc != 0 and refused.changed == 0
    assert "github_docker_runners_remove_docker = true: there are containers of others, mine" in refused.output
    assert len(rig.containers()) == COUNT
    rig.host.docker("rm", "mine")

    number = rig.counting()
    result = rig.leave("remove", *words)
    assert result.rc == 0, result.output
    assert rig.github.wait_job(number)["result"] != "Succeeded"
    assert left(rig) == []
    assert rig.host.exec("which", "docker", check=False).rc != 0
    again = rig.leave("remove", *words)
    assert (again.rc, again.changed) == (0, 0), again.output
