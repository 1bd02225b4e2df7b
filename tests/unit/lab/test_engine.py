# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said about an engine, from facts made up: no test here looks at this machine's Docker."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab import engine
from tests.lab.common import Problem
from tests.lab.engine import Answer, Facts, Verdict, diagnose

INFO: dict[str, Any] = {
    "ServerVersion": "28.5.1",
    "CgroupVersion": "2",
    "OSType": "linux",
    "OperatingSystem": "Debian GNU/Linux 13 (trixie)",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
}
VERSION: dict[str, Any] = {"ApiVersion": "1.51", "Components": [{"Name": "Engine"}, {"Name": "containerd"}]}
GOOD = Facts(info=INFO, version=VERSION, distributions=frozenset({"debian"}))
BARE = Facts(answer=Answer.ABSENT, distributions=frozenset({"debian"}), root=True)


def test_a_good_engine_is_used_and_described() -> None:
    diagnosis = diagnose(GOOD)
    assert diagnosis.verdict is Verdict.OK
    assert "28.5.1" in diagnosis.says
    assert "cgroup v2" in diagnosis.says
    assert not diagnosis.do


@pytest.mark.parametrize(
    ("facts", "words", "remedy"),
    [
        (
            replace(GOOD, version={**VERSION, "Components": [{"Name": "Podman Engine"}]}),
            "Podman answers",
            "install a Docker Engine",
        ),
        (replace(GOOD, info={**INFO, "SecurityOptions": ["name=rootless"]}), "runs rootless", "context use default"),
        (replace(GOOD, info={**INFO, "OSType": "windows"}), "windows containers", "Linux containers"),
        (replace(GOOD, version={**VERSION, "ApiVersion": "1.40"}), "API 1.40", "newer Docker"),
        (replace(GOOD, version={**VERSION, "ApiVersion": "1.9"}), "API 1.9", "newer Docker"),
        (
            replace(GOOD, endpoint="tcp://build:2376", configured_by="DOCKER_HOST"),
            "DOCKER_HOST points at tcp://build:2376",
            "unset DOCKER_HOST",
        ),
        (
            replace(BARE, endpoint="unix:///nowhere", configured_by="DOCKER_HOST", detail="No such file"),
            "DOCKER_HOST says that the Docker Engine is at unix:///nowhere, but there is no socket",
            "unset DOCKER_HOST",
        ),
        (
            replace(GOOD, answer=Answer.PERMISSION, endpoint="unix:///x", configured_by="The context 'x' of Docker"),
            "The context 'x' of Docker says",
            "docker context use default",
        ),
        (replace(BARE, answer=Answer.PERMISSION, root=False), "permission denied", "usermod -aG docker"),
        (replace(BARE, answer=Answer.SILENT, detail="what?"), "no sensible answer (what?)", "restart docker"),
        (replace(BARE, system="Darwin", distributions=frozenset()), "No Docker Engine answers", "Docker Desktop"),
        (
            replace(BARE, client="/mnt/wsl/docker-desktop/cli-tools/usr/bin/docker"),
            "No Docker Engine answers",
            "Docker Desktop",
        ),
        (replace(BARE, client="/usr/bin/docker (podman)"), "is Podman's", "podman-docker"),
        (replace(BARE, client="/snap/bin/docker"), "snap", "snap start docker"),
        (
            replace(BARE, root=False, daemon="/usr/sbin/dockerd", systemd=True),
            "does not run",
            "sudo systemctl start docker",
        ),
        (replace(BARE, root=False, daemon="/usr/sbin/dockerd"), "does not run", "sudo dockerd"),
        (replace(BARE, root=False), "There is no Docker Engine", "sudo apt-get install docker.io"),
        (replace(BARE, distributions=frozenset({"fedora"})), "There is no Docker Engine", "docs.docker.com"),
    ],
)
def test_one_thing_is_wrong_and_something_can_be_done(facts: Facts, words: str, remedy: str) -> None:
    diagnosis = diagnose(facts)
    assert diagnosis.verdict is Verdict.WRONG
    assert words in diagnosis.says
    assert remedy in diagnosis.do


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (BARE, Verdict.INSTALL),
        (replace(BARE, distributions=frozenset({"ubuntu", "debian"})), Verdict.INSTALL),
        (replace(BARE, answer=Answer.REFUSED), Verdict.INSTALL),  # a socket that a removed engine left behind
        (replace(BARE, client="/usr/local/bin/docker"), Verdict.INSTALL),  # a client alone is not an engine
        (replace(BARE, daemon="/usr/bin/dockerd"), Verdict.START),
        (replace(BARE, daemon="/usr/bin/dockerd", answer=Answer.REFUSED), Verdict.START),
        (replace(GOOD, info={**INFO, "OperatingSystem": "Docker Desktop"}), Verdict.OK),
    ],
)
def test_what_is_done_without_a_person(facts: Facts, verdict: Verdict) -> None:
    assert diagnose(facts).verdict is verdict


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": str(tmp_path), **more}


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    facts = engine.look(environment(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock"))
    assert facts.answer is Answer.ABSENT
    assert facts.configured_by == "DOCKER_HOST"


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    facts = engine.look(environment(tmp_path, DOCKER_HOST=f"unix://{path}"))
    assert facts.answer is Answer.REFUSED


def test_a_socket_that_closes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        sock.settimeout(30)

        def hang_up() -> None:
            try:
                while True:
                    sock.accept()[0].close()
            except OSError:
                pass  # the test is over

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        facts = engine.look(environment(tmp_path, DOCKER_HOST=f"unix://{path}"))
        sock.shutdown(socket.SHUT_RDWR)
    thread.join(30)
    assert facts.answer is Answer.SILENT
    assert facts.detail


def test_a_context_that_does_not_exist(tmp_path: Path) -> None:
    facts = engine.look(environment(tmp_path, DOCKER_CONTEXT="no-such-context"))
    assert "no-such-context" in facts.configured_by


def test_podman_in_dockers_clothes(tmp_path: Path) -> None:
    fake = tmp_path / "docker"
    fake.write_text('#!/bin/sh\nexec /usr/bin/podman "$@"\n')
    fake.chmod(0o755)
    facts = engine.look(environment(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock"))
    assert "podman" in facts.client


class Machine:
    """A machine whose engine appears when it is started; what was done to it is written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, facts: Facts, terminal: bool = False, says: str = "") -> None:
        self.done: list[str] = []
        self.facts = facts
        monkeypatch.setattr(engine, "look", lambda: self.facts)
        monkeypatch.setattr(engine, "apt_get", lambda *words: self.done.append(" ".join(words)))
        monkeypatch.setattr(engine, "_start", self.start)
        monkeypatch.setattr(engine.docker, "DockerClient", lambda **options: options["base_url"])
        monkeypatch.setattr(engine.sys.stdin, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr("builtins.input", lambda prompt: says)

    def start(self) -> None:
        self.done.append("start")
        self.facts = replace(GOOD, endpoint="unix:///made-up.sock")


def test_a_fresh_server_gets_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, BARE)
    told: list[str] = []
    assert str(engine.ensure(told.append)) == "unix:///made-up.sock"
    assert machine.done[0] == "update"
    assert "install" in machine.done[1]
    assert "--no-install-recommends docker.io iptables" in machine.done[1]
    assert machine.done[2] == "start"
    assert "There is no Docker Engine." in told[0]


def test_a_stopped_engine_is_started_and_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, replace(BARE, daemon="/usr/sbin/dockerd"), terminal=True, says="y")
    engine.ensure(lambda line: None)
    assert machine.done == ["start"]


def test_whoever_says_no_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, replace(BARE, daemon="/usr/sbin/dockerd"), terminal=True, says="")
    with pytest.raises(Problem, match="did not want"):
        engine.ensure(lambda line: None)
    assert machine.done == []


def test_nothing_is_touched_where_a_person_has_to_act(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, replace(BARE, configured_by="DOCKER_HOST"))
    with pytest.raises(Problem, match="unset DOCKER_HOST"):
        engine.ensure(lambda line: None)
    assert machine.done == []
