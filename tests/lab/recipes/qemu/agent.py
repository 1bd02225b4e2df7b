# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a VM's guest agent one thing: `agent.py REQUEST` prints its answer; exit code 3 means that none answers.

Where the agent does not run yet, QEMU keeps what was sent for it: answers to earlier questions may come first. So each
question begins with a number that the agent has to repeat (guest-sync-delimited, QEMU Guest Agent Protocol Reference).
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from typing import BinaryIO

SOCKET = "/run/agent.sock"
#: Seconds until an agent that runs has answered at all, and until it has done what was asked.
ALIVE, DONE = 10.0, 120.0


def ask(connection: socket.socket, request: bytes, number: int) -> bytes:
    """The answer's line. Raises TimeoutError or ConnectionError."""
    sync = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
    connection.settimeout(ALIVE)
    # The byte ends whatever somebody else has begun to say, and the answer begins with it.
    connection.sendall(b"\xff" + json.dumps(sync).encode() + b"\n")
    answers = connection.makefile("rb")
    while _line(answers).rpartition(b"\xff")[2].strip() != b'{"return": %d}' % number:
        pass
    connection.settimeout(DONE)
    connection.sendall(request + b"\n")
    return _line(answers)


def _line(answers: BinaryIO) -> bytes:
    line = answers.readline()
    if not line:
        raise ConnectionError("the VM has been switched off")
    return line


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as agent:
        try:
            agent.settimeout(ALIVE)
            agent.connect(SOCKET)
            sys.stdout.buffer.write(ask(agent, sys.argv[1].encode(), secrets.randbelow(2**31)))
        except OSError as error:
            print(f"The guest agent does not answer: {error}", file=sys.stderr)
            sys.exit(3)
