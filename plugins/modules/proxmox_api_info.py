# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_api_info
short_description: Read several paths of Proxmox VE's API in one step
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Asks one host of a Proxmox VE cluster for paths of its API, and returns what each was answered with.
  - Unlike M(ansible.builtin.uri), which takes a process and a connection for every path, all paths go in one; unlike
    the modules of community.proxmox, it returns answers as they are, refusals too.
  - A path that is refused is no failure, since its answer says so. The module fails if no host answers.
  - A building block of the role P(ephemeral.github_runners.proxmox_runner_vm#role).
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._attributes.info
requirements:
  - proxmoxer >= 2.3
  - requests
options:
  api_hosts:
    description: Hosts of one cluster. The first that takes the token and tells its version is asked for all paths.
    type: list
    elements: str
    required: true
  api_port:
    description: The port of the API.
    type: int
    default: 8006
  api_user:
    description: The user that the token belongs to, with its realm.
    type: str
    required: true
  api_token_id:
    description: The token's name, without the user.
    type: str
    required: true
  api_token_secret:
    description: The token's secret.
    type: str
    required: true
  ca_file:
    description:
      - A file with the authorities that sign the hosts' certificates, such as a copy of the cluster's
        C(/etc/pve/pve-root-ca.pem). By default those that C(requests) knows.
    type: path
  validate_certs:
    description: Whether the hosts' certificates have to be valid. Only for a trial is V(false) reasonable.
    type: bool
    default: true
  timeout:
    description: How long to wait for a host's answer, in seconds.
    type: int
    default: 30
  paths:
    description: What to ask for, by the paths of the API viewer, with their parameters as in a URL.
    type: list
    elements: str
    default: []
seealso:
  - name: Proxmox VE API viewer
    description: All paths, with what they answer and which privileges they need.
    link: https://pve.proxmox.com/pve-docs/api-viewer/
"""

EXAMPLES = r"""
- name: See what there is, and how the last clone of a template ended
  ephemeral.github_runners.proxmox_api_info:
    api_hosts: [pve1.example.com, pve2.example.com]
    api_user: ansible@pve
    api_token_id: runners
    api_token_secret: "{{ my_token_secret }}"
    ca_file: ~/.config/pve-root-ca.pem
    paths:
      - /cluster/resources?type=vm
      - /nodes/pve1/tasks?vmid=9999&typefilter=qmclone&limit=1
  delegate_to: localhost
  register: found

- name: Say which VMs there are
  ansible.builtin.debug:
    msg: "{{ found.answers[0].data | map(attribute='vmid') }}"
"""

RETURN = r"""
host:
  description: The host that was asked.
  type: str
  returned: success
  sample: pve1.example.com
version:
  description: The version of Proxmox VE there.
  type: str
  returned: success
  sample: 9.2.2
refused:
  description: The hosts before it that did not answer, or refused the token.
  type: list
  elements: dict
  returned: always, if the library is there
  contains:
    host:
      description: The host.
      type: str
      sample: pve1.example.com
    status:
      description: The HTTP status; null if nobody answered, or somebody who is not Proxmox VE.
      type: int
      sample: 401
    reason:
      description: Why not.
      type: str
      sample: invalid token value!
answers:
  description: What each of O(paths) was answered with, in that order.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: The path, as it was given.
      type: str
      sample: /cluster/resources?type=vm
    status:
      description: The HTTP status; null if nobody answered, or somebody who is not Proxmox VE.
      type: int
      sample: 200
    reason:
      description: What is wrong, by the HTTP reason phrase, where Proxmox VE says so; empty if nothing is.
      type: str
      sample: Permission check failed (/vms/250, VM.Audit)
    data:
      description: The answer; null if it was refused.
      type: raw
      sample: [{"id": "qemu/250", "type": "qemu", "vmid": 250}]
"""

import traceback
from typing import Any
from urllib.parse import parse_qsl

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import requests
    from proxmoxer import ProxmoxAPI
    from proxmoxer.core import ResourceException
except ImportError:
    MISSING: str | None = traceback.format_exc()
else:
    MISSING = None

STRANGER = "the answer is not Proxmox VE's"


def refusal(error: Any) -> str:
    """What is wrong by a ResourceException: the reason phrase, and what is wrong with each parameter."""
    reason = str(error.content).strip()
    # proxmoxer puts a body that is not JSON there, too, as bytes.
    told = {name: why for name, why in (error.errors or {}).items() if isinstance(why, str)}
    return f"{reason} ({', '.join(f'{name}: {why.strip()}' for name, why in told.items())})" if told else reason


def ask(api: Any, path: str) -> dict[str, Any]:
    """The answer to one path: ``status``, ``reason``, ``data``."""
    place, _mark, query = path.partition("?")
    status: int | None = None
    reason, data = "", None
    try:
        data = api(place).get(**dict(parse_qsl(query, keep_blank_values=True)))
    except ResourceException as error:
        status, reason = error.status_code, refusal(error)
    except requests.RequestException as error:
        reason = str(error)
    except (AttributeError, KeyError, TypeError):  # JSON without `data`
        reason = STRANGER
    else:
        # proxmoxer makes a dictionary with bytes of what is no JSON, which itself has none.
        if isinstance(data, dict) and isinstance(data.get("errors"), bytes):
            reason, data = STRANGER, None
        else:
            status = 200
    return {"status": status, "reason": reason, "data": data}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "api_hosts": {"type": "list", "elements": "str", "required": True},
            "api_port": {"type": "int", "default": 8006},
            "api_user": {"type": "str", "required": True},
            "api_token_id": {"type": "str", "required": True, "no_log": False},
            "api_token_secret": {"type": "str", "required": True, "no_log": True},
            "ca_file": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 30},
            "paths": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if MISSING is not None:
        remedy = "Do: python -m pip install 'proxmoxer>=2.3' requests, with that Python"
        module.fail_json(msg=f"{missing_required_lib('proxmoxer')} {remedy}", exception=MISSING)

    told = module.params
    refused: list[dict[str, Any]] = []
    for host in told["api_hosts"]:
        api = ProxmoxAPI(
            host,
            port=told["api_port"],
            user=told["api_user"],
            token_name=told["api_token_id"],
            token_value=told["api_token_secret"],
            verify_ssl=(told["ca_file"] or True) if told["validate_certs"] else False,
            timeout=told["timeout"],
        )
        first = ask(api, "/version")
        if first["status"] == 200 and isinstance(first["data"], dict):
            answers = [{"path": path, **ask(api, path)} for path in told["paths"]]
            module.exit_json(
                changed=False, host=host, version=str(first["data"].get("version")), refused=refused, answers=answers
            )
        refused.append({"host": host, "status": first["status"], "reason": first["reason"] or STRANGER})
    lines = [f"api_hosts = {each['host']}: {each['status'] or 'no answer'}: {each['reason']}" for each in refused]
    remedy = "Do: see that one of them is on, reached from here, and takes the token api_token_id"
    module.fail_json(msg="\n".join([*lines, remedy]), refused=refused)


if __name__ == "__main__":
    main()
