# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gha_runner_info
short_description: List self-hosted runners
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Lists the runners of a scope, from all pages of GitHub's answer, all of them or those that fit every filter.
  - The list is complete, or the module fails. GitHub's list can lose a runner between two pages while runners come and
    go, so it is read again until it adds up.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._attributes.info
  - ephemeral.github_runners._github
options:
  name:
    description: Only the runner of exactly this name.
    type: str
  name_prefix:
    description: Only runners whose names begin so.
    type: str
  labels:
    description: Only runners that have all of these labels, in capital or small letters.
    type: list
    elements: str
  status:
    description: Only runners that GitHub calls so.
    type: str
    choices: [online, offline]
  busy:
    description: Only runners that run a job, or only those that do not, as GitHub believes.
    type: bool
  ephemeral:
    description:
      - Only runners that are gone after one job, or only those that are not.
      - An old GitHub Enterprise Server does not say which they are, then neither finds any.
    type: bool
notes:
  - GitHub's RV(runners[].busy) is late by up to a minute in both directions. Do not stop a machine by its word alone;
    M(ephemeral.github_runners.gha_runner) is careful about that.
  - Runners of an organization that were registered at a repository are in the repository's list only.
seealso:
  - module: ephemeral.github_runners.gha_runner
  - name: GitHub's documentation of the list
    description: The request for an organization; those for repositories and enterprises are beside it.
    link: https://docs.github.com/rest/actions/self-hosted-runners#list-self-hosted-runners-for-an-organization
"""

EXAMPLES = r"""
- name: List the runners of an organization that have a GPU
  ephemeral.github_runners.gha_runner_info:
    scope: my-org
    labels: [self-hosted, gpu]
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: gpus

- name: Say how many of them are free
  ansible.builtin.debug:
    msg: >-
      {{ gpus.runners | selectattr('status', 'equalto', 'online') | rejectattr('busy') | length }}
      of {{ gpus.runners | length }} are free

- name: Wait until a runner is online
  ephemeral.github_runners.gha_runner_info:
    scope: my-org/my-repository
    name: nightly
    client_id: Iv23liABCDEFGHIJKLMN
    private_key_file: ~/.config/my-app.pem
  delegate_to: localhost
  register: nightly
  until: nightly.runners | selectattr('status', 'equalto', 'online') | length == 1
  retries: 20
  delay: 15

- name: List what one host has left behind
  ephemeral.github_runners.gha_runner_info:
    scope: enterprises/my-enterprise
    name_prefix: gh-runner-01-
    status: offline
    ephemeral: true
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: left
"""

RETURN = r"""
runners:
  description: The runners that fit, in the order in which they were made.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: GitHub's number of the runner.
      type: int
      sample: 21
    name:
      description: Its name, unique in the scope.
      type: str
      sample: gh-runner-01-runner-1-0a1b2c3d4e5f
    os:
      description: The system, as the runner said; V(unknown) until it has connected.
      type: str
      sample: Linux
    status:
      description: V(online) or V(offline).
      type: str
      sample: online
    busy:
      description: It runs a job, as GitHub believes, which is late by up to a minute in both directions.
      type: bool
      sample: false
    labels:
      description: The names of all its labels.
      type: list
      elements: str
      sample: [gpu, linux, self-hosted, x64]
    custom_labels:
      description: Those of them that can be taken away again. A runner made by a JIT configuration begins with none.
      type: list
      elements: str
      sample: [gpu]
    ephemeral:
      description: It is gone after one job. Null where GitHub does not say, such as an old Enterprise Server.
      type: bool
      sample: true
    version:
      description: The version of the runner program; null until it has connected.
      type: str
      sample: 2.336.0
    group_id:
      description: GitHub's number of its runner group; null where GitHub does not say.
      type: int
      sample: 1
total:
  description: How many runners the scope has, whether they fit or not. If O(name) is given, how many have that name.
  type: int
  returned: success
  sample: 12
scope:
  description: The scope in its short form.
  type: str
  returned: success
  sample: my-org
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

from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner, Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import GitHubModule, result_runner


def fits(runner: Runner, wanted: Mapping[str, Any]) -> bool:
    """Whether it is one of those that the options ask for; an option without a value asks for nothing."""
    had = {label.lower() for label in runner.labels}
    return (
        runner.name.startswith(wanted["name_prefix"] or "")
        and had.issuperset(label.lower() for label in wanted["labels"] or [])
        and all(wanted[key] in (None, getattr(runner, key)) for key in ("status", "busy", "ephemeral"))
    )


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    runners, name = Runners(client, scope), module.params["name"]
    one = None if name is None else runners.find(name)
    there = runners.list() if name is None else [one] if one else []
    fitting = sorted((each for each in there if fits(each, module.params)), key=lambda each: each.id)
    return {"runners": [result_runner(each) for each in fitting], "total": len(there), "scope": str(scope)}


def main() -> None:
    """Run the module."""
    options = {
        "name": {"type": "str"},
        "name_prefix": {"type": "str"},
        "labels": {"type": "list", "elements": "str"},
        "status": {"type": "str", "choices": ["online", "offline"]},
        "busy": {"type": "bool"},
        "ephemeral": {"type": "bool"},
    }
    GitHubModule(options).run(work)


if __name__ == "__main__":
    main()
