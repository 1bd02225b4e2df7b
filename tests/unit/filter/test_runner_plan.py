# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the role github_docker_runners: what it makes of good variables, and every line about bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import (
    runner_credentials,
    runner_leave,
    runner_plan,
)
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.options import (
    APP_OPTIONS,
    HOST_OPTIONS,
    POOL_OPTIONS,
    REMOVE_OPTIONS,
)

ROLE = Path(__file__).parents[3] / "roles" / "github_docker_runners"
DEFAULTS: dict[str, Any] = {
    **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text("utf-8")),
    f"{PREFIX}name_prefix": "gh-runner-01",
}
TOKEN = "github_pat_0123456789abcdefghij"
HOST: dict[str, Any] = {
    "name": "gh-runner-01",
    "groups": ["github_runners", "lab"],
    "inventory": "/etc/my-project",
    "distribution": "Debian",
    "version": "13",
    "architecture": "x86_64",
    "service_mgr": "systemd",
    "uid": 0,
    "processors": 4,
    "memory_mb": 8000,
}


def variables(**own: object) -> dict[str, Any]:
    """The role's variables, with these instead of the defaults."""
    return {**DEFAULTS, f"{PREFIX}scope": "my-org", f"{PREFIX}token": TOKEN, **{PREFIX + k: v for k, v in own.items()}}


def problems(host: dict[str, Any] | None = None, **own: object) -> list[str]:
    found = runner_plan(variables(**own), {**HOST, **(host or {})})["problems"]
    assert isinstance(found, list)
    return found


def test_the_defaults_need_a_scope_and_a_token_only() -> None:
    lines = runner_plan(DEFAULTS, HOST)["problems"]
    assert [line.split(" ")[0] for line in lines] == [f"{PREFIX}scope", f"{PREFIX}token"]
    assert problems() == []


def test_the_plan() -> None:
    plan = runner_plan(variables(scope="https://github.com/my-org/", count="3", idle_timeout="60"), HOST)
    (pool,) = plan["pools"]
    assert pool["slots"] == plan["slots"] == ["runner-1", "runner-2", "runner-3"]
    assert pool["labels"] == ["self-hosted", "linux", "x64", "ephemeral", "docker"]
    assert (pool["cpus"], pool["memory"], pool["pids_limit"]) == ("2", "3g", 4096)
    assert plan["settings"] == {
        "github": {"api_url": "https://api.github.com", "ca_file": None, "timeout": 30},
        "compose": {
            "project": "github-runners",
            "file": "/opt/github-runners/docker-compose.yml",
            "profile": "runnerd",
        },
        "metrics": {"address": "127.0.0.1", "port": 9252},
        "limits": {"registration": 120, "idle": 60, "job": 432000, "drain": 21600, "shutdown": 600, "teardown": 60},
        "pools": [
            {
                "name": "default",
                "scope": "my-org",
                "group": "Default",
                "labels": ["self-hosted", "linux", "x64", "ephemeral", "docker"],
                "work_folder": "_work",
                "credential": "default",
                "name_prefix": "gh-runner-01",
                "slots": ["runner-1", "runner-2", "runner-3"],
            }
        ],
    }
    assert TOKEN not in json.dumps(plan)


def test_labels_are_true_and_each_once() -> None:
    plan = runner_plan(variables(extra_labels=["homelab", "Linux"]), {**HOST, "architecture": "aarch64"})
    assert plan["pools"][0]["labels"] == ["self-hosted", "linux", "arm64", "ephemeral", "docker", "homelab"]
    plan = runner_plan(variables(labels=["mine"], extra_labels=["yours"]), HOST)
    assert plan["pools"][0]["labels"] == ["mine", "yours"]


def test_no_limits() -> None:
    (pool,) = runner_plan(variables(cpus=0, memory="0", pids_limit=0), HOST)["pools"]
    assert not (pool["cpus"] or pool["memory"] or pool["pids_limit"])


def test_environment_becomes_text() -> None:
    (pool,) = runner_plan(variables(environment={"A": True, "B": 1, "C": "$x"}), HOST)["pools"]
    assert pool["environment"] == {"A": "true", "B": "1", "C": "$x"}


def test_a_label_promises_docker_only_where_there_is_one() -> None:
    pools = [{"name": "default"}, {"name": "host", "docker": "socket"}, {"name": "bare", "docker": "none"}]
    plan = runner_plan(variables(docker_socket_acknowledged="true", pools=pools), HOST)
    assert plan["problems"] == []
    assert ["docker" in pool["labels"] for pool in plan["pools"]] == [True, True, False]
    assert [pool["work_folder"] for pool in plan["pools"]] == ["_work", "/opt/github-runners/work/{slot}", "_work"]


def test_graphics_cards_and_sudo() -> None:
    (pool,) = runner_plan(variables(), HOST)["pools"]
    assert (pool["gpus"], pool["allow_sudo"]) == (0, True)
    (pool,) = runner_plan(variables(gpus="all", allow_sudo="no"), HOST)["pools"]
    assert (pool["gpus"], pool["allow_sudo"]) == ("all", False)


def test_volumes_in_both_forms() -> None:
    given_volumes = ["/srv/cache:/cache:ro", "/srv/out:/out", {"source": "/srv/$x", "target": "/x", "read_only": True}]
    (pool,) = runner_plan(variables(volumes=given_volumes, action_archives="/srv/archives"), HOST)["pools"]
    assert [(v["source"], v["target"], v["read_only"]) for v in pool["volumes"]] == [
        ("/srv/archives", "/opt/action-archives", True),
        ("/srv/cache", "/cache", True),
        ("/srv/out", "/out", False),
        ("/srv/$x", "/x", True),
    ]
    assert pool["environment"] == {"ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE": "/opt/action-archives"}


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ("/var/run/docker.sock:/var/run/docker.sock", "Docker's socket"),
        ("/:/host:ro", "the job would reach"),
        ("/var:/x", "the job would reach"),
        ("/etc:/x:ro", "GitHub's credentials (/etc/runnerd)"),
        ("/etc/runnerd/credentials.json:/x:ro", "GitHub's credentials"),
        ("/opt/github-runners:/x", "the Compose file"),
        ("/opt:/x:ro", "the Compose file"),
        ("/srv/x:/", "hide"),
        ("/srv/x:/opt/runnerd", "hide /opt/runnerd"),
        ("/srv/x:/opt", "hide /opt/runnerd"),
        ("/srv/x:/opt/runnerd/entrypoint.sh", "hide /opt/runnerd"),
        ("/srv/x:/home/runner", "hide /home/runner"),
        ("/srv/x:/home", "hide /home/runner"),
        ("/srv/x:/home/runner/_work", "hide /home/runner/_work"),
        ("/srv/x:/home/runner/externals", "hide /home/runner/externals"),
        ("/srv/x:/home/runner/_work/_tool:ro", ""),
        ("/srv/x:/home/runner/.m2", ""),
        ("/srv/x:/run", "hide"),
        ("cache:/cache", "plain absolute paths"),
        ("/srv/../etc:/cache", "plain absolute paths"),
        ("/srv/x:cache", "plain absolute paths"),
        ("/srv/x", "not of the form"),
        ("/srv/x:/x:cached", "not ro or rw"),
        ({"source": "/srv/x", "target": "/x", "readonly": True}, "no readonly"),
        ({"source": "/srv/x", "target": "/x", "read_only": "yes"}, "not true or false"),
        ({"source": "/srv/x"}, "plain absolute paths"),
        (7, "not a text"),
    ],
)
def test_each_bad_volume_is_one_line(volume: object, why: str) -> None:
    found = problems(volumes=[volume])
    assert len(found) == bool(why) and all(why in line for line in found), found
    assert all(line.startswith(f"{PREFIX}volumes[1] = ") for line in found)


def test_pools_take_what_they_leave_out_from_the_flat_variables() -> None:
    given_pools = [
        {"name": "default"},
        {"name": "big", "count": 1, "memory": "4g", "scope": "my-org/repo", "token": "ghp_" + "b" * 20},
        {"name": "twin", "count": 1, "token": "ghp_" + "b" * 20},
    ]
    mine = variables(pools=given_pools, count=2)
    plan = runner_plan(mine, HOST)
    assert plan["problems"] == []
    assert plan["slots"] == ["runner-1", "runner-2", "big-1", "twin-1"]
    assert [pool["memory"] for pool in plan["pools"]] == ["3g", "4g", "3g"]
    assert [pool["scope"] for pool in plan["pools"]] == ["my-org", "my-org/repo", "my-org"]
    assert [pool["credential"] for pool in plan["settings"]["pools"]] == ["default", "pool-big", "pool-big"]
    assert runner_credentials(mine) == {"default": {"token": TOKEN}, "pool-big": {"token": "ghp_" + "b" * 20}}


def test_a_flat_token_that_no_pool_uses_stays_here() -> None:
    mine = variables(pools=[{"name": "a", "token": "other-token"}])
    assert runner_credentials(mine) == {"pool-a": {"token": "other-token"}}


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ({"count": "four"}, f"{PREFIX}count = four: not a whole number from 1 to 1000. Do: give a whole number"),
        ({"count": 0}, f"{PREFIX}count = 0: not a whole number"),
        ({"count": -1}, f"{PREFIX}count = -1: not a whole number"),
        ({"count": 2.5}, f"{PREFIX}count = 2.5: not a whole number"),
        ({"count": True}, f"{PREFIX}count = true: not a whole number"),
        ({"count": None}, f"{PREFIX}count = null: not a whole number"),
        ({"count": 10**15}, f"{PREFIX}count = {10**15}: not a whole number from 1 to 1000"),
        ({"scope": ""}, f'{PREFIX}scope = "": not set, and there is no default'),
        ({"scope": "org"}, f"{PREFIX}scope = org: a kind of scope, not a name. Do: write owner/repo"),
        ({"scope": "my org"}, f"{PREFIX}scope = 'my org': not the name of"),
        ({"scope": "https://gitlab.com/a"}, f"{PREFIX}scope = 'https://gitlab.com/a': not on github.com"),
        ({"scope": ["my-org"]}, f"{PREFIX}scope = ['my-org']: not a text"),
        ({"token": None}, f"{PREFIX}token = null: not set. Do: make a fine-grained"),
        ({"token": "A" + "B2" * 14}, f"{PREFIX}token = (hidden): looks like a token that dies after an hour. Do: make"),
        ({"token": "ghs_0123456789abcdef"}, f"{PREFIX}token = (hidden): looks like a token that dies after an hour"),
        ({"token": f"{TOKEN}\n"}, f"{PREFIX}token = (hidden): not one line without spaces. Do: copy the token again"),
        ({"token": 12345678}, f"{PREFIX}token = (hidden): not one line"),
        ({"labels": "a, b"}, f'{PREFIX}labels = a, b: a text, where a list is needed. Do: write ["a", "b"]'),
        ({"labels": {"a": 1}}, f'{PREFIX}labels = {{"a": 1}}: not a list'),
        ({"extra_labels": ["a b", 22.04, "c"]}, f'{PREFIX}extra_labels = ["a b", 22.04, "c"]: no label: a b, 22.04.'),
        ({"extra_labels": [str(n) for n in range(99)]}, f"{PREFIX}labels = []: 104 labels in all, GitHub takes 100"),
        ({"group": ""}, f'{PREFIX}group = "": not a name'),
        ({"scope": "o/r", "group": "Big"}, f"{PREFIX}group = Big: the repository o/r has no runner groups"),
        ({"name_prefix": "fe80::1"}, f"{PREFIX}name_prefix = fe80::1: runner names may have"),
        ({"name_prefix": "x" * 43}, f"{PREFIX}name_prefix = {'x' * 43}: 43 characters; GitHub's limit leaves 42"),
        ({"work_folder": "../x"}, f"{PREFIX}work_folder = ../x: not a plain path"),
        ({"image": "Me/Runner"}, f"{PREFIX}image = Me/Runner: not the name of an image"),
        ({"image": "a b"}, f"{PREFIX}image = a b: not the name of an image"),
        ({"image": None}, f"{PREFIX}image = null: not the name of an image"),
        ({"image_pull": "never"}, f"{PREFIX}image_pull = never: not missing or always"),
        ({"cpus": "two"}, f"{PREFIX}cpus = two: not a number of processors"),
        ({"cpus": 8}, f"{PREFIX}cpus = 8: this host has 4. Do: write at most 4"),
        ({"memory": "much"}, f"{PREFIX}memory = much: not an amount of memory"),
        ({"memory": 12}, f"{PREFIX}memory = 12: less than Docker's least of 6m. Do: write the unit too"),
        ({"memory": "64g"}, f"{PREFIX}memory = 64g: this host has 8000 MiB. Do: write at most 8000m"),
        ({"pids_limit": "-1"}, f"{PREFIX}pids_limit = -1: not a whole number of at least 0"),
        ({"environment": ["A=1"]}, f"{PREFIX}environment = (hidden): not names with values"),
        ({"environment": {"A-B": "1"}}, f"{PREFIX}environment[A-B] = (hidden): not the name of a variable"),
        ({"environment": {"A": [1]}}, f"{PREFIX}environment[A] = (hidden): not a text"),
        (
            {"environment": {"A": f"x{TOKEN}"}},
            f"{PREFIX}environment[A] = (hidden): a GitHub token or an App's key, which every job",
        ),
        ({"environment": {"A": "ghp_" + "c" * 36}}, f"{PREFIX}environment[A] = (hidden): a GitHub token"),
        ({"environment": {"ACTIONS_RUNNER_INPUT_URL": "x"}}, f"{PREFIX}environment[ACTIONS_RUNNER_INPUT_URL] ="),
        ({"docker": "yes"}, f"{PREFIX}docker = yes: not dind or socket or none"),
        ({"docker": "socket"}, f"{PREFIX}docker = socket: with the host's socket every job is root on this host"),
        ({"dind_image": "Docker"}, f"{PREFIX}dind_image = Docker: not the name of an image"),
        ({"dind_arguments": "--mtu=1400"}, f"{PREFIX}dind_arguments = --mtu=1400: not a list"),
        ({"dind_arguments": ["mtu"]}, f'{PREFIX}dind_arguments = ["mtu"]: no option of dockerd: mtu'),
        ({"dind_arguments": ["-H=tcp://:1"]}, f'{PREFIX}dind_arguments = ["-H=tcp://:1"]: -H is the role\'s own'),
        (
            {"docker": "socket", "docker_socket_acknowledged": True, "work_folder": "w"},
            f"{PREFIX}work_folder = w: with the host's Docker it is a folder of the host's",
        ),
        ({"volumes": "/srv/x:/x"}, f"{PREFIX}volumes = /srv/x:/x: not a list. Do: write a list, such as"),
        ({"volumes": ["/a:/x", "/b:/x"]}, f"{PREFIX}volumes[2] = /b:/x: two volumes at /x"),
        ({"pools": [{"name": "a", "volumes": ["a"]}]}, f"{PREFIX}pools[a].volumes[1] = a: not of the form"),
        ({"action_archives": "archives"}, f"{PREFIX}action_archives = archives: not a plain absolute path"),
        ({"action_archives": "/etc"}, f"{PREFIX}action_archives = /etc: the job would reach GitHub's credentials"),
        ({"gpus": "many"}, f"{PREFIX}gpus = many: not a whole number from 0 to 64. Do: give a whole number"),
        ({"allow_sudo": "maybe"}, f"{PREFIX}allow_sudo = maybe: not true or false. Do: write true or false"),
        ({"stop_grace_period": 0}, f"{PREFIX}stop_grace_period = 0: not a whole number of at least 1"),
        ({"api_url": "https://github.com"}, f"{PREFIX}api_url = 'https://github.com': not the plain URL of an API"),
        ({"api_url": "http://ghes.lan/api/v3"}, f"{PREFIX}api_url = http://ghes.lan/api/v3: the token would go"),
        ({"directory": "/usr/lib/x"}, f"{PREFIX}directory = /usr/lib/x: the system's own. Do: write a folder of its"),
        ({"directory": "/opt"}, f"{PREFIX}directory = /opt: the system's own"),
        ({"directory": "runners"}, f"{PREFIX}directory = runners: not a plain absolute path"),
        ({"directory": "/opt/../etc"}, f"{PREFIX}directory = /opt/../etc: not a plain absolute path"),
        ({"directory": "/home/me/runners"}, f"{PREFIX}directory = /home/me/runners: the daemon runs without access"),
        ({"ca_file": "my-ca.pem"}, f"{PREFIX}ca_file = my-ca.pem: not an absolute path. Do: name a file of PEM"),
        ({"ca_file": ["/a"]}, f'{PREFIX}ca_file = ["/a"]: not an absolute path'),
        ({"ca_file": "/my-ca.pem"}, f"{PREFIX}ca_file = /my-ca.pem: there is no such file on the control node"),
        ({"allow_public": "perhaps"}, f"{PREFIX}allow_public = perhaps: not true or false"),
        ({"user": "root"}, f"{PREFIX}user = root: not a name for this user"),
        ({"uid": 0}, f"{PREFIX}uid = 0: not a whole number from 1"),
        ({"metrics_address": "localhost"}, f"{PREFIX}metrics_address = localhost: not an IP address"),
        ({"metrics_port": 70000}, f"{PREFIX}metrics_port = 70000: not a whole number from 0 to 65535"),
        ({"drain_timeout": "6h"}, f"{PREFIX}drain_timeout = 6h: not a whole number of at least 0. Do: give a whole"),
        ({"teardown_timeout": 0}, f"{PREFIX}teardown_timeout = 0: not a whole number of at least 1"),
        ({"cuont": 3}, f"{PREFIX}cuont = (hidden): no such variable. Do: write {PREFIX}count"),
        ({"pools": {"name": "a"}}, f"{PREFIX}pools = (hidden): not a list of pools"),
        ({"pools": ["a"]}, f"{PREFIX}pools = (hidden): not a list of pools"),
        ({"pools": [{"count": 1}]}, f"{PREFIX}pools[1].name = null: not a pool's name"),
        ({"pools": [{"name": "A b"}]}, f"{PREFIX}pools[A b].name = A b: not a pool's name"),
        ({"pools": [{"name": "a"}, {"name": "a"}]}, f"{PREFIX}pools[a].name = a: two pools have this name"),
        ({"pools": [{"name": "a", "cpu": 1}]}, f"{PREFIX}pools[a].cpu = (hidden): a pool has no such option"),
        ({"pools": [{"name": "a", "count": "x"}]}, f"{PREFIX}pools[a].count = x: not a whole number"),
        ({"pools": [{"name": "a", "scope": "x y"}]}, f"{PREFIX}pools[a].scope = 'x y': not the name"),
        (
            {"pools": [{"name": "default"}, {"name": "runner"}]},
            f"{PREFIX}pools[runner].name = runner: the slot runner-1 would be in the pool default too",
        ),
    ],
)
def test_each_bad_value_is_one_line(own: dict[str, Any], line: str) -> None:
    (found,) = problems(**own)
    assert found.startswith(line)
    assert ". Do: " in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        ({"distribution": "Fedora", "version": "41"}, "distribution = Fedora 41: not supported on a runner host"),
        (
            {"version": "11.9"},
            "distribution = Debian 11.9: not supported on a runner host. Do: install one of Debian 12",
        ),
        ({"version": "130"}, "distribution = Debian 130: not supported"),
        ({"distribution": "Ubuntu", "version": "24.10"}, "distribution = Ubuntu 24.10: not supported on a runner host"),
        ({"architecture": "riscv64"}, "architecture = riscv64: GitHub's Linux runner is not for it"),
        ({"service_mgr": "openrc"}, "service_mgr = openrc: the runners are started and watched by systemd"),
        ({"uid": 1000}, "uid = 1000: not root, even with become"),
    ],
)
def test_each_unfit_host_is_one_line(fact: dict[str, Any], line: str) -> None:
    (found,) = problems(host=fact)
    assert found.startswith(line)


def test_a_missing_scope_names_the_files_where_ansible_looked() -> None:
    (line,) = problems(scope=None)
    for file in ("host_vars/gh-runner-01.yml", "group_vars/github_runners.yml", "group_vars/lab.yml"):
        assert file in line
    assert "/etc/my-project" in line
    (line,) = problems(host={"inventory": None, "groups": []}, scope=None)
    assert "host_vars/gh-runner-01.yml beside the inventory file" in line


def test_all_problems_at_once_and_shared_ones_once() -> None:
    lines = problems(count="x", memory="y", pools=[{"name": "a"}, {"name": "b"}, {"name": "c", "count": 1}])
    assert [line.split(" =")[0] for line in lines] == [f"{PREFIX}count", f"{PREFIX}memory"]


def test_others_may_have_variables_of_their_own() -> None:
    assert problems(vault_password_of_mine="x") == []


def test_a_token_in_a_wrong_place_is_not_shown() -> None:
    lines = problems(scope=f"{TOKEN} x", image=f"A {TOKEN}", group="ghp_" + "d" * 36, count="ghp_" + "d" * 36)
    assert len(lines) == 3
    assert TOKEN not in "\n".join(lines)
    assert "dddd" not in "\n".join(lines)


def test_authorities_of_ones_own_go_to_the_host() -> None:
    authority = trustme.CA()
    certificate, key = authority.cert_pem.bytes().decode(), authority.private_key_pem.bytes().decode()
    own = variables(ca_file="/my/ca.pem")
    plan = runner_plan(own, {**HOST, "ca": f"# Autorité\n{certificate}\n{certificate}"})
    assert plan["problems"] == []
    assert (plan["ca_file"], plan["settings"]["github"]["ca_file"]) == ("/my/ca.pem", "/etc/runnerd/ca.pem")
    for content, why in [
        ("hello", "no certificates are in it"),
        (certificate.replace("A", "!"), "no certificates are in it"),
        (certificate.replace("\n", "é\n"), "no certificates are in it"),
        (certificate + key, "a private key is in it, and everybody on the host could read it"),
    ]:
        (line,) = runner_plan(own, {**HOST, "ca": content})["problems"]
        assert line.startswith(f"{PREFIX}ca_file = /my/ca.pem: {why}. Do: "), line


def test_every_option_is_known_here_and_documented() -> None:
    spec = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text("utf-8"))["argument_specs"]["main"][
        "options"
    ]
    assert {name.removeprefix(PREFIX) for name in spec} == {*POOL_OPTIONS, *HOST_OPTIONS}
    assert set(spec[f"{PREFIX}pools"]["options"]) == {"name", *POOL_OPTIONS}
    assert set(DEFAULTS) - set(spec) == {PREFIX + name for name in REMOVE_OPTIONS}
    assert set(spec) - set(DEFAULTS) == {f"{PREFIX}{name}" for name in ("scope", "token", *APP_OPTIONS)}


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from([*POOL_OPTIONS, *HOST_OPTIONS]), _ANYTHING, max_size=6),
    st.lists(st.dictionaries(st.sampled_from(["name", *POOL_OPTIONS]), _ANYTHING, max_size=4), max_size=3),
)
def test_nothing_a_user_writes_raises(own: dict[str, Any], pools: list[dict[str, Any]]) -> None:
    mine = {**variables(), f"{PREFIX}pools": pools, **{PREFIX + name: value for name, value in own.items()}}
    plan = runner_plan(mine, HOST)
    assert all(". Do: " in line for line in plan["problems"])
    if not plan["problems"]:
        json.dumps(plan)
        json.dumps(runner_credentials(mine))


def test_leaving_needs_no_scope_and_no_token() -> None:
    assert runner_leave(DEFAULTS) == {
        "problems": [],
        "directory": "/opt/github-runners",
        "user": "github-runner",
        "drain_timeout": 21600,
    }


@pytest.mark.parametrize(
    ("own", "begins"),
    [
        ({"directory": "/"}, "directory = /: not a plain absolute path"),
        ({"directory": "/opt"}, "directory = /opt: the system's own"),
        ({"directory": "/usr/lib"}, "directory = /usr/lib: the system's own"),
        ({"user": "root"}, "user = root: not a name for this user"),
        ({"drain_timeout": "soon"}, "drain_timeout = soon: not a whole number of at least 0"),
        ({"remove_nwo": True}, "remove_nwo = (hidden): no such variable. Do: write github_docker_runners_remove_now"),
        ({"count": 0}, None),
    ],
)
def test_leaving_is_refused(own: dict[str, Any], begins: str | None) -> None:
    lines = runner_leave({**DEFAULTS, **{PREFIX + name: value for name, value in own.items()}})["problems"]
    assert len(lines) == (begins is not None)
    assert all(line.startswith(f"{PREFIX}{begins}") for line in lines), lines
