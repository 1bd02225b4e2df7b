# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m ...github``: serve the double until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from .server import Options, serving


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
    whole = argparse.ArgumentParser(
        prog="github-double", description="A stand-in for GitHub's side of self-hosted runners."
    )
    whole.add_argument("--host", default="0.0.0.0", help="address of both ports (%(default)s)")
    whole.add_argument("--port", type=int, default=443, help="port of the API (%(default)s)")
    whole.add_argument(
        "--admin-port", type=int, default=8080, help="port of the page and of control, plain HTTP (%(default)s)"
    )
    whole.add_argument(
        "--cert", type=Path, help="TLS certificate (with its chain), PEM; without one the API is plain HTTP"
    )
    whole.add_argument("--key", type=Path, help="its private key, PEM")
    whole.add_argument(
        "--public-url",
        default="",
        help="how runners reach the API; default: as the maker of their JIT configuration did",
    )
    whole.add_argument("--credentials", type=_json, default={}, metavar="FILE", help="credentials.json, see README.md")
    whole.add_argument("--apps", type=_json, default={}, metavar="FILE", help="apps.json, GitHub Apps")
    whole.add_argument("--scopes", type=_json, default={}, metavar="FILE", help="scopes.json")
    whole.add_argument("--settings", type=_json, default={}, metavar="FILE", help="settings.json")
    whole.add_argument(
        "--credential",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "TOKEN", "SCOPE[,SCOPE...]"),
        help="a classic token that may manage the runners of these scopes",
    )
    return whole


async def serve(options: Options) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(options) as double:
        print(f"GitHub double: API {double.api_url}, page {double.admin_url}/", flush=True)
        await stop.wait()


def main() -> int:
    """Entry point. 0 stopped, 1 cannot start, 2 wrong use."""
    found = parser().parse_args()
    if (found.cert is None) != (found.key is None):
        parser().error("--cert and --key go together")
    for name, token, scopes in found.credential:
        found.credentials[name] = {"token": token, "scopes": dict.fromkeys(scopes.split(","), "write")}
    options = Options(
        host=found.host,
        port=found.port,
        admin_host=found.host,
        admin_port=found.admin_port,
        cert=found.cert,
        key=found.key,
        public_url=found.public_url,
        credentials=found.credentials,
        apps=found.apps,
        scopes=found.scopes,
        settings=found.settings,
    )
    try:
        asyncio.run(serve(options))
    except (OSError, ValueError) as error:
        print(f"github-double: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
