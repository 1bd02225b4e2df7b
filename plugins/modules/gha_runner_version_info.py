# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gha_runner_version_info
short_description: Tell until when GitHub accepts a version of the runner program, and which is the newest
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - GitHub takes a version of the runner program for some time after the next one is out. Then it refuses its runners.
    A runner that lives for one job is not there long enough to update itself, so its image has to be renewed in time.
  - This module asks GitHub until when a version is accepted, and for the newest version with its checksum.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._attributes.info
  - ephemeral.github_runners._github
options:
  version:
    description: The version to ask about, such as V(2.336.0). By default the newest.
    type: str
  os:
    description: The system for which the newest version is looked up, as GitHub names it.
    type: str
    choices: [linux, osx, win]
    default: linux
  architecture:
    description:
      - The architecture for which the newest version is looked up, as GitHub or as the fact
        C(ansible_facts.architecture) names it.
      - By default that of the host where the module runs.
    type: str
    choices: [x64, arm64, arm, x86_64, aarch64]
seealso:
  - module: ephemeral.github_runners.gha_runner_scope
  - name: GitHub on the versions of runners
    description: How long a version is accepted.
    link: https://docs.github.com/actions/reference/runners/self-hosted-runners
"""

EXAMPLES = r"""
- name: Ask about the version that the image has
  ephemeral.github_runners.gha_runner_version_info:
    scope: my-org
    version: 2.336.0
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: runner_version

- name: Stop while there is time to renew the image
  ansible.builtin.assert:
    that: runner_version.accepted is none or runner_version.accepted
    fail_msg: GitHub refuses the runner {{ runner_version.version }}, the newest is {{ runner_version.newest.version }}

- name: Ask for the newest version
  ephemeral.github_runners.gha_runner_version_info:
    scope: my-org
    architecture: arm64
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: runner_version

- name: Download it
  ansible.builtin.get_url:
    url: "{{ runner_version.newest.url }}"
    checksum: sha256:{{ runner_version.newest.sha256 }}
    dest: /opt/{{ runner_version.newest.filename }}
    mode: "0644"
"""

RETURN = r"""
version:
  description: The version that was asked about, or the newest.
  type: str
  returned: success
  sample: 2.336.0
accepted:
  description:
    - Whether a new runner of this version would get jobs now. Null where GitHub does not tell, such as a GitHub
      Enterprise Server that does not know the question.
    - Of a version that never was, GitHub says no end either, so it counts as accepted.
  type: bool
  returned: success
  sample: true
accepted_until:
  description: When that ends, in UTC, which is the earlier one of the next two; null if no end is set.
  type: str
  returned: success
  sample: "2026-12-20T00:00:00Z"
registers_until:
  description: When new runners of this version begin to be refused, in UTC; null if no end is set.
  type: str
  returned: success
  sample: "2026-12-27T00:00:00Z"
works_until:
  description: When runners of this version begin to get no jobs, in UTC; null if no end is set.
  type: str
  returned: success
  sample: "2026-12-20T00:00:00Z"
newest:
  description: The newest version for O(os) and O(architecture).
  type: dict
  returned: success
  contains:
    version:
      description: The version.
      type: str
      sample: 2.337.0
    os:
      description: The system, as GitHub names it.
      type: str
      sample: linux
    architecture:
      description: The architecture, as GitHub names it.
      type: str
      sample: x64
    filename:
      description: The name of the archive.
      type: str
      sample: actions-runner-linux-x64-2.337.0.tar.gz
    url:
      description: Where the archive is.
      type: str
      sample: https://github.com/actions/runner/releases/download/v2.337.0/actions-runner-linux-x64-2.337.0.tar.gz
    sha256:
      description: The checksum of the archive; null where GitHub does not say.
      type: str
      sample: 5f2a1c0f3e0a4d7c8b9e6d5c4b3a29181716151413121110f0e0d0c0b0a09080
error:
  description: What went wrong between the module and GitHub; RV(ignore:msg) has it as one sentence.
  type: dict
  returned: when GitHub refused or did not answer
  contains:
    kind:
      description:
        - V(Unauthorized), V(Forbidden), V(NotFound), V(Conflict), V(Unprocessable), V(RateLimited), V(ServerError),
          V(Moved), V(Unreachable), V(ProtocolError) for an answer that is not GitHub's, V(GitHubError) for any other.
      type: str
      sample: NotFound
    action:
      description: What was tried, in words that follow "could not".
      type: str
      sample: see the organization my-org
    url:
      description: The address that was asked; empty if none was.
      type: str
      sample: https://api.github.com/orgs/my-org
    status:
      description: The HTTP status; null if there was no answer.
      type: int
      sample: 404
    message:
      description: GitHub's own words, or the module's where GitHub had none.
      type: str
      sample: Not Found
    request_id:
      description: GitHub's name for the request, for its support; null if unknown.
      type: str
      sample: "8A40:2C1F:1B2D3E4:2F5A6B7:691F0C52"
    documentation_url:
      description: The page that GitHub points to; null if it points to none.
      type: str
      sample: https://docs.github.com/rest/orgs/orgs#get-an-organization
    remedy:
      description: What to do about it; may be empty.
      type: str
      sample: see whether https://github.com/my-org is there
    retry_after:
      description: Seconds to wait before another try; null where waiting is of no use or the time is not known.
      type: int
      sample: 60
    transient:
      description: The same request may succeed a little later.
      type: bool
      sample: false
"""

from dataclasses import asdict
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.versions import Support, newest, support
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import (
    ARCHITECTURE,
    Failure,
    GitHubModule,
    iso,
)


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    download = newest(client, scope, module.params["os"], module.architecture())
    version = module.params["version"] or download.version
    try:
        found = support(client, scope, version)
    except ValueError as exc:  # its text is already `version = value: why. Do: …`
        raise Failure(str(exc)) from None
    until = found or Support(version, None, None)
    return {
        "version": version,
        "accepted": found.accepted(client.server_time()) if found else None,
        "accepted_until": iso(until.ends_at),
        "registers_until": iso(until.registers_until),
        "works_until": iso(until.works_until),
        "newest": asdict(download),
    }


def main() -> None:
    """Run the module."""
    options = {
        "version": {"type": "str"},
        "os": {"type": "str", "choices": ["linux", "osx", "win"], "default": "linux"},
        **ARCHITECTURE,
    }
    GitHubModule(options).run(work)


if __name__ == "__main__":
    main()
