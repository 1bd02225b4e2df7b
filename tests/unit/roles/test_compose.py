# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Compose file that the role writes: what each option becomes in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import runner_plan
from tests.unit.filter.test_runner_plan import HOST, variables

ROLE = Path(__file__).parents[3] / "roles" / "github_docker_runners"
RUNNER = "ghcr.io/actions/actions-runner@sha256:" + "a" * 64


def compose(**own: Any) -> dict[str, Any]:
    """The services of the file for these variables of the role, as YAML reads them."""
    plan = runner_plan(variables(**own), HOST)
    assert plan["problems"] == []
    # As the module template does it, with those of Ansible's filters that the template uses.
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "to_json": json.dumps,
        "hash": lambda text, kind: hashlib.new(kind, text.encode()).hexdigest(),
    }
    environment.globals["lookup"] = lambda _plugin, name: (ROLE / "files" / name).read_text("utf-8")
    text = environment.from_string((ROLE / "templates" / "docker-compose.yml.j2").read_text("utf-8")).render(
        __github_docker_runners_plan=plan,
        __github_docker_runners_digests={pool["image"]: RUNNER for pool in plan["pools"]},
        __github_docker_runners_slots={"kept": []},
    )
    services = yaml.safe_load(text)["services"]
    assert isinstance(services, dict)
    return services


def test_a_plain_runner() -> None:
    services = compose(count=2)
    assert list(services) == ["runner-1", "runner-2"]
    runner = services["runner-1"]
    assert runner["image"] == RUNNER
    assert (runner["cpus"], runner["mem_limit"], runner["pids_limit"]) == (2, "3g", 4096)
    assert [volume["target"] for volume in runner["volumes"]] == ["/opt/runnerd/entrypoint.sh"]
    assert not {"restart", "privileged", "security_opt", "deploy", "environment"} & runner.keys()


def test_folders_of_the_host() -> None:
    runner = compose(volumes=["/srv/a$b:/cache:ro", "/srv/out:/out"], action_archives="/srv/archives")["runner-1"]
    assert [(v["source"], v["target"], v["read_only"]) for v in runner["volumes"][1:]] == [
        ("/srv/archives", "/opt/action-archives", True),
        ("/srv/a$$b", "/cache", True),
        ("/srv/out", "/out", False),
    ]
    assert not any(volume["bind"]["create_host_path"] for volume in runner["volumes"][1:])
    assert runner["environment"] == {"ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE": "/opt/action-archives"}


def test_graphics_cards() -> None:
    (device,) = compose(gpus=2)["runner-1"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}
    (device,) = compose(gpus="all")["runner-1"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["count"] == "all"


def test_without_sudo_no_program_gains_rights() -> None:
    assert compose(allow_sudo=False)["runner-1"]["security_opt"] == ["no-new-privileges:true"]


def test_pools_differ() -> None:
    services = compose(pools=[{"name": "default", "count": 1}, {"name": "gpu", "count": 1, "gpus": 1}])
    assert "deploy" not in services["runner-1"] and "deploy" in services["gpu-1"]
