# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``Admin``, the admin port's client for tests. Standard library only."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8081"


class AdminError(Exception):
    """The double refused, or did not answer."""


class Admin:
    """The admin port. Every method raises AdminError with what is wrong."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url.rstrip("/")

    def call(self, method: str, path: str, body: Any = None, timeout: float = 30) -> Any:
        """One request; the JSON answered, None without one. ``timeout`` in seconds."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            with contextlib.suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["error"]
            raise AdminError(f"{method} {path}: {error.code}: {text}") from None
        except OSError as error:
            raise AdminError(f"The Proxmox VE double does not answer at {self.url} ({error}). Is it running?") from None
        return json.loads(text) if text else None

    def state(self) -> dict[str, Any]:
        """nodes, storages, vms, pools, ha, tasks, complaints, changes."""
        return dict(self.call("GET", "/_admin/state"))

    def vm(self, vmid: int) -> dict[str, Any] | None:
        """A VM of the state; None when there is none."""
        found = self.state()["vms"].get(str(vmid))
        return None if found is None else dict(found)

    def wait(self, done: Callable[[dict[str, Any]], Any], timeout: float = 60) -> Any:
        """Wait until ``done(state)`` is true, asked anew after every change; what it returned. Raises TimeoutError."""
        end, state = time.monotonic() + timeout, self.state()
        while not (found := done(state)):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Waited {timeout:g} s in vain. The double's state: {json.dumps(state)}")
            hold = min(left, 10)
            state = self.call("GET", f"/_admin/state?after={state['changes']}&timeout={hold}", timeout=hold + 30)
        return found

    def journal(self, since: int = 0) -> dict[str, Any]:
        """``{last, entries}``: the requests after number ``since``."""
        return dict(self.call("GET", f"/_admin/journal?since={since}"))

    def fault(self, **fields: Any) -> int:
        """Order a fault; its id. The fields are in README.md."""
        return int(self.call("POST", "/_admin/faults", fields)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The faults in force, with ``matched`` and ``applied``."""
        return list(self.call("GET", "/_admin/faults")["faults"])

    def clear_faults(self) -> None:
        """Forget all faults."""
        self.call("DELETE", "/_admin/faults")

    def define(self, **things: Any) -> None:
        """Add or change nodes, storages, vms, pools, ha."""
        self.call("PUT", "/_admin/cluster", things)

    def remove_vm(self, vmid: int) -> None:
        """A VM is gone, as if somebody had removed it by hand."""
        self.call("DELETE", f"/_admin/vms/{vmid}")

    def power_off(self, vmid: int) -> None:
        """A VM is off, as if it had powered itself off."""
        self.call("POST", f"/_admin/vms/{vmid}/off")

    def access(self, **things: Any) -> None:
        """Replace all users, roles and access control lists."""
        self.call("PUT", "/_admin/access", things)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings (none: just read them); all of them."""
        return dict(self.call("PATCH", "/_admin/settings", changes))
