# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The homelab seed's variable names."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import runner_plan
from ansible_collections.ephemeral.github_runners.plugins.filter.runner_seed import runner_seed
from tests.unit.filter.test_runner_plan import DEFAULTS, HOST

#: The group variables that the seed's own documentation shows.
SEED = {
    "github_scope": "org",
    "github_org": "your-org-name",
    "github_runner_count": 4,
    "github_runner_cpus": "3.0",
    "github_runner_memory": "12g",
    "github_runner_labels": ["self-hosted", "homelab"],
    "github_runner_image": "myoung34/github-runner:latest",
}


def test_the_seed_is_taken_over() -> None:
    assert runner_seed(SEED, {}) == {
        "problems": [],
        "notes": [],
        "variables": {
            "github_docker_runners_scope": "your-org-name",
            "github_docker_runners_count": 4,
            "github_docker_runners_cpus": "3.0",
            "github_docker_runners_memory": "12g",
            "github_docker_runners_labels": ["self-hosted", "homelab"],
            "github_docker_runners_image": "myoung34/github-runner:latest",
        },
    }


@pytest.mark.parametrize(
    ("seed", "scope"),
    [
        ({"github_scope": "repo", "github_repo": "me/homelab"}, "me/homelab"),
        ({"github_scope": "repo", "github_repo": "homelab", "github_org": "me"}, "me/homelab"),
        ({"github_repo": "me/homelab"}, "me/homelab"),
        ({"github_org": "org-one"}, "org-one"),
        ({"github_scope": "org", "github_org": "me", "github_repo": "me/homelab"}, "me"),
    ],
)
def test_scopes(seed: dict[str, Any], scope: str) -> None:
    assert runner_seed(seed, {}) == {
        "problems": [],
        "notes": [],
        "variables": {"github_docker_runners_scope": scope},
    }


def test_nothing_of_the_seed_is_nothing_to_do() -> None:
    assert runner_seed({}, {"github_docker_runners_count": 3}) == {"problems": [], "notes": [], "variables": {}}


def test_both_spellings_may_agree() -> None:
    own = {"github_docker_runners_count": "4", "github_docker_runners_scope": "your-org-name"}
    found = runner_seed(SEED, own)
    assert found["problems"] == []
    assert not set(own) & set(found["variables"])


@pytest.mark.parametrize(
    ("seed", "own", "line"),
    [
        (
            {"github_runner_count": 4},
            {"github_docker_runners_count": 5},
            "github_docker_runners_count = 5: github_runner_count says 4. Do: keep github_docker_runners_count only",
        ),
        (
            {"github_org": "a"},
            {"github_docker_runners_scope": "b"},
            'github_docker_runners_scope = "b": github_scope, github_org and github_repo says "a". Do: keep',
        ),
        ({"github_scope": "user"}, {}, "github_scope = user: not org or repo. Do: set github_docker_runners_scope"),
        ({"github_scope": "org"}, {}, "github_org = null: not set, though github_scope = org. Do: set"),
        (
            {"github_registration_token": "AABF3JGZDX3P5PMEXLND6TS6FCWO6"},
            {},
            "github_registration_token = (hidden): this token dies after an hour",
        ),
    ],
)
def test_what_does_not_fit(seed: dict[str, Any], own: dict[str, Any], line: str) -> None:
    (found,) = runner_seed(seed, own)["problems"]
    assert found.startswith(line)
    assert ". Do: " in found
    assert "AABF3JGZ" not in found


def test_a_registration_token_beside_a_real_one_does_not_matter() -> None:
    assert runner_seed({"github_registration_token": "x"}, {"github_docker_runners_token": "y"})["problems"] == []


@pytest.mark.parametrize("value", [True, "true", "yes"])
def test_the_socket_of_the_host_is_acknowledged_and_said_aloud(value: object) -> None:
    found = runner_seed({"github_runner_mount_docker_socket": value}, {})
    assert found["variables"] == {
        "github_docker_runners_docker": "socket",
        "github_docker_runners_docker_socket_acknowledged": True,
    }
    (note,) = found["notes"]
    assert "root on this host" in note and "github_docker_runners_docker to dind" in note


def test_without_the_socket_a_runner_has_docker_of_its_own() -> None:
    found = runner_seed({"github_runner_mount_docker_socket": False}, {})
    assert found == {"problems": [], "notes": [], "variables": {"github_docker_runners_docker": "dind"}}


def test_the_socket_in_two_spellings_has_to_agree() -> None:
    seed = {"github_runner_mount_docker_socket": True}
    found = runner_seed(seed, {"github_docker_runners_docker": "socket"})
    assert found == {"problems": [], "notes": [], "variables": {}}  # the own word wants its own acknowledgement
    (problem,) = runner_seed(seed, {"github_docker_runners_docker": "none"})["problems"]
    assert problem.startswith('github_docker_runners_docker = "none": github_runner_mount_docker_socket says "socket"')
    (problem,) = runner_seed({"github_runner_mount_docker_socket": "maybe"}, {})["problems"]
    assert problem.startswith('github_runner_mount_docker_socket = "maybe": not true or false. Do: ')


def test_a_copy_of_the_seeds_variables_is_a_plan_for_its_host() -> None:
    """Word for word from its documentation, on a host of the size that it makes; with a token that lasts."""
    seed = {
        "github_scope": "org",
        "github_org": "your-org-name",
        "github_runner_count": 4,
        "github_runner_cpus": "3.0",
        "github_runner_memory": "12g",
        "github_runner_labels": ["self-hosted", "homelab", "ansible", "ephemeral", "docker", "linux", "x64"],
        "github_runner_mount_docker_socket": True,
        "github_runner_image": "your-registry/custom-runner",
        "github_registration_token": "A" + "B2" * 14,
    }
    token = {"github_docker_runners_token": "github_pat_0123456789abcdefghij"}
    found = runner_seed(seed, token)
    assert found["problems"] == []
    plan = runner_plan({**DEFAULTS, **token, **found["variables"]}, {**HOST, "processors": 16, "memory_mb": 65536})
    assert plan["problems"] == []
    (pool,) = plan["pools"]
    assert (pool["scope"], len(pool["slots"]), pool["cpus"], pool["memory"]) == ("your-org-name", 4, "3", "12g")
    assert pool["labels"] == seed["github_runner_labels"]
    assert (pool["docker"], pool["image"]) == ("socket", "your-registry/custom-runner")
    (problem,) = runner_seed(seed, {})["problems"]
    assert problem.startswith("github_registration_token = (hidden): this token dies after an hour")
