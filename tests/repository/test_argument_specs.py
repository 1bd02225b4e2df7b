# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a role's documentation says of its variables is what its defaults and its tasks do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.ephemeral.github_runners.plugins.filter import runner_plan
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils import options, vm_options
from tests.repository import sources

#: Where a role's variables are used. `defaults` counts: one default may be computed from another.
USED_IN = ("tasks", "handlers", "templates", "vars", "defaults")


def differences(role: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Where the argument spec and the defaults of a role contradict each other."""
    found = []
    for name, default in defaults.items():
        if name.startswith("__"):
            continue
        option = options.get(name)
        if option is None:
            found.append(f"{name} has a default and no documentation")
        elif option.get("required"):
            found.append(f"{name} is documented as required and has a default")
        elif isinstance(default, str) and "{{" in default and "default" not in option:
            continue  # computed; the description says how
        elif option.get("default") != default or isinstance(option.get("default"), bool) != isinstance(default, bool):
            found.append(f"{name}: documented default {option.get('default')!r}, real default {default!r}")
    for name, option in options.items():
        if not name.startswith(f"{role}_"):
            found.append(f"{name} does not begin with {role}_")
        if "default" in option and name not in defaults:
            found.append(f"{name} is documented with a default and has none")
    return found


def mentioned(role: str, text: str) -> set[str]:
    """The variables of a role, internal ones (`__role_…`) left out, that a text uses. Plugins' names are none."""
    return set(
        re.findall(rf"(?<![\w./-]){re.escape(role)}_[a-z0-9_]+\b(?!\.(?:yml|yaml|j2|py|sh|service|json)\b)", text)
    )


def descriptions(node: Any) -> list[str]:
    """All texts of descriptions anywhere in an argument spec."""
    if isinstance(node, list):
        return [text for each in node for text in descriptions(each)]
    if not isinstance(node, dict):
        return []
    own = node.get("description") or []
    texts = [own] if isinstance(own, str) else [text for text in own if isinstance(text, str)]
    return texts + [text for each in node.values() for text in descriptions(each)]


def spec(role: str) -> dict[str, Any]:
    """Options of all entry points of a role, by name."""
    points = yaml.safe_load(sources.text(f"roles/{role}/meta/argument_specs.yml"))["argument_specs"]
    return {name: option for point in points.values() for name, option in (point.get("options") or {}).items()}


def defaults(role: str) -> dict[str, Any]:
    """The defaults of a role; a role may have none."""
    paths = [path for path in sources.files("roles") if path.match(f"roles/{role}/defaults/main.yml")]
    return (yaml.safe_load(sources.text(paths[0])) or {}) if paths else {}


def code(role: str) -> str:
    """All text of a role in which its variables are used."""
    return "\n".join(
        sources.text(path) for path in sources.files("roles") if path.parts[1] == role and path.parts[2] in USED_IN
    )


@pytest.mark.parametrize(
    ("options", "real", "complaint"),
    [
        ({"r_a": {"default": 1}}, {"r_a": 1}, None),
        ({"r_a": {}}, {"r_a": "{{ 1 + 1 }}"}, None),
        ({"r_a": {"default": "{{ x }}"}}, {"r_a": "{{ x }}"}, None),
        ({"r_a": {"default": 2}}, {"r_a": "{{ 1 + 1 }}"}, "real default"),
        ({"r_a": {"required": True}}, {}, None),
        ({"r_a": {"default": 1}}, {"r_a": 2}, "documented default 1, real default 2"),
        ({"r_a": {"default": 1}}, {"r_a": True}, "documented default 1, real default True"),
        ({"r_a": {}}, {"r_a": 2}, "documented default None, real default 2"),
        ({}, {"r_a": 2}, "no documentation"),
        ({"r_a": {"default": 1}}, {}, "has none"),
        ({"r_a": {"required": True}}, {"r_a": 1}, "required"),
        ({"a": {}}, {}, "does not begin with"),
    ],
)
def test_differences_are_seen(options: dict[str, Any], real: dict[str, Any], complaint: str | None) -> None:
    found = differences("r", options, real)
    assert not found if complaint is None else [complaint in line for line in found] == [True]


def test_variables_are_found() -> None:
    text = "src: r_main.yml\nx: '{{ r_one | ns.name.r_filter }}'\nwhen: r_two is defined\ny: '{{ __r_three }}'\n"
    assert mentioned("r", text) == {"r_one", "r_two"}


def test_roles_are_there() -> None:
    assert {"github_docker_runners", "runnerd"} <= set(sources.roles())


@pytest.mark.parametrize("role", sources.roles())
def test_defaults_are_documented(role: str) -> None:
    assert differences(role, spec(role), defaults(role)) == []


@pytest.mark.parametrize("role", sources.roles())
def test_every_variable_used_is_documented(role: str) -> None:
    everything = "\n".join(sources.text(path) for path in sources.files("roles", "playbooks", suffixes=(".yml", ".j2")))
    unknown = mentioned(role, everything) - set(spec(role))
    # The names of longer-named roles begin with those of shorter ones, perhaps.
    unknown -= {name for other in sources.roles() if other != role for name in spec(other)}
    assert not unknown, f"used, not in roles/{role}/meta/argument_specs.yml: {sorted(unknown)}"


@pytest.mark.parametrize("role", sources.roles())
def test_every_documented_option_is_used(role: str) -> None:
    real = "\n".join(line for line in code(role).splitlines() if not re.match(rf"{role}_\w+:", line))
    computed = "\n".join(str(value) for value in defaults(role).values())
    unused = set(spec(role)) - mentioned(role, real + "\n" + computed)
    if role in JUDGES:
        unused -= judged(role)
    assert not unused, f"documented, used nowhere in roles/{role}: {sorted(unused)}"


HOST: dict[str, Any] = {"name": "h", "groups": [], "inventory": None, "processors": 4, "memory_mb": 8192}
#: The filters that roles hand all their variables to, so that the names do not stand in their tasks.
JUDGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "github_docker_runners": lambda variables: runner_plan.runner_plan(variables, HOST),
    "proxmox_runner_vm": vm_options.wanted,
}


def judged(role: str) -> set[str]:
    """The options of a role that its filter looks at: those that it finds wrong when they are nonsense."""
    found = set()
    for name in spec(role):
        variables = {**defaults(role), name: [{"nonsense": []}]}
        problems = JUDGES[role](variables)["problems"]
        if any(re.match(rf"{name}\b", line) for line in problems):
            found.add(name)
    return found


LIMITS = tuple(f"{name}_timeout" for name in vm_options.LIMITS)


@pytest.mark.parametrize(
    ("role", "known"),
    [
        ("github_docker_runners", (*options.POOL_OPTIONS, *options.HOST_OPTIONS, *options.REMOVE_OPTIONS)),
        ("proxmox_runner_vm", (*vm_options.VM_OPTIONS, *vm_options.COMMON_OPTIONS, *LIMITS)),
    ],
)
def test_filter_knows_every_option(role: str, known: tuple[str, ...]) -> None:
    """The filter that judges a role's variables, and refuses unknown ones, knows those that are documented."""
    assert {f"{role}_{name}" for name in known} == set(spec(role))


@pytest.mark.parametrize("role", sources.roles())
def test_no_description_is_a_template(role: str) -> None:
    """Ansible takes the whole of an argument spec for a template, descriptions too, and fails at what it looks up."""
    texts = descriptions(yaml.safe_load(sources.text(f"roles/{role}/meta/argument_specs.yml")))
    assert texts
    assert not [text for text in texts if "{{" in text or "{%" in text]
