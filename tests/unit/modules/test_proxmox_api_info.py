# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module proxmox_api_info, run as Ansible runs it, against the Proxmox VE double."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.doubles.proxmox.server import Double, running

MODULE = Path(__file__).parents[3] / "plugins" / "modules" / "proxmox_api_info.py"
USER, TOKEN, SECRET = "ansible@pve", "runners", "11111111-2222-3333-4444-theSecretOfTheToken"
ACCESS = {
    "users": {USER: {"tokens": {TOKEN: {"secret": SECRET, "privsep": False}}}},
    "acl": [{"path": "/vms/9999", "who": USER, "role": "PVEAuditor"}],
}
#: Nobody listens there.
NOBODY = "127.0.0.9"
Result = dict[str, Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An authority of its own, and a certificate with its key."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "own.pem")
    return folder / "ca.pem", folder / "own.pem"


@pytest.fixture(scope="module")
def double(files: tuple[Path, Path]) -> Iterator[Double]:
    with running(cert=files[1], key=files[1], access=ACCESS) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_faults(double: Double) -> Iterator[None]:
    yield
    double.admin.clear_faults()


def run(double: Double, *paths: str, without: str = "", **options: Any) -> Result:
    """One run of the module; its result. No word of it may show the secret."""
    arguments = {
        "api_hosts": [double.host],
        "api_port": double.port,
        "api_user": USER,
        "api_token_id": TOKEN,
        "api_token_secret": SECRET,
        "timeout": 10,
        "paths": list(paths),
        **options,
    }
    program = (
        "import json, runpy, sys\n"
        f"sys.modules.update({{name: None for name in {[without] if without else []!r}}})\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        "with patch_module_args(json.load(sys.stdin)):\n"
        f"    runpy.run_path({str(MODULE)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(arguments), capture_output=True, text=True, check=False
    )
    assert SECRET not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict), done.stderr
    return found


def test_several_paths_in_one_step(double: Double, files: tuple[Path, Path]) -> None:
    paths = ["/cluster/resources?type=vm", "/nodes/pve/qemu/9999/config", "/nodes/pve/qemu/250/config", "/no/such"]
    found = run(double, *paths, ca_file=str(files[0]), _ansible_check_mode=True)
    assert (found["changed"], found["host"], found["version"], found["refused"]) == (False, double.host, "9.2.2", [])
    assert [answer["path"] for answer in found["answers"]] == paths
    resources, config, unknown, nothing = found["answers"]
    assert [vm["vmid"] for vm in resources["data"]] == [9999]  # the parameter arrives: no nodes, no storages
    assert (config["status"], config["reason"], config["data"]["name"]) == (200, "", "debian-13-cloud")
    assert (unknown["status"], unknown["data"]) == (403, None)
    assert unknown["reason"] == "Permission check failed (/vms/250, VM.Audit)"
    assert nothing["status"] == 501


def test_what_is_wrong_with_a_parameter_is_told(double: Double) -> None:
    (answer,) = run(double, "/cluster/resources?type=cat", validate_certs=False)["answers"]
    assert answer["status"] == 400
    assert answer["reason"].startswith("Parameter verification failed. (type: value 'cat' does not")


def test_the_first_host_that_answers_is_asked(double: Double) -> None:
    found = run(double, api_hosts=[NOBODY, double.host], validate_certs=False)
    assert (found["host"], found["answers"]) == (double.host, [])
    ((refused),) = found["refused"]
    assert (refused["host"], refused["status"]) == (NOBODY, None)
    assert "refused" in refused["reason"]


def test_no_host_that_answers_is_a_failure_with_each_reason(double: Double) -> None:
    found = run(double, api_hosts=[NOBODY, double.host], api_token_secret="wrong-wrong-wrong", validate_certs=False)
    assert found["failed"]
    assert [(each["host"], each["status"]) for each in found["refused"]] == [(NOBODY, None), (double.host, 401)]
    assert f"api_hosts = {double.host}: 401: " in found["msg"]
    assert "Do: " in found["msg"]


def test_certificates_are_verified_unless_told_otherwise(double: Double) -> None:
    (refused,) = run(double)["refused"]
    assert "certificate verify failed" in refused["reason"]


@pytest.mark.parametrize("fault", [{"malformed": True}, {"cut": "after"}, {"delay": 4}], ids=str)
def test_what_is_no_answer_of_proxmox_ve_has_no_status(double: Double, fault: dict[str, Any]) -> None:
    """A path that nobody answered is told, and the others are asked all the same."""
    double.admin.fault(**fault, path="/cluster/resources")
    paths = ["/cluster/resources", "/access/permissions"]
    first, second = run(double, *paths, validate_certs=False, timeout=2)["answers"]
    assert (first["status"], first["data"]) == (None, None)
    assert first["reason"]
    assert second["status"] == 200


@pytest.mark.parametrize("library", ["proxmoxer", "requests"])
def test_a_library_that_is_missing_is_told(double: Double, library: str) -> None:
    found = run(double, without=library)
    assert found["failed"]
    assert "python -m pip install 'proxmoxer>=2.3' requests" in found["msg"]
