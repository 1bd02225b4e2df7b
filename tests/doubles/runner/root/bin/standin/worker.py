# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worker: really runs one job's script, tells the service what it prints and how it ended.

The listener starts it as ``Runner.Worker spawnclient``, writes the job as one line of JSON to its standard input, and
``cancel`` if it shall end early; the end of that input is the end of the listener, and of the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from pathlib import Path
from types import FrameType
from typing import Any

from . import settings as settings_
from .console import Console
from .faults import Faults, time_scale
from .service import JobGone, RegistrationGone, Service, ServiceError, architecture, retry

#: The worker's exit codes (TaskResultUtil.cs): 100 and the result's number. Any other is a crash.
RESULT_CODES = {"Succeeded": 100, "Failed": 102, "Canceled": 103, "Abandoned": 105}

#: Seconds from SIGINT to SIGTERM and from there to SIGKILL when a step is cancelled (ProcessInvoker.cs).
INTERRUPT_LIMIT, TERMINATE_LIMIT = 7.5, 2.5

#: Seconds between two attempts to reach the service, and how often after the job's end.
REPORT_RETRY, REPORT_ATTEMPTS = 5, 12


class Log:
    """The job's log, sent in order by a thread of its own, so that the script never waits for the service.

    Args:
        service: where it goes.
        job: the job's id.
        pause: seconds between two attempts.
    """

    def __init__(self, service: Service, job: str, pause: float) -> None:
        self._service, self._job, self._pause = service, job, pause
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Add a line."""
        self._lines.put(text)

    def close(self) -> None:
        """Return when all is sent, or given up."""
        self._closing.set()
        self._lines.put(None)
        self._thread.join()

    def _send_all(self) -> None:
        last = False
        while not last:
            lines = [self._lines.get()]
            while not self._lines.empty():
                lines.append(self._lines.get())
            last = None in lines
            text = "".join(f"{line}\n" for line in lines if line is not None)
            if text and not self._send(text):
                return

    def _send(self, text: str) -> bool:
        attempts = 0
        while attempts < REPORT_ATTEMPTS:
            try:
                self._service.log(self._job, text)
                return True
            except (JobGone, RegistrationGone):
                return False
            except ServiceError:
                # While the job runs its log waits for the service as long as it takes.
                attempts += self._closing.is_set()
                time.sleep(self._pause)
        return False


class Worker:
    """One job.

    Args:
        root: the runner's root.
        console: its diagnostic log.
        job: the job as the service gave it.
        faults: what shall go wrong.
        scale: what every waiting time is multiplied with.
    """

    def __init__(self, root: Path, console: Console, job: dict[str, Any], faults: Faults, scale: float) -> None:
        self.root = root
        self.console = console
        self.job = job
        self.faults = faults
        self.scale = scale
        self.settings = settings_.load(root)
        self.service = Service(self.settings, settings_.load_credentials(root), settings_.version(root))
        self.work = root / self.settings.work_folder
        repository = str(job["repository"]).rpartition("/")[2]
        self.workspace = self.work / repository / repository
        self.temp = self.work / "_temp"
        self._lock = threading.Lock()
        self._cancelled = False
        self._step: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Run the job and report it. Returns the exit code."""
        self.log = Log(self.service, self.job["id"], REPORT_RETRY * self.scale)
        result = self._steps()
        self.log.close()
        try:
            retry(
                lambda: self.service.complete(self.job["id"], result),
                seconds=REPORT_RETRY * self.scale,
                attempts=REPORT_ATTEMPTS,
            )
        except JobGone:
            result = "Abandoned"
        except (RegistrationGone, ServiceError) as error:
            self.console.trace(f"The result was not reported: {error}", level="ERR ")
        self.console.trace("Job completed.")
        return RESULT_CODES[result]

    def cancel(self) -> None:
        """End the running step, ever less politely; further steps but the completed hook are left out."""
        if "ignore-term" in self.faults:
            return
        with self._lock:
            self._cancelled = True
            step = self._step
        if step is None:
            return
        for number, limit in ((signal.SIGINT, INTERRUPT_LIMIT), (signal.SIGTERM, TERMINATE_LIMIT)):
            step.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                step.wait(limit * self.scale)
                return
        step.kill()

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """INT comes to the whole process group, the step's shell too: the listener cancels, and the worker goes on."""
        if number == signal.SIGINT and "ignore-term" not in self.faults:
            self._cancelled = True

    # Steps

    def _steps(self) -> str:
        environ = self._prepare()
        if "fill-disk" in self.faults:
            self._fill_disk()
        script = self.temp / f"{uuid.uuid4()}.sh"
        script.write_text(str(self.job["script"]), encoding="utf-8")
        ok = self._hook("started", environ) and self._run(["bash", "-e", str(script)], environ)
        # What came in while the script ran decides; the hook below runs in any case.
        cancelled = self._cancelled
        ok = self._hook("completed", environ) and ok
        self._clear(self.temp)
        return "Canceled" if cancelled else "Succeeded" if ok else "Failed"

    def _prepare(self) -> dict[str, str]:
        """Lay out the work folder and make the steps' environment."""
        self._clear(self.temp)
        for folder in (self.workspace, self.temp, self.work / "_tool", self.work / "_actions"):
            folder.mkdir(parents=True, exist_ok=True)
        event = self.temp / "_github_workflow" / "event.json"
        event.parent.mkdir()
        event.write_text(json.dumps({"repository": {"full_name": self.job["repository"]}}), encoding="utf-8")
        commands = self.temp / "_runner_file_commands"
        commands.mkdir()
        files = {}
        for name in ("ENV", "OUTPUT", "PATH", "STATE", "STEP_SUMMARY"):
            file = commands / f"{name.lower()}_{uuid.uuid4()}"
            file.touch()
            files[f"GITHUB_{name}"] = str(file)
        return {
            **os.environ,
            **{name: str(value) for name, value in (self.job.get("env") or {}).items()},
            **files,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_JOB": str(self.job["name"]),
            "GITHUB_REPOSITORY": str(self.job["repository"]),
            "GITHUB_REPOSITORY_OWNER": str(self.job["repository"]).partition("/")[0],
            "GITHUB_RUN_ID": str(self.job["run_id"]),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_ARCH": architecture(),
            "RUNNER_ENVIRONMENT": "self-hosted",
            "RUNNER_NAME": self.settings.agent_name,
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_TOOL_CACHE": os.environ.get("AGENT_TOOLSDIRECTORY") or str(self.work / "_tool"),
            "RUNNER_WORKSPACE": str(self.workspace.parent),
        }

    def _hook(self, stage: str, environ: dict[str, str]) -> bool:
        """Run the job's hook of the administrator's, if there is one. Whether the job may succeed."""
        path = os.environ.get(f"ACTIONS_RUNNER_HOOK_JOB_{stage.upper()}")
        if not path:
            return True
        self.log.line(f"A job {stage} hook has been configured by the self-hosted runner administrator")
        if not os.path.exists(path):
            self.log.line("File doesn't exist")
            return False
        return self._run(["bash", "-e", path], environ, always=True)

    def _run(self, command: list[str], environ: dict[str, str], always: bool = False) -> bool:
        """Run a step, log what it prints as it prints it. Whether it ended with 0.

        Args:
            command: the step.
            environ: its environment.
            always: run it in a cancelled job too.
        """
        with self._lock:
            if self._cancelled and not always:
                return False
            step = self._step = subprocess.Popen(
                command,
                cwd=self.workspace,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # In the listener's process group, as in the real one: a signal to the group reaches the step too.
                start_new_session="ignore-term" in self.faults,
            )
        ended, end = os.pipe()
        waiter = threading.Thread(target=wait_and_close, args=(step, end))
        waiter.start()
        assert step.stdout is not None
        self._read(step.stdout.fileno(), ended)
        waiter.join()
        step.stdout.close()
        os.close(ended)
        with self._lock:
            self._step = None
        # A signal's number counts from 128 on, as in a shell and in .NET.
        code = step.returncode if step.returncode >= 0 else 128 - step.returncode
        if code != 0:
            self.log.line(f"Error: Process completed with exit code {code}.")
        return code == 0

    def _read(self, output: int, ended: int) -> None:
        """Log the lines of a pipe until its end, or until the step has: what it left running may hold the pipe open."""
        os.set_blocking(output, False)
        rest = b""
        over = False
        while not over:
            ready, _writable, _exceptional = select.select([output, ended], [], [])
            # All that the step wrote is in the pipe when it has ended: empty it once more, then leave.
            over = ended in ready
            while True:
                try:
                    data = os.read(output, 65536)
                except BlockingIOError:
                    break
                if not data:
                    over = True
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.log.line(line.decode(errors="replace"))
        if rest:
            self.log.line(rest.decode(errors="replace"))

    def _fill_disk(self) -> None:
        """Write up to the given number of MiB where the runner keeps its log.

        Raises:
            OSError: the disk is full.
        """
        with open(self.root / "_diag" / "fill", "wb", buffering=0) as file:
            for _written in range(int(self.faults["fill-disk"])):
                file.write(os.urandom(1 << 20))

    @staticmethod
    def _clear(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def wait_and_close(process: subprocess.Popen[bytes], end: int) -> None:
    """Make the end of a process readable: at the other end of this pipe."""
    process.wait()
    os.close(end)


def main(arguments: list[str]) -> int:
    """Run the job that the listener hands over, and return its exit code."""
    root = Path(__file__).resolve().parents[2]
    console = Console("Worker", root, os.environ)
    # Until there is a job: signals come to the whole process group, the listener says what they mean.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    console.trace("Waiting to receive the job message from the channel.")
    line = sys.stdin.readline()
    if not line:
        return 1
    message = json.loads(line)
    console.performance(f"WorkerJobMessageReceived_{message['job']['id']}")
    worker = Worker(root, console, message["job"], Faults(message["faults"]), time_scale(os.environ))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, worker.interrupted)
    threading.Thread(target=obey, args=(worker,), daemon=True).start()
    try:
        code = worker.run()
    except Exception:  # whatever it is, the listener reads it from the output, and the job has failed
        traceback.print_exc(file=sys.stdout)
        code = 1
    sys.stdout.flush()
    # The other thread still reads standard input, which an orderly end of the interpreter cannot bear.
    os._exit(code)


def obey(worker: Worker) -> None:
    """Do what the listener says until it is gone."""
    for line in sys.stdin:
        if line.strip() == "cancel":
            worker.cancel()
    os._exit(1)
