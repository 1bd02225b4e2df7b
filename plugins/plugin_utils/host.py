# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner host: what it must be, and the options that are about it rather than about a pool."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.check import Check
from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.engine import SYSTEMS, engine_options, system_of

#: In the kernel's words, which are those of Ansible's facts.
ARCHITECTURES = ("x86_64", "aarch64")
#: runnerd's limits: the least value, and an example (seconds).
LIMITS = {
    "registration": (0, 120),
    "idle": (0, 3600),
    "job": (0, 432000),
    "drain": (0, 21600),
    "shutdown": (0, 600),
    "teardown": (1, 60),
}
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")


def judge_host(host: Mapping[str, Any], problems: list[str]) -> None:
    """What is wrong with the machine itself."""
    fact = Check(host, problems, where="")
    if system_of(host) is None:
        supported = ", ".join(f"{name} {version}" for name, versions in SYSTEMS.items() for version in versions)
        problems.append(
            f"distribution = {host.get('distribution')} {host.get('version')}: not supported on a runner host. "
            f"Do: install one of {supported} on {host.get('name')}"
        )
    if host.get("architecture") not in ARCHITECTURES:
        fact.wrong("architecture", "GitHub's Linux runner is not for it", f"use one of {', '.join(ARCHITECTURES)}")
    if host.get("service_mgr") != "systemd":
        fact.wrong("service_mgr", "the runners are started and watched by systemd", "use a host that runs systemd")
    if host.get("uid") != 0:
        fact.wrong("uid", "not root, even with become", "set ansible_become_user to root, or take it out")


def owned(check: Check) -> dict[str, str]:
    """The folder and the user that the runners' files are in and belong to."""
    remedy = "write a folder of its own, such as /opt/github-runners"
    directory = check.path("directory", remedy)
    if directory and (directory.count("/") < 2 or f"/{directory.split('/')[1]}" in _SYSTEM):
        check.wrong("directory", "the system's own", remedy)
    user = check.text("user", r"(?!root$)[a-z_][a-z0-9_-]{0,31}", "not a name for this user", "write github-runner")
    return {"directory": directory, "user": user}


def limit(check: Check, name: str) -> int:
    """One of runnerd's limits, in seconds."""
    least, example = LIMITS[name]
    return check.integer(f"{name}_timeout", least, example, unit="seconds" if least else "seconds; 0 for none")


def authorities(check: Check, content: str) -> str:
    """The file on the control node that holds the authorities to trust; empty for none. `content` is the file's."""
    path = check.values.get("ca_file")
    if not path:
        return ""
    remedy = "name a file of PEM certificates on the control node, such as {{ inventory_dir }}/my-ca.pem"
    if not isinstance(path, str) or not path.startswith("/"):
        check.wrong("ca_file", "not an absolute path", remedy)
    elif not content:
        check.wrong("ca_file", "there is no such file on the control node, or it is empty", remedy)
    elif "PRIVATE KEY" in content:
        check.wrong("ca_file", "a private key is in it, and everybody on the host could read it", "take the key out")
    else:
        blocks = re.findall(r"^-----BEGIN CERTIFICATE-----[ -~\s]*?^-----END CERTIFICATE-----$", content, re.MULTILINE)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(blocks))
        except (ssl.SSLError, ValueError):  # of no block at all, too
            check.wrong("ca_file", "no certificates are in it", remedy)
    return str(path)


def host_options(check: Check, host: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are the same for every pool, each made what it stands for."""
    address = check.values.get("metrics_address")
    try:
        ipaddress.ip_address(address if isinstance(address, str) else "")
    except ValueError:
        check.wrong("metrics_address", "not an IP address", "write 127.0.0.1, or the address to listen on")
    return {
        **owned(check),
        "ca_file": authorities(check, str(host.get("ca") or "")),
        "metrics": {
            "address": address,
            "port": check.integer("metrics_port", 0, 9252, maximum=65535, unit="0 for no metrics"),
        },
        "uid": check.integer("uid", 1, 1100, maximum=2**31),
        "gid": check.integer("gid", 1, 1100, maximum=2**31),
        "engine": engine_options(check, host),
        "online_timeout": check.integer("online_timeout", 1, 180, unit="seconds"),
        "limits": {name: limit(check, name) for name in LIMITS},
    }
