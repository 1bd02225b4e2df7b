# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker inside of jobs: a daemon of each runner's own, that of the host, or none; and what of the host a job gets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.e2e.rig import GROUP, Rig
from tests.lab.common import eventually

FILE = "/opt/github-runners/docker-compose.yml"
RUNNER, COMPANION = "github-runner-1", "github-runner-1-docker"

#: What a job does with Docker; it leaves images, a volume, a network, and a container that runs.
USE = r"""
echo from-the-job > file
docker run --rm -v "$PWD:$PWD" -w "$PWD" IMAGE sh -c 'cat file; echo from-the-container > answer'
cat answer
docker run --rm IMAGE nslookup api.github.test | grep -c Address
docker network create left && docker volume create left
docker run -d --name left --network left -v left:/left -p 8099:80 IMAGE httpd -f -p 80 -h /
until curl --silent --fail --output /dev/null http://localhost:8099/bin/sh; do sleep 0.2; done
echo a published port is on localhost
# As the runner does it for a job in a container: its own Node.js, and Docker.
docker run --rm -v "$RUNNER_HOME/externals:/__e:ro" -v /var/run/docker.sock:/var/run/docker.sock IMAGE \
  sh -c '/__e/node24/bin/node; test -S /var/run/docker.sock && echo sock'
touch "$RUNNER_HOME/externals/x" 2>/dev/null || echo externals are read-only
sudo -n true && echo sudo
"""

LOOK = r"""
[ -z "$(docker ps -aq)" ] && [ -z "$(docker images -q)" ] && [ -z "$(docker volume ls -q)" ] && [ ! -e file ]
[ "$(docker network ls -q | wc -l)" = 3 ]
echo clean
"""


@pytest.fixture(scope="module")
def busybox(shared: Rig) -> str:
    """The image that jobs run."""
    return shared.lab.push_busybox().reference


def fresh_volumes(rig: Rig) -> set[str]:
    """The volumes that have to be new with every runner."""
    return {name for name in rig.volumes() if "externals" not in name}


@pytest.fixture
def own(shared: Rig, dind: dict[str, Any]) -> Rig:
    """The host with one idle runner that has a Docker of its own."""
    shared.base(**dind)
    # Until then there may be an idle runner of an old definition.
    eventually(lambda: shared.containers().keys() == {RUNNER, COMPANION}, 90, shared.tell)
    shared.idle(1)
    return shared


def test_a_job_has_a_docker_of_its_own_and_the_next_one_finds_nothing_of_it(
    own: Rig, dind: dict[str, Any], busybox: str
) -> None:
    rig = own
    containers, volumes = rig.containers(), fresh_volumes(rig)
    assert len(volumes) == 3  # the work folder, /var/run, Docker's data
    assert [set(runner["labels"]) >= {"docker"} for runner in rig.github.runners()] == [True], rig.tell()
    job = rig.github.wait_job(rig.job(USE.replace("IMAGE", busybox), name="uses Docker"), 180)
    assert job["result"] == "Succeeded", job["log"]
    for line in ("from-the-job", "from-the-container", "on localhost", "v24.0.0", "sock", "are read-only", "sudo"):
        assert line in job["log"], job["log"]
    after = rig.github.wait_job(rig.job(LOOK))
    assert after["result"] == "Succeeded", after["log"]
    rig.idle(1)
    assert rig.containers().keys() == containers.keys()
    assert not set(rig.containers().values()) & set(containers.values())
    assert len(fresh_volumes(rig)) == len(volumes) and not fresh_volumes(rig) & volumes
    assert len(rig.volumes() - fresh_volumes(rig)) == 1  # the runner image's own, read-only
    assert rig.deploy(**dind).changed == 0


def test_composes_own_commands_leave_both_alone(own: Rig) -> None:
    rig = own
    before = rig.containers()
    for words in (["up", "-d"], ["restart"], ["stop"], ["down", "--remove-orphans"]):
        rig.host.exec("docker", "compose", "-f", FILE, *words, check=False)  # some find nothing to do, and call it 1
    assert rig.containers() == before
    rig.idle(1)


@pytest.mark.parametrize(
    "how",
    [
        f"docker rm --force {RUNNER}",  # leaves its companion behind
        f"docker rm --force --volumes {COMPANION}",
        f"docker kill {COMPANION}",
    ],
)
def test_half_a_machine_is_replaced_whole(own: Rig, how: str) -> None:
    rig = own
    before, volumes = rig.containers(), len(fresh_volumes(rig))
    rig.host.exec("sh", "-c", how)
    eventually(
        lambda: rig.containers().keys() == before.keys() and not set(rig.containers().values()) & set(before.values()),
        60,
        rig.tell,
    )
    rig.idle(1)
    assert rig.github.wait_job(rig.job("docker info"))["result"] == "Succeeded"
    rig.idle(1)
    assert len(fresh_volumes(rig)) == volumes


def test_a_companion_whose_runner_nobody_knows_is_in_nobodys_way(own: Rig) -> None:
    rig = own
    volumes = len(fresh_volumes(rig))
    rig.runnerd("drain", "--wait")
    assert rig.containers() == {}
    rig.host.exec("systemctl", "stop", "runnerd")  # it would take them away again at once
    rig.host.docker("compose", "-f", FILE, "--profile", "runnerd", "create", "--pull", "never")
    rig.host.docker("rm", "--volumes", RUNNER)
    (stray,) = rig.containers().values()
    rig.host.exec("systemctl", "start", "runnerd")
    rig.runnerd("resume")
    rig.idle(1)
    assert rig.containers().keys() == {RUNNER, COMPANION} and stray not in rig.containers().values()
    assert len(fresh_volumes(rig)) == volumes


def test_a_power_cut_leaves_nothing_of_either(own: Rig) -> None:
    rig = own
    before, volumes = rig.containers(), fresh_volumes(rig)
    rig.host.reboot(power_cut=True)
    rig.idle(1)
    assert not set(rig.containers().values()) & set(before.values())
    assert len(fresh_volumes(rig)) == len(volumes) and not fresh_volumes(rig) & volumes


def test_a_docker_that_does_not_come_is_said_aloud(shared: Rig, dind: dict[str, Any]) -> None:
    rig = shared
    result = rig.try_deploy(**{**dind, "dind_arguments": ["--no-such-option"]}, online_timeout=40)
    assert result.rc != 0
    assert "its Docker has ended; see: runnerd logs runner-1 --docker" in result.output
    assert "no-such-option" in rig.runnerd("logs", "1", "--docker")


def test_pools_of_one_host_have_docker_each_in_its_own_way(shared: Rig, dind: dict[str, Any], busybox: str) -> None:
    rig = shared
    rig.host.exec("mkdir", "-p", "/srv/given", "/srv/archives")
    rig.host.write("/srv/given/note", "from the host\n")
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    pools = [
        {**dind, "name": "own", "extra_labels": ["own"]},
        {"name": "host", "docker": "socket", "docker_socket_acknowledged": True, "count": 2, "extra_labels": ["host"]},
        {"name": "bare", "docker": "none", "count": 1, "extra_labels": ["bare"], "allow_sudo": False,
         "volumes": ["/srv/given:/srv/given:ro"], "action_archives": "/srv/archives",
         "ssh_key": key, "ssh_known_hosts": "nas.lan ssh-ed25519 AAAA\n"},
    ]  # fmt: skip
    told = rig.deploy("-vvvvv", "--diff", pools=pools).output
    secret = key.splitlines()[4]  # what is before it is the format's own, and public
    assert secret not in told
    assert secret not in rig.host.docker("inspect", *rig.containers().values())
    assert secret not in rig.host.read(FILE)
    place = "/opt/github-runners/ssh"
    assert rig.host.exec("cat", f"{place}/pools/bare/id_ed25519", user="admin", check=False).rc != 0
    assert rig.host.read(f"{place}/pools/bare/id_ed25519") == key
    rig.github.wait_online(4)

    job = rig.github.wait_job(rig.job("docker info --format '{{.Name}}'; hostname", labels=["own"]))
    name, hostname = job["log"].splitlines()[-2:]
    assert job["result"] == "Succeeded" and name == hostname, job["log"]
    rig.github.wait_online(4)

    script = (
        f"pwd; echo x > file; docker run --rm -v $PWD:/x {busybox} cat /x/file; docker ps --format '{{{{.Names}}}}'"
    )
    places = set()
    for _each in range(3):
        job = rig.github.wait_job(rig.job(f"ls -A; {script}", labels=["host"]), 180)
        assert job["result"] == "Succeeded", job["log"]
        _hook, where, *said = job["log"].splitlines()  # nothing between: the folder was empty
        assert where.startswith("/opt/github-runners/work/host-"), job["log"]
        # Of its own pool the other runner may just be replaced, after the job before.
        assert {"x", "github-own-1", "github-bare-1"} <= set(said), job["log"]
        places.add(where.split("/")[4])
    assert places <= {"host-1", "host-2"}
    rig.github.wait_online(4)
    left = rig.host.exec("find", "/opt/github-runners/work", "-type", "f").stdout
    assert left == "", "a work folder outlives its runner"

    script = "cat /srv/given/note; ls -d $ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE; touch /srv/given/x || echo read-only"
    script += "; sudo -n true || echo no sudo; command -v docker && docker ps || echo no Docker"
    script += "; stat -c 'key %a %U' ~/.ssh/id_ed25519; cat ~/.ssh/known_hosts; echo >~/.ssh/id_ed25519 || echo kept"
    script += (
        "; cmp ~/.ssh/id_ed25519 /opt/runnerd/ssh/id_ed25519 && touch /opt/runnerd/ssh/x || echo mounted read-only"
    )
    job = rig.github.wait_job(rig.job(script, labels=["bare"]))
    said = ("from the host", "/opt/action-archives", "read-only", "no sudo", "no Docker")
    for line in (*said, "key 400 runner", "nas.lan ssh-ed25519 AAAA", "kept", "mounted read-only"):
        assert line in job["log"], job["log"]

    rig.deploy(count=1)
    rig.idle(1)
    eventually(lambda: rig.containers().keys() == {RUNNER}, 60, rig.tell)
    assert rig.volumes() == set()
    assert rig.host.exec("ls", "/opt/github-runners/work").stdout == ""
    assert rig.host.exec("ls", place, check=False).rc != 0
    assert rig.deploy(count=1).changed == 0


#: The group variables that the homelab seed's own documentation shows; its sizes are for a host of 16 processors.
SEED = {
    "github_scope": "org",
    "github_org": "my-org",
    "github_runner_count": 2,
    "github_runner_cpus": "1.0",
    "github_runner_memory": "1g",
    "github_runner_labels": ["self-hosted", "homelab", "ansible", "ephemeral", "docker", "linux", "x64"],
    "github_runner_mount_docker_socket": True,
    "github_registration_token": "{{ vault_github_registration_token }}",
}
TRANSLATED = ("scope", "count", "cpus", "memory", "docker")


@pytest.fixture
def seed(shared: Rig) -> Iterator[Rig]:
    """The seed's variables in place of ours; what is left of ours is the token, and what the lab needs."""
    rig = shared
    rig.write()
    ours = {f"github_docker_runners_{name}": None for name in TRANSLATED}
    rig.project.set_variables(GROUP, **SEED, **ours, github_docker_runners_extra_labels=None)
    yield rig
    rig.project.set_variables(GROUP, **dict.fromkeys(SEED), github_docker_runners_extra_labels=["homelab"])
    rig.forget()


def test_a_copy_of_the_seeds_variables_deploys(seed: Rig, busybox: str) -> None:
    result = seed.project.playbook("deploy")
    assert result.rc == 0, result.output[-4000:]
    assert "github_runner_mount_docker_socket = true: every job is root on this host" in result.output
    for runner in seed.github.wait_online(2):
        assert set(runner["labels"]) == set(SEED["github_runner_labels"])  # type: ignore[call-overload]  # a list
    job = seed.github.wait_job(seed.job(f"docker run --rm {busybox} echo in Docker", labels=["self-hosted", "homelab"]))
    assert job["result"] == "Succeeded" and "in Docker" in job["log"], job["log"]
    again = seed.project.playbook("deploy")
    assert again.rc == 0 and again.changed == 0, again.output


def test_an_organization_for_each_host_by_host_variables(seed: Rig) -> None:
    """As the seed shows it. Two hosts in the inventory are one and the same here, and only looked at."""
    rig, project = seed, seed.project
    rig.github.scopes({"org-two": {"type": "Organization"}})
    rights = dict.fromkeys(("my-org", "org-two"), "write")
    rig.github.credentials({"both": {"token": rig.token, "scopes": rights}})
    hosts = {"gh-runner-01": "my-org", "gh-runner-02": "org-two"}
    folder = project.folder / "host_vars"
    folder.mkdir()
    try:
        project.set_variables(GROUP, github_org=None)
        project.write_inventory(GROUP, dict.fromkeys(hosts, rig.host.connection()))
        for host, organization in hosts.items():
            (folder / f"{host}.yml").write_text(f"github_org: {organization}\n")
        result = project.playbook("deploy", "--check", "--diff")
    finally:
        shutil.rmtree(folder)
        project.write_inventory(GROUP, {"gh-runner-01": rig.host.connection()})
        rig.github.credentials(rig.credentials)
    assert result.rc == 0 and hosts.keys() <= result.hosts.keys(), result.output[-4000:]
    labels = re.findall(r'^\+ *ephemeral\.github-runners\.scope: "org-two"', result.output, re.MULTILINE)
    assert len(labels) == SEED["github_runner_count"], result.output  # the other host has as many, of its own
