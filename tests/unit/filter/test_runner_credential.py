# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A token or a GitHub App, one for each pool: what is wrong with them, what they are called, and that none is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import runner_credentials, runner_plan
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX
from tests.unit.filter.test_runner_plan import HOST, TOKEN, variables

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(
    encryption: serialization.KeySerializationEncryption | None = None,
    form: serialization.PrivateFormat = serialization.PrivateFormat.TraditionalOpenSSL,
) -> str:
    encryption = encryption or serialization.NoEncryption()
    return _KEY.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


KEY = pem()
PUBLIC = (
    _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)
PASSPHRASE = serialization.BestAvailableEncryption(b"passphrase")
APP = {"token": None, "app_id": 123456, "app_private_key": KEY}


def problems(**own: object) -> list[str]:
    found = runner_plan(variables(**own), HOST)["problems"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    "app",
    [
        APP,
        {**APP, "app_id": "Iv23liAbCdEfGh012345", "app_installation_id": "77"},
        {**APP, "app_private_key": pem(form=serialization.PrivateFormat.PKCS8)},
        {**APP, "app_private_key": KEY.replace("\n", "\\n"), "token": ""},
    ],
)
def test_an_app_instead_of_a_token(app: dict[str, Any]) -> None:
    assert problems(**app) == []
    (credential,) = runner_credentials(variables(**app)).values()
    expected = {"app_id": str(app["app_id"]), "private_key": app["app_private_key"]}
    if "app_installation_id" in app:
        expected["installation_id"] = app["app_installation_id"]
    assert credential == expected


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ({"token": None}, f"{PREFIX}token = null: not set. Do: make a fine-grained"),
        ({"token": TOKEN}, f"{PREFIX}token = (hidden): app_id is set too, and a pool has one credential. Do: take"),
        ({**APP, "app_private_key": ""}, f"{PREFIX}app_private_key = '': an App needs one. Do: make one"),
        ({**APP, "app_id": ""}, f"{PREFIX}app_id = '': it is not said whose"),
        ({**APP, "app_id": True}, f"{PREFIX}app_id = (hidden): neither"),
        ({**APP, "app_id": "my app"}, f"{PREFIX}app_id = (hidden): neither"),
        ({**APP, "app_installation_id": "x"}, f"{PREFIX}app_installation_id = 'x': not a number"),
        ({**APP, "app_private_key": "keys/my-app.pem"}, f"{PREFIX}app_private_key = (hidden): the path of a file"),
        ({**APP, "app_private_key": "~/my-app"}, f"{PREFIX}app_private_key = (hidden): the path of a file"),
        ({**APP, "app_private_key": "nonsense"}, f"{PREFIX}app_private_key = (hidden): no PEM text"),
        ({**APP, "app_private_key": 17}, f"{PREFIX}app_private_key = (hidden): no PEM text"),
        ({**APP, "app_private_key": KEY[:900]}, f"{PREFIX}app_private_key = (hidden): cut short"),
        ({**APP, "app_private_key": PUBLIC}, f"{PREFIX}app_private_key = (hidden): a public key"),
        ({**APP, "app_private_key": pem(PASSPHRASE)}, f"{PREFIX}app_private_key = (hidden): encrypted"),
        ({**APP, "scope": "enterprises/acme"}, f"{PREFIX}scope = enterprises/acme: GitHub Apps cannot"),
    ],
)
def test_each_problem_of_a_credential(own: dict[str, Any], line: str) -> None:
    lines = problems(**(own if "app_id" in own or own == {"token": None} else {**APP, **own}))
    assert len(lines) == 1, lines
    assert lines[0].startswith(line)
    assert ". Do: " in lines[0] or "? Do: " in lines[0]


def test_the_path_of_a_key_file_has_a_remedy_that_works() -> None:
    (line,) = problems(**{**APP, "app_private_key": "/srv/my-app.pem"})
    assert "{{ lookup('ansible.builtin.file', 'my-app.pem') }}" in line


@pytest.mark.parametrize("bad", [KEY[:900], pem(PASSPHRASE), KEY.replace("A", "!"), KEY.replace("\n", " ")])
def test_no_line_shows_any_of_a_key_wherever_it_stands(bad: str) -> None:
    lines = problems(
        **{**APP, "app_private_key": bad, "app_id": bad, "scope": bad, "image": bad, "group": KEY.split("\n")[3]},
        environment={"KEY": bad},
        pools=[{"name": "a"}, {"name": "b", "app_installation_id": bad, "labels": [bad], "token": bad}],
    )
    assert len(lines) >= 5
    text = "\n".join(lines)
    letters = [part for part in bad.replace("\\n", "\n").split() if len(part) > 20]
    assert not [part for part in letters if part[:16] in text]
    assert all("Do: " in line for line in lines)


def test_a_key_in_the_environment_of_a_job_is_refused() -> None:
    (line,) = problems(**APP, environment={"KEY": KEY})
    assert line.startswith(f"{PREFIX}environment[KEY] = (hidden)")


def test_a_pool_has_its_own_credential_or_the_flat_one() -> None:
    other = {"app_id": "Iv1.other", "app_private_key": pem(form=serialization.PrivateFormat.PKCS8)}
    mine = variables(
        **{**APP, "app_installation_id": 5},
        pools=[
            {"name": "flat"},
            {"name": "same", **{k: v for k, v in APP.items() if v}, "app_installation_id": "5"},
            {"name": "elsewhere", "scope": "other-org", "app_installation_id": 6},
            {"name": "other", **other},
            {"name": "token", "token": TOKEN},
        ],
    )
    plan = runner_plan(mine, HOST)
    assert plan["problems"] == []
    names = {pool["name"]: pool["credential"] for pool in plan["pools"]}
    assert names == {
        "flat": "default",
        "same": "default",
        "elsewhere": "pool-elsewhere",
        "other": "pool-other",
        "token": "pool-token",
    }
    credentials = runner_credentials(mine)
    assert set(credentials) == set(names.values())
    assert credentials["default"] == {"app_id": "123456", "private_key": KEY, "installation_id": "5"}
    assert credentials["pool-elsewhere"] == {"app_id": "123456", "private_key": KEY, "installation_id": "6"}
    assert credentials["pool-other"] == {"app_id": "Iv1.other", "private_key": other["app_private_key"]}
    assert credentials["pool-token"] == {"token": TOKEN}
    assert KEY.split("\n")[1] not in json.dumps(plan)


def test_a_pool_with_an_app_leaves_a_flat_token_alone() -> None:
    mine = variables(pools=[{"name": "a", "app_id": 1, "app_private_key": KEY}, {"name": "b"}])
    assert runner_plan(mine, HOST)["problems"] == []
    assert runner_credentials(mine) == {"pool-a": {"app_id": "1", "private_key": KEY}, "default": {"token": TOKEN}}
