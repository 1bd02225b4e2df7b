# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which credential the options and the environment give together."""

from __future__ import annotations

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import CREDENTIAL, ENVIRONMENT, merge

TOKEN = {"GITHUB_TOKEN": "e-token"}
APP = {"GITHUB_APP_CLIENT_ID": "e-client", "GITHUB_APP_PRIVATE_KEY_FILE": "e-file", "GITHUB_APP_INSTALLATION_ID": "7"}
MERGED_APP = {"client_id": "e-client", "private_key_file": "e-file", "installation_id": "7"}


@pytest.mark.parametrize(
    ("given", "environ", "found"),
    [
        ({}, {}, {}),
        ({}, TOKEN, {"token": "e-token"}),
        ({}, {"GITHUB_TOKEN": ""}, {}),
        ({}, APP, MERGED_APP),
        ({}, {**TOKEN, **APP}, {"token": "e-token", **MERGED_APP}),  # which of them is meant is not for us to say
        ({"token": "o"}, {**TOKEN, **APP}, {"token": "o"}),
        ({"token": ""}, {**TOKEN, **APP}, {"token": ""}),  # a variable of the user's that is empty: an error, later
        ({"token": "o", "app_id": "5"}, {}, {"token": "o", "app_id": "5"}),
        ({"app_id": "5"}, {**TOKEN, **APP}, {"app_id": "5", "private_key_file": "e-file", "installation_id": "7"}),
        ({"private_key": "o"}, APP, {"private_key": "o", "client_id": "e-client", "installation_id": "7"}),
        (
            {"app_id": "5", "private_key_file": "o", "installation_id": "8"},
            {**TOKEN, **APP},
            {"app_id": "5", "private_key_file": "o", "installation_id": "8"},
        ),
    ],
)
def test_merge(given: dict[str, str], environ: dict[str, str], found: dict[str, str]) -> None:
    unset = dict.fromkeys(CREDENTIAL)
    assert merge({**unset, "scope": "my-org", **given}, {"HOME": "/", **environ}) == found


def test_every_part_of_a_credential_has_a_variable() -> None:
    assert ENVIRONMENT.keys() == CREDENTIAL.keys()
