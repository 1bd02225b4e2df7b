# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The credential as it goes over a container's standard input.

GitHub's JIT configuration is base64 of a JSON object: file name to base64 of the file (actions/runner, Runner.cs). The
entrypoint gets one line a file and the line `end`, so that it needs no JSON parser; these files are the runner's own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

_NAME = re.compile(r"^\.[a-z_]+$")


class CredentialError(Exception):
    """GitHub's answer is not a JIT configuration. Never shows any of it."""


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
            base64.b64decode(content, validate=True)
            lines.append(f"{name} {content}")
    except (ValueError, TypeError, binascii.Error):
        raise CredentialError("GitHub's answer is not a JIT configuration that this version understands") from None
    return "\n".join([*lines, "end", ""]).encode("ascii")
