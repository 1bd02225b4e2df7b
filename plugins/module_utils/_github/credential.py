# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user gives as a credential: the forms it has, and what is wrong with one. `connect` makes a client of it.

A form is a mapping, as in runnerd's credentials.json: ``{"token": "…"}``, or for an App ``{"client_id": "…",
"private_key": "…"}``, with ``app_id`` instead of ``client_id`` if that is at hand, and with ``installation_id`` if
GitHub is not to be asked for it. What is None or empty counts as not given: so look variables without a value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from .auth import TokenAuth
from .errors import shown
from .key import HAS_CRYPTOGRAPHY, load_key, tidy_pem
from .secret import Secret

ISSUER = re.compile(r"[A-Za-z0-9._-]{1,30}")  # an App's id is a number, its client id like Iv23li…; secrets are longer
APP_KEYS = ("client_id", "app_id", "private_key", "installation_id")
KEYS = ("token", *APP_KEYS)
FORMS = "give token; or, for a GitHub App, client_id (or app_id) and private_key"


def credential_problems(credential: Mapping[str, Any]) -> list[str]:
    """All that is wrong with the form of a credential, each ``option = value: why. Do: remedy``; no secret is shown.

    Nobody is asked: a credential without problems may still be refused by GitHub.
    """
    given = _given(credential)
    problems = []
    for key in sorted(set(given) - set(KEYS), key=str):
        near = difflib.get_close_matches(str(key), KEYS, 1)
        why = f"write {near[0]}" if near else f"use {', '.join(KEYS)}"
        problems.append(f"{key} = (hidden): a credential has no such part. Do: {why}")
    app = [key for key in APP_KEYS if key in given]
    if "token" in given:
        if app:
            problems.append(f"{app[0]} = (hidden): there is a token too. Do: give one of the two, {FORMS}")
        problems += _problem(TokenAuth, text_of(given["token"]))
    elif app:
        problems += _app_problems(given)
    else:
        problems.append(f"token = '': no credential. Do: {FORMS}")
    return problems


def checked(credential: Mapping[str, Any]) -> dict[str, Any]:
    """What of it is given; ValueError if it is no credential."""
    if problems := credential_problems(credential):
        raise ValueError("\n".join(problems))
    return _given(credential)


def _given(credential: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in credential.items() if value is not None and value != ""}


def text_of(value: Any) -> str:
    """A secret as text: Ansible has types of its own for texts, and numbers are no secrets of GitHub's."""
    return value.reveal() if isinstance(value, Secret) else str(value)


def _app_problems(given: Mapping[str, Any]) -> list[str]:
    problems = []
    if "client_id" not in given and "app_id" not in given:
        problems.append(
            "client_id = '': it is not said whose private_key this is. "
            "Do: copy it from the top of the App's settings page"
        )
    for key in ("client_id", "app_id"):
        # Anything longer may be a secret in the wrong place.
        if key in given and (isinstance(given[key], bool) or not ISSUER.fullmatch(str(given[key]))):
            problems.append(
                f"{key} = (hidden): neither a client id nor an id of a GitHub App. "
                "Do: copy it from the top of the App's settings page"
            )
    if "private_key" not in given:
        problems.append(
            "private_key = '': an App needs one. Do: make one on the App's settings page and give the .pem file's text"
        )
    else:
        problems += _problem(load_key if HAS_CRYPTOGRAPHY else tidy_pem, text_of(given["private_key"]))
    installation = given.get("installation_id")
    if installation is not None and not re.fullmatch(r"[1-9][0-9]{0,17}", str(installation)):
        value = shown(installation) if len(str(installation)) <= 20 else "(hidden)"
        problems.append(
            f"installation_id = {value}: not a number from 1 on. Do: take the number at the end of the address of the "
            "installation's page, or leave it out: it is found by itself"
        )
    return problems


def _problem(check: Any, value: str) -> list[str]:
    """What `check` says against the value."""
    try:
        check(value)
    except ValueError as exc:
        return [str(exc)]
    return []
