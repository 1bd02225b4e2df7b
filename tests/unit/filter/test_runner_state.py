# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from what was seen on the host, on recorded answers of Docker's and of runnerd's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_state import (
    runner_deployed,
    runner_images,
    runner_report,
    runner_slots,
)
from runnerd.images import reference_of

IMAGE = {
    "Id": "sha256:" + "1" * 64,
    "RepoDigests": ["mirror.lan/runner@sha256:" + "2" * 64, "ghcr.io/actions/actions-runner@sha256:" + "3" * 64],
}


@pytest.mark.parametrize(
    ("image", "inspected", "reference"),
    [
        ("ghcr.io/actions/actions-runner:latest", IMAGE, "ghcr.io/actions/actions-runner@sha256:" + "3" * 64),
        ("ghcr.io/actions/actions-runner", IMAGE, "ghcr.io/actions/actions-runner@sha256:" + "3" * 64),
        ("mirror.lan/runner:1", IMAGE, "mirror.lan/runner@sha256:" + "2" * 64),
        ("docker.io/library/x:1", {**IMAGE, "RepoDigests": ["x@sha256:" + "4" * 64]}, "x@sha256:" + "4" * 64),
        ("built-here:1", {**IMAGE, "RepoDigests": []}, IMAGE["Id"]),
        ("built-here:1", {"Id": IMAGE["Id"]}, IMAGE["Id"]),
        ("localhost:5000/x", {**IMAGE, "RepoDigests": ["localhost:5000/x@sha256:1"]}, "localhost:5000/x@sha256:1"),
        ("x@sha256:" + "5" * 64, IMAGE, "x@sha256:" + "5" * 64),
    ],
)
def test_an_image_by_what_never_changes(image: str, inspected: dict[str, Any], reference: str) -> None:
    assert runner_images([{"item": image, "rc": 0, "stdout": json.dumps([inspected])}]) == {image: reference}


@pytest.mark.parametrize(
    "image", ["ghcr.io/actions/actions-runner:latest", "mirror.lan/runner", "x:1", "localhost:5000/x", "elsewhere/x:2"]
)
@pytest.mark.parametrize("digests", [IMAGE["RepoDigests"], [], ["localhost:5000/x@sha256:1", "x@sha256:2"]])
def test_the_daemon_comes_to_the_same_image(image: str, digests: list[str]) -> None:
    inspected = {**IMAGE, "RepoDigests": digests}
    asked = [{"item": image, "rc": 0, "stdout": json.dumps([inspected])}]
    assert runner_images(asked) == {image: reference_of(inspected, image)}


def test_an_image_that_was_pulled_counts() -> None:
    missing = {"item": "x:1", "rc": 1, "stdout": "[]", "stderr": "Error: No such image: x:1"}
    pulled = {"item": "x:1", "rc": 0, "stdout": json.dumps([{**IMAGE, "RepoDigests": ["x@sha256:new"]}])}
    assert runner_images([missing]) == {"x:1": ""}
    assert runner_images([missing, pulled]) == {"x:1": "x@sha256:new"}
    # In check mode nothing is pulled, and the second look is skipped.
    assert runner_images([pulled, {"item": "x:1", "skipped": True}]) == {"x:1": "x@sha256:new"}


def block(slot: str) -> str:
    return f"  # slot {slot} begin\n  {slot}:\n    image: {slot}-image\n  # slot {slot} end\n"


def compose(*slots: str) -> str:
    return "name: github-runners\nservices:\n" + "".join(block(slot) for slot in slots)


def status(*slots: dict[str, Any], daemon: bool = True) -> str:
    return json.dumps({"daemon": daemon, "slots": list(slots)})


def test_slots_of_a_first_run() -> None:
    assert runner_slots(["runner-1", "runner-2"], "", "") == {"come": ["runner-1", "runner-2"], "go": [], "kept": []}


def test_slots_that_hold_a_runner_are_kept_as_they_are() -> None:
    told = status(
        {"slot": "runner-1", "state": "idle", "container": "a"},
        {"slot": "runner-2", "state": "busy", "container": "b", "runner": "r"},
        {"slot": "runner-10", "state": "empty", "container": "", "runner": ""},
        {"slot": "big-1", "state": "creating", "container": "", "runner": ""},
        {"slot": "big-2", "state": "backing off", "container": "", "runner": ""},
    )
    found = runner_slots(["runner-1"], compose("runner-1", "runner-2", "runner-10", "big-1", "big-2"), told)
    assert found["go"] == ["runner-2", "runner-10", "big-1", "big-2"]
    assert found["kept"] == [block("runner-2"), block("big-1")]


@pytest.mark.parametrize("told", ["", "no daemon", "[]", status(daemon=False)])
def test_without_an_answer_every_slot_is_kept(told: str) -> None:
    found = runner_slots(["runner-1"], compose("runner-1", "runner-2"), told)
    assert found["kept"] == [block("runner-2")]


def test_a_block_without_an_end_is_none() -> None:
    broken = block("runner-2").replace("end", "")
    assert runner_slots([], compose("runner-1") + broken, "")["go"] == ["runner-1"]


def test_the_report() -> None:
    told = {
        "daemon": True,
        "docker": "Docker does not answer",
        "gates": [{"what": "scope my-org", "until": "12:00", "reason": "401", "remedy": "new token"}],
        "paused": True,
        "drains": ["host"],
        "slots": [
            {"slot": "runner-1", "state": "idle", "seconds": 12, "leaving": False, "container": "a", "reason": ""},
            {"slot": "runner-5", "state": "busy", "seconds": 725, "leaving": True, "container": "b", "reason": "r"},
            {"slot": "runner-6", "state": "idle", "seconds": 7300, "leaving": True, "container": "c", "remedy": "wait"},
            {"slot": "runner-7", "state": "empty", "seconds": 1, "leaving": True, "container": "", "runner": ""},
        ],
    }
    found = runner_report(json.dumps(told))
    assert found["table"][-4:] == found["notes"]
    assert found["draining"] == ["slot runner-5 drains (job since 12 min)", "slot runner-6 drains (idle since 2 h)"]
    assert found["table"] == [
        "SLOT      STATE          REASON  REMEDY",
        "runner-1  idle (12 s)    -       -",
        "runner-5  busy (12 min)  r       -",
        "runner-6  idle (2 h)     -       wait",
        "runner-7  empty (1 s)    -       -",
        "docker: Docker does not answer",
        "until 12:00: scope my-org: 401 new token",
        "paused: no new runners. Do: runnerd resume",
        "draining: host. Do: runnerd resume",
    ]


def test_the_report_without_an_answer() -> None:
    assert runner_report("", "runnerd: no runnerd answers\n")["table"] == ["runnerd: no runnerd answers"]
    assert (
        runner_report("")["notes"] == runner_report("")["table"] == ["runnerd: no answer. Do: systemctl status runnerd"]
    )


def ps(*containers: dict[str, str]) -> dict[str, Any]:
    """The result of a `docker ps` that lists these."""
    return {"rc": 0, "stdout": "\n".join(json.dumps(each) for each in containers), "stderr": ""}


def container(name: str, state: str = "running", project: str = "github-runners") -> dict[str, str]:
    return {"Names": name, "State": state, "Labels": f"a=b,com.docker.compose.project={project},c=d"}


#: As ansible.builtin.command answers when there is no such program.
NO_PROGRAM: dict[str, Any] = {"rc": 2, "stdout": "", "stderr": "", "msg": "Error executing command."}


def test_nothing_is_deployed_on_a_blank_host() -> None:
    assert runner_deployed(NO_PROGRAM, NO_PROGRAM) == {
        "pending": False,
        "daemon": False,
        "holding": [],
        "running": [],
        "others": [],
        "docker": False,
        "problem": "",
    }


def test_what_is_deployed_is_told() -> None:
    slots = [
        {"slot": "runner-1", "state": "busy", "seconds": 720, "job": "build", "container": "c", "runner": "r"},
        {"slot": "runner-2", "state": "backing off", "seconds": 5, "job": None, "container": "", "runner": ""},
    ]
    status = {"rc": 0, "stdout": json.dumps({"daemon": True, "drains": [], "slots": slots}), "stderr": ""}
    found = runner_deployed(
        status,
        ps(
            container("github-runner-1"),
            container("github-runner-2", "exited"),
            container("web", project="github-runners-2"),
            {"Names": "db", "State": "running", "Labels": ""},
        ),
    )
    assert found["holding"] == ["slot runner-1: busy since 12 min, job build"]
    assert found["running"] == ["github-runner-1"]
    assert found["others"] == ["web", "db"]
    assert (found["pending"], found["daemon"], found["docker"], found["problem"]) == (True, True, True, "")


@pytest.mark.parametrize(
    ("told", "containers", "pending"),
    [
        ({"daemon": True, "drains": ["host"], "slots": []}, [], False),
        ({"daemon": True, "drains": [], "slots": []}, [], True),  # it would fill the slots
        ({"daemon": True, "drains": ["runner-1"], "slots": []}, [], True),
        ({"daemon": False, "drains": [], "slots": []}, [], False),
        ({"daemon": False, "slots": [{"slot": "runner-1", "state": "unknown", "runner": "r"}]}, [], True),
        ({"daemon": True, "drains": ["host"], "slots": []}, [container("github-runner-1")], True),
    ],
)
def test_what_is_left_to_drain(told: dict[str, Any], containers: list[dict[str, str]], pending: bool) -> None:
    assert runner_deployed({"rc": 0, "stdout": json.dumps(told)}, ps(*containers))["pending"] is pending


def test_a_docker_that_does_not_answer_is_a_problem() -> None:
    down = {"rc": 1, "stdout": "", "stderr": "Cannot connect to the Docker daemon.\nIs it running?"}
    assert runner_deployed(NO_PROGRAM, down)["problem"] == (
        "docker ps = Cannot connect to the Docker daemon. Is it running?: Docker does not answer. "
        "Do: systemctl start docker"
    )
