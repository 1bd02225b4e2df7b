# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings and credentials files: every problem at once, and no secret in any of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from runnerd.model import Limits
from runnerd.settings import SettingsError, load_credentials, load_settings

KEY = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode()
)


def good() -> dict[str, Any]:
    return {
        "schema": 1,
        "version": "0.1.0",
        "github": {"api_url": "https://api.github.com/", "ca_file": None, "timeout": 30},
        "compose": {"project": "github-runners", "file": "/opt/github-runners/docker-compose.yml"},
        "metrics": {"address": "127.0.0.1", "port": 9252},
        "limits": {"drain": 60},
        "pools": [
            {
                "name": "default",
                "scope": "https://github.com/acme/app",
                "labels": ["self-hosted"],
                "slots": ["runner-1"],
                "name_prefix": "host",
            }
        ],
    }


def written(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "settings.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_good_settings_are_read_with_their_defaults(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, good()))
    pool = settings.pools[0]
    assert (pool.scope, pool.group, pool.work_folder, pool.credential) == ("acme/app", "Default", "_work", "default")
    assert settings.limits == Limits(drain=60)
    assert settings.github.api_url == "https://api.github.com"
    assert settings.pool_of["runner-1"] is pool


def test_the_form_in_the_architecture_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    text = page.split("### settings.json", 1)[1].split("```json", 1)[1].split("```", 1)[0]
    assert load_settings(written(tmp_path, text)).pools[0].slots == ("runner-1", "runner-2", "runner-3")


BAD = [
    ({"schema": 2}, "schema = 2"),
    ({"github": {"api_url": "http://x"}}, 'github.api_url = "http://x"'),
    ({"github": {"ca_file": "/no/such"}}, "github.ca_file"),
    ({"compose": None}, "compose = null"),
    ({"metrics": {"port": 70000}}, "metrics.port"),
    ({"limits": {"drain": -1}}, "limits.drain = -1"),
    ({"limits": {"job": "long"}}, 'limits.job = "long"'),
    ({"limits": {"jobs": 1}}, "limits.jobs = 1: no such limit"),
    ({"pools": {}}, "pools = {}"),
]


@pytest.mark.parametrize(("change", "told"), BAD)
def test_each_problem_names_option_value_and_remedy(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, good() | change))
    assert told in str(caught.value)
    assert "Do: " in str(caught.value)


POOL = [
    ({"scope": "a b"}, "scope"),
    ({"labels": []}, "labels = []"),
    ({"labels": "x"}, "labels"),
    ({"slots": ["runner-1", "runner-1"]}, "pools.slots"),
    ({"name": ""}, "name"),
]


@pytest.mark.parametrize(("change", "told"), POOL)
def test_each_problem_of_a_pool_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    data = good()
    data["pools"][0].update(change)
    with pytest.raises(SettingsError, match="Do: ") as caught:
        load_settings(written(tmp_path, data))
    assert told in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    data = good() | {"limits": {"drain": -1}, "metrics": {"port": -1}}
    data["pools"][0]["scope"] = ""
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, data))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["", "[]", "{", "nonsense"])
def test_what_is_not_settings_at_all_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="deploy again"):
        load_settings(written(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "settings.json")


def test_credentials_are_read(tmp_path: Path) -> None:
    assert load_credentials(written(tmp_path, {"default": {"token": " t0ken\n"}})) == {"default": {"token": "t0ken"}}


def test_an_app_is_a_credential_too(tmp_path: Path) -> None:
    form = {"app_id": 123456, "private_key": f"{KEY}\n", "installation_id": 7}
    assert load_credentials(written(tmp_path, {"default": form})) == {
        "default": {"app_id": "123456", "private_key": KEY.strip(), "installation_id": "7"}
    }


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"app_id": "1"}, "default: private_key = '': an App needs one"),
        ({"app_id": "1", "private_key": "s3cret"}, "default: private_key = (hidden): no PEM text"),
        ({"app_id": "1", "private_key": KEY, "token": "s3cret"}, "default: app_id = (hidden): there is a token too"),
        ({"token": "s3cret", "tokem": "s3cret"}, "default: tokem = (hidden): a credential has no such part"),
        ({"token": ["s3cret"]}, "default = (hidden): is not of the form"),
    ],
)
def test_what_is_wrong_with_a_credential_is_told(tmp_path: Path, form: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match="Do: ") as caught:
        load_credentials(written(tmp_path, {"default": form, "good": {"token": "x"}}))
    assert told in str(caught.value)
    assert len(caught.value.problems) == 1
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [{"default": "s3cret"}, {"default": {"tokn": "s3cret"}}, '{"default": {"token": s3cret']
)
def test_no_credential_is_ever_told(tmp_path: Path, data: object) -> None:
    with pytest.raises(SettingsError) as caught:
        load_credentials(written(tmp_path, data))
    told = str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.problems)
    assert "s3cret" not in told
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
