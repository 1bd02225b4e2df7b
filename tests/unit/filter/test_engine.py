# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Engine is installed where, by which key, and which one that is there will do.

The answers of Docker and Podman were recorded on Debian 12 and 13 and shortened, except those of a snap, of Docker
Desktop and of a rootless Engine, which follow Docker's API.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import runner_plan
from ansible_collections.ephemeral.github_runners.plugins.filter.runner_state import runner_engine, runner_key
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.engine import SYSTEMS
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.openpgp import fingerprints
from tests.unit.filter.test_runner_plan import HOST, ROLE, problems, variables

COMPOSE = {
    "SchemaVersion": "0.1.0",
    "Vendor": "Docker Inc.",
    "Version": "2.26.1-4",
    "ShortDescription": "Docker Compose",
    "Name": "compose",
    "Path": "/usr/libexec/docker/cli-plugins/docker-compose",
}
INFO: dict[str, Any] = {
    "Driver": "overlay2",
    "Plugins": {
        "Volume": ["local"],
        "Network": ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"],
        "Authorization": None,
        "Log": ["awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "splunk", "syslog"],
    },
    "MemoryLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "OperatingSystem": "Debian GNU/Linux 13 (trixie)",
    "OSType": "linux",
    "DockerRootDir": "/var/lib/docker",
    "ServerVersion": "26.1.5+dfsg1",
    "LiveRestoreEnabled": False,
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
    "ClientInfo": {"Version": "26.1.5+dfsg1", "Context": "default", "Plugins": [COMPOSE], "Warnings": None},
}
SILENT = {"ID": "", "Plugins": {"Volume": None, "Log": None}, "ServerVersion": "", "SecurityOptions": None}
NO_DAEMON = "Cannot connect to the Docker daemon at {}. Is the docker daemon running?"
SHIM = "Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg."
PODMAN: dict[str, Any] = {
    "host": {"arch": "amd64", "buildahVersion": "1.39.3", "cgroupManager": "systemd", "cgroupVersion": "v2"},
    "store": {"configFile": "/etc/containers/storage.conf", "graphDriverName": "overlay"},
    "registries": {},
    "plugins": {"volume": ["local"], "log": ["k8s-file", "none", "passthrough", "journald"], "authorization": None},
    "version": {"APIVersion": "5.4.2", "Version": "5.4.2", "OsArch": "linux/amd64"},
}
#: Podman's service, as Docker's own command sees it.
PODMAN_BEHIND_DOCKER = {
    **INFO,
    "Plugins": {"Volume": ["local"], "Log": ["k8s-file", "none", "passthrough", "journald"]},
    "OperatingSystem": "debian",
    "ServerVersion": "5.4.2",
    "DefaultRuntime": "crun",
    "DockerRootDir": "/var/lib/containers/storage",
    "SecurityOptions": ["name=seccomp,profile=default"],
}


def context(address: str = "unix:///var/run/docker.sock", name: str = "default") -> dict[str, Any]:
    """An answer of `docker context inspect`."""
    return {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": address, "SkipTLSVerify": False}}}


def probe(
    info: object = ..., where: object = None, path: str = "/usr/bin/docker", stderr: str = "", rc: int = 0
) -> dict[str, Any]:
    """The result of the role's command; without words about it, of an Engine that suits."""
    answers = (INFO if info is ... else info, context() if where is None else where)
    lines = [path, *(json.dumps(answer) for answer in answers if answer)]
    return {"rc": rc, "stdout": "\n".join(lines), "stderr": stderr, "stdout_lines": lines}


def compose(**own: object) -> dict[str, Any]:
    """What `docker info` says with another Compose."""
    return {**INFO, "ClientInfo": {"Plugins": [{**COMPOSE, **own}]}}


SUITS = {
    "Debian 13's docker.io": probe(),
    "docker.com's docker-ce": probe({**compose(Version="v5.1.0"), "ServerVersion": "29.1.3"}),
    "Debian 12's docker.io with a Compose by hand": probe(
        {**compose(Version="v2.8.0", Path="/usr/local/lib/docker/cli-plugins/x"), "ServerVersion": "20.10.24+dfsg1"}
    ),
    "Ubuntu's docker.io": probe({**compose(Version="2.33.0+ds1-0ubuntu1~24.04.1"), "ServerVersion": "28.2.2"}),
    "a build of one's own": probe({**compose(Version="dev"), "ServerVersion": "master-dockerproject"}),
    "the socket's other name": probe(where=context("unix:///run/docker.sock", "mine")),
    "a word of warning": probe(stderr="WARNING: No swap limit support"),
    "no answer about contexts": probe(where={}),
}


@pytest.mark.parametrize("answer", SUITS.values(), ids=SUITS)
def test_an_engine_that_suits_is_left_alone(answer: dict[str, Any]) -> None:
    assert runner_engine(answer) == {"present": True, "problem": ""}


@pytest.mark.parametrize("stderr", ["", "bash: warning: setlocale: cannot change locale"])
def test_no_docker_is_to_be_installed(stderr: str) -> None:
    assert runner_engine({"rc": 0, "stdout": "", "stderr": stderr}) == {"present": False, "problem": ""}


DOES_NOT_SUIT = {
    "Podman's shim": (
        probe(PODMAN, where={}, stderr=f"{SHIM}\n{SHIM}\nError: unrecognized command `podman context`", rc=125),
        "docker = Podman: runnerd needs Docker's own Engine. Do: apt-get remove podman-docker",
    ),
    "Podman's shim, quiet": (probe(PODMAN, where={}), "docker = Podman: "),
    "Podman's shim that does not work": (probe({}, {}, stderr=f"{SHIM}\nError: configure storage"), "docker = Podman:"),
    "Podman's service behind Docker's command": (probe(PODMAN_BEHIND_DOCKER), "docker = Podman: "),
    "an engine without its command": (
        probe({}, {}, path="/usr/sbin/dockerd", stderr="timeout: failed to run command 'docker': No such file", rc=127),
        "docker = none: there is /usr/sbin/dockerd without its command. Do: install docker-cli",
    ),
    "a snap": (
        probe(compose(Path="/snap/docker/3265/usr/libexec/docker/cli-plugins/docker-compose")),
        "docker = a snap: it cannot see the runners' files",
    ),
    "a snap's data": (probe({**INFO, "DockerRootDir": "/var/snap/docker/common/var-lib-docker"}), "docker = a snap: "),
    "a snap that is stopped": (
        probe(
            {**INFO, **SILENT, "ServerErrors": [NO_DAEMON.format("unix:///var/run/docker.sock")]},
            path="/snap/bin/docker",
        ),
        "docker = a snap: ",
    ),
    "a rootless engine": (
        probe({**INFO, "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]}),
        "docker = rootless: runnerd needs an Engine that runs as root",
    ),
    "a rootless engine that does not run": (
        probe(
            {**INFO, **SILENT, "ServerErrors": [NO_DAEMON.format("unix:///run/user/1000/docker.sock")]},
            context("unix:///run/user/1000/docker.sock", "rootless"),
        ),
        "docker = rootless: ",
    ),
    "Docker Desktop": (
        probe({**INFO, "OperatingSystem": "Docker Desktop", "Name": "docker-desktop"}),
        "docker = Docker Desktop: its containers run in a virtual machine",
    ),
    "Docker Desktop that does not run": (
        probe(
            {**INFO, **SILENT, "ServerErrors": [NO_DAEMON.format("unix:///home/me/.docker/desktop/docker.sock")]},
            context("unix:///home/me/.docker/desktop/docker.sock", "desktop-linux"),
        ),
        "docker = Docker Desktop: ",
    ),
    "DOCKER_HOST": (
        probe(where=context("tcp://10.0.0.9:2375")),
        "docker = tcp://10.0.0.9:2375 (context default): runnerd uses this host's own Engine, at unix:///var/run/docker",
    ),
    "a remote context": (
        probe(where=context("ssh://me:secret@nas", "nas")),
        "docker = ssh://nas (context nas): runnerd uses this host's own Engine",
    ),
    "a remote engine that does not answer": (
        probe({**INFO, **SILENT, "ServerErrors": [NO_DAEMON.format("tcp://nas:2375")]}, context("tcp://nas:2375")),
        "docker = tcp://nas:2375 (context default): ",
    ),
    "a context that is gone": (
        probe({}, {}, stderr='Failed to initialize: unable to resolve docker endpoint: context "x": not found', rc=1),
        'docker info = Failed to initialize: unable to resolve docker endpoint: context "x": not found: not an answer',
    ),
    "an engine that is stopped": (
        probe({**INFO, **SILENT, "ServerErrors": [NO_DAEMON.format("unix:///var/run/docker.sock")]}),
        "docker info = Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
        "running?: the Engine does not answer. Do: systemctl start docker",
    ),
    "a question that could not be asked": (
        {"rc": 1, "stdout": "", "stderr": "sh: 1: Cannot fork"},
        "docker info = sh: 1: Cannot fork: not an answer of Docker's",
    ),
    "an engine that hangs": (probe({}), "docker info = nothing: not an answer of Docker's"),
    "an old engine": (
        probe({**INFO, "ServerVersion": "19.03.15"}),
        "docker = 19.03.15: too old. Do: install version 20.10 or newer",
    ),
    "no Compose": (
        probe({**INFO, "ClientInfo": {"Plugins": [{"Name": "buildx", "Version": "0.13.1"}]}}),
        "docker compose = none: Docker is there without its plugin Compose",
    ),
    "no plugins": (probe({**INFO, "ClientInfo": {"Plugins": None}}), "docker compose = none: "),
    "Compose 1": (
        probe(compose(Version="1.29.2")),
        "docker compose = 1.29.2: too old. Do: install version 2.8 or newer",
    ),
    "an old Compose 2": (probe(compose(Version="v2.7.0")), "docker compose = v2.7.0: too old"),
    "a broken Compose": (
        probe(compose(Version="", Err="fork/exec /usr/libexec/docker/cli-plugins/docker-compose: exec format error")),
        "docker compose = fork/exec /usr/libexec/docker/cli-plugins/docker-compose: exec format error: the plugin does",
    ),
    "a Compose that only root's shell finds": (
        probe(compose(Path="/root/.docker/cli-plugins/docker-compose")),
        "docker compose = /root/.docker/cli-plugins/docker-compose: the daemon runs without access to home folders",
    ),
    "no journald": (
        probe({**INFO, "Plugins": {"Log": ["json-file", "local"]}}),
        "docker info = json-file, local: journald is not among the log drivers",
    ),
}


@pytest.mark.parametrize(("answer", "problem"), DOES_NOT_SUIT.values(), ids=DOES_NOT_SUIT)
def test_an_engine_that_does_not_suit_is_told(answer: dict[str, Any], problem: str) -> None:
    found = runner_engine(answer)
    assert found["present"] is True
    assert found["problem"].startswith(problem)
    assert found["problem"].count(". Do: ") == 1
    assert "secret" not in found["problem"]


@pytest.mark.parametrize(
    ("ability", "option", "value"),
    [("MemoryLimit", "memory", "3g"), ("CpuCfsQuota", "cpus", "2"), ("PidsLimit", "pids_limit", 9)],
)
def test_a_limit_that_the_kernel_does_not_keep_is_told(ability: str, option: str, value: object) -> None:
    pools = [{"name": "small", option: 0}, {"name": "big", option: value}]
    assert not runner_engine(probe(), pools)["problem"]
    told = runner_engine(probe({**INFO, ability: False}), pools)["problem"]
    assert told.startswith(f"{option} = {value} (pool big): this kernel keeps no such limit")
    assert not runner_engine(probe({**INFO, ability: False}), pools[:1])["problem"]


# Where an Engine comes from


def engine(distribution: str, version: str, **own: object) -> dict[str, Any]:
    """The plan's word on it."""
    plan = runner_plan(variables(**own), {**HOST, "distribution": distribution, "version": version})
    assert plan["problems"] == []
    return dict(plan["engine"])


DOCKERS_OWN = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]


@pytest.mark.parametrize(
    ("distribution", "version", "packages"),
    [
        ("Debian", "12", DOCKERS_OWN),
        ("Debian", "12.11", DOCKERS_OWN),
        ("Debian", "13", ["docker.io", "docker-cli", "docker-compose"]),
        ("Debian", "13.2", ["docker.io", "docker-cli", "docker-compose"]),
        ("Ubuntu", "22.04", ["docker.io", "docker-compose-v2"]),
        ("Ubuntu", "24.04", ["docker.io", "docker-compose-v2"]),
    ],
)
def test_the_packages_of_each_system(distribution: str, version: str, packages: list[str]) -> None:
    found = engine(distribution, version)
    assert found["packages"] == packages
    assert (found["repository"] is not None) == (packages == DOCKERS_OWN)


def test_every_system_was_looked_at_above() -> None:
    assert {name: list(versions) for name, versions in SYSTEMS.items()} == {
        "Debian": ["12", "13"],
        "Ubuntu": ["22.04", "24.04"],
    }


def test_remove_takes_out_every_package_that_is_installed() -> None:
    tasks = yaml.safe_load((ROLE / "tasks" / "remove_docker.yml").read_text("utf-8"))
    (removed,) = (task["ansible.builtin.apt"]["name"] for task in tasks if "ansible.builtin.apt" in task)
    assert set(removed) >= {name for of in SYSTEMS.values() for system in of.values() for name in system.packages}


def test_dockers_own_repository() -> None:
    assert engine("Debian", "12.11")["repository"] == {
        "url": "https://download.docker.com/linux/debian",
        "suite": "bookworm",
        "fingerprint": "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
    }


def test_a_mirror_of_it() -> None:
    own = {
        "docker_repository_url": "http://mirror.lan:8080/docker/linux/",
        "docker_repository_fingerprint": "f65b 0dd2 16b4 7f08 c749  3427 7fbd a2a5 2125 c109",
    }
    assert engine("Debian", "12", **own)["repository"] == {
        "url": "http://mirror.lan:8080/docker/linux/debian",
        "suite": "bookworm",
        "fingerprint": ONE,
    }


@pytest.mark.parametrize(
    "url",
    [
        *("", None, 1, "mirror.lan", "ftp://mirror.lan/x", "https://", "https://a b/", "https://[x/", "https://x:y/"),
        *("https://me:secret@mirror.lan/x", "https://mirror.lan/x?y", "https://mirror.lan/x#y"),
    ],
)
def test_an_address_that_is_none(url: object) -> None:
    (line,) = problems(docker_repository_url=url)
    assert line.startswith(f"{PREFIX}docker_repository_url = ") and "not the address of a repository" in line
    assert "secret" not in line


@pytest.mark.parametrize("fingerprint", ["", None, 9, "0EBFCD88", "9DC8 5822", "g" * 40])
def test_a_fingerprint_that_is_none(fingerprint: object) -> None:
    (line,) = problems(docker_repository_fingerprint=fingerprint)
    assert line.startswith(f"{PREFIX}docker_repository_fingerprint = ") and "40 hexadecimal digits" in line


# Keys, made by GnuPG 2.2.40, which told their fingerprints

ONE = "F65B0DD216B47F08C74934277FBDA2A52125C109"
ONE_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawFvqhYJKwYBBAHaRw8BAQdAVFVsOJpquXFz86SmIDZyFCotvqB//5ls+w1i
2o/hvvy0A29uZYiQBBMWCAA4FiEE9lsN0ha0fwjHSTQnf72ipSElwQkFAmsBb6oC
GwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQf72ipSElwQlebQEAhvpbwHDP
Z+FgzIwjphinNElTIccCW05uzqxf2U3lD8IA/0Nw9g5/Ay3lj0ncijfDbQ4m9QRI
NcAKtxS87wMJYpgN
=xPjS
-----END PGP PUBLIC KEY BLOCK-----
"""
TWO = "37FD187BF351E8F783EB5921EE88FD032E70C8C9"
ONE_AND_TWO_KEYS = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawFvqhYJKwYBBAHaRw8BAQdAVFVsOJpquXFz86SmIDZyFCotvqB//5ls+w1i
2o/hvvy0A29uZYiQBBMWCAA4FiEE9lsN0ha0fwjHSTQnf72ipSElwQkFAmsBb6oC
GwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQf72ipSElwQlebQEAhvpbwHDP
Z+FgzIwjphinNElTIccCW05uzqxf2U3lD8IA/0Nw9g5/Ay3lj0ncijfDbQ4m9QRI
NcAKtxS87wMJYpgNmDMEawFvqhYJKwYBBAHaRw8BAQdAH9twU2EfB7kbBNUgdAzl
VXmvox9lHybpFLa3L+/ChVG0A3R3b4iQBBMWCAA4FiEEN/0Ye/NR6PeD61kh7oj9
Ay5wyMkFAmsBb6oCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQ7oj9Ay5w
yMkbMAEA2Yv8eUG72SVwIbP72qbBHuPPe5f7fxu7MThBZ/IcLwoBAIcavFCYnUTe
Wig+Zh5OK7Yu1dL/2sdx3x+jHUHjwpsK
=4mhD
-----END PGP PUBLIC KEY BLOCK-----
"""
RSA = "B9ED11D304ABD834241F25E297AAD91CBEB97BF5"
RSA_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mI0EawFvqgEEAMFziS9TCMVn2gWJH+ucQZrXCtmRfAI1paFr2rPW7fU0vqdGE4Pz
pobevzwolwSnuvc0MtZbmAUtuIykxuMY1taF49ymq1OHFSUN3+1AcoSax55ZPDdw
tujcQ1uCdqRh1ClAfT9a867qd2fz3XgXz5BiYHHqgcqZcR+LaRXRdEmrABEBAAG0
BXRocmVliM4EEwEKADgWIQS57RHTBKvYNCQfJeKXqtkcvrl79QUCawFvqgIbAwUL
CQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRCXqtkcvrl79TorBAC4FxuKkgD8nUHp
n/Dwi9oscQkQZih655J9Kum9WzzhcGM3kYUGeBuK8GtI9+Zwe1ymvitAEAkfadoS
c2bztH8+epZftaNJDIUkYKqBcO+8p26Jm8W60rEF1ISEiA69VaFJ8roRtjkfrXLz
PCnzkn5Q54Feg0UWcmdGU2+1f6fNXw==
=GlYl
-----END PGP PUBLIC KEY BLOCK-----
"""
REPOSITORY = {"url": "https://mirror.lan/linux/debian", "suite": "bookworm", "fingerprint": ONE}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ONE_KEY, [ONE]),
        (RSA_KEY, [RSA]),
        (ONE_AND_TWO_KEYS, [ONE, TWO]),
        (ONE_KEY + RSA_KEY, [ONE, RSA]),
        (ONE_KEY.replace("\n", "\r\n"), [ONE]),
        (ONE_KEY.replace("BLOCK-----\n\n", "BLOCK-----\nVersion: GnuPG v2\nComment: x\n\n"), [ONE]),
        (ONE_KEY.replace("=xPjS\n", ""), [ONE]),
        ("some words\n" + ONE_KEY, [ONE]),
    ],
)
def test_fingerprints_are_those_that_gnupg_tells(text: str, found: list[str]) -> None:
    assert fingerprints(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>not found</html>",
        ONE_KEY.replace("PUBLIC", "PRIVATE"),
        ONE_KEY.replace("-----END", "----END"),
        ONE_KEY + "-----BEGIN PGP PUBLIC KEY BLOCK-----\n",  # what apt may read and we did not
        ONE_KEY.replace("mDME", "mDM!"),
        ONE_KEY.replace("NcAKtxS87wMJYpgN\n", ""),  # cut off
        ONE_KEY.replace("mDME", "GDME"),  # no packet
        ONE_KEY.replace("mDMEawFv", "mDMDawFv"),  # version 3
        ONE_KEY.replace("mDME", "tDME"),  # a name where the key should be
        ONE_KEY.replace("mDME", "mzME"),  # a length that is not known at once
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmA==\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="OpenPGP"):
        fingerprints(text)


def packet(head: bytes, body: bytes) -> str:
    """The fingerprint of a key whose packet begins so."""
    block = base64.b64encode(head + body).decode()
    (found,) = fingerprints(f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{block}\n-----END PGP PUBLIC KEY BLOCK-----\n")
    return found


def test_every_way_to_write_a_packets_length() -> None:
    short, long = b"\x04" + bytes(99), b"\x04" + bytes(999)
    assert (
        len({packet(head, short) for head in (b"\xc6\x64", b"\x98\x64", b"\x99\x00\x64", b"\xc6\xff\0\0\0\x64")}) == 1
    )
    assert len({packet(head, long) for head in (b"\xc6\xc3\x28", b"\x99\x03\xe8", b"\x9a\0\0\x03\xe8")}) == 1


def test_the_right_key() -> None:
    assert runner_key({"status": 200, "content": ONE_KEY}, REPOSITORY) == ""


@pytest.mark.parametrize(
    ("content", "why"), [(RSA_KEY, RSA), (ONE_AND_TWO_KEYS, f"{ONE}, {TWO}"), ("<html>", "not an armoured OpenPGP key")]
)
def test_a_wrong_key_is_told(content: str, why: str) -> None:
    told = runner_key({"status": 200, "content": content}, REPOSITORY)
    place = "https://mirror.lan/linux/debian/gpg"
    assert told.startswith(f"{PREFIX}docker_repository_fingerprint = {ONE}: at {place} is another key: {why}. Do: ")


def test_a_key_that_cannot_be_fetched_is_told() -> None:
    answer = {"status": -1, "msg": "Status code was -1 and not [200]: Request failed: <urlopen error timed out>"}
    told = runner_key(answer, REPOSITORY)
    assert told.startswith(f"{PREFIX}docker_repository_url = https://mirror.lan/linux: the key cannot be fetched from ")
    assert "timed out" in told and ". Do: " in told
