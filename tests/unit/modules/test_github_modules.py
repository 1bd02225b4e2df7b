# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that talk to GitHub have in common: options, credentials, and every way to fail."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme
import yaml

from tests.doubles.github.server import Double, running
from tests.repository import sources

from .conftest import CREDENTIALS, SCOPES, TOKEN, WEBHOOK, Result, Run

# Every module that talks to GitHub, with the options without which it does nothing.
MODULES: dict[str, dict[str, Any]] = {
    "gha_jit_config": {"name": "new", "replace": True},
    "gha_runner": {"state": "pruned", "name_prefix": "gone-"},
    "gha_runner_group": {"name": "builders"},
    "gha_runner_info": {},
    "gha_runner_scope": {},
    "gha_runner_version_info": {},
    "gha_webhook_delivery_info": {"hook_url": WEBHOOK},
    "github_app_token": {},
    "github_registration_token": {},
}
APP_ONLY = {"github_app_token"}  # these take no token
MAKERS = {"gha_jit_config", "github_app_token", "github_registration_token"}  # these return a credential
QUESTIONS = [name for name in MODULES if name != "github_registration_token"]  # these begin with a question
WITH_TOKEN = [name for name in MODULES if name not in APP_ONLY]
# These are not for every kind of scope; where a test means a repository, they take what stands here.
INSTEAD = {"gha_runner_group": {"my-org/app": "my-org", "my-org/nothing": "nothing", "me/home": "nobody"}}
# Neither for every scope, nor about runners' rights alone: their own tests have each missing permission.
OF_RUNNERS = [name for name in WITH_TOKEN if name not in ("gha_runner_group", "gha_webhook_delivery_info")]
# Words for what a credential has to be allowed, where it is not about runners.
RIGHTS = {"gha_webhook_delivery_info": ("'Webhooks: read'", "organization_hooks: read")}
COLLECTION = "ephemeral.github_runners"
KEYS = {
    "kind",
    "action",
    "url",
    "status",
    "message",
    "request_id",
    "documentation_url",
    "remedy",
    "retry_after",
    "transient",
}
ISSUED = {"jit", "registration-token", "remove-token"}  # by the double, to a runner's maker
CREDENTIAL = {"token", "client_id", "app_id", "private_key", "private_key_file", "installation_id"}  # options
# What the App of the tests may do.
PERMISSIONS = {
    "organization_self_hosted_runners": "write",
    "administration": "write",
    "metadata": "read",
    "organization_hooks": "read",
    "repository_hooks": "read",
}
Calls = Callable[[], list[str]]


def failure(found: Result) -> dict[str, Any]:
    """The error of a failed result, after what every one has: all keys, and a sentence with all that is known."""
    error = found["error"]
    assert found["failed"] is True
    assert error.keys() == KEYS
    assert found["msg"].startswith(f"Could not {error['action']}: ")
    assert found["msg"].endswith(f". Do: {error['remedy']}")
    for name in ("url", "status", "message", "request_id"):
        assert error[name] is None or str(error[name]) in found["msg"]
    assert error["remedy"]
    return dict(error)


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of(module: str, scope: str) -> str:
    """The scope, or one of a kind that the module knows."""
    return INSTEAD.get(module, {}).get(scope, scope)


def login(double: Double, module: str) -> dict[str, Any]:
    """What the module needs to log in, other than the usual token."""
    if module not in APP_ONLY:
        return {}
    double.admin.apps({"my-app": {"id": 5, "permissions": PERMISSIONS, "installations": {"my-org": {}}}})
    return {"token": None, "app_id": 5, "private_key": double.admin.app_key("my-app")}


@pytest.fixture
def run(run: Run, double: Double) -> Run:
    """As ever, with what the module needs."""

    def go(module: str, /, **options: Any) -> Result:
        credential = {} if options.keys() & CREDENTIAL else login(double, module)
        return run(module, **{**MODULES[module], **credential, **options})

    return go


class TestRefusals:
    # Remedies where it is the App's login that is refused.
    OF_AN_APP: ClassVar = {
        401: "give a private_key of this very App",
        403: "use a credential that may do this",
        404: "install the App",
    }

    @pytest.mark.parametrize(
        ("status", "kind", "remedy"),
        [
            (401, "Unauthorized", "give a credential that is valid now"),
            (403, "Forbidden", "Self-hosted runners"),
            (404, "NotFound", "/my-org is there"),
            (409, "Conflict", "see what is there already"),
            (422, "Unprocessable", "correct what GitHub names"),
            (500, "ServerError", "try again later"),
            (503, "ServerError", "try again later"),
        ],
    )
    def test_status(self, run: Run, double: Double, module: str, status: int, kind: str, remedy: str) -> None:
        double.admin.fault(status=status)
        remedy = RIGHTS[module][0] if module in RIGHTS and status == 403 else remedy
        error = failure(run(module))
        assert (error["kind"], error["status"], error["message"]) == (kind, status, "Ordered by a test")
        assert (remedy if module not in APP_ONLY else self.OF_AN_APP.get(status, remedy)) in error["remedy"]
        assert error["url"].startswith(f"{double.api_url}/orgs/my-org")
        assert error["documentation_url"].startswith("https://docs.github.com/")
        assert error["request_id"] in [entry["id"] for entry in double.admin.journal()["entries"]]
        assert (error["transient"], error["retry_after"]) == (status >= 500, None)

    def test_a_limit(self, run: Run, double: Double, module: str) -> None:
        double.admin.fault(status=429, retry_after=77)
        error = failure(run(module))
        assert (error["kind"], error["status"]) == ("RateLimited", 429)
        assert 70 <= error["retry_after"] <= 77
        assert error["remedy"].startswith("wait until 20")

    def test_a_secondary_limit(self, run: Run, double: Double, module: str) -> None:
        body = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}
        double.admin.fault(status=403, retry_after=30, body=body)
        error = failure(run(module))
        assert (error["kind"], error["status"], error["message"]) == ("RateLimited", 403, body["message"])
        assert 25 <= error["retry_after"] <= 30

    @pytest.mark.parametrize("status", [200, 404, 502])
    def test_a_page_of_a_proxys(self, run: Run, double: Double, module: str, status: int) -> None:
        double.admin.fault(html=status)
        error = failure(run(module))
        assert error["kind"] == ("ServerError" if status == 502 else "ProtocolError")
        assert (error["status"], error["request_id"]) == (status, None)
        assert error["message"] == f"not JSON but text/html; charset=utf-8, titled '{status}'"
        assert error["transient"] is True

    @pytest.mark.parametrize("fault", [{"cut": "before"}, {"truncate": 10}])
    def test_a_cut_connection(self, run: Run, double: Double, module: str, fault: dict[str, Any]) -> None:
        double.admin.fault(**fault)
        error = failure(run(module))
        assert (error["kind"], error["status"]) == ("Unreachable", None)
        assert double.api_url.partition("//")[2] in error["message"]
        assert "HTTPS_PROXY" in error["remedy"]

    def test_broken_json(self, run: Run, double: Double, module: str) -> None:
        double.admin.fault(malformed=True)
        assert failure(run(module))["kind"] == "ProtocolError"

    def test_nobody_listens(self, run: Run, module: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        error = failure(run(module, api_url=url))
        assert (error["kind"], error["url"].partition("/orgs")[0]) == ("Unreachable", url)

    def test_silence(self, run: Run, double: Double, module: str) -> None:
        double.admin.fault(delay=30)
        assert "timed out" in failure(run(module, timeout=1))["message"]

    @pytest.mark.parametrize("module", WITH_TOKEN, indirect=True)
    @pytest.mark.parametrize("name", ["stranger", "old"])
    def test_a_credential_that_will_not_do(self, run: Run, module: str, name: str) -> None:
        expected = {"stranger": ("Forbidden", 403), "old": ("Unauthorized", 401)}[name]
        error = failure(run(module, token=CREDENTIALS[name]["token"]))
        assert (error["kind"], error["status"]) == expected

    @pytest.mark.parametrize("module", OF_RUNNERS, indirect=True)
    @pytest.mark.parametrize(
        ("lacking", "scope", "status", "remedy"),
        [
            ({"oauth_scopes": ["repo"]}, "my-org", 403, "scope 'admin:org'"),
            ({"oauth_scopes": ["admin:org"]}, "my-org/app", 404, "the credential may see it|'Administration: write'"),
            ({"oauth_scopes": ["admin:org"]}, "enterprises/acme", 404, "scope 'manage_runners:enterprise'"),
            (
                {"kind": "fine-grained", "permissions": {"administration": "write"}},
                "my-org",
                403,
                "(GitHub: organization_self_hosted_runners=",
            ),
            (
                {"kind": "fine-grained", "permissions": {"organization_self_hosted_runners": "write"}},
                "my-org/app",
                403,
                "(GitHub: administration=",
            ),
            ({"sso": ["my-org"]}, "my-org", 403, "authorize the token for the single sign-on"),
        ],
    )
    def test_each_missing_permission(
        self,
        run: Run,
        double: Double,
        module: str,
        lacking: dict[str, Any],
        scope: str,
        status: int,
        remedy: str,
    ) -> None:
        double.admin.credentials({"some": {"token": TOKEN, "scopes": {scope: "write"}, **lacking}})
        error = failure(run(module, scope=scope))
        assert error["status"] == status
        assert any(words in error["remedy"] for words in remedy.split("|"))  # which of them, the first request tells

    def test_a_scope_that_is_not_there(self, run: Run, module: str) -> None:
        error = failure(run(module, scope=of(module, "my-org/nothing")))
        assert (error["kind"], error["status"]) == ("NotFound", 404)

    @pytest.mark.parametrize("module", QUESTIONS, indirect=True)
    def test_a_question_is_repeated_as_often_as_told(self, run: Run, double: Double, calls: Calls, module: str) -> None:
        double.admin.fault(status=503, times=2)
        assert failure(run(module, retries=0))["status"] == 503
        assert len(calls()) == 1
        assert "failed" not in run(module, retries=1)
        first, second, *_rest = calls()
        assert first == second


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"scope": "a b"}, "scope = 'a b': not the name of a repository"),
            ({"scope": ""}, "scope = '': not the name of a repository"),
            ({"scope": "https://github.example.com/o"}, "scope = 'https://github.example.com/o': not on "),
            ({"api_url": "api.github.com"}, "api_url = 'api.github.com': not the plain URL of an API"),
            ({"api_url": "https://github.com"}, "api_url = 'https://github.com': not the plain URL of an API"),
            ({"api_url": "https://me:secret@h/api/v3"}, "api_url = 'https://***@h/api/v3': not the plain"),
            ({"ca_file": "/nowhere/ca.pem"}, "ca_file = '/nowhere/ca.pem': [Errno 2] No such file"),
            ({"ca_file": __file__}, f"ca_file = {__file__!r}: "),
            ({"timeout": 0}, "timeout = 0: too small. Do: give a whole number from 1 on"),
            ({"retries": -1}, "retries = -1: too small. Do: give a whole number from 0 on"),
            ({"token": "two words"}, "token = (hidden): it is empty, or has a space"),
            ({"token": ""}, "token = '': no credential. Do: give token; or, for a GitHub App, client_id"),
            ({"token": None}, "token = '': no credential. Do: give token; or, for a GitHub App, client_id"),
            ({"app_id": "5"}, "app_id = (hidden): there is a token too. Do: give one of the two"),
            ({"token": None, "app_id": "a b"}, "app_id = (hidden): neither a client id nor an id of a GitHub App"),
            ({"token": None, "client_id": "Iv23"}, "private_key = '': an App needs one. Do: "),
            ({"token": None, "private_key": "x"}, "client_id = '': it is not said whose private_key this is"),
            ({"token": None, "private_key_file": "/no.pem"}, "private_key_file = /no.pem: No such file or directory."),
            ({"token": None, "private_key_file": "/"}, "private_key_file = /: Is a directory."),
            ({"token": None, "private_key_file": sys.executable}, f"private_key_file = {sys.executable}: no text."),
            (
                {"token": None, "app_id": "5", "private_key": "x", "private_key_file": "/no.pem"},
                "private_key_file = /no.pem: there is a private_key too. Do: give one of the two",
            ),
            (
                {"token": None, "app_id": "5", "private_key": "", "private_key_file": "/no.pem"},
                "private_key_file = /no.pem: No such file or directory.",
            ),
            (
                {"token": None, "app_id": "5", "private_key": "no key", "private_key_file": ""},
                "private_key = (hidden): no PEM text",
            ),
        ],
    )
    def test_wrong(self, run: Run, calls: Calls, module: str, options: dict[str, Any], problem: str) -> None:
        found = run(module, **options)
        assert found["failed"] is True
        assert found["msg"].startswith(problem)
        assert ". Do: " in found["msg"]
        assert "error" not in found
        assert calls() == []

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"scope": None}, "missing required arguments: scope"),
            ({"timeout": "soon"}, "'timeout'"),
            ({"retries": 1.5}, "'retries'"),
            ({"repository": "x"}, "Unsupported parameters"),
        ],
    )
    def test_what_ansible_itself_refuses(
        self, run: Run, calls: Calls, module: str, options: dict[str, Any], words: str
    ) -> None:
        found = run(module, **options)
        assert found["failed"] is True
        assert words in found["msg"]
        assert calls() == []

    def test_several_wrong_parts_are_told_at_once(self, run: Run) -> None:
        found = run("gha_runner_info", token=None, app_id="a b", installation_id="x", private_key="no key")
        lines = found["msg"].splitlines()
        assert [line.partition(" = ")[0] for line in lines] == ["app_id", "private_key", "installation_id"]

    @pytest.mark.parametrize("path", ["", "/api/v3"])
    def test_where_the_api_is(self, run: Run, double: Double, calls: Calls, module: str, path: str) -> None:
        """On a GitHub Enterprise Server it is below a path, and the pages are not."""
        found = run(module, api_url=double.api_url + path)
        assert found.get("url", double.api_url + "/my-org") == f"{double.api_url}/my-org"
        below = (f"{path}/orgs/my-org", f"{path}/app/installations/")
        assert all(call.partition(" ")[2].startswith(below) for call in calls())


@pytest.mark.parametrize("module", WITH_TOKEN, indirect=True)
class TestEnvironment:
    def test_it_is_asked_for_what_no_option_gives(self, run: Run, double: Double, module: str) -> None:
        environ = {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": double.api_url}
        assert "failed" not in run(module, token=None, api_url=None, environ=environ)

    def test_an_option_beats_it(self, run: Run, module: str) -> None:
        environ = {"GITHUB_TOKEN": "ghp_wrong", "GITHUB_APP_ID": "5", "GITHUB_API_URL": "http://127.0.0.1:9"}
        assert "failed" not in run(module, environ=environ)

    def test_it_is_named_where_it_is_wrong(self, run: Run, module: str) -> None:
        environ = {"GITHUB_TOKEN": "x y", "GITHUB_APP_ID": "5", "GITHUB_APP_PRIVATE_KEY_FILE": ""}
        found = run(module, token=None, environ=environ)
        assert found["msg"].startswith("app_id = (hidden): there is a token too. Do: ")
        assert found["msg"].endswith(" (from the environment: GITHUB_APP_ID, GITHUB_TOKEN)")
        environ = {"GITHUB_APP_ID": "5", "GITHUB_APP_PRIVATE_KEY_FILE": "/no.pem"}
        found = run(module, token=None, environ=environ)
        assert found["msg"].startswith("private_key_file = /no.pem: No such file or directory.")
        assert found["msg"].endswith(" (from the environment: GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY_FILE)")

    @pytest.mark.parametrize("option", ["scope", "api_url", "ca_file"])
    def test_it_is_not_blamed_for_what_is_none_of_its(self, run: Run, module: str, option: str) -> None:
        found = run(module, token=None, environ={"GITHUB_TOKEN": TOKEN}, **{option: "/a b"})
        assert found["msg"].startswith(f"{option} = '/a b': ")
        assert "environment" not in found["msg"]

    def test_a_token_from_there_is_hidden_too(self, run: Run, double: Double, module: str) -> None:
        """Where GitHub, or a proxy, says it back."""
        double.admin.fault(status=403, body={"message": f"No {TOKEN} here"})
        found = run(module, token=None, environ={"GITHUB_TOKEN": TOKEN})
        assert found["error"]["message"] == "No ******** here"


class TestApp:
    """A GitHub App instead of a token."""

    @pytest.fixture(autouse=True)
    def key(self, double: Double) -> str:
        """Its private key; the App is installed on my-org."""
        app = {"id": 5, "client_id": "Iv23liForTests", "permissions": PERMISSIONS}
        double.admin.apps({"my-app": {**app, "installations": {"my-org": {}}}})
        return double.admin.app_key("my-app")

    @pytest.fixture
    def run(self, run: Run, double: Double, key: str) -> Run:
        """As ever, without the usual token; and no word may show the key or a token made with it."""

        def go(module: str, /, **options: Any) -> Result:
            found = run(module, **{"token": None, **options})
            shown = str({**found, "token": None} if module in APP_ONLY else found)
            assert not [line for line in key.splitlines() if line in shown and "-----" not in line]
            made = [each["secret"] for each in double.admin.issued() if each["kind"] not in ISSUED]
            assert not [secret for secret in made if secret in shown]
            return found

        return go

    @pytest.mark.parametrize("scope", ["my-org", "my-org/app"])
    @pytest.mark.parametrize("name", [{"app_id": 5}, {"client_id": "Iv23liForTests"}])
    def test_by_id_and_by_client_id(
        self, run: Run, calls: Calls, key: str, module: str, scope: str, name: dict[str, Any]
    ) -> None:
        scope = of(module, scope)
        assert "failed" not in run(module, scope=scope, private_key=key, **name)
        path = f"/{'repos' if '/' in scope else 'orgs'}/{scope}/installation"
        assert calls()[0] == f"GET {path}"

    def test_the_installation_may_be_given(self, run: Run, double: Double, calls: Calls, key: str, module: str) -> None:
        run(module, app_id=5, private_key=key)
        (number,) = {call.split("/")[3] for call in calls() if "/access_tokens" in call}
        assert "failed" not in run(module, app_id=5, private_key=key, installation_id=number)
        assert calls()[0] == f"POST /app/installations/{number}/access_tokens"

    @pytest.mark.parametrize("mangle", [str.strip, lambda key: key.replace("\n", "\\n"), lambda key: f"  {key}\n"])
    def test_the_key_as_vaults_give_it(self, run: Run, key: str, mangle: Callable[[str], str]) -> None:
        assert "failed" not in run("gha_runner_info", app_id=5, private_key=mangle(key))

    def test_the_key_in_a_file(self, run: Run, key: str, module: str, tmp_path: Path) -> None:
        (tmp_path / "my-app.pem").write_text(key)
        assert "failed" not in run(module, app_id=5, private_key_file="~/my-app.pem")

    def test_from_the_environment(self, run: Run, key: str, module: str) -> None:
        assert "failed" not in run(module, environ={"GITHUB_APP_ID": "5", "GITHUB_APP_PRIVATE_KEY": key})

    def test_in_check_mode_it_only_logs_in(self, run: Run, double: Double, calls: Calls, key: str, module: str) -> None:
        assert "failed" not in run(module, check=True, app_id=5, private_key=key)
        assert [call for call in calls() if not call.startswith("GET ") and "/access_tokens" not in call] == []
        assert not [each for each in double.admin.issued() if each["kind"] in ISSUED]

    def test_clocks_that_differ(self, run: Run, double: Double, calls: Calls, key: str, module: str) -> None:
        """GitHub's is two hours ahead: it refuses what this machine's clock has signed, and tells its own."""
        double.admin.advance(7200)
        assert "failed" not in run(module, app_id=5, private_key=key)
        assert calls()[:2] == ["GET /orgs/my-org/installation"] * 2

    def test_not_installed_there(self, run: Run, key: str, module: str) -> None:
        error = failure(run(module, scope=of(module, "me/home"), app_id=5, private_key=key))
        assert (error["status"], error["kind"]) == (404, "NotFound")
        assert "install the App" in error["remedy"]

    def test_a_key_of_another(self, run: Run, double: Double, key: str, module: str) -> None:
        double.admin.forget_app_keys("my-app")
        double.admin.app_key("my-app")
        error = failure(run(module, app_id=5, private_key=key))
        assert (error["status"], error["kind"]) == (401, "Unauthorized")
        assert "give a private_key of this very App" in error["remedy"]

    def test_suspended(self, run: Run, double: Double, key: str, module: str) -> None:
        app = {"id": 5, "permissions": PERMISSIONS, "installations": {"my-org": {"suspended": True}}}
        double.admin.apps({"my-app": app})
        found = run(module, app_id=5, private_key=double.admin.app_key("my-app"))
        assert "lift the suspension" in failure(found)["remedy"]

    def test_without_the_permission(self, run: Run, double: Double, key: str, module: str) -> None:
        app = {"id": 5, "permissions": {"metadata": "read"}, "installations": {"my-org": {}}}
        double.admin.apps({"my-app": app})
        error = failure(run(module, app_id=5, private_key=double.admin.app_key("my-app")))
        assert error["status"] == 422
        expected = RIGHTS[module][1] if module in RIGHTS else "Self-hosted runners: Read and write"
        assert expected in error["remedy"]

    def test_not_for_an_enterprise(self, run: Run, calls: Calls, key: str, module: str) -> None:
        found = run(module, scope="enterprises/acme", app_id=5, private_key=key)
        assert found["msg"].startswith(
            "scope = enterprises/acme: GitHub Apps cannot manage the runners of an enterprise."
        )
        assert calls() == []

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("no key", "no PEM text"),
            ("my-app.pem", "no PEM text"),
            ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "a public key"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIB", "cut short"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----", "encrypted"),
        ],
    )
    def test_what_is_no_key(self, run: Run, calls: Calls, module: str, text: str, why: str) -> None:
        found = run(module, app_id=5, private_key=text)
        assert found["msg"].startswith(f"private_key = (hidden): {why}")
        assert calls() == []

    @pytest.mark.parametrize("name", ["option", "environment"])
    def test_the_key_itself_instead_of_its_file(self, run: Run, calls: Calls, key: str, module: str, name: str) -> None:
        """Ansible writes why a task failed even with no_log, so nobody but the module can hide it."""
        given = {"private_key_file": key} if name == "option" else {}
        environ = {"GITHUB_APP_PRIVATE_KEY_FILE": key} if name == "environment" else {}
        found = run(module, app_id=5, environ=environ, **given)  # which sees to it that no line of it is shown
        assert found["msg"].startswith("private_key_file = (hidden): the key itself, not its file. Do: ")
        assert calls() == []


class TestLibraries:
    @pytest.mark.parametrize("missing", [("requests", "urllib3"), ("jwt",), ("cryptography",)])
    def test_missing(self, run: Run, module: str, missing: tuple[str, ...]) -> None:
        found = run(module, missing=missing, token=None, app_id="5", private_key="x")
        assert found["failed"] is True
        names = "requests" if "requests" in missing else "PyJWT and cryptography"
        assert f"({names}) on " in found["msg"]
        assert sys.executable in found["msg"]
        assert f". Do: {sys.executable} -m pip install {names.replace(' and ', ' ')}, or" in found["msg"]

    @pytest.mark.parametrize("module", WITH_TOKEN, indirect=True)
    def test_a_token_needs_none_of_an_apps(self, run: Run, module: str) -> None:
        assert "failed" not in run(module, missing=("jwt", "cryptography"))


class TestCertificates:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, Path]:
        """PEM files: of the server, of the authority that vouches for it, and of another."""
        authority = trustme.CA()
        found = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "right", "wrong")}
        server = authority.issue_cert("127.0.0.1")
        server.cert_chain_pems[0].write_to_path(str(found["cert"]))
        server.private_key_pem.write_to_path(str(found["key"]))
        authority.cert_pem.write_to_path(str(found["right"]))
        trustme.CA().cert_pem.write_to_path(str(found["wrong"]))
        return found

    @pytest.fixture
    def https(self, files: dict[str, Path]) -> Iterator[Double]:
        with running(credentials=CREDENTIALS, scopes=SCOPES, cert=files["cert"], key=files["key"]) as found:
            yield found

    def test_of_an_authority_of_ones_own(self, run: Run, https: Double, files: dict[str, Path], module: str) -> None:
        assert https.api_url.startswith("https://")
        found = run(module, api_url=https.api_url, ca_file=str(files["right"]), **login(https, module))
        assert "failed" not in found

    @pytest.mark.parametrize("name", [None, "wrong"])
    def test_of_one_that_is_not_trusted(
        self, run: Run, https: Double, files: dict[str, Path], module: str, name: str | None
    ) -> None:
        error = failure(run(module, api_url=https.api_url, ca_file=name and str(files[name])))
        assert error["kind"] == "Unreachable"
        assert "certificate verify failed" in error["message"]
        assert "set ca_file" in error["remedy"]
        assert https.admin.journal()["entries"] == []


class TestDocumentation:
    """The modules' own words; types and names are compared with the code by ansible-test."""

    @staticmethod
    def of(module: str) -> dict[str, Any]:
        text = sources.text(f"plugins/modules/{module}.py")
        found = {}
        for name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
            found[name] = yaml.safe_load(text.partition(f'{name} = r"""')[2].partition('"""')[0])
        return found

    def test_the_error_is_the_same_everywhere(self, module: str) -> None:
        error = self.of(module)["RETURN"]["error"]
        assert error == self.of("gha_runner_info")["RETURN"]["error"]
        assert error["contains"].keys() == KEYS

    @pytest.mark.parametrize(("module", "key"), [("gha_jit_config", "runner"), ("gha_runner", "runners")])
    def test_a_runner_is_the_same_everywhere(self, module: str, key: str) -> None:
        runners = self.of("gha_runner_info")["RETURN"]["runners"]
        assert self.of(module)["RETURN"][key]["contains"] == runners["contains"]

    def test_every_key_is_documented(self, run: Run, register: Callable[..., object], module: str) -> None:
        register("gone-1")
        found = run(module, **({"offline_for": 0} if module == "gha_runner" else {}))
        assert found.keys() - {"changed", "invocation", "warnings"} == self.of(module)["RETURN"].keys() - {"error"}
        for key, told in self.of(module)["RETURN"].items():
            inside = found.get(key)
            if key != "error" and "contains" in told:
                one: Any = inside[0] if isinstance(inside, list) else inside
                assert one.keys() == told["contains"].keys()

    def test_an_example_that_returns_a_credential_hides_it(self, module: str) -> None:
        tasks = self.of(module)["EXAMPLES"]
        tasks = [inner for task in tasks for inner in task.get("block", [task])]
        assert any(f"{COLLECTION}.{module}" in task for task in tasks)
        for task in tasks:
            if task.keys() & {f"{COLLECTION}.{name}" for name in MAKERS}:
                assert task["no_log"] is True, task["name"]
