# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Prometheus may ask: counters and the state of the last round, on loopback.

No label holds a repository or a job: a job that shares the host's network could read them.
"""

from __future__ import annotations

import logging
import re
from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.core import GaugeMetricFamily

from .settings import MetricsSettings
from .supervisor import Supervisor

log = logging.getLogger("runnerd")

_NUMBER = re.compile(r"/\d+")
STATES = ("empty", "creating", "minting", "starting", "idle", "busy", "finished", "drained", "backing off")


class Metrics:
    """The registry, fed by the supervisor's status and by the requests to GitHub."""

    def __init__(self) -> None:
        """Nothing is served until `serve`."""
        self.registry = CollectorRegistry()
        self._ended = Counter(
            "runnerd_attempts_ended", "Attempts that ended, by outcome", ["outcome"], registry=self.registry
        )
        self._requests = Counter(
            "runnerd_github_requests", "Requests to GitHub", ["method", "endpoint", "code"], registry=self.registry
        )
        self._supervisor: Supervisor | None = None

    def on_request(self, method: str, path: str, status: int | None, seconds: float) -> None:
        """Count one request; `status` None: no answer."""
        endpoint = _NUMBER.sub("/N", path.split("?", 1)[0]).rpartition("/actions/")[2] or "other"
        self._requests.labels(method, endpoint, str(status or "none")).inc()

    def serve(self, settings: MetricsSettings, supervisor: Supervisor) -> None:
        """Answer at the settings' address; port 0: not at all."""
        self._supervisor = supervisor
        self.registry.register(self)
        if settings.port:
            try:
                start_http_server(settings.port, settings.address, self.registry)
            except OSError as exc:
                # Runners matter more than numbers.
                log.error("no metrics: %s:%s cannot be listened on (%s)", settings.address, settings.port, exc.strerror)

    def after_round(self) -> None:
        """Take in what ended."""
        if self._supervisor is not None:
            for ended in self._supervisor.take_ended():
                self._ended.labels(ended.outcome.value).inc()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The state of the last round (prometheus_client calls this for each scrape)."""
        if self._supervisor is None:
            return
        status = self._supervisor.status
        slots = GaugeMetricFamily("runnerd_slots", "Slots by state", labels=["pool", "state"])
        tally = Tally((slot.pool, slot.state) for slot in status.slots)
        for pool in sorted({slot.pool for slot in status.slots}):
            for state in STATES:
                slots.add_metric([pool, state], tally[pool, state])
        yield slots
        yield GaugeMetricFamily(
            "runnerd_slots_leaving", "Slots whose runner is to go", sum(slot.leaving for slot in status.slots)
        )
        limits = GaugeMetricFamily(
            "runnerd_job_limit_timestamp_seconds",
            "When a limit cancels the job that runs (epoch)",
            labels=["pool", "slot"],
        )
        for slot in status.slots:
            if slot.limit_at is not None:
                limits.add_metric([slot.pool, slot.slot], slot.limit_at)
        yield limits
        yield GaugeMetricFamily("runnerd_paused", "1 while no new runners are made", int(status.paused))
        yield GaugeMetricFamily("runnerd_docker_up", "1 while Docker answers", int(not status.docker))
        yield GaugeMetricFamily("runnerd_ghosts", "Registrations at GitHub that are being removed", status.ghosts)
        gates = GaugeMetricFamily(
            "runnerd_back_off_until_seconds", "Not asked before this time (epoch)", labels=["what"]
        )
        for gate in status.gates:
            gates.add_metric([gate.key], status.wall + gate.until - status.now)
        yield gates
        remaining = GaugeMetricFamily(
            "runnerd_github_rate_limit_remaining", "Requests left in GitHub's window", labels=["credential"]
        )
        expiry = GaugeMetricFamily(
            "runnerd_credential_expiry_timestamp_seconds", "When the credential ends (epoch)", labels=["credential"]
        )
        for credential in status.credentials:
            if credential.budget is not None:
                remaining.add_metric([credential.name], credential.budget)
            if credential.expires_at is not None:
                expiry.add_metric([credential.name], credential.expires_at)
        yield remaining
        yield expiry
        in_use = GaugeMetricFamily(
            "runnerd_runner_version_slots", "Slots whose runner has this version", labels=["version"]
        )
        ends = GaugeMetricFamily(
            "runnerd_runner_version_end_timestamp_seconds",
            "From when on GitHub refuses the version (epoch)",
            labels=["version"],
        )
        for version in status.versions:
            in_use.add_metric([version.version], len(version.slots))
            if version.accepted_until is not None:
                ends.add_metric([version.version], version.accepted_until)
        yield in_use
        yield ends
        pulled = GaugeMetricFamily(
            "runnerd_image_pull_timestamp_seconds",
            "When the tag was pulled last with success (epoch)",
            labels=["image"],
        )
        failing = GaugeMetricFamily(
            "runnerd_image_pull_failures", "Pulls of the tag that failed since", labels=["image"]
        )
        for image in status.images:
            if image.checked_at is not None:
                pulled.add_metric([image.image], image.checked_at)
            failing.add_metric([image.image], image.failures)
        yield pulled
        yield failing
        yield GaugeMetricFamily("runnerd_warnings", "What a person must see to in time", len(status.warnings))
