# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions of the runner program: the newest, and until when one is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github import errors, versions
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.versions import Download, Support

from .conftest import NOW, Answer, Server

SHA256 = "0123456789abcdef" * 4
URL = "https://github.com/actions/runner/releases/download/v2.336.0/"


def download(os: str = "linux", architecture: str = "x64", **more: Any) -> dict[str, Any]:
    filename = f"actions-runner-{os}-{architecture}-2.336.0.tar.gz"
    facts = {"os": os, "architecture": architecture, "download_url": URL + filename, "filename": filename}
    return {**facts, "sha256_checksum": SHA256, **more}


@pytest.fixture
def scope(client: Client) -> Scope:
    return Scope.parse("my-org", client.api_url)


class TestNewest:
    @pytest.mark.parametrize("path", ["/orgs/my-org", "/repos/octo/repo", "/enterprises/big"])
    def test_found(self, server: Server, client: Client, path: str) -> None:
        server.tell(Answer(200, [download("osx"), download(), download(architecture="arm64")]))
        text = path.removeprefix("/orgs/").removeprefix("/repos/").removeprefix("/")
        found = versions.newest(client, Scope.parse(text, client.api_url), architecture="arm64")
        filename = "actions-runner-linux-arm64-2.336.0.tar.gz"
        assert found == Download("linux", "arm64", "2.336.0", filename, URL + filename, SHA256)
        assert server.calls == [f"GET {path}/actions/runners/downloads"]

    @pytest.mark.parametrize("more", [{"sha256_checksum": None}, {"sha256_checksum": ""}])
    def test_without_checksum(self, server: Server, client: Client, scope: Scope, more: dict[str, Any]) -> None:
        server.tell(Answer(200, [download(**more)]))
        assert versions.newest(client, scope).sha256 is None

    def test_windows(self, server: Server, client: Client, scope: Scope) -> None:
        server.tell(Answer(200, [download("win", filename="actions-runner-win-x64-2.336.0.zip")]))
        assert versions.newest(client, scope, "win").version == "2.336.0"

    def test_none_for_it(self, server: Server, client: Client, scope: Scope) -> None:
        server.tell(Answer(200, [download()]))
        with pytest.raises(errors.NotFound, match="runner program for linux on riscv: there are only linux on x64"):
            versions.newest(client, scope, architecture="riscv")

    @pytest.mark.parametrize(
        "data", [{}, [{}], [download(filename="runner.tar.gz")], [download(sha256_checksum="../../etc/passwd")], ["x"]]
    )
    def test_wrong_shape(self, server: Server, client: Client, scope: Scope, data: Any) -> None:
        server.tell(Answer(200, data))
        with pytest.raises(errors.ProtocolError, match="ask for the newest runner program for my-org"):
            versions.newest(client, scope)


class TestSupport:
    @pytest.mark.parametrize(
        ("told", "ends"),
        [
            ({}, (None, None)),
            ({"registration_deprecates_at": None, "runtime_deprecates_at": None}, (None, None)),
            ({"registration_deprecates_at": "2027-01-15T08:00:00Z"}, (NOW, None)),
            (
                {"registration_deprecates_at": "2027-01-15T08:00:00Z", "runtime_deprecates_at": "2027-01-15T09:00:00Z"},
                (NOW, NOW + 3600),
            ),
        ],
    )
    def test_told(
        self, server: Server, client: Client, scope: Scope, told: dict[str, Any], ends: tuple[float | None, ...]
    ) -> None:
        server.tell(Answer(200, {"runner_version": "2.300.0", **told}))
        assert versions.support(client, scope, "2.300.0") == Support("2.300.0", *ends)
        assert server.calls == ["GET /orgs/my-org/actions/runners/deprecations/2.300.0"]

    @pytest.mark.parametrize(
        ("ends", "end"),
        [((None, None), None), ((5.0, None), 5.0), ((None, 6.0), 6.0), ((5.0, 6.0), 5.0), ((6.0, 5.0), 5.0)],
    )
    def test_the_first_end_counts(self, ends: tuple[float | None, float | None], end: float | None) -> None:
        support = Support("2.300.0", *ends)
        assert support.ends_at == end
        assert support.accepted(4.9)
        assert support.accepted(6.0) is (end is None)
        assert support.accepted(5.0) is (end != 5.0)

    def test_a_server_that_does_not_tell(self, server: Server, client: Client, scope: Scope) -> None:
        server.tell(Answer(404, {"message": "Not Found"}), Answer(200, {"total_count": 0, "runners": []}))
        assert versions.support(client, scope, "2.300.0") is None

    def test_a_scope_that_is_not_there(self, server: Server, client: Client, scope: Scope) -> None:
        server.tell(*[Answer(404, {"message": "Not Found"})] * 2)
        with pytest.raises(errors.NotFound, match="'Self-hosted runners: write'"):
            versions.support(client, scope, "2.300.0")

    @pytest.mark.parametrize("version", ["", "latest", "2", "2.300", "v2.300.0", "2.300.0/../../x"])
    def test_no_version(self, server: Server, client: Client, scope: Scope, version: str) -> None:
        with pytest.raises(ValueError, match=r"version = .*Do: write it like"):
            versions.support(client, scope, version)
        assert server.requests == []
