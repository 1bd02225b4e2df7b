# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what GitHub answered: JSON is taken apart strictly, so that a wrong shape is an error where it is met."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from .errors import NOT_GITHUB, ProtocolError, facts

T = TypeVar("T")


@dataclass(frozen=True)
class Response:
    """A 2xx answer. `data` is its JSON, None if there was no body; it may hold a credential, and is not shown."""

    status: int
    data: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    url: str = ""


class ShapeError(Exception):
    """JSON that is not of the shape that was expected. Tells names and types, never values."""


def take(data: Any, key: str, kind: type[T]) -> T:
    """`data[key]`, which must be there and of the JSON type `kind`.

    Raises:
        ShapeError: It is not so.
    """
    if not isinstance(data, dict):
        raise ShapeError(f"what should have a {key!r} is {type(data).__name__}")
    value = data.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):  # to Python, true is a number
        raise ShapeError(f"{key!r} is {type(value).__name__}, not {kind.__name__}")
    return value


def take_if_there(data: Any, key: str, kind: type[T]) -> T | None:
    """Like `take`, but None if it is absent or null."""
    return None if isinstance(data, dict) and data.get(key) is None else take(data, key, kind)


def take_number(data: Any, key: str) -> float:
    """Like `take`, for a number with or without a fraction."""
    value = take(data, key, object)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ShapeError(f"{key!r} is {type(value).__name__}, not a number")
    return float(value)


def as_list(data: Any) -> list[Any]:
    """The data, which must be a list; ShapeError if not."""
    if not isinstance(data, list):
        raise ShapeError(f"what should be a list is {type(data).__name__}")
    return data


def take_time(data: Any, key: str) -> float:
    """Like `take`, for a time: epoch seconds."""
    time = epoch(take(data, key, str))
    if time is None:
        raise ShapeError(f"{key!r} is no time")
    return time


def take_time_if_there(data: Any, key: str) -> float | None:
    """Like `take_time`, but None if it is absent or null."""
    return None if isinstance(data, dict) and data.get(key) is None else take_time(data, key)


def parse(response: Response, action: str, reader: Callable[[Any], T]) -> T:
    """What `reader` makes of the answer's data.

    Raises:
        ProtocolError: The data is not of the shape that `reader` takes.
    """
    try:
        return reader(response.data)
    except ShapeError as exc:
        problem = str(exc)
    # Raised out here, without the frames of `reader`: they hold the data.
    seen = facts(response.url, response.status, response.headers)
    raise ProtocolError(action, message=f"not what GitHub answers: {problem}", hint=NOT_GITHUB, **seen)


def epoch(text: str) -> float | None:
    """Epoch seconds of a time as GitHub writes it; None if it is no time.

    Seen: ``2026-11-21T10:00:00Z``, ``2020-01-22T12:13:35.123-08:00`` (the API's examples) and, in the header
    github-authentication-token-expiration, ``2026-11-21 10:00:00 UTC`` and ``2026-11-21 10:00:00 +0100``.
    """
    found = re.fullmatch(r"([0-9-]{10})[T ]([0-9:]{8})(?:\.[0-9]+)? ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})", text.strip())
    if not found:
        return None
    day, hour, zone = found.groups()
    try:
        return datetime.strptime(f"{day} {hour} {zone.replace('UTC', 'Z')}", "%Y-%m-%d %H:%M:%S %z").timestamp()
    except (ValueError, OverflowError):
        return None
