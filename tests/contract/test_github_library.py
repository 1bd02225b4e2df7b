# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What our library asks GitHub is what GitHub's description has: each request, with its query and body."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.connect import app_for, client_for
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from tests.contract.client import template_of
from tests.contract.conftest import TOKEN
from tests.contract.description import Description
from tests.doubles.github.server import Double


@pytest.fixture
def asked(github: Description, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each operation that was asked for, held to the description on its way."""
    seen: list[str] = []
    send = requests.Session.send

    def held(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        answer = send(session, request, **options)
        template = template_of(str(request.method), str(request.path_url))
        assert template, f"{request.method} {request.path_url} is no operation of GitHub's"
        github.check(template, request, answer)
        assert answer.ok, answer.text  # the description holds requests to its word only where they succeed
        seen.append(f"{request.method} {template}")
        return answer

    monkeypatch.setattr(requests.Session, "send", held)
    return seen


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("my-org", "/orgs/{org}"),
        ("my-org/app", "/repos/{owner}/{repo}"),
        ("enterprises/acme", "/enterprises/{enterprise}"),
    ],
)
def test_runners(double: Double, asked: list[str], text: str, path: str) -> None:
    scope = Scope.parse(text, double.api_url)
    runners = Runners(client_for({"token": TOKEN}, scope), scope)
    runner = runners.generate_jit_config("one", ["self-hosted"], 1, "/work").runner
    assert runners.list() == [runner] == [runners.find("one")] == [runners.get(runner.id)]
    assert runners.add_labels(runner, ["GPU"]).custom_labels == ("gpu",)
    assert runners.set_labels(runner, ["fast"]).custom_labels == ("fast",)
    assert runners.set_labels(runner, []) == runner
    runners.probe()
    runners.registration_token(), runners.remove_token(), runners.groups()
    assert runners.delete(runner.id) == "gone"
    below = f"{path}/actions/runners"
    wanted = [
        "GET",
        "POST /generate-jitconfig",
        "GET /{runner_id}",
        "POST /{runner_id}/labels",
        "PUT /{runner_id}/labels",
    ]
    wanted += ["POST /registration-token", "POST /remove-token", "DELETE /{runner_id}"]
    expected = {f"{method} {below}{rest}" for method, _blank, rest in (each.partition(" ") for each in wanted)}
    groups = set() if text == "my-org/app" else {f"GET {path}/actions/runner-groups"}
    assert {*asked} == expected | groups


@pytest.mark.parametrize("text", ["my-org", "my-org/app"])
def test_tokens_of_an_app(double: Double, asked: list[str], text: str) -> None:
    granted = {"organization_self_hosted_runners": "write", "administration": "write", "metadata": "read"}
    double.admin.apps({"my-app": {"id": 5, "permissions": granted, "installations": {"my-org": {}}}})
    form = {"app_id": 5, "private_key": double.admin.app_key("my-app")}
    scope = Scope.parse(text, double.api_url)
    assert app_for(form, scope).make_token().repositories == (("my-org/app",) if text == "my-org/app" else None)
    narrowed = app_for(form, scope, permissions={"metadata": "read"}, repositories=["app"]).make_token()
    assert (narrowed.permissions, narrowed.repositories) == ({"metadata": "read"}, ("my-org/app",))
    assert len(asked) == 4
    assert asked[1] == asked[3] == "POST /app/installations/{installation_id}/access_tokens"
