# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's environment and files, and what is read from Ansible's output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.project import Project, Recap, recaps, user_environment, with_hosts, with_variables

OUTPUT = """
TASK [Something about PLAY RECAP] ***
ok: [runner-01]

PLAY RECAP *********************************************************************
\x1b[0;33mrunner-01\x1b[0m                  : \x1b[0;32mok=31  \x1b[0m \x1b[0;33mchanged=2   \x1b[0m unreachable=0    failed=0    skipped=3    rescued=0    ignored=0
10.0.0.7                   : ok=1    changed=0    unreachable=1    failed=1    skipped=0    rescued=0    ignored=0
"""  # noqa: E501 (Ansible's lines are as long as they are)


def test_a_user_has_a_home_and_nothing_that_steers_ansible() -> None:
    machine = {
        "PATH": "/usr/bin",
        "HOME": "/root",
        "SSL_CERT_FILE": "/ca.pem",
        "http_proxy": "http://proxy:3128",
        "ANSIBLE_CONFIG": "/x.cfg",
        "ANSIBLE_COLLECTIONS_PATH": "/checkout",
        "PYTHONPATH": "/checkout",
        "VIRTUAL_ENV": "/venv",
        "GITHUB_TOKEN": "ghp_secret",
    }
    made = user_environment(machine, Path("/user/home"), Path("/venv/bin"))
    assert made == {
        "PATH": "/venv/bin:/usr/bin",
        "HOME": "/user/home",
        "SSL_CERT_FILE": "/ca.pem",
        "http_proxy": "http://proxy:3128",
        "ANSIBLE_COLLECTIONS_PATH": "/user/home/.ansible/collections",
        "ANSIBLE_NOCOLOR": "1",
    }


def test_a_users_proxy_is_the_only_one() -> None:
    machine = {"http_proxy": "http://old:1", "HTTPS_PROXY": "http://old:1", "no_proxy": "*", "A_PROXY_OF": "x"}
    made = user_environment(machine, Path("/user/home"), Path("/venv/bin"), proxy="http://127.0.0.1:20001")
    assert {name: value for name, value in made.items() if "proxy" in name.lower()} == {
        "https_proxy": "http://127.0.0.1:20001",
        "no_proxy": "127.0.0.1",
        "A_PROXY_OF": "x",
    }


def test_the_recap_is_read_with_colour_and_without() -> None:
    assert recaps(OUTPUT) == {"runner-01": Recap(31, 2, 0, 0), "10.0.0.7": Recap(1, 0, 1, 1)}
    assert recaps("nothing was played") == {}


def test_a_command_runs_in_the_users_folder_and_home(tmp_path: Path) -> None:
    told: list[str] = []
    project = Project(tmp_path, told.append)
    script = "import os, sys; print(os.getcwd()); print(os.environ['HOME'], file=sys.stderr); sys.exit(3)"
    result = project.run(sys.executable, "-c", script, loud=True)
    assert result.rc == 3
    assert sorted(result.output.split()) == sorted([str(project.folder), str(project.home)])
    assert told == result.output.splitlines()
    assert result.changed == 0


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    result = Project(tmp_path).run(sys.executable, "-c", "import signal; signal.pause()", timeout=0.5)
    assert result.rc == -9


def test_variables_are_changed_one_by_one_and_read_by_nobody_else(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.set_variables("all", count=3, token="t", labels=["a"])
    path = project.set_variables("all", count=5, token=None)
    assert yaml.safe_load(path.read_text()) == {"count": 5, "labels": ["a"]}
    assert path.stat().st_mode & 0o077 == 0


def test_an_inventory_is_one_that_ansible_reads(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write_inventory("servers", {"runner-01": {"ansible_port": 22, "ansible_ssh_common_args": "-o A=b -o C=d"}})
    result = project.run("ansible-inventory", "-i", "inventory.ini", "--list", "--yaml")
    assert result.rc == 0, result.output
    hosts = yaml.safe_load(result.output)["all"]["children"]["servers"]["hosts"]
    assert hosts == {"runner-01": {"ansible_port": 22, "ansible_ssh_common_args": "-o A=b -o C=d"}}


def test_hosts_are_edited_and_all_else_stays() -> None:
    text = "# mine\n\n[web]\nw1\n\n[runners]\n# here\nold ansible_host=1\n\n[runners:vars]\nansible_pipelining=true\n"
    assert with_hosts(text, "runners", {"new": {"ansible_port": 22}, "other": {}}) == (
        "# mine\n\n[web]\nw1\n\n[runners]\nnew ansible_port=22\nother\n# here\n\n"
        "[runners:vars]\nansible_pipelining=true\n"
    )
    assert with_hosts("", "runners", {"new": {}}) == "[runners]\nnew\n"


def test_variables_are_edited_and_comments_stay() -> None:
    text = "---\n# why\ncount: 2  # two\nlabels:\n  - a\n- b\n# end\ncounter: 1"
    edited = with_variables(text, {"count": 5, "labels": ["c"], "token": "t", "counter": None})
    assert edited == "---\n# why\ncount: 5\nlabels:\n- c\n# end\ntoken: t\n"
    assert yaml.safe_load(with_variables(edited, {"count": "{{ 'x' }}"}))["count"] == "{{ 'x' }}"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_text_of_several_lines_can_be_changed_again(wrapped: bool) -> None:
    key: Any = "-----BEGIN\n\nabc\n-----END\n"
    key = [{"name": "a", "key": key}] if wrapped else key
    edited = with_variables("count: 1\n", {"key": key, "other": 2})
    assert yaml.safe_load(edited) == {"count": 1, "key": key, "other": 2}
    assert with_variables(edited, {"key": None}) == "count: 1\nother: 2\n"
