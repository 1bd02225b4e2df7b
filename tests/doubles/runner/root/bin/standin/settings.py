# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a runner knows of itself: the three files in its root, its environment file, the inputs given by variables."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from .console import Console

SETTINGS = ".runner"
CREDENTIALS = ".credentials"
KEY = ".credentials_rsaparams"
KEY_PARTS = ("exponent", "modulus", "d", "p", "q", "dp", "dq", "inverseQ")

INPUT = "ACTIONS_RUNNER_INPUT_"


class NotConfigured(Exception):
    """The files are not there or cannot be read."""


@dataclass(frozen=True)
class Settings:
    """What ``.runner`` says, as far as the stand-in needs it."""

    agent_name: str
    ephemeral: bool
    disable_update: bool
    work_folder: str
    server_url: str
    agent_id: int
    github_url: str  # empty for a runner of a JIT configuration


@dataclass(frozen=True)
class Credentials:
    """Who the runner is to the service. The key is never shown."""

    client_id: str
    token_url: str
    key: rsa.RSAPrivateKey

    def __repr__(self) -> str:
        return f"Credentials(client_id={self.client_id!r})"


def version(root: Path) -> str:
    """The version this runner says it is; a self-update changes it."""
    return (root / "bin" / "version.txt").read_text(encoding="ascii").strip()


def take_inputs(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Take the inputs (``ACTIONS_RUNNER_INPUT_<NAME>``) out of the environment, so that no child process sees them."""
    names = [name for name in environ if name.upper().startswith(INPUT)]
    return {name[len(INPUT) :].lower(): environ.pop(name) for name in names}


def load_environment(root: Path, environ: MutableMapping[str, str]) -> None:
    """Set what ``.env`` says, one ``NAME=value`` a line. (``.path`` is read by the real one's service script only.)"""
    file = root / ".env"
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        name, separator, value = line.partition("=")
        if name and separator:
            environ[name] = value


def unpack(blob: str, root: Path) -> None:
    """Write the files of a JIT configuration into the root.

    Args:
        blob: base64 of a JSON object, file name → base64 of the content.

    Raises:
        ValueError: the blob is something else.
    """
    files = json.loads(base64.b64decode(blob, validate=True))
    if not isinstance(files, dict) or not all(isinstance(content, str) for content in files.values()):
        raise ValueError("The JIT configuration is no JSON object of texts.")
    for name, content in files.items():
        (root / name).write_bytes(base64.b64decode(content, validate=True))


def is_configured(root: Path) -> bool:
    """Whether there is a runner here."""
    return (root / SETTINGS).exists()


def load(root: Path) -> Settings:
    """Read ``.runner``.

    Raises:
        NotConfigured: it is missing or broken.
    """
    if not is_configured(root):
        raise NotConfigured("Not configured. Run config.(sh/cmd) to configure the runner.")
    values = _read(root / SETTINGS, "AgentName", "ServerUrlV2", capitalized=True)
    return Settings(
        agent_name=values["AgentName"],
        ephemeral=_is_true(values.get("Ephemeral")),
        disable_update=_is_true(values.get("DisableUpdate")),
        work_folder=values.get("WorkFolder") or "_work",
        server_url=values["ServerUrlV2"].rstrip("/"),
        agent_id=int(values.get("AgentId") or 0),
        github_url=values.get("GitHubUrl") or "",
    )


def load_credentials(root: Path) -> Credentials:
    """Read ``.credentials`` and the private key.

    Raises:
        NotConfigured: one of them is missing or broken.
    """
    data = _read(root / CREDENTIALS, "data")["data"]
    parts = _read(root / KEY, *KEY_PARTS)
    try:
        e, n, d, p, q, dp, dq, iq = (int.from_bytes(base64.b64decode(parts[name]), "big") for name in KEY_PARTS)
        key = rsa.RSAPrivateNumbers(p, q, d, dp, dq, iq, rsa.RSAPublicNumbers(e, n)).private_key()
        return Credentials(data["clientId"], data["authorizationUrl"], key)
    except (KeyError, TypeError, ValueError) as error:
        raise NotConfigured(f"{CREDENTIALS}, {KEY}: not a runner's credentials ({type(error).__name__})") from error


def save(root: Path, settings: dict[str, Any], credentials: dict[str, Any], key: rsa.RSAPrivateKey) -> None:
    """Write the three files as ``config.sh`` does: with a byte order mark, and the key for nobody else to read."""
    private = key.private_numbers()
    public = private.public_numbers
    numbers = (public.e, public.n, private.d, private.p, private.q, private.dmp1, private.dmq1, private.iqmp)
    parts = {name: base64_of(number) for name, number in zip(KEY_PARTS, numbers, strict=True)}
    for name, content in ((KEY, parts), (CREDENTIALS, credentials), (SETTINGS, settings)):
        file = root / name
        file.touch(mode=0o600 if name == KEY else 0o644)
        file.write_text(json.dumps(content, indent=2), encoding="utf-8-sig")


def base64_of(number: int) -> str:
    """A number as .NET writes those of a key."""
    return base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()


def remove(root: Path, console: Console) -> None:
    """Delete the three files and say so."""
    if (root / CREDENTIALS).exists():
        os.unlink(root / CREDENTIALS)
        (root / KEY).unlink(missing_ok=True)
        console.success("Removed .credentials")
    else:
        console.line("Does not exist. Skipping Removing .credentials")
    if is_configured(root):
        os.unlink(root / SETTINGS)
        console.success("Removed .runner")
    else:
        console.line("Does not exist. Skipping Removing .runner")


def _read(path: Path, *names: str, capitalized: bool = False) -> dict[str, Any]:
    """The JSON object in a file, which must have these fields; the first letter of a name may be made a capital.

    ``config.sh`` writes them small, a JIT configuration has them big, and the real reader takes both.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
        if capitalized and isinstance(values, dict):
            values = {name[:1].upper() + name[1:]: value for name, value in values.items()}
    except (OSError, ValueError) as error:
        raise NotConfigured(f"{path.name}: {error}") from error
    if not isinstance(values, dict) or any(name not in values for name in names):
        raise NotConfigured(f"{path.name}: not a JSON object with {', '.join(names)}")
    return values


def _is_true(value: Any) -> bool:
    """The real files hold JSON booleans or the words for them."""
    return value is True or str(value).lower() == "true"
