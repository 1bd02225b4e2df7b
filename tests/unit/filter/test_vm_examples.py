# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages and the shipped examples show of the VM's variables is fit for use."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.vm_options import wanted

from .vm_cluster import DEFAULTS, PREFIX, Cluster, variables

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles" / "proxmox_runner_vm"
EXAMPLE = yaml.safe_load((ROOT / "proxmox.example.yml").read_text("utf-8"))
#: What stands for a template's value.
STANDS = {
    "ca_file": "/home/me/github-runners/pve-root-ca.pem",
    "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@home"],
    "api_token_secret": "0a1b2c3d",
}


def blocks(page: Path) -> list[str]:
    """The blocks of YAML on a page."""
    return re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def told(text: str) -> dict[str, Any]:
    """The role's variables in a piece of YAML, wherever in it they are."""
    found = {}
    nodes = [yaml.safe_load(text)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            found |= {name: value for name, value in node.items() if name.startswith(PREFIX)}
            nodes += [value for name, value in node.items() if not name.startswith(PREFIX)]
    return {name: STANDS.get(name.removeprefix(PREFIX), found[name]) for name in found}


PAGES = {
    f"{page.relative_to(ROOT)}-{number}": text
    for page in (ROOT / "README.md", ROLE / "README.md")
    for number, text in enumerate(text for text in blocks(page) if PREFIX in text)
}


@pytest.mark.parametrize("place", ["proxmox.example.yml", *PAGES])
def test_what_is_shown_is_right(place: str) -> None:
    example = told(yaml.safe_dump(EXAMPLE))
    shown = told(PAGES[place]) if place in PAGES else example
    assert shown
    assert wanted({**DEFAULTS, **example, **shown})["problems"] == []


def test_the_several_vms_of_the_example_are_right() -> None:
    text = (ROOT / "proxmox.example.yml").read_text("utf-8")
    commented = "\n".join(re.findall(rf"^# ({PREFIX}vms:|  - .*)$", text, re.MULTILINE))
    found = wanted({**DEFAULTS, **told(yaml.safe_dump(EXAMPLE)), **told(commented)})
    assert found["problems"] == []
    assert [vm["address"] for vm in found["vms"]] == ["192.168.1.250/24", "192.168.1.251/24"]


def test_the_names_that_may_differ_are_those_that_are_taken() -> None:
    """To uncomment a line of the example changes nothing, until it is edited."""
    text = (ROOT / "proxmox.example.yml").read_text("utf-8")
    names = ("template_storage", "image_storage", "node", "bridge")
    shown = told("\n".join(re.findall(rf"^# ({PREFIX}(?:{'|'.join(names)}): .*)$", text, re.MULTILINE)))
    assert set(shown) == {PREFIX + name for name in names}
    assert wanted({**DEFAULTS, **told(yaml.safe_dump(EXAMPLE)), **shown})["problems"] == []
    kept = {name: value for name, value in shown.items() if DEFAULTS[name]}
    assert kept == {name: DEFAULTS[name] for name in kept}
    assert set(kept) == {f"{PREFIX}template_storage", f"{PREFIX}image_storage"}


def test_every_variable_that_is_named_is_there() -> None:
    specification = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text("utf-8"))["argument_specs"]
    known = set(specification["main"]["options"])
    assert set(DEFAULTS) <= known
    pages = [*ROOT.glob("*.md"), ROLE / "README.md", ROOT / "proxmox.example.yml", *(ROOT / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(rf"\b{PREFIX}[a-z_]+\b", page.read_text("utf-8"))}
    assert named <= known, sorted(named - known)
    assert set(EXAMPLE) <= known


def test_the_template_that_is_documented_lacks_nothing() -> None:
    """As Proxmox VE has it once `qm create` has imported the image and made the cloud-init drive."""
    page = (ROLE / "README.md").read_text("utf-8").replace("\\\n", "")
    (line,) = re.findall(r"^qm create (.*)$", page, re.MULTILINE)
    number, *words = shlex.split(line)
    config = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    config["scsi0"] = re.sub(r":0,import-from=[^,]+", f":base-{number}-disk-0", config["scsi0"]) + ",size=3G"
    cluster = Cluster()
    cluster.configs[9999] = {**config, "template": 1}
    plan = cluster.plan(variables(template=number))
    assert (plan["problems"], plan["notes"]) == ([], [])
    assert plan["vms"][0]["template"] == 9999
