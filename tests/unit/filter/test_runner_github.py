# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GitHub's and the registry's answers become: lines that name variable, value and remedy, and no secret."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from ansible.module_utils.basic import missing_required_lib

from ansible_collections.ephemeral.github_runners.plugins.filter.runner_github import runner_pulls, runner_refused
from ansible_collections.ephemeral.github_runners.plugins.filter.runner_plan import runner_plan
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import PREFIX
from tests.unit.filter.test_runner_credential import KEY
from tests.unit.filter.test_runner_plan import HOST, TOKEN, variables

REACHED = {"status": 200, "msg": "OK (2396 bytes)"}
GROUPS = [
    {"id": 1, "name": "Default", "default": True, "allows_public": False},
    {"id": 2, "name": "Everybody", "default": False, "allows_public": True},
]


def questions(**own: object) -> list[dict[str, str]]:
    return list(runner_plan(variables(**own), HOST)["questions"])


def answer(**own: Any) -> dict[str, Any]:
    """What gha_runner_scope says of an organization, with these facts instead."""
    return {"scope": "my-org", "visibility": None, "groups": GROUPS, **own}


def error(kind: str, **own: Any) -> dict[str, Any]:
    """What gha_runner_scope says when GitHub did not do what was asked."""
    told = {
        "kind": kind,
        "action": "look at my-org",
        "url": "https://api.github.com/orgs/my-org",
        "status": 404,
        "message": "Not Found",
        "request_id": "8A40",
        "remedy": "see whether it is there",
    }
    return {"msg": "Could not look at my-org", "error": {**told, **own}}


def refused(told: dict[str, Any], way: dict[str, Any] | None = None, **own: object) -> list[str]:
    """The lines for one pool, whose question has this answer."""
    (question,) = questions(**own)
    lines = runner_refused(variables(**own), HOST, [{**told, "item": question}], REACHED if way is None else way)
    for line in lines:
        assert re.fullmatch(r"github_docker_runners_\S+ = .+: .+\. Do: .+", line), line
        assert TOKEN not in line
    return lines


def test_equal_questions_are_one_on_all_hosts() -> None:
    other_host = {**HOST, "name": "gh-runner-02"}
    (one,) = questions()
    assert runner_plan(variables(count=5, image="x"), other_host)["questions"] == [one]
    assert questions(scope="MY-ORG")[0]["key"] == one["key"]
    different = [
        questions(scope="my-org/repo"),
        questions(token="ghp_" + "x" * 36),
        questions(api_url="https://github.example/api/v3"),
    ]
    assert len({one["key"], *(question["key"] for (question,) in different)}) == 4
    assert TOKEN not in str(one)


def test_each_pool_has_its_question() -> None:
    pools = [{"name": "a"}, {"name": "b", "count": 1}, {"name": "c", "scope": "other-org"}]
    assert [question["scope"] for question in questions(pools=pools)] == ["my-org", "other-org"]


@pytest.mark.parametrize(
    "own",
    [
        {"scope": None},
        {"scope": "my org"},
        {"token": ""},
        {"token": "two words"},
        {"api_url": "http://github.example/api/v3"},
        {"api_url": "github.com"},
    ],
)
def test_what_is_wrong_anyhow_is_not_asked(own: dict[str, object]) -> None:
    assert questions(**own) == []
    assert runner_refused(variables(**own), HOST, [], {"skipped": True}) == []


def test_a_scope_that_can_be_used_is_no_problem() -> None:
    assert refused(answer()) == []
    assert refused(answer(), group="default") == []
    assert refused(answer(), group="Everybody", allow_public=True) == []
    assert refused(answer(), group="everybody", allow_public="true") == []
    private = answer(scope="my-org/app", visibility="private", groups=GROUPS[:1])
    assert refused(private, scope="my-org/app") == []


def test_groups_are_judged() -> None:
    (line,) = refused(answer(), group="builders")
    assert line.startswith(
        f"{PREFIX}group = builders: my-org has no such runner group, there are only 'Default', 'Everybody'. Do: name"
    )
    (line,) = refused(answer(), group="Everybody")
    assert line.startswith(f"{PREFIX}allow_public = false: the runner group Everybody of my-org takes jobs of public")


def test_a_public_repository_is_refused() -> None:
    public = answer(scope="my-org/app", visibility="public", groups=GROUPS[:1])
    (line,) = refused(public, scope="my-org/app")
    assert line.startswith(f"{PREFIX}allow_public = false: my-org/app is public, so anybody who sends a pull request")
    assert refused(public, scope="my-org/app", allow_public=True) == []


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        (
            "NotFound",
            "scope = my-org: could not look at my-org: 404 Not Found (https://api.github.com/orgs/my-org, req",
        ),
        ("Unprocessable", "scope = my-org: could not look"),
        ("Unauthorized", "token = (hidden): could not look"),
        ("Forbidden", "token = (hidden): could not look"),
        ("RateLimited", "token = (hidden): could not look"),
        ("ServerError", "api_url = https://api.github.com: the control node could not look"),
        ("Unreachable", "api_url = https://api.github.com: the control node could not look"),
        ("ProtocolError", "api_url = https://api.github.com: the control node could not look"),
    ],
)
def test_errors_are_told_by_the_variable_that_is_to_blame(kind: str, begins: str) -> None:
    (line,) = refused(error(kind))
    assert line.startswith(PREFIX + begins), line
    assert "see whether it is there" in line
    assert ("check_github: false" in line) == begins.startswith("api_url")


def test_an_error_without_an_answer_has_no_status() -> None:
    (line,) = refused(error("Unreachable", status=None, url="", request_id=None, message="timed out"))
    assert ": the control node could not look at my-org: timed out. Do:" in line


def test_an_apps_refusal_names_the_app() -> None:
    own = {"token": "", "app_id": "123456", "app_private_key": KEY}
    (line,) = refused(error("Unauthorized"), **own)
    assert line.startswith(f"{PREFIX}app_id = (hidden): ")
    (line,) = refused({"msg": "private_key = (hidden): it is no key. Do: give one"}, **own)
    assert line == f"{PREFIX}app_private_key = (hidden): it is no key. Do: give one"


def test_what_the_module_says_of_its_own_options_is_told_in_ours() -> None:
    (line,) = refused({"msg": "scope = my-org/app: archived, so it runs no jobs. Do: unarchive it"})
    assert line == f"{PREFIX}scope = my-org/app: archived, so it runs no jobs. Do: unarchive it"


def test_a_library_that_is_missing_is_named_with_its_python() -> None:
    words = missing_required_lib("requests").replace(sys.executable, "/venv/bin/python")
    (line,) = refused({"msg": f"{words}. Do: /venv/bin/python -m pip install requests"})
    assert line == (
        f"{PREFIX}check_github = true: the control node cannot ask GitHub: /venv/bin/python has no library requests. "
        "Do: /venv/bin/python -m pip install requests"
    )
    (line,) = refused({"msg": "MODULE FAILURE\nSee stdout/stderr", "rc": 1})
    assert line.startswith(f"{PREFIX}check_github = true: the control node cannot ask GitHub: MODULE FAILURE See")


def test_a_secret_in_an_answer_is_hidden() -> None:
    (line,) = refused(error("NotFound", message=f"no {TOKEN} here"))
    assert "no (hidden) here" in line


def test_a_firewall_is_told_from_a_wrong_token() -> None:
    way = {"status": -1, "msg": "Status code was -1 and not [200]: Request failed: <urlopen error timed out>"}
    assert refused(answer(), way) == [
        f"{PREFIX}api_url = https://api.github.com: gh-runner-01 does not reach it: <urlopen error timed out>. "
        "Do: see to the network of gh-runner-01 (name resolution, firewall, proxy); "
        f"{PREFIX}check_github: false skips the question"
    ]
    assert refused(answer(), {"status": 403, "msg": "HTTP Error 403"}) == []
    assert len(refused(error("Unauthorized"), way)) == 2


def test_pools_with_one_question_are_told_once_and_others_by_their_names() -> None:
    pools = [{"name": "a"}, {"name": "b"}, {"name": "c", "group": "x"}, {"name": "d", "scope": "other-org"}]
    answers = [
        {**(answer() if question["scope"] == "my-org" else error("NotFound")), "item": question}
        for question in questions(pools=pools)
    ]
    lines = runner_refused(variables(pools=pools), HOST, [*answers, {"item": {"key": "of another host"}}], REACHED)
    assert [line.split(" = ")[0] for line in lines] == [f"{PREFIX}pools[c].group", f"{PREFIX}pools[d].scope"]


def test_what_the_registry_says_is_told() -> None:
    said = {"rc": 1, "stderr": "Error response from daemon: manifest for a/b:1 not found: manifest unknown"}
    (line,) = runner_pulls(variables(image="a/b:1"), [{**said, "item": "a/b:1"}, {"rc": 0, "item": "other"}])
    assert line.startswith(
        f"{PREFIX}image = a/b:1: docker pull says: manifest for a/b:1 not found: manifest unknown. Do: see whether"
    )
    pools = [{"name": "a"}, {"name": "b", "image": "a/b:2"}]
    lines = runner_pulls(variables(pools=pools, image="a/b:1"), [{**said, "item": "a/b:2"}, {"skipped": True}])
    assert [line.split(":")[0] for line in lines] == [f"{PREFIX}pools[b].image = a/b"]
    (line,) = runner_pulls(variables(), [{"rc": 1, "stderr": "", "item": "docker:dind"}])
    assert line.startswith(f"{PREFIX}dind_image = docker:dind: docker pull says: it said nothing. Do:")
    (line,) = runner_pulls(variables(), [{"rc": 1, "stderr": "no", "item": "nobody/has:this"}])
    assert line.startswith(f"{PREFIX}image = nobody/has:this: docker pull says: no. Do:")
