# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a virtual machine of the lab is given, and how its guest agent is asked. The rest wants QEMU."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable

import pytest
import yaml

from tests.doubles.proxmox.machines import Boot, Image
from tests.lab import qemu
from tests.lab.common import Problem
from tests.lab.recipes.qemu import agent

MAC = "BC:24:11:00:00:01"


def test_what_a_machine_is_given() -> None:
    drive = {"user-data": "#cloud-config\n", "meta-data": "instance-id: 1\n", "network-config": "version: 1\n"}
    boot = Boot("pve", 250, "disk-1", Image(), ((MAC, "vmbr0", ""),), 2, 1024, drive, True)
    found = {path: file.content.decode() for path, file in qemu.laid_down(boot, b'{"ca_certs": {}}').items()}
    assert [found.pop(f"etc/lab/{name}") for name in ("mac", "cores", "memory")] == [f"{MAC}\n", "2\n", "1024\n"]
    vendor = found.pop("etc/lab/cidata/vendor-data")
    assert vendor.startswith("#cloud-config\n")
    assert yaml.safe_load(vendor) == {"ca_certs": {}}
    assert found == {f"etc/lab/cidata/{name}": text for name, text in drive.items()}


def test_a_command_and_its_end() -> None:
    assert qemu.execution(["cat", "-"], b"") == {"path": "cat", "arg": ["-"], "capture-output": True}
    assert base64.b64decode(qemu.execution(["cat"], b"in")["input-data"]) == b"in"
    out = base64.b64encode(b"out").decode()
    assert qemu.ended({"exited": True, "exitcode": 3, "out-data": out}) == (3, "out", "")
    assert qemu.ended({"exited": True, "signal": 9, "err-data": out}) == (137, "", "out")


def test_what_the_agent_refuses_is_told() -> None:
    assert qemu.answer('{"return": [1]}\n') == [1]
    with pytest.raises(Problem, match="No such file"):
        qemu.answer('{"error": {"class": "GenericError", "desc": "No such file or directory"}}\n')


def served(guest: Callable[[socket.socket], None], request: bytes) -> bytes:
    """What `agent.ask` gets from a guest."""
    ours, its = socket.socketpair()
    with ours, its:
        thread = threading.Thread(target=guest, args=(its,))
        thread.start()
        try:
            return agent.ask(ours, request, 42)
        finally:
            thread.join()


def test_answers_to_earlier_questions_are_not_taken_for_ours() -> None:
    def guest(channel: socket.socket) -> None:
        lines = channel.makefile("rb")
        first = lines.readline()
        assert first.startswith(b"\xff")
        number = json.loads(first[1:])["arguments"]["id"]
        channel.sendall(b'{"return": "late"}\n\xff{"return": 4}\n\xff{"return": 421}\n{"return": 42')
        channel.sendall(b'\n\xff{"return": %d}\n' % number)
        asked = json.loads(lines.readline())
        channel.sendall(json.dumps({"return": asked["execute"]}).encode() + b"\n")

    assert json.loads(served(guest, b'{"execute": "guest-ping"}')) == {"return": "guest-ping"}


def test_a_vm_that_goes_off_is_an_error() -> None:
    def guest(channel: socket.socket) -> None:
        channel.makefile("rb").readline()
        channel.shutdown(socket.SHUT_RDWR)

    with pytest.raises(ConnectionError, match="switched off"):
        served(guest, b"{}")


def test_an_agent_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "ALIVE", 0.1)
    with pytest.raises(TimeoutError):
        served(lambda channel: None, b"{}")
