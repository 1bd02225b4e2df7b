# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH key that jobs of a pool may use: what is wrong with it, its name, and that no line shows it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.options import pools_of

_PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\n([\s\S]+?)\n-----END \1-----")
#: OpenSSH's own format begins so: the magic, then the length and the name of the cipher (PROTOCOL.key of OpenSSH).
_OPENSSH, _PLAIN = b"openssh-key-v1\0", b"\x00\x00\x00\x04none"
#: ssh looks for a key under the name of its kind.
_KINDS = {b"ssh-ed25519": "id_ed25519", b"ssh-rsa": "id_rsa", b"ecdsa-sha2-": "id_ecdsa"}
_LOOKUP = "write \"{{ lookup('ansible.builtin.file', 'deploy-key') }}\" with a file that ansible-vault encrypted"


def _read(text: str) -> tuple[str, str]:
    """The file's name for a private key; or nothing, and what is wrong with it."""
    match = _PEM.fullmatch(text.strip().replace("\r\n", "\n"))
    if match is None:
        if re.match(r"(?:ssh|ecdsa)-\S+ ", text):
            return "", "the public key"
        if len(text) < 200 and "\n" not in text.strip():
            return "", "the path of a file, where its content is needed"
        return "", "not a private key"
    kind, body = match.groups()
    if kind == "RSA PRIVATE KEY" or kind == "EC PRIVATE KEY":
        return ("", "encrypted") if "ENCRYPTED" in body else (f"id_{'rsa' if kind[0] == 'R' else 'ecdsa'}", "")
    if kind != "OPENSSH PRIVATE KEY":
        return "", f"a {kind.lower()}, which ssh does not take everywhere"
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        return "", "damaged"
    if not data.startswith(_OPENSSH):
        return "", "damaged"
    if not data.startswith(_PLAIN, len(_OPENSSH)):
        return "", "encrypted"
    names = [name for kind_, name in _KINDS.items() if kind_ in data[:128]]
    return (names[0], "") if names else ("", "of a kind that jobs cannot use without hardware")


def judge_ssh(check: Check) -> dict[str, str]:
    """What a pool's plan shows of its SSH key: ``digest``, which changes with it; empty if there is none."""
    key, hosts = check.values.get("ssh_key"), check.values.get("ssh_known_hosts")
    if not isinstance(hosts, str):
        check.wrong("ssh_known_hosts", "not a text", "write lines as ssh-keyscan prints them", secret=True)
        return {"digest": ""}
    if key in (None, ""):
        return {"digest": ""}
    name, why = _read(key) if isinstance(key, str) else ("", "not a text")
    if why:
        remedy = (
            "make one without passphrase for this alone: ssh-keygen -t ed25519 -N '' -f deploy-key; then " + _LOOKUP
        )
        check.wrong("ssh_key", why, remedy, secret=True)
    files = "\0".join([name, str(key).strip(), hosts])
    return {"digest": hashlib.sha256(files.encode()).hexdigest()[:16]}


def runner_ssh_files(variables: Mapping[str, Any]) -> dict[str, str]:
    """The files for the containers of the pools that have an SSH key, by path: ``<pool>/<name>``. Secret."""
    files: dict[str, str] = {}
    for pool, check in pools_of(variables, []):
        key = check.values.get("ssh_key")
        name, _why = _read(key) if isinstance(key, str) and key else ("", "")
        if name:
            plain = str(key).strip().replace("\r\n", "\n")
            files[f"{pool}/{name}"] = f"{plain}\n"  # ssh refuses a key without a last newline
            files[f"{pool}/known_hosts"] = str(check.values.get("ssh_known_hosts") or "")
    return files
