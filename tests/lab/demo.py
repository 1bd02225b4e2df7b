# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo: the main job, for real, told in plain lines.

It does what a user does, with the commands a user types, against stand-ins for GitHub and Proxmox VE; and it looks at
each step whether what it tells is so. A promise that is not kept ends the demo with an error, and everything stays up
to be looked at.

The machines of Proxmox VE are reached at addresses of their own. Where the engine's network cannot be reached from here
(Docker Desktop, an engine elsewhere), a server that is there already takes the place of the virtual machine.
"""

from __future__ import annotations

import json
import secrets
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab import doctor, engine
from tests.lab.common import CACHE, CHECKOUT, Narrate, Problem, eventually, prefix
from tests.lab.github import Data, GitHub
from tests.lab.host import Host, Machine
from tests.lab.lab import VM, Lab
from tests.lab.project import COLLECTION, TOOLS, Project, Result, build_artifact
from tests.lab.pve import ProxmoxVE, vm_variables

GROUP = "github_runners"
ROLE = "github_docker_runners"
HOST = "gh-runner-01"
VMID = 250
SCOPE = "my-org"
REPOSITORY = f"{SCOPE}/shop"
TIMES = CACHE / "demo-times.json"

#: A job that looks for what an earlier one left, wherever a job can write, and then leaves something itself.
FRESHNESS_JOB = r"""
echo "I run in container $HOSTNAME."
for place in "$HOME" "$PWD" "$RUNNER_TEMP" /tmp /var/tmp /dev/shm; do
    if [ -e "$place/left-by-a-job" ]; then
        echo "In $place I found: $(cat "$place/left-by-a-job")"
        exit 1
    fi
    echo "$HOSTNAME was here" > "$place/left-by-a-job"
done
echo "I found nothing of any other job."
"""

#: A job that counts seconds until it is told to end: it is longer than whatever is done meanwhile.
COUNTING_JOB = r"""
second=0
until [ -e /tmp/enough ] || [ "$second" -ge 3600 ]; do
    second=$((second + 1))
    echo "second $second"
    sleep 1
done
echo "counted to $second"
"""


class Story:
    """Numbered steps, each with what it took."""

    def __init__(self, narrate: Narrate) -> None:
        self._narrate = narrate
        self.seconds: dict[str, float] = {}
        self._begun = self._step_begun = time.monotonic()
        self._title = ""

    def step(self, title: str) -> None:
        """Begin the next step, and so end the one before."""
        self.end()
        self._title, self._step_begun = title, time.monotonic()
        self._narrate(f"\n{len(self.seconds) + 1}. {title}")

    def end(self) -> None:
        """End the step that is going on."""
        if self._title:
            self.seconds[self._title] = time.monotonic() - self._step_begun
        self._title = ""

    def say(self, text: str = "") -> None:
        """Tell something, one or more lines."""
        for line in text.splitlines() or [""]:
            self._narrate(f"   {line}".rstrip())

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun


def expect(kept: bool, otherwise: str) -> None:
    """A promise.

    Raises:
        Problem: it was not kept.
    """
    if not kept:
        raise Problem(otherwise, f"look around: all is still up (`make demo-down` removes it); host: {HOST}")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in cells)  # fmt: skip


def slots_table(status: Data) -> str:
    """The slots, as runnerd on the host sees them."""
    return table(
        ["SLOT", "STATE", "FOR", "CONTAINER", "ONLINE", "JOB", "REASON"],
        [
            [
                slot["slot"],
                slot["state"],
                f"{slot['seconds']} s",
                slot["container"][:12] or "-",
                "yes" if slot["online"] else "no",
                slot["job"] or "-",
                slot["reason"],
            ]
            for slot in status["slots"]
        ],
    )


def jobs_table(jobs: Sequence[Data]) -> str:
    """The jobs, as GitHub sees them."""
    return table(
        ["JOB", "NAME", "STATUS", "RESULT", "CONTAINER"],
        [
            [job["id"], job["name"], job["status"], job["result"] or "-", container_of(job) or "-"]
            for job in jobs
        ],
    )  # fmt: skip


def container_of(job: Data) -> str:
    """The short id of the container that a job runs in: what its runner's name ends in."""
    return str(job["runner_name"] or "").rpartition("-")[2]


class Demo:
    """What the steps share.

    Attributes:
        typed: the playbook that the user runs, and what comes behind it.
        machine: how the virtual machine is reached; None for a server that was there.
        host: where the runners are, as soon as there is one.
    """

    def __init__(self, lab: Lab, story: Story) -> None:
        self.lab = lab
        self.story = story
        self.typed: tuple[str, ...]
        self.machine: Machine | None = None
        self.project: Project
        self.host: Host
        self.github: GitHub

    @property
    def command(self) -> str:
        """What the user types."""
        return f"ansible-playbook {COLLECTION}.{' '.join(self.typed)}"

    def status(self) -> Data:
        """`runnerd status --json` on the host."""
        return dict(json.loads(self.host.exec("runnerd", "status", "--json").stdout))

    def settle(self, count: int) -> None:
        """Wait until all slots are idle and online, and runnerd has nothing left to look after at GitHub."""
        status: Data = {}

        def settled() -> bool:
            status.update(self.status())
            slots = status["slots"]
            return len(slots) == count and all(slot["state"] == "idle" for slot in slots) and not status.get("ghosts")

        eventually(settled, 120, lambda: f"the slots are not all idle:\n{slots_table(status)}", pause=0.5)
        self.github.wait_online(count)

    def show(self) -> None:
        """The table of slots and jobs."""
        self.story.say()
        self.story.say(slots_table(self.status()))
        jobs = self.github.jobs()
        if jobs:
            self.story.say()
            self.story.say(jobs_table(jobs))

    def play(self, loud: bool = False) -> Result:
        """What a user types, and that it went well."""
        self.story.say(f"$ {self.command}")
        begun = time.monotonic()
        result = self.project.run("ansible-playbook", f"{COLLECTION}.{self.typed[0]}", *self.typed[1:], loud=loud)
        expect(result.rc == 0, f"The playbook ended with {result.rc}:\n{result.output[-6000:]}")
        changed = ", ".join(f"{name}: ok={recap.ok} changed={recap.changed}" for name, recap in result.hosts.items())
        self.story.say(f"{changed} ({time.monotonic() - begun:.0f} s)")
        return result

    def nothing_changes(self) -> None:
        """A further run changes nothing, here and at GitHub."""
        before = self.github.last_request()
        result = self.play()
        expect(result.changed == 0, f"A run without a change reported changed={result.changed}:\n{result.output}")
        expect(not self.github.writes(before), f"A run without a change wrote to GitHub: {self.github.writes(before)}")
        self.story.say("Nothing changed, and GitHub got no write request.")

    def scale(self, count: int) -> None:
        """Edit one line, run the playbook."""
        self.story.say(f"$ edit group_vars/{GROUP}.yml: {ROLE}_count: {count}")
        self.project.set_variables(GROUP, **{f"{ROLE}_count": count})
        self.play()


def run(narrate: Narrate = print) -> None:
    """The whole demo. What an earlier one left is removed first; this one's stays.

    Raises:
        Problem: something is missing on this machine, or a promise was not kept.
    """
    story = Story(narrate)
    story.step("Has this machine what is needed?")
    client = engine.ensure(story.say)
    doctor.insist()
    story.say("Yes. (`make doctor` tells more.)")
    lab = Lab(prefix("demo"), client, story.say)
    if _remove(lab):
        story.say("What an earlier demo had left is removed.")

    story.step("Images: Debian 13, stand-ins for GitHub and for the runner, a registry")
    lab.images.demo()
    story.say("All there." if lab.images.made else "All there from an earlier run.")

    demo = Demo(lab, story)
    try:
        _tell(demo)
    finally:
        story.end()
    _times(story, cold=any(name.startswith("base-") for name in lab.images.made))
    _what_next(demo)


def _tell(demo: Demo) -> None:
    lab, story = demo.lab, demo.story

    story.step("GitHub, a registry, Proxmox VE: one network, nothing but loopback ports outside")
    lab.up()
    demo.github = lab.github
    demo.project = project = Project(
        lab.folder / "user", lambda line: story.say(f"| {line}") if line else None, proxy=lab.proxy_url
    )
    token = f"ghp_{secrets.token_hex(18)}"
    demo.github.credentials({"demo": {"token": token, "scopes": {SCOPE: "write"}}})
    image = lab.push_runner()
    story.say(f"GitHub's page: {demo.github.url}/")
    (_proxmox if lab.reachable() else _server)(demo)
    machine = demo.machine

    story.step("The user: build and install the collection, lay down inventory and variables, edit them")
    artifact = build_artifact(lab.folder / "artifact")
    story.say(f"$ ansible-galaxy collection install {artifact.name}")
    project.install(artifact)
    story.say(f"$ ansible-playbook {COLLECTION}.init -e dest=.{' -e proxmox=true' if machine else ''}")
    project.init(proxmox=machine is not None)
    laid = sorted(str(path.relative_to(project.folder)) for path in project.folder.rglob("*") if path.is_file())
    story.say(f"It wrote: {', '.join(laid)}. Now edited, in {project.folder}:")
    inventory = project.write_inventory(GROUP, {} if machine else {HOST: demo.host.connection()})
    story.say(f"  {inventory.name}")
    story.say("".join(f"    {line}\n" for line in inventory.read_text().splitlines()))
    if machine:
        _edit(demo, Path("proxmox.yml"), **vm_variables(lab, machine, ProxmoxVE(lab.prefix).where()))
    variables = {
        f"{ROLE}_scope": SCOPE,
        f"{ROLE}_count": 3,
        f"{ROLE}_token": token,
        f"{ROLE}_api_url": lab.api_url,
        f"{ROLE}_ca_file": str(lab.authority.path),
        f"{ROLE}_image": image.reference,
        f"{ROLE}_docker": "none",  # nothing here is about Docker inside of jobs
        **(machine.connection() if machine else {}),
    }
    _edit(demo, Path("group_vars", f"{GROUP}.yml"), **variables)

    begin = "From nothing: the virtual machine," if machine else "Deploy:"
    story.step(f"{begin} Docker, the runners, the service; until GitHub says that all three are online")
    demo.play(loud=True)
    if machine:
        demo.host = Host(HOST, lab.container(f"{VM}{VMID}"), machine.key, machine.known_hosts, machine.sockets)
    online = demo.github.wait_online(3, 1)
    expect(all(set(one["labels"]) >= {"self-hosted", "linux"} for one in online), f"Labels are missing: {online}")
    demo.show()

    story.step("Six jobs on three runners: each in a container of its own, none finds anything of another")
    jobs = [demo.github.queue_job(FRESHNESS_JOB, repository=REPOSITORY, name=f"fresh-{n}") for n in range(1, 7)]
    done = [demo.github.wait_job(number, 180) for number in jobs]
    for job in done:
        story.say(f"{job['name']}: {' '.join(job['log'].splitlines()[-2:])}")
    expect(all(job["result"] == "Succeeded" for job in done), f"Not all jobs succeeded: {done}")
    containers = {container_of(job) for job in done}
    expect(len(containers) == 6, f"Six jobs ran in {len(containers)} containers: {containers}")
    expect(all(f"container {container_of(job)}" in job["log"] for job in done), f"A runner's name lies: {done}")
    story.say("Six jobs, six containers. Meanwhile new runners have taken the slots:")
    demo.settle(3)
    demo.show()

    story.step("Scale to 5 while a job counts seconds")
    counting = [_count(demo, 1)]
    demo.scale(5)
    demo.github.wait_runners(lambda all_of_them: sum(one["status"] == "online" for one in all_of_them) == 5, 60)
    demo.show()

    story.step("Scale to 2 while five jobs count seconds")
    counting += [_count(demo, number) for number in range(2, 6)]
    demo.scale(2)
    for number in counting:
        job = demo.github.job(number)
        expect(job["status"] == "in_progress", f"A job did not live through it: {job}")
    story.say("All five jobs still count; three of their slots leave when they are done:")
    demo.show()
    for slot in demo.status()["slots"]:
        demo.host.docker("exec", f"github-{slot['slot']}", "touch", "/tmp/enough")
    for number in counting:
        _check_counted(demo.github.wait_job(number))
    story.say("Told to end, each has counted without a gap: nothing was lost.")
    demo.host.exec("runnerd", "wait", "--drained", "--timeout", "120", timeout=150)
    demo.settle(2)
    demo.show()

    story.step("The same run again")
    demo.nothing_changes()


def _proxmox(demo: Demo) -> None:
    """Proxmox VE with a template, and nothing else."""
    where = ProxmoxVE(demo.lab.prefix).up()
    demo.machine = demo.lab.machine(VMID, str(demo.lab.subnet()[VMID]), "debian")
    demo.typed = ("site", "-i", "inventory.ini", "-e", "@proxmox.yml")
    demo.story.say(f"Proxmox VE's API: https://{where.host}:{where.port}/, with a template and no virtual machine.")


def _server(demo: Demo) -> None:
    """A server that is there already."""
    demo.host = demo.lab.host(HOST)
    demo.typed = ("deploy", "-i", "inventory.ini")
    system = demo.host.exec("sh", "-c", '. /etc/os-release; echo "$PRETTY_NAME"').stdout.strip()
    expect(demo.host.exec("sh", "-c", "command -v docker", check=False).rc != 0, "The new server has Docker already.")
    demo.story.say("The engine's network cannot be reached from here, so there is a server instead of Proxmox VE.")
    demo.story.say(f"The server {HOST} has booted: {system}, systemd, SSH, no Docker.")


def _edit(demo: Demo, path: Path, **variables: Any) -> None:
    """Edit one of the user's files, and show what."""
    demo.project.edit(path, **variables)
    demo.story.say(f"  {path}")
    for name, value in variables.items():
        demo.story.say(f"    {name}: {'…' if name.endswith(('_token', '_secret')) else value}")
    demo.story.say()


def _count(demo: Demo, number: int) -> int:
    """Queue a counting job, and wait until it counts."""
    job = demo.github.queue_job(COUNTING_JOB, repository=REPOSITORY, name=f"counting-{number}")
    demo.github.wait_job(job, 120, until=lambda one: one["log_length"] > 0)
    return job


def _check_counted(job: Data) -> None:
    """Nothing is missing in a counting job's log, and one runner wrote all of it."""
    lines = job["log"].split("\n")
    last = next((line for line in lines if line.startswith("counted to ")), "counted to 0")
    seconds = [f"second {n}" for n in range(1, int(last.split()[-1]) + 1)]
    expect(
        bool(seconds) and [line for line in lines if line.startswith("second ")] == seconds,
        f"A job's log has gaps: {job}",
    )
    expect(job["result"] == "Succeeded" and len(job["assignments"]) == 1, f"A job was lost: {job}")


def _times(story: Story, cold: bool) -> None:
    """What each step took, in this run and in the last one of the other kind."""
    known: dict[str, dict[str, Any]] = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    kind = "cold" if cold else "warm"
    known[kind] = {"total": story.total, "steps": story.seconds}
    TIMES.write_text(json.dumps(known, indent=2))
    kinds = [name for name in ("cold", "warm") if name in known]
    rows = [
        [title, *(f"{known[name]['steps'].get(title, 0):.0f}" for name in kinds)] for title in story.seconds
    ] + [["all of it", *(f"{known[name]['total']:.0f}" for name in kinds)]]  # fmt: skip
    story.say()
    story.say(f"Seconds; this run was a {kind} one (cold: images had to be made):")
    story.say(table(["STEP", *(name.upper() for name in kinds)], rows))


def _what_next(demo: Demo) -> None:
    lab = demo.lab
    double = lab.container("github").name
    login = _command(lab.folder / f"login-{HOST}", f'exec {shlex.join((demo.machine or demo.host).login())} "$@"')
    user = _command(
        lab.folder / "as-user",
        f"cd {shlex.quote(str(demo.project.folder))}",
        f"export HOME={shlex.quote(str(demo.project.home))}",
        f'export PATH={shlex.quote(str(TOOLS))}:"$PATH"',
        f"export https_proxy={shlex.quote(lab.proxy_url)}",
        'exec "${@:-${SHELL:-/bin/sh}}"',
    )
    demo.story.say(f"""
Everything is still up. What to try next:

  see the runners and jobs       {demo.github.url}/
  queue a job, read its log      docker exec {double} github queue {REPOSITORY} 'echo Hello; hostname' --follow
  watch                          docker exec -it {double} github watch
  log in to the server           {login}
    its slots                    sudo runnerd status
    kill a runner, and watch     sudo docker kill github-runner-1; sleep 5; sudo runnerd status
    what happened                sudo runnerd events
  be the user                    {user}
    scale                        edit group_vars/{GROUP}.yml: {ROLE}_count
                                 {demo.command}
  remove all of it               make demo-down
""")


def _command(path: Path, *lines: str) -> Path:
    """Write a command that a person may type instead of something long; its path, as short as it can be said."""
    path.write_text("\n".join(["#!/usr/bin/env bash", *lines, ""]))
    path.chmod(0o755)
    return path.relative_to(CHECKOUT)


def down(narrate: Narrate = print) -> None:
    """Remove all that the demo made; its images stay for the next time (`make clean-cache` removes those)."""
    gone = _remove(Lab(prefix("demo"), narrate=narrate))
    for thing in gone:
        narrate(f"removed: {thing}")
    narrate("Nothing of the demo is left." if gone else "There was nothing of the demo.")


def _remove(lab: Lab) -> list[str]:
    """All of it; what there was."""
    ProxmoxVE(lab.prefix).down()
    return lab.down()
