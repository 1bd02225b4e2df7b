# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pool's containers are given: Docker, folders of the host, graphics cards, the right to become root."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import Check, shown

#: Where the runner's own folder is in the images that the entrypoint knows (files/entrypoint.sh).
ROOTS = ("/home/runner", "/actions-runner", "/runner")
#: Where the role puts its own files in a container.
OWN = "/opt/runnerd"
#: Where a folder with archives of actions is mounted, and the runner's own variable for it.
ARCHIVES = "/opt/action-archives"
ARCHIVES_VARIABLE = "ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE"

#: Host paths through which a job becomes the host's root, or reads what this collection keeps from jobs.
_NEVER = {
    "/var/run/docker.sock": "Docker's socket",
    "/run/docker.sock": "Docker's socket",
    "/run/containerd": "containerd's socket",
    "/var/lib/docker": "Docker's data, with every other runner in it",
    "/var/lib/containerd": "containerd's data",
    "/etc/runnerd": "GitHub's credentials",
    "/run/credentials": "GitHub's credentials",
    "/run/runnerd": "the daemon's control socket",
    "/var/lib/runnerd": "the daemon's journal",
    "/usr/local/lib/runnerd": "the daemon's code",
    "/dev": "the host's devices",
    "/proc": "the host's processes",
    "/sys": "the host's kernel",
}
#: What the role itself tells the daemon beside a runner: another value would take that daemon away from its runner.
_DIND_OWN = ("--host", "-H", "--group", "-G", "--data-root", "-g", "--pidfile", "-p", "--exec-root", "--config-file")
_KEYS = ("source", "target", "read_only")


def below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _split(volume: object) -> Mapping[str, Any] | str:
    """A volume's three parts, or what is wrong with it."""
    if isinstance(volume, Mapping):
        if strange := [str(key) for key in volume if key not in _KEYS]:
            return f"a volume has no {', '.join(strange)}"
        return {"read_only": False, **volume}
    if not isinstance(volume, str):
        return "not a text"
    parts = volume.split(":")
    if len(parts) == 3 and parts[2] not in ("ro", "rw"):
        return f"its last part is {shown(parts[2])}, not ro or rw"
    if len(parts) not in (2, 3):
        return "not of the form source:target or source:target:ro"
    return {"source": parts[0], "target": parts[1], "read_only": parts[2:] == ["ro"]}


def _plain(path: object) -> bool:
    """An absolute path without detours."""
    return isinstance(path, str) and path.startswith("/") and path.isprintable() and posixpath.normpath(path) == path


def _forbidden(source: str, target: str, directory: str, work_folder: str) -> str:
    """Why these two must not meet; empty if they may."""
    for path, what in {**_NEVER, directory: "the Compose file that root runs"}.items():
        if path and (below(source, path) or below(path, source)):
            return f"the job would reach {what} ({path})"
    for path in (OWN, "/run", "/var/run", "/proc", "/sys", *ROOTS):
        if below(path, target) or below(target, OWN):
            return f"it would hide {path} of the container"
    for root in ROOTS:
        work = posixpath.normpath(posixpath.join(root, work_folder))
        if target in (work, f"{root}/bin", f"{root}/externals") or below(work, target):
            return f"it would hide {target}, which the runner itself needs fresh"
    return ""


def _archives(check: Check, directory: str) -> dict[str, dict[str, Any]]:
    """The volume of the folder with archives of actions, by its target; none if there is no such folder."""
    value = check.values.get("action_archives")
    if value in (None, ""):
        return {}
    why = "" if _plain(value) else "not a plain absolute path"
    if why := why or _forbidden(str(value), ARCHIVES, directory, "_work"):
        check.wrong("action_archives", why, "write a folder of the host, such as /srv/action-archives, or nothing")
        return {}
    return {ARCHIVES: {"source": value, "target": ARCHIVES, "read_only": True}}


def judge_volumes(check: Check, directory: str, work_folder: str) -> list[dict[str, Any]]:
    """The host's folders that a pool's containers are given, and what is wrong with them.

    Args:
        check: The pool's values.
        directory: The role's own folder on the host.
        work_folder: The pool's.
    """
    found = _archives(check, directory)
    value = check.values.get("volumes")
    if not isinstance(value, (list, tuple)):
        check.wrong("volumes", "not a list", "write a list, such as [/srv/cache:/cache:ro]")
        return []
    for number, volume in enumerate(value, 1):
        option = f"volumes[{number}]"
        one = Check({option: volume}, check.problems, check.place("volumes"))
        parts = _split(volume)
        if isinstance(parts, str):
            one.wrong(option, parts, "write source:target or source:target:ro")
            continue
        source, target, read_only = (parts.get(key) for key in _KEYS)
        if not _plain(source) or not _plain(target):
            one.wrong(option, "source and target are not two plain absolute paths", "write /srv/cache:/cache:ro")
        elif not isinstance(read_only, bool):
            one.wrong(option, "read_only is not true or false", "write read_only: true")
        elif why := _forbidden(str(source), str(target), directory, work_folder):
            one.wrong(option, why, "give a folder of its own, such as /srv/cache:/cache:ro")
        elif target in found:
            one.wrong(option, f"two volumes at {target}", "give each a target of its own")
        else:
            found[str(target)] = {"source": source, "target": target, "read_only": read_only}
    return list(found.values())


def judge_gpus(check: Check) -> int | str:
    """How many NVIDIA graphics cards each container gets: a number, or ``all``."""
    if check.values.get("gpus") == "all":
        return "all"
    return check.integer("gpus", 0, 1, maximum=64, unit="or all")


def judge_docker(check: Check) -> dict[str, Any]:
    """How jobs get Docker: ``docker`` (dind, socket or none) and ``dind_arguments``, what the daemon is told."""
    mode = check.choice("docker", ("dind", "socket", "none"))
    if check.yes("docker_socket_acknowledged") is False and mode == "socket":
        check.wrong(
            "docker",
            "with the host's socket every job is root on this host, and can read all other runners",
            f"set {check.place('docker')}docker_socket_acknowledged to true if that is wanted, or write dind",
        )
    arguments = check.values.get("dind_arguments")
    if not isinstance(arguments, (list, tuple)):
        check.wrong("dind_arguments", "not a list", "write a list, such as [--registry-mirror=https://mirror.lan]")
        arguments = []
    for argument in arguments:
        if not isinstance(argument, str) or not argument.isprintable() or not argument.startswith("-"):
            check.wrong(
                "dind_arguments", f"no option of dockerd: {shown(argument)}", "write --option=value, each a text"
            )
        elif argument.partition("=")[0] in _DIND_OWN:
            check.wrong("dind_arguments", f"{argument.partition('=')[0]} is the role's own", "take it out")
    return {"docker": mode, "dind_arguments": list(arguments)}
