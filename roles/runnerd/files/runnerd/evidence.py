# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a runner says and does, seen from the host: its output, and whether a worker process is there.

The landmarks are those of actions/runner 2.336.0 (Runner.cs, JobDispatcher.cs). A job can write to the same stream, so
they are hints; the worker process is not.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from .model import Output, Tri
from .provider import Provider, ProviderError

log = logging.getLogger("runnerd")

WORKER = "Runner.Worker"

#: Seconds until a broken stream of output is opened again; twice as long each time.
FIRST_RETRY, LONGEST_RETRY = 0.25, 2.0
#: How many of those that have ended are read at once: after a power cut it is all of them.
READ_AT_ONCE = 8

_STAMP = r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ: )?"
_VERSION = re.compile(r"^Current runner version: '([0-9]+(?:\.[0-9]+){2,3})'\s*$")
_LISTENING = re.compile(_STAMP + r"Listening for Jobs\s*$")
_JOB = re.compile(_STAMP + r"Running job: (.*)$")
_RESULT = re.compile(_STAMP + r"Job (.*) completed with result: (\w+)\s*$")
_MARKER = re.compile(r"^runnerd: job started: (.*)$")
_DELETED = re.compile(
    r"(The runner registration has been deleted from the server|The runner no longer exists on the server)"
)
_REFUSED = re.compile(r"(?i)runner version .* is deprecated and cannot receive messages")


def heard(output: Output, line: str, now: float) -> Output:
    """`output` after one more line."""
    # It is shown on root's terminal, and a job can write it.
    line = "".join(character for character in line if character.isprintable())
    if _LISTENING.match(line):
        return replace(output, listening_at=output.listening_at or now)
    if match := _JOB.match(line):
        return replace(output, job=match[1].strip(), job_at=output.job_at or now)
    if match := _MARKER.match(line):
        return replace(output, job_detail=match[1].strip(), job_at=output.job_at or now)
    if match := _RESULT.match(line):
        return replace(output, job=output.job or match[1], result=match[2], done_at=now)
    if _DELETED.search(line):
        return replace(output, registration_deleted=True)
    if _REFUSED.search(line):
        return replace(output, version_refused=True)
    if (match := _VERSION.match(line)) and output.job_at is None:
        return replace(output, version=match[1])
    if output.job_at is None and line.strip():
        return replace(output, last_words=line.strip()[:200])
    return output


class Listener:
    """Follows the output of every running container; one thread each, which ends with it."""

    def __init__(self, provider: Provider, wake: Callable[[], None]) -> None:
        """`wake` is called when something of weight was said."""
        self._provider = provider
        self._wake = wake
        self._lock = threading.Lock()
        self._outputs: dict[str, Output] = {}
        self._hurried: set[str] = set()
        self._few = threading.BoundedSemaphore(READ_AT_ONCE)

    def output(self, machine_id: str) -> Output:
        """What it has said so far."""
        with self._lock:
            return self._outputs.get(machine_id, Output())

    def follow(self, machine_ids: Iterable[str]) -> None:
        """Follow these; forget what was said by any other."""
        wanted = set(machine_ids)
        with self._lock:
            for gone in self._outputs.keys() - wanted:
                del self._outputs[gone]
            new = wanted - self._outputs.keys()
            self._outputs.update({machine_id: Output() for machine_id in new})
            self._hurried &= wanted
        for machine_id in new:
            threading.Thread(
                target=self._read, args=(machine_id,), name=f"output-{machine_id[:12]}", daemon=True
            ).start()

    def hurry(self, machine_ids: Iterable[str]) -> None:
        """These have ended, so read once all that they said. A stream that follows a journal is late by up to 0.3 s.

        Also where a result is known: the last one is the runner's own, any before it may be a job's words.
        """
        with self._lock:
            late = {one for one, output in self._outputs.items() if not output.ended}
            late = late.intersection(machine_ids) - self._hurried
            self._hurried |= late
        for machine_id in late:
            threading.Thread(
                target=self._read_once, args=(machine_id,), name=f"result-{machine_id[:12]}", daemon=True
            ).start()

    def _read_once(self, machine_id: str) -> None:
        with contextlib.suppress(ProviderError), self._few:  # who follows it hears of an error
            output, _last = self._said(machine_id)
            if output.done_at is not None:  # that something is not there yet says nothing
                self._set(machine_id, replace(output, ended=True))
                self._wake()

    def _said(self, machine_id: str) -> tuple[Output, float]:
        """All that can be read now, and when the last of it was said."""
        output, last = Output(readable=True), 0.0
        for last, line in self._provider.output(machine_id, follow=False):
            output = heard(output, line, last)
        return output, last

    def _read(self, machine_id: str) -> None:
        pause = FIRST_RETRY
        while self._awaited(machine_id):
            try:
                # First all that was said so far: only then is it known what was not said.
                output, last = self._said(machine_id)
                self._set(machine_id, output)
                self._wake()
                for said_at, line in self._provider.output(machine_id, follow=True, since=last):
                    before, output = output, heard(output, line, said_at)
                    self._set(machine_id, output)
                    if replace(output, last_words=before.last_words) != before:
                        self._wake()
                # A stream can end before its container does, when Docker is restarted or its log is read in pieces.
                still_runs = self._provider.runs(machine_id)
            except Exception as exc:
                # Whatever it is: a thread that ended here would leave the slot unreadable for ever.
                if not isinstance(exc, ProviderError):
                    log.exception("the output of %s cannot be read", machine_id[:12])
                still_runs = True
            if not still_runs:
                self._set(machine_id, replace(self.output(machine_id), ended=True))
                self._wake()
                return
            # What it says now is not heard.
            self._set(machine_id, replace(self.output(machine_id), readable=False))
            self._wake()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY)

    def _awaited(self, machine_id: str) -> bool:
        """Whether more of it is wanted."""
        with self._lock:
            return machine_id in self._outputs and not self._outputs[machine_id].ended

    def _set(self, machine_id: str, output: Output) -> None:
        with self._lock:
            if machine_id in self._outputs and not self._outputs[machine_id].ended:
                self._outputs[machine_id] = output


def workers(machine_ids: Iterable[str], proc: Path = Path("/proc")) -> dict[str, Tri]:
    """For each container, whether a worker process runs in it, by the names and control groups of all processes.

    A job cannot hide the worker: it would have to end it. If the processes cannot be read, the answer is unknown.
    """
    wanted = list(machine_ids)
    found = dict.fromkeys(wanted, Tri.NO)
    try:
        processes = [entry for entry in proc.iterdir() if entry.name.isdigit()]
    except OSError:
        return dict.fromkeys(wanted, Tri.UNKNOWN)
    for process in processes:
        try:
            if (process / "comm").read_text(encoding="utf-8", errors="replace").strip() != WORKER:
                continue
            groups = (process / "cgroup").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since
        except OSError:
            return dict.fromkeys(wanted, Tri.UNKNOWN)
        for machine_id in wanted:
            if machine_id in groups:
                found[machine_id] = Tri.YES
    return found
