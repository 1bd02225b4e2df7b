# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_registration_token
short_description: Make a token that registers or removes self-hosted runners
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Asks GitHub for a registration token, or for a removal token, of a repository, an organization or an enterprise.
  - Such a token is good for any number of runners and for an hour. Make it right before it is used.
  - The roles of this collection do not need it, since a runner that they start gets a credential that is good for this
    one runner only. It is for runners that are set up by other means, with C(config.sh).
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._github
attributes:
  check_mode:
    support: full
    details: No token is made, so RV(token) and RV(expires_at) are null. GitHub is asked whether the scope can be seen.
  diff_mode:
    support: none
    details: A token is made, nothing is changed.
  idempotent:
    support: none
    details: Every run makes a new token. The ones before stay good until their time is over.
options:
  kind:
    description: What the token is for, V(registration) for C(config.sh) and V(remove) for C(config.sh remove).
    type: str
    choices: [registration, remove]
    default: registration
notes:
  - The result holds a credential. From ansible-core 2.22 on, Ansible hides it wherever it would be printed. Older ones
    print it at C(-v), so give the task C(no_log=true), as the examples do.
seealso:
  - module: ephemeral.github_runners.gha_runner_scope
    description: Finds out beforehand what is wrong with a scope or a credential.
  - name: GitHub's documentation of registration tokens
    description: The request for an organization; those for repositories and enterprises are beside it.
    link: https://docs.github.com/rest/actions/self-hosted-runners#create-a-registration-token-for-an-organization
"""

EXAMPLES = r"""
- name: Make a registration token for an organization
  ephemeral.github_runners.github_registration_token:
    scope: my-org
    token: "{{ my_github_token }}"
  delegate_to: localhost
  no_log: true # the result holds a token
  register: registration

- name: Register a runner that was installed by hand
  ansible.builtin.command:
    argv:
      - ./config.sh
      - --unattended
      - --ephemeral
      - --url
      - "{{ registration.url }}"
      - --token
      - "{{ registration.token }}"
    chdir: /opt/actions-runner
    creates: /opt/actions-runner/.runner
  no_log: true # the command line holds a token

- name: Make a removal token for a repository on a GitHub Enterprise Server, as an app
  ephemeral.github_runners.github_registration_token:
    scope: my-org/my-repository
    kind: remove
    app_id: 12345
    private_key: "{{ my_app_private_key }}"
    api_url: https://github.example.com/api/v3
    ca_file: /etc/ssl/certs/my-company.pem
  delegate_to: localhost
  no_log: true # the result holds a token
  register: removal

- name: Give the credential once for all modules of the collection
  module_defaults:
    group/ephemeral.github_runners.github:
      client_id: Iv23liABCDEFGHIJKLMN
      private_key_file: ~/.config/my-app.pem
  block:
    - name: See whether the scope can be used
      ephemeral.github_runners.gha_runner_scope:
        scope: my-org
      delegate_to: localhost

    - name: Make a registration token
      ephemeral.github_runners.github_registration_token:
        scope: my-org
      delegate_to: localhost
      no_log: true # the result holds a token
      register: registration
"""

RETURN = r"""
token:
  description: The token, which is a credential. Null in check mode.
  type: str
  returned: success
  sample: AABBCCDDEEFFGGHHIIJJKKLLMMNNO
expires_at:
  description: When it ends, in UTC. Null in check mode.
  type: str
  returned: success
  sample: "2026-11-21T11:00:00Z"
scope:
  description: The scope in its short form.
  type: str
  returned: success
  sample: my-org
url:
  description: The scope's page, which C(config.sh) takes as C(--url).
  type: str
  returned: success
  sample: https://github.com/my-org
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

from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import (
    GitHubModule,
    iso,
    result_secret,
)


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    runners = Runners(client, scope)
    found: dict[str, Any] = {"token": None, "expires_at": None}
    if module.check_mode:
        runners.probe()
    else:
        token = runners.registration_token() if module.params["kind"] == "registration" else runners.remove_token()
        found = {"token": result_secret(token.value), "expires_at": iso(token.expires_at)}
    return {"changed": True, **found, "scope": str(scope), "url": scope.url}


def main() -> None:
    """Run the module."""
    GitHubModule({"kind": {"type": "str", "choices": ["registration", "remove"], "default": "registration"}}).run(work)


if __name__ == "__main__":
    main()
