# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates: what a refusal closes and for how long, and that all who share a credential rest together."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from runnerd.broker import GitHubBroker
from runnerd.gates import Gates, gate_for
from runnerd.journal import Journal
from runnerd.model import Gate
from runnerd.settings import GitHubSettings, Pool
from runnerd.ways import gate_keys
from tests.doubles.github.server import Double, running
from tests.unit.runnerd.fakes import FakeClock

GOOD, OTHER = "github_pat_goodTokenOfTheTest", "github_pat_otherTokenOfTest"
SCOPES = {"my-org": "write", "my-org/web": "write", "me/home": "write"}
APP = {
    "id": 4711,
    "permissions": {"organization_self_hosted_runners": "write", "administration": "write", "metadata": "read"},
    "installations": {"my-org": {}, "me": {}},
}
KEYS = gate_keys("default", "my-org", "default", apps=())
BUDGET, SCOPE, POOL = KEYS


@pytest.fixture
def double() -> Iterator[Double]:
    credentials = {"good": {"token": GOOD, "scopes": SCOPES}, "other": {"token": OTHER, "scopes": SCOPES}}
    with running(credentials=credentials, scopes={name: {} for name in SCOPES}) as one:
        yield one


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.offset = time.time() - clock.at  # the double knows the machine's clock only
    return clock


@pytest.fixture
def begin(double: Double, clock: FakeClock, tmp_path: Path) -> Callable[..., tuple[GitHubBroker, Gates]]:
    """runnerd begins, on the journal that is there; the one before it has ended."""
    journals: list[Journal] = []

    def begin(forms: Mapping[str, Mapping[str, str]] | None = None) -> tuple[GitHubBroker, Gates]:
        forms = forms or {"default": {"token": GOOD}, "other": {"token": OTHER}}
        apps = {name for name, form in forms.items() if "token" not in form}
        for before in journals:
            before.close()
        journals[:] = [Journal(tmp_path, clock, "machine")]
        gates = Gates(journals[0], clock, apps)
        return GitHubBroker(GitHubSettings(double.api_url, None, 5), forms, "test", gates, now=clock.wall), gates

    return begin


def asked(double: Double) -> int:
    return len(double.admin.journal()["entries"])


def told_to_rest(double: Double, ask: Callable[[], object], seconds: float = 60) -> None:
    double.admin.fault(status=429, retry_after=seconds, times=1)
    with pytest.raises(errors.RateLimited):
        ask()


def refused_here(double: Double, broker: GitHubBroker, scope: str) -> None:
    """Every kind of question is refused without a request."""
    before = asked(double)
    for ask in (
        lambda: broker.mint(Pool("home", scope, ("x",), ("runner-1",), "host"), "name"),
        lambda: broker.delete(scope, "default", 1),
        lambda: broker.find(scope, "default", "name"),
        lambda: broker.runners(scope, "default"),
        lambda: broker.version_end(scope, "default", "2.336.0"),
    ):
        with pytest.raises(errors.RateLimited, match="wants no more requests") as caught:
            ask()
        assert not caught.value.in_doubt
    assert asked(double) == before


def test_a_limit_is_the_credentials_at_every_scope(double: Double, begin, clock: FakeClock) -> None:
    broker, gates = begin()
    told_to_rest(double, lambda: broker.version_end("my-org", "default", "2.336.0"))
    assert gates.all()[BUDGET].told
    refused_here(double, broker, "me/home")
    broker.runners("my-org", "other")
    clock.at += 61
    assert broker.runners("me/home", "default") == []


def test_a_limit_of_an_app_is_the_installations(double: Double, begin) -> None:
    double.admin.apps({"homelab": APP})
    broker, gates = begin({"default": {"app_id": "4711", "private_key": double.admin.app_key("homelab")}})
    for scope in ("my-org", "me/home"):
        broker.runners(scope, "default")  # each installation's token is there
    told_to_rest(double, lambda: broker.runners("my-org", "default"))
    assert list(gates.all()) == ["credential default at my-org"]
    refused_here(double, broker, "my-org")
    refused_here(double, broker, "My-Org/web")
    assert broker.runners("me/home", "default") == []


def test_a_short_limit_is_not_waited_out_behind_the_others_backs(double: Double, begin) -> None:
    broker, _gates = begin()
    before = asked(double)
    told_to_rest(double, lambda: broker.runners("my-org", "default"), seconds=2)
    assert asked(double) == before + 1
    refused_here(double, broker, "me/home")


def test_the_next_runnerd_goes_on_resting_also_for_scopes_that_left(double: Double, begin, clock: FakeClock) -> None:
    broker, _gates = begin()
    told_to_rest(double, lambda: broker.runners("my-org", "default"), seconds=600)
    clock.at += 100
    broker, gates = begin()
    gates.try_again()
    refused_here(double, broker, "me/home")
    assert gates.all()[BUDGET].until == pytest.approx(clock.at + 500, abs=5)


def test_a_limit_holds_though_it_cannot_be_written_down_and_is_as_soon_as_it_can(
    double: Double, begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, gates = begin()

    def full(*dummy: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "close_gate", full)
        told_to_rest(double, lambda: broker.runners("my-org", "default"))
        refused_here(double, broker, "me/home")
    assert gates.all()[BUDGET].told, "a round goes by"
    broker, gates = begin()
    refused_here(double, broker, "me/home")


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_is_set_opens_no_gate_and_keeps_none_closed(
    double: Double, begin, clock: FakeClock, jump: float
) -> None:
    broker, _gates = begin()
    told_to_rest(double, lambda: broker.runners("my-org", "default"))
    clock.offset += jump
    refused_here(double, broker, "my-org")
    clock.at += 61
    assert broker.runners("my-org", "default") == []


def test_the_longest_of_several_rests_holds(double: Double, begin) -> None:
    """Calls that are under way together are told different ones, and the shorter one may come last."""
    broker, gates = begin()
    double.admin.fault(status=429, retry_after=60, delay=1, times=1)
    double.admin.fault(status=429, retry_after=1000, times=1)
    with ThreadPoolExecutor() as executor:
        slow = executor.submit(broker.runners, "my-org", "default")
        while not double.admin.faults()[0]["applied"]:
            time.sleep(0.01)
        with pytest.raises(errors.RateLimited):
            broker.runners("me/home", "default")
    assert isinstance(slow.exception(), errors.RateLimited)
    assert gates.all()[BUDGET].until == pytest.approx(2000, abs=5)


def test_a_runner_that_was_made_opens_what_was_half_open_and_no_rest(begin, clock: FakeClock) -> None:
    _broker, gates = begin()
    refusal = errors.Forbidden("ask", message="no", status=403)
    gates.refused(refusal, "default", "my-org", "default")
    gates.refused(errors.Unprocessable("ask", message="no", status=422), "default", "my-org", "default")
    gates.refused(errors.RateLimited("ask", message="no", retry_at=clock.wall() + 90), "default", "my-org")
    assert set(gates.all()) == set(KEYS)
    gates.passed("default", "my-org", "default")
    assert set(gates.all()) == {BUDGET}
    clock.at += 91
    gates.passed("default", "my-org", "default")
    assert gates.all() == {}


def test_a_person_opens_all_but_rests_and_the_count_begins_anew(begin, clock: FakeClock) -> None:
    _broker, gates = begin()
    refusal = errors.Forbidden("ask", message="no", status=403)
    for wait in (60, 120):
        gates.refused(refusal, "default", "my-org", "default")
        assert gates.all()[SCOPE].until == clock.at + wait
        clock.at += wait
    gates.refused(errors.RateLimited("ask", message="no", retry_at=clock.wall() + 90), "default", "my-org")
    gates.try_again()
    assert gates.all()[SCOPE].until == clock.at
    assert gates.all()[BUDGET].until == clock.at + 90
    gates.refused(refusal, "default", "my-org", "default")
    assert gates.all()[SCOPE].until == clock.at + 60


@pytest.mark.parametrize(
    ("exc", "key", "first", "most"),
    [
        (errors.Unauthorized("ask", message="no", status=401), SCOPE, 60, 900),
        (errors.Forbidden("ask", message="no", status=403), SCOPE, 60, 900),
        (errors.NotFound("ask", message="no", status=404), SCOPE, 60, 900),
        (errors.NotFound("ask", message="no group of this name"), POOL, 30, 900),
        (errors.Unprocessable("ask", message="no", status=422), POOL, 30, 900),
        (errors.Conflict("ask", message="no", status=409), POOL, 30, 900),
        (errors.ServerError("ask", message="no", status=500), SCOPE, 5, 300),
        (errors.Unreachable("ask", message="no", sent=False), SCOPE, 5, 300),
    ],
)
def test_what_each_refusal_closes_and_for_how_long(
    exc: errors.GitHubError, key: str, first: float, most: float
) -> None:
    gate = gate_for(exc, KEYS, 100.0, 0.0, {})
    assert (gate.key, gate.until, gate.told) == (key, 100 + first, False)
    together = gate_for(exc, KEYS, 101.0, 0.0, {key: gate})
    assert together.failures == 1, "under way when the first was refused"
    often = Gate(key, 99.0, "", failures=5000)
    assert gate_for(exc, KEYS, 100.0, 0.0, {key: often}).until == 100 + most
