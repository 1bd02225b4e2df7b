# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that a run can wait for, where the double's machines do not boot: this machine, with a few stand-ins.

Something says ``SSH-`` to whoever asks at the address that the agent tells, the agent tells a host key, whoever logs in
is here already; ``cloud-init`` and the ``python3`` that asks for the package lock end at once, or never, if they are
told to. The tasks, their limits and what becomes of the answers are the role's. Guests that boot are in
tests/e2e/own_host.
"""

from __future__ import annotations

import os
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.doubles.proxmox.machines import MachinesInMemory
from tests.doubles.proxmox.server import Double

ADDRESS = "192.0.2.100"  # as the double's DHCP gives it
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGuestGuestGuestGuestGuestGuestGuestGuestGue"
#: Nobody has that address: whoever opens a connection to its SSH is handed on to a port of this machine.
_HANDED_ON = f"""
import os, socket
real = socket.create_connection
def create_connection(address, *more, **named):
    there = ("127.0.0.1", int(os.environ["GUEST_PORT"])) if tuple(address) == ({ADDRESS!r}, 22) else address
    return real(there, *more, **named)
socket.create_connection = create_connection
"""
#: Programs of the guest, that the control node is not asked for.
_PROGRAMS = ("cloud-init", "python3")


class _Banner(socketserver.BaseRequestHandler):
    """An SSH server's first words."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-stand-in\r\n")


@dataclass(frozen=True)
class Guest:
    """What stands in for the VM `gh-runner-01`."""

    environ: dict[str, str]  # for a run that is to find it
    folder: Path

    def inventory(self, **variables: str) -> None:
        """How it is logged in to."""
        told = " ".join(f"{name}={value!r}" for name, value in variables.items())
        (self.folder / "guest.ini").write_text(f"gh-runner-01 {told}\n")

    def here(self) -> None:
        """Whoever logs in is here."""
        self.inventory(ansible_connection="local", ansible_become="false", ansible_python_interpreter=sys.executable)

    def answers(self, program: str, does: str = "exit 0") -> None:
        """What a program of the guest does, as a shell's commands."""
        path = self.folder / "bin" / program
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)


@contextmanager
def guest(double: Double, folder: Path) -> Iterator[Guest]:
    """A guest that answers; the double tells its address and its key."""
    machines = double.machines
    assert isinstance(machines, MachinesInMemory)
    machines.files["/etc/ssh/ssh_host_ed25519_key.pub"] = f"{HOST_KEY} root@guest\n".encode()
    # One lease, whichever disk it boots: every VM that comes after it is the same machine to DHCP.
    double.admin.define(vms={"9999": {"image": {"machine_id": "0123456789abcdef0123456789abcdef"}}})
    for name in ("bin", "site"):
        (folder / name).mkdir()
    (folder / "site" / "sitecustomize.py").write_text(_HANDED_ON)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Banner) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = Guest(
            {
                "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(folder / "site"),
                "GUEST_PORT": str(server.server_address[1]),
                "ANSIBLE_INVENTORY": str(folder / "guest.ini"),
            },
            folder,
        )
        found.here()
        for program in _PROGRAMS:
            found.answers(program)
        try:
            yield found
        finally:
            server.shutdown()
