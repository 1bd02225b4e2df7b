# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is destroyed, and why something was not done."""

from __future__ import annotations

import copy

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters

from .vm_cluster import Cluster, deployed, variables


def test_absent() -> None:
    cluster, told = deployed()
    found = cluster.plan(told, "proxmox_vm_leave")
    assert (found["problems"], [vm["vmid"] for vm in found["vms"]]) == ([], [250])
    for change, problem in (
        ({"tags": "", "name": "theirs"}, "is not ours"),
        ({"lock": "backup"}, "locked (backup)"),
        ({"protection": 1}, "the VM is protected"),  # told before it is stopped
    ):
        other = copy.deepcopy(cluster)
        other.configs[250] |= change
        assert problem in other.plan(told, "proxmox_vm_leave")["problems"][0]
    cluster.vms[250]["hastate"] = "started"
    assert "managed by HA" in cluster.plan(told, "proxmox_vm_leave")["problems"][0]
    assert Cluster().plan(told, "proxmox_vm_leave") == {"problems": [], "vms": [], "lines": []}
    assert "is a template" in Cluster().plan(variables(vmid=9999), "proxmox_vm_leave")["problems"][0]


def test_a_vm_that_was_not_drained_stays() -> None:
    cluster, told = deployed()

    def problems(drained: list[str] | None) -> list[str]:
        return list(cluster.plan(told, "proxmox_vm_leave", drained)["problems"])

    assert problems(None) == problems(["gh-runner-01"]) == []
    (problem,) = problems([])
    assert problem.startswith("gh-runner-01 (250 on pve1): it runs, and its runners were not drained. Do: ")
    cluster.vms[250]["status"] = "stopped"
    assert problems([]) == []  # no job runs on it


def test_what_was_not_done_is_told_with_its_reason() -> None:
    cluster, told = Cluster(), variables()
    plan = cluster.plan(told)
    results = [{"item": {"vmid": 250}, "msg": "Reached timeout while waiting for creating VM. Last line: x"}]
    left = filters.left_over(plan, ["create"], results)
    assert left["paths"] == ["/nodes/pve1/tasks?vmid=9999&typefilter=qmclone&limit=1&source=all"]
    answer = {"path": left["paths"][0], "status": 200, "reason": "", "data": [{"upid": "it runs"}]}
    read = {"answers": [answer]}
    (problem,) = filters.left_over(plan, ["create"], results, read)["problems"]
    assert "create failed: it is still being cloned (that goes on, and nothing is lost). Do: raise proxmox_" in problem
    answer["data"] = [{"endtime": 1, "status": "clone failed: no space left"}]
    (problem,) = filters.left_over(plan, ["create"], results, read)["problems"]
    assert problem.startswith("gh-runner-01 (250 on pve1): create failed: clone failed: no space left (nothing of it")
    for between in (": ", "="):  # versions 2 and 1 of the module
        refused = [{"item": {"vmid": 250}, "msg": f"Unable to clone vm x from vmid 9999{between}403 Forbidden: no"}]
        (problem,) = filters.left_over(plan, ["create"], refused, read)["problems"]
        assert "create failed: 403 Forbidden: no (" in problem
    slow = "HTTPSConnectionPool(host='pve1.lan', port=8006): Read timed out. (read timeout=30)"
    (problem,) = filters.left_over(plan, ["create"], [{"item": {"vmid": 250}, "msg": slow}])["problems"]
    assert f"create failed: {slow} (nothing of it is there). Do: raise proxmox_runner_vm_api_timeout" in problem
    cluster.run(told)
    assert filters.left_over(cluster.plan(told), ["create", "update", "start"])["problems"] == []


def test_why_qemu_did_not_start_is_told_in_its_own_words() -> None:
    cluster, told = Cluster(), variables()
    cluster.run(told, until="update")
    plan = cluster.plan(told)
    results = [{"item": {"vmid": 250}, "msg": "Reached timeout while waiting for starting VM. Last line: x"}]
    path, log = (
        "/nodes/pve1/tasks?vmid=250&typefilter=qmstart&limit=1&source=all",
        "/nodes/pve1/tasks/UPID:1/log?limit=500",
    )
    ended = {"upid": "UPID:1", "endtime": 1, "status": "start failed: QEMU exited with code 1"}
    read = {"answers": [{"path": path, "status": 200, "reason": "", "data": [ended]}]}
    left = filters.left_over(plan, ["start"], results, read)
    assert (left["paths"], left["logs"]) == ([path], [log])
    why = "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory"
    lines = ["generating cloud-init ISO", why, "TASK ERROR: start failed: QEMU exited with code 1"]
    answer = {"path": log, "status": 200, "reason": "", "data": [{"n": n, "t": t} for n, t in enumerate(lines, 1)]}
    (problem,) = filters.left_over(plan, ["start"], results, read, {"answers": [answer]})["problems"]
    assert f"start failed: start failed: QEMU exited with code 1; {why} (what is there stays" in problem
    assert "Do: write less proxmox_runner_vm_memory, or stop another VM" in problem
    ended["status"] = "OK"
    assert filters.left_over(plan, ["start"], results, read)["logs"] == []
