# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m tests.doubles.proxmox``: serve the double, with machines in memory, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from tests.gates.wheels import MissingWheel

from .server import DoubleFailed, Options, serving


def _json(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{path}: not a JSON object")
    return found


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="proxmox-double", description="A stand-in for Proxmox VE.")
    whole.add_argument("--port", type=int, default=8006, help="port of the API of every node (%(default)s)")
    whole.add_argument("--admin-port", type=int, default=8081, help="port of control, plain HTTP (%(default)s)")
    whole.add_argument("--cert", type=Path, required=True, help="TLS certificate (with its chain), PEM")
    whole.add_argument("--key", type=Path, required=True, help="its private key, PEM")
    for name in ("cluster", "access", "settings"):
        whole.add_argument(f"--{name}", type=_json, default={}, metavar="FILE", help=f"{name}.json, see README.md")
    whole.add_argument("--bare", action="store_true", help="without the usual node, storages and template")
    return whole


async def serve(options: Options) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(options) as double:
        print(f"Proxmox VE double: API https://{double.host}:{double.port}, admin {double.admin_url}/", flush=True)
        await stop.wait()


def main() -> int:
    """Entry point. 0 stopped, 1 cannot start or was asked for what it does not serve, 2 wrong use."""
    found = parser().parse_args()
    try:
        asyncio.run(serve(Options(**vars(found))))
    except (OSError, ValueError, MissingWheel, DoubleFailed) as error:
        print(f"proxmox-double: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
