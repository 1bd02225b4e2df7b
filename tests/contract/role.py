# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role proxmox_runner_vm decides by a Proxmox VE's own answers, without a playbook; and the doing of it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible.module_utils.testing import patch_module_args
from proxmoxer import ResourceException

from ansible_collections.ephemeral.github_runners.plugins.filter import proxmox_vm as filters
from ansible_collections.ephemeral.github_runners.plugins.modules import proxmox_api_info
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import vm_ask, vm_options, vm_plan, vm_reach
from tests.contract.proxmox import SECRET, TOKEN, USER, Api
from tests.doubles.proxmox import pveum
from tests.doubles.proxmox.server import Double
from tests.lab.common import CHECKOUT
from tests.unit.filter.vm_cluster import variables

Json = dict[str, Any]
README = CHECKOUT / "roles" / "proxmox_runner_vm" / "README.md"
#: One of each major version that the README has a role for.
VERSIONS = {8: "8.4.14", 9: "9.2.2"}
KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
#: How an option is sent that is not sent as it is.
_SENT: dict[str, Callable[[Any], Any]] = {
    "tags": ",".join,
    "sshkeys": lambda value: quote(value, safe=""),
    "nameserver": " ".join,
    "searchdomain": " ".join,
    "onboot": int,
}


#: All that takes a privilege.
EVERYTHING = {
    "cores": 2,
    "memory": 2048,
    "balloon": 512,
    "cpu_type": "host",
    "disk_size": "20G",
    "bridge": "vmbr0",
    "vlan": 7,
    "user": "admin",
    "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst one@host"],
    "nameservers": ["192.0.2.1"],
    "search_domain": "home.lan",
    "tags": ["ci"],
    "description": "text",
}


def documented(major: int, template: bool = False) -> Json:
    """The access rules that the role's README has an administrator make for this version of Proxmox VE.

    With ``template`` those for making the template, too.
    """
    text = README.read_text("utf-8")
    told = pveum.pasted(text, major)
    if template:
        (more,) = re.findall(r"```bash\n# The template, Proxmox VE 8.4 and 9\n(.*?)```", text, re.DOTALL)
        told += more
    rules, pools = pveum.rules(told, SECRET)
    assert pools == ["runners"]
    return rules


def cluster(major: int = 9, **changes: Any) -> dict[str, Any]:
    """What the double is to be: one that an administrator has prepared as the README says."""
    usual = {"access": documented(major), "settings": {"version": VERSIONS[major]}}
    return {**usual, "cluster": {"pools": {"runners": {}}, **changes.pop("cluster", {})}, **changes}


def without(rules: Json, role: str, privilege: str) -> Json:
    """These rules, without one privilege of one role."""
    roles = {**rules["roles"], role: [each for each in rules["roles"][role] if each != privilege]}
    assert roles != rules["roles"]
    return {**rules, "roles": roles}


class Role:
    """The role's questions and decisions, and its writing by the plain API.

    Options are the role's variables without their prefix.
    """

    def __init__(self, double: Double, ca: Path, **options: Any) -> None:
        told = {"api_hosts": [double.host], "api_port": double.port, "api_user": USER, "api_token_id": TOKEN}
        told |= {"api_token_secret": SECRET, "ca_file": str(ca)}
        self.variables = variables(**{**told, "pool": "runners", **options})
        self.wanted = vm_options.wanted(self.variables)
        assert self.wanted["problems"] == []
        self.api = Api(double, ca)

    def read(self, paths: list[str]) -> Json:
        """What the module that reads the API returns for these paths."""
        api = self.wanted["api"]
        arguments = {"api_hosts": api["hosts"], "api_port": api["port"], "paths": paths, "timeout": 10}
        arguments |= {"api_user": api["user"], "api_token_id": api["token_id"], "ca_file": api["ca_file"] or None}
        arguments["api_token_secret"] = self.variables["proxmox_runner_vm_api_token_secret"]
        said = io.StringIO()
        with patch_module_args(arguments), contextlib.redirect_stdout(said), pytest.raises(SystemExit):
            proxmox_api_info.main()
        assert SECRET not in said.getvalue()
        found: Json = json.loads(said.getvalue())
        return found

    def ask(self, path: str) -> Json:
        """The answer to one path."""
        answer: Json = self.read([path])["answers"][0]
        return answer

    def host(self) -> Json:
        """Which API host is to be used."""
        return vm_ask.host(self.read([]), self.wanted)

    def plan(self, filter_name: str = "proxmox_vm_plan") -> Json:
        """What is to be done, by what there is."""
        first = self.read(vm_ask.questions(self.wanted))
        reads = [first, self.read(vm_ask.questions(self.wanted, first))]
        found: Json = getattr(filters, filter_name)(self.wanted, reads)
        assert SECRET not in repr(found)
        return found

    def problems(self) -> list[str]:
        """All that stands against it."""
        problems = self.host()["problems"] or self.plan()["problems"]
        assert all(". Do: " in line for line in problems), problems
        return list(problems)

    def do(self, act: Json) -> None:
        """Do what is planned for one VM. Raises ResourceException with Proxmox VE's words if it refuses."""
        for action in act["actions"]:
            getattr(self, f"_{action}")(act)

    def _create(self, act: Json) -> None:
        wanted = act["wanted"]
        fields = {name: wanted[name] for name in ("pool", "storage") if wanted[name]}
        fields |= {"newid": act["vmid"], "name": act["unfinished"], "full": int(wanted["full_clone"])}
        clone = self.api.root.nodes(act["home"]).qemu(act["template"]).clone
        self._wait(clone.post(**fields, **({"target": act["target"]} if act["target"] else {})))
        assert self.api.vm(act["vmid"]).config.get()["name"] == act["unfinished"]
        (act["options"],) = (each["options"] for each in self.plan()["vms"] if each["vmid"] == act["vmid"])

    def _update(self, act: Json) -> None:
        fields = {name: _SENT.get(name, lambda same: same)(value) for name, value in act["options"].items()}
        self.api.vm(act["vmid"]).config.put(**fields)

    def _resize(self, act: Json) -> None:
        self._wait(self.api.vm(act["vmid"]).resize.put(disk=act["resize"]["disk"], size=act["resize"]["new"]))

    def _start(self, act: Json) -> None:
        vm = self.api.vm(act["vmid"])
        self._wait(vm.status.start.post())
        end = time.monotonic() + 60
        while True:
            try:
                assert vm.agent("network-get-interfaces").get()["result"]
            except ResourceException as error:
                if "not running" not in error.content or time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                return

    def _wait(self, upid: str) -> None:
        ended = self.api.wait(upid)
        if ended != "OK":
            raise ResourceException(500, "task", ended)

    def left(self, act: Json, error: ResourceException) -> list[str]:
        """What is said when something was refused, in the words of the module that was refused."""
        told = [{"item": {"vmid": act["vmid"]}, "msg": f"Unable to do it to vm x with vmid {act['vmid']}: {error}"}]
        found = vm_plan.left_over(self.plan(), act["actions"], told)
        return list(found["problems"])

    def reached(self) -> Json:
        """Where the VMs are by their agents, and the host key of the first."""
        plan = self.plan()
        found = vm_reach.addresses(plan, self.read(vm_reach.addresses(plan)["paths"]))
        for host in found["hosts"][:1]:
            found["key"] = vm_reach.host_key(host, self.read([host["key_path"]]))
        return found

    def destroy(self) -> None:
        """Destroy all that is there."""
        for vm in self.plan("proxmox_vm_leave")["vms"]:
            if vm["running"]:
                self._wait(self.api.vm(vm["vmid"]).status.stop.post())
            self._wait(self.api.vm(vm["vmid"]).delete(purge=1))
