# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy (HTTP's CONNECT) in a container of the lab: by it this machine reaches servers under the lab's own names.

Ansible's control node is outside, where nobody knows these names and container addresses may lead nowhere. It stands by
itself: the lab copies this one file into the container.
"""

from __future__ import annotations

import asyncio
import contextlib

PORT = 3128
#: Seconds to reach a server.
TIMEOUT = 10


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of a client: what it wants, then bytes in both directions until both sides have ended."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, *_version = head.split("\r\n")[0].split(" ")
        name, _colon, port = target.rpartition(":")
        if method != "CONNECT" or not port.isdigit():
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\n\r\n")
        else:
            await _tunnel(reader, writer, name, int(port))
        await writer.drain()
    writer.close()


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, port: int) -> None:
    try:
        there = await asyncio.wait_for(asyncio.open_connection(name, port), TIMEOUT)
    except (OSError, asyncio.TimeoutError):
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        return
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
    there[1].close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.write_eof()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, "0.0.0.0", PORT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
