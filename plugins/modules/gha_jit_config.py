# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gha_jit_config
short_description: Make the just-in-time (JIT) configuration of one self-hosted runner
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Registers a runner that lives for one job, and returns what makes a machine be it, for C(run.sh --jitconfig).
  - A JIT configuration is good for this one runner, once, and for about an hour until it is first used. So the machine
    that runs jobs never holds a token that could register others.
  - The role P(ephemeral.github_runners.github_docker_runners#role) does all that by itself. This module is for runners
    on other kinds of machines.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._github
attributes:
  check_mode:
    support: full
    details:
      - No runner is made, so RV(encoded_jit_config) and RV(runner) are null. GitHub is asked whether the group is there
        and the name is free.
  diff_mode:
    support: none
    details: A runner is made, none is changed.
  idempotent:
    support: none
    details: Every run makes another runner. With a name that is taken it fails, or replaces that runner.
options:
  name:
    description:
      - The runner's name, which must be new in the scope, up to 64 characters. Give every attempt a name of its own,
        such as one that ends in the id of the machine.
    type: str
    required: true
  replace:
    description:
      - If there is a runner of this name that is offline and idle, remove it first. It may be what is left of an
        earlier attempt, or one that is about to start, GitHub does not tell them apart.
      - It is looked at for two seconds, and GitHub itself refuses to remove one that runs a job. One that is online is
        never replaced.
    type: bool
    default: false
  labels:
    description:
      - All labels that the runner is to have, 1 to 100. GitHub adds none by itself, not even C(self-hosted).
      - By default C(self-hosted), C(linux), the one for O(architecture), such as C(x64), and C(ephemeral).
    type: list
    elements: str
  architecture:
    description:
      - The architecture of the runner's machine, for the default labels, as GitHub or as the fact
        C(ansible_facts.architecture) names it.
      - By default that of the host where the module runs.
    type: str
    choices: [x64, arm64, arm, x86_64, aarch64]
  runner_group:
    description:
      - The name of the runner group that it is to join, in capital or small letters.
      - By default the one that GitHub calls the default group. A repository has only that one.
    type: str
  work_folder:
    description: Where jobs work, relative to the runner's folder, or absolute.
    type: str
    default: _work
notes:
  - The result holds a credential. From ansible-core 2.22 on, Ansible hides it wherever it would be printed. Older ones
    print it at C(-v), so give the task C(no_log=true), as the examples do.
  - Do not write it into a command line, which every user of the machine can read, nor into the environment of a
    container, which C(docker inspect) shows.
  - If GitHub's answer was lost, the runner may be there although the module failed, and nobody has its configuration.
    Run the module again with O(replace=true), or with another name; GitHub removes the runner after a day.
seealso:
  - module: ephemeral.github_runners.gha_runner
    description: Removes a runner that never started.
  - module: ephemeral.github_runners.gha_runner_scope
    description: Finds out beforehand what is wrong with a scope, a group or labels.
  - name: GitHub's documentation of JIT configurations
    description: The request for an organization; those for repositories and enterprises are beside it.
    link: https://docs.github.com/rest/actions/self-hosted-runners#create-configuration-for-a-just-in-time-runner-for-an-organization
"""

EXAMPLES = r"""
- name: Make a runner for an organization
  ephemeral.github_runners.gha_jit_config:
    scope: my-org
    name: build-{{ 1000000 | random }}
    labels: [self-hosted, linux, x64, gpu]
    runner_group: builders
    token: "{{ my_github_token }}"
  delegate_to: localhost
  no_log: true # the result holds a credential
  register: jit

- name: Give it to the machine in a file that only the runner can read
  ansible.builtin.copy:
    content: ACTIONS_RUNNER_INPUT_JITCONFIG={{ jit.encoded_jit_config }}
    dest: /run/actions-runner.env
    owner: actions-runner
    mode: "0400"
  no_log: true # the content is a credential
  diff: false

- name: Make a runner for a repository, in the place of one that did not start
  ephemeral.github_runners.gha_jit_config:
    scope: my-org/my-repository
    name: nightly
    replace: true
    architecture: arm64
    client_id: Iv23liABCDEFGHIJKLMN
    private_key_file: ~/.config/my-app.pem
  delegate_to: localhost
  no_log: true # the result holds a credential
  register: jit
"""

RETURN = r"""
encoded_jit_config:
  description: What C(run.sh --jitconfig) takes, which is a credential. Null in check mode.
  type: str
  returned: success
  sample: eyIucnVubmVyIjogImV5SkJaMlZ1ZEVsa0lqb2dNakY5In0=
runner:
  description: The runner that was made. Null in check mode.
  type: dict
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
replaced:
  description: Whether a runner of the same name was removed for it, or would have been in check mode.
  type: bool
  returned: success
  sample: false
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

from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import Conflict, GitHubError
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.labels import (
    default_labels,
    distinct_labels,
    label_problems,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.removal import ghost, remove
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import (
    JitConfig,
    Runner,
    Runners,
    find_group,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import (
    ARCHITECTURE,
    Failure,
    GitHubModule,
    result_runner,
    result_secret,
    wrong,
)

APART = 2.0  # seconds between two looks at a runner that is to be replaced: what GitHub tells of one flickers
LONGEST = 64  # characters of a name
ANOTHER = "give each runner a name of its own"


def objection(holder: Runner, replace: bool) -> str:
    """What to do if the runner that has the name may not be removed; empty if it may."""
    who = f"the runner {holder.id} of that name is {'busy' if holder.busy else holder.status}"
    if not ghost(holder):
        return f"{ANOTHER}; {who}, so it cannot be replaced"
    return "" if replace else f"{ANOTHER}; {who}, so set replace to true if it is what is left of an earlier attempt"


def check(runners: Runners, scope: Scope, name: str, replace: bool) -> bool:
    """Whether a runner would be replaced; Conflict if the name is taken for good."""
    holder = runners.find(name)
    remedy = objection(holder, replace) if holder else ""
    if remedy:
        raise Conflict(f"make a JIT configuration for the runner {name} in {scope}", message="taken", hint=remedy)
    return holder is not None


def ask(runners: Runners, name: str, *rest: Any) -> JitConfig:
    """The configuration; an error says what may be there all the same."""
    try:
        return runners.generate_jit_config(name, *rest)
    except GitHubError as exc:
        if exc.in_doubt:
            exc.hint += (
                f"; the runner {name} may be there all the same, and its configuration is lost, "
                "so set replace to true then, or take another name"
            )
        raise


def make(runners: Runners, name: str, replace: bool, *rest: Any) -> tuple[JitConfig, bool]:
    """The configuration, and whether a runner of that name was removed for it; `rest` as `generate_jit_config` has."""
    try:
        return ask(runners, name, *rest), False
    except Conflict as exc:
        holder = runners.find(name)
        remedy = objection(holder, replace) if holder else ""
        if holder and not remedy and not remove(runners, holder.id, ghost, seconds=APART):
            remedy = f"{ANOTHER}; the runner {holder.id} of that name has just come to life"
        if remedy:
            exc.hint = remedy
            raise
    return ask(runners, name, *rest), holder is not None


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    name, replace, labels = (module.params[each] for each in ("name", "replace", "labels"))
    if not name.strip() or len(name) > LONGEST:
        why = f"no name of a runner, which has 1 to {LONGEST} characters"
        raise wrong("name", repr(name), why, "name it so")
    if labels is None:
        labels = default_labels(module.architecture())
    if problems := label_problems(labels):
        raise Failure("\n".join(problems))
    runners = Runners(client, scope)
    group = find_group(runners.groups(), module.params["runner_group"], scope)
    found: dict[str, Any] = {"encoded_jit_config": None, "runner": None}
    if module.check_mode:
        replaced = check(runners, scope, name, replace)
    else:
        made, replaced = make(runners, name, replace, distinct_labels(labels), group.id, module.params["work_folder"])
        found = {"encoded_jit_config": result_secret(made.encoded), "runner": result_runner(made.runner)}
    return {"changed": True, **found, "replaced": replaced, "scope": str(scope)}


def main() -> None:
    """Run the module."""
    options = {
        "name": {"type": "str", "required": True},
        "replace": {"type": "bool", "default": False},
        "labels": {"type": "list", "elements": "str"},
        **ARCHITECTURE,
        "runner_group": {"type": "str"},
        "work_folder": {"type": "str", "default": "_work"},
    }
    GitHubModule(options).run(work)


if __name__ == "__main__":
    main()
