# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people and playbooks leave broken, while a job runs."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.e2e.rig import COUNT, Rig
from tests.e2e.witness import Witness
from tests.lab.common import eventually
from tests.lab.project import TOOLS, user_environment

CREDENTIALS = "/etc/runnerd/credentials.json"
BROKEN_CREDENTIALS = {
    "cut": '{"default": {"token": "ghp_0123',
    "empty": "",
    "a list": '["ghp_0123456789"]',
    "no token": '{"default": {}}',
    "another one's": '{"other": {"token": "ghp_0123456789abcdef0123456789abcdef0123"}}',
}


@pytest.mark.parametrize("how", BROKEN_CREDENTIALS)
def test_a_broken_credentials_file(rig: Rig, witness: Witness, how: str) -> None:
    """Promise 3 and 4: the pool goes on; a restart says which file it is and what to do, and touches no runner."""
    number = rig.counting()
    whole = rig.host.read(CREDENTIALS)
    rig.host.write(CREDENTIALS, BROKEN_CREDENTIALS[how], 0o600)
    try:
        rig.host.exec("systemctl", "reload", "github-docker-runners")
        rig.jobs_run()
        rig.idle_but_one()
        before = rig.containers()
        since = rig.now()
        rig.host.exec("systemctl", "restart", "runnerd", check=False)

        def told() -> bool:
            said = rig.host.journal("--unit=runnerd", f"--since=@{since:.0f}") + rig.runnerd("status", check=False)
            why = "credentials.json cannot be used" in said or "credentials file does not hold it" in said
            return why and ("Do: " in said or "run the playbook again" in said)

        eventually(told, 60, rig.tell)
        assert "ghp_" not in rig.host.journal("--unit=runnerd", f"--since=@{since:.0f}")
        assert rig.containers() == before
    finally:
        rig.host.write(CREDENTIALS, whole, 0o600)
        rig.host.exec("systemctl", "restart", "runnerd")
    rig.idle_but_one()
    assert rig.containers() == before
    rig.finish(number)


def test_a_playbook_killed_between_settings_and_compose_file(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: runnerd has settings of slots that no file defines; what is defined goes on as before."""
    number = rig.counting()
    before = rig.containers()
    rig.write(count=COUNT + 1, extra_labels=["new"])
    _deploy_until(rig, "Read the Compose file as it is")
    assert "runner-4" in rig.host.read("/etc/runnerd/settings.json")
    assert "# slot runner-4 begin" not in rig.host.read("/opt/github-runners/docker-compose.yml")
    rig.host.exec("systemctl", "kill", "--signal=SIGKILL", "runnerd")
    rig.until(lambda slots: "no service runner-4" in slots.get("runner-4", {"reason": ""})["reason"])
    assert rig.containers() == before
    rig.jobs_run()
    witness.says("wants", slots=[f"runner-{each}" for each in range(1, COUNT + 2)], drain=0, job=0)
    rig.deploy(count=COUNT + 1, extra_labels=["new"])
    rig.finish(number)
    witness.settle(COUNT + 1)
    rig.deploy()
    witness.says("wants", slots=[f"runner-{each}" for each in range(1, COUNT + 1)], drain=0, job=0)


def _deploy_until(rig: Rig, task: str) -> None:
    """Run the playbook, and kill it when it begins with a task."""
    playbook = subprocess.Popen(
        [str(TOOLS / "ansible-playbook"), "ephemeral.github_runners.deploy", "-i", "inventory.ini"],
        cwd=rig.project.folder,
        env=user_environment(os.environ, rig.project.home, proxy=rig.lab.proxy_url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    with playbook:
        assert playbook.stdout is not None
        for line in playbook.stdout:
            said.append(line)
            if line.startswith("TASK") and task in line:
                os.killpg(playbook.pid, signal.SIGKILL)
                break
    rig.forget()
    assert playbook.returncode == -signal.SIGKILL, "".join(said)


#: The same image, but for its runner, which ends at once.
BREAK = """
docker create --name broken {image} true
printf '#!/bin/sh\\necho this one is broken >&2\\nexit 1\\n' >/root/run.sh
chmod 755 /root/run.sh
docker cp /root/run.sh broken:/home/runner/run.sh
docker commit broken {tag}
docker rm broken
docker push {tag}
"""


def test_a_new_image_that_is_broken(rig: Rig, witness: Witness) -> None:
    """Promise 3 and 4: the idle get it and say what is wrong; the job is untouched, and the old image ends it."""
    tag = rig.image.reference.rpartition(":")[0] + ":broken"
    rig.host.exec("sh", "-ec", BREAK.format(image=rig.image.reference, tag=tag))
    number = rig.counting()
    slot = rig.slot_of(number)
    busy = rig.containers()[f"github-{slot}"]
    result = rig.try_deploy(image=tag)
    assert result.rc and "this one is broken" in result.output, result.output[-3000:]
    assert rig.containers()[f"github-{slot}"] == busy
    rig.deploy()
    rig.idle_but_one()
    assert rig.containers()[f"github-{slot}"] == busy
    rig.finish(number)
