# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's faults, each alone; and settings that a person breaks under a running pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runnerd.settings import SettingsError

from .faults import Fault, both, changed, try_out
from .github import TOKEN
from .host import Wanted
from .stage import Stage
from .trial import TRIES


def wrong_clock(seconds: float) -> object:
    return lambda stage: stage.host.set_clock(stage.host.clock.wrong_by + seconds)


def paused(seconds: float) -> object:
    """Neither runnerd nor a container has the processor."""
    return lambda stage: setattr(stage.host, "frozen_until", stage.time.at + seconds)


def reboot(seconds: float) -> object:
    return lambda stage: stage.host.reboot(seconds)


def full(stage: Stage) -> None:
    stage.host.fill_disk(True)


def room(stage: Stage) -> None:
    stage.host.fill_disk(False)


def settings_only(stage: Stage) -> None:
    stage.host.write_settings(slots=("runner-1",), labels=("self-hosted", "new"))


def compose_file_only(stage: Stage) -> None:
    stage.host.write_compose_file(slots=("runner-1",), definition="    # changed\n")


def both_files(stage: Stage) -> None:
    stage.host.write_settings(labels=("self-hosted", "new"))
    stage.host.write_compose_file(definition="    # new\n")


def once_more(stage: Stage) -> None:
    stage.host.deploy(slots=Wanted().slots, labels=Wanted().labels)


def broken_credentials(stage: Stage) -> None:
    """Nobody notices until runnerd starts again."""
    stage.host.credentials.write_text("{")
    stage.host.end("killed")


def ten_minutes_of_rest(stage: Stage) -> None:
    stage.service.fault(status=429, retry_after=600, times=1)
    changed(stage)
    stage.run(60)


FAULTS = [
    Fault("reboot", 4, "with jobs running; they are reported", reboot(60), lasts=60),
    Fault("reboot that takes an hour", 5, "with jobs running", reboot(3600), lasts=3600),
    Fault("two reboots in a row", 5, "the second before all is well", lambda s: [reboot(30)(s), s.run(33),
          reboot(30)(s)],
          lasts=30),
    Fault("clock jumps ahead", 4, "by an hour", wrong_clock(3600), wrong_clock(-3600)),
    Fault("clock jumps back", 4, "by an hour", wrong_clock(-3600), wrong_clock(3600)),
    Fault("clock jumps ahead while GitHub wants rest", 4, "and its window is no shorter for that",
          both(ten_minutes_of_rest, wrong_clock(3600)), wrong_clock(-3600), 900),
    Fault("clock set back while GitHub wants rest", 4, "by an hour, for good",
          both(ten_minutes_of_rest, wrong_clock(-3600)), lasts=900),
    Fault("playbook killed after the settings", 3, "and before the Compose file", settings_only, once_more),
    Fault("playbook killed before the settings", 3, "and after the Compose file", compose_file_only, once_more),
    Fault("playbook killed before the reload", 3, "nobody tells runnerd of either file", both_files, once_more),
    Fault("credentials.json broken", 4, "while jobs end and new runners are wanted; then mended", broken_credentials,
          lambda s: s.host.give({"token": TOKEN})),
    Fault("machine paused", 3, "for ten minutes, as a hypervisor does", paused(600), lasts=600),
    Fault("state folder full", 3, "runnerd cannot write down what it means to do", full, room, heals=TRIES),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_host(tmp_path: Path, fault: Fault) -> None:
    try_out(tmp_path, fault)


def without(name: str) -> object:
    return lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != name})


def first_pool(**changes: Any) -> object:
    def change(text: str) -> str:
        data = json.loads(text)
        data["pools"][0].update(changes)
        return json.dumps(data)

    return change


#: The settings file as people break it.
BROKEN = {
    "empty": lambda text: "",
    "half written": lambda text: text[: len(text) // 2],
    "not JSON": lambda text: text.replace('"', "'"),
    "a list": lambda text: f"[{text}]",
    "another schema": lambda text: text.replace('"schema": 1', '"schema": 2'),
    "no Compose file": without("compose"),
    "no pools": without("pools"),
    "a scope that is none": first_pool(scope="my org/"),
    "no labels": first_pool(labels=[]),
    "a slot twice": first_pool(slots=["runner-1", "runner-1"]),
    "a slot of another pool": first_pool(slots=["runner-4"]),
    "a limit that is no number": lambda text: text.replace('"limits": {}', '"limits": {"job": "1h"}'),
    "a limit that is not there": lambda text: text.replace('"limits": {}', '"limits": {"jobs": 60}'),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_settings_leave_the_pool_running(tmp_path: Path, broken: str) -> None:
    """Promise 3: a reload says what is wrong and changes nothing; nor does a restart, which waits for better ones."""
    with Stage(tmp_path) as stage:
        stage.until(stage.online, "all slots online")
        stage.service.queue(200)
        stage.run(10)
        before = set(stage.host.engine.containers)
        good = stage.host.file.read_text()
        stage.host.file.write_text(BROKEN[broken](good))
        with pytest.raises(SettingsError):
            stage.host.supervisor.reload()
        stage.run(60)
        assert set(stage.host.engine.containers) == before
        stage.host.end("killed")
        stage.run(60)
        assert stage.host.supervisor is None
        assert set(stage.host.engine.containers) == before
        stage.host.file.write_text(good)
        stage.settle()
        stage.judge()
