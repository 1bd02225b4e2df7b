# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is there a Docker Engine that suits, and if not, what is the one thing to do?

`look` finds out, `diagnose` judges (pure), `ensure` acts: it installs and starts the distribution's engine where that
is certainly what the user wants, and says what to type everywhere else.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.context import ContextAPI
from requests.exceptions import RequestException

from tests.lab.common import Narrate, Problem, apt_get, eventually, run

DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
#: The first API with private cgroup namespaces, that of Docker 20.10.
OLDEST_API = (1, 41)
#: Seconds for an engine to answer a question about itself.
PROBE_TIMEOUT = 15
#: Seconds for an engine that was just started to answer.
START_TIMEOUT = 60
#: Seconds between two bytes of an answer; a push or a build step may be silent for long.
WORK_TIMEOUT = 600
DAEMON_LOG = Path("/var/log/dockerd.log")


class Answer(Enum):
    """What came back from the engine's address."""

    OK = "it answers"
    ABSENT = "there is no socket"
    REFUSED = "nothing listens there"
    PERMISSION = "you may not use it (permission denied)"
    SILENT = "it gives no sensible answer"


class Verdict(Enum):
    """What follows."""

    OK = "use it"
    START = "start it"
    INSTALL = "install and start it"
    WRONG = "a person has to act"


@dataclass(frozen=True)
class Facts:
    """What was found out about this machine and its engine; plain data, so that judging needs neither.

    Attributes:
        endpoint: the engine's address, `unix://…`, `tcp://…` or `ssh://…`.
        configured_by: what the user set it with (`DOCKER_HOST`, `DOCKER_CONTEXT`, a context's name), empty when it is
            the default.
        detail: the error's own words, when `answer` is not OK.
        info: Docker's `GET /info`; empty when there is no answer.
        version: Docker's `GET /version`; empty when there is no answer.
        system: `Linux`, `Darwin` …, as Python's `platform.system()` names it.
        distributions: ID and ID_LIKE of /etc/os-release.
        client: path of the `docker` command with links followed, empty if there is none.
        daemon: path of the `dockerd` command, empty if there is none.
    """

    endpoint: str = DEFAULT_ENDPOINT
    configured_by: str = ""
    answer: Answer = Answer.OK
    detail: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    version: Mapping[str, Any] = field(default_factory=dict)
    system: str = "Linux"
    distributions: frozenset[str] = frozenset()
    root: bool = False
    systemd: bool = False
    client: str = ""
    daemon: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, what is so, and what to do about it (empty when nothing is to be done)."""

    verdict: Verdict
    says: str
    do: str = ""


def diagnose(facts: Facts) -> Diagnosis:
    """Judge the facts. Exactly one thing is said to be wrong: the first that would have to be put right."""
    return _answering(facts) if facts.answer is Answer.OK else _not_answering(facts)


def _answering(facts: Facts) -> Diagnosis:
    info, version = facts.info, facts.version
    api = str(version.get("ApiVersion", "0.0"))
    components = [str(part.get("Name", "")) for part in version.get("Components") or []]
    described = (
        f"Docker Engine {info.get('ServerVersion', '?')} at {facts.endpoint}, cgroup v{info.get('CgroupVersion', '1')}"
    )
    if any("Podman" in name for name in components):
        return Diagnosis(
            Verdict.WRONG,
            f"Podman answers at {facts.endpoint}, but the demo's hosts run a Docker Engine inside a container, which "
            "needs Docker outside as well.",
            "stop podman.socket, unset DOCKER_HOST, and install a Docker Engine",
        )
    if any("rootless" in str(option) for option in info.get("SecurityOptions") or []):
        return Diagnosis(
            Verdict.WRONG,
            f"The engine at {facts.endpoint} runs rootless; a host with systemd and an engine of its own does not "
            "start in it.",
            "use the system's engine: sudo systemctl start docker && docker context use default; unset DOCKER_HOST",
        )
    if info.get("OSType", "linux") != "linux":
        return Diagnosis(
            Verdict.WRONG,
            f"The engine at {facts.endpoint} runs {info.get('OSType')} containers.",
            "switch Docker Desktop to Linux containers",
        )
    if tuple(int(part) for part in api.split(".")[:2]) < OLDEST_API:
        return Diagnosis(
            Verdict.WRONG,
            f"{described} speaks API {api}, but {'.'.join(map(str, OLDEST_API))} is needed (Docker 20.10).",
            "install a newer Docker Engine",
        )
    if not facts.endpoint.startswith(("unix://", "npipe://")):
        return Diagnosis(
            Verdict.WRONG,
            f"{facts.configured_by or 'Docker'} points at {facts.endpoint}; ports are published on the loopback of the "
            "engine's own machine, which from here may be another one.",
            "unset DOCKER_HOST DOCKER_CONTEXT; docker context use default",
        )
    if str(info.get("OperatingSystem", "")).startswith("Docker Desktop"):
        return Diagnosis(Verdict.OK, f"{described}, Docker Desktop (should work; the authors could not try it)")
    return Diagnosis(Verdict.OK, described)


def _not_answering(facts: Facts) -> Diagnosis:
    debian = bool(facts.distributions & {"debian", "ubuntu"})
    if facts.configured_by:
        return Diagnosis(
            Verdict.WRONG,
            f"{facts.configured_by} says that the Docker Engine is at {facts.endpoint}, but {facts.answer.value}"
            f"{f': {facts.detail}' if facts.answer is Answer.SILENT else ''}.",
            "start that engine, or go back to the default one: unset DOCKER_HOST DOCKER_CONTEXT; "
            "docker context use default",
        )
    if facts.answer is Answer.PERMISSION:
        return Diagnosis(
            Verdict.WRONG,
            f"A Docker Engine is there, but you may not use it: {facts.endpoint}: permission denied.",
            'sudo usermod -aG docker "$USER", then log in again (or: newgrp docker)',
        )
    if facts.answer is Answer.SILENT:
        return Diagnosis(
            Verdict.WRONG,
            f"Something listens at {facts.endpoint}, but gives no sensible answer ({facts.detail}).",
            "restart it: sudo systemctl restart docker",
        )
    if facts.system != "Linux" or "docker-desktop" in facts.client:
        return Diagnosis(Verdict.WRONG, "No Docker Engine answers.", "start Docker Desktop, then try again")
    if "podman" in facts.client:
        return Diagnosis(
            Verdict.WRONG,
            f"The command docker is Podman's ({facts.client}), and no Docker Engine answers.",
            "remove the package podman-docker and install a Docker Engine",
        )
    if facts.client.startswith("/snap/") or facts.daemon.startswith("/snap/"):
        return Diagnosis(Verdict.WRONG, "Docker is installed as a snap, and is stopped.", "sudo snap start docker")
    if facts.daemon:
        if facts.root:
            return Diagnosis(Verdict.START, f"A Docker Engine is installed ({facts.daemon}), but does not run.")
        return Diagnosis(
            Verdict.WRONG,
            f"A Docker Engine is installed ({facts.daemon}), but does not run.",
            "sudo systemctl start docker" if facts.systemd else "sudo dockerd, in another terminal",
        )
    if not debian:
        return Diagnosis(
            Verdict.WRONG, "There is no Docker Engine.", "install one: https://docs.docker.com/engine/install/"
        )
    if not facts.root:
        return Diagnosis(
            Verdict.WRONG,
            "There is no Docker Engine.",
            'sudo apt-get install docker.io && sudo usermod -aG docker "$USER", then log in again',
        )
    return Diagnosis(Verdict.INSTALL, "There is no Docker Engine.")


def look(environ: Mapping[str, str] | None = None) -> Facts:
    """Find out about this machine and its engine. Changes nothing, needs no rights, raises nothing.

    Args:
        environ: the environment's variables; this process's own by default.
    """
    environ = os.environ if environ is None else environ
    endpoint, configured_by = _endpoint(environ)
    answer, detail = _knock(endpoint)
    info: Mapping[str, Any] = {}
    version: Mapping[str, Any] = {}
    if answer is Answer.OK:
        try:
            client = docker.DockerClient(base_url=endpoint, timeout=PROBE_TIMEOUT)
            info, version = client.info(), client.version()
        except (docker.errors.DockerException, RequestException) as error:
            answer, detail = Answer.SILENT, str(error)
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    command = shutil.which("docker", path=environ.get("PATH"))
    return Facts(
        endpoint=endpoint,
        configured_by=configured_by,
        answer=answer,
        detail=detail,
        info=info,
        version=version,
        system=platform.system(),
        distributions=frozenset([release.get("ID", ""), *release.get("ID_LIKE", "").split()]),
        root=os.geteuid() == 0,
        systemd=Path("/run/systemd/system").is_dir(),
        client=_real_client(command),
        daemon=shutil.which("dockerd", path=f"{environ.get('PATH', '')}:/usr/sbin:/sbin:/snap/bin") or "",
    )


def _real_client(command: str | None) -> str:
    """What the command `docker` really is: a link's target, or podman where it is Podman's shell wrapper."""
    if not command:
        return ""
    path = command if command.startswith("/snap/") else os.path.realpath(command)
    with open(path, "rb") as file:
        head = file.read(4096)
    return f"{path} (podman)" if head.startswith(b"#!") and b"podman" in head else path


def _endpoint(environ: Mapping[str, str]) -> tuple[str, str]:
    """The engine's address and what it was set by, in the order in which Docker's own command looks."""
    host = environ.get("DOCKER_HOST", "")
    try:
        name = environ.get("DOCKER_CONTEXT") or ("default" if host else ContextAPI.get_current_context().Name)
        if name == "default":
            return (host, "DOCKER_HOST") if host else (DEFAULT_ENDPOINT, "")
        address = getattr(ContextAPI.get_context(name), "Host", None)  # None is what an unknown name gives
    except (docker.errors.DockerException, ValueError) as error:
        return DEFAULT_ENDPOINT, f"A context of Docker that cannot be read ({error})"
    if not address:
        return DEFAULT_ENDPOINT, f"The context {name!r} of Docker, which does not exist,"
    return str(address), f"The context {name!r} of Docker"


def _knock(endpoint: str) -> tuple[Answer, str]:
    """Whether something listens at a Unix socket, told by the kernel. Other addresses are left to the client."""
    if not endpoint.startswith("unix://"):
        return Answer.OK, ""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PROBE_TIMEOUT)
            sock.connect(endpoint.removeprefix("unix://"))
    except OSError as error:
        kinds = {
            errno.ENOENT: Answer.ABSENT,
            errno.ENOTDIR: Answer.ABSENT,
            errno.ECONNREFUSED: Answer.REFUSED,
            errno.EACCES: Answer.PERMISSION,
            errno.EPERM: Answer.PERMISSION,
        }
        return kinds.get(error.errno or 0, Answer.SILENT), error.strerror or str(error)
    return Answer.OK, ""


def connect() -> docker.DockerClient:
    """The engine as it is: nothing is installed or started.

    Raises:
        Problem: none answers, or the one that does will not do.
    """
    facts = look()
    diagnosis = diagnose(facts)
    if diagnosis.verdict is not Verdict.OK:
        raise Problem(diagnosis.says, diagnosis.do or "python -m tests.lab engine (installs and starts it)")
    return docker.DockerClient(base_url=facts.endpoint, timeout=WORK_TIMEOUT)


def ensure(narrate: Narrate = print) -> docker.DockerClient:
    """An engine, installed and started if that is certainly wanted: by root, on Debian or Ubuntu, none configured.

    Asks first when there is a terminal; a machine without one (CI) has nobody to ask, and goes on.

    Raises:
        Problem: a person has to act, said no, or the engine did not come up.
    """
    diagnosis = diagnose(look())
    if diagnosis.verdict in (Verdict.INSTALL, Verdict.START):
        narrate(diagnosis.says)
        packages = _packages() if diagnosis.verdict is Verdict.INSTALL else []
        plan = f"apt-get install {' '.join(packages)}, and start it" if packages else "start it"
        if sys.stdin.isatty() and input(f"{plan}? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Problem(
                f"{diagnosis.says} You did not want: {plan}.", "start a Docker Engine yourself, then try again"
            )
        narrate(f"  {plan} …")
        if packages:
            apt_get("install", "--yes", "--no-install-recommends", *packages)
        _start()
    return connect()


def _packages() -> list[str]:
    """The distribution's engine; its client too, where that is a package of its own (Debian 13)."""
    apt_get("update")
    known = subprocess.run(["apt-cache", "pkgnames", "docker-cli"], capture_output=True, text=True, check=False).stdout
    return ["docker.io", "iptables", *(["docker-cli"] if "docker-cli" in known.split() else [])]


def _start() -> None:
    """Start the daemon: by systemd where it runs, else in the background, to outlive this process."""

    def answers() -> bool:
        return look().answer is Answer.OK

    if Path("/run/systemd/system").is_dir():
        run("systemctl", "start", "docker.service")
        eventually(answers, START_TIMEOUT, lambda: "docker.service was started, but does not answer.")
        return
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # dockerd looks for iptables there
    with DAEMON_LOG.open("ab") as log:
        daemon = subprocess.Popen(
            [shutil.which("dockerd", path=path) or "dockerd"],
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )

    def answers_or_died() -> bool:
        if daemon.poll() is not None:
            raise Problem(f"dockerd ended with {daemon.returncode}. Its last words:\n{_last_words()}")
        return answers()

    eventually(answers_or_died, START_TIMEOUT, lambda: f"dockerd runs, but does not answer:\n{_last_words()}")


def _last_words(lines: int = 15) -> str:
    return "\n".join(DAEMON_LOG.read_text(errors="replace").splitlines()[-lines:])
