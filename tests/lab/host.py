# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server as a provider hands it out: systemd, SSH, no Docker. It is a container; this says how to make and use it."""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from tests.lab.common import Problem, eventually
from tests.lab.images import File, tarball

#: Seconds for systemd to finish a boot; it takes one or two.
BOOT_TIMEOUT = 120
#: Who logs in: not root, may become root.
USER = "admin"


def options(cgroup: str, privileged: bool) -> dict[str, Any]:
    """How a host's container has to be made so that systemd and a Docker Engine run in it.

    Args:
        cgroup: the engine's cgroup version, `1` or `2`.
        privileged: whether the engine may make privileged containers at all. It may not where it lacks a capability
            itself (CAP_SYS_RESOURCE, in some virtual machines); all the others are then given one by one.

    Returns:
        Arguments for docker-py's `containers.create`.
    """
    made: dict[str, Any] = {"tmpfs": {"/run": "mode=755", "/tmp": "exec,mode=1777"}, "environment": {}, "volumes": {}}
    if privileged:
        made["privileged"] = True
    else:
        made |= {
            "cap_add": ["ALL"],
            "cap_drop": ["SYS_RESOURCE"],
            "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
            "device_cgroup_rules": ["a *:* rwm"],
        }
    if cgroup == "2" and privileged:
        made["cgroupns"] = "private"
        return made
    # Its own hierarchy is writable only in a privileged container, and cgroup v1 has no private namespace worth having.
    made["cgroupns"] = "host"
    made["volumes"]["/sys/fs/cgroup"] = {"bind": "/sys/fs/cgroup", "mode": "rw"}
    if cgroup != "2":
        # systemd has given v1 up step by step; 252 to 257 still run on it when told so twice.
        made["environment"]["SYSTEMD_PROC_CMDLINE"] = (
            "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
        )
    return made


@dataclass(frozen=True)
class Result:
    """What a command on a host did."""

    rc: int
    stdout: str
    stderr: str


def execute(
    container: Container, command: Sequence[str], user: str = "root", environment: Mapping[str, str] | None = None
) -> Result:
    """Run a command in a container, to its end.

    docker-py's `exec_run` loses what is said so early that it comes in one piece with the answer's header (its issue
    2042): it upgrades the connection, then reads around the buffer that has the rest. Here the output is a plain body.

    Raises:
        docker.errors.APIError, requests.HTTPError: the container does not run, or no more.
    """
    assert container.client
    engine = container.client.api
    made = engine.exec_create(container.id, list(command), user=user, environment=dict(environment or {}))["Id"]
    url = f"{engine.base_url}/v{engine.api_version}/exec/{made}/start"
    answer = engine.post(url, json={"Detach": False, "Tty": False}, timeout=None)
    answer.raise_for_status()
    body, at = answer.content, 0
    channels = {1: bytearray(), 2: bytearray()}
    while at < len(body):
        channel, size = struct.unpack_from(">BxxxL", body, at)
        channels[channel] += body[at + 8 : at + 8 + size]
        at += 8 + size
    # The channels may be closed a moment before the exit code is written down.
    while (found := engine.exec_inspect(made))["Running"]:
        time.sleep(0.01)
    out, err = (channels[number].decode(errors="replace") for number in (1, 2))
    return Result(found["ExitCode"] or 0, out, err)


@dataclass(frozen=True)
class Host:
    """One server of a lab. A handle: making it starts nothing, and any process may have one.

    Attributes:
        name: the host's own name, which the lab's network knows too.
        container: what it is outside.
        key: the SSH key that may log in as `admin` and `root`.
        known_hosts: the host's public keys, for SSH's strict checking.
        sockets: a folder with a short path for SSH's shared connections: below a checkout it may be too long for one.
    """

    name: str
    container: Container
    key: Path
    known_hosts: Path
    sockets: Path

    def exec(
        self,
        *command: str,
        check: bool = True,
        timeout: float = 120,
        user: str = "root",
        environment: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command on the host.

        Args:
            command: its words; no shell is between.
            check: whether an exit code other than 0 is an error.
            timeout: seconds; then the command is ended (exit code 124).
            user: who runs it.
            environment: added to the host's.

        Raises:
            Problem: the exit code was not 0, and `check` was asked for.
        """
        limited = ["timeout", "--kill-after=5", f"{timeout:g}", *command]
        done = execute(self.container, limited, user, environment)
        if check and done.rc:
            said = (done.stdout + done.stderr).strip()[-3000:]
            raise Problem(f"On {self.name}, `{' '.join(command)}` ended with {done.rc}:\n{said}")
        return done

    def docker(self, *words: str, timeout: float = 120) -> str:
        """Run the docker command of the host's own engine and return what it said.

        Raises:
            Problem: it failed.
        """
        return self.exec("docker", *words, timeout=timeout).stdout

    def journal(self, *words: str) -> str:
        """The host's journal; `words` narrow it, as journalctl(1) says, e.g. `--unit=runnerd`."""
        return self.exec("journalctl", "--no-pager", "--quiet", "--output=short-iso-precise", *words).stdout

    def read(self, path: str) -> str:
        """A file's content.

        Raises:
            Problem: there is none.
        """
        return self.exec("cat", path).stdout

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file; its folder has to be there, and not below /run or /tmp, which Docker cannot reach."""
        data = content.encode() if isinstance(content, str) else content
        folder, _slash, name = path.rpartition("/")
        if not self.container.put_archive(folder or "/", tarball({name: File(data, mode)})):
            raise Problem(f"{path} could not be written on {self.name}.")

    def wait_ready(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Wait until the boot has come to its end.

        Raises:
            Problem: it has not, or the host has died; with its last words.
        """

        def booted() -> bool:
            self.container.reload()
            if self.container.status != "running":
                raise Problem(f"The host {self.name} has died:\n{self._last_words()}")
            said = self.exec("systemctl", "is-system-running", "--wait", check=False, timeout=timeout)
            return said.stdout.strip() in ("running", "degraded")

        eventually(booted, timeout, lambda: f"{self.name} has not finished its boot:\n{self._last_words()}")

    def failed_units(self) -> list[str]:
        """Units of the host that have failed."""
        said = self.exec("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout
        return [line.split()[0] for line in said.splitlines() if line.strip()]

    def reboot(self, power_cut: bool = False, timeout: float = 900) -> None:
        """Take the host down and up again; returns when it has booted.

        Args:
            power_cut: everything is dead at once; else systemd takes the units down in order, for as long as they need.
            timeout: seconds to go down, in order.

        Raises:
            Problem: it did not go down, or not come up.
        """
        if power_cut:
            self.container.kill()
        else:
            self.exec("systemctl", "reboot", "--no-block", check=False)  # may be cut off by what it asks for
        self.container.wait(timeout=timeout)
        self.container.start()
        self.wait_ready()

    def connection(self) -> dict[str, str | int]:
        """How Ansible reaches the host, as variables of the inventory.

        By SSH, as with any server; where this machine has no SSH client, by Docker's API, which is slower.
        """
        if not shutil.which("ssh"):
            return {
                "ansible_connection": "community.docker.docker_api",
                "ansible_host": str(self.container.name),
                "ansible_user": USER,
            }
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port("22/tcp"),
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts} -o IdentitiesOnly=yes",
            "ansible_control_path_dir": str(self.sockets),
        }

    def login(self) -> list[str]:
        """The command with which a person logs in: by SSH, or by Docker where this machine has no SSH client."""
        if not shutil.which("ssh"):
            return ["docker", "exec", "-it", "-u", USER, "-w", f"/home/{USER}", str(self.container.name), "bash"]
        options = ["-i", str(self.key), "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "IdentitiesOnly=yes"]
        return ["ssh", *options, "-p", str(self.port("22/tcp")), f"{USER}@127.0.0.1"]

    def port(self, inside: str) -> int:
        """Where a port of the host is published on this machine's loopback."""
        return published(self.container, inside)

    def learn_keys(self) -> None:
        """Write the host's public keys down, where SSH looks for them."""
        keys = self.exec("sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub").stdout.splitlines()
        lines = [f"[127.0.0.1]:{self.port('22/tcp')} {' '.join(key.split()[:2])}\n" for key in keys]
        self.known_hosts.write_text("".join(lines))

    def _last_words(self) -> str:
        return self.container.logs(tail=20).decode(errors="replace").strip()


@dataclass(frozen=True)
class Machine:
    """How a virtual machine is reached that Proxmox VE's stand-in has made, or will make: at its own address.

    Attributes:
        vmid: its number.
        key: the SSH key that may log in.
        known_hosts: where the role proxmox_runner_vm writes the keys that the machine has.
        sockets: as for a `Host`.
        address: where it is.
        user: who logs in.
    """

    vmid: int
    key: Path
    known_hosts: Path
    sockets: Path
    address: str
    user: str

    def connection(self) -> dict[str, str | int]:
        """What Ansible is not told by the role proxmox_runner_vm."""
        return {
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts} -o IdentitiesOnly=yes",
            "ansible_control_path_dir": str(self.sockets),
        }

    def login(self) -> list[str]:
        """The command with which a person logs in."""
        options = ["-i", str(self.key), "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "IdentitiesOnly=yes"]
        return ["ssh", *options, f"{self.user}@{self.address}"]


def published(container: Container, inside: str) -> int:
    """Where a port of a container is published on loopback.

    Raises:
        Problem: it is not; the container may have died.
    """
    container.reload()
    bindings = container.ports.get(inside)
    if not bindings:
        said = container.logs(tail=20).decode(errors="replace").strip()
        raise Problem(f"{container.name} does not publish port {inside}; it is {container.status}:\n{said}")
    return int(bindings[0]["HostPort"])
