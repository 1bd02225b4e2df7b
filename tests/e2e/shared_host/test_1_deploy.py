# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook: from an empty folder to online runners, again without a change, ahead of a change, against drift."""

from __future__ import annotations

import re

import pytest

from tests.e2e.rig import Rig
from tests.lab.common import eventually

FIRST = "test_01_"


def test_01_a_blank_host_in_check_mode(shared: Rig) -> None:
    """Before anything is there: it says what would come and does not fail, and nothing comes."""
    if shared.last is not None:
        pytest.fail("this test wants the blank host; run the file from its beginning")
    result = shared.try_deploy("--check", "--diff")
    assert result.rc == 0, result.output[-4000:]
    assert result.changed > 0
    for word in ("docker.io", "python3-docker", "docker-compose.yml", "settings.json", "github-docker-runners.service"):
        assert re.search(rf"^TASK .*{re.escape(word)}.*\n(?:(?!TASK).*\n)*?changed:", result.output, re.MULTILINE), word
    assert "Slots that come: runner-1, runner-2, runner-3; slots that go: -" in result.output
    assert shared.host.exec("which", "docker", check=False).rc != 0
    assert shared.github.writes() == []


def test_01_where_nothing_is_deployed_nothing_is_drained_or_removed(shared: Rig) -> None:
    for playbook in ("drain", "remove"):
        result = shared.leave(playbook)
        assert (result.rc, result.changed) == (0, 0), result.output


def test_02_from_an_empty_folder_to_online_runners(shared: Rig) -> None:
    result = shared.deploy()
    assert result.changed > 0
    online = shared.github.wait_online(3)
    labels = {
        "self-hosted",
        "linux",
        "x64",
        "ephemeral",
        "homelab",
    }  # the last one from the example that `init` lays down
    assert [set(runner["labels"]) for runner in online] == [labels] * 3
    assert shared.host.failed_units() == []


def test_03_again_nothing_changes_and_github_is_not_written_to(rig: Rig) -> None:
    before, since = rig.containers(), rig.github.last_request()
    result = rig.deploy()
    assert result.changed == 0, result.output
    assert rig.github.writes(since) == []
    assert rig.containers() == before


def test_two_jobs_run_in_two_containers(rig: Rig) -> None:
    numbers = [rig.job("hostname; echo done") for _each in range(2)]
    jobs = [rig.github.wait_job(number) for number in numbers]
    assert [job["result"] for job in jobs] == ["Succeeded", "Succeeded"]
    assert len({job["log"] for job in jobs}) == 2


def test_check_mode_names_the_slots_that_would_come_and_go(rig: Rig) -> None:
    before, since = rig.containers(), rig.github.last_request()
    more = rig.deploy("--check", "--diff", count=4)
    assert "runner-4" in more.output and more.changed > 0
    fewer = rig.deploy("--check", "--diff", count=2)
    assert "runner-3" in fewer.output and fewer.changed > 0
    assert rig.containers() == before
    assert rig.github.writes(since) == []


DRIFT = [
    "/opt/github-runners/docker-compose.yml",
    "/opt/github-runners/entrypoint.sh",
    "/etc/runnerd/settings.json",
    "/etc/runnerd/credentials.json",
    "/etc/runnerd/ca.pem",
    "/usr/local/bin/runnerd",
    "/etc/systemd/system/runnerd.service",
    "/etc/systemd/system/github-docker-runners.service",
    "/usr/local/lib/runnerd/current/runnerd/core.py",
    "/usr/local/lib/runnerd/current/ansible_collections/ephemeral/github_runners/plugins/module_utils/_github/scope.py",
]


def test_files_changed_by_hand_are_noticed_and_repaired(rig: Rig) -> None:
    good = {path: rig.host.read(path) for path in DRIFT}
    for path in DRIFT:
        rig.host.exec("sh", "-c", f"echo '# by hand' >> {path}")
    assert rig.deploy().changed >= len(DRIFT) - 2  # the package and its library are one task each
    assert {path: rig.host.read(path) for path in DRIFT} == good
    rig.idle(3)
    assert rig.deploy().changed == 0


@pytest.mark.parametrize("unit", ["runnerd.service", "github-docker-runners.service"])
def test_units_stopped_or_disabled_by_hand_are_noticed_and_repaired(rig: Rig, unit: str) -> None:
    rig.host.exec("systemctl", "disable", "--now", unit)
    assert rig.deploy().changed >= 1
    for question in ("is-active", "is-enabled"):
        assert rig.host.exec("systemctl", question, unit).rc == 0
    rig.idle(3)


def test_settings_that_only_a_start_takes_in_are_in_force_after_the_run(rig: Rig) -> None:
    number = rig.counting()
    before = rig.containers()
    rig.deploy(metrics_port=9300)
    assert "runnerd_slots" in rig.host.exec("curl", "--silent", "--fail", "http://127.0.0.1:9300/metrics").stdout
    assert rig.containers() == before
    rig.finish(number)


def test_a_container_changed_by_hand_is_made_anew(rig: Rig) -> None:
    before = rig.containers()["github-runner-2"]
    rig.host.docker("rm", "--force", "github-runner-2")
    eventually(lambda: rig.containers().get("github-runner-2", before) != before, 60, rig.tell)
    rig.idle(3)


def test_the_play_is_red_and_says_why_when_a_runner_does_not_come_online(rig: Rig) -> None:
    rig.github.fault(status=403, method="POST", path="generate-jitconfig", body={"message": "no way"})
    rig.host.docker("rm", "--force", "github-runner-1")
    result = rig.try_deploy(online_timeout=5)
    assert result.rc != 0
    assert "runner-1" in result.output and "backing off" in result.output and "no way" in result.output
    rig.github.clear_faults()
