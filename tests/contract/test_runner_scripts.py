# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner stand-in's scripts against what was measured of the real ones: exit codes, signals, root, config.sh."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from tests.doubles.runner.testing import UTC, Process, Runner, Service

pytest_plugins = ["tests.doubles.runner.fixtures"]

TRAP = {"RUNNER_MANUALLY_TRAP_SIG": "1"}
MODES = pytest.mark.parametrize("mode", [{}, TRAP], ids=["plain", "trap"])
LISTENING = rf"^{UTC}: Listening for Jobs$"


def replace(program: Path, script: str) -> None:
    """Put a shell script in a program's place."""
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def listening(runner: Runner, service: Service, **environ: str) -> Process:
    """Start a configured runner and wait until it listens."""
    runner.install(service.register())
    process = runner.start(**environ)
    process.wait_for(LISTENING)
    return process


def running_job(runner: Runner, service: Service, script: str, **environ: str) -> Process:
    """Start a runner with a job whose script has printed ``ready``."""
    process = listening(runner, service, **environ)
    job = service.queue(script)
    service.wait(lambda: "ready" in job.lines)
    return process


def listener(runner: Runner) -> int:
    """The process id of the listener."""
    (found,) = [pid for pid, name in runner.running().items() if name == "Runner.Listener"]
    return found


# Exit codes


@MODES
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "Runner listener exit with 0 return code, stop the service, no retry needed."),
        (1, "Runner listener exit with terminated error, stop the service, no retry needed."),
        (5, "Runner listener exit with Session Conflict error, stop the service, no retry needed."),
        (7, "Exiting with unknown error code: 7"),
        (9, "Exiting with unknown error code: 9"),
        (137, "Exiting with unknown error code: 137"),
    ],
)
def test_most_exit_codes_of_the_listener_become_0(runner: Runner, mode: dict[str, str], code: int, said: str) -> None:
    replace(runner.root / "bin" / "Runner.Listener", f"exit {code}")
    process = runner.start(**mode)
    assert process.wait() == 0
    assert process.lines == [said, "Exiting runner..."]


@MODES
def test_code_7_goes_through_where_the_environment_asks_for_it(runner: Runner, mode: dict[str, str]) -> None:
    replace(runner.root / "bin" / "Runner.Listener", "exit 7")
    process = runner.start(**mode, ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE="1")
    assert process.wait() == 7
    assert process.lines == ["Runner listener exit with deprecated version exit code: 7.", "Exiting runner..."]


@MODES
def test_code_2_starts_the_listener_again_with_the_same_arguments(runner: Runner, mode: dict[str, str]) -> None:
    replace(runner.root / "bin" / "Runner.Listener", 'echo "args: $*"; [ -e again ] || { touch again; exit 2; }')
    process = runner.start("--jitconfig", "blob", **mode)
    assert process.wait() == 0
    assert process.lines == [
        "args: run --jitconfig blob",
        "Runner listener exit with retryable error, re-launch runner in 5 seconds.",
        "Restarting runner...",
        "args: run --jitconfig blob",
        "Runner listener exit with 0 return code, stop the service, no retry needed.",
        "Exiting runner...",
    ]


@MODES
@pytest.mark.parametrize("code", [3, 4])
def test_codes_3_and_4_wait_for_the_update(runner: Runner, mode: dict[str, str], code: int) -> None:
    script = f"[ -e again ] || {{ touch again update.finished; exit {code}; }}"
    replace(runner.root / "bin" / "Runner.Listener", script)
    process = runner.start(**mode)
    assert process.wait() == 0
    assert process.lines[:3] == [
        "Runner listener exit because of updating, re-launch runner after successful update",
        "Update finished successfully.",
        "Restarting runner...",
    ]
    assert not (runner.root / "update.finished").exists()


def test_an_update_that_never_finishes_is_waited_for_once(runner: Runner) -> None:
    replace(runner.root / "bin" / "Runner.Listener", "[ -e again ] || { touch again; exit 4; }")
    process = runner.start()
    assert process.wait() == 0
    assert "Update finished successfully." not in process.lines
    assert process.lines.count("Restarting runner...") == 1


def test_the_helper_is_made_anew_from_its_template_at_each_loop(runner: Runner) -> None:
    replace(runner.root / "bin" / "Runner.Listener", "[ -e again ] || { touch again; exit 2; }")
    replace(runner.root / "run-helper.sh", "echo an old helper; exit 1")
    (runner.root / "run-helper.sh.template").write_text(
        (runner.root / "run-helper.sh.template").read_text() + "\necho never reached\n"
    )
    process = runner.start()
    assert process.wait() == 0
    assert "an old helper" not in process.output
    assert (runner.root / "run-helper.sh").read_text().endswith("echo never reached\n")


# Root


@pytest.mark.parametrize(("mode", "code"), [({}, 0), (TRAP, 1)], ids=["plain", "trap"])
def test_root_is_refused(runner: Runner, mode: dict[str, str], code: int, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    replace(tmp_path / "bin" / "id", "echo 0")
    path = f"{tmp_path / 'bin'}{os.pathsep}{runner.environ['PATH']}"
    process = runner.start(**mode, PATH=path, RUNNER_ALLOW_RUNASROOT="")
    assert process.wait() == code
    assert process.lines == ["Must not run interactively with sudo", "Exiting runner..."]
    process = runner.start("--token", "x", program="config.sh", PATH=path, RUNNER_ALLOW_RUNASROOT="")
    assert process.wait() == 1
    assert process.lines == ["Must not run with sudo"]


def test_root_is_let_in_where_the_environment_allows_it(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    replace(tmp_path / "bin" / "id", "echo 0")
    replace(runner.root / "bin" / "Runner.Listener", "echo started")
    path = f"{tmp_path / 'bin'}{os.pathsep}{runner.environ['PATH']}"
    process = runner.start(PATH=path, RUNNER_ALLOW_RUNASROOT="1")
    assert process.wait() == 0
    assert "started" in process.lines


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_with_the_trap_an_idle_runner_stops_and_stays_registered(
    runner: Runner, service: Service, number: signal.Signals, code: int
) -> None:
    process = listening(runner, service, **TRAP)
    process.send(number)
    assert process.wait() == code
    assert "Exiting..." in process.lines
    assert "Runner listener exit with 0 return code, stop the service, no retry needed." in process.lines
    assert "Exiting runner..." in process.lines
    assert runner.running() == {}
    (registration,) = service.registrations.values()
    assert registration.session is None
    assert runner.files == {".runner", ".credentials", ".credentials_rsaparams"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_with_the_trap_a_job_is_cancelled_and_waited_for(
    runner: Runner, service: Service, number: signal.Signals, code: int
) -> None:
    # INT comes twice, to the whole process group and from the worker; the second may find the first still at work.
    script = "trap 'trap \"\" INT; echo stopping; exit 0' INT; echo ready; sleep 1000 & wait"
    process = running_job(runner, service, script, **TRAP)
    process.send(number)
    assert process.wait() == code
    (job,) = service.jobs
    assert job.result == "Canceled"
    assert job.lines == ["ready", "stopping"]
    assert f"Job {job.name} completed with result: Canceled" in process.output
    assert "Runner listener exit with 0 return code, stop the service, no retry needed." in process.lines
    assert runner.files, "the real one removes its files after a job, not after a shutdown"


def test_with_the_trap_run_sh_ends_after_the_listener(runner: Runner, service: Service) -> None:
    script = "mkfifo go; trap 'echo stopping; read -r < go; exit 0' INT; echo ready; sleep 1000 & wait"
    process = running_job(runner, service, script, **TRAP, STANDIN_TIME_SCALE="10")
    process.send(signal.SIGTERM)
    process.wait_for("^Exiting runner...$")
    service.wait(lambda: "stopping" in service.jobs[0].lines)
    runner.go()
    assert process.process.wait() == 143
    assert service.jobs[0].result == "Canceled"


def test_without_the_trap_term_leaves_the_listener_alive(runner: Runner, service: Service) -> None:
    process = listening(runner, service)
    process.send(signal.SIGTERM)
    assert process.process.wait() == -signal.SIGTERM
    assert listener(runner)
    job = service.queue("echo orphans work")
    service.wait(lambda: job.result == "Succeeded")
    assert process.wait() == -signal.SIGTERM
    assert "Exiting..." not in process.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_listener_alone_cancels_the_job(
    runner: Runner, service: Service, number: signal.Signals
) -> None:
    # With time enough between INT and TERM for the script to end by itself.
    script = "trap 'echo stopping; exit 0' INT; echo ready; sleep 1000 & wait"
    process = running_job(runner, service, script, **TRAP, STANDIN_TIME_SCALE="10")
    os.kill(listener(runner), number)
    assert process.wait() == 0
    (job,) = service.jobs
    assert job.result == "Canceled"
    assert job.lines == ["ready", "stopping"]


def test_a_script_that_ignores_signals_is_killed(runner: Runner, service: Service) -> None:
    process = running_job(runner, service, "trap '' INT TERM; echo ready; while :; do sleep 0.1; done", **TRAP)
    process.send(signal.SIGTERM)
    assert process.wait() == 143
    assert service.jobs[0].result == "Canceled"


def test_after_term_the_listener_alone_is_waited_for_no_longer_than_the_runtime_waits(
    runner: Runner, service: Service
) -> None:
    process = running_job(runner, service, "echo ready; sleep 1000", STANDIN_FAULTS="")
    worker = next(pid for pid, name in runner.running().items() if name == "Runner.Worker")
    os.kill(worker, signal.SIGSTOP)
    os.kill(listener(runner), signal.SIGTERM)
    process.wait_for("^Exiting with unknown error code: 143$")
    assert worker in runner.running(), "nobody waited for the worker"
    os.kill(worker, signal.SIGKILL)


def test_an_interrupt_that_is_ignored_from_the_start_stays_ignored(runner: Runner, service: Service) -> None:
    """As ``run.sh &`` in a script does it: the trap's chain silently does nothing, the listener goes on."""
    runner.install(service.register())
    process = runner.start(ignored=True, **TRAP)
    process.wait_for(LISTENING)
    process.send(signal.SIGTERM)
    process.wait_for("^Exiting runner...$")
    job = service.queue("echo still here")
    service.wait(lambda: job.result == "Succeeded")
    assert process.wait() == 143


def test_a_stuck_runner_ignores_term(runner: Runner, service: Service) -> None:
    script = "mkfifo go; echo ready; read -r < go"
    process = running_job(runner, service, script, **TRAP, STANDIN_FAULTS="ignore-term")
    process.send(signal.SIGTERM)
    os.kill(listener(runner), signal.SIGINT)
    process.wait_for("^Exiting runner...$")
    runner.go()
    assert process.wait() == 143
    assert service.jobs[0].result == "Succeeded"


# config.sh


def test_config_refuses_a_configured_runner(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    process = runner.start("--url", "https://example.test/o", "--token", "secret", "--unattended", program="config.sh")
    assert process.wait() == 1
    assert "Cannot configure the runner because it is already configured." in process.output
    assert "secret" not in process.output


def test_config_removes_the_local_files_only(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    process = runner.start("remove", "--token", "secret", program="config.sh")
    assert process.wait() == 1
    assert "A runner of a JIT configuration cannot be removed with a token." in process.output
    assert "secret" not in process.output
    assert runner.files == {".runner", ".credentials", ".credentials_rsaparams"}
    process = runner.start("remove", "--local", program="config.sh")
    assert process.wait() == 0
    assert process.lines == ["√ Removed .credentials", "√ Removed .runner"]
    assert runner.files == set()
    assert service.requests == []
