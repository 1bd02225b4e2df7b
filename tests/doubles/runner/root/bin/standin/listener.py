# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The listener: opens the session, waits for a job, has the worker run it, ends with the real runner's exit codes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import random
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from . import faults as faults_
from . import registration
from . import settings as settings_
from .console import Console, is_true, utcnow
from .faults import Faults
from .service import (
    JobGone,
    RegistrationGone,
    Service,
    ServiceError,
    SessionConflict,
    SessionGone,
    VersionRefused,
    retry,
)
from .worker import RESULT_CODES

# Exit codes, and times in seconds, of the real runner 2.336.0 (its Constants, BrokerMessageListener, JobDispatcher).
SUCCESS, TERMINATED, RETRYABLE, UPDATING, RUN_ONCE_UPDATING, SESSION_CONFLICT = 0, 1, 2, 3, 4, 5
VERSION_DEPRECATED = 7
SESSION_RETRY, SESSION_CONFLICT_LIMIT = 30, 240
MESSAGE_RETRY, MESSAGE_RETRY_LATER = (15, 30), (30, 60)
MESSAGE_ERRORS_LATER, MESSAGE_ERRORS_LIMIT = 5, 10
HANG_LIMIT = 30
CANCEL_LIMIT = 300
UNLOAD_LIMIT = 30

#: Seconds between two renewals of a job (tests/doubles/README.md); not scaled, the service counts on them.
RENEW = 2.0

# What can happen to a running job.
EXITED, SHUTDOWN, CANCELLED, LOST = "worker exited", "shutdown", "cancelled", "lost"
RESULT_IF_KILLED = {SHUTDOWN: "Canceled", CANCELLED: "Canceled", LOST: "Abandoned"}


class Shutdown(BaseException):
    """A signal came while the listener waited."""


class Leave(Exception):
    """The listener ends with this exit code; all is said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Listener:
    """One run of the listener.

    Args:
        root: the runner's root.
        console: where it speaks.
        faults: what shall go wrong.
        scale: what every waiting time is multiplied with.
    """

    def __init__(self, root: Path, console: Console, faults: Faults, scale: float) -> None:
        self.root = root
        self.console = console
        self.faults = faults
        self.scale = scale
        self._shutdown = False
        self._waiting = False
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._session: str | None = None
        self._forget = False  # whether the local files go at the end

    def run(self) -> int:
        """Serve as a runner; an ephemeral one for one job. Returns the exit code.

        Raises:
            NotConfigured, VersionRefused, ServiceError
        """
        self._handle_signals()
        self.settings = settings_.load(self.root)
        self.work = self.root / self.settings.work_folder
        try:
            self.work.mkdir(parents=True, exist_ok=True)
        except OSError:
            self.console.error(f"Fail to create and validate runner's work directory '{self.work}'.")
            return TERMINATED
        self.version = settings_.version(self.root)
        self.service = Service(self.settings, settings_.load_credentials(self.root), self.version)
        try:
            self._fail_at_start()
            self._connect()
            self.console.performance("SessionCreated")
            self.console.line(f"Current runner version: '{self.version}'")
            self.console.line(f"{utcnow()}: Listening for Jobs")
            return self._listen()
        except Leave as leave:
            return leave.code
        except Shutdown:
            self.console.trace("Runner execution been cancelled.")
            return SUCCESS
        finally:
            self._close()

    # Signals

    def _handle_signals(self) -> None:
        """INT and TERM mean shutdown. One that is ignored from the start stays so, as .NET keeps it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if "ignore-term" in self.faults:
            return
        if number == signal.SIGINT:
            os.write(1, b"Exiting...\n")  # not print: the signal may have come in the midst of one
        elif not self._shutdown:
            # The runtime waits this long for the end of what runs, then goes.
            threading.Thread(target=self._unload, daemon=True).start()
        if not self._shutdown:
            self._shutdown = True
            self._events.put(SHUTDOWN)
            if self._waiting:
                raise Shutdown

    def _unload(self) -> None:
        time.sleep(UNLOAD_LIMIT * self.scale)
        os._exit(128 + signal.SIGTERM)

    @contextlib.contextmanager
    def _until_shutdown(self) -> Iterator[None]:
        """What is waited for in here is given up at a signal."""
        self._waiting = True
        try:
            if self._shutdown:
                raise Shutdown
            yield
        finally:
            self._waiting = False

    def _sleep(self, seconds: float) -> None:
        with self._until_shutdown():
            time.sleep(seconds)

    # Session

    def _fail_at_start(self) -> None:
        if "exit" in self.faults:
            raise Leave(int(self.faults["exit"]))
        if "slow-start" in self.faults:
            self.console.trace(f"Slow start: {self.faults['slow-start']:g} s")
            self._sleep(self.faults["slow-start"])
        if "never-connect" in self.faults:
            self._say_connect_error("fault never-connect")
            while True:
                self._sleep(SESSION_RETRY)

    def _say_connect_error(self, message: object) -> None:
        self.console.error(f"{utcnow()}: Runner connect error: {message}. Retrying until reconnected.")

    def _connect(self, again: bool = False) -> None:
        """Open the session, for as long as it takes.

        Raises:
            Leave, VersionRefused; RegistrationGone if it was open before (again).
        """
        failing, conflicts = False, 0
        while True:
            self.console.line()
            self.console.success("Connected to GitHub")
            self.console.line()
            try:
                with self._until_shutdown():
                    self._session = self.service.open_session()
                if failing:
                    self.console.line(f"{utcnow()}: Runner reconnected.")
                return
            except RegistrationGone as error:
                if again:
                    raise
                self._say_registration_gone(error)
                raise Leave(TERMINATED) from error
            except SessionConflict as error:
                self.console.error("A session for this runner already exists.")
                conflicts += 1
                if conflicts > 1 and conflicts * SESSION_RETRY >= SESSION_CONFLICT_LIMIT:
                    self.console.error(
                        f"Stop retry on SessionConflictException after retried for {SESSION_CONFLICT_LIMIT} seconds."
                    )
                    self.console.error(f"Failed to create session. {error}")
                    raise Leave(SESSION_CONFLICT) from error
                cause: Exception = error
            except ServiceError as error:
                cause = error
            if not failing:
                self._say_connect_error(cause)
                failing = True
            self._sleep(SESSION_RETRY * self.scale)

    def _say_registration_gone(self, error: RegistrationGone) -> None:
        if error.at_token:
            self.console.error(
                "Failed to create a session. The runner registration has been deleted from the server, please"
                " re-configure. Runner registrations are automatically deleted for runners that have not connected to"
                " the service recently."
            )
        else:
            self.console.error("The runner no longer exists on the server. Please reconfigure the runner.")
            self.console.error(f"Failed to create session. {error}")

    def _close(self) -> None:
        if self._session is not None:
            with contextlib.suppress(RegistrationGone, SessionGone, ServiceError):
                self.service.close_session(self._session)
        if self._forget:
            settings_.remove(self.root, self.console)

    # Messages

    def _listen(self) -> int:
        errors = 0
        while True:
            try:
                message = self._next_message()
                errors = 0
            except RegistrationGone as error:
                if "zombie" in self.faults or "skip-job" in self.faults:
                    self.console.trace(f"Retriable exception: {error}")
                    while True:
                        self._sleep(SESSION_RETRY)
                self.console.error("The runner no longer exists on the server. Cleaning up local configuration.")
                self._session, self._forget = None, True
                return SUCCESS
            except ServiceError as error:
                errors += 1
                if errors >= MESSAGE_ERRORS_LIMIT:
                    raise
                if errors == 1:
                    self._say_connect_error(error)
                limits = MESSAGE_RETRY if errors <= MESSAGE_ERRORS_LATER else MESSAGE_RETRY_LATER
                self._sleep(random.uniform(*limits) * self.scale)
                continue
            if message is None:
                if "update-loop" in self.faults:
                    return self._update(self.version)
                continue
            self.console.performance(f"MessageReceived_{message['messageType']}")
            code = self._handle(message["messageType"], message["body"])
            if code is not None:
                return code

    def _next_message(self) -> dict[str, Any] | None:
        if "update-loop" in self.faults:
            return None
        try:
            if self._session is None:
                raise SessionGone("no session")
            with self._until_shutdown():
                return self.service.next_message(self._session)
        except SessionGone as error:
            if "zombie" in self.faults:
                raise RegistrationGone(str(error)) from error
            self._session = None
            self._connect(again=True)
            return None

    def _handle(self, kind: str, body: dict[str, Any]) -> int | None:
        """Do what a message says. Returns the exit code if the listener shall end."""
        if kind == "RunnerRefreshMessage":
            return self._update(body["targetVersion"])
        if kind != "RunnerJobRequest":
            self.console.trace(f"Received message with unsupported message type {kind}.", level="ERR ")
            return None
        if "skip-job" in self.faults:
            self.console.trace(f"Skipping message Job. Job message already acquired '{body['id']}'.")
            return None
        try:
            job = retry(lambda: self.service.acknowledge(body["id"]), seconds=5 * self.scale)
        except JobGone as error:
            self.console.trace(f"Acknowledge returned job-not-found for runner request '{body['id']}': {error}")
            if not self.settings.ephemeral:
                return None
            self._forget = True
            return SUCCESS
        except (RegistrationGone, ServiceError) as error:
            self.console.trace(f"Caught exception from acquiring job message: {error}", level="ERR ")
            return None
        self.faults |= Faults.parse(str((job.get("env") or {}).get("STANDIN_FAULTS", "")))
        result = self._run_job(job)
        if self._shutdown:
            return SUCCESS
        if not self.settings.ephemeral:
            return None
        self._forget = True
        if is_true(os.environ, "ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED"):
            return RESULT_CODES[result]
        return SUCCESS

    def _update(self, target: str) -> int:
        """Become another version. There is nothing to fetch: the version's name is all that differs."""
        self.console.line("Runner update in progress, do not shutdown runner.")
        self.console.line(f"Downloading {target} runner")
        self.console.line("Waiting for current job finish running.")
        self.console.line("Generate and execute update script.")
        (self.root / "bin" / "version.txt").write_text(f"{target}\n", encoding="ascii")
        (self.root / "update.finished").touch()
        self.console.line("Runner will exit shortly for update, should be back online within 10 seconds.")
        self.console.line("Runner update process finished.")
        return RUN_ONCE_UPDATING if self.settings.ephemeral else UPDATING

    # Job

    def _run_job(self, job: dict[str, Any]) -> str:
        """Have a worker run the job, renew it meanwhile. Returns the result."""
        self.console.line(f"{utcnow()}: Running job: {job['name']}")
        try:
            self.service.renew(job["id"])
        except JobGone:
            self.console.trace("Unable to renew job request for the first time, stop dispatching job to worker.")
            return "Abandoned"
        except (RegistrationGone, ServiceError) as error:
            self.console.trace(f"Renew failed: {error}", level="ERR ")
        worker = subprocess.Popen(
            [self.root / "bin" / "Runner.Worker", "spawnclient", "0", "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=self.root / "bin",
        )
        over = threading.Event()
        threads = [
            threading.Thread(target=self._watch, args=(worker,), daemon=True),
            threading.Thread(target=self._renew, args=(job["id"], over), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            if "hang" in self.faults:
                return self._let_hang(worker)
            tell(worker, json.dumps({"job": job, "faults": dict(self.faults.values)}))
            return self._await(worker, job)
        finally:
            over.set()
            for thread in threads:
                thread.join()
            with contextlib.suppress(OSError):
                worker.stdin.close()  # type: ignore[union-attr]  # it is a pipe, see above

    def _await(self, worker: subprocess.Popen[str], job: dict[str, Any]) -> str:
        cause = None
        kill: threading.Timer | None = None
        while (event := self._events.get()) != EXITED:
            if cause is None:
                cause = event
                self.console.trace(f"Send job cancellation message to worker for job {job['id']}: {cause}.")
                tell(worker, "cancel")
                if cause != SHUTDOWN:  # at shutdown the worker is waited for without end
                    kill = threading.Timer(CANCEL_LIMIT * self.scale, worker.kill)
                    kill.start()
        if kill:
            kill.cancel()
        result = next((name for name, code in RESULT_CODES.items() if code == worker.returncode), None)
        if result is None:
            result = RESULT_IF_KILLED.get(cause or "", "Failed")
            self.console.trace(f"Return code {worker.returncode} indicate worker encounter an app crash.", level="ERR ")
            if result != "Abandoned":
                with contextlib.suppress(JobGone, RegistrationGone, ServiceError):
                    self.service.complete(job["id"], result)
        self.console.line(f"{utcnow()}: Job {job['name']} completed with result: {result}")
        return result

    def _let_hang(self, worker: subprocess.Popen[str]) -> str:
        """The worker never reads its message (run#4598): it is killed, and the service is told nothing."""
        time.sleep(self.faults["hang"] or HANG_LIMIT * self.scale)
        self.console.trace("Job request message sending been cancelled, kill running worker.")
        worker.kill()
        return "Failed"

    def _watch(self, worker: subprocess.Popen[str]) -> None:
        assert worker.stdout is not None
        for line in worker.stdout:
            if self.console.log_to_stdout:
                print(line, end="", flush=True)
        worker.wait()
        self._events.put(EXITED)

    def _renew(self, job: str, over: threading.Event) -> None:
        while not over.wait(RENEW):
            try:
                if self.service.renew(job):
                    self._events.put(CANCELLED)
            except JobGone:
                self._events.put(LOST)
                return
            except (RegistrationGone, ServiceError) as error:
                self.console.trace(f"Renew failed: {error}", level="ERR ")


def tell(worker: subprocess.Popen[str], line: str) -> None:
    """Send the worker a line; one that has ended does not hear it."""
    assert worker.stdin is not None
    with contextlib.suppress(OSError):
        worker.stdin.write(line + "\n")
        worker.stdin.flush()


def parse(arguments: list[str], inputs: dict[str, str], console: Console) -> argparse.Namespace:
    """Read the command line; what it does not give may come from the inputs. Unknown words are told and passed over."""
    parser = argparse.ArgumentParser(prog="Runner.Listener", allow_abbrev=False)
    parser.add_argument("command", nargs="?", choices=("configure", "remove", "run", "warmup"))
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--local", action="store_true")
    parser.add_argument("--unattended", action="store_true")
    for value in ("jitconfig", "startuptype", "url", "token", "pat", "name", "labels", "runnergroup", "work"):
        parser.add_argument(f"--{value}", nargs="?", default=inputs.get(value))
    for flag in ("ephemeral", "replace", "disableupdate", "no-default-labels", "once"):
        parser.add_argument(f"--{flag}", action="store_true", default=inputs.get(flag, "").lower() == "true")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        console.error(
            f"Unrecognized command-line input arguments for command {options.command}: '{', '.join(unknown)}'."
            " For usage refer to: .\\config.cmd --help or ./config.sh --help"
        )
    return options


def main(arguments: list[str]) -> int:
    """Run the listener and return its exit code."""
    root = Path(__file__).resolve().parents[2]
    settings_.load_environment(root, os.environ)
    inputs = settings_.take_inputs(os.environ)
    console = Console("Runner", root, os.environ)
    options = parse(arguments, inputs, console)
    if options.version:
        console.line(settings_.version(root))
        return SUCCESS
    if options.command in ("configure", "remove"):
        return registration.main(options.command, root, console, options, faults_.time_scale(os.environ))
    if options.command != "run":
        return SUCCESS
    if options.jitconfig:
        try:
            settings_.unpack(options.jitconfig, root)
        except (OSError, ValueError) as error:
            console.error(str(error))
            return TERMINATED
    try:
        scale = faults_.time_scale(os.environ)
        return Listener(root, console, Faults.parse(os.environ.get("STANDIN_FAULTS", "")), scale).run()
    except (settings_.NotConfigured, faults_.BadFault) as error:
        console.error(f"An error occurred: {error}")
        return TERMINATED
    except VersionRefused as error:
        console.error(f"An error occurred: {error}")
        ask = is_true(os.environ, "ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE")
        return VERSION_DEPRECATED if ask else TERMINATED
    except Exception as error:  # the real one calls whatever it did not expect retryable
        console.error(f"An error occurred: {error}")
        console.trace(traceback.format_exc(), level="ERR ")
        return RETRYABLE
