# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proxmox VE for a lab whose makers come and go: the double, with machines that boot, as a process of its own.

`python -m tests.lab.pve PREFIX` serves until SIGTERM; `ProxmoxVE` starts it, finds it, stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.doubles.proxmox import pveum
from tests.doubles.proxmox.cli import Admin
from tests.doubles.proxmox.server import DoubleFailed, Options, serving
from tests.lab.common import CACHE, CHECKOUT, Problem, eventually
from tests.lab.host import Machine
from tests.lab.keys import ssh_key, write_private
from tests.lab.lab import Lab
from tests.lab.proxmox import LabMachines

#: Of the token that the role's README has an administrator make. It opens nothing but the double.
SECRET = "11111111-2222-3333-4444-555555555555"
USER, TOKEN = "ansible@pve", "runners"
ROLE_README = CHECKOUT / "roles" / "proxmox_runner_vm" / "README.md"
#: Seconds. It fetches the API's description when it is started for the first time.
START = 120
#: The template wants no upgrade of packages at the first boot: that would take an archive and minutes.
CLUSTER = {"vms": {"9999": {"config": {"ciupgrade": 0}}}}


@dataclass(frozen=True)
class Where:
    """Where it serves.

    Attributes:
        host: the address of its API, which speaks TLS by a certificate of the lab's authority.
        port: the API's port.
        admin_url: of the port of control.
        nameserver: who knows the lab's servers, for machines.
    """

    host: str
    port: int
    admin_url: str
    nameserver: str


def vm_variables(lab: Lab, machine: Machine, where: Where) -> dict[str, Any]:
    """What a user writes into `proxmox.yml`, for a VM that is this machine."""
    values = {
        "api_hosts": [where.host],
        "api_port": where.port,
        "ca_file": str(lab.authority.path),
        "api_user": USER,
        "api_token_id": TOKEN,
        "api_token_secret": SECRET,
        "pool": "runners",
        "name": "gh-runner-01",
        "vmid": machine.vmid,
        "template": 9999,
        "cores": 2,
        "memory": "2G",
        "disk_size": "20G",
        "address": f"{machine.address}/{lab.subnet().prefixlen}",
        "gateway": str(lab.subnet()[1]),
        "nameservers": [where.nameserver],
        "user": machine.user,
        "ssh_keys": [ssh_key(machine.key)],
        "known_hosts_file": str(machine.known_hosts),
    }
    return {f"proxmox_runner_vm_{name}": value for name, value in values.items()}


class ProxmoxVE:
    """A lab's Proxmox VE. A handle: making it starts nothing, and any process may have one."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._folder = CACHE / prefix
        self._pid, self._where, self._log = (self._folder / f"proxmox.{end}" for end in ("pid", "json", "log"))

    def up(self) -> Where:
        """Start it; the lab has to be up.

        Raises:
            Problem: it does not serve, with its last words.
        """
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, self.prefix],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is not for it
            )

        def serves() -> bool:
            if process.poll() is not None:
                raise Problem(f"The Proxmox VE double has ended:\n{self._last_words()}")
            return self._where.exists()

        eventually(serves, START, lambda: f"The Proxmox VE double does not serve:\n{self._last_words()}")
        return self.where()

    def where(self) -> Where:
        """Where it serves; it has to run."""
        return Where(**json.loads(self._where.read_text("utf-8")))

    def admin(self) -> Admin:
        """Its port of control."""
        return Admin(self.where().admin_url)

    def down(self) -> None:
        """Stop it, and so its machines; nothing happens if it does not run.

        Raises:
            Problem: while it ran it was asked, or has answered, what the vendor's description does not have.
        """
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if self._lives():
                os.kill(int(self._pid.read_text("utf-8")), signal.SIGTERM)
                eventually(lambda: not self._lives(), 60, lambda: "the Proxmox VE double does not stop")
                if DoubleFailed.__name__ in (said := self._last_words()):
                    raise Problem(f"The Proxmox VE double complains:\n{said}")

    def _lives(self) -> bool:
        """Its number may be somebody else's by now; the lock is not."""
        with self._pid.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _last_words(self) -> str:
        return self._log.read_text("utf-8", "replace")[-3000:]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._pid.open("w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(str(os.getpid()))
            file.flush()
            self._where.unlink(missing_ok=True)
            yield

    async def serve(self) -> None:
        """Serve until SIGTERM."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        with self._alone():
            lab = Lab(self.prefix)
            machines = LabMachines(lab)
            access, _pools = pveum.rules(pveum.pasted(ROLE_README.read_text("utf-8"), 9), SECRET)
            cert, key = self._certificate(lab)
            cluster = {"pools": {"runners": {}}, **CLUSTER}
            options = Options(cert=cert, key=key, access=access, machines=machines, cluster=cluster)
            async with serving(options) as double:
                where = Where(double.host, double.port, double.admin_url, machines.nameserver)
                begun = self._where.with_suffix(".new")
                begun.write_text(json.dumps(asdict(where)), "utf-8")
                begun.rename(self._where)
                await stop.wait()

    def _certificate(self, lab: Lab) -> tuple[Path, Path]:
        paths = self._folder / "proxmox.crt", self._folder / "proxmox.key"
        for path, content in zip(paths, lab.authority.issue("127.0.0.1"), strict=True):
            write_private(path, content)
        return paths


if __name__ == "__main__":
    asyncio.run(ProxmoxVE(sys.argv[1]).serve())
