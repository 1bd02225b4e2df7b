# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promise 2: no secret lies where it must not, in whatever form; and the scan that says so finds what is planted.

The host is the one that all tests share, with whatever they left there: every JIT configuration ever issued is looked
for. The tests of this file are to be run in their order; the last two plant what cannot be taken away again.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.rig import GROUP, PROJECT_LABEL, SCOPE, Rig
from tests.lab.common import eventually
from tests.leaks.canaries import Canary, issued, runner_key
from tests.leaks.scan import Finding, Here, Machine, OnHost, Places, Report, scan

#: What an App needs to manage the runners of an organization.
PERMISSION = "organization_self_hosted_runners"
DATABASE = "/var/lib/runnerd/journal.sqlite"
#: The one file of the host that has the credential, and where systemd shows it to runnerd: in memory, to root only.
CREDENTIAL_FILES = {"/etc/runnerd/credentials.json", "/run/credentials/runnerd.service/credentials.json"}
#: Where the private key of a runner lies, in the layer of its own container.
KEY_FILE = "/home/runner/.credentials_rsaparams"
#: Places in which there may be nothing at all.
MAY_BE_EMPTY = {"core dumps", "Ansible's temporary files"}

ON_THE_HOST: Places = {
    "docker inspect": ("docker_inspect",),
    "image history": ("image_history",),
    "environments": ("environments",),
    "command lines": ("command_lines",),
    "files": ("all_files",),
    "runnerd's database": ("database", DATABASE),
    "runnerd's status": ("says", "runnerd", "status", "--json"),
    "runnerd's events": ("says", "runnerd", "events", "--last", "10000"),
    "journald": ("journald",),
    "core dumps": ("core_dumps",),
    "Ansible's temporary files": ("ansible_temporary",),
}


@dataclass
class Scene:
    """Both machines, what was said on them, and what is looked for."""

    rig: Rig
    folder: Path
    here: Here
    there: OnHost
    credentials: list[Canary] = field(default_factory=list)
    in_use: set[str] = field(default_factory=set)
    seen_here: str = ""
    seen_there: str = ""

    def __post_init__(self) -> None:
        for folder in (self.output, self.temporary, self.folder / "own"):
            folder.mkdir()

    @property
    def output(self) -> Path:
        """What Ansible printed, a file a run."""
        return self.folder / "output"

    @property
    def temporary(self) -> Path:
        """The folder for temporary files (TMPDIR) of the control node's programs."""
        return self.folder / "temporary"

    @property
    def on_the_host(self) -> Places:
        """The places of the host."""
        return {**ON_THE_HOST, "processes seen": ("watched", self.seen_there)}

    @property
    def on_the_control_node(self) -> Places:
        """The places of the control node."""
        project = self.rig.project
        return {
            "Ansible's output": ("below", str(self.output)),
            "Ansible's log": ("below", str(project.folder / "ansible.log")),
            "fact cache": ("below", str(project.folder / "facts")),
            "user's folder": ("below", str(project.folder)),
            "user's home": ("below", str(project.home)),
            "Ansible's temporary files": ("below", str(project.home / ".ansible" / "tmp")),
            "temporary files": ("below", str(self.temporary)),
            "environments": ("environments", "own"),
            "command lines": ("command_lines", "own"),
            "processes seen": ("watched", self.seen_here),
        }

    @property
    def canaries(self) -> list[Canary]:
        """All that was ever in use: credentials, and whatever GitHub handed out."""
        return [*self.credentials, *issued(self.rig.github.issued())]

    def configure(self, *, keep_remote_files: bool) -> None:
        """The user's `ansible.cfg`: what is written down, is written down."""
        settings = ["log_path = ansible.log", "fact_caching = jsonfile", "fact_caching_connection = facts"]
        if keep_remote_files:
            settings.append("keep_remote_files = true")
        (self.rig.project.folder / "ansible.cfg").write_text("\n".join(["[defaults]", *settings, ""]))

    def run(self, name: str, *, fails: bool = False, **changes: object) -> None:
        """Deploy as loud as Ansible can be, and keep what it said."""
        result = self.rig.try_deploy("-vvvvv", "--diff", **changes)
        (self.output / name).write_text(result.output)
        assert bool(result.rc) is fails, f"{name}: {result.rc}\n{result.output[-6000:]}\n{self.rig.tell()}"

    def rotate(self) -> None:
        """Another token is in use from now on; GitHub still knows the one before."""
        old, new = self.rig.token, f"ghp_{secrets.token_hex(18)}"
        self.credentials += [Canary("old token", old), Canary("token", new)]
        self.in_use = {"token"}
        self.rig.rotate(new)

    def layers(self) -> dict[str, str]:
        """Container's short id -> the folder with what was written in it, of every container."""
        ids = self.rig.host.docker("ps", "--all", "--quiet", "--filter", f"label={PROJECT_LABEL}").split()
        form = "{{.ID}} {{.GraphDriver.Data.UpperDir}}"
        lines = self.rig.host.docker("inspect", "--format", form.replace(".ID", ".Id"), *ids).splitlines()
        return {line[:12]: line.partition(" ")[2] for line in lines}


@pytest.fixture(scope="module")
def scene(shared: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A host with a history: changed, rotated, failed and crashed, its user as careless as possible."""
    shared.base()
    folder = tmp_path_factory.mktemp("leaks")
    scene = Scene(shared, folder, Here(folder / "own"), OnHost(shared.host))
    with ExitStack() as stack:
        stack.callback((shared.project.folder / "ansible.cfg").unlink, missing_ok=True)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TMPDIR", str(scene.temporary))
        scene.seen_here = stack.enter_context(scene.here.watching())
        scene.seen_there = stack.enter_context(scene.there.watching())
        make_history(scene)
        yield scene


def make_history(scene: Scene) -> None:
    """What users, GitHub and bad luck do."""
    rig = scene.rig
    # A change and a rotation, with Ansible's temporary files kept.
    scene.configure(keep_remote_files=True)
    scene.rotate()
    scene.run("rotation", count=2)
    rig.idle(2)
    # A job that shows all it can see.
    job = rig.github.wait_job(rig.job("env; mount; sudo sh -c 'cat /proc/*/environ /proc/*/cmdline' | tr '\\0' '\\n'"))
    assert job["result"] == "Succeeded", job
    (scene.output / "what a job sees").write_text(job["log"])
    # Answers of GitHub that cannot be used, with a credential in them; and one that is lost.
    rig.idle(2)
    rig.github.fault(malformed=True, method="POST", path="generate-jitconfig", times=1)
    rig.github.fault(cut="after", method="POST", path="generate-jitconfig", times=1)
    rig.host.docker("rm", "--force", "github-runner-1")
    rig.idle(2)
    # Runs that fail: on the host, at a token that GitHub does not take, and before that, at an unknown scope.
    scene.configure(keep_remote_files=False)
    refused = Canary("refused token", f"ghp_{secrets.token_hex(18)}")
    scene.credentials.append(refused)
    scene.run("refused token", fails=True, token=refused.secret, check_github=False)
    scene.run("wrong scope", fails=True, scope="nobody")
    # A second pool, by a GitHub App.
    rig.github.apps({"app": {"id": 4711, "permissions": {PERMISSION: "write"}, "installations": {SCOPE: {}}}})
    key = Canary("App's key", rig.github.app_key("app"))
    scene.credentials.append(key)
    scene.in_use.add(key.name)
    by_token = {"name": "default", "token": rig.token, "count": 1}
    by_app = {"name": "app", "app_id": 4711, "app_private_key": key.secret, "count": 1}
    scene.configure(keep_remote_files=True)
    scene.run("two pools", token=None, pools=[by_token, by_app])
    rig.until(
        lambda slots: {name: slot["state"] for name, slot in slots.items()} == {"runner-1": "idle", "app-1": "idle"}
    )
    # A crash with all that the memory holds, as the watchdog makes it.
    before = main_process(rig)
    rig.host.exec("systemctl", "kill", "--signal=ABRT", "--kill-who=main", "runnerd")
    eventually(lambda: main_process(rig) not in (before, "0"), 60, rig.tell)
    rig.until(lambda slots: [slot["state"] for slot in slots.values()] == ["idle", "idle"])


def main_process(rig: Rig) -> str:
    """The number of runnerd's process, "0" if there is none."""
    return rig.host.exec("systemctl", "show", "--property=MainPID", "--value", "runnerd").stdout.strip()


def judge(scene: Scene, machine: Machine, places: Places) -> None:
    """Search; nothing may be found but what belongs there, and nothing may have been passed over."""
    report = scan(machine, places, scene.canaries)
    layers = scene.layers()
    wrong = [str(finding) for finding in report.findings if not belongs(scene, finding, layers)]
    assert not wrong, "\n".join(wrong)
    assert report.unread == []
    assert {place for place, count in report.looked.items() if not count} <= MAY_BE_EMPTY, report.looked
    print(f"searched for {len(scene.canaries)} secrets: {report.looked} in {report.seconds}")


def belongs(scene: Scene, finding: Finding, layers: dict[str, str]) -> bool:
    """Whether it has to be there.

    That is the credential in use in its file; a runner's key in that runner's own container; and, since the user had
    Ansible keep its temporary files, the options of the one module that asks GitHub from the control node.
    """
    project = scene.rig.project
    kept = re.escape(f"{project.home}/.ansible/tmp/") + r"ansible-tmp-[^/]+/AnsiballZ_gha_runner_scope\.py"
    files = {*CREDENTIAL_FILES, str(project.folder / "group_vars" / f"{GROUP}.yml")}
    if finding.where in files or re.fullmatch(kept, finding.where):
        return finding.canary in scene.in_use
    return any(
        finding.where == layer + KEY_FILE and finding.canary.endswith(f"-{container}")
        for container, layer in layers.items()
    )


def test_01_nothing_is_found_on_the_host(scene: Scene) -> None:
    for path in CREDENTIAL_FILES:
        mode, owner = scene.rig.host.exec("stat", "--format=%a %U", path).stdout.split()
        assert mode in ("400", "600") and owner == "root", f"{path}: {mode} {owner}"
    limits = scene.rig.host.read(f"/proc/{main_process(scene.rig)}/limits")
    assert any(line.split()[:5] == ["Max", "core", "file", "size", "0"] for line in limits.splitlines()), limits
    judge(scene, scene.there, scene.on_the_host)


def test_02_nothing_is_found_on_the_control_node(scene: Scene) -> None:
    judge(scene, scene.here, scene.on_the_control_node)


LOOT = "/var/tmp/loot.tar"
STEAL = """
tar -C /home/runner -cf /tmp/loot.tar .runner .credentials .credentials_rsaparams && touch /tmp/taken
until [ -e /tmp/finish ]; do sleep 0.2; done
"""


def test_03_a_second_runner_with_the_files_of_the_first_gets_no_job(scene: Scene) -> None:
    """While the first one's job runs there is one session only; after it, the key opens nothing."""
    rig, host = scene.rig, scene.rig.host
    rig.deploy(count=1)
    rig.idle(1)
    first = rig.job(STEAL, name="steals")
    rig.github.wait_job(first, until=lambda job: job["status"] == "in_progress")
    owner = rig.github.job(first)["runner_name"]
    eventually(
        lambda: host.exec("docker", "exec", "github-runner-1", "test", "-e", "/tmp/taken", check=False).rc == 0,
        90,
        rig.tell,
    )
    host.docker("cp", "github-runner-1:/tmp/loot.tar", LOOT)
    rig.runnerd("pause")  # no runner of ours takes the job that the thief is to get
    second = rig.job("echo whose am I", name="wanted")
    try:
        start_thief(rig, "thief-1")
        eventually(
            lambda: "A session for this runner already exists" in said(rig, "thief-1"), 90, lambda: said(rig, "thief-1")
        )
        host.docker("exec", "github-runner-1", "touch", "/tmp/finish")
        assert rig.github.wait_job(first)["result"] == "Succeeded"
        start_thief(rig, "thief-2")
        for thief in ("thief-1", "thief-2"):
            host.docker("wait", thief)
            assert "The runner registration has been deleted from the server" in said(rig, thief)
        assert rig.github.job(second)["status"] == "queued"
    finally:
        host.exec("docker", "rm", "--force", "--volumes", "thief-1", "thief-2", check=False)
        host.exec("rm", "-f", LOOT)
        rig.runnerd("resume")
    done = rig.github.wait_job(second)
    assert done["result"] == "Succeeded" and owner not in [one["runner_name"] for one in done["assignments"]], done


def start_thief(rig: Rig, name: str) -> None:
    """A container that has nothing to do with ours, but for the image and the three files."""
    rig.host.docker(
        "create", "--name", name, "--entrypoint", "./run.sh", "--workdir", "/home/runner", rig.image.reference
    )
    rig.host.exec("sh", "-c", f"docker cp - {name}:/home/runner < {LOOT}")
    rig.host.docker("start", name)


def said(rig: Rig, name: str) -> str:
    """Both channels of a container."""
    done = rig.host.exec("docker", "logs", name)
    return done.stdout + done.stderr


# -- planted -----------------------------------------------------------------------------------------------------------

HOST, NODE = "host", "control node"
FORMS = {"plain", "base64", "URL-encoded", "JSON-escaped"}
#: Here Ansible itself writes JSON within JSON: what was JSON before is so three times over, which is not looked for.
NESTED = {(HOST, "Ansible's temporary files"), (NODE, "fact cache")}


@dataclass
class Plants:
    """Canaries, each in a way of its own, and where each has to be found."""

    canaries: list[Canary] = field(default_factory=list)
    expected: set[tuple[str, str, str]] = field(default_factory=set)  # machine, place, name of the canary

    def text(self, name: str, **places: str) -> str:
        """A canary in four forms. `places`: those of the host and of the node that it gets into, a comma between."""
        # With "/" and "+" in every part of it: without them, URL-encoded and JSON-escaped are the same as plain.
        secret = "/+".join(secrets.token_hex(4) for _each in range(5))
        self.canaries.append(Canary(name, secret))
        machines = {"host": HOST, "node": NODE}
        for machine, those in places.items():
            self.expected |= {(machines[machine], place.strip(), name) for place in those.split(",")}
        encoded = base64.b64encode(secret.encode()).decode()
        return " ".join([secret, encoded, urllib.parse.quote(secret), secret.replace("/", "\\/")])

    def check(self, machine: str, report: Report) -> None:
        """Each was found where it is, in all four forms, encoded once more or not; and no place was left out."""
        found: dict[tuple[str, str, str], set[str]] = {}
        for finding in report.findings:
            key = (machine, finding.place, finding.canary)
            found.setdefault(key, set()).add(finding.form.partition(",")[0])
        expected = {key for key in self.expected if key[0] == machine}
        for key in expected:
            wanted = FORMS - {"JSON-escaped"} if key[:2] in NESTED else FORMS
            assert found.get(key, set()) >= wanted, f"{key}: only {found.get(key)}"
        assert {place for _machine, place, _name in expected} == report.looked.keys()


#: A careless user's own playbook. Each task leaks as such tasks do, the first two in spite of no_log.
CARELESS = """
- hosts: github_runners
  gather_facts: false
  tasks:
    - ansible.builtin.command: sleep 0.3
      environment:
        SECRET: {environment}
      no_log: true
    - ansible.builtin.set_fact:
        secret: {fact}
        cacheable: true
      no_log: true
    - ansible.builtin.copy:
        content: {content}
        dest: /var/tmp/careless
    - ansible.builtin.command:
        argv: [test, {argument}]
"""


@pytest.fixture(scope="module")
def plants(scene: Scene) -> Iterator[Plants]:
    """Both machines, with canaries in all their places."""
    plants = Plants()
    with ExitStack() as stack:
        be_careless(scene, plants)
        plant_on_the_host(scene, plants, stack)
        plant_on_the_control_node(scene, plants, stack)
        yield plants


def be_careless(scene: Scene, plants: Plants) -> None:
    """Run the careless playbook, with Ansible's temporary files kept."""
    output = "Ansible's output, Ansible's log"
    texts = {
        "environment": plants.text("environment", host="processes seen", node=f"processes seen, {output}"),
        "fact": plants.text("fact", node="fact cache"),
        "content": plants.text("content", host="files", node=output),
        "argument": plants.text("argument", host="journald, Ansible's temporary files", node=output),
    }
    project = scene.rig.project
    playbook = project.folder / "careless.yml"
    playbook.write_text(CARELESS.format(**{name: json.dumps(text) for name, text in texts.items()}))
    scene.configure(keep_remote_files=True)
    result = project.run("ansible-playbook", "-i", "inventory.ini", "-vvvvv", "--diff", "careless.yml")
    (scene.output / "careless").write_text(result.output)
    assert result.rc == 0, result.output[-3000:]
    playbook.unlink()


#: Becomes what the kernel writes of a process: an ELF file of the type core, with the process's memory in it.
CORE = """
import sys
text = sys.argv[1]
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory, open(sys.argv[2], "wb") as core:
    core.write(b"\\x7fELF\\x02\\x01\\x01" + bytes(9) + (4).to_bytes(2, "little") + bytes(46))
    for line in maps:
        if line.split()[1].startswith("rw") and "[v" not in line:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            memory.seek(start)
            core.write(memory.read(end - start))
"""

ROW = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute(sys.argv[2], sys.argv[4:])
if sys.argv[3] == "checkpoint":
    connection.execute("pragma wal_checkpoint(full)")
"""
EVENT = "insert into event(at_wall, slot, runner, kind, detail) values (0, '', '', 'planted', ?)"
DRAIN = "insert into drain values (?, 'planted', null, 0, '')"


def plant_on_the_host(scene: Scene, plants: Plants, stack: ExitStack) -> None:
    """By hand, where no playbook of a user's gets."""
    rig, host = scene.rig, scene.rig.host

    def shell(script: str, *words: str) -> str:
        return host.exec("sh", "-ceu", script, "sh", *words).stdout.strip()

    def finally_(script: str, *words: str) -> None:
        stack.callback(host.exec, "sh", "-c", script, "sh", *words, check=False)

    def row(statement: str, text: str, then: str = "") -> None:
        host.exec("python3", "-c", ROW, DATABASE, statement, then, text)

    finally_("docker rm --force --volumes planted; docker volume rm planted; docker image rm planted")
    text = plants.text("container's environment", host="docker inspect")
    host.docker("create", "--name", "planted", "--env", f"X={text}", rig.image.reference, "true")
    text = plants.text("image's history", host="image history, docker inspect")
    host.docker("commit", "--message", text, "planted", "planted")

    text = plants.text("environment of a process", host="environments")
    pid = host.exec("sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!", environment={"X": text}).stdout
    finally_("kill $1", pid)
    text = plants.text("environment in a container", host="environments")
    host.docker("exec", "--detach", "--env", f"X={text}", "github-runner-1", "sleep", "600")
    text = plants.text("command line", host="command lines")
    sleeps = "python3 -c 'import time; time.sleep(600)'"
    finally_("kill $1", shell(f'{sleeps} "$1" >/dev/null 2>&1 & echo $!', text))

    finally_("rm -rf /etc/planted /var/log/planted.gz /var/tmp/planted /var/tmp/careless /home/admin/.ansible/tmp")
    shell('echo "$1" >/etc/planted', plants.text("file", host="files"))
    shell('echo "$1" | gzip >/var/log/planted.gz', plants.text("packed file", host="files"))
    private = 'cd /tmp/systemd-private-*-runnerd.service-*/tmp; echo "$1" >planted'
    shell(private, plants.text("runnerd's own /tmp", host="files"))
    host.docker("volume", "create", "planted")
    shell('echo "$1" >/var/lib/docker/volumes/planted/_data/x', plants.text("volume", host="files"))
    for what, path in (("container's layer", "/home/runner/planted"), ("container's memory", "/dev/shm/planted")):
        host.docker("exec", "github-runner-1", "sh", "-c", f'echo "$1" >{path}', "sh", plants.text(what, host="files"))
    # The key of one runner beside the host's files, and in the right place of another container.
    host.docker("cp", f"github-runner-1:{KEY_FILE}", "/var/tmp/planted")
    shell(f"docker cp github-runner-1:{KEY_FILE} - | docker cp - planted:{os.path.dirname(KEY_FILE)}")

    for undo in ("delete from event where kind = 'planted'", "delete from drain where by = 'planted'"):
        stack.callback(host.exec, "python3", "-c", ROW, DATABASE, undo, "")
    row(EVENT, plants.text("row", host="runnerd's database, runnerd's events"), "checkpoint")
    row(EVENT, plants.text("row in the log", host="runnerd's database, runnerd's events"))
    row(DRAIN, plants.text("drain", host="runnerd's database, runnerd's status"))

    host.exec("logger", plants.text("log line", host="journald"))
    text = plants.text("container's output", host="journald")
    host.docker("run", "--rm", "--log-driver=journald", "--entrypoint=echo", rig.image.reference, text)
    host.exec("python3", "-c", CORE, plants.text("core dump", host="core dumps, files"), "/var/tmp/core.planted")
    finally_("rm -f /var/tmp/core.planted")


def plant_on_the_control_node(scene: Scene, plants: Plants, stack: ExitStack) -> None:
    """The files of the user, and processes."""
    project = scene.rig.project
    for place, folder in {
        "user's folder": project.folder,
        "user's home": project.home,
        "Ansible's temporary files": project.home / ".ansible" / "tmp",
        "temporary files": scene.temporary,
    }.items():
        (folder / "planted").write_text(plants.text(f"file in {place}", node=place))
        stack.callback((folder / "planted").unlink)
    environment = {**os.environ, "X": plants.text("environment of a process here", node="environments")}
    text = plants.text("command line here", node="command lines")
    for command, env in ((["cat"], environment), (["sh", "-c", "read answer", text], None)):
        process = stack.enter_context(subprocess.Popen(command, env=env, stdin=subprocess.PIPE))
        stack.callback(process.kill)


def test_04_what_is_planted_on_the_host_is_found(scene: Scene, plants: Plants) -> None:
    report = scan(scene.there, scene.on_the_host, [*plants.canaries, *scene.canaries])
    plants.check(HOST, report)
    runner = next(runner for runner in scene.rig.github.runners() if "-runner-1-" in runner["name"])["name"]
    layers = scene.layers()
    strays = [finding for finding in report.findings if finding.canary == runner_key(runner)]
    wheres = [finding.where for finding in strays if not belongs(scene, finding, layers)]
    assert len(wheres) == 2 and "/var/tmp/planted" in wheres, strays


def test_05_what_is_planted_on_the_control_node_is_found(scene: Scene, plants: Plants) -> None:
    plants.check(NODE, scan(scene.here, scene.on_the_control_node, plants.canaries))
