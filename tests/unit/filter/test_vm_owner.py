# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a VM is."""

from __future__ import annotations

from .vm_cluster import OWNER, Cluster, actions, deployed, someone, variables


def test_ownership() -> None:
    for mode, theirs in (("tag", {}), ("description", {"description": f"x\n\n{OWNER}\n"})):
        cluster, told = deployed(ownership=mode, description="x")
        assert OWNER in str(cluster.configs[250].get({"tag": "tags"}.get(mode, mode)))
        assert actions(cluster.plan(told)) == [[]]
        someone({**theirs, "name": "gh-runner-01"})(cluster)
        assert bool(cluster.plan(told)["problems"]) is (mode == "tag")


def test_a_vm_that_is_handed_over_keeps_its_tags() -> None:
    cluster, told = deployed()
    cluster.configs[250]["tags"] = "a;B"
    assert f"is not ours (it has no tag {OWNER})" in cluster.plan(told)["problems"][0]
    assert cluster.plan(told)["problems"][0].endswith(f"qm set 250 --tags a,B,{OWNER}")


def test_ownership_by_pool() -> None:
    cluster = Cluster()
    cluster.permissions["/pool/runners"] = cluster.permissions.pop("/vms/250")
    told = variables(ownership="pool", pool="runners")
    (problem,) = cluster.plan(told)["problems"]  # else the VM is nobody's as soon as it has its name
    assert "the token lacks Pool.Audit on /pool/runners. Do:" in problem
    cluster.permissions["/pool/runners"]["Pool.Audit"] = 1
    cluster.pools.append("runners")
    plan = cluster.plan(told)
    assert plan["problems"] == []
    assert "tags" not in plan["vms"][0]["changes"]  # a tag policy may refuse to take away those of the template, too
    cluster.run(told)
    assert actions(cluster.plan(told)) == [[]]
    cluster.vms[250]["pool"] = "others"
    assert "is not ours (it is not in the pool runners)" in cluster.plan(told)["problems"][0]
    assert "put it there: pveum pool modify runners --vms 250" in cluster.plan(told)["problems"][0]


def test_a_pool_is_for_new_vms_and_hidden_from_who_may_not_look() -> None:
    cluster = Cluster()
    cluster.run(variables())
    told = variables(pool="runners")
    assert cluster.plan(told)["notes"] == []
    cluster.permissions["/pool/runners"] = {"Pool.Audit": 1}
    assert cluster.plan(told)["notes"] == ["gh-runner-01: it is not in the pool runners, which is for new ones"]
    cluster.vms[250]["pool"] = "runners"
    assert cluster.plan(told)["notes"] == []
