# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules, each in a process of its own that has Ansible and the libraries loaded already (half a second saved).

Reads one order a line: `{module, arguments, environ, missing, added, output}` and answers each with one.
`module` is one of ours, or a full name. `missing` are Python modules that cannot be imported, `added` is the source of
some that can; `output` is a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import sys
import traceback
import types
from typing import Any

import ansible.module_utils.basic
import jwt
import requests
from ansible.module_utils.testing import patch_module_args

LOADED = ansible.module_utils.basic, jwt, requests


def run(order: dict[str, Any]) -> None:
    """Do one order, in a process of its own."""
    for descriptor in (1, 2):
        os.dup2(os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.update(order["environ"])
    for name in order["missing"]:
        for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[loaded]
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that there is none
    for name, source in order["added"].items():
        sys.modules[name] = types.ModuleType(name)
        exec(source, vars(sys.modules[name]))
    collection, name = order["module"].rpartition(".")[::2]
    collection = collection or "ephemeral.github_runners"
    with patch_module_args(order["arguments"]):
        runpy.run_module(f"ansible_collections.{collection}.plugins.modules.{name}", None, "__main__")


def main() -> None:
    """Work off the orders."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(SystemExit):
                try:
                    run(json.loads(line))
                except Exception:
                    traceback.print_exc()
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        print("done", flush=True)


if __name__ == "__main__":
    main()
