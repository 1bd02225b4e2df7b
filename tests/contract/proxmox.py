# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the Proxmox VE double speak with: the real proxmoxer, and the real modules in processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI

from tests.doubles.proxmox.server import Double
from tests.gates import community_proxmox

USER, TOKEN, SECRET = "ansible@pve", "runners", "11111111-2222-3333-4444-theSecretOfTheToken"
WORKER = Path(__file__).parents[1] / "unit" / "modules" / "worker.py"
#: What is enough for all that these tests do, on Proxmox VE 9.
PRIVILEGES = (
    "Datastore.AllocateSpace Datastore.Audit Pool.Audit SDN.Use Sys.Audit VM.Allocate VM.Audit VM.Clone "
    "VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk VM.Config.HWType VM.Config.Memory "
    "VM.Config.Network VM.Config.Options VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.PowerMgmt"
).split()


def access(privileges: list[str] | None = None, path: str = "/") -> dict[str, Any]:
    """A user and its token with these privileges at one path and below."""
    both = (USER, f"{USER}!{TOKEN}")
    return {
        "users": {USER: {"tokens": {TOKEN: {"secret": SECRET}}}},
        "roles": {"Runners": PRIVILEGES if privileges is None else privileges},
        "acl": [{"path": path, "who": who, "role": "Runners"} for who in both],
    }


class Api:
    """proxmoxer with the token, and what waiting needs."""

    def __init__(self, double: Double, ca: Path, node: str = "pve", secret: str = SECRET) -> None:
        self.node = node
        self.root = ProxmoxAPI(
            double.host, port=double.port, user=USER, token_name=TOKEN, token_value=secret, verify_ssl=str(ca)
        )

    def vm(self, vmid: int) -> Any:
        """A VM's resource."""
        return self.root.nodes(self.node).qemu(vmid)

    def wait(self, upid: str) -> str:
        """How a task ended."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = self.root.nodes(self.node).tasks(upid).status.get()
            if found["status"] == "stopped":
                return str(found["exitstatus"])
            time.sleep(0.02)
        raise TimeoutError(upid)

    def clone(self, vmid: int, **fields: Any) -> Any:
        """A clone of the template, made; its resource."""
        assert self.wait(self.vm(9999).clone.post(newid=vmid, name=f"runner-{vmid}", **fields)) == "OK"
        return self.vm(vmid)

    def start(self, vmid: int) -> None:
        """Switch on, and wait for the agent."""
        assert self.wait(self.vm(vmid).status.start.post()) == "OK"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.vm(vmid).agent.ping.post()
                return
            except Exception:
                time.sleep(0.05)
        raise TimeoutError("no agent")


Run = Callable[..., dict[str, Any]]


@contextmanager
def modules(major: int, folder: Path) -> Iterator[Callable[[dict[str, Any]], str]]:
    """A worker that runs the modules of one major version of community.proxmox."""
    outside = re.compile(r"(?i).*_proxy|PROXMOX_.*|.*_CA_BUNDLE|NETRC")
    environ = {name: value for name, value in os.environ.items() if not outside.fullmatch(name)}
    output = folder / f"output-{major}"
    with subprocess.Popen(
        [sys.executable, str(WORKER)],
        env={**environ, "PYTHONPATH": str(community_proxmox.path(major))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def run(order: dict[str, Any]) -> str:
            assert process.stdin
            assert process.stdout
            output.unlink(missing_ok=True)
            print(json.dumps({**order, "output": str(output)}), file=process.stdin, flush=True)
            assert process.stdout.readline() == "done\n"
            return output.read_text("utf-8")

        yield run
        assert process.stdin
        process.stdin.close()


def runner(worker: Callable[[dict[str, Any]], str], double: Double, ca: Path, folder: Path) -> Run:
    """Runs a module against the double. Options are the module's; None takes one of the usual ones out."""

    def run(module: str, /, check: bool = False, **options: Any) -> dict[str, Any]:
        usual = {
            "api_host": double.host,
            "api_port": double.port,
            "api_user": USER,
            "api_token_id": TOKEN,
            "api_token_secret": SECRET,
            "validate_certs": True,
        }
        arguments = {key: value for key, value in {**usual, **options}.items() if value is not None}
        arguments |= {f"_ansible_{own}": str(folder) for own in ("remote_tmp", "tmpdir")}
        arguments |= {"_ansible_check_mode": check, "_ansible_verbosity": 0, "_ansible_diff": True}
        # 1.4 has no option for an own authority; `requests` takes it from here.
        environ = {"HOME": str(folder), "REQUESTS_CA_BUNDLE": str(ca)}
        order = {"module": f"community.proxmox.{module}", "arguments": arguments, "missing": [], "added": {}}
        said = worker({**order, "environ": environ})
        assert SECRET not in said
        try:
            found = json.loads(said)
        except ValueError:
            pytest.fail(said, pytrace=False)
        assert isinstance(found, dict)
        return found

    return run
