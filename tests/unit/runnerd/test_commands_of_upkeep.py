# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`runnerd update` over a real control socket; `runnerd check --online`, which a playbook asks before it rotates."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runnerd import cli
from runnerd.control import ControlServer
from tests.doubles.github.server import running
from tests.doubles.github.settings import moment
from tests.lab.keys import Authority
from tests.unit.runnerd.test_supervisor import Host
from tests.unit.runnerd.test_updates import NEW, OLD, TAG

TOKEN = "ghp_aTokenOfTheTestAndNoOther"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose runnerd goes round and answers at `host.socket`."""
    host = Host(tmp_path)
    host.world.file_images = {TAG: OLD}
    host.world.images.here = {TAG: OLD}
    host.world.images.registry = {TAG: OLD}
    stopping = threading.Event()

    def loop() -> None:
        while not stopping.is_set():
            host.rounds(1)
            time.sleep(0.005)

    with tempfile.TemporaryDirectory() as folder:  # the path of a socket must be short
        server = ControlServer(Path(folder) / "control.sock", host.supervisor)
        server.start()
        rounds = threading.Thread(target=loop)
        rounds.start()
        host.socket = Path(folder) / "control.sock"  # type: ignore[attr-defined]  # for the tests of this file
        yield host
        stopping.set()
        rounds.join()
        server.shutdown()
        server.server_close()


def update(host: Host) -> int:
    return cli.main(["--socket", str(host.socket), "update"])  # type: ignore[attr-defined]  # see the fixture


def test_update_tells_what_became_of_each_tag(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(host) == 0
    assert capsys.readouterr().out == f"{TAG}: is {OLD} as before\n"
    host.world.images.registry[TAG] = NEW
    assert update(host) == 0
    assert capsys.readouterr().out == f"{TAG}: is now {NEW}\n"


def test_update_tells_why_it_failed(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.world.images.error = "manifest unknown"
    assert update(host) == 1
    assert capsys.readouterr().out == f"{TAG}: manifest unknown\n"


def test_update_without_a_tag_to_follow(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.world.file_images = {}
    assert update(host) == 0
    assert "github_docker_runners_image_update" in capsys.readouterr().out


@pytest.fixture
def check(tmp_path: Path) -> Iterator[list[str]]:
    """The words of `runnerd check --online` with good settings, for a GitHub that speaks TLS; the credentials last."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    for name, content in {"cert.pem": certificate, "key.pem": key}.items():
        (tmp_path / name).write_bytes(content)
    known = {"good": {"token": TOKEN, "scopes": {"my-org": "write"}}}
    with running(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem", credentials=known) as double:
        url = double.api_url.replace("127.0.0.1", "localhost")
        settings = {
            "schema": 1,
            "github": {"api_url": url, "ca_file": str(tmp_path / "ca.pem"), "timeout": 5},
            "compose": {"file": "/x"},
            "pools": [
                {"name": "p", "scope": "my-org", "labels": ["a"], "slots": ["p-1"], "name_prefix": "h"},
            ],
        }
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        yield [
            "check",
            "--online",
            "--settings",
            str(tmp_path / "settings.json"),
            "--credentials",
            str(tmp_path / "credentials.json"),
        ]


def test_check_online(check: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(check[-1]).write_text(json.dumps({"default": {"token": TOKEN}}))
    assert cli.main(check) == 0
    Path(check[-1]).write_text(json.dumps({"default": {"token": "ghp_nobodyKnowsThisToken"}}))
    assert cli.main(check) == 2
    said = capsys.readouterr().err
    assert said.startswith("credential default of the pool p: GitHub refuses it")
    assert "nobodyKnows" not in said
    Path(check[-1]).write_text(json.dumps({"other": {"token": TOKEN}}))
    assert cli.main(check) == 2
    assert "credentials file does not hold it" in capsys.readouterr().err


def test_events_for_programs(host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An object a line, with the same words as the lines for people."""
    monkeypatch.setattr(cli, "STATE", host.journal.folder)
    assert update(host) == 0
    capsys.readouterr()
    assert cli.main(["events", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert cli.main(["events"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(told) == len(lines) > 2
    for event, line in zip(told, lines, strict=True):
        assert all(event[name] in line for name in ("slot", "kind", "detail", "runner"))
        assert abs(moment(event["at"]) - host.clock.wall()) < 3600 and event["at"][:19] == line[:19]
