# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback plugin of the tests: a run stops before and after each of its tasks."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: places
type: aggregate
short_description: Stops a run before and after each task
description:
  - The file in E(PLACES_LOG) gets a line for each place, as C(before 3 Plan).
  - Then the run's process group gets SIGSTOP; SIGCONT lets it go on, SIGKILL ends it there.
"""


class CallbackModule(CallbackBase):
    """Counts tasks; the run is a process group of its own."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "places"

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.name = ""

    def _reached(self, when: str) -> None:
        with Path(os.environ["PLACES_LOG"]).open("a", encoding="utf-8") as file:
            print(when, self.number, self.name, file=file)
        os.killpg(0, signal.SIGSTOP)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        self.number += 1
        self.name = task.get_name()
        self._reached("before")

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task has ended, as it does in all of the following."""
        self._reached("after")

    def v2_runner_on_skipped(self, result: Any) -> None:
        """See above."""
        self._reached("after")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """See above."""
        self._reached("after")

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """See above."""
        self._reached("after")
