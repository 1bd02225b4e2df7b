# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is heard in a runner's output, and which processes count as a worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from runnerd.evidence import Listener, heard, workers
from runnerd.model import Output, Tri
from runnerd.provider import Provider, ProviderDown

STAMP = "2026-11-21 10:00:00Z: "


def after(*lines: str) -> Output:
    output = Output(readable=True)
    for at, line in enumerate(lines, start=1):
        output = heard(output, line, float(at))
    return output


def test_the_landmarks_of_one_job() -> None:
    output = after(
        "√ Connected to GitHub",
        "Current runner version: '2.336.0'",
        STAMP + "Listening for Jobs",
        STAMP + "Running job: build (3.12)",
        "runnerd: job started: acme/app run 17",
        STAMP + "Job build (3.12) completed with result: Failed",
    )
    assert output == Output(
        readable=True,
        last_words="√ Connected to GitHub",
        version="2.336.0",
        listening_at=3.0,
        job="build (3.12)",
        job_detail="acme/app run 17",
        job_at=4.0,
        result="Failed",
        done_at=6.0,
    )


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-21 10:00:00Z INFO JobDispatcher] Running job: x",
        "echo Listening for Jobs and more",
        " Listening for Jobs",
        "Job x completed",
    ],
)
def test_other_lines_are_no_landmarks(line: str) -> None:
    assert after(line) == Output(readable=True, last_words=line.strip())


def test_a_deleted_registration_and_a_refused_version_are_heard() -> None:
    deleted = after(
        "Failed to create a session. The runner registration has been deleted from the server, please re-configure."
    )
    assert deleted.registration_deleted
    assert after(
        "An error occurred: Runner version v2.300.0 is deprecated and cannot receive messages."
    ).version_refused


def process(proc: Path, pid: int, comm: str, cgroup: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_text(comm + "\n")
    (folder / "cgroup").write_text(cgroup)


def test_a_worker_is_found_by_its_name_and_control_group(tmp_path: Path) -> None:
    one, two = "a" * 64, "b" * 64
    process(tmp_path, 10, "Runner.Worker", f"0::/system.slice/docker-{one}.scope\n")
    process(tmp_path, 11, "Runner.Listener", f"4:pids:/docker/{two}\n")
    process(tmp_path, 12, "bash", f"4:pids:/docker/{two}\n")
    (tmp_path / "self").mkdir()
    assert workers([one, two], tmp_path) == {one: Tri.YES, two: Tri.NO}


def test_processes_that_cannot_be_read_leave_it_unknown(tmp_path: Path) -> None:
    assert workers(["a"], tmp_path / "missing") == {"a": Tri.UNKNOWN}


class Talker:
    """A provider of one container's output."""

    def __init__(self, breaks: int = 0) -> None:
        self.breaks = breaks
        self.may_end = threading.Event()

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        yield 5.0, "Listening for Jobs"
        if not follow:
            return
        assert since == 5.0
        if self.breaks:
            self.breaks -= 1
            raise ProviderDown("cut")
        self.may_end.wait(10)
        yield 7.0, "Running job: x"

    def runs(self, machine_id: str) -> bool:
        return not self.may_end.is_set()

    def heard_by(self, wake: Callable[[], None]) -> Listener:
        """A listener to it, which asks a provider for no more than there is here."""
        return Listener(cast(Provider, self), wake)


def until(condition: threading.Event) -> None:
    assert condition.wait(10)
    condition.clear()


@pytest.mark.parametrize("breaks", [0, 2])
def test_the_listener_hears_again_after_a_break_and_keeps_the_times(
    breaks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runnerd.evidence.FIRST_RETRY", 0.0)
    monkeypatch.setattr("runnerd.evidence.LONGEST_RETRY", 0.0)
    talker, woken = Talker(breaks), threading.Event()
    listener = talker.heard_by(woken.set)
    assert listener.output("c") == Output()
    listener.follow(["c"])
    until(woken)
    assert listener.output("c").listening_at == 5.0
    talker.may_end.set()
    while not listener.output("c").ended:
        until(woken)
    output = listener.output("c")
    assert (output.listening_at, output.job, output.job_at, output.readable) == (5.0, "x", 7.0, True)
    listener.follow([])
    assert listener.output("c") == Output()


def test_a_container_that_only_seems_to_run_does_not_hold_up_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker restart` ends the stream and starts it once more, for a moment; the five seconds are running."""
    pauses: list[float] = []
    monkeypatch.setattr("runnerd.evidence.time", SimpleNamespace(sleep=pauses.append))
    talker = Talker(breaks=6)
    listener = talker.heard_by(lambda: None)
    talker.may_end.set()
    listener.follow(["c"])
    end = time.monotonic() + 20
    while not listener.output("c").ended:
        assert time.monotonic() < end, pauses
        time.sleep(0.001)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


class Late(Talker):
    """Tells those who follow nothing any more, as Docker's journald reader does for a while after a container's end."""

    def __init__(self) -> None:
        super().__init__()
        self.said = [(5.0, "Listening for Jobs"), (6.0, "Running job: x")]
        self.reads = 0

    def output(self, machine_id: str, follow: bool, since: float = 0.0) -> Iterator[tuple[float, str]]:
        if follow:
            self.may_end.wait(10)
            return
        self.reads += 1
        yield from self.said


def test_the_result_of_one_that_has_ended_is_read_at_once() -> None:
    talker, woken = Late(), threading.Event()
    listener = talker.heard_by(woken.set)
    listener.follow(["c"])
    until(woken)
    talker.said += [(8.0, "Job x completed with result: Succeeded")]
    listener.hurry(["c", "unknown"])
    until(woken)
    output = listener.output("c")
    assert (output.job_at, output.result, output.done_at, output.ended) == (6.0, "Succeeded", 8.0, True)
    talker.may_end.set()  # the stream brings nothing: what is known by now stays
    until(woken)
    assert listener.output("c") == output


def test_the_last_result_counts_though_a_job_has_told_one_before() -> None:
    """Any job can write to the stream; only the runner's own line is the last."""
    talker, woken = Late(), threading.Event()
    talker.said += [(7.0, "Job x completed with result: Succeeded")]
    listener = talker.heard_by(woken.set)
    listener.follow(["c"])
    until(woken)
    assert (listener.output("c").result, listener.output("c").ended) == ("Succeeded", False)
    talker.said += [(8.0, "Job x completed with result: Failed")]
    listener.hurry(["c"])
    until(woken)
    assert (listener.output("c").result, listener.output("c").ended) == ("Failed", True)


def test_what_cannot_be_read_at_once_is_waited_for() -> None:
    """The journal may not have the last line yet: that it is absent says nothing."""
    talker, woken = Late(), threading.Event()
    listener = talker.heard_by(woken.set)
    listener.follow(["c"])
    until(woken)
    before = listener.output("c")
    for _look in range(3):
        listener.hurry(["c"])
        assert not woken.wait(0.1)
    assert talker.reads == 2, "one for all looks, beside that of who follows it"
    assert listener.output("c") == before
    talker.may_end.set()
    while not listener.output("c").ended:
        until(woken)
