# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ends is told two weeks ahead: in the status, the log, the metrics and at the end of a playbook."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_state import runner_report
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from runnerd.chores import DAY
from runnerd.metrics import Metrics
from runnerd.model import Credential
from runnerd.notices import Reminder, notices
from runnerd.settings import MetricsSettings
from runnerd.status import upkeep
from runnerd.versions import VersionStatus
from tests.unit.runnerd.test_supervisor import Host

NOW = 20_000 * DAY


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def version(end: float | None) -> VersionStatus:
    return VersionStatus("2.336.0", ("runner-1", "runner-2"), end, asked=True)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (None, None),
        (NOW + 14 * DAY + 1, None),
        (NOW + 14 * DAY, "the token ends in 14 days, on 2024-10-18T00:00:00Z"),
        (NOW + DAY, "the token ends in 1 day, on 2024-10-05T00:00:00Z"),
        (NOW, "the token ended on 2024-10-04T00:00:00Z"),
    ],
)
def test_a_token_is_told_two_weeks_ahead(end: float | None, reason: str | None) -> None:
    found = notices(NOW, [Credential("default", "token", end)], [], [])
    assert [notice.reason for notice in found] == ([reason] if reason else [])


def test_a_version_is_told_two_weeks_ahead() -> None:
    assert notices(NOW, [], [version(None), version(NOW + 15 * DAY)], []) == ()
    (notice,) = notices(NOW, [], [version(NOW + 2 * DAY)], [])
    assert (notice.what, notice.reason.split(", on")[0]) == (
        "runner version 2.336.0",
        "GitHub's support for it (runner-1, runner-2) ends in 2 days",
    )


def test_the_log_has_it_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    reminder = Reminder()
    found = notices(NOW, [Credential("default", "token", NOW + DAY)], [], [])
    with caplog.at_level(logging.WARNING, "runnerd"):
        for hour in range(49):
            reminder.remind(found, hour * 3600.0)
        assert len(caplog.records) == 3
        assert "credential default: the token ends in 1 day" in caplog.text
        assert "Do: make a new one" in caplog.text
        reminder.remind([], 50 * 3600.0)
        reminder.remind(found, 51 * 3600.0)
        assert len(caplog.records) == 4, "what was mended and comes again is told at once"


def test_status_table_metrics_and_playbook_tell_it(host: Host) -> None:
    host.world.versions["runner-1"] = "2.336.0"
    host.world.versions["runner-2"] = "2.337.0"
    host.world.version_ends = {"2.336.0": host.clock.wall() + 5 * DAY}
    host.world.token_ends = host.clock.wall() + 3 * DAY
    host.online()
    host.rounds(3)
    status = host.supervisor.current_status().as_json()
    assert status["credentials"] == [
        {"name": "default", "kind": "token", "expires_at": status["credentials"][0]["expires_at"]}  # type: ignore[index]  # JSON
    ]
    told = {v["version"]: v for v in status["runner_versions"]}  # type: ignore[attr-defined]  # JSON
    assert told["2.336.0"]["slots"] == ["runner-1"]
    assert told["2.336.0"]["accepted_until"] is not None
    assert (told["2.337.0"]["asked"], told["2.337.0"]["accepted_until"]) == (True, None)
    lines = "\n".join(upkeep(status))
    assert "Runner 2.337.0: GitHub tells no end" in lines
    assert "Warning: credential default: the token ends in 2 days" in lines
    assert "Warning: runner version 2.336.0" in lines
    notes = "\n".join(runner_report(json.dumps(status))["notes"])
    assert "credential default: the token ends in 2 days" in notes
    assert ". Do: " in notes
    metrics = Metrics()
    metrics.serve(MetricsSettings(port=0), host.supervisor)

    def sample(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    end = host.world.version_ends["2.336.0"]
    assert sample("runnerd_runner_version_end_timestamp_seconds", version="2.336.0") == end
    assert sample("runnerd_runner_version_slots", version="2.337.0") == 1
    assert sample("runnerd_credential_expiry_timestamp_seconds", credential="default") == host.world.token_ends
    assert sample("runnerd_warnings") == 2


def test_between_two_short_jobs_a_version_is_not_forgotten(host: Host) -> None:
    """With one slot, each job would cost a question more."""
    host.want(["runner-1"])
    host.supervisor.reload()
    host.world.versions = {"runner-1": "2.336.0"}
    for _dummy in range(3):
        host.online()
        host.world.take_job(host.of("runner-1"), "build")
        host.world.end_job(host.of("runner-1"))
        host.rounds(4)
    assert host.world.requests.count("GET version 2.336.0") == 1


def test_a_version_is_asked_about_once_a_day_and_again_after_a_failure(host: Host) -> None:
    host.world.versions = dict.fromkeys(["runner-1", "runner-2", "runner-3"], "2.336.0")
    host.online()
    host.rounds(4)

    def asked() -> int:
        return host.world.requests.count("GET version 2.336.0")

    assert asked() == 1
    host.rounds(48, 3600)
    assert asked() in (2, 3, 4)
    before = asked()
    host.world.github = errors.ServerError("ask", message="down", status=502)
    host.rounds(30, 3600)
    assert before < asked()
    told = host.supervisor.status.versions
    assert "down" in told[0].error
    host.world.github = None
    host.rounds(20, 3600)
    assert host.supervisor.status.versions[0].error == ""
