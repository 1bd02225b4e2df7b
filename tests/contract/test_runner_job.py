# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner stand-in's worker: the job's environment, its steps and hooks, its log, its end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.doubles.runner.testing import UTC, Job, Process, Runner, Service

pytest_plugins = ["tests.doubles.runner.fixtures"]


def run(runner: Runner, service: Service, script: str, **environ: str) -> Job:
    """Run one job to its end and return it."""
    job = service.queue(script)
    runner.install(service.register())
    assert runner.start(**environ).wait() == 0
    return job


def start(runner: Runner, service: Service, script: str, **environ: str) -> tuple[Process, Job]:
    """Start a job and wait until it has printed ``ready``."""
    job = service.queue(script)
    runner.install(service.register())
    process = runner.start(**environ)
    service.wait(lambda: "ready" in job.lines)
    return process, job


def hook(path: Path, script: str) -> str:
    """Write a hook; it need not be executable."""
    path.write_text(script)
    path.chmod(stat.S_IRUSR)
    return str(path)


# Environment


def test_environment_of_a_job(runner: Runner, service: Service) -> None:
    job = service.queue("env", env={"FROM_WORKFLOW": "1", "GITHUB_REPOSITORY": "of/another"})
    runner.install(service.register("gh-runner-01-runner-1"))
    assert runner.start(OF_THE_RUNNER="2").wait() == 0
    environ = dict(line.partition("=")[::2] for line in job.lines)
    work = runner.root / "_work"
    expected = {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_JOB": "build",
        "GITHUB_REPOSITORY": "acme/app",
        "GITHUB_REPOSITORY_OWNER": "acme",
        "GITHUB_RUN_ID": "42",
        "GITHUB_WORKSPACE": str(work / "app" / "app"),
        "PWD": str(work / "app" / "app"),
        "RUNNER_NAME": "gh-runner-01-runner-1",
        "RUNNER_OS": "Linux",
        "RUNNER_TEMP": str(work / "_temp"),
        "RUNNER_TOOL_CACHE": str(work / "_tool"),
        "RUNNER_WORKSPACE": str(work / "app"),
        "FROM_WORKFLOW": "1",
        "OF_THE_RUNNER": "2",
    }
    assert {name: environ.get(name) for name in expected} == expected
    for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH"):
        assert environ[name].startswith(str(work / "_temp"))


@pytest.mark.parametrize("absolute", [False, True])
def test_the_work_folder_is_the_one_of_the_runner_file(
    runner: Runner, service: Service, tmp_path: Path, absolute: bool
) -> None:
    folder = str(tmp_path / "elsewhere") if absolute else "elsewhere"
    job = service.queue("pwd; touch marker")
    runner.install(service.register(WorkFolder=folder))
    assert runner.start().wait() == 0
    expected = (tmp_path if absolute else runner.root) / "elsewhere" / "app" / "app"
    assert job.lines == [str(expected)]
    assert (expected / "marker").exists()


def test_a_job_leaves_its_files_but_no_temporary_ones(runner: Runner, service: Service) -> None:
    job = run(runner, service, "touch marker $RUNNER_TEMP/marker; ls $RUNNER_TEMP | wc -l")
    assert job.result == "Succeeded"
    assert (runner.workspace / "marker").exists()
    assert not (runner.root / "_work" / "_temp").exists()


def test_a_job_has_no_input(runner: Runner, service: Service) -> None:
    assert run(runner, service, "cat; echo end").lines == ["end"]


# Result


@pytest.mark.parametrize(
    ("script", "result", "log"),
    [
        ("true", "Succeeded", []),
        ("exit 3", "Failed", ["Error: Process completed with exit code 3."]),
        ("false; echo not reached", "Failed", ["Error: Process completed with exit code 1."]),
        ("kill -9 $$", "Failed", ["Error: Process completed with exit code 137."]),
        ("echo $0 | grep -q '^/.*/_temp/.*\\.sh$'; [[ $- == *e* ]]", "Succeeded", []),
    ],
)
def test_result_of_a_job(runner: Runner, service: Service, script: str, result: str, log: list[str]) -> None:
    job = service.queue(script)
    runner.install(service.register())
    process = runner.start()
    assert process.wait() == 0
    assert (job.result, job.lines) == (result, log)
    process.wait_for(f"^{UTC}: Job build completed with result: {result}$")


def test_a_job_can_be_cancelled_by_the_service(runner: Runner, service: Service) -> None:
    process, job = start(runner, service, "trap 'echo stopping; exit 0' INT; echo ready; sleep 1000 & wait")
    job.cancel = True
    assert process.wait() == 0
    assert (job.result, job.lines) == ("Canceled", ["ready", "stopping"])
    process.wait_for("Job build completed with result: Canceled")
    assert runner.files == set(), "a cancelled job was a job: the runner is used up"


def test_a_job_that_the_service_gave_up_is_abandoned(runner: Runner, service: Service) -> None:
    process, job = start(runner, service, "echo ready; sleep 1000")
    job.lost = True
    assert process.wait() == 0
    assert job.result is None
    process.wait_for("Job build completed with result: Abandoned")


def test_a_running_job_is_renewed(runner: Runner, service: Service) -> None:
    process, job = start(runner, service, "mkfifo go; echo ready; read -r < go")
    service.wait(lambda: job.renewals >= 3)
    runner.go()
    assert process.wait() == 0
    assert job.result == "Succeeded"


def test_a_deregistered_runner_finishes_its_job(runner: Runner, service: Service) -> None:
    process, _job = start(runner, service, "mkfifo go; echo ready; read -r < go; touch done")
    (registration,) = service.registrations.values()
    service.delete(registration)
    service.wait(lambda: service.requests[-1] == "POST /token")  # a renewal was refused, and so was a new token
    runner.go()
    assert process.wait() == 0
    assert (runner.workspace / "done").exists()
    process.wait_for("Job build completed with result: Succeeded")


def test_a_result_that_is_not_taken_at_once_is_sent_again(runner: Runner, service: Service) -> None:
    service.failures["POST /jobs/job-0/complete"] = [502, 500, 503]
    assert run(runner, service, "true").result == "Succeeded"


# Log


def test_the_log_comes_line_by_line_while_the_job_runs(runner: Runner, service: Service) -> None:
    process, job = start(
        runner, service, "mkfifo go on; echo one; echo ready; read -r < go; echo two; read -r < on; printf three"
    )
    assert job.lines == ["one", "ready"]
    runner.go()
    service.wait(lambda: job.lines == ["one", "ready", "two"])
    assert job.result is None
    runner.go("on")
    assert process.wait() == 0
    assert job.lines == ["one", "ready", "two", "three"]
    assert "ready" not in process.output, "a job's output is no output of the runner"


def test_a_long_log_arrives_whole_and_in_order(runner: Runner, service: Service) -> None:
    job = run(runner, service, "seq 50000; seq 50001 50010 >&2")
    assert job.lines == [str(number) for number in range(1, 50011)]


def test_a_log_waits_for_the_service(runner: Runner, service: Service) -> None:
    service.failures["POST /jobs/job-0/log"] = [502, 503]
    assert run(runner, service, "echo one; echo two").lines == ["one", "two"]


def test_a_log_need_not_be_text(runner: Runner, service: Service) -> None:
    assert run(runner, service, "printf 'a\\xffb\\n√\\n'").lines == ["a\ufffdb", "√"]


def test_a_process_left_behind_does_not_hold_up_the_job(runner: Runner, service: Service) -> None:
    job = run(runner, service, "setsid sleep 1000 & echo $! > pid; echo over")
    assert (job.result, job.lines) == ("Succeeded", ["over"])
    assert int((runner.workspace / "pid").read_text()) in runner.running()


# Hooks


def test_hooks_run_before_and_after_the_job(runner: Runner, service: Service, tmp_path: Path) -> None:
    job = run(
        runner,
        service,
        "echo the job",
        ACTIONS_RUNNER_HOOK_JOB_STARTED=hook(tmp_path / "started.sh", "echo before $GITHUB_REPOSITORY"),
        ACTIONS_RUNNER_HOOK_JOB_COMPLETED=hook(tmp_path / "completed.sh", "echo after $RUNNER_NAME; pwd"),
    )
    assert job.result == "Succeeded"
    assert job.lines == [
        "A job started hook has been configured by the self-hosted runner administrator",
        "before acme/app",
        "the job",
        "A job completed hook has been configured by the self-hosted runner administrator",
        "after runner-1",
        str(runner.workspace),
    ]


def test_a_failing_started_hook_fails_the_job(runner: Runner, service: Service, tmp_path: Path) -> None:
    job = run(
        runner,
        service,
        "echo the job",
        ACTIONS_RUNNER_HOOK_JOB_STARTED=hook(tmp_path / "started.sh", "false; echo not reached"),
        ACTIONS_RUNNER_HOOK_JOB_COMPLETED=hook(tmp_path / "completed.sh", "echo after"),
    )
    assert job.result == "Failed"
    assert "the job" not in job.lines
    assert "not reached" not in job.lines
    assert "after" in job.lines


def test_a_failing_completed_hook_fails_the_job(runner: Runner, service: Service, tmp_path: Path) -> None:
    path = hook(tmp_path / "completed.sh", "exit 2")
    job = run(runner, service, "echo the job", ACTIONS_RUNNER_HOOK_JOB_COMPLETED=path)
    assert job.result == "Failed"
    assert "the job" in job.lines


def test_a_missing_hook_fails_the_job(runner: Runner, service: Service, tmp_path: Path) -> None:
    job = run(runner, service, "echo the job", ACTIONS_RUNNER_HOOK_JOB_STARTED=str(tmp_path / "none.sh"))
    assert job.result == "Failed"
    assert "File doesn't exist" in job.lines
    assert "the job" not in job.lines


def test_the_completed_hook_runs_after_a_cancelled_job(runner: Runner, service: Service, tmp_path: Path) -> None:
    path = hook(tmp_path / "completed.sh", "echo after")
    script = "trap 'exit 0' INT; echo ready; sleep 1000 & wait"
    process, job = start(runner, service, script, ACTIONS_RUNNER_HOOK_JOB_COMPLETED=path)
    job.cancel = True
    assert process.wait() == 0
    assert job.result == "Canceled"
    assert job.lines[-1] == "after"


# Faults on demand


def test_fault_fill_disk_stops_at_its_limit(runner: Runner, service: Service) -> None:
    job = run(runner, service, "du -m ../../../_diag/fill | cut -f1", STANDIN_FAULTS="fill-disk=2")
    assert (job.result, job.lines) == ("Succeeded", ["2"])


def test_fault_fill_disk_fails_the_job_when_there_is_no_room(runner: Runner, service: Service) -> None:
    job = service.queue("echo the job")
    runner.install(service.register())
    (runner.root / "limited.sh").write_text("#!/usr/bin/env bash\nulimit -f 1024 && exec ./run.sh\n")  # KiB a file
    (runner.root / "limited.sh").chmod(0o755)
    process = runner.start(program="limited.sh", STANDIN_FAULTS="fill-disk=2")
    assert process.wait() == 0
    assert (job.result, job.log) == ("Failed", "")
    process.wait_for("Job build completed with result: Failed")
