# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may do what: users, API tokens, roles and access control lists, by the rules of Proxmox VE's user management.

The rules: what is set at a path replaces what comes down from above; a user's own entry beats those of the groups; a
token with privilege separation has what both it and its user have; a pool's privileges hold for its members.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

ROOT = "root@pam"

# By area: what audits, what uses, what administers, what belongs to the node's administrator alone.
_COMMON: dict[str, tuple[str, str, str, str]] = {
    "Sys": ("Audit", "", "Console Syslog", "PowerMgmt Modify Incoming AccessNetwork"),
    "Datastore": ("Audit", "AllocateSpace", "Allocate AllocateTemplate", ""),
    "SDN": ("Audit", "Use", "Allocate", ""),
    "Pool": ("Audit", "", "Allocate", ""),
    "Mapping": ("Audit", "Use", "Modify", ""),
}
_VM: dict[int, tuple[str, str, str, str]] = {
    8: (
        "Audit",
        "Config.CDROM Config.Cloudinit Console Backup PowerMgmt",
        "Config.Disk Config.CPU Config.Memory Config.Network Config.HWType Config.Options Allocate Clone Migrate "
        "Monitor Snapshot Snapshot.Rollback",
        "",
    ),
    9: (
        "Audit GuestAgent.Audit",
        "Config.CDROM Config.Cloudinit Console Backup GuestAgent.FileRead GuestAgent.FileSystemMgmt "
        "GuestAgent.FileWrite PowerMgmt",
        "Config.Disk Config.CPU Config.Memory Config.Network Config.HWType Config.Options Allocate Clone "
        "GuestAgent.Unrestricted Migrate Replicate Snapshot Snapshot.Rollback",
        "",
    ),
}
_REST = ("Permissions.Modify", "User.Modify", "Group.Allocate", "Realm.Allocate", "Realm.AllocateUser")


class Refused(Exception):
    """Proxmox VE says no. ``message`` is the HTTP reason phrase, ``errors`` goes into the body."""

    def __init__(self, status: int, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = dict(errors or {})


def denied(what: str = "") -> Refused:
    """403 in Proxmox VE's words."""
    return Refused(403, f"Permission check failed ({what})" if what else "Permission check failed")


def builtin_roles(major: int) -> dict[str, frozenset[str]]:
    """The roles that a new installation has, and so all privileges there are (`Administrator`)."""
    areas = {**_COMMON, "VM": _VM[min(max(major, 8), 9)]}
    found: dict[str, frozenset[str]] = {}
    audits: set[str] = set()
    admins: set[str] = set()
    everything: set[str] = set(_REST)
    for area, groups in areas.items():
        audit, use, admin, root = ({f"{area}.{name}" for name in group.split()} for group in groups)
        if area == "SDN":
            admin |= audit
        found[f"PVE{area}Admin"] = frozenset(audit | use | admin)
        if use or area == "Pool":
            found[f"PVE{area}User"] = frozenset(audit | use)
        audits |= audit
        admins |= audit | use | admin
        everything |= audit | use | admin | root
    found["PVEAuditor"] = frozenset(audits)
    found["PVEAdmin"] = frozenset(admins - {"Mapping.Modify"} | {"User.Modify", "Group.Allocate", "Realm.AllocateUser"})
    found["PVETemplateUser"] = frozenset({"VM.Clone", "VM.Audit"})
    found["NoAccess"] = frozenset()
    found["Administrator"] = frozenset(everything)
    return found


@dataclasses.dataclass
class Token:
    """An API token of a user."""

    secret: str
    privsep: bool = True
    expire: float = 0  # seconds since the epoch; 0 = never


@dataclasses.dataclass
class User:
    """`name@realm`."""

    password: str = ""
    enable: bool = True
    groups: tuple[str, ...] = ()
    tokens: dict[str, Token] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the access control list."""

    path: str
    who: str  # user@realm, user@realm!token or @group
    role: str
    propagate: bool = True


class Access:
    """Users, roles, access control list."""

    def __init__(self, major: int) -> None:
        self.major = major
        self.roles = builtin_roles(major)
        self.users: dict[str, User] = {ROOT: User()}
        self.acl: list[Entry] = []
        self.pools: dict[str, set[str]] = {}  # pool -> its members' paths: /vms/250, /storage/local-lvm

    def replace(self, body: Mapping[str, Any]) -> None:
        """Take over ``{users?, roles?, acl?}``, see README.md. Raises ValueError, and changes nothing then."""
        unknown = set(body) - {"users", "roles", "acl"}
        if unknown:
            raise ValueError(f"{min(unknown)} = ...: unknown. Use: users, roles, acl.")
        roles = builtin_roles(self.major)
        for name, privileges in body.get("roles", {}).items():
            for privilege in privileges:
                if privilege not in roles["Administrator"]:
                    raise ValueError(f"roles.{name}: invalid privilege '{privilege}' (Proxmox VE {self.major}).")
            roles[name] = frozenset(privileges)
        users = {ROOT: User()}
        for name, fields in body.get("users", {}).items():
            if not re.fullmatch(r"[^\s:/@!]+@[A-Za-z][\w.\-]*", name):
                raise ValueError(f"users.{name}: write it as name@realm.")
            try:
                tokens = {key: Token(**one) for key, one in fields.get("tokens", {}).items()}
                users[name] = User(**{**fields, "tokens": tokens, "groups": tuple(fields.get("groups", ()))})
            except TypeError as error:
                raise ValueError(f"users.{name} = {sorted(fields)}: {error}.") from None
        acl = []
        for line in body.get("acl", []):
            try:
                entry = Entry(**line)
            except TypeError as error:
                raise ValueError(f"acl {line!r}: {error}.") from None
            if entry.role not in roles:
                raise ValueError(f"acl {line!r}: role '{entry.role}' does not exist.")
            acl.append(entry)
        self.roles, self.users, self.acl = roles, users, acl

    def privileges(self, who: str, path: str) -> frozenset[str]:
        """All that ``who`` (a user or a token) may at a path."""
        if who == ROOT:
            return self.roles["Administrator"]
        user, token = who.partition("!")[::2]
        if not token:
            return self._own(who, path)
        found = self.users.get(user)
        if found is None or token not in found.tokens:
            return frozenset()
        if not found.tokens[token].privsep:
            return self.privileges(user, path)
        return self._own(who, path) & self.privileges(user, path)

    def _own(self, who: str, path: str) -> frozenset[str]:
        roles = self._roles_at(who, path)
        if "NoAccess" not in roles:
            for pool, members in self.pools.items():
                if path in members:
                    by_pool = self._roles_at(who, f"/pool/{pool}")
                    roles = {"NoAccess"} if "NoAccess" in by_pool else roles | by_pool
        return frozenset(privilege for role in roles for privilege in self.roles[role])

    def _roles_at(self, who: str, path: str) -> set[str]:
        groups = self.users[who].groups if who in self.users else ()
        parts = [part for part in path.split("/") if part]
        found: set[str] = set()
        for depth in range(len(parts) + 1):
            here = "/" + "/".join(parts[:depth])
            entries = [one for one in self.acl if one.path == here and (one.propagate or depth == len(parts))]
            own = {one.role for one in entries if one.who == who}
            roles = own or {one.role for one in entries if one.who.removeprefix("@") in groups}
            if roles:
                found = {"NoAccess"} if "NoAccess" in roles else roles
        return found

    def may(self, who: str, path: str, privileges: Iterable[str], *, any_of: bool = False) -> bool:
        """Whether ``who`` has all (or any) of these privileges at a path."""
        has = self.privileges(who, path)
        return any(one in has for one in privileges) if any_of else all(one in has for one in privileges)

    def require(self, who: str, path: str, *privileges: str, any_of: bool = False) -> None:
        """Raises Refused 403, naming the first privilege that is missing."""
        if any_of:
            if not self.may(who, path, privileges, any_of=True):
                raise denied(f"{path}, {'|'.join(privileges)}")
            return
        for privilege in privileges:
            if not self.may(who, path, [privilege]):
                raise denied(f"{path}, {privilege}")

    def check(self, permissions: Mapping[str, Any], who: str, values: Mapping[str, Any]) -> None:
        """Check what the API's description demands for an operation. Raises Refused 403."""
        if who == ROOT or permissions.get("user") in ("all", "world"):
            return
        if "check" not in permissions:
            raise denied("user != root@pam" if not permissions else "")
        self._check(permissions["check"], who, values)

    def _check(self, rule: list[Any], who: str, values: Mapping[str, Any]) -> None:
        kind = rule[0]
        if kind == "and":
            for one in rule[1:]:
                self._check(one, who, values)
        elif kind == "or":
            if not any(self._passes(one, who, values) for one in rule[1:]):
                raise denied()
        elif kind == "perm":
            options = dict(zip(rule[3::2], rule[4::2], strict=True))
            if options.get("require_param") and options["require_param"] not in values:
                raise denied()
            path = re.sub(r"\{([^}]+)\}", lambda found: str(values.get(found[1], "")), rule[1])
            path = re.sub(r"/+", "/", path).rstrip("/") or "/"
            self.require(who, path, *self.names(rule[2]), any_of=bool(options.get("any")))
        else:
            raise denied()  # rules about users and groups: the double has no such operations

    def _passes(self, rule: list[Any], who: str, values: Mapping[str, Any]) -> bool:
        try:
            self._check(rule, who, values)
        except Refused:
            return False
        return True

    def names(self, privileges: Iterable[str]) -> list[str]:
        """Privileges of the description (version 9) as this version calls them: 8 has one for all of the agent."""
        if self.major >= 9:
            return list(privileges)
        return list(dict.fromkeys("VM.Monitor" if "GuestAgent" in one else one for one in privileges))
