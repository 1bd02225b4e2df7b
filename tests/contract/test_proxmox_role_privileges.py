# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role proxmox_runner_vm: the privileges that its README asks for are enough, and each one is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from proxmoxer import ResourceException

from tests.contract.proxmox import SECRET, USER
from tests.contract.role import EVERYTHING, VERSIONS, Role, cluster, documented, without
from tests.doubles.proxmox import pveum
from tests.doubles.proxmox.server import Double

pytestmark = pytest.mark.usefixtures("host_key")


def versions() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pve_options", [cluster(8), cluster(9)], ids=["8", "9"])


@versions()
def test_what_is_documented_is_enough(pve_double: Double, pve_tls: tuple[Path, Path]) -> None:
    """From nothing to a VM with an address and a host key, and back."""
    role = Role(pve_double, pve_tls[1], **EVERYTHING)
    plan = role.plan()
    assert plan["problems"] == []
    (act,) = plan["vms"]
    assert act["actions"] == ["create", "update", "resize", "start"]
    role.do(act)
    again = role.plan()
    assert (again["problems"], again["vms"][0]["actions"]) == ([], [])
    found = role.reached()
    assert (found["problems"], found["key"]["from_agent"]) == ([], True)
    role.destroy()
    assert list(pve_double.admin.state()["vms"]) == ["9999"]


#: Each privilege of the README: version, role, privilege.
LISTED = [
    (major, role, privilege)
    for major in VERSIONS
    for role, privileges in documented(major)["roles"].items()
    for privilege in privileges
]


@pytest.mark.parametrize(
    ("pve_options", "role_name", "privilege"),
    [(cluster(major), role, privilege) for major, role, privilege in LISTED],
    ids=[f"{major}-{role}-{privilege}" for major, role, privilege in LISTED],
)
def test_any_privilege_less_is_named(
    pve_options: dict[str, Any], pve_double: Double, pve_tls: tuple[Path, Path], role_name: str, privilege: str
) -> None:
    """It is told beforehand which one; and Proxmox VE refuses without it, so that none is documented in vain."""
    rules = pve_options["access"]
    role = Role(pve_double, pve_tls[1], **EVERYTHING)
    (act,) = role.plan()["vms"]
    pve_double.admin.access(**without(rules, role_name, privilege))
    if privilege == "VM.GuestAgent.FileRead":  # a run goes on without it, and says so
        assert role.problems() == []
        role.do(act)
        key = role.reached()["key"]
        assert (key["from_agent"], privilege in key["why_not"]) == (False, True)
        return
    problem = "\n".join(role.problems())
    assert privilege in problem
    where = {entry["path"] for entry in rules["acl"] if entry["role"] == role_name}
    assert any(path in problem or path.rpartition("/")[2] in problem for path in where)
    if (role_name, privilege) == ("GitHubRunnersTemplate", "VM.Audit"):
        assert role.ask("/nodes/pve/qemu/9999/config")["status"] == 403
        return
    if privilege == "Datastore.Audit":  # to clone takes none, to look beforehand does
        assert "storage" not in {each["type"] for each in role.ask("/cluster/resources")["data"]}
        return
    # Of all these it is only VM.Allocate that Proxmox VE does not name itself.
    words = "Permission check failed$" if privilege == "VM.Allocate" else privilege
    with pytest.raises(ResourceException, match=words):
        role.do(act)


def test_what_an_administrator_may_not_type_twice() -> None:
    """The commands are not for a shell that would stumble: the double's own check of them."""
    with pytest.raises(ValueError, match="R is there already"):
        pveum.rules("pveum role add R --privs VM.Audit\npveum role add R --privs VM.Audit", SECRET)
    with pytest.raises(ValueError, match="no such command"):
        pveum.rules("pveum role delete R", SECRET)
    assert documented(9)["users"][USER]["tokens"]["runners"]["privsep"]
