# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The credential as it goes over a container's standard input.

GitHub's JIT configuration is base64 of a JSON object: file name to base64 of the file (actions/runner, Runner.cs). The
entrypoint gets one line a file and the line `end`, so that it needs no JSON parser; these files are the runner's own.

One thing is added to them: the runner shall not update itself. A fresh container for each job would fetch the new
version again and again, and another program would run than the image holds; the image is updated instead. The API
has no field for it, but `DisableUpdate` in `.runner` (ConfigurationStore.cs) is what the runner tells the server when
it asks for messages (BrokerMessageListener.cs), and the server then sends it no update.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

_NAME = re.compile(r"^\.[a-z_]+$")


class CredentialError(Exception):
    """GitHub's answer is not a JIT configuration. Never shows any of it."""


def _without_update(settings: bytes) -> bytes:
    """The content of `.runner` with the wish not to be updated; unchanged if it is of a form that we do not know."""
    try:
        values = json.loads(settings.decode("utf-8-sig"))
    except ValueError:
        return settings
    if not isinstance(values, dict):
        return settings
    own = {name: value for name, value in values.items() if name.lower() != "disableupdate"}
    return json.dumps({**own, "DisableUpdate": True}).encode()


def input_lines(encoded: str) -> bytes:
    """What is written to the container for one JIT configuration."""
    try:
        files = json.loads(base64.b64decode(encoded, validate=True))
        if not isinstance(files, dict) or ".runner" not in files:
            raise ValueError("no .runner")
        lines = []
        for name, content in files.items():
            # The name becomes a path in the container: nothing but GitHub's own plain names.
            if not _NAME.match(name):
                raise ValueError("a file name")
            plain = base64.b64decode(content, validate=True)
            if name == ".runner":
                content = base64.b64encode(_without_update(plain)).decode("ascii")
            lines.append(f"{name} {content}")
    except (ValueError, TypeError, binascii.Error):
        raise CredentialError("GitHub's answer is not a JIT configuration that this version understands") from None
    return "\n".join([*lines, "end", ""]).encode("ascii")
