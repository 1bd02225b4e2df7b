# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with a Docker that does not suit, or packages that are not Docker's: told, and nothing is changed. One with an
Engine that does: left alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.rig import GROUP
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.project import Project, Result

#: Docker's package of Compose, unpacked by hand.
COMPOSE_BY_HAND = """
package=docker-compose-plugin_2.26.1-1~standin_$(dpkg --print-architecture).deb
curl --silent --fail --remote-name --output-dir /var/tmp {url}/debian/dists/bookworm/pool/stable/$package
mkdir -p /usr/local/lib/docker/cli-plugins
cd /usr/local/lib/docker/cli-plugins
dpkg-deb --fsys-tarfile /var/tmp/$package | tar --extract --strip-components=5
"""


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[Host]:
    """A Debian 12 host with Podman, which calls itself docker."""
    host = lab.host("other-engine", "12")
    host.exec("apt-get", "-qq", "update")
    host.exec("apt-get", "-qq", "install", "--yes", "--no-install-recommends", "podman-docker", timeout=300)
    yield host
    host.container.remove(force=True, v=True)


@pytest.fixture
def project(lab: Lab, host: Host, artifact: Path, tmp_path: Path) -> Project:
    """Its user."""
    token = f"ghp_{secrets.token_hex(18)}"
    lab.github.credentials({"other engines": {"token": token, "scopes": {"my-org": "write"}}})
    project = Project(tmp_path, proxy=lab.proxy_url)
    project.install(artifact)
    project.init()
    project.write_inventory(GROUP, {host.name: host.connection()})
    project.set_variables(
        GROUP,
        github_docker_runners_scope="my-org",
        github_docker_runners_token=token,
        github_docker_runners_api_url=lab.api_url,
        github_docker_runners_ca_file=str(lab.authority.path),
        github_docker_runners_image=lab.push_runner().reference,
        github_docker_runners_docker="none",
        github_docker_runners_count=1,
        github_docker_runners_extra_labels=[host.name],
        github_docker_runners_docker_repository_url=lab.docker_packages().url,
    )
    return project


def assert_refused(host: Host, result: Result, *words: str) -> None:
    """The run is red, says why, and has changed nothing."""
    assert result.rc != 0
    assert all(word in result.output for word in words), result.output[-3000:]
    assert result.changed == 0
    for path in (
        "/etc/docker/daemon.json",
        "/etc/apt/sources.list.d/docker.sources",
        "/opt/github-runners",
        "/etc/runnerd",
    ):
        assert host.exec("test", "-e", path, check=False).rc == 1, path


def test_podman_is_refused_and_then_a_key_that_is_not_dockers(lab: Lab, host: Host, project: Project) -> None:
    project.set_variables(GROUP, github_docker_runners_count=0)
    words = "github_docker_runners_count = 0", "docker = Podman", "Do: apt-get remove podman-docker"
    assert_refused(host, project.playbook("deploy"), *words)  # all at once
    project.set_variables(GROUP, github_docker_runners_count=1)
    host.exec("apt-get", "-qq", "remove", "--yes", "podman-docker")
    # The lab's packages are signed by a key of its own, and the default is Docker's.
    assert_refused(
        host,
        project.playbook("deploy"),
        "github_docker_runners_docker_repository_fingerprint = 9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
        f"is another key: {lab.docker_packages().fingerprint}",
    )


def test_an_engine_that_was_there_is_left_alone(lab: Lab, host: Host, project: Project) -> None:
    """Debian 12's own, the oldest that suits, with a Compose that somebody put there by hand."""
    host.exec("sh", "-c", "command -v podman && apt-get -qq remove --yes podman-docker", check=False)
    host.exec("apt-get", "-qq", "install", "--yes", "--no-install-recommends", "docker.io", timeout=300)
    without = project.playbook("deploy")
    assert_refused(host, without, "docker compose = none: Docker is there without its plugin Compose")
    host.exec("sh", "-ec", COMPOSE_BY_HAND.format(url=lab.docker_packages().url))

    engine = ("dpkg-query", "--show", "docker*", "containerd*", "runc")
    before = host.exec(*engine).stdout
    first = project.playbook("deploy")
    assert first.rc == 0, first.output[-4000:]
    assert host.exec(*engine).stdout == before
    assert host.docker("version", "--format", "{{.Server.Version}}").startswith("20.10.")
    assert host.exec("test", "-e", "/etc/docker/daemon.json", check=False).rc == 1
    job = lab.github.wait_job(lab.github.queue_job("echo hello", labels=[host.name]))
    assert job["result"] == "Succeeded" and job["runner_name"].startswith(host.name), job
    assert project.playbook("deploy").changed == 0
