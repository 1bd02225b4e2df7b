# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback plugin of the tests: writes down the tasks of a run, and kills it before or after one of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: ends
type: aggregate
short_description: Ends a run at a task
description: The file in E(ENDS_LOG) gets the tasks' names; E(ENDS_AT), as C(before 3), says where to kill the run.
"""


class CallbackModule(CallbackBase):
    """Counts tasks; the run is a process group of its own."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "ends"

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def _reached(self, when: str) -> None:
        if os.environ.get("ENDS_AT") == f"{when} {self.number}":
            os.killpg(0, signal.SIGKILL)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        self.number += 1
        with Path(os.environ["ENDS_LOG"]).open("a", encoding="utf-8") as file:
            print(task.get_name(), file=file)
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
