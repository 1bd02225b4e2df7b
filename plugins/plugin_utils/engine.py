# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Docker Engine of a runner host: where each distribution has one from, and whether one that is there will do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX, Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.openpgp import fingerprints


@dataclass(frozen=True)
class System:
    """A release of a distribution.

    Attributes:
        codename: the distribution's own name for it, which is a suite of its archive.
        packages: an Engine that runs as root, its command, and Compose version 2.
        dockers_own: whether these are in Docker's apt repository rather than in the distribution's archive.
    """

    codename: str
    packages: tuple[str, ...]
    dockers_own: bool = False


#: By distribution and version, as Ansible's facts name them. Debian 12 and Ubuntu's releases before 24.04 were made
#: before Compose 2: Ubuntu has added it since (jammy-updates, universe), Debian 12 has not.
SYSTEMS = {
    "Debian": {
        "12": System(
            "bookworm", ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"), dockers_own=True
        ),
        "13": System("trixie", ("docker.io", "docker-cli", "docker-compose")),
    },
    "Ubuntu": {
        "22.04": System("jammy", ("docker.io", "docker-compose-v2")),
        "24.04": System("noble", ("docker.io", "docker-compose-v2")),
    },
}

#: 20.10 is the oldest Engine that was tried; it is Debian 12's own.
OLDEST_ENGINE = (20, 10)
#: The first Compose whose `create` has the option `--pull`.
OLDEST_COMPOSE = (2, 8)
#: Where runnerd looks for the Engine.
SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
#: Limits of a pool, and what `docker info` calls the kernel's ability to keep them.
_LIMITS = {"memory": "MemoryLimit", "cpus": "CpuCfsQuota", "pids_limit": "PidsLimit"}


def system_of(host: Mapping[str, Any]) -> System | None:
    """The release that the host runs, by the facts ``distribution`` and ``version``; None if it is none of ours."""
    version = str(host.get("version"))
    for supported, system in SYSTEMS.get(str(host.get("distribution")), {}).items():
        if version == supported or version.startswith(f"{supported}."):
            return system
    return None


def engine_options(check: Check, host: Mapping[str, Any]) -> dict[str, Any]:
    """What to install where there is no Engine: ``packages``, and ``repository`` (None: the distribution's archive)."""
    url = check.values.get("docker_repository_url")
    if not isinstance(url, str) or not _is_repository(url):
        check.wrong(
            "docker_repository_url",
            "not the address of a repository",
            "write https:// or http://, a name and a path, without user and password, "
            "such as https://download.docker.com/linux",
            secret="@" in str(url),
        )
    fingerprint = check.text(
        "docker_repository_fingerprint",
        r"\s*(?:[0-9A-Fa-f]\s*){40}",
        "not the fingerprint of a key",
        "write its 40 hexadecimal digits, as `gpg --show-keys` prints them",
    )
    system = system_of(host)
    if system is None:
        return {"packages": [], "repository": None}
    repository = {
        "url": f"{str(url).rstrip('/')}/{str(host.get('distribution')).lower()}",
        "suite": system.codename,
        "fingerprint": re.sub(r"\s", "", fingerprint).upper(),
    }
    return {"packages": list(system.packages), "repository": repository if system.dockers_own else None}


def _is_repository(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        return False
    plain = re.fullmatch(r"[!-~]+", url) and not (parts.query or parts.fragment)
    return bool(plain and parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc)


def runner_key(answer: Mapping[str, Any], repository: Mapping[str, Any]) -> str:
    """What is wrong with a repository's key, as ``variable = value: why. Do: …``, or empty.

    Args:
        answer: The result of ansible.builtin.uri at the place of the key, ``<url>/gpg``.
        repository: The plan's ``engine.repository``.
    """
    place, wanted = f"{repository['url']}/gpg", repository["fingerprint"]
    if answer.get("status") != 200:
        return (
            f"{PREFIX}docker_repository_url = {repository['url'].rpartition('/')[0]}: the key cannot be fetched from "
            f"{place}: {str(answer.get('msg')).strip()}. Do: let the host reach it, or write the address of a mirror"
        )
    try:
        found = fingerprints(str(answer.get("content")))
    except ValueError as error:
        why = str(error)
    else:
        if set(found) == {wanted}:
            return ""
        why = ", ".join(dict.fromkeys(found))
    return (
        f"{PREFIX}docker_repository_fingerprint = {wanted}: at {place} is another key: {why}. "
        "Do: look who answers there; if it is the right one, write its key's fingerprint"
    )


def runner_engine(probe: Mapping[str, Any], pools: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Whether the host has a Docker Engine with Compose, and what does not suit. Such an Engine is left alone.

    Args:
        probe: The result of a command which prints the path of ``docker``, and what ``docker info`` and
            ``docker context inspect`` print as JSON, and nothing at all where there is neither ``docker`` nor
            ``dockerd``.
        pools: The pools of a plan; their limits are compared with what the kernel can keep.

    Returns:
        ``present``: there is one, and nothing is to be installed; ``problem``: what is there and does not suit, as
        ``what = value: why. Do: …``, or empty.
    """
    said, complained = str(probe.get("stdout") or "").strip(), str(probe.get("stderr") or "").strip()
    if not said and probe.get("rc") == 0:
        return {"present": False, "problem": ""}
    answers = list(_objects(said))
    info = next((answer for answer in answers if "Endpoints" not in answer), {})
    context = next((answer for answer in answers if "Endpoints" in answer), {})
    path = said.splitlines()[0].strip() if said else ""
    problems = _judged(path, info, context, complained, pools)
    return {"present": True, "problem": next(problems, "")}


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The lines that are JSON objects."""
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, Mapping):
            yield value


def _judged(
    path: str, info: Mapping[str, Any], context: Mapping[str, Any], complained: str, pools: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """All that does not suit, what has to be put right first coming first."""
    plugins = {str(p.get("Name")): p for p in (info.get("ClientInfo") or {}).get("Plugins") or []}
    compose = plugins.get("compose") or {}
    root = str(info.get("DockerRootDir") or "")
    drivers = (info.get("Plugins") or {}).get("Log") or []
    address = str(((context.get("Endpoints") or {}).get("docker") or {}).get("Host") or SOCKETS[0])
    options = [str(option) for option in info.get("SecurityOptions") or []]
    errors = info.get("ServerErrors") or []

    if "podman" in complained.lower() or "host" in info or "k8s-file" in drivers:
        yield (
            "docker = Podman: runnerd needs Docker's own Engine. "
            "Do: apt-get remove podman-docker, and run the playbook again"
        )
    if path.endswith("dockerd"):
        yield f"docker = none: there is {path} without its command. Do: install docker-cli, or docker-ce-cli"
    if path.startswith("/snap/") or root.startswith("/var/snap/") or str(compose.get("Path")).startswith("/snap/"):
        yield (
            "docker = a snap: it cannot see the runners' files, and the daemon cannot see it. "
            "Do: snap remove docker, and run the playbook again"
        )
    if any("rootless" in option for option in options) or "/run/user/" in address:
        yield (
            "docker = rootless: runnerd needs an Engine that runs as root. "
            "Do: for root, unset DOCKER_HOST and `docker context use default`"
        )
    if info.get("OperatingSystem") == "Docker Desktop" or "/.docker/desktop/" in address:
        yield (
            "docker = Docker Desktop: its containers run in a virtual machine that runnerd cannot look into. "
            "Do: use a host with Docker Engine"
        )
    if address not in SOCKETS:
        yield (
            f"docker = {_without_user(address)} (context {context.get('Name')}): runnerd uses this host's own Engine, "
            f"at {SOCKETS[0]}. Do: for root, unset DOCKER_HOST and `docker context use default`"
        )
    if not info:
        words = complained.splitlines()[-1] if complained else "nothing"
        yield f"docker info = {words}: not an answer of Docker's. Do: repair Docker"
    if errors:
        yield f"docker info = {errors[0]}: the Engine does not answer. Do: systemctl start docker"
    yield from _versions(info, compose)
    if "journald" not in drivers:
        yield (
            f"docker info = {', '.join(drivers) or 'no log drivers'}: journald is not among the log drivers. "
            "Do: install the distribution's Docker or docker.com's"
        )
    for pool in pools:
        for option, ability in _LIMITS.items():
            if pool.get(option) and info.get(ability) is False:
                yield (
                    f"{option} = {pool[option]} (pool {pool.get('name')}): this kernel keeps no such limit "
                    f"(docker info: {ability} = false). Do: switch it on (for memory: boot with cgroup_enable=memory), "
                    f"or write {option}: 0"
                )


def _versions(info: Mapping[str, Any], compose: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the versions of the Engine and of Compose."""
    engine = str(info.get("ServerVersion"))
    if _older(engine, OLDEST_ENGINE):
        yield f"docker = {engine}: too old. Do: install version {_dotted(OLDEST_ENGINE)} or newer"
    version, path = compose.get("Version"), str(compose.get("Path"))
    if not compose:
        yield (
            "docker compose = none: Docker is there without its plugin Compose, and is left alone. "
            "Do: install docker-compose-plugin (docker.com's Docker), docker-compose (Debian 13's) or "
            "docker-compose-v2 (Ubuntu's); Debian 12 has none: take docker.io out there, and run the playbook again"
        )
    elif compose.get("Err") or not version:
        yield f"docker compose = {compose.get('Err') or 'no version'}: the plugin does not work. Do: install it again"
    elif _older(str(version), OLDEST_COMPOSE):
        yield f"docker compose = {version}: too old. Do: install version {_dotted(OLDEST_COMPOSE)} or newer"
    elif path.startswith(("/root/", "/home/")):
        yield (
            f"docker compose = {path}: the daemon runs without access to home folders. "
            "Do: move it to /usr/local/lib/docker/cli-plugins"
        )


def _older(version: str, oldest: tuple[int, int]) -> bool:
    """Whether `version` is certainly older; one that is no number, such as that of a build of one's own, is not."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < oldest


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _without_user(address: str) -> str:
    """An address without what may be a password."""
    scheme, separator, rest = address.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
