# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub's clock and GitHub's numbers: everything about time and limits that a test may move."""

from __future__ import annotations

import dataclasses
import datetime
import time
from typing import Any


class Clock:
    """Two clocks. The wall clock can be moved forward; it ages tokens, registrations, versions and rate-limit windows.

    The monotonic clock is real and cannot be moved: whether a runner is alive is decided by it alone.
    """

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """GitHub's time, in seconds since the epoch."""
        return time.time() + self._ahead

    def real(self) -> float:
        """The time of everyone else, in seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Real seconds from an arbitrary start."""
        return time.monotonic()

    def advance(self, seconds: float) -> None:
        """Move GitHub's time forward. Raises ValueError on a negative number: GitHub's time never runs backwards."""
        if seconds < 0:
            raise ValueError(f"advance = {seconds}: the clock only moves forward. Give a number of seconds >= 0.")
        self._ahead += seconds


def iso(moment: float) -> str:
    """Seconds since the epoch as GitHub writes a date: ``2026-11-21T10:00:00Z``."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float:
    """An ISO 8601 date as seconds since the epoch; a date without a zone is UTC. Raises ValueError."""
    parsed = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.timezone.utc)
    return parsed.timestamp()


@dataclasses.dataclass
class Settings:
    """What can be set on the double; the defaults are GitHub's documented (or, where it says so, reported) values.

    Unless said otherwise, numbers are seconds. "wall" means that the movable clock counts, "real" that it does not.
    """

    # Tokens and registrations (wall).
    token_life: float = 3600  # registration and remove tokens: documented
    installation_token_life: float = 3600  # of a GitHub App: documented
    jit_life: float = 3600  # a JIT configuration that was never used: reported, actions/runner#4248
    access_token_life: float = 3000  # what a runner gets for its key; the real value is not documented
    offline_ephemeral_life: float = 86400  # an offline ephemeral runner is removed after a day: documented
    offline_life: float = 14 * 86400  # any other offline runner after two weeks: documented
    idle_jit_life: float = (
        0  # idle JIT runners are removed after this; 0 = never. Reported as 120-360: actions/runner#4726
    )
    # Liveness of a runner (real).
    poll_hold: float = 10  # a message call is held open this long
    poll_grace: float = 5  # ... and the session lives this long without one
    renew_grace: float = 10  # ... or this long after a job was renewed
    pickup_life: float = 60  # an assigned job that no runner acknowledged is queued again: documented
    lease_life: float = 600  # a job that is no longer renewed has lost its runner: "10-15 min", ubicloud#1678
    # Rate limits (wall). All off with rate_limits = False.
    rate_limits: bool = True
    core_per_hour: int = 5000  # documented
    registration_per_hour: int = 10000  # bucket actions_runner_registration: shown by GET /rate_limit
    anonymous_per_hour: int = 60  # documented
    points_per_minute: int = 900  # secondary: points an endpoint and minute, GET 1, anything else 5: documented
    concurrent: int = 100  # secondary: requests at the same time: documented
    registrations_per_5_minutes: int = 1500  # runner registrations of one scope: documented
    # Runner versions: release dates, and dates that override what follows from them.
    releases: dict[str, str] = dataclasses.field(default_factory=lambda: {"2.336.0": "2026-08-17T00:00:00Z"})
    version_life: float = 30 * 86400  # a version must be left this long after the next release: documented
    deprecations: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    # From when on (a date) older versions than this one cannot register: GitHub announced 2.329.0 so.
    minimum_versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def update(self, changes: dict[str, Any]) -> None:
        """Take over some values.

        Raises ValueError, and changes nothing, on an unknown name or a value of the wrong kind.
        """
        for name, value in changes.items():
            if name not in {field.name for field in dataclasses.fields(self)}:
                known = ", ".join(field.name for field in dataclasses.fields(self))
                raise ValueError(f"{name} = {value!r}: no such setting. Use one of: {known}.")
            wanted = type(getattr(self, name))
            number = wanted in (int, float)
            kinds = (int, float) if number else wanted
            # A bool is an int to Python, and to nobody else.
            if not isinstance(value, kinds) or (number and isinstance(value, bool)):
                raise ValueError(f"{name} = {value!r}: wrong kind of value. Give a {wanted.__name__}.")
            if number and value < 0:
                raise ValueError(f"{name} = {value!r}: must not be negative. Give 0 or more.")
        for setting in ("releases", "minimum_versions"):
            for version, date in changes.get(setting, {}).items():
                _check_date(f"{setting}[{version}]", date)
        for version, dates in changes.get("deprecations", {}).items():
            if not isinstance(dates, dict) or not set(dates) <= {"registration_deprecates_at", "runtime_deprecates_at"}:
                raise ValueError(
                    f"deprecations[{version}] = {dates!r}: unknown. "
                    "Give registration_deprecates_at, runtime_deprecates_at or both."
                )
            for name, date in dates.items():
                _check_date(f"deprecations[{version}].{name}", date)
        for name, value in changes.items():
            setattr(self, name, value)


def _check_date(name: str, value: object) -> None:
    try:
        moment(str(value))
    except ValueError:
        raise ValueError(f"{name} = {value!r}: not a date. Write it as 2026-11-21T10:00:00Z.") from None


def version_key(version: str) -> tuple[int, ...]:
    """A runner version for comparison; anything that is not a dotted number sorts before every real version."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def latest_version(settings: Settings, now: float) -> str:
    """The newest version released by ``now``; empty when nothing was."""
    released = [version for version, date in settings.releases.items() if moment(date) <= now]
    return max(released, key=version_key, default="")


def deprecation(settings: Settings, version: str, now: float) -> tuple[str | None, str | None]:
    """When ``version`` can no longer register, and when it no longer gets jobs; None where nothing is scheduled.

    Without an explicit date, a version ends ``version_life`` after the first newer release, and registers no more
    from when on a newer one is the least that can.
    """
    least = [
        moment(date) for other, date in settings.minimum_versions.items() if version_key(other) > version_key(version)
    ]
    registration = iso(min(least)) if least else None
    newer = [moment(date) for release, date in settings.releases.items() if version_key(release) > version_key(version)]
    newer = [date for date in newer if date <= now]
    runtime = iso(min(newer) + settings.version_life) if newer else None
    dates = settings.deprecations.get(version, {})
    return dates.get("registration_deprecates_at", registration), dates.get("runtime_deprecates_at", runtime)
