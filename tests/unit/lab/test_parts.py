# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's small parts: names, ports, keys, how a host is made, and what the doctor says."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from tests.lab import doctor, lab
from tests.lab.common import Problem, eventually, prefix
from tests.lab.engine import Answer, Facts
from tests.lab.host import options
from tests.lab.keys import Authority, ssh_key


def test_two_checkouts_never_collide() -> None:
    names = {prefix("demo", Path("/a")), prefix("demo", Path("/b")), prefix("test", Path("/a"))}
    assert len(names) == 3
    assert all(name.startswith("ghr-") for name in names)
    assert prefix("demo", Path("/a")) in names


def test_an_ordinary_machine_gets_a_privileged_host_with_cgroups_of_its_own() -> None:
    made = options("2", privileged=True)
    assert made["privileged"] is True
    assert made["cgroupns"] == "private"
    assert "/sys/fs/cgroup" not in made["volumes"]


@pytest.mark.parametrize("cgroup", ["1", "2"])
def test_a_restricted_machine_gets_all_but_what_it_lacks(cgroup: str) -> None:
    made = options(cgroup, privileged=False)
    assert "privileged" not in made
    assert (made["cap_add"], made["cap_drop"]) == (["ALL"], ["SYS_RESOURCE"])
    assert made["volumes"]["/sys/fs/cgroup"]["mode"] == "rw"
    assert ("SYSTEMD_PROC_CMDLINE" in made["environment"]) == (cgroup == "1")


def test_options_are_made_anew_each_time() -> None:
    options("1", privileged=False)["volumes"]["mine"] = {}
    assert "mine" not in options("1", privileged=False)["volumes"]


def test_a_free_port_is_one_that_can_be_bound() -> None:
    port = lab.free_port()
    assert port in lab.PORTS
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        taken = sock.getsockname()[1]
        monkeypatch.setattr(lab.random, "sample", lambda ports, count: [taken, taken])
        with pytest.raises(Problem, match="No free port"):
            lab.free_port()


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    one, two = Authority(tmp_path), Authority(tmp_path)
    assert one.certificate == two.certificate
    line = ssh_key(tmp_path / "ssh.key")
    assert line == ssh_key(tmp_path / "ssh.key")
    assert line.startswith("ssh-ed25519 ")
    for name in ("ca.key", "ssh.key"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_the_authority_is_believed(tmp_path: Path) -> None:
    chain, key = Authority(tmp_path).issue("api.github.test")
    (tmp_path / "server.pem").write_bytes(chain)
    (tmp_path / "server.key").write_bytes(key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    client = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="api.github.test")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _round in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ours.version() is not None


def test_waiting_ends_with_what_was_waited_for() -> None:
    with pytest.raises(Problem, match="the cow has not come home"):
        eventually(lambda: False, 0, lambda: "the cow has not come home")
    eventually(lambda: True, 0, lambda: "not so")


def test_the_doctor_says_what_to_type() -> None:
    check = doctor.amount("disk", 1_000_000_000, 6_000_000_000, "free at /x", "make room at /x")
    assert not check.good
    assert "1.0 GB free at /x, 6 GB needed" in str(check)
    assert "Do: make room at /x" in str(check)
    assert "Do:" not in str(doctor.amount("disk", 7 * doctor.GB, 6 * doctor.GB, "free", "make room"))


def test_the_doctor_finds_no_fault_in_what_the_demo_brings() -> None:
    bare = Facts(answer=Answer.ABSENT, distributions=frozenset({"debian"}), root=True)
    check = doctor.docker_engine(bare)
    assert check.good
    assert "`make demo` will install and start it" in check.says


def test_the_doctor_finds_fault_in_what_a_person_has_to_do() -> None:
    check = doctor.docker_engine(Facts(answer=Answer.PERMISSION))
    assert not check.good
    assert "usermod" in check.do


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    check = doctor.program("no-such-program-here", "its-package")
    assert not check.good
    assert "its-package" in check.do
