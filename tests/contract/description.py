# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GitHub's own description of its REST API, and a check of any exchange against it.

The document is GitHub's OpenAPI description as published on npm by its Octokit team (MIT); of the variants there, the
one for Enterprise Cloud, since it alone has the enterprise's runners and the deprecations. It is cut to the paths in
question when the tests run; nobody edits it, but for the one place where it contradicts itself.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

PACKAGE = "@octokit/openapi@23.0.2"
MEMBER = "package/generated/ghec.json"
SHA256 = "3224a411049a9d421d42ae8575172d4cb4778f4a978afddd030168aaf6f3dd51"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "contract"

# GitHub answers these anywhere, and documents them almost nowhere: the operation's list of answers does not name them.
ANYWHERE = {400, 401, 403, 404}
# And these to changes of a runner group, of which it describes the success alone.
OF_GROUPS = {409, 422}


# Its only operation with a mistake in it that matters here: the items of the list are spelled out, with an account that
# is a user and (`allOf`) an enterprise. Everywhere else an installation is a component, with an account that is either.
CONTRADICTORY = "/app/installations"


class MissingDescription(Exception):
    """It is not here and cannot be fetched; the text says what to type."""


class Violation(AssertionError):
    """An exchange that GitHub's description does not allow."""


def fetch(cache: Path = CACHE) -> Path:
    """The document, taken from the cache or fetched with npm. Raises MissingDescription."""
    kept = cache / "ghec-23.0.2.json"
    if not kept.exists():
        _download(cache, kept)
    found = hashlib.sha256(kept.read_bytes()).hexdigest()
    if found != SHA256:
        raise MissingDescription(f"{kept} is not the document of {PACKAGE} (SHA-256 {found}). Remove it and run again.")
    return kept


def _download(cache: Path, kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDescription(
            f"GitHub's API description is not in {cache}, and npm, which fetches it, is not installed.\n"
            "Install npm (on Debian or Ubuntu: apt-get install npm) and run again, or bring it from another machine:\n"
            f"  npm pack {PACKAGE} && tar xzf octokit-openapi-*.tgz {MEMBER}\n"
            f"  cp {MEMBER} {kept}"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or not archives:
            raise MissingDescription(f"`npm pack {PACKAGE}` failed ({done.returncode}):\n{done.stderr.strip()}")
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(MEMBER)
            if member is None:
                raise MissingDescription(f"{PACKAGE} has no {MEMBER}.")
            whole = Path(folder) / "whole.json"
            whole.write_bytes(member.read())
        os.replace(whole, kept)  # at once: another run may do the same


def cut(document: dict[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The document with these paths only, and the components that they need, whole."""
    subset: dict[str, Any] = {key: document[key] for key in ("openapi", "info", "servers")}
    subset["paths"] = {path: document["paths"][path] for path in paths if path in document["paths"]}
    if CONTRADICTORY in subset["paths"]:
        subset["paths"][CONTRADICTORY] = _repaired(subset["paths"][CONTRADICTORY])
    components: dict[str, dict[str, Any]] = {}
    # The error that undocumented statuses are held to.
    waiting: list[Any] = [subset["paths"], {"$ref": "#/components/schemas/basic-error"}]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            reference = node.get("$ref")
            if isinstance(reference, str):
                kind, name = reference.removeprefix("#/components/").split("/", 1)
                if name not in components.setdefault(kind, {}):
                    components[kind][name] = document["components"][kind][name]
                    waiting.append(components[kind][name])
    return {**subset, "components": components}


def _repaired(item: dict[str, Any]) -> dict[str, Any]:
    """CONTRADICTORY with the component for its items."""
    whole: dict[str, Any] = copy.deepcopy(item)
    schema = whole["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    if "allOf" not in schema["items"]["properties"]["account"]:
        raise AssertionError("GitHub has repaired it: take this out")
    schema["items"] = {"$ref": "#/components/schemas/installation"}
    return whole


class Description:
    """The cut description, and what it says about one exchange."""

    def __init__(self, document: dict[str, Any], paths: Iterable[str]) -> None:
        self.document = cut(document, paths)
        # What the description does not name, an answer must not have: that is how a stand-in's inventions are found.
        self._openapi = OpenAPI.from_dict(self.document, Config(additional_properties_default_policy="forbid"))
        self._server = self.document["servers"][0]["url"]

    def operations(self) -> set[tuple[str, str]]:
        """(method, path) of everything it describes."""
        methods = {"get", "post", "put", "patch", "delete"}
        return {
            (method.upper(), path)
            for path, item in self.document["paths"].items()
            for method in item
            if method in methods
        }

    def check(self, template: str, request: requests.PreparedRequest, response: requests.Response) -> None:
        """Raise Violation unless the exchange fits the operation at ``template``.

        An answer has to be described; a request has to be where the answer is a success.
        """
        method = str(request.method).lower()
        operation = self.document["paths"].get(template, {}).get(method)
        if operation is None:
            raise Violation(f"{method.upper()} {template} is not an operation of GitHub's")
        if response.status_code == 304:
            if response.content:
                raise Violation("a 304 with a body")
            return
        url, _mark, query = str(request.path_url).removeprefix("/api/v3").partition("?")
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), url)
        args = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        body = request.body.encode() if isinstance(request.body, str) else request.body
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        asked = MockRequest(
            self._server,
            method,
            url,
            path_pattern=template,
            view_args=found.groupdict() if found else {},
            args=args,
            data=body if isinstance(body, bytes) else None,
            content_type="application/json",
        )
        if str(response.status_code) not in operation["responses"]:
            self._check_undocumented(method, template, response)
            return
        answered = MockResponse(response.content, status_code=response.status_code, content_type=kind)
        try:
            if response.ok:
                self._openapi.validate_request(asked)
            self._openapi.validate_response(asked, answered)
        except Exception as error:
            causes = getattr(error.__cause__ or error, "schema_errors", None) or [error.__cause__ or error]
            reasons = "; ".join(f"{'.'.join(map(str, getattr(one, 'path', [])))}: {one}" for one in causes)
            raise Violation(f"{method.upper()} {template} -> {response.status_code}: {reasons}"[:2000]) from error
        if response.status_code == 204 and response.content:
            raise Violation("a 204 with a body")

    def _check_undocumented(self, method: str, template: str, response: requests.Response) -> None:
        where = f"{method.upper()} {template} -> {response.status_code}"
        more = OF_GROUPS if "/runner-groups" in template and method != "get" else set()
        if response.status_code not in ANYWHERE | more:
            raise Violation(f"{where}: GitHub does not answer with this status")
        # basic-error: nothing but strings, none of them required.
        known, body = self.document["components"]["schemas"]["basic-error"]["properties"], response.json()
        if not set(body) <= set(known) or not all(isinstance(value, str) for value in body.values()):
            raise Violation(f"{where}: {body} is not GitHub's form of an error")


def load(paths: Iterable[str]) -> Description:
    """The description of these paths. Raises MissingDescription."""
    return Description(json.loads(fetch().read_text("utf-8")), paths)
