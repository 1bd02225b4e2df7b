# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action group `github` holds exactly the modules that take GitHub's credentials, so that users give them once."""

from __future__ import annotations

import yaml

from tests.repository import sources


def test_every_module_is_in_the_group() -> None:
    groups = yaml.safe_load(sources.text("meta/runtime.yml")).get("action_groups") or {}
    modules = {
        path.stem
        for path in sources.files("plugins", suffixes=(".py",))
        if path.parts[1] == "modules" and path.stem.startswith(("github_", "gha_"))
    }
    listed = {name.rpartition(".")[2] for name in groups.get("github", []) if isinstance(name, str)}
    assert listed == modules
