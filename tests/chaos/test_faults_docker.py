# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker's faults, each alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from .compose import BROKEN_IMAGE, IMAGE, NEXT_IMAGE
from .faults import Fault, both, busy, changed, deaf, ended, engine, idle, moved_image, moves, try_out
from .stage import Stage
from .trial import CREDENTIAL, SLOT, TRIES
from .world import NotNow


def docker_restarts(stage: Stage) -> None:
    """Without live-restore: all containers end."""
    for container in stage.host.engine.running():
        stage.host.engine.die(container, 137)
    stage.host.engine.down = True


def restart_by_hand(stage: Stage) -> None:
    container = idle(stage)
    stage.host.engine.kill(container, 143, by="person")
    stage.host.engine.start(container)


def up_by_hand(stage: Stage) -> None:
    container = idle(stage)
    if container.slot not in stage.host.engine.definition().hashes:
        raise NotNow("Compose knows no such service")
    stage.host.engine.take_away(container, by="person")
    stage.host.engine.start(stage.host.engine.make(container.slot, container.spec))


def no_compose_file(stage: Stage) -> None:
    if not stage.host.engine.file.exists():
        raise NotNow("it is gone already")
    stage.host.engine.file.unlink()


def no_pull(stage: Stage) -> None:
    stage.host.engine.images.error = "dial tcp: i/o timeout"
    moved_image(stage)


def pull_again(stage: Stage) -> None:
    stage.host.engine.images.error = ""
    stage.host.person("update")


def by_hand(act: str, which: object) -> object:
    def strike(stage: Stage) -> None:
        container = which(stage)
        if act == "rm":
            stage.host.engine.take_away(container, by="person")
        else:
            stage.host.engine.kill(container, 143, by="person")

    return strike


def refuses(name: str, words: str) -> object:
    return both(engine(refuses={name: words}), changed)


FAULTS = [
    Fault("Docker down", 4, "for five minutes", engine(down=True), engine(down=False)),
    Fault("dockerd killed", 4, "and its containers with it", docker_restarts, engine(down=False), 20),
    Fault("dockerd restarted", 3, "with live-restore", engine(down=True), engine(down=False), 20),
    Fault("dockerd restarted while slots leave", 3, "with live-restore", both(changed, engine(down=True)),
          engine(down=False), 20),
    Fault("Docker hangs", 3, "answers nothing for minutes", engine(hangs=True), engine(hangs=False)),
    Fault("idle container removed", 4, "by hand", by_hand("rm", idle), lasts=0),
    Fault("busy container removed", 5, "by hand; the job is reported", by_hand("rm", busy), lasts=0),
    Fault("idle container stopped", 4, "by an administrator", by_hand("stop", idle), lasts=0),
    Fault("busy container stopped", 5, "by an administrator; the job is reported", by_hand("stop", busy), lasts=0),
    Fault("container restarted", 1, "by hand: a used layer gets no credential", restart_by_hand, lasts=0),
    Fault("container made by hand", 1, "for a slot, without a credential", up_by_hand, lasts=0, heals=CREDENTIAL),
    Fault("image missing", 4, "no container can be made", both(lambda s: s.host.engine.images.local.clear(), changed),
          lambda s: s.host.engine.images.local.add(IMAGE)),
    Fault("image moved", 3, "at the registry: busy runners finish first", moved_image),
    Fault("tag moved to a broken image", 4, "its program ends at once; that is told, until there is a better one",
          moves(BROKEN_IMAGE), moves(NEXT_IMAGE), 900, ended("exit code 1 before it came online"), heals=SLOT),
    Fault("pull fails", 4, "the image that is here goes on", no_pull, pull_again),
    Fault("disk full", 4, "no container can be made", refuses("create", "no space left on device"), engine(refuses={}),
          heals=SLOT),
    Fault("start fails", 2, "after the credential was made", refuses("start", "OCI runtime create failed"),
          engine(refuses={}), heals=SLOT),
    Fault("stop fails", 5, "of a runner that GitHub has forgotten",
          both(engine(refuses={"stop": "tried to kill container, but did not receive an exit event"}), deaf),
          engine(refuses={}), heals=TRIES),
    Fault("removal fails", 1, "the next job must not get the old container",
          refuses("remove", "device or resource busy"), engine(refuses={}), heals=TRIES),
    Fault("out of memory", 5, "a busy container is killed; the job is reported",
          lambda s: s.host.engine.die(busy(s), 137, oom=True), lasts=0),
    Fault("busy runner's program ends", 5, "with exit code 1; the job is reported",
          lambda s: s.host.engine.die(busy(s), 1), lasts=0),
    Fault("idle runner's program ends", 4, "with exit code 0, after it was online",
          lambda s: s.host.engine.die(idle(s), 0), lasts=0),
    Fault("Docker gone before the start", 2, "between attach and start", both(engine(delivery_breaks="before"),
          changed),
          engine(delivery_breaks=""), 60, heals=CREDENTIAL),
    Fault("Docker gone after the start", 2, "between start and the credential",
          both(engine(delivery_breaks="after"), changed), engine(delivery_breaks=""), 60, heals=CREDENTIAL),
    Fault("creation hangs", 5, "and leaves half of it behind", both(engine(leaves_half=True), changed),
          engine(leaves_half=False), 60),
    Fault("a runner's Docker ends", 4, "beside an idle runner", lambda s: setattr(idle(s), "lost_docker", True),
          lasts=60),
    Fault("processes unreadable", 3, "whether a job runs is unknown", both(engine(processes_readable=False), changed),
          engine(processes_readable=True)),
    Fault("Compose file gone", 3, "removed by a person", no_compose_file,
          lambda s: s.host.deploy()),
    Fault("Compose file broken", 3, "edited by a person", lambda s: s.host.engine.file.write_text("servces:\n"),
          lambda s: s.host.deploy()),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_docker(tmp_path: Path, fault: Fault) -> None:
    try_out(tmp_path, fault)
