# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the administrator wants: the settings file and the credentials file, read and judged whole.

Both are JSON because Python 3.10 (Ubuntu 22.04) has no TOML in its standard library; `docs/architecture.md` has an
example.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope

from .model import Limits
from .ways import scope_key

SCHEMA = 1
DEFAULT_SETTINGS = Path("/etc/runnerd/settings.json")


class SettingsError(Exception):
    """The settings cannot be used. `problems` has one line each: `option = value: why. Do: …`."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        """Keep the problems; the message lists them all."""
        self.problems = problems
        super().__init__("\n".join([f"{path} cannot be used:", *(f"  {p}" for p in problems)]))


@dataclass(frozen=True)
class GitHubSettings:
    """How to reach GitHub."""

    api_url: str = "https://api.github.com"
    ca_file: str | None = None
    timeout: float = 30


@dataclass(frozen=True)
class ComposeSettings:
    """Where the definition of the containers is."""

    file: Path
    project: str = "github-runners"
    profile: str = "runnerd"


@dataclass(frozen=True)
class MetricsSettings:
    """Where Prometheus may ask; port 0: nowhere."""

    address: str = "127.0.0.1"
    port: int = 9252


@dataclass(frozen=True)
class Pool:
    """Identical slots."""

    name: str
    scope: str
    labels: tuple[str, ...]
    slots: tuple[str, ...]
    name_prefix: str
    group: str = "Default"
    work_folder: str = "_work"
    credential: str = "default"

    @property
    def key(self) -> str:
        """What its lists, gates and budgets hang on."""
        return scope_key(self.credential, self.scope)

    def in_slot(self, slot: str) -> Pool:
        """The pool as one slot has it: a work folder on the host is the slot's own."""
        return replace(self, work_folder=self.work_folder.replace("{slot}", slot))


@dataclass(frozen=True)
class Settings:
    """All of it."""

    version: str
    github: GitHubSettings
    compose: ComposeSettings
    metrics: MetricsSettings
    limits: Limits
    pools: tuple[Pool, ...]

    @property
    def pool_of(self) -> dict[str, Pool]:
        """Slot -> its pool."""
        return {slot: pool for pool in self.pools for slot in pool.slots}


def load_settings(path: Path) -> Settings:
    """Read and judge the settings file.

    Raises:
        SettingsError: with every problem found, not only the first.
    """
    data = _read_json(path)
    return _Judge(path, data).settings()


def load_credentials(path: Path) -> dict[str, dict[str, str]]:
    """Read the credentials file: name -> `{"token": …}` or, for a GitHub App, `{"app_id": …, "private_key": …}`.

    Its values never appear in an error.

    Raises:
        SettingsError: it is missing, unreadable or of another shape.
    """
    # Loading it takes longer than most commands have to, and few of them read this file.
    from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.credential import credential_problems

    data = _read_json(path, secret=True)
    credentials, problems = {}, []
    for name, form in data.items():
        if not isinstance(form, dict) or not all(isinstance(value, (str, int)) for value in form.values()):
            problems.append(f'{name} = (hidden): is not of the form {{"token": "…"}}. Do: deploy again')
            continue
        credentials[name] = {part: str(value).strip() for part, value in form.items()}
        problems += [f"{name}: {problem}" for problem in credential_problems(credentials[name])]
    if problems:
        raise SettingsError(path, problems)
    return credentials


def _read_json(path: Path, secret: bool = False) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(path, [f"it cannot be read ({exc.strerror}). Do: deploy again"]) from None
    except ValueError as exc:
        where = "" if secret else f" ({exc})"
        raise SettingsError(path, [f"it is not JSON{where}. Do: deploy again"]) from None
    if not isinstance(data, dict):
        raise SettingsError(path, ["it is not a JSON object. Do: deploy again"])
    return data


class _Judge:
    """Turns data into settings and collects what is wrong on the way."""

    def __init__(self, path: Path, data: dict[str, object]) -> None:
        self.path = path
        self.data = data
        self.problems: list[str] = []

    def settings(self) -> Settings:
        if self.data.get("schema") != SCHEMA:
            self.bad("schema", self.data.get("schema"), f"this runnerd reads schema {SCHEMA}", "deploy again")
            raise SettingsError(self.path, self.problems)
        github = self.github(self.section(self.data, "github"))
        compose = self.compose(self.section(self.data, "compose", required=True))
        metrics = self.metrics(self.section(self.data, "metrics"))
        limits = self.limits(self.section(self.data, "limits"))
        pools = self.pools(github.api_url)
        if self.problems:
            raise SettingsError(self.path, self.problems)
        return Settings(str(self.data.get("version", "")), github, compose, metrics, limits, pools)

    def bad(self, option: str, value: object, why: str, remedy: str) -> None:
        self.problems.append(f"{option} = {json.dumps(value)}: {why}. Do: {remedy}")

    def section(self, data: Mapping[str, object], name: str, required: bool = False) -> dict[str, object]:
        value = data.get(name, None if required else {})
        if not isinstance(value, dict):
            self.bad(name, value, "is not an object", "see docs/architecture.md for the form")
            return {}
        return value

    def text(self, data: Mapping[str, object], where: str, name: str, default: str | None = None) -> str:
        value = data.get(name, default)
        if not isinstance(value, str) or not value:
            self.bad(f"{where}.{name}", value, "is not a text", "give one")
            return ""
        return value

    def number(self, data: Mapping[str, object], where: str, name: str, default: float) -> float:
        value = data.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            self.bad(f"{where}.{name}", value, "is not a number of 0 or more", "give seconds, or 0 for none")
            return default
        return float(value)

    def github(self, data: dict[str, object]) -> GitHubSettings:
        url = self.text(data, "github", "api_url", GitHubSettings.api_url)
        if url and not url.startswith("https://"):
            self.bad("github.api_url", url, "is not an https URL", "give one, such as https://api.github.com")
        ca_file = data.get("ca_file")
        if ca_file is not None and not (isinstance(ca_file, str) and Path(ca_file).is_file()):
            self.bad("github.ca_file", ca_file, "no such file on this host", "give the path of a PEM file, or null")
            ca_file = None
        timeout = self.number(data, "github", "timeout", GitHubSettings.timeout)
        return GitHubSettings(url.rstrip("/"), ca_file if isinstance(ca_file, str) else None, timeout or 30)

    def compose(self, data: dict[str, object]) -> ComposeSettings:
        return ComposeSettings(
            file=Path(self.text(data, "compose", "file")),
            project=self.text(data, "compose", "project", "github-runners"),
            profile=self.text(data, "compose", "profile", "runnerd"),
        )

    def metrics(self, data: dict[str, object]) -> MetricsSettings:
        port = self.number(data, "metrics", "port", MetricsSettings.port)
        if port > 65535 or port != int(port):
            self.bad("metrics.port", port, "is not a port", "give 1 to 65535, or 0 for no metrics")
        return MetricsSettings(self.text(data, "metrics", "address", MetricsSettings.address), int(port))

    def limits(self, data: dict[str, object]) -> Limits:
        known = {f.name: f.default for f in fields(Limits)}
        for name in data.keys() - known.keys():
            self.bad(f"limits.{name}", data[name], "no such limit", f"use {', '.join(sorted(known))}")
        return Limits(**{n: self.number(data, "limits", n, float(d)) for n, d in known.items()})  # type: ignore[arg-type]  # all defaults are numbers

    def pools(self, api_url: str) -> tuple[Pool, ...]:
        raw = self.data.get("pools")
        if not isinstance(raw, list) or not all(isinstance(pool, dict) for pool in raw):
            self.bad("pools", raw, "is not a list of objects", "see docs/architecture.md for the form")
            return ()
        pools = [self.pool(f"pools[{i}]", pool, api_url) for i, pool in enumerate(raw)]
        for what, names in (("name", [p.name for p in pools]), ("slots", [s for p in pools for s in p.slots])):
            for name in sorted({n for n in names if names.count(n) > 1}):
                self.bad(f"pools.{what}", name, "is there twice", "give each its own")
        return tuple(pools)

    def pool(self, where: str, data: dict[str, object], api_url: str) -> Pool:
        scope = self.text(data, where, "scope")
        if scope:
            try:
                scope = str(Scope.parse(scope, api_url))
            except ValueError as exc:  # its text is already `scope = value: why. Do: …`, or `api_url = …`
                self.problems.append(f"{where}: {exc}")
        return Pool(
            name=self.text(data, where, "name"),
            scope=scope,
            labels=self.texts(data, where, "labels"),
            slots=self.texts(data, where, "slots", may_be_empty=True),
            name_prefix=self.text(data, where, "name_prefix"),
            group=self.text(data, where, "group", "Default"),
            work_folder=self.text(data, where, "work_folder", "_work"),
            credential=self.text(data, where, "credential", "default"),
        )

    def texts(self, data: Mapping[str, object], where: str, name: str, may_be_empty: bool = False) -> tuple[str, ...]:
        value = data.get(name)
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.bad(f"{where}.{name}", value, "is not a list of texts", "give one")
            return ()
        if not value and not may_be_empty:
            self.bad(f"{where}.{name}", value, "is empty", "give at least one")
        return tuple(value)
