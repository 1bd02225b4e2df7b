# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The daemon: puts the parts together, tells systemd, ends within seconds when asked to."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .broker import GitHubBroker
from .clock import Clock
from .containers import ComposeProvider
from .control import DEFAULT_SOCKET, ControlServer
from .evidence import workers
from .gates import Gates
from .journal import Journal
from .metrics import Metrics
from .notify import notify
from .settings import load_credentials, load_settings
from .supervisor import Supervisor

log = logging.getLogger("runnerd")

DEFAULT_STATE = Path("/var/lib/runnerd")
#: Actions at once, of all kinds; how many of them may start a container is `World.concurrent_starts`.
THREADS = 8
#: Seconds to let the effects in hand finish; each can be taken up again by the next runnerd.
LAST_EFFECTS = 5.0


def credentials_path() -> Path:
    """Where systemd put the credentials (LoadCredential)."""
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/etc/runnerd")) / "credentials.json"


def serve(settings_file: Path, state: Path = DEFAULT_STATE, control: Path = DEFAULT_SOCKET) -> int:
    """Run until SIGTERM; touches no runner on the way out.

    Raises:
        SettingsError, JournalError: before anything was touched.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    settings = load_settings(settings_file)
    credentials = load_credentials(credentials_path())
    clock, metrics = Clock(), Metrics()
    machine_id = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    journal = Journal(state, clock, machine_id)
    gates = Gates(journal, clock, apps={name for name, form in credentials.items() if "token" not in form})
    user_agent = f"ephemeral.github_runners/{settings.version} runnerd"
    broker = GitHubBroker(settings.github, credentials, user_agent, gates, metrics.on_request)
    provider = ComposeProvider(settings.compose, clock, timeout=int(settings.limits.boot) or None)
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="effect")
    supervisor = Supervisor(settings_file, settings, journal, provider, broker, gates, clock, executor, workers)
    server = ControlServer(control, supervisor)
    server.start()
    metrics.serve(settings.metrics, supervisor)

    stopping = threading.Event()

    def stop(*dummy: object) -> None:
        stopping.set()
        supervisor.wake()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=_watch, args=(provider, supervisor, stopping), name="events", daemon=True).start()
    # A little later, so that whoever asked gets an answer; systemd starts the next one (Restart=always).
    supervisor.restart_wanted = lambda: threading.Timer(0.5, stop).start()
    gates.try_again()
    journal.hand_over(credentials, {pool.scope: pool.credential for pool in settings.pools})
    journal.event("", "", "began", f"runnerd {settings.version}")
    ready = False

    def after_round() -> None:
        nonlocal ready
        metrics.after_round()
        status = supervisor.status
        idle = sum(slot.state == "idle" for slot in status.slots)
        busy = sum(slot.state == "busy" for slot in status.slots)
        note = f"STATUS={status.docker or f'{idle} idle, {busy} busy of {len(status.slots)} slots'}"
        notify(f"WATCHDOG=1\n{note}" if ready else f"READY=1\nWATCHDOG=1\n{note}")
        ready = True

    supervisor.run(stopping, after_round)
    notify("STOPPING=1")
    log.info("ends; the runners go on without it")
    threading.Timer(LAST_EFFECTS, os._exit, args=(0,)).start()
    executor.shutdown(wait=True, cancel_futures=True)
    journal.event("", "", "ended", "runnerd was stopped; the runners go on")
    sys.stdout.flush()
    os._exit(0)  # threads that follow a container's output would wait for it


def _watch(provider: ComposeProvider, supervisor: Supervisor, stopping: threading.Event) -> None:
    """Wake the loop for whatever happens to a container."""
    while not stopping.is_set():
        try:
            for slot in provider.changes():
                supervisor.happened(slot)
        except Exception:  # this thread is what makes runnerd quick: it must outlive whatever Docker says
            log.exception("Docker's events cannot be read")
        supervisor.wake()
        stopping.wait(2)
