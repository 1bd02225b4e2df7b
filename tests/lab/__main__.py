# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m tests.lab …`: the doctor, the engine, the demo; `--help` names all commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.doubles.github.cli import AdminError
from tests.lab import demo, doctor, engine
from tests.lab.common import Problem
from tests.lab.images import Images


def _say(line: str) -> None:
    print(line, flush=True)


def run_doctor() -> int:
    """what this machine has and lacks; changes nothing"""
    return 0 if doctor.doctor(_say) else 1


def run_engine() -> int:
    """a Docker Engine: check it; where it is certainly wanted, install and start it"""
    engine.ensure(_say)
    _say(str(doctor.docker_engine(engine.look())))
    return 0


def run_demo() -> int:
    """the main job, for real; leaves everything up"""
    demo.run(_say)
    return 0


def run_demo_down() -> int:
    """remove all that the demo made; images stay for the next time"""
    demo.down(_say)
    return 0


def run_images() -> int:
    """make all images now, so that later runs find them"""
    images = Images(engine.ensure(_say), _say)
    for tag in images.all():
        _say(tag)
    return 0


def run_clean_cache() -> int:
    """remove the images that no container uses"""
    _say(f"{Images(engine.connect(), _say).remove_all()} images removed")
    return 0


COMMANDS: dict[str, Callable[[], int]] = {
    "doctor": run_doctor,
    "engine": run_engine,
    "demo": run_demo,
    "demo-down": run_demo_down,
    "images": run_images,
    "clean-cache": run_clean_cache,
}


def main() -> int:
    """Exit code 0: done; 1: something is wrong, and said; 2: wrong use; 130: interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        commands.add_parser(name, help=function.__doc__)
    try:
        return COMMANDS[parser.parse_args().command]()
    except (Problem, AdminError, TimeoutError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What was made so far is still there; `make demo-down` removes it.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
