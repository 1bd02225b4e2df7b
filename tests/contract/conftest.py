# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the contract tests share: the vendors' descriptions, a double of their own for each test, clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract import description, proxmox
from tests.contract.client import Rest, Runner
from tests.contract.role import KEY_FILE
from tests.doubles.github.api import OPERATIONS
from tests.doubles.github.server import Double, running
from tests.doubles.proxmox import server as pve
from tests.doubles.proxmox.machines import MachinesInMemory

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


@pytest.fixture(scope="session")
def pve_tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """For Proxmox VE: the servers' certificate with its key, and the authority that vouches for it."""
    folder, authority = tmp_path_factory.mktemp("pve-tls"), trustme.CA()
    authority.issue_cert("127.0.0.1", "127.0.0.2").private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder / "own.pem", folder / "ca.pem"


@pytest.fixture
def pve_options() -> dict[str, Any]:
    """What a test wants otherwise of its Proxmox VE."""
    return {}


@pytest.fixture
def pve_double(pve_tls: tuple[Path, Path], pve_options: dict[str, Any]) -> Iterator[pve.Double]:
    """A Proxmox VE with the usual template, a token that may do what the tests do, and tasks that are over at once.

    When the test is over, it fails if an answer was not as Proxmox VE's description has it.
    """
    settings = {"task_seconds": 0, "clone_seconds": 0, "unauthorized_seconds": 0, "shutdown_seconds": 0.1}
    usual = {"cert": pve_tls[0], "key": pve_tls[0], "access": proxmox.access()}
    with pve.running(**{**usual, **pve_options, "settings": {**settings, **pve_options.get("settings", {})}}) as found:
        yield found


@pytest.fixture
def pve_api(pve_double: pve.Double, pve_tls: tuple[Path, Path]) -> proxmox.Api:
    """proxmoxer, with the token."""
    return proxmox.Api(pve_double, pve_tls[1])


@pytest.fixture
def host_key(pve_double: pve.Double) -> None:
    """Each VM has one that looks like one."""
    assert isinstance(pve_double.machines, MachinesInMemory)
    pve_double.machines.files[KEY_FILE] = f"ssh-ed25519 {'A' * 68} root@runner\n".encode()
