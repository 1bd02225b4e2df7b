# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself, with real Docker: what the demo and the end-to-end tests take for granted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import docker
import pytest
import requests

from tests.lab import engine
from tests.lab.common import CHECKOUT, LAB_LABEL, prefix
from tests.lab.host import Host
from tests.lab.images import RELEASES
from tests.lab.lab import Lab


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    """The engine."""
    return engine.connect()


@pytest.fixture(scope="module")
def lab(client: docker.DockerClient) -> Iterator[Lab]:
    """A lab of this module's own."""
    with Lab(prefix("lab"), client) as lab:
        lab.down()
        yield lab


@pytest.fixture(scope="module", params=RELEASES)
def host(request: pytest.FixtureRequest, lab: Lab) -> Host:
    """A host of each release."""
    return lab.host(f"debian{request.param}", request.param)


def everything(client: docker.DockerClient, name: str) -> set[str]:
    """What is there of a lab, by the label that all of it has to have."""
    label = f"{LAB_LABEL}={name}"
    return {
        *(str(one.name) for one in client.containers.list(all=True, filters={"label": label})),
        *(str(one.name) for one in client.volumes.list(filters={"label": label})),
        *(str(one.name) for one in client.networks.list(filters={"label": label})),
    }


def identity(host: Host, kind: str) -> str:
    """The host's machine id or boot id."""
    paths = {"machine": "/etc/machine-id", "boot": "/proc/sys/kernel/random/boot_id"}
    return host.read(paths[kind]).strip()


def log_in(host: Host, command: str) -> str:
    """What a person gets who logs in by SSH; the host's key has to be the one that was written down."""
    login = [*host.login(), command]
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    done = subprocess.run([login[0], *options, *login[1:]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_host_is_a_server_without_docker(host: Host) -> None:
    assert host.failed_units() == []
    assert host.exec("systemctl", "is-system-running").stdout.strip() == "running"
    assert host.exec("sh", "-c", "command -v docker", check=False).rc != 0
    assert log_in(host, "id -un; sudo id -un; hostname").split() == ["admin", "root", host.name]


def test_hosts_have_identities_of_their_own(lab: Lab) -> None:
    hosts = [lab.host(f"debian{release}", release) for release in RELEASES]
    assert len({identity(host, "machine") for host in hosts}) == len(hosts)
    assert len({host.read("/etc/ssh/ssh_host_ed25519_key.pub") for host in hosts}) == len(hosts)


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_reboot_keeps_the_machine_and_begins_a_new_boot(host: Host, power_cut: bool) -> None:
    machine, boot = identity(host, "machine"), identity(host, "boot")
    host.exec("sh", "-c", "echo kept > /var/lib/kept; echo lost > /run/lost")
    host.reboot(power_cut=power_cut)
    assert identity(host, "machine") == machine
    assert identity(host, "boot") != boot
    assert host.read("/var/lib/kept") == "kept\n"
    assert host.exec("test", "-e", "/run/lost", check=False).rc == 1
    assert boot.replace("-", "") in host.journal("--list-boots")
    assert log_in(host, "cat /proc/sys/kernel/random/boot_id") == identity(host, "boot")


def test_the_network_knows_names_and_the_hosts_trust_them(lab: Lab) -> None:
    lab.up()
    host = lab.host("debian13")
    for url in (f"{lab.api_url}/rate_limit", "https://registry.test/v2/"):
        assert host.exec("curl", "--silent", "--show-error", "--write-out", "%{http_code}", url).stdout[-3:].isdigit()
    # The address that nested containers ask is one that they can reach; Docker's own, 127.0.0.11, is not.
    assert "nameserver 169.254.53.53" in host.read("/etc/resolv.conf")
    ways: list[tuple[str, dict[str, str]]] = [(lab.local_api_url, {}), (lab.api_url, {"https": lab.proxy_url})]
    for url, proxies in ways:
        answer = requests.get(f"{url}/rate_limit", verify=str(lab.authority.path), proxies=proxies, timeout=30)
        assert answer.headers["Server"] == "github.com"


def test_an_image_is_pushed_once_and_again(lab: Lab) -> None:
    lab.up()
    first, again, other = lab.push_runner("1"), lab.push_runner("1"), lab.push_runner("1", revision="2")
    assert first == again
    assert other.reference == first.reference == "registry.test/actions-runner:1"
    assert other.digest != first.digest
    assert other.pinned == f"registry.test/actions-runner@{other.digest}"


def test_what_an_interrupted_lab_left_is_removed_and_nothing_else(lab: Lab, client: docker.DockerClient) -> None:
    name = prefix("interrupted")
    Lab(name, client).down()
    mine = everything(client, lab.prefix)
    script = f"from tests.lab.lab import Lab; lab = Lab({name!r}); lab.host('a'); print('here', flush=True); lab.up()"
    with subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as half:
        assert half.stdout is not None
        assert any(line.strip() == "here" for line in half.stdout)
        half.kill()
    left = everything(client, name)
    assert {f"{name}-a", f"{name}-a-docker", f"{name}-net"} <= left
    gone = Lab(name, client).down()
    assert len(gone) >= len(left)
    assert everything(client, name) == set()
    assert Lab(name, client).down() == []
    assert everything(client, lab.prefix) == mine
