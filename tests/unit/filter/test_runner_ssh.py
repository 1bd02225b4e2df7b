# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH key for jobs: its files, what is wrong with it, and that no line and no plan shows it."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import runner_plan
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.ssh import runner_ssh_files
from tests.unit.filter.test_runner_plan import HOST, problems, variables

Private = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def text(key: Private, form: PrivateFormat = PrivateFormat.OpenSSH, passphrase: bytes = b"") -> str:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()


#: The beginning of what `ssh-keygen` writes with a passphrase; to make a whole one takes a library more.
ENCRYPTED = "\n".join(
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        base64.b64encode(b"openssh-key-v1\0\0\0\0\x0aaes256-ctr\0\0\0\x06bcrypt" + bytes(90)).decode(),
        "-----END OPENSSH PRIVATE KEY-----",
    ]
)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (text(ED25519), "id_ed25519"),
        (text(RSA), "id_rsa"),
        (text(EC), "id_ecdsa"),
        (text(RSA, PrivateFormat.TraditionalOpenSSL), "id_rsa"),
        (text(EC, PrivateFormat.TraditionalOpenSSL), "id_ecdsa"),
        (text(ED25519).strip(), "id_ed25519"),  # as YAML's `|-` gives it
        (text(ED25519).replace("\n", "\r\n"), "id_ed25519"),
    ],
)
def test_a_key_becomes_a_file_of_its_kind(key: str, name: str) -> None:
    files = runner_ssh_files(variables(ssh_key=key, ssh_known_hosts="host ssh-ed25519 AAAA\n"))
    assert files.keys() == {f"default/{name}", "default/known_hosts"}
    assert files[f"default/{name}"].endswith("KEY-----\n") and "\r" not in files[f"default/{name}"]
    assert files["default/known_hosts"] == "host ssh-ed25519 AAAA\n"


def test_no_key_is_no_file() -> None:
    assert runner_ssh_files(variables()) == {}


def test_a_pool_has_its_own_key_or_none() -> None:
    pools = [{"name": "default"}, {"name": "bare", "ssh_key": ""}, {"name": "other", "ssh_key": text(RSA)}]
    mine = variables(ssh_key=text(ED25519), pools=pools)
    assert {path for path in runner_ssh_files(mine) if "known" not in path} == {"default/id_ed25519", "other/id_rsa"}
    plan = runner_plan(mine, HOST)
    assert plan["problems"] == []
    assert [bool(pool["ssh"]["digest"]) for pool in plan["pools"]] == [True, False, True]
    shown = json.dumps(plan)
    assert not any(line in shown for line in text(ED25519).splitlines()[1:-1] + text(RSA).splitlines()[1:-1])


def test_a_new_key_and_new_known_hosts_are_a_new_definition() -> None:
    keys = [
        {"ssh_key": text(ED25519)},
        {"ssh_key": text(RSA)},
        {"ssh_key": text(RSA), "ssh_known_hosts": "host ssh-rsa AAAA\n"},
    ]
    digests = [runner_plan(variables(**own), HOST)["pools"][0]["ssh"]["digest"] for own in keys]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (ENCRYPTED, "encrypted"),
        (text(RSA, PrivateFormat.TraditionalOpenSSL, b"secret"), "encrypted"),
        (text(RSA, PrivateFormat.PKCS8), "a private key, which ssh does not take everywhere"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@host", "the public key"),
        ("~/.ssh/id_ed25519", "the path of a file"),
        (text(ED25519).replace("\n", " "), "not a private key"),
        (text(ED25519)[:200], "not a private key"),
        (text(ED25519).replace("b3Bl", "xxxx", 1), "damaged"),
        (12, "not a text"),
    ],
)
def test_a_bad_key_is_one_line_that_does_not_show_it(key: object, why: str) -> None:
    (line,) = problems(ssh_key=key)
    assert line.startswith(f"{PREFIX}ssh_key = (hidden): {why}. Do: ") or f": {why}, " in line, line
    assert not any(part in line for part in str(key).split()[1:] if len(part) > 30)


def test_known_hosts_is_a_text() -> None:
    (line,) = problems(ssh_known_hosts=["host key"])
    assert line.startswith(f"{PREFIX}ssh_known_hosts = (hidden): not a text. Do: ")
