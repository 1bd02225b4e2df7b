# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gha_runner_scope
short_description: Check a scope of self-hosted runners before anything is changed
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Resolves a scope, and fails with what to do about it if runners could not register there, or should not.
  - It sees to it that the scope is there under that name, that the credential may see its runners and runner groups,
    that the runner group is there, that a repository is not archived, that nobody can send code to the runners from
    outside, and that the labels are labels.
  - It only looks, like a module with the suffix C(_info). It has none because it judges, too, and fails.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._attributes.info
  - ephemeral.github_runners._github
options:
  allow_public:
    description:
      - Whether runners may serve public repositories. Anybody can send a pull request to one, whose workflow may then
        run on your machine.
      - If V(false), a public repository is refused, and so is a runner group that takes jobs of public repositories.
    type: bool
    default: false
  runner_group:
    description:
      - The name of the runner group that runners are to join, in capital or small letters.
      - By default the one that GitHub calls the default group. A repository has only that one, called V(Default) here.
    type: str
  labels:
    description:
      - The labels that runners are to have, by default C(self-hosted), C(linux), the one for O(architecture), such as
        C(x64), and C(ephemeral).
    type: list
    elements: str
  architecture:
    description:
      - The architecture of the runners' host, for the default labels, as GitHub or as the fact
        C(ansible_facts.architecture) names it.
      - By default that of the host where the module runs.
    type: str
    choices: [x64, arm64, arm, x86_64, aarch64]
notes:
  - GitHub has no question for whether a credential may make runners. The answer is certain for an App and for a classic
    token. A fine-grained token that may read runners and no more passes here, and is refused by
    M(ephemeral.github_runners.github_registration_token).
seealso:
  - module: ephemeral.github_runners.github_registration_token
  - module: ephemeral.github_runners.gha_runner_version_info
  - name: GitHub on the security of self-hosted runners
    description: Why public repositories are refused.
    link: https://docs.github.com/actions/security-for-github-actions/security-guides/security-hardening-for-github-actions
"""

EXAMPLES = r"""
- name: See whether an organization's runner group can be used
  ephemeral.github_runners.gha_runner_scope:
    scope: my-org
    runner_group: builders
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: checked

- name: Say what was found
  ansible.builtin.debug:
    msg: Runners join group {{ checked.group_id }} of {{ checked.url }}

- name: See whether a repository can be used, as an app
  ephemeral.github_runners.gha_runner_scope:
    scope: https://github.com/my-org/my-repository
    architecture: "{{ ansible_facts['architecture'] }}"
    client_id: Iv23liABCDEFGHIJKLMN
    private_key_file: ~/.config/my-app.pem
  delegate_to: localhost

- name: Wait for GitHub if it has an outage
  ephemeral.github_runners.gha_runner_scope:
    scope: enterprises/my-enterprise
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: checked
  until: checked is success or not checked.error.transient | default(false)
  retries: 10
  delay: 30
"""

RETURN = r"""
scope:
  description: The scope in its short form, as GitHub writes it now.
  type: str
  returned: success
  sample: my-org/my-repository
kind:
  description: V(repo), V(org) or V(enterprise).
  type: str
  returned: success
  sample: repo
url:
  description: The scope's page, which C(config.sh) takes as C(--url).
  type: str
  returned: success
  sample: https://github.com/my-org/my-repository
api_url:
  description: The URL of the API through which it is reached.
  type: str
  returned: success
  sample: https://api.github.com
api_path:
  description: The beginning of the path of every request about the scope, below RV(api_url).
  type: str
  returned: success
  sample: /repos/my-org/my-repository
visibility:
  description: V(public), V(private) or V(internal); null for an organization or enterprise.
  type: str
  returned: success
  sample: private
group_id:
  description: GitHub's number of the runner group that runners are to join.
  type: int
  returned: success
  sample: 1
group:
  description: The name of that group.
  type: str
  returned: success
  sample: Default
groups:
  description: All runner groups of the scope. A repository has one.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: GitHub's number of the group.
      type: int
      sample: 1
    name:
      description: Its name.
      type: str
      sample: Default
    default:
      description: Runners that are told no group join it.
      type: bool
      sample: true
    visibility:
      description: Whose jobs it takes, V(all), V(private) or V(selected); null where GitHub does not say.
      type: str
      sample: all
    allows_public:
      description: It takes jobs of public repositories; null where GitHub does not say.
      type: bool
      sample: false
    inherited:
      description: It is the enterprise's, shared with the organization.
      type: bool
      sample: false
    restricted_to_workflows:
      description: It takes jobs of chosen workflows only.
      type: bool
      sample: false
labels:
  description: The labels to give to runners, each once, though it be written in capital and in small letters.
  type: list
  elements: str
  returned: success
  sample: [self-hosted, linux, x64, ephemeral]
token_expires_at:
  description: When the token ends, in UTC; null if it does not, or GitHub does not say, and for an App.
  type: str
  returned: success
  sample: "2027-11-21T10:00:00Z"
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

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.access import Access, check_access
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.labels import (
    default_labels,
    distinct_labels,
    label_problems,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Group
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import (
    ARCHITECTURE,
    Failure,
    GitHubModule,
    iso,
    wrong,
)

OUTSIDERS = "anybody who sends a pull request can have code run on the runners"


def refuse(access: Access, group: Group, allow_public: bool) -> None:
    """Raise Failure if runners should not register there."""
    scope = access.scope
    if access.archived:
        raise wrong("scope", scope, "archived, so it runs no jobs", f"unarchive it at {scope.url}/settings")
    if allow_public or not access.open_to_public(group):
        return
    if scope.kind == "repo":
        why, remedy = f"{scope.url} is public, so {OUTSIDERS}", f"make it private at {scope.url}/settings"
    else:
        why = f"the runner group {group.name} of {scope} takes jobs of public repositories, so {OUTSIDERS}"
        remedy = "forbid that in the settings of the group, under Actions, or name another runner_group"
    raise wrong("allow_public", "false", why, f"{remedy}; or set allow_public to true, if that is what you want")


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    labels = module.params["labels"]
    if labels is None:
        labels = default_labels(module.architecture())
    if problems := label_problems(labels):
        raise Failure("\n".join(problems))
    access = check_access(client, scope)
    group = access.group(module.params["runner_group"])
    refuse(access, group, module.params["allow_public"])
    if str(access.scope).lower() != str(scope).lower():
        module.warn(f"scope = {scope}: GitHub calls it {access.scope} now. Do: write that")
    return {
        "scope": str(access.scope),
        "kind": access.scope.kind,
        "url": access.scope.url,
        "api_url": access.scope.api_url,
        "api_path": access.scope.api_path,
        "visibility": access.visibility,
        "group_id": group.id,
        "group": group.name,
        "groups": [asdict(each) for each in access.groups],
        "labels": distinct_labels(labels),
        "token_expires_at": iso(client.token_expires_at),
    }


def main() -> None:
    """Run the module."""
    options = {
        "allow_public": {"type": "bool", "default": False},
        "runner_group": {"type": "str"},
        "labels": {"type": "list", "elements": "str"},
        **ARCHITECTURE,
    }
    GitHubModule(options).run(work)


if __name__ == "__main__":
    main()
