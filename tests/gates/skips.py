# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A skipped test is a failure, unless `tests/skips.txt` lists it with a reason. A pytest plugin.

One line each, `<pattern of node ids>: <reason>`; `*` and `?` are wild, `#` begins a comment. Counts as skipped: a test
or a whole file that is skipped, and a test that is expected to fail. What was skipped is printed at the end of the run.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

_FILE = pytest.StashKey[Path]()
_SKIPPED = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Rule:
    """One line of the file: what may be skipped, and why."""

    pattern: str
    reason: str

    def allows(self, nodeid: str) -> bool:
        """Whether the node id matches. Brackets are literal, unlike in fnmatch: parameters stand in brackets."""
        return re.fullmatch(re.escape(self.pattern).replace(r"\*", ".*").replace(r"\?", "."), nodeid) is not None


def parse(text: str) -> list[Rule]:
    """The rules of a file's text.

    Raises:
        ValueError: a line has no reason; the message names the line.
    """
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, colon, reason = line.partition(": ")
        if not colon or not reason.strip():
            raise ValueError(f"line {number}: {line!r} gives no reason. Do: write '<node id pattern>: <reason>'.")
        rules.append(Rule(pattern.strip(), reason.strip()))
    return rules


def judge(skipped: list[str], rules: list[Rule]) -> tuple[list[str], list[str]]:
    """Lines for the skips that are allowed, with their reasons; and the node ids that are not."""
    allowed, refused = [], []
    for nodeid in dict.fromkeys(skipped):
        reason = next((rule.reason for rule in rules if rule.allows(nodeid)), None)
        if reason is None:
            refused.append(nodeid)
        else:
            allowed.append(f"{nodeid}: {reason}")
    return allowed, refused


def _verdict(config: pytest.Config) -> tuple[list[str], list[str]]:
    path = config.stash[_FILE]
    return judge(config.stash[_SKIPPED], parse(path.read_text("utf-8")))


def pytest_configure(config: pytest.Config) -> None:
    """Read the file early: a mistake in it stops the run before the first test."""
    path = config.rootpath / "tests" / "skips.txt"
    try:
        parse(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"{path}: {error}") from error
    config.stash[_FILE] = path
    config.stash[_SKIPPED] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a test that is skipped or expected to fail."""
    report = yield
    if report.skipped:
        item.config.stash[_SKIPPED].append(report.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note a file that skips itself while it is collected."""
    report = yield
    if report.skipped:
        collector.config.stash[_SKIPPED].append(report.nodeid)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a green run red that skipped what it may not."""
    refused = _verdict(session.config)[1]
    if refused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print every skip with its reason, and those that have none."""
    allowed, refused = _verdict(config)
    if allowed:
        terminalreporter.section("skipped, as tests/skips.txt allows")
        for line in allowed:
            terminalreporter.line(line)
    if refused:
        terminalreporter.section("skipped without leave: this run fails", red=True)
        for nodeid in refused:
            terminalreporter.line(nodeid)
        terminalreporter.line("Do: make the test run, or list it with the reason in tests/skips.txt.")
