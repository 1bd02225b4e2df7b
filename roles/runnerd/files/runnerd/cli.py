# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command `runnerd`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .clock import iso
from .control import DEFAULT_SOCKET, NoDaemon, Refused, ask
from .journal import Event, JournalError, read_events, read_live
from .settings import DEFAULT_SETTINGS, SettingsError, load_credentials, load_settings
from .status import duration, table, upkeep

DONE, NOT_SO, WRONG, NO_DAEMON = 0, 1, 2, 3
STATE = Path("/var/lib/runnerd")
#: Seconds between two looks while waiting, and between two questions to GitHub about what we wait for.
LOOK, ASK_GITHUB = 0.5, 5.0
#: Seconds to wait for a daemon that is being restarted.
PATIENCE = 60.0
#: Seconds until a daemon that failed ends. systemd starts the next one half a second later, for the sake of one that
#: was killed; one that would fail again must not keep half a processor busy.
AFTER_ERROR = 2.0


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(
        prog="runnerd", description="Keeps this host's slots filled with fresh, single-use GitHub Actions runners."
    )
    top.add_argument("--socket", type=Path, default=DEFAULT_SOCKET, help="control socket (default: %(default)s)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        return command

    status = add("status", _status, "show every slot: its state, runner, job, and why")
    status.add_argument("--json", action="store_true", help="as JSON")
    wait = add("wait", _wait, "wait until every slot that is not leaving is online at GitHub")
    wait.add_argument("--timeout", type=float, default=180, help="seconds (default: %(default)s)")
    wait.add_argument("--drained", action="store_true", help="also until the leaving slots are empty")
    wait.add_argument("--json", action="store_true", help="print the last status as JSON")
    check = add("check", _check, "read the settings and say everything that is wrong with them; touches nothing")
    check.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, help="(default: %(default)s)")
    check.add_argument("--credentials", type=Path, help="also check this credentials file")
    check.add_argument(
        "--online", action="store_true", help="also try each credential at GitHub; changes nothing there"
    )
    add("reload", _simple, "read the settings again")
    add("resume", _simple, "end a drain or a pause: fill the slots")
    add("pause", _simple, "make no new runners; leave those that are there alone")
    add("update", _update, "get the newest image of each tag that is followed, now; slots move as they become empty")
    drain = add("drain", _drain, "let runners finish their job, deregister them, do not replace them")
    drain.add_argument("slots", nargs="*", metavar="SLOT", help="only these (default: all)")
    drain.add_argument("--wait", action="store_true", help="until they are gone, telling what is waited for")
    drain.add_argument("--limit", type=float, help="seconds after which a job is cancelled (default: the setting)")
    stop = add("stop", _drain, "drain, and with --now cancel the jobs that run")
    stop.add_argument("slots", nargs="*", metavar="SLOT", help="only these (default: all)")
    stop.add_argument("--now", action="store_true", required=True, help="cancel jobs that run; they are reported")
    stop.set_defaults(wait=True, limit=None)
    events = add("events", _events, "what happened")
    events.add_argument("--follow", "-f", action="store_true", help="go on as it happens")
    events.add_argument("--last", type=int, default=50, help="lines to begin with (default: %(default)s)")
    events.add_argument("--json", action="store_true", help="an object a line, times with milliseconds")
    logs = add("logs", _logs, "the output of a slot's runners, past ones too (from the journal of systemd)")
    logs.add_argument("slot", metavar="SLOT", help="such as runner-1, or 1")
    logs.add_argument("--follow", "-f", action="store_true", help="go on as it is written")
    logs.add_argument("--docker", action="store_true", help="that of the Docker daemons beside them instead")
    logs.add_argument("--last", type=int, default=1000, help="lines to begin with (default: %(default)s)")
    serve = add("serve", _serve, "be the daemon; systemd starts this")
    serve.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, help="(default: %(default)s)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 not (yet) so, 2 wrong use or settings, 3 no daemon."""
    options = parser().parse_args(arguments)
    try:
        return int(options.function(options))
    except (NoDaemon, Refused, SettingsError, JournalError, PermissionError) as exc:
        return _complain(exc, options)
    except KeyboardInterrupt:
        return NOT_SO


def _complain(exc: Exception, options: argparse.Namespace) -> int:
    """Say what went wrong; the exit code."""
    if isinstance(exc, PermissionError):
        print(f"runnerd: {exc.filename}: only root may. Do: sudo runnerd {options.command}", file=sys.stderr)
    else:
        print(f"runnerd: {exc}", file=sys.stderr)
    return NO_DAEMON if isinstance(exc, NoDaemon) else WRONG


def _status(options: argparse.Namespace) -> int:
    try:
        status = ask(options.socket, "status")
    except NoDaemon as exc:
        status = {"daemon": False, "drains": [], "gates": [], "slots": [_from_journal(row) for row in read_live(STATE)]}
        if not options.json:
            print(f"runnerd: {exc}", file=sys.stderr)
    _show(status, options.json)
    return DONE if status["daemon"] else NO_DAEMON


def _from_journal(row: dict[str, object]) -> dict[str, object]:
    """A slot as the journal alone knows it: it holds something, and nobody looks after it now."""
    return {
        "slot": row["slot"],
        "pool": row["pool"],
        "state": "unknown",
        "since": iso(float(str(row["began_wall"]))),
        "seconds": int(time.time() - float(str(row["began_wall"]))),
        "wanted": False,
        "leaving": False,
        "online": False,
        "runner": row["runner"],
        "container": row["container"] or "",
        "job": None,
        "reason": "runnerd does not run",
        "remedy": "systemctl start runnerd",
    }


def _show(status: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(status, indent=2))
        return
    print(table(status))
    if status.get("paused"):
        print("Paused: no new runners until `runnerd resume`.")
    if status.get("drains"):
        print(f"Draining: {', '.join(status['drains'])}. End it with `runnerd resume`.")
    for line in upkeep(status):
        print(line)
    for problem in filter(None, (status.get("docker"), status.get("definition"))):
        print(f"Problem: {problem}")
    for gate in status.get("gates", []):
        remedy = f". Do: {gate['remedy']}" if gate["remedy"] else ""
        print(f"Backing off until {gate['until']}: {gate['what']}: {gate['reason']}{remedy}")


def _wait(options: argparse.Namespace) -> int:
    """Green only by GitHub's own word: its list is asked for until it shows every runner, at most every few seconds."""
    deadline = time.monotonic() + options.timeout
    asked, for_github = -ASK_GITHUB, True
    while True:
        refresh = for_github and time.monotonic() - asked >= ASK_GITHUB
        status = _ask_patiently(options.socket, "status", refresh=refresh)
        if refresh:
            asked = time.monotonic()
        missing = [slot for slot in status["slots"] if is_missing(slot, options.drained)]
        # GitHub's list says nothing of how long a job still takes.
        for_github = any(is_missing(slot, drained=False) for slot in missing)
        if (status["daemon"] and not missing) or time.monotonic() >= deadline:
            break
        time.sleep(LOOK)
    _show(status, options.json)
    return NOT_SO if missing or not status["daemon"] else DONE


def is_missing(slot: dict[str, Any], drained: bool) -> bool:
    """Whether the wait goes on for this slot of the status.

    A job of an old definition, or in a slot that goes, is waited for if `drained` only. An idle runner of an old
    definition is replaced at once, and what counts is whether its successor comes.
    """
    if slot["leaving"] and (slot["state"] == "busy" or not slot["wanted"]):
        return drained and bool(slot["container"])
    return bool(slot["wanted"]) and (slot["leaving"] or not slot["verified"])


def _check(options: argparse.Namespace) -> int:
    settings = load_settings(options.settings)
    if options.credentials:
        credentials = load_credentials(options.credentials)
        if options.online:
            # What it imports takes longer than any other command has to.
            from .broker import try_credentials

            if problems := try_credentials(settings, credentials):
                # Without the file's name: it is that of a playbook, and gone when somebody reads this.
                print("\n".join(problems), file=sys.stderr)
                return WRONG
    print(f"{options.settings}: {len(settings.pool_of)} slots in {len(settings.pools)} pools")
    return DONE


def _simple(options: argparse.Namespace) -> int:
    _ask_patiently(options.socket, options.command)
    return DONE


def _update(options: argparse.Namespace) -> int:
    while not (status := _ask_patiently(options.socket, "status"))["daemon"]:
        time.sleep(LOOK)  # it has begun, and not looked yet
    before = {image["image"]: image["references"] for image in status["images"]}
    _ask_patiently(options.socket, "update")  # answered when a round has seen it
    while True:
        images = _ask_patiently(options.socket, "status")["images"]
        if not any(image["updating"] for image in images):
            break
        time.sleep(LOOK)
    for image in images:
        now = ", ".join(image["references"])
        news = f"is now {now}" if image["references"] != before.get(image["image"]) else f"is {now} as before"
        print(f"{image['image']}: {image['error'] or news}")
    if not images:
        print("no image follows a tag (github_docker_runners_image_update)")
    return NOT_SO if any(image["failed"] for image in images) else DONE


def _ask_patiently(socket: Path, command: str, **arguments: object) -> dict[str, Any]:
    """Ask, and wait for a daemon that is being restarted: a wish that a unit of systemd carries must not be lost."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask(socket, command, **arguments)
        except NoDaemon:
            if time.monotonic() >= deadline or not _being_restarted():
                raise
        time.sleep(LOOK)


def _being_restarted() -> bool:
    """Whether systemd runs the daemon, or is about to."""
    done = subprocess.run(
        ["systemctl", "is-active", "runnerd"], capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout.strip() in ("active", "activating", "reloading", "deactivating")


def _drain(options: argparse.Namespace) -> int:
    slots = [f"runner-{slot}" if slot.isdigit() else slot for slot in options.slots]
    now = options.command == "stop"
    shutting_down = not now and _host_shuts_down()
    if shutting_down:
        _ask_patiently(options.socket, "shutdown")
    _ask_patiently(options.socket, "drain", slots=slots, by="now" if now else "drain", limit=options.limit)
    return _wait_until_gone(options.socket, slots, now or shutting_down) if options.wait else DONE


def _host_shuts_down() -> bool:
    """Whether systemd is on its way down: then the shutdown's own limit holds, too."""
    try:
        done = subprocess.run(
            ["systemctl", "is-system-running"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "stopping"


def _wait_until_gone(socket: Path, slots: list[str], in_haste: bool) -> int:
    """Tell what is waited for until it is gone. `in_haste`: a shutdown of the host changes nothing any more."""
    told: dict[str, str] = {}
    rounds = 0
    while True:
        status = _ask_patiently(socket, "status")
        if not status["daemon"]:
            time.sleep(LOOK)  # it has begun, and not looked yet
            continue
        if not set(slots or ["host"]) & set(status["drains"]):
            print("the drain was ended by `runnerd resume`", flush=True)
            return NOT_SO
        rounds += 1
        if not in_haste and rounds % 10 == 0 and _host_shuts_down():
            # The shutdown came while we waited.
            in_haste = True
            _ask_patiently(socket, "shutdown")
        left = [
            s for s in status["slots"] if (not slots or s["slot"] in slots) and s["state"] not in ("empty", "drained")
        ]
        left += [s for s in status["slots"] if s["state"] == "drained" and s["container"] and s not in left]
        for slot in left:
            line = f"{slot['slot']}: {slot['state']}" + (f" ({slot['job']})" if slot["job"] else "")
            if told.get(slot["slot"]) != line:
                told[slot["slot"]] = line
                print(f"{line}, since {duration(slot['seconds'])}. {slot['reason']}".rstrip(" ."), flush=True)
        if not left:
            print("drained", flush=True)
            return DONE
        time.sleep(LOOK)


def _events(options: argparse.Namespace) -> int:
    last = 0
    events = read_events(STATE, 0, options.last)
    while True:
        for event in events:
            print(json.dumps(_event(event)) if options.json else _event_line(event), flush=True)
            last = event.id
        if not options.follow:
            return DONE
        time.sleep(LOOK)
        events = read_events(STATE, last)


def _event(event: Event) -> dict[str, object]:
    facts = {"slot": event.slot, "runner": event.runner, "kind": event.kind, "detail": event.detail}
    return {"id": event.id, "at": iso(event.at_wall, "milliseconds"), **facts}


def _event_line(event: Event) -> str:
    return f"{iso(event.at_wall)}  {event.slot or '-'}  {event.kind}  {event.detail}  {event.runner}".rstrip()


def _logs(options: argparse.Namespace) -> NoReturn:
    slot = f"runner-{options.slot}" if options.slot.isdigit() else options.slot
    name = f"github-{slot}-docker" if options.docker else f"github-{slot}"
    command = ["journalctl", "--output=cat", f"--lines={options.last}", f"CONTAINER_NAME={name}"]
    if options.follow:
        command.append("--follow")
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 (words of our own, no shell)


def _serve(options: argparse.Namespace) -> int:
    try:
        # Only the daemon needs what it imports; the other commands start faster without.
        from .daemon import serve

        return serve(options.settings)
    except (SettingsError, JournalError, PermissionError) as exc:
        code = _complain(exc, options)
    except Exception:  # whatever it is: systemd starts the next one, which is told the same
        traceback.print_exc()
        code = WRONG
    time.sleep(AFTER_ERROR)
    return code
