# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines, for the Proxmox VE double: Debian with a kernel of its own, cloud-init and the QEMU guest agent.

Each runs in a container of the lab, whose cable it has: the lab's network sees its address, and not the container's.
QEMU emulates the processor, so that everything in it is several times slower.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from docker.models.containers import Container

from tests.doubles.proxmox.machines import Boot
from tests.lab.common import Problem
from tests.lab.host import execute
from tests.lab.images import File
from tests.lab.lab import VM
from tests.lab.proxmox import ContainerMachines

AGENT = "/usr/local/lib/agent.py"
#: Its exit code when no agent answers.
SILENT = 3
#: Where a command is written to that QEMU obeys.
MONITOR = "/disk/monitor.in"


class QemuMachines(ContainerMachines):
    """Each is a VM. What is on its disk is in `recipes/qemu`: nothing else that `Boot.image` says is heeded."""

    def _make(self, boot: Boot) -> Container:
        return self.lab.qemu(f"{VM}{boot.vmid}")

    def _laid_down(self, boot: Boot) -> dict[str, File]:
        return laid_down(boot, self._trusted())

    def shutdown(self, vmid: int) -> None:
        """Press ACPI's button."""
        execute(self._machines[vmid].container, ["sh", "-c", f"echo system_powerdown >{MONITOR}"])

    def interfaces(self, vmid: int) -> list[dict[str, Any]] | None:
        """As the agent says; None while none answers."""
        if not (self._machines[vmid].boot.agent and self.running(vmid)):
            return None
        try:
            return list(self._ask(vmid, "guest-network-get-interfaces"))
        except TimeoutError:
            return None

    def run(self, vmid: int, command: Sequence[str], stdin: bytes) -> tuple[int, str, str]:
        """By the agent. Raises TimeoutError where none answers, Problem where there is no such program."""
        pid = self._ask(vmid, "guest-exec", **execution(command, stdin))["pid"]
        while not (status := self._ask(vmid, "guest-exec-status", pid=pid))["exited"]:
            time.sleep(0.2)
        return ended(status)

    def _ask(self, vmid: int, what: str, **arguments: Any) -> Any:
        request = json.dumps({"execute": what, "arguments": arguments})
        done = execute(self._machines[vmid].container, ["python3", AGENT, request])
        if done.rc == SILENT:
            raise TimeoutError(f"VM {vmid}: {done.stderr.strip()}")
        if done.rc:
            raise Problem(f"VM {vmid}: {AGENT} ended with {done.rc}: {done.stderr.strip()}")
        return answer(done.stdout)


def laid_down(boot: Boot, trusted: bytes) -> dict[str, File]:
    """What `recipes/qemu/vm-boot` reads: the machine's settings, and the files of the drive `cidata`.

    Args:
        boot: what it gets.
        trusted: cloud-init's settings that a company has for all its machines.
    """
    settings = {"mac": boot.cards[0][0], "cores": boot.cores, "memory": boot.memory}
    drive = {"vendor-data": b"#cloud-config\n" + trusted, **{n: t.encode() for n, t in (boot.cloudinit or {}).items()}}
    return {
        **{f"etc/lab/{name}": File(f"{value}\n".encode()) for name, value in settings.items()},
        **{f"etc/lab/cidata/{name}": File(content, 0o600) for name, content in drive.items()},
    }


def execution(command: Sequence[str], stdin: bytes) -> dict[str, Any]:
    """The arguments of `guest-exec`."""
    found: dict[str, Any] = {"path": command[0], "arg": list(command[1:]), "capture-output": True}
    return {**found, "input-data": base64.b64encode(stdin).decode()} if stdin else found


def ended(status: Mapping[str, Any]) -> tuple[int, str, str]:
    """Exit code (as a shell's, where a signal ended it), output and errors, from `guest-exec-status`."""
    out, err = (base64.b64decode(status.get(name, "")).decode(errors="replace") for name in ("out-data", "err-data"))
    return status["exitcode"] if "exitcode" in status else 128 + status["signal"], out, err


def answer(line: str) -> Any:
    """What the agent returns. Raises Problem where it refuses."""
    said = json.loads(line)
    if "error" in said:
        raise Problem(f"the guest agent: {said['error']['desc']}")
    return said["return"]
