# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner stand-in's listener: its start, what it says, its files, and how it ends when things go wrong."""

from __future__ import annotations

import base64
import json
import re
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.doubles.runner.testing import UTC, Runner, Service

pytest_plugins = ["tests.doubles.runner.fixtures"]

LISTENING = rf"^{UTC}: Listening for Jobs$"
DELETED = (
    "Failed to create a session. The runner registration has been deleted from the server, please re-configure. Runner"
    " registrations are automatically deleted for runners that have not connected to the service recently."
)
FILES = {".runner", ".credentials", ".credentials_rsaparams"}


# One job, from the start to the end


def test_landmarks_of_a_run(runner: Runner, service: Service) -> None:
    service.queue("echo hello", name="build (3.12)")
    process = runner.start("--jitconfig", service.register().blob)
    assert process.wait() == 0
    expected = [
        "",
        "√ Connected to GitHub",
        "",
        r"Current runner version: '2\.336\.0'",
        f"{UTC}: Listening for Jobs",
        f"{UTC}: Running job: build \\(3.12\\)",
        f"{UTC}: Job build \\(3.12\\) completed with result: Succeeded",
        "√ Removed .credentials",
        "√ Removed .runner",
        "Runner listener exit with 0 return code, stop the service, no retry needed.",
        "Exiting runner...",
    ]
    assert len(process.lines) == len(expected)
    for line, pattern in zip(process.lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line
    (job,) = service.jobs
    assert (job.result, job.log) == ("Succeeded", "hello\n")
    (session,) = service.sessions
    assert session == {
        "agentName": "runner-1",
        "version": "2.336.0",
        "os": "Linux",
        "architecture": session["architecture"],
        "ephemeral": True,
        "disableUpdate": False,
    }


def test_the_blob_may_come_as_a_variable_that_no_job_sees(runner: Runner, service: Service) -> None:
    registration = service.register()
    job = service.queue("env; tr '\\0' '\\n' < /proc/$PPID/environ")
    assert runner.start(ACTIONS_RUNNER_INPUT_JITCONFIG=registration.blob).wait() == 0
    assert job.result == "Succeeded"
    assert "GITHUB_JOB=build" in job.lines
    assert registration.blob not in job.log
    assert "ACTIONS_RUNNER_INPUT" not in job.log


def test_the_three_files_may_be_there_already(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    job = service.queue("ls -a ../../..")
    assert runner.start().wait() == 0
    assert set(job.lines) >= FILES
    assert runner.files == set()


def test_the_blob_becomes_the_three_files(runner: Runner, service: Service) -> None:
    registration = service.register()
    process = runner.start("--jitconfig", registration.blob)
    process.wait_for(LISTENING)
    assert {name: (runner.root / name).read_bytes() for name in FILES} == registration.files


def test_a_second_run_in_the_same_root_gets_nothing(runner: Runner, service: Service) -> None:
    registration = service.register()
    first = service.queue("true")
    assert runner.start("--jitconfig", registration.blob).wait() == 0
    second = service.queue("true")
    process = runner.start("--jitconfig", registration.blob)
    assert process.wait() == 0
    assert DELETED in process.lines
    assert "Runner listener exit with terminated error, stop the service, no retry needed." in process.lines
    assert (first.result, second.acknowledged) == ("Succeeded", False)


def test_a_copy_of_the_files_gets_no_job(runner: Runner, service: Service, tmp_path: Path) -> None:
    runner.install(service.register())
    (tmp_path / "stolen").mkdir()
    service.queue(f"cp ../../../.runner ../../../.credentials* {tmp_path / 'stolen'}")
    assert runner.start().wait() == 0
    thief = Runner(tmp_path / "thief")
    for name in FILES:
        (thief.root / name).write_bytes((tmp_path / "stolen" / name).read_bytes())
    job = service.queue("true")
    process = thief.start()
    assert process.wait() == 0
    assert DELETED in process.lines
    assert not job.acknowledged


def test_a_persistent_runner_takes_one_job_after_another(runner: Runner, service: Service) -> None:
    runner.install(service.register(Ephemeral=False))
    process = runner.start()
    for number in (1, 2):
        service.queue("true")
        process.wait_for("completed with result: Succeeded", count=number)
    assert len(service.sessions) == 1
    assert runner.files == FILES


def test_processes_have_the_names_of_the_real_ones(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    process = runner.start()
    process.wait_for(LISTENING)
    assert sorted(runner.running().values()) == ["Runner.Listener", "bash", "bash"]  # run.sh, run-helper.sh
    job = service.queue("mkfifo go; echo ready; read -r < go")
    service.wait(lambda: "ready" in job.lines)
    names = sorted(runner.running().values())
    assert names == ["Runner.Listener", "Runner.Worker", "bash", "bash", "bash"]
    runner.go()
    assert process.wait() == 0
    assert runner.running() == {}


def test_the_log_is_kept_and_printed_where_the_environment_asks_for_it(runner: Runner, service: Service) -> None:
    service.queue("true")
    process = runner.start("--jitconfig", service.register().blob, ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT="1")
    assert process.wait() == 0
    process.wait_for(rf"^\[RUNNER {UTC} INFO Terminal\] WRITE LINE: {UTC}: Listening for Jobs$")
    process.wait_for(rf"^{UTC}: Listening for Jobs$")
    process.wait_for(rf"^\[WORKER {UTC} INFO Worker\] Job completed\.$")
    (log,) = (runner.root / "_diag").glob("Runner_*-utc.log")
    assert re.search(rf"^\[{UTC} INFO Terminal\] WRITE LINE: {UTC}: Running job: build$", log.read_text(), re.MULTILINE)
    assert len(list((runner.root / "_diag").glob("Worker_*-utc.log"))) == 1


def test_events_are_noted_where_the_environment_names_a_folder(
    runner: Runner, service: Service, tmp_path: Path
) -> None:
    service.queue("true")
    assert runner.start("--jitconfig", service.register().blob, RUNNER_PERFLOG=str(tmp_path / "perf")).wait() == 0
    assert "MessageReceived_RunnerJobRequest:" in (tmp_path / "perf" / "Runner.perf").read_text()
    assert "WorkerJobMessageReceived_job-0:" in (tmp_path / "perf" / "Worker.perf").read_text()


def test_the_result_may_be_the_exit_code(runner: Runner, service: Service) -> None:
    service.queue("false")
    process = runner.start("--jitconfig", service.register().blob, ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED="true")
    assert process.wait() == 0
    assert "Exiting with unknown error code: 102" in process.lines


def test_the_environment_file_is_read(runner: Runner, service: Service) -> None:
    (runner.root / ".env").write_text("FROM_FILE=a=b\n\nnonsense\nLANG=C\n")
    job = service.queue("echo $FROM_FILE $LANG")
    assert runner.start("--jitconfig", service.register().blob).wait() == 0
    assert job.lines == ["a=b C"]


# A start that fails


@pytest.mark.parametrize(
    "blob",
    ["not base64!", base64.b64encode(b"not JSON").decode(), base64.b64encode(b"[]").decode()],
    ids=["base64", "json", "list"],
)
def test_a_bad_blob_ends_the_runner(runner: Runner, blob: str) -> None:
    process = runner.start("--jitconfig", blob)
    assert process.wait() == 0
    assert process.lines[-2:] == [
        "Runner listener exit with terminated error, stop the service, no retry needed.",
        "Exiting runner...",
    ]
    assert len(process.lines) > 2
    assert blob not in process.output


def test_an_unconfigured_runner_ends(runner: Runner) -> None:
    process = runner.start()
    assert process.wait() == 0
    assert process.lines == [
        "An error occurred: Not configured. Run config.(sh/cmd) to configure the runner.",
        "Runner listener exit with terminated error, stop the service, no retry needed.",
        "Exiting runner...",
    ]


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_broken_file_ends_the_runner(runner: Runner, service: Service, name: str) -> None:
    runner.install(service.register())
    (runner.root / name).write_text("{}")
    process = runner.start()
    assert process.wait() == 0
    assert process.lines[0].startswith("An error occurred: ")
    assert name in process.lines[0]
    assert "Runner listener exit with terminated error, stop the service, no retry needed." in process.lines
    assert service.requests == []


def test_another_key_is_refused(runner: Runner, service: Service) -> None:
    mine, other = service.register("mine"), service.register("other")
    runner.install(mine)
    (runner.root / ".credentials_rsaparams").write_bytes(other.files[".credentials_rsaparams"])
    process = runner.start()
    assert process.wait() == 0
    assert DELETED in process.lines
    assert service.sessions == []


def test_a_session_conflict_gives_up_in_the_end(runner: Runner, service: Service) -> None:
    registration = service.register()
    runner.install(registration)
    registration.session = "of another"
    process = runner.start()
    assert process.wait() == 0
    assert process.lines.count("A session for this runner already exists.") == 8  # 30 s each, 4 min
    assert sum("Runner connect error" in line for line in process.lines) == 1
    assert process.lines[-2:] == [
        "Runner listener exit with Session Conflict error, stop the service, no retry needed.",
        "Exiting runner...",
    ]


def test_a_session_conflict_that_ends_is_survived(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    service.failures["POST /session"] = [409, 409]
    job = service.queue("true")
    process = runner.start()
    assert process.wait() == 0
    assert job.result == "Succeeded"
    process.wait_for(rf"^{UTC}: Runner reconnected\.$")


def test_an_unreachable_service_is_tried_again(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    service.failures["POST /token"] = [502, 503]
    service.failures["POST /session"] = [500]
    job = service.queue("true")
    process = runner.start()
    assert process.wait() == 0
    assert job.result == "Succeeded"
    errors = [line for line in process.lines if "connect error" in line]
    assert len(errors) == 1
    assert re.fullmatch(rf"{UTC}: Runner connect error: .*502.*\. Retrying until reconnected\.", errors[0])
    process.wait_for(rf"^{UTC}: Runner reconnected\.$")


@pytest.mark.parametrize("call", ["POST /session", "GET /message"])
@pytest.mark.parametrize(("asked", "code"), [("", 0), ("1", 7)])
def test_a_refused_version_ends_the_runner(runner: Runner, service: Service, call: str, asked: str, code: int) -> None:
    runner.install(service.register())
    service.failures[call] = [403]
    process = runner.start(ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=asked)
    assert process.wait() == code
    process.wait_for("^An error occurred: 403 ")
    said = "deprecated version exit code: 7." if asked else "terminated error, stop the service, no retry needed."
    assert f"Runner listener exit with {said}" in process.lines


# While it listens


def test_a_runner_deleted_while_idle_cleans_up_and_ends(runner: Runner, service: Service) -> None:
    registration = service.register()
    runner.install(registration)
    process = runner.start()
    process.wait_for(LISTENING)
    service.delete(registration)
    assert process.wait() == 0
    at = process.lines.index("The runner no longer exists on the server. Cleaning up local configuration.")
    assert process.lines[at + 1 :] == [
        "√ Removed .credentials",
        "√ Removed .runner",
        "Runner listener exit with 0 return code, stop the service, no retry needed.",
        "Exiting runner...",
    ]
    assert runner.files == set()


def test_a_lost_session_is_opened_anew(runner: Runner, service: Service) -> None:
    registration = service.register()
    runner.install(registration)
    process = runner.start()
    process.wait_for(LISTENING)
    registration.session = None
    service.wait(lambda: len(service.sessions) == 2)
    job = service.queue("true")
    assert process.wait() == 0
    assert job.result == "Succeeded"


def test_an_expired_token_is_replaced(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    service.failures["GET /message"] = [401]
    job = service.queue("true")
    process = runner.start()
    assert process.wait() == 0
    assert job.result == "Succeeded"
    assert "connect error" not in process.output


def test_ten_failed_message_calls_restart_the_listener(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    service.failures["GET /message"] = [500] * 10
    job = service.queue("true")
    process = runner.start()
    assert process.wait() == 0
    assert job.result == "Succeeded"
    assert "Runner listener exit with retryable error, re-launch runner in 5 seconds." in process.lines
    assert process.lines.count("Restarting runner...") == 1
    assert sum("Runner connect error" in line for line in process.lines) == 1


def test_a_job_that_is_not_ours_any_more_ends_an_ephemeral_runner(runner: Runner, service: Service) -> None:
    """As of 2.336.0 (#4540); older ones became zombies, see the fault ``skip-job``."""
    runner.install(service.register())
    service.failures["POST /jobs/job-0/acknowledge"] = [404]
    job = service.queue("true")
    process = runner.start()
    assert process.wait() == 0
    assert job.result is None
    assert "Running job" not in process.output
    assert runner.files == set()


def test_an_update_restarts_the_runner_as_the_new_version(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    process = runner.start()
    process.wait_for(LISTENING)
    service.send("RunnerRefreshMessage", {"targetVersion": "2.337.0"})
    process.wait_for("^Current runner version: '2.337.0'$")
    job = service.queue("true")
    assert process.wait() == 0
    assert job.result == "Succeeded"
    assert [session["version"] for session in service.sessions] == ["2.336.0", "2.337.0"]
    at = process.lines.index("Runner update in progress, do not shutdown runner.")
    assert process.lines[at + 1] == "Downloading 2.337.0 runner"
    assert "Update finished successfully." in process.lines


def test_a_runner_that_may_not_update_says_so(runner: Runner, service: Service) -> None:
    runner.install(service.register(DisableUpdate=True))
    runner.start().wait_for(LISTENING)
    assert service.sessions[0]["disableUpdate"] is True


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority nobody knows."""
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Service]:
    """A service with a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    service = Service(tls=context)
    yield service
    service.stop()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_named_authority_is_trusted(
    runner: Runner, secure: Service, authority: trustme.CA, tmp_path: Path, variable: str
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    job = secure.queue("true")
    assert runner.start("--jitconfig", secure.register().blob, **{variable: str(tmp_path / "ca.pem")}).wait() == 0
    assert job.result == "Succeeded"


def test_an_unknown_authority_is_not_trusted(runner: Runner, secure: Service) -> None:
    process = runner.start("--jitconfig", secure.register().blob)
    process.wait_for("Runner connect error: .*CERTIFICATE_VERIFY_FAILED")
    assert secure.requests == []


# Faults on demand


@pytest.mark.parametrize(("code", "becomes"), [(1, 0), (5, 0), (7, 7)])
def test_fault_exit(runner: Runner, service: Service, code: int, becomes: int) -> None:
    runner.install(service.register())
    process = runner.start(STANDIN_FAULTS=f"exit={code}", ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE="1")
    assert process.wait() == becomes
    assert service.requests == []


def test_fault_exit_2_loops(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    runner.start(STANDIN_FAULTS="exit=2").wait_for("^Restarting runner...$", count=3)


def test_fault_never_connect(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    process = runner.start(STANDIN_FAULTS="never-connect", RUNNER_MANUALLY_TRAP_SIG="1")
    process.wait_for(f"^{UTC}: Runner connect error: .* Retrying until reconnected.$")
    process.send(signal.SIGTERM)
    assert process.wait() == 143
    assert service.requests == []


def test_fault_slow_start(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    environ = {"ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT": "1", "RUNNER_MANUALLY_TRAP_SIG": "1"}
    process = runner.start(STANDIN_FAULTS="slow-start=3600", **environ)
    process.wait_for(r"\[RUNNER .* Slow start: 3600 s$")
    process.send(signal.SIGTERM)
    assert process.wait() == 143
    assert service.requests == []
    process = runner.start(STANDIN_FAULTS='{"slow-start": 0.1}', **environ)
    process.wait_for(LISTENING)
    assert next(line for line in process.lines if line.endswith("Slow start: 0.1 s"))


def test_fault_hang_kills_the_worker_and_exits_as_if_all_were_well(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    job = service.queue("true")
    process = runner.start(STANDIN_FAULTS="hang")
    assert process.wait() == 0
    process.wait_for("Running job: build")
    assert "completed with result" not in process.output
    assert "Runner listener exit with 0 return code, stop the service, no retry needed." in process.lines
    assert (job.acknowledged, job.result, job.log) == (True, None, "")
    assert runner.files == set()


def test_fault_zombie_listens_on(runner: Runner, service: Service) -> None:
    registration = service.register()
    runner.install(registration)
    process = runner.start(
        STANDIN_FAULTS="zombie", ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT="1", RUNNER_MANUALLY_TRAP_SIG="1"
    )
    process.wait_for(LISTENING)
    service.delete(registration)
    process.wait_for("Retriable exception: ")
    assert "Runner.Listener" in runner.running().values()
    assert "no longer exists" not in process.output
    process.send(signal.SIGTERM)
    assert process.wait() == 143
    assert runner.files == FILES


def test_fault_skip_job_leaves_a_zombie(runner: Runner, service: Service) -> None:
    registration = service.register()
    runner.install(registration)
    job = service.queue("true")
    process = runner.start(STANDIN_FAULTS='["skip-job"]', ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT="1")
    process.wait_for(r"\[RUNNER .* Skipping message Job\.")
    service.delete(registration)
    process.wait_for("Retriable exception: ")
    assert "Runner.Listener" in runner.running().values()
    assert not job.acknowledged


def test_fault_update_loop(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    process = runner.start(STANDIN_FAULTS="update-loop")
    process.wait_for("^Restarting runner...$", count=2)
    process.wait_for("^Runner listener exit because of updating", count=2)


def test_a_fault_may_come_with_the_job(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    job = service.queue("true", env={"STANDIN_FAULTS": "hang"})
    assert runner.start().wait() == 0
    assert (job.acknowledged, job.result) == (True, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hnag", "unknown fault 'hnag'"),
        ("slow-start", "slow-start = '': wants a number from 0 (seconds)"),
        ("slow-start=soon", "slow-start = 'soon': wants a number from 0 (seconds)"),
        ("zombie=3", "zombie = '3': takes no value"),
        ('{"hang": -1}', "hang = '-1': wants a number from 0"),
        ("{hang", "not JSON"),
    ],
)
def test_a_bad_fault_is_refused(runner: Runner, service: Service, text: str, said: str) -> None:
    runner.install(service.register())
    process = runner.start(STANDIN_FAULTS=text)
    assert process.wait() == 0
    assert process.lines[0].startswith("An error occurred: STANDIN_FAULTS")
    assert said in process.lines[0]
    assert "Do: " in process.lines[0]
    assert service.requests == []


def test_a_bad_time_scale_is_refused(runner: Runner, service: Service) -> None:
    runner.install(service.register())
    process = runner.start(STANDIN_TIME_SCALE="0")
    assert process.wait() == 0
    assert process.lines[0].startswith("An error occurred: STANDIN_TIME_SCALE = '0'")


def test_no_output_holds_a_secret(runner: Runner, service: Service) -> None:
    registration = service.register()
    service.queue("true")
    process = runner.start("--jitconfig", registration.blob, ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT="1")
    assert process.wait() == 0
    logs = "".join(file.read_text() for file in (runner.root / "_diag").iterdir())
    key = json.loads(registration.files[".credentials_rsaparams"])
    for secret in (registration.blob, *registration.tokens, key["d"], key["p"]):
        assert secret not in process.output + logs
