# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runners and groups: which calls are made, what comes of the answers."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Group, Runner, Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope

from .conftest import NOW, Answer, Cut, Server

BLOB = "eyJibG9iIjogInRoYXQgbm9ib2R5IG1heSBzZWUifQ=="
NOT_FOUND = Answer(404, {"message": "Not Found"})
MakeRunners = Callable[..., Runners]


def runner(number: int = 7, **more: Any) -> dict[str, Any]:
    """A runner as GitHub describes it."""
    return {
        "id": number,
        "name": f"runner-{number}",
        "os": "linux",
        "status": "online",
        "busy": False,
        "labels": [
            {"id": 1, "name": "self-hosted", "type": "read-only"},
            {"name": "gpu", "type": "custom"},
        ],
        "runner_group_id": 3,
        "ephemeral": True,
        "version": "2.336.0",
        **more,
    }


def listed(*runners: dict[str, Any], total: int | None = None) -> Answer:
    return Answer(200, {"total_count": len(runners) if total is None else total, "runners": [*runners]})


def groups(*names: str) -> Answer:
    found = [{"id": n, "name": name, "default": n == 1, "visibility": "all"} for n, name in enumerate(names, 1)]
    return Answer(200, {"total_count": len(found), "runner_groups": found})


@pytest.fixture
def runners_of(client: Client) -> MakeRunners:
    return lambda text="my-org": Runners(client, Scope.parse(text, client.api_url))


@pytest.fixture
def runners(runners_of: MakeRunners) -> Runners:
    return runners_of()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("octo/repo", "/repos/octo/repo"),
        ("my-org", "/orgs/my-org"),
        ("enterprises/big", "/enterprises/big"),
    ],
)
def test_calls_by_scope(server: Server, runners_of: MakeRunners, text: str, path: str) -> None:
    runners = runners_of(text)
    token = Answer(201, {"token": "AABBCC", "expires_at": "2027-01-15T08:00:00Z"})
    server.tell(listed(), Answer(200, runner()), Answer(204), token, token)
    runners.list(), runners.get(7), runners.delete(7), runners.registration_token(), runners.remove_token()
    assert server.calls == [
        f"GET {path}/actions/runners",
        f"GET {path}/actions/runners/7",
        f"DELETE {path}/actions/runners/7",
        f"POST {path}/actions/runners/registration-token",
        f"POST {path}/actions/runners/remove-token",
    ]


def test_a_scope_of_another_api(client: Client) -> None:
    with pytest.raises(ValueError, match=r"scope = my-org: it is reached through https://api\.github\.com, not"):
        Runners(client, Scope.parse("my-org"))


class TestRunner:
    def test_all_fields(self) -> None:
        assert Runner.from_api(runner(busy=True, status="offline")) == Runner(
            id=7,
            name="runner-7",
            os="linux",
            status="offline",
            busy=True,
            labels=("self-hosted", "gpu"),
            ephemeral=True,
            version="2.336.0",
            group_id=3,
            custom_labels=("gpu",),
        )

    @pytest.mark.parametrize("absent", ["pop", "null"])
    def test_fields_that_may_be_absent(self, absent: str) -> None:
        data = runner()
        for key in ("ephemeral", "version", "runner_group_id"):
            if absent == "pop":
                del data[key]
            else:
                data[key] = None
        found = Runner.from_api(data)
        assert (found.ephemeral, found.version, found.group_id) == (None, None, None)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"id": "7"},
            {"id": None},
            {"name": 7},
            {"os": None},
            {"status": True},
            {"busy": "false"},
            {"busy": None},
            {"labels": None},
            {"labels": ["gpu"]},
            {"labels": [{"id": 1}]},
            {"ephemeral": "yes"},
            {"version": 2},
            {"runner_group_id": "3"},
        ],
    )
    def test_wrong_shape(self, server: Server, runners: Runners, wrong: dict[str, Any]) -> None:
        """A runner that cannot be read is never taken for an idle one, or for none."""
        server.tell(Answer(200, runner(**wrong)))
        with pytest.raises(errors.ProtocolError, match="not what GitHub answers"):
            runners.get(7)


class TestLabels:
    @pytest.mark.parametrize(("method", "name"), [("PUT", "set_labels"), ("POST", "add_labels")])
    def test_what_github_says_then_counts(self, server: Server, runners: Runners, method: str, name: str) -> None:
        labels = [{"name": "self-hosted", "type": "read-only"}, {"name": "fast", "type": "custom"}, {"name": "old"}]
        server.tell(Answer(200, {"total_count": 3, "labels": labels}))
        before = Runner.from_api(runner(busy=True))
        after = getattr(runners, name)(before, ["Fast"])
        assert server.calls == [f"{method} /orgs/my-org/actions/runners/7/labels"]
        assert server.requests[0].body == {"labels": ["Fast"]}
        assert after == replace(before, labels=("self-hosted", "fast", "old"), custom_labels=("fast",))

    @pytest.mark.parametrize(("name", "asked"), [("set_labels", 2), ("add_labels", 1)])
    def test_only_a_set_is_repeated(self, server: Server, runners: Runners, name: str, asked: int) -> None:
        server.tell(Answer(502), Answer(200, {"labels": []}))
        try:
            getattr(runners, name)(Runner.from_api(runner()), [])
        except errors.ServerError as exc:
            assert exc.in_doubt
        assert len(server.calls) == asked


class TestList:
    def test_101_over_two_pages(self, server: Server, runners: Runners) -> None:
        first = listed(*map(runner, range(100)), total=101)
        first.headers["Link"] = f'<{server.url}/orgs/my-org/actions/runners?per_page=100&page=2>; rel="next"'
        server.tell(first, listed(runner(100), total=101))
        assert [found.id for found in runners.list()] == list(range(101))
        assert server.requests[0].query == {"per_page": "100"}
        assert server.requests[1].query == {"per_page": "100", "page": "2"}

    def test_half_a_list_is_none(self, server: Server, runners: Runners) -> None:
        first = listed(*map(runner, range(100)), total=101)
        first.headers["Link"] = f'<{server.url}/orgs/my-org/actions/runners?per_page=100&page=2>; rel="next"'
        server.tell(first, *[Answer(502)] * 4)
        with pytest.raises(errors.ServerError, match="Could not list the runners of my-org: 502 Bad Gateway"):
            runners.list()

    def test_a_list_with_one_bad_runner_is_none(self, server: Server, runners: Runners) -> None:
        server.tell(listed(runner(1), runner(2, busy=None)))
        with pytest.raises(errors.ProtocolError, match="'busy' is NoneType, not bool"):
            runners.list()


class TestFind:
    def test_exactly_that_name(self, server: Server, runners: Runners) -> None:
        server.tell(listed(runner(1, name="runner-12"), runner(2, name="Runner-1"), runner(3, name="runner-1")))
        found = runners.find("runner-1")
        assert found is not None
        assert found.id == 3
        assert server.requests[0].query == {"per_page": "100", "name": "runner-1"}

    def test_none(self, server: Server, runners: Runners) -> None:
        server.tell(listed())
        assert runners.find("runner-1") is None

    def test_a_name_needs_no_care(self, server: Server, runners: Runners) -> None:
        server.tell(listed())
        assert runners.find("a&per_page=1#?/ü") is None
        assert server.requests[0].query["name"] == "a&per_page=1#?/ü"


class TestGone:
    """A 404 is about the runner only if the scope can be seen: GitHub says 404 too for what a token may not see."""

    def test_get(self, server: Server, runners: Runners) -> None:
        server.tell(NOT_FOUND, listed())
        assert runners.get(7) is None

    def test_delete(self, server: Server, runners: Runners) -> None:
        server.tell(Answer(204), NOT_FOUND, listed())
        assert runners.delete(7) == "gone"
        assert runners.delete(7) == "gone"

    @pytest.mark.parametrize("method", ["get", "delete"])
    def test_the_scope_is_gone_or_hidden(self, server: Server, runners: Runners, method: str) -> None:
        server.tell(NOT_FOUND, NOT_FOUND)
        with pytest.raises(errors.NotFound, match=rf"the runner 7 of my-org.*see whether {server.url}/my-org is there"):
            getattr(runners, method)(7)

    @pytest.mark.parametrize("method", ["get", "delete"])
    def test_a_proxys_404(self, server: Server, runners: Runners, method: str) -> None:
        server.tell(*[Answer(404, "<html>")] * 4)
        with pytest.raises(errors.ProtocolError):
            getattr(runners, method)(7)

    def test_a_lost_answer_to_delete(self, server: Server, runners: Runners) -> None:
        server.tell(Cut(), NOT_FOUND, listed())
        assert runners.delete(7) == "gone"


class TestBusy:
    @pytest.mark.parametrize(
        "message",
        [
            'Bad request - Runner "runner-7" is still running a job"',
            "Runner runner-7 is currently running a job and cannot be deleted.",
        ],
    )
    def test_both_wordings(self, server: Server, runners: Runners, message: str) -> None:
        server.tell(Answer(422, {"message": message}))
        assert runners.delete(7) == "busy"

    def test_another_422_is_an_error(self, server: Server, runners: Runners) -> None:
        server.tell(Answer(422, {"message": "Validation Failed"}))
        with pytest.raises(errors.Unprocessable, match="Could not delete the runner 7 of my-org: 422"):
            runners.delete(7)


class TestJitConfig:
    def test_request_and_answer(self, server: Server, runners: Runners) -> None:
        server.tell(Answer(201, {"runner": runner(status="offline"), "encoded_jit_config": BLOB}))
        config = runners.generate_jit_config("runner-7", ("self-hosted", "gpu"), 3)
        assert config.runner.id == 7
        assert config.encoded.reveal() == BLOB
        assert BLOB not in repr(config) + str(config)
        assert server.calls == ["POST /orgs/my-org/actions/runners/generate-jitconfig"]
        assert server.requests[0].body == {
            "name": "runner-7",
            "labels": ["self-hosted", "gpu"],
            "runner_group_id": 3,
            "work_folder": "_work",
        }

    def test_work_folder(self, server: Server, runners: Runners) -> None:
        server.tell(Answer(201, {"runner": runner(), "encoded_jit_config": BLOB}))
        runners.generate_jit_config("runner-7", ["x"], 1, work_folder="/opt/work")
        assert server.requests[0].body["work_folder"] == "/opt/work"

    @pytest.mark.parametrize(
        ("status", "kind"), [(404, errors.NotFound), (409, errors.Conflict), (422, errors.Unprocessable)]
    )
    def test_refused(self, server: Server, runners: Runners, status: int, kind: type[errors.GitHubError]) -> None:
        server.tell(Answer(status, {"message": "No."}))
        with pytest.raises(
            kind, match=rf"Could not make a JIT configuration for the runner runner-7 in my-org: {status} .*: No\."
        ) as caught:
            runners.generate_jit_config("runner-7", ["x"], 1)
        assert not caught.value.in_doubt

    def test_a_group_that_is_gone(self, server: Server, runners: Runners) -> None:
        server.tell(NOT_FOUND)
        with pytest.raises(errors.NotFound, match=r"Do: see whether the runner group 77 is still there; see whether"):
            runners.generate_jit_config("runner-7", ["x"], 77)

    @pytest.mark.parametrize("fault", [Cut(), Answer(500), Answer(201, BLOB[:9])])
    def test_a_lost_answer_is_in_doubt_and_asked_once(
        self, server: Server, runners: Runners, fault: Answer | Cut
    ) -> None:
        server.tell(fault)
        with pytest.raises(errors.GitHubError) as caught:
            runners.generate_jit_config("runner-7", ["x"], 1)
        assert caught.value.in_doubt
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            {"encoded_jit_config": BLOB},
            {"runner": runner(busy=None), "encoded_jit_config": BLOB},
            {"runner": runner()},
            {"runner": runner(), "encoded_jit_config": [BLOB]},
            [BLOB],
            BLOB,
        ],
    )
    def test_wrong_shape_shows_nothing(self, server: Server, runners: Runners, answer: Any) -> None:
        server.tell(Answer(201, answer))
        with pytest.raises(errors.ProtocolError) as caught:
            runners.generate_jit_config("runner-7", ["x"], 1)
        exc = caught.value
        frames = exc.__traceback__.tb_next  # without this function's, which holds the answer
        trace = "".join(traceback.TracebackException(type(exc), exc, frames, capture_locals=True).format())
        assert "generate_jit_config" in trace
        assert BLOB not in trace + str(exc) + repr(vars(exc))
        assert exc.in_doubt


class TestTokens:
    @pytest.mark.parametrize("method", ["registration_token", "remove_token"])
    def test_value_and_end(self, server: Server, runners: Runners, method: str) -> None:
        server.tell(Answer(201, {"token": "AABBCC", "expires_at": "2027-01-15T09:00:00.000+01:00"}))
        token = getattr(runners, method)()
        assert (token.value.reveal(), token.expires_at) == ("AABBCC", NOW)
        assert "AABBCC" not in repr(token)

    @pytest.mark.parametrize(
        "data", [{"token": "AABBCC"}, {"expires_at": "2027-01-15T09:00:00Z"}, {"token": "AABBCC", "expires_at": "soon"}]
    )
    def test_wrong_shape(self, server: Server, runners: Runners, data: Any) -> None:
        server.tell(Answer(201, data))
        with pytest.raises(errors.ProtocolError, match="Could not make a registration token for my-org") as caught:
            runners.registration_token()
        assert "AABBCC" not in str(caught.value)


class TestGroups:
    @pytest.mark.parametrize("text", ["my-org", "enterprises/big"])
    def test_list(self, server: Server, runners_of: MakeRunners, text: str) -> None:
        server.tell(groups("Default", "GPU"))
        assert runners_of(text).groups() == [Group(1, "Default", True, "all"), Group(2, "GPU", False, "all")]
        assert server.calls == [f"GET {Scope.parse(text).api_path}/actions/runner-groups"]

    def test_who_can_use_one(self, server: Server, runners: Runners) -> None:
        answer = groups("Default")
        answer.body["runner_groups"][0] |= {
            "visibility": "selected",
            "allows_public_repositories": True,
            "inherited": True,
            "restricted_to_workflows": True,
        }
        server.tell(answer)
        assert runners.groups() == [Group(1, "Default", True, "selected", True, True, True)]

    @pytest.mark.parametrize("name", ["GPU", "gpu", "Gpu"])
    def test_id_by_name(self, server: Server, runners: Runners, name: str) -> None:
        server.tell(groups("Default", "GPU"))
        assert runners.group_id(name) == 2

    def test_a_group_on_the_second_page(self, server: Server, runners: Runners) -> None:
        names = [f"group-{n}" for n in range(101)]
        whole = groups(*names).body["runner_groups"]
        headers = {"Link": f'<{server.url}/orgs/my-org/actions/runner-groups?page=2>; rel="next"'}
        server.tell(
            Answer(200, {"total_count": 101, "runner_groups": whole[:100]}, headers),
            Answer(200, {"total_count": 101, "runner_groups": whole[100:]}),
        )
        assert runners.group_id("group-100") == 101

    def test_no_such_group(self, server: Server, runners: Runners) -> None:
        server.tell(groups("Default", "GPU"))
        with pytest.raises(errors.NotFound) as caught:
            runners.group_id("gpus")
        assert str(caught.value).startswith(
            "Could not find the runner group 'gpus' in my-org: there are only 'Default', 'GPU'. Do: "
        )

    def test_a_repository_has_one(self, server: Server, runners_of: MakeRunners) -> None:
        runners = runners_of("octo/repo")
        assert runners.group_id("whatever") == 1
        assert [group.id for group in runners.groups()] == [1]
        assert server.requests == []


@pytest.mark.parametrize(
    ("text", "permission"),
    [
        ("octo/repo", "'Administration: write'"),
        ("my-org", "'Self-hosted runners: write'"),
        ("enterprises/big", "'manage_runners:enterprise'"),
    ],
)
@pytest.mark.parametrize("status", [403, 404])
def test_hints_name_the_permission(
    server: Server, runners_of: MakeRunners, text: str, permission: str, status: int
) -> None:
    server.tell(Answer(status, {"message": "No."}))
    with pytest.raises(errors.GitHubError) as caught:
        runners_of(text).list()
    assert permission in caught.value.hint
    assert permission in str(caught.value)
