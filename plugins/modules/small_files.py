# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: small_files
short_description: Keep many small text files in a folder, in one step
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Writes text files below a folder where they are missing or differ, and leaves all others alone.
  - Unlike M(ansible.builtin.copy), which needs two steps on the host for every file of a folder (measured over SSH,
    22 files, nothing to change, 19 to 23 seconds), all files go in one.
  - A building block of this collection's roles.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The text of a new file is not shown, only its name.
  idempotent:
    support: full
options:
  path:
    description: The folder. It is made if it is not there, with those above it.
    type: path
    required: true
  files:
    description: The content of each file, by its path relative to O(path).
    type: dict
    required: true
  mode:
    description: The files' permissions, octal. Who may read them may also enter the folders that are made.
    type: str
    default: "0644"
  owner:
    description: >-
      Whose the files are, the folder and those that are made in it. A user's name or number; left alone if not given.
    type: str
  group:
    description: Their group, by its name or number; left alone if not given.
    type: str
  validate:
    description:
      - A command that judges each file before it is put in its place, with C(%s) where the file is to be named. If it
        fails, what was there stays, and so do the files that come after it.
      - It is split into words; no shell is between.
    type: str
"""

EXAMPLES = r"""
- name: Keep two files
  ephemeral.github_runners.small_files:
    path: /usr/local/lib/example
    files:
      one.py: "print(1)\n"
      package/__init__.py: ""
"""

RETURN = r"""
written:
  description: The files that were written, or would be.
  type: list
  elements: str
  returned: success
  sample: [one.py]
"""

import os
import shlex
import stat
import tempfile
from pathlib import Path, PurePosixPath

from ansible.module_utils.basic import AnsibleModule


def before(path: Path) -> str | None:
    """The content of a file; None if there is none, or no text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def missing(root: Path, names: list[str]) -> list[Path]:
    """The folders that the files need and that are not there, outermost first."""
    needed = {root / parent for name in names for parent in PurePosixPath(name).parents}
    return sorted(folder for folder in needed | {root, *root.parents} if not folder.exists())


def belong(module: AnsibleModule, path: Path) -> bool:
    """Have the right owner and group; whether they were, or would be, changed."""
    changed = module.set_owner_if_different(str(path), module.params["owner"], False)
    return bool(module.set_group_if_different(str(path), module.params["group"], changed))


def write(module: AnsibleModule, path: Path, content: str, mode: int) -> None:
    """Put a whole file in its place in one step, if it passes."""
    descriptor, fresh = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(fresh, mode)
    if module.params["validate"]:
        judge = [word.replace("%s", fresh) for word in shlex.split(module.params["validate"])]
        rc, stdout, stderr = module.run_command(judge)
        if rc:
            module.fail_json(msg=f"{path}: `{judge[0]}` refuses what was to be written", stdout=stdout, stderr=stderr)
    module.atomic_move(fresh, str(path))
    os.chmod(path, mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "mode": {"type": "str", "default": "0644"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "validate": {"type": "str"},
        },
        supports_check_mode=True,
    )
    root, files = Path(module.params["path"]), module.params["files"]
    module.params["files"] = sorted(files)  # Ansible shows the parameters at -vvv: names tell enough there
    try:
        mode = int(module.params["mode"], 8)
    except ValueError:
        module.fail_json(msg=f"mode = {module.params['mode']}: not octal. Do: write it as '0644'")
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            module.fail_json(msg=f"files = {name}: not below {root}. Do: write a relative path without ..")

    differing = {name: before(root / name) for name in files}
    differing = {
        name: text
        for name, text in differing.items()
        if text != files[name] or stat.S_IMODE((root / name).stat().st_mode) != mode or belong(module, root / name)
    }
    absent = missing(root, list(files))
    moved = root.exists() and belong(module, root)
    if not module.check_mode:
        for folder in absent:
            folder.mkdir()
            os.chmod(folder, mode | (mode & 0o444) >> 2)
            belong(module, folder)
        for name in differing:
            write(module, root / name, files[name], mode)
            belong(module, root / name)
    new = [name for name, text in differing.items() if text is None]
    diff = [{"after_header": f"{root}: new files", "before": "", "after": "".join(f"{name}\n" for name in new)}] * bool(
        new
    )
    for name, text in differing.items():
        if text is not None:
            where = str(root / name)
            diff.append({"before_header": where, "after_header": where, "before": text, "after": files[name]})
    # Without --diff, or in a task without, nobody is to get what the files hold, or held.
    shown = {"diff": diff} if module._diff else {}
    module.exit_json(changed=bool(differing or absent or moved), written=sorted(differing), **shown)


if __name__ == "__main__":
    main()
