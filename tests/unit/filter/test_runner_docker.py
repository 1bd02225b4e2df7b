# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Docker daemon beside a runner shares with it. What becomes of it: tests/unit/roles/test_compose.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_docker import runner_layouts, runner_shares


def inspected(item: str, folder: str, *environment: str) -> dict[str, Any]:
    """What Ansible registers of `docker image inspect`."""
    return {"item": item, "rc": 0, "stdout": json.dumps([{"Config": {"WorkingDir": folder, "Env": list(environment)}}])}


@pytest.mark.parametrize(
    ("folder", "environment", "layout"),
    [
        ("/home/runner", ["PATH=/bin", "ImageOS=ubuntu24"], {"root": "/home/runner", "tools": ""}),
        (
            "/actions-runner",
            ["AGENT_TOOLSDIRECTORY=/opt/hostedtoolcache"],
            {"root": "/actions-runner", "tools": "/opt/hostedtoolcache"},
        ),
        ("", [], {"root": "/home/runner", "tools": ""}),
        ("/srv", ["RUNNER_HOME=/srv/a=b"], {"root": "/srv/a=b", "tools": ""}),
    ],
)
def test_where_the_runner_is_in_an_image(folder: str, environment: list[str], layout: dict[str, str]) -> None:
    assert runner_layouts([inspected("i", folder, *environment)]) == {"i": layout}


def test_an_image_that_is_not_there_yet_and_one_that_was_pulled_since() -> None:
    absent = {"item": "i", "rc": 1, "stdout": "[]"}
    assert runner_layouts([absent]) == {"i": {"root": "/home/runner", "tools": ""}}
    assert runner_layouts([{"item": "i", "msg": "no docker"}])["i"]["root"] == "/home/runner"
    later = inspected("i", "/actions-runner")
    assert runner_layouts([absent, later])["i"]["root"] == "/actions-runner"
    assert runner_layouts([later, absent])["i"]["root"] == "/actions-runner"


def shares(layout: dict[str, str], **own: Any) -> dict[str, Any]:
    pool = {"image": "i", "work_folder": "_work", "environment": {}, "volumes": [], **own}
    return runner_shares(pool, layout)


OFFICIAL = {"root": "/home/runner", "tools": ""}


def test_shared_folders() -> None:
    assert shares(OFFICIAL)["fresh"] == ["/var/run", "/home/runner/_work"]
    assert shares(OFFICIAL, work_folder="/work")["fresh"] == ["/var/run", "/work"]
    assert shares({**OFFICIAL, "tools": "/opt/tools"})["fresh"][2:] == ["/opt/tools"]
    assert shares(OFFICIAL, environment={"AGENT_TOOLSDIRECTORY": "/t"})["fresh"][2:] == ["/t"]
    assert shares(OFFICIAL, environment={"RUNNER_HOME": "/r"})["root"] == "/r"


def test_tools_that_are_shared_already_are_not_shared_twice() -> None:
    volumes = [{"source": "/srv/tools", "target": "/opt/tools", "read_only": True}]
    assert len(shares({**OFFICIAL, "tools": "/opt/tools"}, volumes=volumes)["fresh"]) == 2
    assert len(shares({**OFFICIAL, "tools": "/home/runner/_work/_tool"})["fresh"]) == 2


def test_images_have_volumes_of_their_own() -> None:
    assert shares(OFFICIAL)["key"] != shares(OFFICIAL, image="j")["key"]
