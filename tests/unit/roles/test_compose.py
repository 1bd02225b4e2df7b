# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Compose file that the role writes: what each option becomes in it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_docker import FilterModule, declaration
from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import runner_plan
from runnerd.composefile import images, with_image, without_slot
from tests.unit.filter.test_runner_plan import HOST, variables

ROLE = Path(__file__).parents[3] / "roles" / "github_docker_runners"
DIND = "docker@sha256:" + "d" * 64
RUNNER = "ghcr.io/actions/actions-runner@sha256:" + "a" * 64


def written(shown: str = "", kept: tuple[str, ...] = (), **own: Any) -> str:
    """The file for these variables of the role, where `shown` was before and `kept` are blocks of it that stay."""
    plan = runner_plan(variables(**own), HOST)
    assert plan["problems"] == []
    # As the module template does it, with those of Ansible's filters that the template uses.
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "b64decode": lambda text: base64.b64decode(text).decode(),
        "combine": lambda one, other: {**one, **other},
        "hash": lambda text, kind: hashlib.new(kind, text.encode()).hexdigest(),
        "to_json": json.dumps,
        **{f"ephemeral.github_runners.{name}": function for name, function in FilterModule().filters().items()},
    }
    environment.globals["lookup"] = lambda _plugin, name: (ROLE / "files" / name).read_text("utf-8")
    template = environment.from_string((ROLE / "templates" / "docker-compose.yml.j2").read_text("utf-8"))
    return template.render(
        __github_docker_runners_plan=plan,
        __github_docker_runners_digests={
            **{pool["image"]: RUNNER for pool in plan["pools"]},
            **{pool["dind_image"]: DIND for pool in plan["pools"]},
        },
        __github_docker_runners_layouts={
            pool["image"]: {"root": "/actions-runner", "tools": "/opt/tools"} for pool in plan["pools"]
        },
        __github_docker_runners_slots={"kept": kept},
        __github_docker_runners_compose={"content": base64.b64encode(shown.encode())},
        __github_docker_runners_socket={"stat": {"gid": 998}},
    )


def compose(**own: Any) -> dict[str, Any]:
    """The services of the file for these variables of the role, as YAML reads them."""
    services = yaml.safe_load(written(**{"docker": "none", **own}))["services"]
    assert isinstance(services, dict)
    return services


def test_a_plain_runner() -> None:
    services = compose(count=2)
    assert list(services) == ["runner-1", "runner-2"]
    runner = services["runner-1"]
    assert runner["image"] == RUNNER
    assert (runner["cpus"], runner["mem_limit"], runner["pids_limit"]) == (2, "3g", 4096)
    assert [volume["target"] for volume in runner["volumes"]] == ["/opt/runnerd/entrypoint.sh"]
    assert not {"restart", "privileged", "security_opt", "deploy", "environment", "group_add"} & runner.keys()
    assert "volumes" not in yaml.safe_load(written(docker="none"))


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


def test_a_docker_daemon_beside_each_runner() -> None:
    services = compose(docker="dind", count=1, dind_arguments=["--registry-mirror=https://$x"], memory="1g", cpus=0)
    assert list(services) == ["runner-1", "runner-1-docker"]
    runner, companion = services.values()
    assert companion["image"] == DIND
    assert companion["container_name"] == "github-runner-1-docker"
    assert companion["privileged"] is True
    assert companion["network_mode"] == "service:runner-1"
    assert companion["volumes_from"] == ["runner-1"]
    assert companion["command"] == ["/actions-runner/_work", "--registry-mirror=https://$$x"]
    assert companion["profiles"] == runner["profiles"] == ["runnerd"]
    assert companion["pull_policy"] == "never" and "restart" not in companion
    for limited in (runner, companion):
        assert (limited["mem_limit"], limited["pids_limit"]) == ("1g", 4096) and "cpus" not in limited
    assert companion["labels"]["ephemeral.github-runners.role"] == "docker"
    shared = {volume["target"]: volume for volume in runner["volumes"] if volume["type"] == "volume"}
    assert list(shared) == ["/var/run", "/actions-runner/_work", "/opt/tools", "/actions-runner/externals"]
    assert [target for target, volume in shared.items() if "source" in volume] == ["/actions-runner/externals"]
    assert shared["/actions-runner/externals"]["read_only"] is True
    assert not any("docker.sock" in str(volume) for volume in runner["volumes"] + companion["volumes"])
    assert runner["group_add"] == ["123"]
    assert runner["environment"]["RUNNER_HOME"] == "/actions-runner"


def test_the_volume_of_an_image_has_another_name_with_another_version() -> None:
    (declared,) = yaml.safe_load(written())["volumes"].items()
    assert declared[0] == next(
        volume["source"]
        for volume in compose(docker="dind")["runner-1"]["volumes"]
        if volume["target"].endswith("/externals")
    )
    assert declared[1]["name"].startswith(f"github-runners-{declared[0]}-")
    assert declared[1]["labels"] == {"ephemeral.github-runners.role": "externals"}
    assert declaration(declared[0], RUNNER) != declaration(declared[0], DIND)


def test_pools_with_one_image_share_its_volume() -> None:
    file = yaml.safe_load(written(pools=[{"name": "a"}, {"name": "b"}, {"name": "c", "image": "other"}]))
    assert len(file["volumes"]) == 2


def test_what_the_daemon_takes_out_is_what_the_playbook_would_not_write() -> None:
    pools = [{"name": "default", "count": 1}, {"name": "other", "count": 1, "image": "other"}]
    both, one = written(pools=pools), written(pools=pools[:1])
    assert without_slot(both, "other-1") == one
    assert without_slot(one, "runner-1").endswith("services:\n")
    none = written(pools=[{**pools[0], "docker": "none"}])
    assert "volumes:\n" not in none.splitlines(keepends=True)


def test_a_slot_that_leaves_keeps_its_volume() -> None:
    pools = [{"name": "default", "count": 1}, {"name": "other", "count": 1, "image": "other"}]
    before = written(pools=pools)
    kept = "  # slot other-1 begin\n" + before.partition("  # slot other-1 begin\n")[2].partition("volumes:\n  ext")[0]
    after = written(shown=before, kept=(kept,), pools=pools[:1])
    assert after == before
    assert without_slot(after, "other-1") == written(pools=pools[:1])


def test_the_socket_of_the_host() -> None:
    runner = compose(docker="socket", docker_socket_acknowledged=True, count=2)["runner-2"]
    assert runner["group_add"] == ["998"]
    assert [(v["source"], v["target"]) for v in runner["volumes"][1:]] == [
        ("/var/run/docker.sock", "/var/run/docker.sock"),
        ("/opt/github-runners/work/runner-2", "/opt/github-runners/work/runner-2"),
    ]
    assert runner["labels"]["ephemeral.github-runners.work-folder"] == "/opt/github-runners/work/runner-2"


def test_each_pool_has_docker_its_own_way() -> None:
    services = compose(
        count=1,
        docker="dind",
        docker_socket_acknowledged=True,
        pools=[{"name": "default"}, {"name": "host", "docker": "socket"}, {"name": "bare", "docker": "none"}],
    )
    assert list(services) == ["runner-1", "runner-1-docker", "host-1", "bare-1"]
    modes = [one["labels"].get("ephemeral.github-runners.docker") for one in services.values()]
    assert modes == ["dind", None, "socket", "none"]


def test_an_ssh_key_is_a_folder_and_a_digest() -> None:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    text = written(ssh_key=key, docker="none", count=1)
    runner = yaml.safe_load(text)["services"]["runner-1"]
    assert runner["volumes"][-1] == {
        "type": "bind",
        "source": "/opt/github-runners/ssh/pools/default",
        "target": "/opt/runnerd/ssh",
        "read_only": True,
    }
    assert len(runner["labels"]["ephemeral.github-runners.ssh"]) == 16
    assert not any(line in text for line in key.splitlines()[1:-1])
    assert "ephemeral.github-runners.ssh" not in compose()["runner-1"]["labels"]


FOLLOWED = {"image": "ghcr.io/actions/actions-runner:latest", "dind_image": "docker:dind"}


def test_tags_are_followed_unless_told_otherwise() -> None:
    named, follows = images(written(**FOLLOWED))
    assert named == {RUNNER, DIND}
    assert follows == {"ghcr.io/actions/actions-runner:latest": {RUNNER}, "docker:dind": {DIND}}
    assert images(written(**FOLLOWED, image_update="manual")) == (named, {})
    assert images(written(image=RUNNER, dind_image=DIND)) == (named, {})


@pytest.mark.parametrize(("constant", "option"), [("RUNNER", "image"), ("DIND", "dind_image")])
def test_where_the_daemon_moves_an_image_the_playbook_has_nothing_to_change(
    monkeypatch: pytest.MonkeyPatch, constant: str, option: str
) -> None:
    before, moved = written(**FOLLOWED), "x.example/moved@sha256:" + "e" * 64
    monkeypatch.setattr(f"{__name__}.{constant}", moved)
    after = written(**FOLLOWED)
    assert after != before
    assert with_image(before, FOLLOWED[option], moved) == after
