# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""B2: from nothing to many runners on one host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from tests.bench import bare, sizes
from tests.bench.samples import OURS, Benchmark, Figure, Goal, Sample, in_turns, seconds
from tests.bench.stage import Stage
from tests.e2e.rig import Rig

#: Runs on the host: for each name, in so many threads, what a person does by hand: ask GitHub, and `docker run`.
START = """
import json, ssl, subprocess, sys, urllib.request
from concurrent.futures import ThreadPoolExecutor

asked = json.load(sys.stdin)
trust = ssl.create_default_context()


def start(name):
    body = json.dumps({"name": name, "runner_group_id": 1, "labels": ["bench"]}).encode()
    request = urllib.request.Request(asked["url"], body, {"Authorization": f"Bearer {asked['token']}"})
    with urllib.request.urlopen(request, context=trust) as answer:
        credential = json.load(answer)["encoded_jit_config"]
    words = ["docker", "run", "--detach", "--name", name, *asked["options"], asked["image"]]
    subprocess.run([*words, "./run.sh", "--jitconfig", credential], check=True, stdout=subprocess.DEVNULL)


with ThreadPoolExecutor(asked["at_once"]) as pool:
    list(pool.map(start, asked["names"]))
"""
KIND = "run"
#: Seconds for all of them to come online, by the playbook and by us.
ONLINE = 600


def measure(stage: Stage) -> Iterator[Sample]:
    """Ours and each concurrency in turns, for each count."""
    rig = stage.rig
    bare.write(rig, "start.py", START)
    for count in sizes.BURST_COUNTS:
        rig.base(count=count, online_timeout=ONLINE)
        _empty(rig)
        ways: dict[str, Callable[[], float]] = {OURS: partial(_ours, rig, count)}
        for at_once in sizes.BURST_CONCURRENCY:
            ways[f"docker run, {at_once} at once"] = partial(_bare, rig, count, at_once)
        baselines = tuple(way for way in ways if way != OURS)
        try:
            yield from in_turns(Figure(f"0 to {count} runners", goals=(Goal(1.5, baselines),)), ways, sizes.BURST_TIMES)
        finally:
            rig.host.exec("systemctl", "start", "github-docker-runners")


def _ours(rig: Rig, count: int) -> float:
    """`systemctl start`, until GitHub has them all online."""

    rig.github.keys(count)

    def fill() -> None:
        rig.host.exec("systemctl", "start", "github-docker-runners")
        rig.github.wait_online(count, ONLINE)

    took = seconds(fill)
    _empty(rig)
    return took


def _empty(rig: Rig) -> None:
    """All runners leave, and runnerd stays; what it still looks after at GitHub has come to its end."""
    rig.host.exec("systemctl", "stop", "github-docker-runners", timeout=600)
    rig.github.wait_online(0, 60)


def _bare(rig: Rig, count: int, at_once: int) -> float:
    """The same by hand."""
    service = bare.service(rig)
    asked = {
        "url": f"{rig.lab.api_url}/orgs/my-org/actions/runners/generate-jitconfig",
        "token": rig.token,
        "names": [f"{bare.NAME}{KIND}-{number}" for number in range(count)],
        "options": bare.options(service),
        "image": service["image"],
        "at_once": at_once,
    }
    bare.write(rig, "start.json", json.dumps(asked))
    rig.github.keys(count)

    def fill() -> None:
        rig.host.exec("sh", "-c", f"python3 {bare.FOLDER}/start.py <{bare.FOLDER}/start.json", timeout=ONLINE)
        rig.github.wait_online(count, ONLINE)

    try:
        return seconds(fill)
    finally:
        bare.forget(rig, KIND)


BURST = Benchmark(
    "B2",
    "from nothing to many runners on one host",
    "From `systemctl start` until GitHub has all of them online; the baseline does the same by hand, a program that "
    "asks GitHub for a JIT configuration and types `docker run -d`, with the options of our Compose file, so many at "
    "once. Each runner is a process that starts and logs in, on this machine: in all ways. The runners' keys, which "
    "GitHub makes, are made beforehand.",
    measure,
    ("BURST_",),
)
