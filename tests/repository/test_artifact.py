# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes to Galaxy: all that users need, nothing of the machine it was built on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.gates import checks
from tests.gates.tree import NAME, NAMESPACE, ROOT
from tests.repository import sources

#: What may lie about in a checkout, and must not leave it: a user's own files, secrets, caches, environments.
STRAY = (
    "inventory.ini",
    "inventory/hosts.ini",
    "proxmox.yml",
    "group_vars/github_runners/vault.yml",
    "group_vars/vault.yml",
    "vault_password",
    ".vault_pass",
    "ansible.cfg",
    ".cache/lab/ca.key",
    ".venv/bin/python",
    ".ansible/roles/x",
    ".mypy_cache/x",
    ".pytest_cache/x",
    ".hypothesis/x",
    ".ruff_cache/x",
    ".git/config",
    "build/x",
    "dist/x",
    "tests/output/x",
    f"{NAMESPACE}-{NAME}-0.0.1.tar.gz",
    "roles/runnerd/files/runnerd/__pycache__/core.cpython-311.pyc",
)


def clean(home: Path) -> dict[str, str]:
    """The environment of a user who has set up nothing, with the project's programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**kept, "HOME": str(home), "PATH": f"{checks.BIN}{os.pathsep}{os.environ['PATH']}"}


def ansible(home: Path, *command: str | Path, **more: str) -> str:
    """Run one of Ansible's programs as that user; its output."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=home,
        env={**clean(home), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact, built from a copy of the repository in which stray files lie about."""
    copy = tmp_path_factory.mktemp("checkout")
    for path in sources.files():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy / path)
    for name in STRAY:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("stray")
    out = tmp_path_factory.mktemp("dist")
    ansible(out, "ansible-galaxy", "collection", "build", "--output-path", out, copy)
    (built,) = out.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def names(artifact: Path) -> set[str]:
    """The files in the artifact."""
    with tarfile.open(artifact) as tar:
        return {member.name for member in tar.getmembers() if member.isfile()}


def test_name_is_the_one_in_imports() -> None:
    meta = yaml.safe_load(sources.text("galaxy.yml"))
    assert (meta["namespace"], meta["name"]) == (NAMESPACE, NAME)


def test_nothing_stray_is_in_it(names: set[str]) -> None:
    assert names.isdisjoint(STRAY), sorted(names.intersection(STRAY))
    assert not [name for name in names if "__pycache__" in name or name.startswith((".git", ".ci/", ".config/"))]


def test_all_that_users_need_is_in_it(names: set[str]) -> None:
    needed = {str(path) for path in sources.files(*sources.PUBLIC)}
    needed |= {"README.md", "LICENSE", "CHANGELOG.md", "inventory.example.ini", "requirements.txt"}
    needed |= {"proxmox.example.yml", "inventory.proxmox.yml"}
    needed |= {str(path) for path in sources.files("group_vars")}
    assert needed <= names, sorted(needed - names)


@pytest.fixture(scope="module")
def bare(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed collection, of which only is left what Galaxy demands to suffice."""
    home = tmp_path_factory.mktemp("user")
    ansible(home, "ansible-galaxy", "collection", "install", "-p", home / "collections", artifact)
    installed = home / "collections" / "ansible_collections" / NAMESPACE / NAME
    for path in installed.iterdir():
        if path.name in (*sources.PUBLIC, "MANIFEST.json", "FILES.json"):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return home


#: The playbooks that come next.
NEXT = re.compile(r"\d\. ansible-playbook ephemeral\.github_runners\.(\w+)")


def test_init_lays_down_the_examples(bare: Path) -> None:
    """The playbooks work when nothing but the four folders is left, and `init` gives what the repository shows."""
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(bare / "collections")}
    project = bare / "project"
    project.mkdir()
    playbook = f"{NAMESPACE}.{NAME}.init"
    said = ansible(bare, "ansible-playbook", playbook, "-e", f"dest={project}", **collections)
    assert NEXT.findall(said) == ["deploy"] and "write your hosts" in said
    laid = {path.relative_to(project): path.read_text("utf-8") for path in project.rglob("*") if path.is_file()}
    shown = {path: sources.text(path) for path in sources.files("group_vars")}
    assert laid.pop(Path("inventory.ini")) == sources.text("inventory.example.ini")
    assert laid == shown

    (project / "inventory.ini").write_text("# mine\n")
    said = ansible(bare, "ansible-playbook", playbook, "-e", f"dest={project}", "-e", "proxmox=true", **collections)
    assert NEXT.findall(said) == ["template", "site"] and "write your hosts" not in said
    for name, shown_as in (("proxmox.yml", "proxmox.example.yml"), ("inventory.proxmox.yml", "inventory.proxmox.yml")):
        assert (project / name).read_text("utf-8") == sources.text(shown_as)
    assert (project / "inventory.ini").read_text() == "# mine\n", "init wrote over the user's file"


@pytest.mark.parametrize(
    "path", [path for path in sources.files("playbooks", suffixes=(".yml",)) if len(path.parts) == 2]
)
def test_playbook_is_sound(bare: Path, path: Path) -> None:
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(bare / "collections")}
    ansible(bare, "ansible-playbook", "--syntax-check", "-i", "host,", f"{NAMESPACE}.{NAME}.{path.stem}", **collections)
