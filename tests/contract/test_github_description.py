# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The double serves nothing that GitHub does not, and the check that says so works."""

from __future__ import annotations

import copy
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
import requests

from tests.contract import description
from tests.contract.client import Rest
from tests.contract.description import Description
from tests.doubles.github.api import OPERATIONS, Operation
from tests.doubles.github.server import Double

PATHS = {
    "owner": "my-org",
    "repo": "app",
    "org": "my-org",
    "enterprise": "acme",
    "version": "2.300.0",
    "runner_group_id": "1",
    "name": "custom",
    "username": "me",
    "installation_id": "77",
    "hook_id": "300001",
    "delivery_id": str(2**53 + 11),
}
APPS = {"my-app": {"permissions": {"metadata": "read"}, "installations": {"my-org": {"id": 77}, "me": {}}}}
HOOK = {"name": "web", "config": {"url": "https://runners.example.com/webhook"}, "events": ["workflow_job"]}
BODIES: dict[tuple[str, str], dict[str, object]] = {  # by method and the end of the path
    ("POST", "/generate-jitconfig"): {"name": "new", "runner_group_id": 1, "labels": ["self-hosted"]},
    ("POST", "/labels"): {"labels": ["fast"]},
    ("PUT", "/labels"): {"labels": ["fast"]},
    ("POST", "/runner-groups"): {"name": "new", "visibility": "all"},
    ("PATCH", "/{runner_group_id}"): {"name": "other", "allows_public_repositories": True},
    ("POST", "/hooks"): HOOK,
    ("PATCH", "/{hook_id}"): {"active": False},
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.template}")
def test_every_operation_is_githubs_and_its_answer_fits(
    github: Description, rest: Rest, client: Callable[[str | None], Rest], double: Double, operation: Operation
) -> None:
    assert (operation.method, operation.template) in github.operations()
    if operation.needs == "app":
        double.admin.apps(APPS)
        now = int(time.time())
        claims = {"iss": "70001", "iat": now, "exp": now + 300}
        rest = client(jwt.encode(claims, double.admin.app_key("my-app"), algorithm="RS256"))
    method, template = operation.method, operation.template
    base = re.split("/actions|/hooks", template)[0].format(**PATHS)
    names, group = dict(PATHS), 1
    if "{runner_group_id}" in template:
        made = rest("POST", f"{base}/actions/runner-groups", {"name": "selected", "visibility": "selected"})
        group = made.json()["id"]
        names["runner_group_id"] = str(group)
    if "{runner_id}" in template:
        runner = rest.jit(base, "one", "self-hosted", runner_group_id=group).json()["runner"]["id"]
        rest("POST", f"{base}/actions/runners/{runner}/labels", {"labels": ["Custom"]})
        names["runner_id"] = str(runner)
    if "{hook_id}" in template:
        rest("POST", f"{base}/hooks", HOOK)  # with the ping that is its first delivery
    body = next((body for (verb, end), body in BODIES.items() if verb == method and template.endswith(end)), None)
    if method == "PUT" and "/runner-groups/" in template:
        user = rest("GET", "/repos/my-org/app" if "{org}" in template else "/orgs/other-org").json()["id"]
        body = {f"selected_{'repository' if '{org}' in template else 'organization'}_ids": [user]}
    answer = rest(method, template.format(**names), body)
    assert answer.ok, answer.text
    # The same under the prefix that GitHub Enterprise Server has; a name or a runner is gone by now, a webhook there.
    again = rest(method, "/api/v3" + template.format(**names), body)
    assert again.ok or again.status_code in (404, 409) or template.endswith("/hooks"), again.text


def _exchange(method: str, path: str, status: int, body: object, sent: object = None) -> requests.Response:
    response = requests.Response()
    response.request = requests.Request(method, f"http://double{path}", json=sent).prepare()
    response.status_code = status
    response._content = b"" if body is None else json.dumps(body).encode()
    response.headers["Content-Type"] = "application/json; charset=utf-8"
    return response


RUNNERS = "/orgs/{org}/actions/runners"
RUNNER = {"id": 1, "name": "n", "os": "linux", "status": "offline", "busy": False, "labels": []}
JIT = {"name": "n", "runner_group_id": 1, "labels": ["x"]}


@pytest.mark.parametrize(
    ("template", "exchange"),
    [
        pytest.param(
            f"{RUNNERS}/registration-token",
            _exchange("POST", "/orgs/o/actions/runners/registration-token", 201, {"token": "T"}),
            id="a field is missing",
        ),
        pytest.param(
            f"{RUNNERS}/registration-token",
            _exchange(
                "POST",
                "/orgs/o/actions/runners/registration-token",
                201,
                {"token": "T", "expires_at": "2026-01-01T00:00:00Z", "seconds": 1},
            ),
            id="a field is invented",
        ),
        pytest.param(
            f"{RUNNERS}/remove-token",
            _exchange("POST", "/orgs/o/actions/runners/remove-token", 200, {"token": "T", "expires_at": "x"}),
            id="a status is wrong",
        ),
        pytest.param(
            RUNNERS,
            _exchange("GET", "/orgs/o/actions/runners", 200, {"total_count": 1, "runners": [{**RUNNER, "id": "1"}]}),
            id="a type is wrong, deep inside",
        ),
        pytest.param(
            RUNNERS,
            _exchange("GET", "/orgs/o/actions/runners", 200, {"total_count": 1, "runners": [{**RUNNER, "x": 1}]}),
            id="a field is invented, deep inside",
        ),
        pytest.param(
            f"{RUNNERS}/generate-jitconfig",
            _exchange(
                "POST",
                "/orgs/o/actions/runners/generate-jitconfig",
                201,
                {"runner": RUNNER, "encoded_jit_config": "e30="},
                {"name": "n", "labels": ["x"]},
            ),
            id="a wrong request is accepted",
        ),
        pytest.param(
            f"{RUNNERS}/generate-jitconfig",
            _exchange("POST", "/orgs/o/actions/runners/generate-jitconfig", 403, {"error": "no"}, JIT),
            id="an undocumented error has another form",
        ),
        pytest.param(
            f"{RUNNERS}/{{runner_id}}",
            _exchange("DELETE", "/orgs/o/actions/runners/1", 204, {"message": "gone"}),
            id="a 204 has a body",
        ),
        pytest.param("/zen", _exchange("GET", "/zen", 200, {}), id="the path is not served"),
        pytest.param(RUNNERS, _exchange("POST", "/orgs/o/actions/runners", 200, {}), id="the method is not served"),
    ],
)
def test_the_check_finds_what_is_wrong(github: Description, template: str, exchange: requests.Response) -> None:
    with pytest.raises(description.Violation):
        github.check(template, exchange.request, exchange)


def test_the_check_accepts_what_is_right(github: Description) -> None:
    exchange = _exchange("GET", "/orgs/o/actions/runners", 200, {"total_count": 1, "runners": [RUNNER]})
    github.check(RUNNERS, exchange.request, exchange)


def test_the_cut_leaves_what_it_keeps_as_it_was(github: Description) -> None:
    whole = json.loads(description.fetch().read_text("utf-8"))
    for path, item in github.document["paths"].items():
        assert (item == whole["paths"][path]) is (path != description.CONTRADICTORY)
    for kind, named in github.document["components"].items():
        for name, component in named.items():
            assert component == whole["components"][kind][name]
    assert len(json.dumps(github.document)) < len(json.dumps(whole)) / 10


def test_without_npm_and_cache_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(description.MissingDescription, match=r"apt-get install npm(.|\n)*npm pack @octokit/openapi@"):
        description.fetch(tmp_path)


def test_another_document_in_the_cache_is_refused(tmp_path: Path, github: Description) -> None:
    other = copy.deepcopy(github.document)
    (tmp_path / "ghec-23.0.2.json").write_text(json.dumps(other))
    with pytest.raises(description.MissingDescription, match="Remove it and run again"):
        description.fetch(tmp_path)
