# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_app_token
short_description: Make a token of a GitHub App, narrowed to repositories and permissions
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - A GitHub App acts with tokens of its installations, which are good for an hour. This module makes one, for what
    other programs and modules do with GitHub's API.
  - What is not asked for, the token may not do. By default it may do what the runners of O(scope) need and no more.
  - The other modules of this collection take the App itself, make tokens of their own and renew them in time.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._github
attributes:
  check_mode:
    support: full
    details: No token is made, so what would come with it is null. GitHub is asked whether the App is installed there.
  diff_mode:
    support: none
    details: A token is made, nothing is changed.
  idempotent:
    support: none
    details: Every run makes a new token. The ones before stay good until their time is over.
options:
  permissions:
    description:
      - What the token may do, each permission in the words of GitHub's API with V(read), V(write) or V(admin). The
        installation must have them.
      - By default C(organization_self_hosted_runners=write) for an organization, and for a repository
        C(administration=write) and C(metadata=read).
    type: dict
  repositories:
    description:
      - The names of the repositories that the token is good for, without their owner. The installation must have them.
      - By default that of O(scope), or all of the installation if O(scope) is an organization.
    type: list
    elements: str
notes:
  - The result holds a credential. From ansible-core 2.22 on, Ansible hides it wherever it would be printed. Older ones
    print it at C(-v), so give the task C(no_log=true), as the examples do.
  - Clocks may differ. The module goes by that of GitHub if it refuses what this machine's clock makes.
  - GitHub changes length and form of its tokens. Take them as they are.
seealso:
  - module: ephemeral.github_runners.github_registration_token
  - name: GitHub on the tokens of installations
    description: What they can be narrowed to.
    link: https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
  - name: GitHub on the permissions of Apps
    description: Which request needs which permission.
    link: https://docs.github.com/rest/authentication/permissions-required-for-github-apps
"""

EXAMPLES = r"""
- name: Make a token that may read the workflow runs of one repository
  ephemeral.github_runners.github_app_token:
    scope: my-org/my-repository
    permissions:
      actions: read
    client_id: Iv23liABCDEFGHIJKLMN
    private_key_file: ~/.config/my-app.pem
  delegate_to: localhost
  no_log: true # the result holds a token
  register: app

- name: Ask GitHub with it
  ansible.builtin.uri:
    url: https://api.github.com/repos/my-org/my-repository/actions/runs?status=queued
    headers:
      Authorization: Bearer {{ app.token }}
  delegate_to: localhost
  no_log: true # the headers hold a token
  register: runs

- name: Make a token for two repositories of an organization
  ephemeral.github_runners.github_app_token:
    scope: my-org
    repositories: [my-repository, my-library]
    permissions:
      contents: read
      metadata: read
    app_id: 12345
    private_key: "{{ my_app_private_key }}"
  delegate_to: localhost
  no_log: true # the result holds a token
  register: app

- name: Say how long it is good
  ansible.builtin.debug:
    msg: The token for {{ app.repositories | join(' and ') }} ends at {{ app.expires_at }}
"""

RETURN = r"""
token:
  description: The token, which is a credential. Null in check mode.
  type: str
  returned: success
  sample: ghs_AABBCCDDEEFFGGHHIIJJKKLLMMNNOOPPQQRR
expires_at:
  description: When it ends, in UTC. Null in check mode.
  type: str
  returned: success
  sample: "2026-11-21T11:00:00Z"
permissions:
  description:
    - What it may do, as GitHub says, which may be more than was asked for, since some permissions bring others along.
    - Null in check mode.
  type: dict
  returned: success
  sample: {actions: read, metadata: read}
repositories:
  description:
    - The full names of the repositories that it is narrowed to. Null if it is good for all of the installation, and in
      check mode.
  type: list
  elements: str
  returned: success
  sample: [my-org/my-repository]
installation_id:
  description: GitHub's number of the App's installation; in check mode that of O(scope), whatever was given.
  type: int
  returned: success
  sample: 70001
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
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import (
    GitHubModule,
    iso,
    result_secret,
    wrong,
)

LEVELS = ("read", "write", "admin")


def check(permissions: Mapping[str, Any] | None, repositories: list[str] | None) -> None:
    """Raise Failure unless they narrow a token. GitHub takes nothing for everything."""
    if permissions == {}:
        raise wrong("permissions", "{}", "GitHub would give all", "name those that are needed, or leave it out")
    for name, level in (permissions or {}).items():
        if level not in LEVELS:
            raise wrong(f"permissions.{name}", level, "no level of a permission", f"write one of {', '.join(LEVELS)}")
    if repositories == []:
        raise wrong("repositories", "[]", "GitHub would take all", "name those that are needed, or leave it out")
    for name in repositories or []:
        if "/" in name or not name:
            raise wrong("repositories", name, "not the name alone", "write my-repository, without the owner")


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns. `client` stays unused: its tokens are narrowed to what runners need."""
    permissions, repositories = module.params["permissions"], module.params["repositories"]
    check(permissions, repositories)
    app = module.app(scope, permissions, repositories)
    found: dict[str, Any] = dict.fromkeys(("token", "expires_at", "permissions", "repositories"))
    if module.check_mode:
        found["installation_id"] = app.find_installation()
    else:
        token = app.make_token()
        found = {
            "token": result_secret(token.value),
            "expires_at": iso(token.expires_at),
            "permissions": token.permissions,
            "repositories": token.repositories,
            "installation_id": token.installation_id,
        }
    return {"changed": True, **found, "scope": str(scope)}


def main() -> None:
    """Run the module."""
    GitHubModule({"permissions": {"type": "dict"}, "repositories": {"type": "list", "elements": "str"}}).run(work)


if __name__ == "__main__":
    main()
