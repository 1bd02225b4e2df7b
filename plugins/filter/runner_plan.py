# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role github_docker_runners is to do, and everything that is wrong with what it was told.

Pure: variables and facts in, a plan and lines for a person out. It never raises because of what a user wrote, and no
line or plan shows a token.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope, split_api_url

PREFIX = "github_docker_runners_"

#: What a pool may set for itself; the flat variable of the same name is its default.
POOL_OPTIONS = (
    "scope",
    "token",
    "count",
    "labels",
    "extra_labels",
    "group",
    "image",
    "image_pull",
    "cpus",
    "memory",
    "pids_limit",
    "work_folder",
    "name_prefix",
    "stop_grace_period",
    "environment",
)
HOST_OPTIONS = (
    "pools",
    "api_url",
    "ca_file",
    "directory",
    "user",
    "uid",
    "gid",
    "metrics_address",
    "metrics_port",
    "registration_timeout",
    "idle_timeout",
    "job_timeout",
    "drain_timeout",
    "shutdown_timeout",
    "teardown_timeout",
    "online_timeout",
    "wait_for_drain",
)
#: runnerd's limits: the least value, and an example (seconds).
LIMITS = {
    "registration": (0, 120),
    "idle": (0, 3600),
    "job": (0, 432000),
    "drain": (0, 21600),
    "shutdown": (0, 600),
    "teardown": (1, 60),
}

#: Debian's name of a machine's architecture is the kernel's; the label is GitHub's.
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
SYSTEMS = {"Debian": ("13",)}

#: GitHub refuses longer runner names; runnerd ends each with the first twelve digits of its container's id.
NAME_LIMIT = 64
CONTAINER_DIGITS = 12
#: Docker refuses a smaller limit. As a number without a unit means bytes, this also finds a forgotten unit.
MEMORY_MINIMUM = 6 * 2**20

#: Lower-case components, as Docker's reference grammar has it; a tag, a digest, or both.
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64}"
)
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?(?:([kmgt])i?b?|b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
#: GitHub's registration tokens (29 capitals and digits) and the tokens of App installations live for an hour.
_ONE_HOUR_TOKEN = re.compile(r"A[A-Z0-9]{28}|ghs_.+", re.DOTALL)
_GITHUB_TOKEN = re.compile(r"\b(?:gh[opsu]_|github_pat_)[A-Za-z0-9_]{16,}")
#: systemd hides these from the daemon (ProtectHome, PrivateTmp), or they are the system's own.
_HIDDEN = ("/home", "/root", "/run", "/tmp", "/var/tmp")  # noqa: S108 - names to refuse, no file is made there
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")

_REMEDY = (
    "make a fine-grained personal access token at https://github.com/settings/personal-access-tokens/new "
    "(organization: Self-hosted runners, read and write; repository: Administration, read and write) "
    "and keep it with ansible-vault"
)


def _shown(value: object) -> str:
    """`value` as it looks in YAML, shortened."""
    plain = isinstance(value, str) and value.strip() and value.isprintable()
    text = str(value) if plain else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass
class _Check:
    """Values by name, each judged and made what it stands for; what is wrong is written down and nothing raised.

    `where` comes before an option's name in a line: the place of a pool, for instance. Options that were `inherited`
    are said to be where they come from, the flat variables.
    """

    values: Mapping[str, Any]
    problems: list[str]
    where: str = PREFIX
    inherited: frozenset[str] = frozenset()

    def place(self, option: str) -> str:
        return PREFIX if option in self.inherited else self.where

    def wrong(self, option: str, why: str, remedy: str, *, secret: bool = False) -> None:
        value = "(hidden)" if secret else _shown(self.values.get(option))
        self.problems.append(f"{self.place(option)}{option} = {value}: {why}. Do: {remedy}")

    def integer(self, option: str, minimum: int, example: int, *, maximum: int | None = None, unit: str = "") -> int:
        """A whole number; texts such as ``-e`` and INI files give are read as numbers. `minimum` if it is none."""
        value = self.values.get(option)
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
            number = int(value)
        if number is not None and minimum <= number and (maximum is None or number <= maximum):
            return number
        span = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        unit = f" ({unit})" if unit else ""
        self.wrong(option, f"not a whole number {span}", f"give a whole number {span}{unit}, such as {example}")
        return minimum

    def text(self, option: str, pattern: str | re.Pattern[str], why: str, remedy: str) -> str:
        """A text that matches the whole of `pattern`; empty if it does not."""
        value = self.values.get(option)
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return str(value)
        self.wrong(option, why, remedy)
        return ""

    def choice(self, option: str, choices: tuple[str, ...]) -> str:
        allowed = " or ".join(choices)
        return self.text(option, "|".join(choices), f"not {allowed}", f"write {allowed}")

    def path(self, option: str, remedy: str) -> str:
        """An absolute path that the hardened daemon can reach."""
        text = self.text(option, r"(?:/[\w.+@-]+)+", "not a plain absolute path", remedy)
        parts = text.split("/")
        if ".." in parts or "." in parts:
            self.wrong(option, "not a plain absolute path", remedy)
        elif any(text == folder or text.startswith(f"{folder}/") for folder in _HIDDEN):
            self.wrong(option, "the daemon runs without access to this folder (systemd's sandbox)", remedy)
        return text


def _labels(check: _Check, option: str) -> list[str]:
    value = check.values.get(option)
    if isinstance(value, str):
        words = [word for word in re.split(r"[\s,]+", value) if word]
        check.wrong(option, "a text, where a list is needed", f"write {json.dumps(words)}")
        return []
    if not isinstance(value, (list, tuple)):
        check.wrong(option, "not a list", "write a list of labels, such as [self-hosted, linux, homelab]")
        return []
    bad = [label for label in value if not isinstance(label, str) or not re.fullmatch(r"[^\s,]{1,256}", label)]
    if bad:
        check.wrong(
            option,
            f"no label: {', '.join(_shown(label) for label in bad)}",
            "write each label as a text (numbers in quotes) without spaces and commas",
        )
    return [str(label) for label in value if label not in bad]


def _memory(check: _Check, host: Mapping[str, Any]) -> str:
    value = check.values.get("memory")
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    match = _MEMORY.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        check.wrong(
            "memory", "not an amount of memory", "write a number and a unit, such as 3g or 512m; 0 for no limit"
        )
        return ""
    size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    total = int(host.get("memory_mb") or 0)
    if 0 < size < MEMORY_MINIMUM:
        check.wrong("memory", "less than Docker's least of 6m", "write the unit too, such as 3g or 512m")
    elif total and size > total * 2**20:
        check.wrong("memory", f"this host has {total} MiB", f"write at most {total}m, or give the host more memory")
    return match[0].replace(" ", "") if size else ""


def _cpus(check: _Check, host: Mapping[str, Any]) -> str:
    value = check.values.get("cpus")
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"\s*[0-9]{1,4}(?:\.[0-9]{1,2})?\s*", text):
        check.wrong("cpus", "not a number of processors", "write a number, such as 2 or 1.5; 0 for no limit")
        return ""
    total = int(host.get("processors") or 0)
    if total and float(text) > total:
        check.wrong("cpus", f"this host has {total}", f"write at most {total}, or give the host more processors")
    return f"{float(text):g}" if float(text) else ""


def _environment(check: _Check, token: object) -> dict[str, str]:
    value = check.values.get("environment")
    if not isinstance(value, Mapping):
        check.wrong("environment", "not names with values", "write NAME: value, one a line", secret=True)
        return {}
    found = {}
    for name, content in value.items():
        one = _Check({}, check.problems, check.place("environment"))
        option = f"environment[{name}]"
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            one.wrong(option, "not the name of a variable", "use letters, digits and underscores only", secret=True)
        elif name.startswith("ACTIONS_RUNNER_INPUT_"):
            one.wrong(option, "the runner takes this for an option of its own", "take it out", secret=True)
        elif isinstance(content, bool):
            found[name] = "true" if content else "false"
        elif not isinstance(content, (str, int, float)):
            one.wrong(option, "not a text", "give a text or a number", secret=True)
        elif _GITHUB_TOKEN.search(str(content)) or (isinstance(token, str) and token and token in str(content)):
            one.wrong(
                option,
                "a GitHub token, which every job and `docker inspect` could read",
                "use a secret of the workflow, or the job's own GITHUB_TOKEN",
                secret=True,
            )
        else:
            found[name] = str(content)
    return found


def _scope(check: _Check, api_url: str | None, host: Mapping[str, Any]) -> Scope | None:
    value = check.values.get("scope")
    if value in (None, ""):
        inventory = host.get("inventory")
        files = [f"host_vars/{host.get('name')}.yml", *(f"group_vars/{group}.yml" for group in host.get("groups", []))]
        beside = f"beside the inventory, in {inventory}" if inventory else "beside the inventory file"
        check.wrong(
            "scope",
            "not set, and there is no default: perhaps Ansible did not read your group variables",
            f"set it to owner/repo, my-org or enterprises/NAME in one of {', '.join(files)} {beside}",
        )
    elif value in ("org", "organization", "repo", "repository", "enterprise"):
        check.wrong("scope", "a kind of scope, not a name", "write owner/repo, my-org or enterprises/NAME")
    elif api_url is not None:
        try:
            return Scope.parse(value, api_url)
        except ValueError as error:  # its text is already `scope = value: why. Do: …`
            check.problems.append(f"{check.place('scope')}{error}")
    return None


def _token(check: _Check) -> None:
    value = check.values.get("token")
    if value in (None, ""):
        check.wrong("token", "not set", _REMEDY)
    elif not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        check.wrong("token", "not one line without spaces", "copy the token again, alone", secret=True)
    elif _ONE_HOUR_TOKEN.fullmatch(value):
        check.wrong("token", "looks like a token that dies after an hour", _REMEDY, secret=True)


def _pool(check: _Check, name: str, api_url: str | None, host: Mapping[str, Any]) -> dict[str, Any]:
    """One pool as the Compose file and runnerd's settings need it."""
    scope = _scope(check, api_url, host)
    _token(check)
    count = check.integer("count", 1, 2, maximum=1000)
    slots = [f"{'runner' if name == 'default' else name}-{number}" for number in range(1, count + 1)]

    labels = _labels(check, "labels")
    if not check.values.get("labels"):
        labels = ["self-hosted", "linux", ARCHITECTURES.get(str(host.get("architecture")), ""), "ephemeral"]
    distinct: dict[str, str] = {}  # GitHub does not tell capitals from small letters in labels
    for label in [*labels, *_labels(check, "extra_labels")]:
        distinct.setdefault(label.lower(), label)
    if len(distinct) > 100:
        check.wrong("labels", f"{len(distinct)} labels in all, GitHub takes 100", "write fewer")

    group = check.text("group", r"\S(?:.*\S)?", "not a name", "write the runner group's name, such as Default")
    if scope is not None and scope.kind == "repo" and group.lower() not in ("default", ""):
        check.wrong("group", f"the repository {scope} has no runner groups", "write Default, or use the organization")

    prefix = check.text(
        "name_prefix",
        r"[A-Za-z0-9][A-Za-z0-9._-]*",
        "runner names may have letters, digits, dots, hyphens and underscores only",
        "write a short name, such as gh-runner-01",
    )
    room = NAME_LIMIT - CONTAINER_DIGITS - len(f"--{slots[-1]}")
    if len(prefix) > room:
        check.wrong("name_prefix", f"{len(prefix)} characters; GitHub's limit leaves {room}", "write a shorter one")

    work_folder = check.text(
        "work_folder",
        r"(?!.*(?:^|/)\.\.(?:/|$))[\w./-]+",
        "not a plain path",
        "write a folder's name below the runner's own, such as _work",
    )
    return {
        "name": name,
        "scope": str(scope) if scope else "",
        "group": group,
        "labels": list(distinct.values()),
        "work_folder": work_folder,
        "name_prefix": prefix,
        "slots": slots,
        "image": check.text(
            "image",
            _IMAGE,
            "not the name of an image",
            "write it as docker pull takes it, in small letters, such as ghcr.io/actions/actions-runner:latest",
        ),
        "image_pull": check.choice("image_pull", ("missing", "always")),
        "cpus": _cpus(check, host),
        "memory": _memory(check, host),
        "pids_limit": check.integer("pids_limit", 0, 4096),
        "stop_grace_period": check.integer("stop_grace_period", 1, 30, unit="seconds"),
        "environment": _environment(check, check.values.get("token")),
    }


def _pools(variables: Mapping[str, Any], problems: list[str]) -> list[tuple[str, _Check]]:
    """Every pool's name and values, those of the flat variables where it has none of its own."""
    flat = {option: variables.get(PREFIX + option) for option in POOL_OPTIONS}
    pools = variables.get(f"{PREFIX}pools") or []
    if not pools:
        return [("default", _Check(flat, problems))]
    top = _Check({"pools": pools}, problems)
    if not isinstance(pools, (list, tuple)) or not all(isinstance(pool, Mapping) for pool in pools):
        top.wrong("pools", "not a list of pools", "write a list with `- name: …` for each pool", secret=True)
        return []
    found: dict[str, _Check] = {}
    for number, pool in enumerate(pools, 1):
        where = f"{PREFIX}pools[{pool.get('name') or number}]."
        check = _Check({**flat, **pool}, problems, where, frozenset(flat) - frozenset(pool))
        name = check.text(
            "name",
            r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?",
            "not a pool's name",
            "write up to 20 small letters, digits, -",
        )
        for option in set(pool) - {"name", *POOL_OPTIONS}:
            check.wrong(option, "a pool has no such option", f"use one of {', '.join(POOL_OPTIONS)}", secret=True)
        if name in found:
            check.wrong("name", "two pools have this name", "give each pool a name of its own")
        elif name:
            found[name] = check
    return list(found.items())


def _host(host: Mapping[str, Any], problems: list[str]) -> None:
    """What is wrong with the machine itself."""
    fact = _Check(host, problems, where="")
    system, version = str(host.get("distribution")), str(host.get("version"))
    if version not in SYSTEMS.get(system, ()):
        problems.append(
            f"distribution = {system} {version}: not supported on a runner host. "
            f"Do: install Debian 13 on {host.get('name')}"
        )
    if host.get("architecture") not in ARCHITECTURES:
        fact.wrong("architecture", "GitHub's Linux runner is not for it", f"use one of {', '.join(ARCHITECTURES)}")
    if host.get("service_mgr") != "systemd":
        fact.wrong("service_mgr", "the runners are started and watched by systemd", "use a host that runs systemd")
    if host.get("uid") != 0:
        fact.wrong("uid", "not root, even with become", "set ansible_become_user to root, or take it out")


def runner_plan(variables: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be done with these variables on this host, and all that is wrong with them.

    Args:
        variables: The role's variables by full name, defaults included; unknown ones are looked at for misspellings.
        host: ``name``, ``groups``, ``inventory`` (its folder, or None), and facts: ``distribution``, ``version``,
            ``architecture``, ``service_mgr``, ``uid``, ``processors``, ``memory_mb``.

    Returns:
        ``problems`` (lines ``variable = value: why. Do: …``; the rest may be used only if there are none), ``pools``,
        ``slots`` (names, in order), ``settings`` (what runnerd is told), ``directory``, ``user``, ``uid``, ``gid``,
        ``online_timeout`` and ``drain_timeout`` (seconds).
    """
    problems: list[str] = []
    own = _Check({name.removeprefix(PREFIX): value for name, value in variables.items()}, problems)
    _host(host, problems)

    known = {*POOL_OPTIONS, *HOST_OPTIONS}
    for name in sorted(set(own.values) - known):
        # Others may have variables of their own that begin so; only what looks like a slip is one.
        if near := difflib.get_close_matches(name, known, 1, 0.8):
            own.wrong(name, "no such variable", f"write {PREFIX}{near[0]}", secret=True)

    api_url: str | None = None
    try:
        api_url = split_api_url(own.values.get("api_url", "")).geturl()
        if not api_url.startswith("https:"):
            own.wrong("api_url", "the token would go over the wire in clear", "write https://")
    except ValueError as error:  # its text is already `api_url = value: why. Do: …`
        problems.append(f"{PREFIX}{error}")

    pools: list[dict[str, Any]] = []
    credentials = _credential_names(variables)
    slots: dict[str, str] = {}
    for name, check in _pools(variables, problems):
        pool = {**_pool(check, name, api_url, host), "credential": credentials.get(name, "")}
        for slot in pool["slots"]:
            if slot in slots:
                check.wrong("name", f"the slot {slot} would be in the pool {slots[slot]} too", "choose another name")
                break
            slots[slot] = name
        pools.append(pool)

    directory = own.path("directory", "write a folder of its own, such as /opt/github-runners")
    if directory and (directory.count("/") < 2 or f"/{directory.split('/')[1]}" in _SYSTEM):
        own.wrong("directory", "the system's own", "write a folder of its own, such as /opt/github-runners")
    ca_file = own.values.get("ca_file")
    if ca_file:
        ca_file = own.path("ca_file", "write the path of a PEM file on the runner host, such as /etc/ssl/my-ca.pem")
    user = own.text("user", r"(?!root$)[a-z_][a-z0-9_-]{0,31}", "not a name for this user", "write github-runner")
    address = own.values.get("metrics_address")
    try:
        ipaddress.ip_address(address if isinstance(address, str) else "")
    except ValueError:
        own.wrong("metrics_address", "not an IP address", "write 127.0.0.1, or the address to listen on")

    limits = {
        name: own.integer(f"{name}_timeout", least, example, unit="seconds" if least else "seconds; 0 for none")
        for name, (least, example) in LIMITS.items()
    }
    settings = {
        "github": {"api_url": api_url or "", "ca_file": ca_file or None, "timeout": 30},
        "compose": {"project": "github-runners", "file": f"{directory}/docker-compose.yml", "profile": "runnerd"},
        "metrics": {
            "address": address,
            "port": own.integer("metrics_port", 0, 9252, maximum=65535, unit="0 for no metrics"),
        },
        "limits": limits,
        "pools": [
            {
                key: pool[key]
                for key in ("name", "scope", "group", "labels", "work_folder", "credential", "name_prefix", "slots")
            }
            for pool in pools
        ],
    }
    plan = {
        "pools": pools,
        "slots": list(slots),
        "settings": settings,
        "directory": directory,
        "user": user,
        "uid": own.integer("uid", 1, 1100, maximum=2**31),
        "gid": own.integer("gid", 1, 1100, maximum=2**31),
        "online_timeout": own.integer("online_timeout", 1, 180, unit="seconds"),
        "drain_timeout": limits["drain"],
    }
    return {"problems": _told(problems, variables), **plan}


def _told(problems: list[str], variables: Mapping[str, Any]) -> list[str]:
    """The problems, each once (pools may share a variable), without a token that stands where none belongs."""
    secrets = [str(token) for token in _tokens(variables).values() if len(str(token or "")) >= 8]
    lines = []
    for line in dict.fromkeys(problems):
        for secret in secrets:
            line = line.replace(secret, "(hidden)")
        lines.append(_GITHUB_TOKEN.sub("(hidden)", line))
    return lines


def _tokens(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Every pool's token, by the pool's name."""
    return {name: check.values.get("token") for name, check in _pools(variables, [])}


def _credential_names(variables: Mapping[str, Any]) -> dict[str, str]:
    """The name of every pool's credential: equal tokens are one, and the flat variable's is called ``default``."""
    flat = variables.get(f"{PREFIX}token")
    names: dict[Any, str] = {str(flat): "default"}
    return {pool: names.setdefault(str(token), f"pool-{pool}") for pool, token in _tokens(variables).items()}


def runner_credentials(variables: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What belongs into runnerd's credentials file: every credential that a pool uses, by its name. Secret."""
    names = _credential_names(variables)
    return {names[pool]: {"token": str(token)} for pool, token in _tokens(variables).items()}


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"runner_plan": runner_plan, "runner_credentials": runner_credentials}
