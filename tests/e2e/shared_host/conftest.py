# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host that the tests of this folder share, in their order: made, deployed from an empty folder, and torn down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rig import GROUP, Rig
from tests.lab.lab import Lab
from tests.lab.project import Project


@pytest.fixture(scope="session")
def purpose() -> str:
    """The name of this folder's lab."""
    return "test"


@pytest.fixture(scope="session")
def shared(lab: Lab, artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A blank host, and a user with an empty folder and the installed collection. Nothing is deployed yet."""
    image = lab.push_runner("1")
    host = lab.host("gh-runner-01")
    project = Project(tmp_path_factory.mktemp("user"), proxy=lab.proxy_url)
    project.install(artifact)
    project.init()
    project.write_inventory(GROUP, {"gh-runner-01": host.connection()})
    return Rig(lab, project, host, image)


@pytest.fixture
def rig(shared: Rig) -> Rig:
    """The host with three idle runners."""
    shared.base()
    return shared


@pytest.fixture(scope="session")
def dind(shared: Rig) -> dict[str, Any]:
    """The variables of one runner with a Docker of its own."""
    image = shared.lab.push_dind().reference
    # The daemon in the container does not know the lab's authority.
    arguments = ["--insecure-registry=registry.test"]
    return {"docker": "dind", "dind_image": image, "dind_arguments": arguments, "count": 1, "memory": "512m"}
