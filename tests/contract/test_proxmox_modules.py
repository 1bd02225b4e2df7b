# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real modules of both major versions of community.proxmox drive the double, and behave as they do in the field."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract import proxmox
from tests.doubles.proxmox.server import Double
from tests.gates import community_proxmox

KEYS = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst one@host\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAISecond two@host\n"


@pytest.fixture(scope="module", params=[1, 2], ids=["community.proxmox 1", "community.proxmox 2"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with proxmox.modules(request.param, tmp_path_factory.mktemp("modules")) as found:
        yield found


@pytest.fixture
def run(worker: Any, pve_double: Double, pve_tls: tuple[Path, Path], tmp_path: Path) -> proxmox.Run:
    return proxmox.runner(worker, pve_double, pve_tls[1], tmp_path)


@pytest.fixture
def writes(pve_double: Double) -> Callable[[], list[str]]:
    """The requests that change something, as `METHOD path`, since the last call."""
    seen = 0

    def ask() -> list[str]:
        nonlocal seen
        journal = pve_double.admin.journal(seen)
        seen = journal["last"]
        return [f"{entry['method']} {entry['path']}" for entry in journal["entries"] if entry["write"]]

    return ask


def clone(run: proxmox.Run, **options: Any) -> dict[str, Any]:
    usual = {"node": "pve", "clone": "debian-13-cloud", "vmid": 9999, "newid": 250, "name": "runner-1"}
    return run("proxmox_kvm", **{**usual, "format": "unspecified", "timeout": 60, **options})


def test_the_versions_are_what_they_are_called(run: proxmox.Run, worker: Any) -> None:
    """2.0 knows `api_timeout`, 1.4 does not: the two workers do not run the same code."""
    found = run("proxmox_vm_info", vmid=9999, type="qemu", api_timeout=30)
    assert found.get("failed", False) is ("Unsupported parameters" in found.get("msg", ""))


def test_a_vm_from_the_clone_to_the_end(run: proxmox.Run, pve_double: Double) -> None:
    assert clone(run)["changed"]
    ci = {"ciuser": "debian", "sshkeys": KEYS, "ipconfig": {"ipconfig0": "ip=10.0.0.5/24,gw=10.0.0.1"}}
    found = run("proxmox_kvm", node="pve", vmid=250, update=True, cores=4, memory=4096, tags=["b", "A"], **ci)
    assert found["changed"]
    assert run("proxmox_disk", vmid=250, disk="scsi0", size="20G", state="resized")["changed"]
    assert run("proxmox_kvm", node="pve", vmid=250, state="started")["changed"]
    for _attempt in range(100):
        found = run("proxmox_vm_info", vmid=250, type="qemu", config="current", network=True)
        if not found.get("failed"):
            break
        time.sleep(0.1)
    vm = found["proxmox_vms"][0]
    assert vm["status"] == "running"
    assert vm["config"]["sshkeys"] == quote(KEYS, safe="")
    assert (vm["config"]["cores"], vm["config"]["memory"]) == (4, "4096")
    assert vm["config"]["scsi0"].endswith("size=20G")
    assert vm["config"]["tags"] == "a;b"
    addresses = {one["name"]: one["ip-addresses"][0]["ip-address"] for one in vm["network"]}
    assert addresses["eth0"] == "10.0.0.5"
    tasks = run("proxmox_tasks_info", node="pve")["proxmox_tasks"]
    assert [task["type"] for task in tasks] == ["qmstart", "resize", "qmclone"]
    assert run("proxmox_kvm", node="pve", vmid=250, state="stopped", force=True, timeout=60)["changed"]
    assert run("proxmox_kvm", node="pve", vmid=250, state="absent", timeout=60)["changed"]
    assert pve_double.admin.vm(250) is None


def test_a_second_clone_returns_the_templates_vmid(run: proxmox.Run, writes: Callable[[], list[str]]) -> None:
    assert int(clone(run)["vmid"]) == 250
    assert writes() == ["POST /nodes/pve/qemu/9999/clone"]
    again = clone(run)
    assert (again["changed"], int(again["vmid"])) == (False, 9999)
    assert writes() == []


def test_a_name_is_not_unique(run: proxmox.Run, pve_double: Double) -> None:
    clone(run)
    clone(run, newid=251)
    assert [pve_double.admin.state()["vms"][vmid]["config"]["name"] for vmid in ("250", "251")] == ["runner-1"] * 2


def test_an_update_is_changed_every_time(run: proxmox.Run, writes: Callable[[], list[str]]) -> None:
    clone(run)
    writes()
    found = [run("proxmox_kvm", node="pve", vmid=250, update=True, cores=2)["changed"] for _time in range(2)]
    assert found == [True, True]
    assert writes() == ["PUT /nodes/pve/qemu/250/config"] * 2


def test_the_same_size_in_other_words_is_changed_every_time(run: proxmox.Run) -> None:
    clone(run)
    resize = {"vmid": 250, "disk": "scsi0", "state": "resized"}
    assert run("proxmox_disk", size="20G", **resize)["changed"]
    assert not run("proxmox_disk", size="20G", **resize)["changed"]
    assert run("proxmox_disk", size="20480M", **resize)["changed"]
    shrunk = run("proxmox_disk", size="10G", **resize)
    assert shrunk["failed"]
    assert "shrinking disks is not supported" in shrunk["msg"]


def test_absent_leaves_a_running_vm(run: proxmox.Run, pve_double: Double, writes: Callable[[], list[str]]) -> None:
    clone(run)
    run("proxmox_kvm", node="pve", vmid=250, state="started")
    writes()
    assert not run("proxmox_kvm", node="pve", vmid=250, state="absent")["changed"]
    assert writes() == []
    assert pve_double.admin.vm(250)


def test_linked_clones_take_no_storage(run: proxmox.Run) -> None:
    refused = clone(run, full=False, storage="local-lvm")
    assert "parameter 'storage' not allowed for linked clones" in refused["msg"]
    assert clone(run, full=False)["changed"]


def test_a_clone_that_takes_longer_than_the_modules_limit_goes_on(run: proxmox.Run, pve_double: Double) -> None:
    pve_double.admin.fault(task_takes=2.5, task="qmclone")
    found = clone(run, timeout=1)
    assert found["failed"]
    assert pve_double.admin.wait(lambda state: "lock" not in state["vms"]["250"]["config"])


def test_a_slow_api_fails_after_five_seconds(run: proxmox.Run, pve_double: Double) -> None:
    pve_double.admin.fault(delay=7, path="/version", times=1)
    found = run("proxmox_vm_info", vmid=9999, type="qemu")
    assert found["failed"]
    assert "timed out" in found["msg"]


def test_no_privileges_is_an_empty_list(run: proxmox.Run, pve_double: Double) -> None:
    pve_double.admin.access(**proxmox.access([]))
    assert run("proxmox_vm_info", type="qemu")["proxmox_vms"] == []


def test_a_wrong_token(run: proxmox.Run) -> None:
    found = run("proxmox_vm_info", type="qemu", api_token_secret="wrong")
    assert "401 Unauthorized: Authentication failed!" in found["msg"]


def test_the_inventory_of_tasks_of_a_silent_agent(run: proxmox.Run, pve_double: Double) -> None:
    clone(run)
    run("proxmox_kvm", node="pve", vmid=250, state="started")
    pve_double.admin.fault(agent_silent=True)
    found = run("proxmox_vm_info", vmid=250, type="qemu", network=True)
    assert "QEMU guest agent is not running" in found["msg"]


def test_pools_and_cards(run: proxmox.Run, pve_double: Double) -> None:
    rules = proxmox.access([*proxmox.PRIVILEGES, "Pool.Allocate", "Permissions.Modify"])
    pve_double.admin.access(**rules)
    clone(run)
    assert run("proxmox_pool", poolid="ci", comment="runners")["changed"]
    assert not run("proxmox_pool", poolid="ci", comment="runners")["changed"]
    # 1.4 takes one member; 2.0 takes a list, and does not find what is in it: it compares texts with numbers.
    found = run("proxmox_pool_member", poolid="ci", member="250")
    if found.get("failed"):
        found = run("proxmox_pool_member", poolid="ci", members=[{"vm": "250"}])
    assert found["changed"]
    assert pve_double.admin.state()["pools"] == {"ci": ["/vms/250"]}
    refused = run("proxmox_pool", poolid="ci", state="absent")
    assert refused["failed"]
    assert run("proxmox_nic", vmid=250, interface="net1", bridge="vmbr0", tag=7, model="virtio")["changed"]
    assert run("proxmox_storage_contents_info", node="pve", storage="local-lvm", content="images")
    assert run("proxmox_node_info")["proxmox_nodes"][0]["status"] == "online"


@pytest.mark.parametrize("major", community_proxmox.VERSIONS)
def test_the_inventory_plugin(
    major: int, pve_api: proxmox.Api, pve_double: Double, pve_tls: tuple[Path, Path], tmp_path: Path
) -> None:
    pve_api.clone(250).config.put(tags="github-runner", ciuser="debian", ipconfig0="ip=10.0.0.5/24")
    pve_api.start(250)
    source = {
        "plugin": "community.proxmox.proxmox",
        "url": f"https://{pve_double.host}:{pve_double.port}",
        "user": proxmox.USER,
        "token_id": proxmox.TOKEN,
        "token_secret": proxmox.SECRET,
        "want_facts": True,
        "keyed_groups": [{"key": "proxmox_tags_parsed", "separator": "", "prefix": ""}],
    }
    (tmp_path / "all.proxmox.yml").write_text(json.dumps(source))
    environ = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "ANSIBLE_COLLECTIONS_PATH": str(community_proxmox.path(major)),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "REQUESTS_CA_BUNDLE": str(pve_tls[1]),
        "HOME": str(tmp_path),
    }
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(tmp_path / "all.proxmox.yml")]
    done = subprocess.run([*command, "--list"], capture_output=True, text=True, env=environ, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.get("github_runner") == {"hosts": ["runner-250"]}, done.stdout + done.stderr
    facts = found["_meta"]["hostvars"]["runner-250"]
    assert facts["proxmox_vmid"] == 250
    assert facts["proxmox_agent_interfaces"][1]["ip-addresses"][0] == {"__ansible_unsafe": "10.0.0.5/24"}


def test_check_mode_sends_nothing(run: proxmox.Run, writes: Callable[[], list[str]]) -> None:
    assert clone(run, check=True)["skipped"]
    assert writes() == []
