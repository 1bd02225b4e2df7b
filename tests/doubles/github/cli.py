# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``github``: queue jobs on the double and watch them. And ``Admin``, the admin port's client for tests.

Standard library only: it has to run where the double's own libraries are not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8080"


class AdminError(Exception):
    """The double refused, or did not answer."""


class Admin:
    """The admin port. Every method raises AdminError with what is wrong."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url.rstrip("/")

    def call(self, method: str, path: str, body: Any = None, timeout: float = 30) -> Any:
        """One request; the JSON answered, None without one. ``timeout`` in seconds."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            with contextlib.suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["error"]
            raise AdminError(f"{method} {path}: {error.code}: {text}") from None
        except OSError as error:
            raise AdminError(f"The GitHub double does not answer at {self.url} ({error}). Is it running?") from None
        return json.loads(text) if text else None

    def healthy(self) -> bool:
        """Whether it serves."""
        try:
            return bool(self.call("GET", "/healthz", timeout=5)["ok"])
        except AdminError:
            return False

    def queue(self, repository: str, labels: list[str], script: str, **fields: Any) -> list[int]:
        """Queue ``count`` jobs (fields: name, env, count); their ids."""
        body = {"repository": repository, "labels": labels, "script": script, **fields}
        return [job["id"] for job in self.call("POST", "/_admin/jobs", body)["jobs"]]

    def state(self) -> dict[str, Any]:
        """scopes, runners, gone, jobs, sessions, time, changes."""
        return dict(self.call("GET", "/_admin/state"))

    def wait(self, done: Callable[[dict[str, Any]], Any], timeout: float = 60) -> Any:
        """Wait until ``done(state)`` is true, asked anew after every change; what it returned. Raises TimeoutError."""
        end, state = time.monotonic() + timeout, self.state()
        while not (found := done(state)):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Waited {timeout:g} s in vain. The double's state: {json.dumps(state)}")
            hold = min(left, 10)
            state = self.call("GET", f"/_admin/state?after={state['changes']}&timeout={hold}", timeout=hold + 30)
        return found

    def job(self, number: int) -> dict[str, Any]:
        """A job and its log."""
        return dict(self.call("GET", f"/_admin/jobs/{number}"))

    def cancel(self, number: int) -> None:
        """Cancel a job."""
        self.call("POST", f"/_admin/jobs/{number}/cancel")

    def journal(self, since: int = 0, link: str = "rest") -> dict[str, Any]:
        """``{last, entries}``: the requests after number ``since``; link: rest, runner or all."""
        return dict(self.call("GET", f"/_admin/journal?since={since}&link={link}"))

    def issued(self) -> list[dict[str, Any]]:
        """Every JIT configuration and token handed out: ``{kind, scope, at, secret, ...}``."""
        return list(self.call("GET", "/_admin/issued")["issued"])

    def advance(self, seconds: float) -> None:
        """Move GitHub's clock forward."""
        self.call("POST", "/_admin/clock", {"advance": seconds})

    def keys(self, ahead: int) -> None:
        """Make so many runners' keys ahead."""
        self.call("POST", "/_admin/keys", {"ahead": ahead}, timeout=120)

    def fault(self, **fields: Any) -> int:
        """Order a fault; its id. The fields are in README.md."""
        return int(self.call("POST", "/_admin/faults", fields)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The faults in force, with ``matched`` and ``applied``."""
        return list(self.call("GET", "/_admin/faults")["faults"])

    def clear_faults(self) -> None:
        """Forget all faults."""
        self.call("DELETE", "/_admin/faults")

    def credentials(self, credentials: dict[str, Any]) -> None:
        """Replace all credentials: ``{name: {token, scopes: {scope: write|read|none}, kind?, expires_at?, …}}``."""
        self.call("PUT", "/_admin/credentials", credentials)

    def revoke(self, name: str) -> None:
        """Take a credential away; the others stay."""
        self.call("DELETE", f"/_admin/credentials/{urllib.parse.quote(name)}")

    def apps(self, apps: dict[str, Any]) -> None:
        """Define all GitHub Apps: ``{slug: {permissions, installations: {account: {repositories?, suspended?}}}}``."""
        self.call("PUT", "/_admin/apps", apps)

    def app_key(self, slug: str) -> str:
        """Make a private key of an App; PEM."""
        return str(self.call("POST", f"/_admin/apps/{slug}/keys")["private_key"])

    def forget_app_keys(self, slug: str) -> None:
        """Delete all keys of an App."""
        self.call("DELETE", f"/_admin/apps/{slug}/keys")

    def revoke_app_tokens(self, slug: str) -> None:
        """End all installation tokens of an App."""
        self.call("DELETE", f"/_admin/apps/{slug}/tokens")

    def scopes(self, scopes: dict[str, Any]) -> None:
        """Add or change scopes: ``{name: {type?, visibility?, archived?, organizations?, groups?}}``."""
        self.call("PUT", "/_admin/scopes", scopes)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings (none: just read them); all of them."""
        return dict(self.call("PATCH", "/_admin/settings", changes))

    def remove_runner(self, number: int, *, silent: bool = False) -> None:
        """GitHub removes a runner; ``silent``: its listener does not learn of it."""
        self.call("DELETE", f"/_admin/runners/{number}{'?silent=1' if silent else ''}")

    def deliver(self, hook: int, **fields: Any) -> list[int]:
        """Note deliveries of a webhook; their ids. Fields: event, action, status, status_code, payload, guid, count."""
        return list(self.call("POST", f"/_admin/hooks/{hook}/deliveries", fields)["ids"])


def table(rows: list[list[str]]) -> str:
    """Rows (the first one the heads) as aligned text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def runners_table(state: dict[str, Any]) -> str:
    """Runners registered now."""
    rows = [["ID", "RUNNER", "SCOPE", "STATUS", "JOB", "LABELS"]]
    for one in state["runners"]:
        status = "busy" if one["busy"] else one["status"]
        rows.append(
            [str(one["id"]), one["name"], one["scope"], status, str(one["job"] or "-"), ",".join(one["labels"])]
        )
    return table(rows)


def jobs_table(state: dict[str, Any]) -> str:
    """Jobs, oldest first."""
    rows = [["ID", "JOB", "REPOSITORY", "STATUS", "RESULT", "RUNNER"]]
    for one in state["jobs"]:
        result, runner = one["result"] or "-", one["runner_name"] or "-"
        rows.append([str(one["id"]), one["name"], one["repository"], one["status"], result, runner])
    return table(rows)


def follow(admin: Admin, number: int) -> str:
    """Print a job's log as it grows, until the job is over; its result."""
    printed, changes = 0, -1
    while True:
        job = admin.job(number)
        sys.stdout.write(job["log"][printed:])
        sys.stdout.flush()
        printed = len(job["log"])
        if job["status"] == "completed":
            return str(job["result"])
        changes = admin.call("GET", f"/_admin/state?after={changes}&timeout=10", timeout=40)["changes"]


def watch(admin: Admin) -> None:
    """Print runners and jobs anew at every change, until interrupted."""
    state = admin.state()
    while True:
        clear = "\033[H\033[2J" if sys.stdout.isatty() else ""
        sys.stdout.write(f"{clear}GitHub's time: {state['time']}\n\n{runners_table(state)}\n\n{jobs_table(state)}\n\n")
        sys.stdout.flush()
        changes = state["changes"]
        while state["changes"] == changes:
            state = admin.call("GET", f"/_admin/state?after={changes}&timeout=10", timeout=40)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="github", description="Queue jobs on the GitHub double and watch them.")
    whole.add_argument(
        "--url", default=os.environ.get("GITHUB_DOUBLE_ADMIN", DEFAULT_URL), help="admin port (%(default)s)"
    )
    commands = whole.add_subparsers(dest="command", required=True)
    queue = commands.add_parser("queue", help="queue jobs")
    queue.add_argument("repository", help="owner/repo")
    queue.add_argument(
        "script", nargs="?", default="echo Hello from $(hostname)", help="shell script; - reads it from stdin"
    )
    queue.add_argument("--labels", default="self-hosted", help="runs-on, separated by commas (%(default)s)")
    queue.add_argument("--name", default="job")
    queue.add_argument("--count", type=int, default=1)
    queue.add_argument("--env", type=_pair, action="append", default=[], metavar="NAME=VALUE")
    queue.add_argument("--follow", action="store_true", help="print the log of each; exit 1 unless all succeeded")
    for name, text in (("runners", "list the runners"), ("jobs", "list the jobs"), ("watch", "both, at every change")):
        commands.add_parser(name, help=text)
    for name, text in (("log", "print a job's log as it grows"), ("cancel", "cancel a job")):
        commands.add_parser(name, help=text).add_argument("job", type=int)
    commands.add_parser("health", help="exit 0 if the double serves")
    return whole


def run(arguments: argparse.Namespace) -> int:
    """Do it; the exit code."""
    admin = Admin(arguments.url)
    if arguments.command == "health":
        return 0 if admin.healthy() else 1
    if arguments.command == "queue":
        script = sys.stdin.read() if arguments.script == "-" else arguments.script
        labels = [label.strip() for label in arguments.labels.split(",") if label.strip()]
        fields = {"name": arguments.name, "count": arguments.count, "env": dict(arguments.env)}
        numbers = admin.queue(arguments.repository, labels, script, **fields)
        print("queued: " + ", ".join(f"job {number}" for number in numbers))
        if not arguments.follow:
            return 0
        results = [follow(admin, number) for number in numbers]
        return 0 if set(results) == {"Succeeded"} else 1
    if arguments.command == "log":
        return 0 if follow(admin, arguments.job) == "Succeeded" else 1
    if arguments.command == "cancel":
        admin.cancel(arguments.job)
    elif arguments.command == "watch":
        watch(admin)
    else:
        print(runners_table(admin.state()) if arguments.command == "runners" else jobs_table(admin.state()))
    return 0


def main() -> int:
    """Entry point. 0 done, 1 not so, 2 wrong use."""
    try:
        return run(parser().parse_args())
    except AdminError as error:
        print(f"github: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
