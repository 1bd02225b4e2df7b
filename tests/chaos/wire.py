# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What takes the network's place: the double's loop, which lets virtual time pass, and what is on the wire."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests
import urllib3
from aiohttp.typedefs import URL

from tests.doubles.github.jit import new_key

from .world import EPOCH, Time


class Waiting(selectors.SelectSelector):
    """Who waits in the double's loop lets virtual time pass."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> Any:
        self._time.passes(timeout or 0.0)
        return super().select(0)


class Inline(ThreadPoolExecutor):
    """Does it at once: nothing here needs a thread."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **options))
        return future


class OneKey:
    """The key of every runner: making one takes longer than all else of a simulated day."""

    def __init__(self) -> None:
        self._key = new_key()

    def take(self) -> Any:
        return self._key


ONE_KEY = OneKey()


class Wire:
    """Where aiohttp would write to."""

    def send_headers(self) -> None:
        """The only one that nobody waits for."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def nothing(*arguments: Any) -> None:
            """Nobody reads it."""

        return nothing


class Pool:
    """What urllib3 names in an error."""

    def __str__(self) -> str:
        return "the way to GitHub"


def refused(url: URL) -> Exception:
    return urllib3.exceptions.NewConnectionError(Pool(), f"{url.host}: Connection refused")


def wait_of(answer: requests.Response) -> dict[str, float]:
    """Until when GitHub itself wants to hear nothing more, if it says so."""
    headers = answer.headers
    if answer.status_code not in (403, 429):
        return {}
    if "retry-after" in headers:
        return {"wait": float(headers["retry-after"])}
    if headers.get("x-ratelimit-remaining") == "0":
        return {"until": float(headers["x-ratelimit-reset"]) - EPOCH}
    return {"wait": 60.0} if answer.status_code == 429 or "rate limit" in answer.text else {}
