# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m tests.gates.scenario up|down NAME`: what a scenario of Molecule runs against.

A lab with GitHub's double, a registry, and a blank host of each Debian release with a repository of Docker's packages,
or (`proxmox`) Proxmox VE's double; and an inventory with group variables, in the folder that
`.config/molecule/config.yml` names. From there on a scenario does what a user does.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.gates import tree
from tests.lab.common import Problem, prefix
from tests.lab.images import RELEASES
from tests.lab.lab import Lab
from tests.lab.pve import ProxmoxVE, vm_variables

GROUP = "github_runners"
ROLE = "github_docker_runners"
SCOPE = "my-org"
#: Slots of a host.
COUNT = 2
VMID = 250


def inventory(name: str, root: Path = tree.ROOT) -> Path:
    """The folder of a scenario's inventory."""
    return root / ".cache" / "molecule" / name


def lab_of(name: str) -> Lab:
    """A scenario's lab."""
    return Lab(prefix(f"molecule-{name}"))


def up(name: str) -> None:
    """Start what the scenario needs, unless it runs, and write its inventory anew."""
    lab = lab_of(name).up()
    token = f"ghp_{secrets.token_hex(18)}"
    lab.github.credentials({"molecule": {"token": token, "scopes": {SCOPE: "write"}}})
    variables = {
        f"{ROLE}_scope": SCOPE,
        f"{ROLE}_token": token,
        f"{ROLE}_api_url": lab.api_url,
        f"{ROLE}_image": lab.push_runner().reference,
        f"{ROLE}_docker": "none",  # nothing here is about Docker inside of jobs
        f"{ROLE}_count": COUNT,
        # This machine reaches the double under its name by the lab's proxy only, whose port is known too late to be in
        # Molecule's settings. The end-to-end tests ask.
        f"{ROLE}_check_github": False,
    }
    folder = inventory(name)
    (folder / "group_vars").mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)  # the tokens are in it
    more = (_machine if name == "proxmox" else _hosts)(lab, folder)
    # JSON is YAML, too.
    (folder / "group_vars" / f"{GROUP}.yml").write_text(json.dumps({**variables, **more}, indent=2))


def _hosts(lab: Lab, folder: Path) -> dict[str, Any]:
    """A host of each release; what is more to be said to their group."""
    packages = lab.docker_packages()
    hosts = [lab.host(f"debian{release}", release) for release in RELEASES]
    # Each has a label by which a job finds it.
    own = {host.name: {**host.connection(), f"{ROLE}_extra_labels": [host.name]} for host in hosts}
    (folder / "hosts.yml").write_text(json.dumps({GROUP: {"hosts": own}}, indent=2))
    return {
        f"{ROLE}_docker_repository_url": packages.url,
        f"{ROLE}_docker_repository_fingerprint": packages.fingerprint,
    }


def _machine(lab: Lab, folder: Path) -> dict[str, Any]:
    """A Proxmox VE, and what a user writes into `proxmox.yml`; for who looks afterwards, where the VM will be."""
    where = ProxmoxVE(lab.prefix).up()
    machine = lab.machine(VMID, str(lab.subnet()[VMID]), "debian")
    wanted = vm_variables(lab, machine, where)
    (folder / "group_vars" / "all.yml").write_text(json.dumps(wanted, indent=2))
    (folder / "hosts.yml").write_text(json.dumps({GROUP: {"hosts": {}}}))
    login = {"ansible_host": machine.address, "ansible_user": machine.user, **machine.connection()}
    made = {wanted["proxmox_runner_vm_name"]: login}
    folder.with_suffix(".made.yml").write_text(json.dumps({GROUP: {"hosts": made}}, indent=2))
    return machine.connection()


def down(name: str) -> None:
    """Remove all of it. Nothing there is no error."""
    lab = lab_of(name)
    ProxmoxVE(lab.prefix).down()
    lab.down()
    shutil.rmtree(inventory(name), ignore_errors=True)
    # Ansible warns of an inventory that is not there, and `create` runs before it is.
    inventory(name).mkdir(parents=True, mode=0o700)
    (inventory(name) / "hosts.yml").write_text("{}")


def main() -> int:
    """Exit code 0: done; 1: something is wrong, and said; 2: wrong use."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("up", "down"):
        print(__doc__, file=sys.stderr)
        return 2
    # A scenario may be the first thing that runs in a checkout.
    tree.ensure()
    try:
        (up if sys.argv[1] == "up" else down)(sys.argv[2])
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
