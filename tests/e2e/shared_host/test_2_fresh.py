# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promise 1: what one job does, no other job can find."""

from __future__ import annotations

from tests.e2e.rig import Rig

# Writes to every folder it may write to, an anonymous volume among them; leaves a process and a listening port behind.
SOIL = r"""
set +e
for folder in $(find / -xdev -type d -writable -not -path '/proc/*' -not -path '/sys/*' 2>/dev/null) \
              /tmp /dev/shm "$GITHUB_WORKSPACE" "$RUNNER_TEMP" "$HOME" "$HOME/cache"; do
  echo soiled > "$folder/marker-of-a-job" 2>/dev/null && echo "wrote $folder"
done
sudo sh -c 'echo soiled > /marker-of-a-job; echo soiled > /etc/marker-of-a-job' && echo 'wrote as root'
unset RUNNER_TRACKING_ID
setsid nohup python3 -m http.server 8765 >/dev/null 2>&1 </dev/null &
sleep 1
python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/')" && echo 'left a server'
true
"""

LOOK = r"""
found=$(sudo find / -xdev -name 'marker-of-a-job' -not -path '/proc/*' 2>/dev/null)
found="$found$(find /dev/shm /tmp "$HOME" "$GITHUB_WORKSPACE" -name 'marker-of-a-job' 2>/dev/null)"
[ -z "$found" ] || { echo "FOUND: $found"; exit 1; }
pgrep -af http.server && { echo 'FOUND a process'; exit 1; }
python3 -c "import socket; socket.create_connection(('127.0.0.1', 8765), 2)" 2>/dev/null &&
  { echo 'FOUND a port'; exit 1; }
echo clean
"""


def test_the_next_jobs_find_nothing_of_a_job_that_soils_all_it_can(rig: Rig) -> None:
    image = rig.lab.push_runner("volume", VOLUME="yes")
    rig.deploy(image=image.reference, count=1)
    rig.idle(1)
    before = rig.containers()
    job = rig.github.wait_job(rig.job(SOIL))
    assert job["result"] == "Succeeded", job["log"]
    for wrote in ("wrote /tmp", "wrote /dev/shm", "wrote /home/runner/cache", "wrote as root", "left a server"):
        assert wrote in job["log"], job["log"]
    assert "_work" in job["log"]
    for _each in range(3):
        after = rig.github.wait_job(rig.job(LOOK))
        assert after["result"] == "Succeeded" and "clean" in after["log"], after["log"]
    assert not set(before.values()) & set(rig.containers().values())


def test_twenty_jobs_leave_no_volume_behind(rig: Rig) -> None:
    image = rig.lab.push_runner("volume", VOLUME="yes")
    rig.deploy(image=image.reference, count=2)
    rig.idle(2)
    before = rig.volumes()
    assert len(before) == 2  # the image's, one for each runner that is there
    numbers = [rig.job("echo more > $HOME/cache/file", name=f"job-{each}") for each in range(20)]
    jobs = [rig.github.wait_job(number, 240) for number in numbers]
    assert all(job["result"] == "Succeeded" for job in jobs)
    assert len({job["runner_name"] for job in jobs}) == 20
    rig.idle(2)
    assert len(rig.volumes()) == 2
    assert not rig.volumes() & before
