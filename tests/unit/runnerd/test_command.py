# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command `runnerd`, over a real control socket: `drain --wait` while runnerd restarts or the host shuts down."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from runnerd import cli
from runnerd.control import ControlServer
from runnerd.journal import JournalError
from runnerd.model import MachineStatus
from tests.unit.runnerd.host import SLOTS, Host


class Daemon:
    """A runnerd that can be stopped and started: a control socket, and a thread whose rounds are a second apart."""

    def __init__(self, host: Host, path: Path) -> None:
        self.host = host
        self.path = path
        self.pause = threading.Lock()  # held: no round goes on
        self.answered = 0
        self.asking: list[Command] = []

    def ask(self, *words: str) -> Command:
        self.asking.append(Command(self.path, *words))
        return self.asking[-1]

    def start(self) -> None:
        self.stopping = threading.Event()
        tell = self.host.supervisor.current_status

        def counting() -> object:
            self.answered += 1
            return tell()

        self.host.supervisor.current_status = counting  # type: ignore[method-assign,assignment]  # counts, and asks
        self.server = ControlServer(self.path, self.host.supervisor)
        self.server.start()
        self.loop = threading.Thread(target=self._loop)
        self.loop.start()

    def _loop(self) -> None:
        while not self.stopping.is_set():
            with self.pause:
                self.host.rounds(1)
            time.sleep(0.005)

    def stop(self) -> None:
        """As systemd does: the socket's folder goes with the service."""
        self.stopping.set()
        self.loop.join()
        self.server.shutdown()
        self.server.server_close()
        self.path.unlink()

    def pass_time(self, seconds: float) -> None:
        with self.pause:
            self.host.clock.at += seconds

    def answers(self, count: int = 2) -> None:
        """Wait until the status was asked for again, and again."""
        before = self.answered
        until(lambda: self.answered >= before + count)


class Systemd:
    """What `systemctl` says, for those who run it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        program = folder / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$1" >>"{folder}/asked"\ncat "{folder}/$1"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        self.runnerd("active")
        self.system("running")

    def runnerd(self, state: str) -> None:
        self._say("is-active", state)

    def system(self, state: str) -> None:
        self._say("is-system-running", state)

    def asked_for_runnerd(self, times: int = 2) -> None:
        """Wait until someone who found no runnerd has asked what becomes of it."""
        asked = self.folder / "asked"
        until(lambda: asked.exists() and asked.read_text().split().count("is-active") >= times)

    def _say(self, asked: str, state: str) -> None:
        """In one step: someone may be asking right now."""
        (self.folder / "new").write_text(f"{state}\n")
        (self.folder / "new").replace(self.folder / asked)


class Command:
    """`runnerd` as a person or a unit runs it, in a process of its own; only that it looks more often."""

    def __init__(self, path: Path, *words: str) -> None:
        run = "import sys; from runnerd import cli; cli.LOOK = 0.01; sys.exit(cli.main())"
        self._process = subprocess.Popen(
            [sys.executable, "-c", run, "--socket", str(path), *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def waits(self) -> bool:
        return self._process.poll() is None

    def ends(self) -> tuple[int, str]:
        """Its exit code, and the last line that it said."""
        said, _nothing = self._process.communicate(timeout=20)
        return self._process.returncode, (said.splitlines() or [""])[-1]

    def kill(self) -> None:
        with self._process:
            self._process.kill()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.005)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for a socket's."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def systemd(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(folder, monkeypatch)


@pytest.fixture
def daemon(folder: Path, tmp_path: Path, systemd: Systemd) -> Iterator[Daemon]:
    """Three idle runners, but for runner-1, which has a job."""
    host = Host(tmp_path)
    host.online()
    host.world.take_job(host.of("runner-1"), "build")
    daemon = Daemon(host, folder / "control.sock")
    daemon.start()
    yield daemon
    for command in daemon.asking:
        command.kill()
    if not daemon.stopping.is_set():
        daemon.stop()


def drain(daemon: Daemon, *words: str) -> Command:
    """Drain, and wait until the idle runners are gone and the busy one is waited for."""
    command = daemon.ask("drain", "--wait", *words)
    until(lambda: [c.slot for c in daemon.host.world.containers.values()] == ["runner-1"])
    daemon.answers()
    assert command.waits()
    return command


def test_it_goes_on_waiting_while_runnerd_is_restarted(daemon: Daemon, systemd: Systemd) -> None:
    waiting = drain(daemon)
    daemon.stop()
    systemd.runnerd("activating")
    systemd.asked_for_runnerd()
    assert waiting.waits()

    daemon.host.crash()
    with daemon.pause:
        daemon.start()
        systemd.runnerd("active")
        daemon.answers()  # it has begun, and not looked yet: it knows of no slot and of no drain
    daemon.answers()
    assert waiting.waits()

    with daemon.pause:
        daemon.host.world.end_job(daemon.host.of("runner-1"))
    assert waiting.ends() == (cli.DONE, "drained")
    assert daemon.host.world.containers == {}
    assert daemon.host.world.killed_busy == []


def test_it_asks_again_when_runnerd_dies_before_it_answers(daemon: Daemon) -> None:
    waiting = drain(daemon)
    daemon.stop()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as dying:
        dying.bind(str(daemon.path))
        dying.listen()
        dying.settimeout(20)
        for _each in range(2):
            asked, _address = dying.accept()
            assert b"status" in asked.recv(1000)
            asked.close()
    daemon.path.unlink()
    daemon.host.crash()
    daemon.start()
    daemon.answers()
    assert waiting.waits()
    with daemon.pause:
        daemon.host.world.end_job(daemon.host.of("runner-1"))
    assert waiting.ends() == (cli.DONE, "drained")


def test_it_does_not_wait_for_a_runnerd_that_was_stopped(daemon: Daemon, systemd: Systemd) -> None:
    waiting = drain(daemon)
    systemd.runnerd("inactive")
    daemon.stop()
    assert waiting.ends()[0] == cli.NO_DAEMON


def test_a_wish_is_not_lost_when_runnerd_is_just_being_restarted(daemon: Daemon, systemd: Systemd) -> None:
    daemon.stop()
    systemd.runnerd("activating")
    waiting = daemon.ask("drain", "--wait")
    systemd.asked_for_runnerd()
    assert waiting.waits()
    daemon.host.crash()
    daemon.start()
    until(lambda: "host" in daemon.host.journal.drains())
    with daemon.pause:
        daemon.host.world.end_job(daemon.host.of("runner-1"))
    assert waiting.ends() == (cli.DONE, "drained")


def limits(daemon: Daemon, **seconds: float) -> None:
    daemon.host.want(SLOTS, **seconds)
    daemon.host.supervisor.reload()


def busy(daemon: Daemon) -> bool:
    with daemon.pause:
        return any(c.status is MachineStatus.RUNNING and c.worker for c in daemon.host.world.containers.values())


def test_a_shutdown_that_comes_while_it_waits_brings_its_own_shorter_limit(daemon: Daemon, systemd: Systemd) -> None:
    limits(daemon, drain=20000, shutdown=500)
    waiting = drain(daemon)
    daemon.pass_time(9000)
    daemon.answers()
    assert busy(daemon)

    systemd.system("stopping")
    until(lambda: "shutdown" in daemon.host.journal.drains())
    began = daemon.host.journal.drains()["shutdown"].at
    daemon.pass_time(began + 400 - daemon.host.clock.at)
    daemon.answers()
    assert busy(daemon)
    daemon.pass_time(began + 500 - daemon.host.clock.at)
    assert waiting.ends() == (cli.DONE, "drained")
    assert not busy(daemon)


def test_a_drain_that_begins_in_a_shutdown_has_that_limit_at_once(daemon: Daemon, systemd: Systemd) -> None:
    limits(daemon, drain=20000, shutdown=500)
    systemd.system("stopping")
    waiting = drain(daemon)
    daemon.pass_time(400)
    daemon.answers()
    assert busy(daemon)
    daemon.pass_time(100)
    assert waiting.ends() == (cli.DONE, "drained")


def test_a_shutdown_grants_no_time_beyond_the_drains_own_limit(daemon: Daemon, systemd: Systemd) -> None:
    limits(daemon, drain=20000, shutdown=500)
    waiting = drain(daemon, "--limit", "300")
    began = daemon.host.journal.drains()["host"].at
    systemd.system("stopping")
    until(lambda: "shutdown" in daemon.host.journal.drains())
    daemon.pass_time(began + 300 - daemon.host.clock.at)
    assert waiting.ends() == (cli.DONE, "drained")


def test_a_shutdown_without_a_limit_leaves_the_drains_own_in_force(daemon: Daemon, systemd: Systemd) -> None:
    limits(daemon, drain=20000, shutdown=0)
    waiting = drain(daemon)
    systemd.system("stopping")
    until(lambda: "shutdown" in daemon.host.journal.drains())
    daemon.pass_time(15000)
    daemon.answers()
    assert busy(daemon)
    daemon.pass_time(5000)
    assert waiting.ends() == (cli.DONE, "drained")


def test_status_shows_a_compose_file_that_cannot_be_read(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    with daemon.pause:
        daemon.host.world.bad_file = "yaml: line 3: could not find expected ':'"
    until(lambda: daemon.host.supervisor.status.definition)
    assert cli.main(["--socket", str(daemon.path), "status"]) == cli.DONE
    assert "Problem: yaml: line 3: could not find expected ':'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wanted", "leaving", "state", "verified", "missing", "missing_if_drained"),
    [
        (True, False, "idle", True, False, False),
        (True, False, "starting", False, True, True),
        (True, True, "busy", True, False, True),  # its definition changed, and it has a job
        (True, True, "idle", True, True, True),  # its definition changed: the next one may not come online
        (True, True, "drained", True, True, True),
        (False, True, "busy", True, False, True),  # the pool became smaller
        (False, True, "drained", True, False, True),
        (False, False, "empty", False, False, False),  # paused
    ],
)
def test_what_is_waited_for(
    wanted: bool, leaving: bool, state: str, verified: bool, missing: bool, missing_if_drained: bool
) -> None:
    slot = {"wanted": wanted, "leaving": leaving, "state": state, "verified": verified, "container": "abc"}
    assert cli.is_missing(slot, drained=False) is missing
    assert cli.is_missing(slot, drained=True) is missing_if_drained


@pytest.mark.parametrize(
    ("module", "spared"),
    [("runnerd.cli", {"docker", "requests", "prometheus_client"}), ("runnerd.daemon", {"jwt", "cryptography"})],
)
def test_nobody_loads_what_only_others_need(module: str, spared: set[str]) -> None:
    """The command is asked often: Docker's and HTTP's libraries took most of its half second. Apps' take 4 MB."""
    look = f"import {module}, sys; print(*{spared} & sys.modules.keys())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_who_waits_for_jobs_only_asks_github_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may take hours; lists are asked for while somebody is not seen online."""
    busy = {"slot": "runner-1", "leaving": True, "state": "busy", "wanted": True, "container": "c", "verified": True}
    starting = busy | {"leaving": False, "state": "starting", "verified": False}
    looks = [starting, starting, busy, busy, busy, starting | {"verified": True}]
    asked = []

    def ask(socket: object, command: str, refresh: bool) -> dict[str, object]:
        asked.append(refresh)
        return {"daemon": True, "slots": [looks[len(asked) - 1]]}

    monkeypatch.setattr(cli, "_ask_patiently", ask)
    monkeypatch.setattr(cli, "_show", lambda *dummy: None)
    monkeypatch.setattr(cli, "ASK_GITHUB", 0.0)
    monkeypatch.setattr(cli, "LOOK", 0.0)
    assert cli.main(["wait", "--drained"]) == cli.DONE
    assert asked == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("error", "told"),
    [(JournalError("the journal is broken"), "runnerd: the journal is broken\n"), (RuntimeError("a bug"), "a bug\n")],
)
def test_a_daemon_that_fails_says_why_and_does_not_spin(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """systemd starts the next one half a second after its end."""

    def serve(settings: Path) -> int:
        raise error

    slept: list[tuple[float, bool]] = []
    monkeypatch.setitem(sys.modules, "runnerd.daemon", SimpleNamespace(serve=serve))
    monkeypatch.setattr(
        cli, "time", SimpleNamespace(sleep=lambda time: slept.append((time, capsys.readouterr().err.endswith(told))))
    )
    assert cli.main(["serve"]) == cli.WRONG
    assert slept == [(cli.AFTER_ERROR, True)], "what it says is there before"


#: A command that fails while an effect is in hand.
FAILS = """
import runpy, sys, time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

def main():
    ThreadPoolExecutor(1).submit(time.sleep, 60)
    print("why")
    return 3

sys.modules["runnerd.cli"] = SimpleNamespace(main=main)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_a_daemon_that_fails_waits_for_no_effect() -> None:
    """A container may be stopped for minutes; systemd starts nothing meanwhile."""
    program = Path(cli.__file__).parent / "__main__.py"
    command = [sys.executable, "-c", FAILS, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (3, "why\n"), done.stderr
