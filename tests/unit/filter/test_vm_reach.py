# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a VM is reached, and by which host key it is known."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_reach
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_world import Answer

Json = dict[str, Any]
MAC = "BC:24:11:00:00:50"
KEY, OTHER = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 43}" for letter in "xy")


def vm(number: int = 250, address: str = "dhcp", **more: Any) -> Json:
    wanted = {"address": address, "user": "", "template": "9999"}
    return {
        "vmid": number,
        "name": f"runner-{number}",
        "node": "pve",
        "uuid": f"uuid-{number}",
        "network": {"macaddr": MAC},
        "wanted": wanted,
    } | more


def told(item: Json, *addresses: str) -> Json:
    interfaces = [
        {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": []},
        {
            "name": "eth0",
            "hardware-address": MAC.lower(),
            "ip-addresses": [{"ip-address": each, "ip-address-type": "ipv4"} for each in addresses],
        },
    ]
    return {"path": path(item), "status": 200, "reason": "", "data": {"result": interfaces}}


def path(item: Json) -> str:
    return f"/nodes/pve/qemu/{item['vmid']}/agent/network-get-interfaces"


def silent(item: Json) -> Json:
    return {"path": path(item), "status": 500, "reason": "QEMU guest agent is not running", "data": None}


def test_a_configured_address_needs_no_agent() -> None:
    found = vm_reach.addresses({"vms": [vm(address="10.0.0.5/24")]})
    assert [(host["name"], host["address"]) for host in found["hosts"]] == [("runner-250", "10.0.0.5")]
    assert found["lines"] == ["runner-250 ansible_host=10.0.0.5"]
    assert (found["paths"], found["waiting"]) == ([], [])


def test_an_address_that_waits_for_a_reboot_is_not_waited_for() -> None:
    waits = vm(address="10.0.0.5/24", reboot=["ipconfig0"], changes={})
    found = vm_reach.addresses({"vms": [waits]})
    assert found["lines"] == []
    (problem,) = found["problems"]
    assert [host["problem"] for host in found["hosts"]] == [problem]
    assert "it has the address 10.0.0.5 after its next start only" in problem
    assert "qm reboot 250, and run this again" in problem
    waits["changes"] = {"ipconfig0": {}}  # check mode has said so, and done nothing
    assert vm_reach.addresses({"vms": [waits]})["problems"] == []


def test_an_agent_without_an_address_is_told() -> None:
    one, two = vm(250), vm(251)
    assert vm_reach.addresses({"vms": [one, two]})["paths"] == [path(one), path(two)]
    found = vm_reach.addresses({"vms": [one, two]}, {"answers": [told(one), silent(two)]})
    assert [(host["address"], host["problem"]) for host in found["hosts"]] == [("", each) for each in found["problems"]]
    assert found["lines"] == []
    assert found["waiting"] == ["runner-250", "runner-251"]
    assert "its guest agent tells no address: none so far. Do" in found["problems"][0]
    assert "QEMU guest agent is not running. Do: see that the image has qemu-guest-agent" in found["problems"][1]


def test_in_check_mode_that_is_a_note_and_the_vm_no_host() -> None:
    one, two = vm(250), vm(251)
    found = vm_reach.addresses({"vms": [one, two]}, {"answers": [told(one, "192.0.2.5"), silent(two)]}, check=True)
    assert ([host["name"] for host in found["hosts"]], found["problems"]) == (["runner-250"], [])
    (note,) = found["notes"]
    assert note.startswith("runner-251 (251 on pve): its guest agent tells no address: QEMU guest agent is not running")
    assert note.endswith("(--check has asked once; a run asks until proxmox_runner_vm_address_timeout is over)")


@pytest.mark.parametrize(
    "told", [Answer(-1, None, "timed out"), Answer(200, None, ""), Answer(200, {"result": {"error": "x"}}, "")]
)
def test_no_answer_is_no_address(told: Answer) -> None:
    assert vm_reach.address(told, vm()) == ""


def test_one_address_of_two_is_named() -> None:
    one, two = vm(250), vm(251)
    found = vm_reach.addresses({"vms": [one, two]}, {"answers": [told(one, "192.0.2.5"), told(two, "192.0.2.5")]})
    (problem,) = found["problems"]
    assert "it has the address 192.0.2.5, as runner-250 has. Do: empty /etc/machine-id in the template 9999" in problem
    assert [host["problem"] for host in found["hosts"]] == [problem, problem]  # either may be who answers there
    assert (found["waiting"], found["lines"]) == ([], [])


def test_a_vm_that_cannot_be_used_hinders_no_other() -> None:
    one, two, three = vm(250), vm(251), vm(252, address="192.0.2.7/24")
    found = vm_reach.addresses({"vms": [one, two, three]}, {"answers": [told(one, "192.0.2.5"), silent(two)]})
    assert [host["name"] for host in found["hosts"] if not host["problem"]] == ["runner-250", "runner-252"]
    assert found["lines"] == ["runner-250 ansible_host=192.0.2.5", "runner-252 ansible_host=192.0.2.7"]
    (problem,) = found["problems"]
    assert problem.startswith("runner-251 (251 on pve): its guest agent tells no address")


def test_only_a_vm_that_may_run_can_be_a_host() -> None:
    states = {250: "running", 251: "stopped", 252: "absent", 253: "unknown"}
    found = vm_reach.running({"vms": [vm(number, status=status) for number, status in states.items()]})
    assert [each["vmid"] for each in found["vms"]] == [250, 253]
    assert found["off"] == ["runner-251 (251 on pve): off, so that no job runs on it"]


KEY_PATH = "/nodes/pve/qemu/250/agent/file-read?file=/etc/ssh/ssh_host_ed25519_key.pub"
HOST = {
    "name": "runner-250",
    "vmid": 250,
    "node": "pve",
    "uuid": "uuid-250",
    "address": "192.0.2.5",
    "user": "",
    "key_path": KEY_PATH,
}
AGENT = {
    "answers": [{"path": KEY_PATH, "status": 200, "reason": "", "data": {"content": f"{KEY} root@runner\n"}}],
}
REFUSED = {
    "answers": [
        {
            "path": KEY_PATH,
            "status": 403,
            "reason": "Permission check failed (/vms/250, VM.GuestAgent.FileRead)",
            "data": None,
        }
    ]
}


def file(block: str, vmid: int = 250, rest: str = "") -> str:
    begin, end = (vm_reach.marker(vmid).replace("{mark}", word) for word in ("BEGIN", "END"))
    return f"{rest}{begin}\n{block}\n{end}\n"


BLOCK = f"# machine uuid-250\n192.0.2.5 {KEY}"


def test_the_key_of_the_agent() -> None:
    found = vm_reach.host_key(HOST, AGENT)
    assert found == {"recorded": False, "block": BLOCK, "from_agent": True, "why_not": "", "problem": ""}
    text = file(BLOCK, rest=f"192.0.2.9 {OTHER}\n")
    assert vm_reach.host_key(HOST, AGENT, None, text)["recorded"]


def test_another_key_of_the_same_machine_is_recorded_by_the_word_of_its_agent() -> None:
    """cloud-init makes new ones when a setting of the VM has changed."""
    line = f"192.0.2.5 {OTHER}"
    found = vm_reach.host_key(HOST, AGENT, None, file(f"# machine uuid-250\n{line}"), line)
    assert (found["recorded"], found["block"], found["problem"]) == (False, BLOCK, "")


@pytest.mark.parametrize("read", [AGENT, REFUSED])
@pytest.mark.parametrize("change", [{}, {"uuid": "anew"}, {"address": "192.0.2.6"}, {"vmid": 251}])
def test_what_is_recorded_of_another_machine_is_not_of_this_one(change: Json, read: Json) -> None:
    host = {**HOST, **change}
    assert vm_reach.host_key(host, read, None, file(BLOCK))["recorded"] is (change == {})
    assert not vm_reach.host_key(host, read, None, "")["recorded"]
    assert not vm_reach.host_key(host, read, None, file("# machine uuid-250"))["recorded"]  # by hand


def test_the_key_of_whoever_answers_is_said_to_be_that() -> None:
    scanned = {"stdout": f"# 192.0.2.5:22 SSH-2.0-OpenSSH\n192.0.2.5 {KEY}\n"}
    found = vm_reach.host_key(HOST, REFUSED, scanned)
    assert found["block"].endswith(f"192.0.2.5 {KEY}")
    assert (found["from_agent"], found["problem"]) == (False, "")
    assert "VM.GuestAgent.FileRead" in found["why_not"]


def test_no_key_at_all() -> None:
    assert "no host key to be had at 192.0.2.5. Do:" in vm_reach.host_key(HOST, REFUSED, {"stdout": ""})["problem"]


def test_a_key_that_somebody_else_recorded_is_never_replaced() -> None:
    others = f"# Host 192.0.2.5 found: line 3\n|1|hash|hash {OTHER} me"
    found = vm_reach.host_key(HOST, AGENT, None, f"192.0.2.5 {OTHER} me\n", others)
    assert "another key for 192.0.2.5, which was not recorded by us. Do: if that machine is gone" in found["problem"]


def test_the_key_that_we_recorded_of_the_machine_before_is_replaced() -> None:
    text = file(f"# machine before\n192.0.2.5 {OTHER}")
    others = f"# Host 192.0.2.5 found: line 3\n192.0.2.5 {OTHER}"
    assert vm_reach.host_key(HOST, AGENT, None, text, others)["problem"] == ""


def test_the_same_key_recorded_by_hand_does_no_harm() -> None:
    assert vm_reach.host_key(HOST, AGENT, None, "", f"192.0.2.5 {KEY}")["problem"] == ""
    assert vm_reach.host_key(HOST, AGENT, None, "", f"192.0.2.5 ssh-rsa {'B' * 60}")["problem"] == ""
