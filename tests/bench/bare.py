# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runners on the host without runnerd, for baselines: the same image with the same options, and credentials of ours."""

from __future__ import annotations

import json
from typing import Any

import requests

from tests.e2e.rig import SCOPE, Rig

#: Where the host has our files, and the containers, too.
FOLDER = "/opt/bench"
COMPOSE_FILE = "/opt/github-runners/docker-compose.yml"
#: What these containers' names begin with.
NAME = "bench-"


def service(rig: Rig) -> dict[str, Any]:
    """The first slot as our Compose file defines it."""
    words = ["docker", "compose", "--file", COMPOSE_FILE, "--profile", "*", "config", "--format", "json"]
    services = json.loads(rig.host.exec(*words).stdout)["services"]
    return dict(services["runner-1"])


def options(service: dict[str, Any]) -> list[str]:
    """The same container's options for `docker create` and `docker run`, up to the image; but for name and program."""
    words = ["--init", "--interactive", "--pull=never", "--network=github-runners_default"]
    words += [f"--log-driver={service['logging']['driver']}"]
    words += [f"--cpus={service['cpus']}", f"--memory={service['mem_limit']}", f"--pids-limit={service['pids_limit']}"]
    words += [f"--env={name}={value}" for name, value in (service.get("environment") or {}).items()]
    for volume in service["volumes"]:
        words += [f"--volume={volume['source']}:{volume['target']}{':ro' if volume.get('read_only') else ''}"]
    return words


def credential(rig: Rig, name: str, label: str) -> str:
    """Register a runner that only jobs with this label come to; its JIT configuration."""
    answer = requests.post(
        f"{rig.lab.api_url}/orgs/{SCOPE}/actions/runners/generate-jitconfig",
        json={"name": name, "runner_group_id": 1, "labels": [label]},
        headers={"Authorization": f"Bearer {rig.token}"},
        proxies={"https": rig.lab.proxy_url},
        verify=str(rig.lab.authority.path),
        timeout=30,
    )
    answer.raise_for_status()
    return str(answer.json()["encoded_jit_config"])


def write(rig: Rig, name: str, text: str) -> None:
    """Lay a file down in the host's folder."""
    rig.host.exec("mkdir", "-p", f"{FOLDER}/{name}".rpartition("/")[0])
    rig.host.write(f"{FOLDER}/{name}", text)


def forget(rig: Rig, kind: str = "") -> None:
    """Remove the containers of one kind, and its runners at GitHub, whatever they do."""
    name = f"{NAME}{kind}"
    command = f"docker ps --all --quiet --filter name=^{name} | xargs --no-run-if-empty docker rm --force --volumes"
    rig.host.exec("sh", "-c", command)
    for runner in rig.github.runners():
        if runner["name"].startswith(name):
            rig.github.remove_runner(runner["id"])
