# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of runners and what a JIT configuration is made of."""

from __future__ import annotations

import base64
import json
import threading
from collections import deque

from cryptography.hazmat.primitives.asymmetric import rsa


def new_key() -> rsa.RSAPrivateKey:
    """A 2048 bit RSA key, which is what GitHub gives a runner. Takes 50 to 500 ms."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class KeyPool:
    """A few keys made ahead in a thread, so that a burst of registrations is as quick as at GitHub."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._ready: deque[rsa.RSAPrivateKey] = deque()
        self._taken = threading.Condition()
        self._started = threading.Lock()

    def start(self) -> None:
        """Begin to make keys, if that has not begun. The thread lives as long as the process."""
        if self._started.acquire(blocking=False):
            threading.Thread(target=self._fill, name="runner keys", daemon=True).start()

    def ahead(self, count: int) -> None:
        """Make so many more than are kept ready anyway, so that none is made while these are taken."""
        while len(self._ready) < count + self._size:
            self._ready.append(new_key())

    def _fill(self) -> None:
        while True:
            with self._taken:
                self._taken.wait_for(lambda: len(self._ready) < self._size)
            self._ready.append(new_key())

    def take(self) -> rsa.RSAPrivateKey:
        """A key that is ready, or one made now."""
        with self._taken:
            ready = self._ready.popleft() if self._ready else None
            self._taken.notify()
        return ready or new_key()


KEYS = KeyPool()  # one for all doubles in this process: no key is made in vain


def _number(value: int) -> str:
    return base64.b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


def rsa_parameters(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The content of ``.credentials_rsaparams``: base64 of each big-endian number."""
    private = key.private_numbers()
    return {
        "exponent": _number(private.public_numbers.e),
        "modulus": _number(private.public_numbers.n),
        "d": _number(private.d),
        "p": _number(private.p),
        "q": _number(private.q),
        "dp": _number(private.dmp1),
        "dq": _number(private.dmq1),
        "inverseQ": _number(private.iqmp),
    }


def encode(files: dict[str, object]) -> str:
    """``encoded_jit_config``: base64 of a JSON object, file name to base64 of the file's JSON."""
    inner = {name: base64.b64encode(json.dumps(content).encode()).decode() for name, content in files.items()}
    return base64.b64encode(json.dumps(inner).encode()).decode()
