# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's certificate authority and SSH key: made once per lab, kept in its folder, gone with it."""

from __future__ import annotations

import os
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Authority:
    """A certificate authority that only the lab's own containers trust.

    Args:
        folder: where certificate and key are kept; they are made there if they are missing.
    """

    def __init__(self, folder: Path) -> None:
        certificate, key = folder / "ca.pem", folder / "ca.key"
        if certificate.exists() and key.exists():
            self._ca = trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
        else:
            self._ca = trustme.CA(organization_name="ephemeral.github_runners lab")
            write_private(key, self._ca.private_key_pem.bytes())
            certificate.write_bytes(self._ca.cert_pem.bytes())
        #: The certificate, as a file for who shall trust it (`REQUESTS_CA_BUNDLE`, `verify=`).
        self.path = certificate
        self.certificate = self._ca.cert_pem.bytes()

    def issue(self, *names: str) -> tuple[bytes, bytes]:
        """A server's certificate with its chain, and its key, both PEM."""
        leaf = self._ca.issue_cert(*names)
        return b"".join(blob.bytes() for blob in leaf.cert_chain_pems), leaf.private_key_pem.bytes()


def ssh_key(path: Path) -> str:
    """Make an Ed25519 key at `path` unless there is one, and return the line for authorized_keys.

    Not by ssh-keygen: a machine without an SSH client can make one, too.
    """
    if not path.exists():
        write_private(
            path,
            Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            ),
        )
    key = serialization.load_ssh_private_key(path.read_bytes(), None).public_key()
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{line.decode()} lab"


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from the first byte on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
