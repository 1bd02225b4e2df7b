# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A baseline's container gets what ours gets."""

from __future__ import annotations

from tests.bench.bare import options


def test_the_options_of_a_service_as_docker_takes_them() -> None:
    """Limits, log, environment and mounts: a baseline that lacks one would be quicker for that."""
    service = {
        "logging": {"driver": "journald"},
        "cpus": 2,
        "mem_limit": "268435456",
        "pids_limit": 4096,
        "environment": {"BASH_ENV": "/opt/bench/stamp.sh"},
        "volumes": [
            {"type": "bind", "source": "/opt/a", "target": "/a", "read_only": True},
            {"type": "bind", "source": "/opt/b", "target": "/b"},
        ],
    }
    words = options(service)
    assert {"--init", "--log-driver=journald", "--cpus=2", "--memory=268435456", "--pids-limit=4096"} <= set(words)
    assert [word for word in words if word.startswith(("--env", "--volume"))] == [
        "--env=BASH_ENV=/opt/bench/stamp.sh",
        "--volume=/opt/a:/a:ro",
        "--volume=/opt/b:/b",
    ]
