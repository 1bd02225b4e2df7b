# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the contract tests share: GitHub's description, a double of their own for each test, clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.contract import description
from tests.contract.client import Rest, Runner
from tests.doubles.github.api import OPERATIONS
from tests.doubles.github.server import Double, running

TOKEN = "ghp_contract-admin"
CREDENTIALS = {
    "admin": {
        "token": TOKEN,
        "scopes": {"my-org": "write", "other-org": "write", "my-org/app": "write", "enterprises/acme": "write"},
    }
}
# Seconds. Here nothing ends because a machine was slow; tests of these limits set their own, and
# test_github_state.py has the real ones on a clock of its own.
PATIENT = {"poll_grace": 3600, "renew_grace": 3600, "pickup_life": 3600, "lease_life": 3600}
SCOPES = {"my-org": {"groups": [{"name": "builders"}]}, "me/home": {}, "me": {"type": "User"}}


@pytest.fixture(scope="session")
def github() -> description.Description:
    """GitHub's description of all that the double serves."""
    try:
        return description.load(sorted({operation.template for operation in OPERATIONS}))
    except description.MissingDescription as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def double() -> Iterator[Double]:
    """A double with the credential ``admin`` and nothing else in it."""
    with running(credentials=CREDENTIALS, scopes=SCOPES, settings=PATIENT) as found:
        yield found


@pytest.fixture
def client(double: Double, github: description.Description) -> Iterator[Callable[[str | None], Rest]]:
    """Makes REST clients for a token."""
    made: list[Rest] = []

    def make(token: str | None) -> Rest:
        made.append(Rest(double.api_url, token, github))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def rest(client: Callable[[str | None], Rest]) -> Rest:
    """The REST API as ``admin``."""
    return client(TOKEN)


@pytest.fixture
def registered(rest: Rest) -> Iterator[Callable[..., Runner]]:
    """Makes runners: registered, not connected."""
    made: list[Runner] = []

    def make(name: str = "r", *labels: str, scope: str = "/orgs/my-org") -> Runner:
        answer = rest.jit(scope, name, *labels)
        assert answer.status_code == 201, answer.text
        made.append(Runner(answer.json()["encoded_jit_config"]))
        return made[-1]

    yield make
    for one in made:
        one.close()
