# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong input: the run stops before anything is changed, says all that is wrong at once, and the pool goes on."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.e2e.rig import COUNT, GROUP, SCOPE, Rig
from tests.lab.project import Result

HOST = "gh-runner-01"
PREFIX = "github_docker_runners_"


class Untouched:
    """What a run that goes wrong leaves as it was: the host, its runners, and what GitHub has."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.before, self.since = rig.containers(), rig.github.last_request()

    def by(self, result: Result, *lines: str, secret: tuple[str, ...] = ()) -> None:
        """The run failed, said all these lines (beginnings; what follows is a remedy) and no secret."""
        assert result.rc != 0, result.output
        assert HOST not in result.hosts or result.hosts[HOST].changed == 0, result.output
        output = result.output.replace('\\"', '"').replace("\\\\", "\\")
        for line in lines:
            found = re.search(re.escape(line) + r"[^\n]*?\. Do: \S", output.replace("\\n", "\n"))
            assert found, f"{line}\n-- is not in --\n{output}"
        for word in (self.rig.token, *secret):
            assert word not in output
        assert self.rig.github.writes(self.since) == []
        assert self.rig.containers() == self.before
        assert [slot["state"] for slot in self.rig.status()["slots"]] == ["idle"] * COUNT


@pytest.fixture
def untouched(rig: Rig) -> Iterator[Untouched]:
    """The deployed host with its pool; what the user wrote is put back at the end."""
    yield Untouched(rig)
    rig.write()


def pools(**each: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "count": 1, **options} for name, options in each.items()]


def test_variables(rig: Rig, untouched: Untouched, tmp_path: Path) -> None:
    token, key = f"A{secrets.token_hex(14).upper()}", secrets.token_hex(40)
    result = rig.try_deploy(
        cuont=4,
        memory="huge",
        ca_file=str(tmp_path / "none.pem"),
        drain_timeout="soon",
        pools=pools(
            zero={"count": 0},
            less={"count": -1},
            word={"count": "four"},
            blank={"labels": ["with a blank"]},
            comma={"labels": "a,b"},
            kind={"scope": "org"},
            space={"scope": "my org"},
            hour={"token": token},
            key={"app_id": 7, "app_private_key": key},
            upper={"image": "Registry.test/Runner:1"},
            open={"allow_public": "maybe"},
        ),
    )
    untouched.by(
        result,
        f"{PREFIX}cuont = (hidden): no such variable",
        f"{PREFIX}memory = huge: not an amount of memory",
        f"{PREFIX}ca_file = {tmp_path}/none.pem: there is no such file on the control node",
        f"{PREFIX}drain_timeout = soon: not a whole number",
        f"{PREFIX}pools[zero].count = 0: not a whole number from 1 to 1000",
        f"{PREFIX}pools[less].count = -1: not a whole number",
        f"{PREFIX}pools[word].count = four: not a whole number",
        f'{PREFIX}pools[blank].labels = ["with a blank"]: no label: with a blank',
        f"{PREFIX}pools[comma].labels = a,b: a text, where a list is needed",
        f"{PREFIX}pools[kind].scope = org: a kind of scope, not a name",
        f"{PREFIX}pools[space].scope = 'my org': not the name of",
        f"{PREFIX}pools[hour].token = (hidden): looks like a token that dies after an hour",
        f"{PREFIX}pools[key].app_private_key = (hidden): ",
        f"{PREFIX}pools[upper].image = Registry.test/Runner:1: not the name of an image",
        f"{PREFIX}pools[open].allow_public = maybe: not true or false",
        secret=(token, key),
    )


def test_old_names_are_told_with_all_else(rig: Rig, untouched: Untouched) -> None:
    rig.write(count="four")
    rig.project.set_variables(GROUP, github_scope="repo", github_runner_mount_docker_socket="perhaps")
    try:
        result = rig.project.playbook("deploy")
    finally:
        rig.project.set_variables(GROUP, github_scope=None, github_runner_mount_docker_socket=None)
    untouched.by(
        result,
        "github_repo = null: not set, though github_scope = repo",
        'github_runner_mount_docker_socket = "perhaps": not true or false',
        f"{PREFIX}count = ",
    )


def test_group_variables_one_folder_too_high(rig: Rig, untouched: Untouched) -> None:
    folder = rig.project.folder / "inventory"
    folder.mkdir()
    (folder / "inventory.ini").write_text((rig.project.folder / "inventory.ini").read_text())
    result = rig.project.run("ansible-playbook", "ephemeral.github_runners.deploy", "-i", "inventory/inventory.ini")
    untouched.by(
        result,
        f"{PREFIX}scope = null: not set, and there is no default: perhaps Ansible did not read your group variables",
        f"{PREFIX}token = null: not set",
    )
    assert f"group_vars/{GROUP}.yml beside the inventory, in {folder}" in result.output


def test_scope_and_credential_by_githubs_word(rig: Rig, untouched: Untouched) -> None:
    tokens = {name: f"ghp_{secrets.token_hex(18)}" for name in ("none", "expired", "unknown")}
    rig.github.credentials(
        {
            **rig.credentials,
            "none": {"token": tokens["none"], "scopes": {SCOPE: "none"}},
            "expired": {"token": tokens["expired"], "scopes": {SCOPE: "write"}, "expires_at": "2020-01-01T00:00:00Z"},
        }
    )
    rig.github.scopes({f"{SCOPE}/open": {"visibility": "public"}})
    result = rig.try_deploy(
        metrics_port="many",
        pools=pools(
            fine={},
            gone={"scope": "no-such-org"},
            right={"token": tokens["none"]},
            expired={"token": tokens["expired"]},
            unknown={"token": tokens["unknown"]},
            open={"scope": f"{SCOPE}/open"},
            group={"group": "builders"},
        ),
    )
    rig.github.credentials(rig.credentials)
    untouched.by(
        result,
        f"{PREFIX}metrics_port = many: not a whole number",
        f"{PREFIX}pools[gone].scope = no-such-org: could not look at no-such-org: 404 Not Found",
        f"{PREFIX}pools[right].token = (hidden): could not ",
        f"{PREFIX}pools[expired].token = (hidden): could not look at {SCOPE}: 401 Bad credentials",
        f"{PREFIX}pools[unknown].token = (hidden): could not look at {SCOPE}: 401 Bad credentials",
        f"{PREFIX}allow_public = false: {SCOPE}/open is public",
        f"{PREFIX}pools[group].group = builders: {SCOPE} has no such runner group, there are only 'Default'",
        secret=tuple(tokens.values()),
    )
    assert "pools[fine]" not in result.output


def test_an_image_that_does_not_exist(rig: Rig, untouched: Untouched) -> None:
    image = "registry.test/no-such-runner:1"
    untouched.by(rig.try_deploy(image=image), f"{PREFIX}image = {image}: docker pull says: ")


def test_an_address_that_nobody_reaches(rig: Rig, untouched: Untouched) -> None:
    result = rig.try_deploy(api_url="https://github.nowhere.test/api/v3")
    at = f"{PREFIX}api_url = https://github.nowhere.test/api/v3: "
    untouched.by(result, f"{at}the control node could not look at {SCOPE}", f"{at}{HOST} does not reach it: ")


def test_authorities_that_do_not_vouch_for_github(rig: Rig, untouched: Untouched, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    untouched.by(rig.try_deploy(ca_file=str(other)), f"{PREFIX}api_url = {rig.lab.api_url}: the control node could not")


def test_an_outage_of_githubs_and_how_to_go_on(rig: Rig, untouched: Untouched) -> None:
    rig.github.fault(status=503, method="GET", path=f"orgs/{SCOPE}$")
    line = f"{PREFIX}api_url = {rig.lab.api_url}: the control node could not look at {SCOPE}: 503"
    result = rig.try_deploy()
    untouched.by(result, line)
    assert f"{PREFIX}check_github: false" in result.output
    assert rig.deploy(check_github=False).changed == 0
    rig.github.clear_faults()


def test_the_library_requests_missing_on_the_control_node(rig: Rig, untouched: Untouched, tmp_path: Path) -> None:
    (tmp_path / "requests.py").write_text("raise ImportError('there is none')")
    command = ["ansible-playbook", "ephemeral.github_runners.deploy", "-i", "inventory.ini"]
    result = rig.project.run("env", f"PYTHONPATH={tmp_path}", *command)
    untouched.by(result, f"{PREFIX}check_github = true: the control node cannot ask GitHub: ")
    assert re.search(r"python\S* has no library requests\. Do: \S+/python\S* -m pip install requests", result.output)


def test_one_bad_host_does_not_stop_the_others_and_github_is_asked_once(rig: Rig, untouched: Untouched) -> None:
    """Also with a localhost in the inventory that is something else than the control node."""
    inventory = rig.project.folder / "inventory.ini"
    good = inventory.read_text()
    connection = rig.host.connection()
    others: dict[str, dict[str, str | int]] = {
        "a-wrong-one": {**connection, f"{PREFIX}count": 0},
        "a-far-one": {**connection, "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"},
    }
    rig.project.write_inventory(GROUP, {**others, HOST: connection})
    strange = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 ansible_become=true"
    with inventory.open("a") as file:
        file.write(f"[control]\nlocalhost {strange} ansible_python_interpreter=/none\n")
    result = rig.project.playbook("deploy")
    inventory.write_text(good)
    assert result.hosts[HOST].failed == result.hosts[HOST].changed == 0, result.output
    assert result.hosts["a-wrong-one"].failed == 1
    assert f"{PREFIX}count = 0: not a whole number" in result.output
    assert result.hosts["a-far-one"].unreachable == 1
    asked = [entry["path"] for entry in rig.github.journal(untouched.since)["entries"]]
    assert asked.count(f"/orgs/{SCOPE}") == 1
    assert rig.containers() == untouched.before


def test_an_empty_group(rig: Rig, untouched: Untouched) -> None:
    inventory = rig.project.folder / "inventory.ini"
    good = inventory.read_text()
    rig.project.write_inventory(GROUP, {})
    results = [rig.project.playbook(playbook) for playbook in ("deploy", "drain", "remove")]
    inventory.write_text(good)
    for result in results:
        untouched.by(result, f"The group {GROUP} = empty: no host in the inventory {inventory}")


def test_no_password_for_sudo_and_none_for_the_vault(rig: Rig, untouched: Untouched, tmp_path: Path) -> None:
    """What Ansible says is enough."""
    sudo = rig.host.read("/etc/sudoers.d/admin")
    rig.host.write("/etc/sudoers.d/admin", sudo.replace("NOPASSWD:", ""), 0o440)
    result = rig.project.playbook("deploy")
    rig.host.write("/etc/sudoers.d/admin", sudo, 0o440)
    untouched.by(result)
    assert "sudo password" in result.output

    password = tmp_path / "password"
    password.write_text("secret")
    words = ["--vault-password-file", str(password), "--name", f"{PREFIX}token", rig.token]
    said = rig.project.run("ansible-vault", "encrypt_string", *words).output
    encrypted = re.search(r"\w+: !vault \|\n(?: +\S+\n)+", said)
    assert encrypted
    rig.write(token=None)
    with (rig.project.folder / "group_vars" / f"{GROUP}.yml").open("a") as file:
        file.write(encrypted[0])
    result = rig.project.playbook("deploy")
    untouched.by(result)
    assert "vault" in result.output
    assert rig.project.playbook("deploy", "--vault-password-file", str(password)).changed == 0
