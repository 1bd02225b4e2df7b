# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""runnerd killed, left dead, doubled, upgraded; its journal of yesterday."""

from __future__ import annotations

import time

import pytest

from tests.e2e.rig import COUNT, Rig
from tests.e2e.shared_host.chaos.conftest import CRASH
from tests.e2e.witness import Witness
from tests.lab.common import eventually

POINTS = [
    f"{effect}.{when}"
    for effect in ("create", "mint", "start", "deregister", "stop", "remove")
    for when in ("before", "after")
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.usefixtures("crash")
def test_killed_at_a_side_effect(rig: Rig, witness: Witness, point: str) -> None:
    """Promise 4: runnerd is gone before or after it has done something; the next one finds its way, a job goes on."""
    killed_at(rig, witness, point)


def killed_at(rig: Rig, witness: Witness, point: str) -> None:
    """A job runs in one slot; at another one runnerd does something, and is killed at it."""
    number = rig.counting()
    slot = next(name for name, each in sorted(rig.slots().items()) if each["state"] == "idle")
    rig.host.write(CRASH, f"RUNNERD_CRASH_AT={point}\n")
    rig.host.exec("systemctl", "restart", "runnerd")
    rig.host.exec("rm", CRASH)
    before = _deaths(rig)
    if point.startswith("stop"):
        # Else it learns of its deregistration, and ends before anybody has to stop it.
        rig.host.docker("exec", f"github-{slot}", "pkill", "-STOP", "-f", "bin/Runner.Listener")
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
    rig.jobs_run(6)
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
