# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates themselves: which program judges what, with which arguments.

Each gate is a function that runs programs of the project's environment and raises `Failed` with their words.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.gates import bootstrap, tree
from tests.gates.tree import ROOT

CACHE = ROOT / ".cache" / "gates"
#: Where the programs of the environment lie that runs this.
BIN = Path(sys.executable).parent


class Failed(Exception):
    """A gate said no; the text is what its program said."""


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a program of the project's environment and return its output, standard error included.

    Raises:
        Failed: it is not there, or did not end with 0.
    """
    words = [str(word) for word in command]
    environ = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", **(env or {})}
    environ.pop("FORCE_COLOR", None)
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise Failed(f"{words[0]} is not there. Do: make venv") from error
    if done.returncode:
        raise Failed(f"$ {' '.join(words)}\n{done.stdout.rstrip()}\n(exit code {done.returncode})")
    return done.stdout


def files() -> list[Path]:
    """What git knows or would take in: tracked and untracked files, but no ignored ones. Relative to the checkout."""
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted(Path(name) for name in set(names) if name and (ROOT / name).is_file())


def is_shell(path: Path) -> bool:
    """Whether the file is a shell script, by its name or by its first line."""
    if path.suffix == ".sh":
        return True
    with (ROOT / path).open("rb") as file:
        return file.readline().rstrip() in (b"#!/bin/sh", b"#!/usr/bin/env bash")


def collections() -> dict[str, str]:
    """The variable by which Ansible's programs find the working copy as a collection."""
    return {"ANSIBLE_COLLECTIONS_PATH": str(tree.ensure())}


def ruff() -> None:
    """Python: mistakes and imports (ruff check), layout (ruff format)."""
    run("ruff", "check", "--quiet", "--output-format=concise", ".")
    run("ruff", "format", "--quiet", "--check", "--diff", ".")


def types() -> None:
    """Python: types (mypy, strict) of what runs on hosts and of what the tests stand on."""
    tree.ensure()
    package = f"ansible_collections.{tree.NAMESPACE}.{tree.NAME}.plugins"
    wanted = {
        "plugins/module_utils/_github": f"{package}.module_utils._github",
        "plugins/filter": f"{package}.filter",
        "plugins/plugin_utils": f"{package}.plugin_utils",
        "plugins/modules": f"{package}.modules",
        "roles/runnerd/files/runnerd": "runnerd",
        "tests/bench": "tests.bench",
        "tests/doubles/github": "tests.doubles.github",
        "tests/doubles/proxmox": "tests.doubles.proxmox",
        "tests/gates": "tests.gates",
        "tests/lab": "tests.lab",
        "tests/leaks": "tests.leaks",
        "tests/repository": "tests.repository",
    }
    found = [name for path, name in wanted.items() if any((ROOT / path).glob("*.py"))]
    run("mypy", "--no-error-summary", *[word for name in found for word in ("--package", name)])


def yaml() -> None:
    """YAML (yamllint)."""
    run("yamllint", "--strict", "--format", "parsable", ".")


def shell() -> None:
    """Shell scripts (shellcheck)."""
    scripts = [path for path in files() if is_shell(path)]
    if not scripts:
        raise Failed("no shell script found, though the roles and .ci have some: is this the checkout?")
    run("shellcheck", "--external-sources", *scripts)


def ansible() -> None:
    """Roles and playbooks (ansible-lint, profile production)."""
    run("ansible-lint", "--offline", "--strict", "--profile", "production", "--nocolor", env=collections())


def changelog() -> None:
    """The changelog and its fragments (antsibull-changelog)."""
    run("antsibull-changelog", "lint")


def docs() -> None:
    """The documentation inside plugins and roles (antsibull-docs)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    run(
        "antsibull-docs",
        "lint-collection-docs",
        "--plugin-docs",
        # Not `all`: that reads the documentation of every collection in the ansible package, for minutes.
        "--validate-collection-refs=dependent",
        ".",
        env={**collections(), "HOME": str(CACHE)},  # it writes a log into the home folder
    )


def galaxy() -> None:
    """The artifact, as Galaxy will judge it (galaxy-importer)."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        run("ansible-galaxy", "collection", "build", "--force", "--output-path", folder)
        (artifact,) = Path(folder).glob("*.tar.gz")
        said = run(
            sys.executable,
            "-m",
            "galaxy_importer.main",
            artifact,
            cwd=Path(folder),
            # ansible-lint has a gate of its own here. The name under which the importer unpacks is its own affair.
            env={**collections(), "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"},
        )
    complaints = [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]
    if complaints:
        raise Failed("\n".join(complaints))


def sanity() -> None:
    """Ansible's own tests for collections (ansible-test sanity)."""
    tree.ensure()
    home = bootstrap.ansible_test_home(CACHE / "ansible-test")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    environ = {"HOME": str(home), "ANSIBLE_TEST_CONTENT_ROOT": str(tree.content())}
    try:
        said = run("ansible-test", "sanity", "--python", version, "--color", "no", env=environ)
    except Failed as error:
        # What it says of its own installing is of no use where it names what is wrong.
        complaints = [line for line in str(error).splitlines() if line.startswith(("ERROR:", "FATAL:"))]
        raise Failed("\n".join(complaints) or str(error)) from error
    # A missing program is a warning to ansible-test, and the test that needs it is left out.
    left_out = [line for line in said.splitlines() if line.startswith(("WARNING: Skipping", "WARNING: Required"))]
    if left_out:
        raise Failed("\n".join(left_out))


LINT: Iterable[Callable[[], None]] = (ruff, types, yaml, shell, ansible, changelog, docs, galaxy)
SANITY: Iterable[Callable[[], None]] = (sanity,)
