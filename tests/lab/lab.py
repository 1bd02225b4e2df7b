# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab: one network with the GitHub double, a registry and hosts on it, all under one prefix and one label.

Everything that talks is a container and finds the others by name, so it works where container addresses cannot be
reached from outside. Only ports on this machine's loopback lead in.
"""

from __future__ import annotations

import ipaddress
import os
import random
import shutil
import socket
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from tests.lab import engine, proxy
from tests.lab.common import CACHE, LAB_LABEL, Narrate, Problem
from tests.lab.github import GitHub
from tests.lab.host import Host, Machine, execute, options, published
from tests.lab.images import NEWEST, File, Images, Recipe, follow, tarball
from tests.lab.keys import Authority, ssh_key

GITHUB_NAME = "api.github.test"
REGISTRY_NAME = "registry.test"
PACKAGES_NAME = "download.docker.test"
#: Ports are taken from here, below those that systems give to outgoing connections: a host keeps its port while it
#: reboots, when nobody holds it. (Docker's own choice would be a new one after each start.)
PORTS = range(20000, 30000)
#: Networks are taken from here, the range for benchmarks (RFC 2544), which nobody routes. Docker's own choice may be
#: the one that the Docker inside of a host, or of a job, makes for a network of its own: then that hides ours.
SUBNETS = tuple(ipaddress.ip_network("198.18.0.0/15").subnets(new_prefix=24))
#: What the names of virtual machines begin with, which are not hosts.
VM = "vm-"
#: Where a server finds what the lab puts in before it starts.
INSIDE = "/etc/lab"


@dataclass(frozen=True)
class Packages:
    """A repository of packages.

    Attributes:
        url: its address, as hosts reach it.
        fingerprint: that of the key by which it is signed.
    """

    url: str
    fingerprint: str


@dataclass(frozen=True)
class RunnerImage:
    """An image in the lab's registry.

    Attributes:
        reference: name and tag, as a user writes them.
        digest: `sha256:…` of what the tag means now.
        pinned: name and digest.
    """

    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """The image by digest, which never means anything else."""
        return f"{self.reference.rpartition(':')[0]}@{self.digest}"


class Lab:
    """Everything with one prefix. Makes what is missing and finds what is there, so any process may use a lab.

    Args:
        prefix: what all names begin with, see `common.prefix`.
        client: the engine; `engine.connect()` by default.
        narrate: is told what takes long.
    """

    def __init__(self, prefix: str, client: docker.DockerClient | None = None, narrate: Narrate = print) -> None:
        self.prefix = prefix
        self.client = client or engine.connect()
        self.images = Images(self.client, narrate)
        self.folder: Path = CACHE / prefix
        self._labels = {LAB_LABEL: prefix}

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # -- what is in it ------------------------------------------------------------------------------------------------

    def up(self) -> Lab:
        """Start the GitHub double, the registry and the proxy, unless they run."""
        self._server("github", GITHUB_NAME, self.images.github(), ["443/tcp", "8080/tcp"], GITHUB_COMMAND)
        self._server("registry", REGISTRY_NAME, self.images.registry(), ["443/tcp"])
        self._proxy()
        self.github.wait_ready()
        return self

    def docker_packages(self) -> Packages:
        """Docker's own packages for Debian 12; the server is started, unless it runs."""
        self._server("packages", PACKAGES_NAME, self.images.docker_packages(), ["443/tcp"])
        done = execute(self.container("packages"), ["cat", "/srv/linux/debian/fingerprint"])
        if done.rc:
            raise Problem(f"The server of Docker's packages has no fingerprint: {done.stderr.strip()}")
        return Packages(f"https://{PACKAGES_NAME}/linux", done.stdout.strip())

    @cached_property
    def authority(self) -> Authority:
        """Who signs the certificates of the servers."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Authority(self.folder)

    @property
    def github(self) -> GitHub:
        """The GitHub double, by its administrator's port."""
        return GitHub(f"http://127.0.0.1:{published(self.container('github'), '8080/tcp')}")

    @property
    def api_url(self) -> str:
        """GitHub's API, as hosts and runners name it."""
        return f"https://{GITHUB_NAME}"

    @property
    def local_api_url(self) -> str:
        """GitHub's API, as this machine reaches it; trust `authority.path`."""
        return f"https://localhost:{published(self.container('github'), '443/tcp')}"

    @property
    def proxy_url(self) -> str:
        """The way to `api_url` from this machine, for who takes a proxy; trust `authority.path`."""
        return f"http://127.0.0.1:{published(self.container('proxy'), f'{proxy.PORT}/tcp')}"

    def push_runner(self, tag: str = "1", *, layout: str = "official", revision: str = "", **args: str) -> RunnerImage:
        """Put a runner image into the registry.

        Args:
            tag: what a user calls it; the same tag may be pushed again with other content.
            layout: `official` or `myoung34`: whose paths and users it has.
            revision: anything; another revision is another digest.
            args: build arguments of the stand-in's Dockerfile, e.g. RUNNER_VERSION.
        """
        parent = self.images.runner(layout, **args)
        user = str(self.client.images.get(parent).attrs["Config"]["User"] or "root")
        lines = [
            f"FROM {parent}",
            "USER root",
            "COPY lab.crt /usr/local/share/ca-certificates/lab.crt",
            "RUN update-ca-certificates",
            f"USER {user}",
            f"LABEL revision={revision!r}",
        ]
        files = {"Dockerfile": File("\n".join(lines).encode()), "lab.crt": File(self.authority.certificate)}
        built = self.images.build(Recipe(f"{self.prefix}-runner", files), self._labels)
        return self._push(built, "actions-runner" if layout == "official" else f"{layout}-runner", tag)

    def push_dind(self, tag: str = "dind") -> RunnerImage:
        """Put the stand-in for docker:dind into the registry."""
        return self._push(self.images.dind(), "docker", tag)

    def push_busybox(self, tag: str = "1") -> RunnerImage:
        """Put a tiny image into the registry, for jobs to run."""
        return self._push(self.images.busybox(), "busybox", tag)

    def _push(self, image: str, name: str, tag: str) -> RunnerImage:
        port = published(self.container("registry"), "443/tcp")
        # The engine takes 127.0.0.0/8 without a certificate that it trusts.
        self.client.images.get(image).tag(f"127.0.0.1:{port}/{name}", tag)
        steps = self.client.images.push(f"127.0.0.1:{port}/{name}", tag, stream=True, decode=True)
        said = follow(steps, f"The image {name}:{tag} could not be pushed")
        digest = next(str(step["aux"]["Digest"]) for step in reversed(said) if "Digest" in step.get("aux", {}))
        return RunnerImage(f"{REGISTRY_NAME}/{name}:{tag}", digest)

    def host(self, name: str, release: str = "13") -> Host:
        """A host; it is made and booted unless it is there. It trusts the lab's authority."""
        certificate = File(self.authority.certificate)
        key = self.folder / "ssh.key"
        public = ssh_key(key)
        known_hosts = self.folder / f"known_hosts.{name}"
        sockets = self._sockets()
        try:
            return Host(name, self.container(name), key, known_hosts, sockets)
        except docker.errors.NotFound:
            pass
        image = self.images.host(release)
        made = options(self._cgroup, self._privileged)
        volume = f"{self.prefix}-{name}-docker"
        self.client.volumes.create(volume, labels=self._labels)
        made["volumes"][volume] = {"bind": "/var/lib/docker", "mode": "rw"}
        login = {"authorized_keys": File(f"{public}\n".encode(), 0o600)}
        files = [
            ("/usr/local/share/ca-certificates", {"lab.crt": certificate}, 0),
            ("/root/.ssh", login, 0),
            ("/home/admin/.ssh", login, 1000),
        ]
        container = self._start(name, image, name, ["22/tcp"], files, **made)
        host = Host(name, container, key, known_hosts, sockets)
        host.wait_ready()
        host.exec("update-ca-certificates")
        host.learn_keys()
        return host

    def vm(self, name: str, files: list[tuple[str, dict[str, File], int]]) -> Container:
        """A machine that is made of an image and the files laid down, not started; see tests/lab/proxmox.py.

        Args:
            files: as for `_create`.
        """
        made = options(self._cgroup, self._privileged)
        volume = f"{self.prefix}-{name}-docker"
        self.client.volumes.create(volume, labels=self._labels)
        made["volumes"][volume] = {"bind": "/var/lib/docker", "mode": "rw"}
        return self._create(name, self.images.vm(NEWEST), name, [], files, **made)

    def qemu(self, name: str) -> Container:
        """A virtual machine with a new disk, not started; see tests/lab/qemu.py."""
        tap = ["/dev/net/tun:/dev/net/tun:rwm"]
        return self._create(name, self.images.qemu(NEWEST), name, [], [], devices=tap, cap_add=["NET_ADMIN"])

    def reachable(self) -> bool:
        """Whether machines are reached at their addresses from here: the engine's bridge is one of this machine's."""
        if not shutil.which("ssh"):
            return False
        with socket.socket() as probe:
            try:
                probe.bind((str(self.subnet()[1]), 0))
            except OSError:
                return False
        return True

    def machine(self, vmid: int, address: str, user: str) -> Machine:
        """How to reach a virtual machine, made or not."""
        key = self.folder / "ssh.key"
        ssh_key(key)
        return Machine(vmid, key, self.folder / f"known_hosts.{vmid}", self._sockets(), address, user)

    def router(self) -> str:
        """What a network of virtual machines has: DHCP, and names of what else is in the lab.

        Started, unless it runs.

        Returns:
            Its address, which is the nameserver's.
        """
        network = self.subnet()
        words = [
            "--keep-in-foreground",
            "--user=root",
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--no-ping",
        ]
        words += ["--server=127.0.0.11", "--dhcp-authoritative", f"--dhcp-option=option:router,{network[1]}"]
        words += [f"--dhcp-range={network[128]},{network[239]},{network.netmask},1h"]
        try:
            self.container("router").start()
        except docker.errors.NotFound:
            image = self.images.host(NEWEST)  # it has a dnsmasq
            self._start("router", image, "router", [], [], command=["dnsmasq", *words], cap_add=["NET_ADMIN"])
        found = self.container("router").attrs["NetworkSettings"]["Networks"][self._network()]["IPAddress"]
        return str(found)

    def subnet(self) -> ipaddress.IPv4Network:
        """The addresses of the lab's network; the first is the gateway's."""
        found = self.client.networks.get(self._network()).attrs["IPAM"]["Config"][0]["Subnet"]
        return ipaddress.IPv4Network(found)

    def hosts(self) -> list[str]:
        """Names of the hosts that are there."""
        found = self.client.containers.list(all=True, filters={"label": [f"{LAB_LABEL}={self.prefix}"]})
        names = {str(one.name).removeprefix(f"{self.prefix}-") for one in found}
        servers = {"github", "packages", "proxy", "registry", "router"}
        return sorted(name for name in names - servers if not name.startswith(VM))

    def container(self, name: str) -> Container:
        """One of the lab's containers.

        Raises:
            docker.errors.NotFound: there is none.
        """
        return self.client.containers.get(f"{self.prefix}-{name}")

    def down(self) -> list[str]:
        """Remove all that has the label, and the folders; return what there was. Works on half a lab, and twice."""
        gone: list[str] = []
        # Until nothing is found: the engine may still be at something that an interrupted run had asked for.
        while found := self._remove_labelled():
            gone += found
        for folder in (self.folder, self._sockets_path):
            if folder.exists():
                shutil.rmtree(folder)
                gone.append(f"folder {folder}")
        return gone

    def _remove_labelled(self) -> list[str]:
        label: dict[str, Any] = {"label": f"{LAB_LABEL}={self.prefix}"}
        gone = []
        for container in self.client.containers.list(all=True, filters=label, ignore_removed=True):
            _unless_gone(container.remove, force=True, v=True)
            gone.append(f"container {container.name}")
        for volume in self.client.volumes.list(filters=label):
            _unless_gone(volume.remove)
            gone.append(f"volume {volume.name}")
        for network in self.client.networks.list(filters=label):
            _unless_gone(network.remove)
            gone.append(f"network {network.name}")
        for image in self.client.images.list(filters=label):
            _unless_gone(self.client.images.remove, image.id, force=True)
            gone.append(f"image {', '.join(image.tags) or image.id}")
        return gone

    @property
    def _sockets_path(self) -> Path:
        return Path(tempfile.gettempdir()) / f"{self.prefix}-{os.getuid()}"

    def _sockets(self) -> Path:
        """The folder for SSH's shared connections. It lies where everybody may write: it has to be ours alone."""
        path = self._sockets_path
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise Problem(f"{path} is not a folder of yours alone.", f"rm -rf {path}")
        return path

    # -- how it is made -----------------------------------------------------------------------------------------------

    @cached_property
    def _cgroup(self) -> str:
        return str(self.client.info().get("CgroupVersion", "1"))

    @cached_property
    def _privileged(self) -> bool:
        """May this engine make privileged containers? Asking it says nothing; trying does."""
        probe = self.client.containers.create(
            self.images.base("13"), ["true"], privileged=True, network_mode="none", labels=self._labels
        )
        try:
            probe.start()
        except docker.errors.APIError:
            return False
        finally:
            probe.remove(force=True)
        return True

    def _network(self) -> str:
        name = f"{self.prefix}-net"
        if self.client.networks.list(names=[f"^{name}$"]):
            return name
        for subnet in random.sample(SUBNETS, 20):
            ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))])
            try:
                self.client.networks.create(name, driver="bridge", labels=self._labels, ipam=ipam)
            except docker.errors.APIError as exc:
                if "overlaps" not in str(exc):
                    raise
            else:
                return name
        raise Problem(
            f"no network is free for the lab: 20 of {SUBNETS[0]} … {SUBNETS[-1]} are taken.", "make demo-down"
        )

    def _server(self, name: str, alias: str, image: str, ports: list[str], command: list[str] | None = None) -> None:
        """Start a TLS server under a name of its own, unless it runs."""
        try:
            container = self.container(name)
        except docker.errors.NotFound:
            pass
        else:
            container.start()  # which does nothing if it runs
            return
        certificate, key = self.authority.issue(alias, "localhost", "127.0.0.1")
        files = {"server.pem": File(certificate), "server.key": File(key, 0o600)}
        place = [("/", {f"{INSIDE[1:]}/{path}": file for path, file in files.items()}, 0)]
        self._start(name, image, alias, ports, place, command=command)

    def _proxy(self) -> None:
        """Start the way in for clients that need the servers' own names, unless it runs."""
        try:
            self.container("proxy").start()
        except docker.errors.NotFound:
            program = {f"{INSIDE[1:]}/proxy.py": File(Path(proxy.__file__).read_bytes())}
            command = ["python3", f"{INSIDE}/proxy.py"]
            image = self.images.github()  # it has a Python
            self._start("proxy", image, "proxy", [f"{proxy.PORT}/tcp"], [("/", program, 0)], entrypoint=command)

    def _start(
        self,
        name: str,
        image: str,
        alias: str,
        ports: list[str],
        files: list[tuple[str, dict[str, File], int]],
        **options: Any,
    ) -> Container:
        """Make a container on the lab's network, put files in, publish its ports on loopback, start it."""
        for attempt in range(5):
            container = self._create(name, image, alias, ports, files, **options)
            try:
                container.start()
                return container
            except docker.errors.APIError as error:
                container.remove(force=True, v=True)
                # Somebody else may take a port between our look and Docker's.
                taken = any(words in str(error) for words in ("already allocated", "already in use"))
                if not taken or attempt == 4:
                    raise Problem(f"The container {self.prefix}-{name} did not start: {error.explanation}") from error
        raise AssertionError("the loop ends by return or raise")

    def _create(
        self,
        name: str,
        image: str,
        alias: str,
        ports: list[str],
        files: list[tuple[str, dict[str, File], int]],
        **options: Any,
    ) -> Container:
        """Make a container on the lab's network and put files in: folder, content by name, owner."""
        network = self._network()
        endpoint = self.client.api.create_endpoint_config(aliases=[alias])
        container = self.client.containers.create(
            image,
            name=f"{self.prefix}-{name}",
            hostname=name,
            labels=self._labels,
            network=network,
            networking_config={network: endpoint},
            ports={inside: ("127.0.0.1", free_port()) for inside in ports},
            **options,
        )
        for folder, content, owner in files:
            container.put_archive(folder, tarball(content, owner))
        return container


#: What the GitHub double's image is told.
GITHUB_COMMAND = ["--cert", f"{INSIDE}/server.pem", "--key", f"{INSIDE}/server.key"]


def free_port() -> int:
    """A port on loopback that nobody holds now.

    Raises:
        Problem: none was found in a hundred tries.
    """
    for port in random.sample(PORTS, 100):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Problem(f"No free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}.", "look with: ss -ltn")


def _unless_gone(remove: Any, *args: Any, **options: Any) -> None:
    """Remove something that somebody else may be removing at the same time."""
    try:
        remove(*args, **options)
    except docker.errors.NotFound:
        pass
