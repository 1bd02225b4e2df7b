# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's proxy, spoken to as a client of HTTP does."""

from __future__ import annotations

import asyncio

import pytest

from tests.lab import proxy


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that ends when its client has."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


async def ask(request: str, after: bytes = b"") -> bytes:
    """All that comes back for a request; `{port}` in it is that of a server, `{closed}` one where nobody listens."""
    async with (
        await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as through,
        await asyncio.start_server(shout, "127.0.0.1", 0) as server,
    ):
        closed = await asyncio.start_server(shout, "127.0.0.1", 0)
        ports = {"port": server.sockets[0].getsockname()[1], "closed": closed.sockets[0].getsockname()[1]}
        closed.close()
        await closed.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", through.sockets[0].getsockname()[1])
        writer.write(request.format(**ports).encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n" + after)
        writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


def test_a_tunnel_passes_everything_on_in_both_directions() -> None:
    said = asyncio.run(ask("CONNECT 127.0.0.1:{port}", b"hello" * 50_000))
    assert said == b"HTTP/1.1 200 Connection established\r\n\r\n" + b"HELLO" * 50_000


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("CONNECT 127.0.0.1:{closed}", b"502"),
        ("CONNECT nowhere.invalid:443", b"502"),
        ("CONNECT 127.0.0.1", b"405"),
        ("GET http://127.0.0.1:{port}/", b"405"),
    ],
)
def test_anything_else_is_refused(request_line: str, status: bytes) -> None:
    assert asyncio.run(ask(request_line)).split(b" ")[1] == status
