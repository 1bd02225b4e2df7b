# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a pool needs over the months: another credential, another image; no runner is restarted for either."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.rig import SCOPE, Rig
from tests.lab.common import eventually

CREDENTIALS = "/etc/runnerd/credentials.json"
NEW, READER = "ghp_aNewTokenForTheSamePool000", "ghp_aTokenThatMayOnlyRead00000"


def known(rig: Rig, *tokens: str) -> None:
    """Let GitHub know these tokens."""
    rights = {rig.token: "write", NEW: "write", READER: "read"}
    rig.github.credentials(
        {
            f"credential {number}": {"token": token, "scopes": {SCOPE: rights[token], f"{SCOPE}/*": rights[token]}}
            for number, token in enumerate(tokens)
        }
    )


def process(rig: Rig) -> str:
    return rig.host.exec("systemctl", "show", "--property=MainPID", "runnerd").stdout


def test_a_new_token(rig: Rig) -> None:
    number = rig.counting()
    before, old_process = rig.containers(), process(rig)
    known(rig, rig.token, NEW)
    rig.deploy(token=NEW)
    known(rig, NEW)
    assert NEW in rig.host.read(CREDENTIALS)
    assert rig.token not in rig.host.read(CREDENTIALS)
    assert process(rig) != old_process
    assert rig.containers() == before
    rig.finish(number)
    rig.idle(3)
    known(rig, rig.token, NEW)


REFUSALS: list[tuple[dict[str, Any] | None, tuple[str, ...]]] = [
    (None, ("GitHub refuses it", "403", "Do: use a credential with")),
    ({"status": 502, "path": "registration-token"}, ("GitHub could not be asked", "502")),
]


@pytest.mark.parametrize(("fault", "words"), REFUSALS, ids=["refused", "GitHub down"])
def test_a_new_token_that_is_not_taken(rig: Rig, fault: dict[str, Any] | None, words: tuple[str, ...]) -> None:
    token = NEW if fault else READER
    known(rig, rig.token, token)
    if fault:
        rig.github.fault(**fault)
    before, old_file, old_process = rig.containers(), rig.host.read(CREDENTIALS), process(rig)
    listed = rig.host.exec("ls", "/etc/runnerd").stdout
    result = rig.try_deploy("-vvv", token=token)
    assert result.rc != 0
    assert all(word in result.output for word in words), result.output[-3000:]
    assert token not in result.output
    assert rig.host.read(CREDENTIALS) == old_file
    assert process(rig) == old_process
    assert rig.containers() == before
    assert rig.host.exec("ls", "/etc/runnerd").stdout == listed, "no file with the new one is left"
    rig.idle(3)


def test_an_app_instead_of_the_token(rig: Rig) -> None:
    rights = {"organization_self_hosted_runners": "write"}
    rig.github.apps({"homelab": {"id": 4711, "permissions": rights, "installations": {SCOPE: {}}}})
    key = rig.github.app_key("homelab")
    before, old_process = rig.containers(), process(rig)
    result = rig.deploy("-vvv", token=None, app_id=4711, app_private_key=key)
    assert key.splitlines()[1] not in result.output
    assert process(rig) != old_process
    assert rig.containers() == before
    known(rig)  # no token is good for anything any more
    number = rig.job("echo done")
    assert rig.github.wait_job(number)["result"] == "Succeeded"
    rig.idle(3)  # a new runner was made with the App's token, by a daemon that may not write code into its memory
    assert rig.status()["credentials"] == [{"name": "default", "kind": "GitHub App", "expires_at": None}]
    assert rig.deploy(token=None, app_id=4711, app_private_key=key).changed == 0
    known(rig, rig.token)


def images(rig: Rig) -> set[str]:
    """The digests of the runner's repository on the host."""
    repository = rig.image.reference.rpartition(":")[0]
    return set(rig.host.docker("images", "--digests", "--format", "{{.Digest}}", repository).split())


def test_the_image_follows_its_tag(rig: Rig) -> None:
    # A newer runner is out, too: it is the image that brings it, no runner updates itself.
    rig.github.settings(releases={"2.336.0": "2026-01-01", "2.999.0": "2026-01-02"}, version_life=10**9)
    number = rig.counting()
    busy = rig.containers()[f"github-{rig.slot_of(number)}"]
    named = images(rig) - {rig.image.digest}  # what other tests have pulled by other tags stays
    image = rig.lab.push_runner(rig.image.reference.rpartition(":")[2], revision="moved")
    assert image.reference == rig.image.reference and image.digest != rig.image.digest
    said = rig.runnerd("update", timeout=300)
    assert f"{image.reference}: is now {image.pinned}" in said

    def moved() -> bool:
        lines = rig.host.docker("ps", "--no-trunc", "--format", "{{.ID}} {{.Image}}").splitlines()
        return sum(image.digest in line for line in lines) == 2 and any(busy in line for line in lines)

    eventually(moved, 90, rig.tell)
    rig.until(lambda slots: sorted(slot["state"] for slot in slots.values()) == ["busy", "idle", "idle"])
    assert images(rig) == {image.digest, rig.image.digest} | named
    assert rig.deploy().changed == 0
    assert image.pinned in rig.host.read("/opt/github-runners/docker-compose.yml")
    assert rig.containers()[f"github-{rig.slot_of(number)}"] == busy
    rig.finish(number)
    rig.idle(3)
    eventually(lambda: images(rig) == {image.digest} | named, 150, rig.tell)
    assert rig.github.wait_job(rig.job("echo done"))["result"] == "Succeeded"
    rig.idle(3)
    said = rig.host.exec("journalctl", "--output=cat", "CONTAINER_TAG=github-runner-1", "--lines=all", check=False)
    updates = [one for one in rig.github.journal(link="runner")["entries"] if "update" in one["path"]]
    assert "Runner update in progress" not in said.stdout
    assert updates == []
    for name in rig.containers():
        assert "Runner update in progress" not in rig.host.docker("logs", name)


def test_a_registry_that_is_down(rig: Rig) -> None:
    before = rig.containers()
    rig.lab.container("registry").pause()
    try:
        assert "could not" in rig.runnerd("update", check=False, timeout=400) or rig.status()["warnings"]
        (warning,) = [one for one in rig.status()["warnings"] if one["what"].startswith("image ")]
        assert "what is here goes on" in warning["reason"]
        assert rig.containers() == before
    finally:
        rig.lab.container("registry").unpause()
    rig.runnerd("update", timeout=300)
    assert rig.status()["warnings"] == []
