# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gha_runner
short_description: Change the labels of a self-hosted runner, deregister one, or prune those that are left behind
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Gives a runner custom labels, deregisters a runner at GitHub, or all those with a beginning of the name that are
    offline.
  - No job is killed. A runner that is to be deregistered has to look idle at every look over O(idle_for) seconds, since
    what GitHub tells of it is late by up to a minute; and where GitHub refuses since the runner has a job, it is left
    alone or waited for.
  - Runners come into being elsewhere, by M(ephemeral.github_runners.gha_jit_config) or C(config.sh). Deregistering one
    does not stop its program.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._github
attributes:
  check_mode:
    support: full
    details: It looks once and does not wait, so a runner may turn out to be busy, or not to stay offline, after all.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - With V(present), the runner that O(name) or O(id) says must be there, and gets O(labels).
      - With V(absent), it is deregistered. It is no matter if it was not there.
      - With V(pruned), all runners are deregistered whose names begin with O(name_prefix), and which are offline for
        O(offline_for) seconds.
    type: str
    choices: [present, absent, pruned]
    default: present
  name:
    description: The runner's name.
    type: str
  id:
    description: GitHub's number of the runner, instead of O(name).
    type: int
  labels:
    description:
      - The labels that the runner is to have, with O(state=present). Capital and small letters are the same.
      - Some labels of a runner cannot be taken away, those that C(config.sh) adds by itself and all that came with a
        JIT configuration. They stay, whether they are listed here or not.
    type: list
    elements: str
  append:
    description:
      - If V(true), the custom labels that the runner has besides O(labels) stay.
      - If V(false), they are taken away, so that an empty list takes them all.
    type: bool
    default: false
  idle_for:
    description:
      - For how many seconds the runner has to be idle until it is deregistered with O(state=absent).
      - A runner that has just begun a job may look idle for up to a minute, and GitHub may even let go of it. Set less
        only for a runner whose machine is known to be gone.
    type: int
    default: 60
  wait_timeout:
    description:
      - How many seconds to wait for the job of a busy runner to end, with O(state=absent). With V(0), a busy runner is
        refused, and the module fails.
      - If GitHub cannot be asked meanwhile, the watch begins anew when it can.
      - A runner that is not ephemeral is then watched for O(idle_for) seconds more, and may take its next job
        meanwhile. Stop it from taking one by other means, such as a runner group without repositories.
    type: int
    default: 0
  name_prefix:
    description: How the names of the runners begin that O(state=pruned) is about.
    type: str
  offline_for:
    description:
      - For how many seconds a runner has to be offline until it is deregistered with O(state=pruned).
      - GitHub does not tell since when a runner is offline. So the module itself watches for that long, and takes that
        long if any runner is offline when it begins. One that is seen online or busy meanwhile, stays.
      - A runner that has been made and whose machine is still starting is offline, too. Give more than this takes.
    type: int
    default: 300
seealso:
  - module: ephemeral.github_runners.gha_runner_info
  - module: ephemeral.github_runners.gha_jit_config
  - name: GitHub on removing runners
    description: GitHub itself removes a runner that is offline for 14 days, or for one if it is ephemeral.
    link: https://docs.github.com/actions/how-tos/manage-runners/self-hosted-runners/remove-runners
"""

EXAMPLES = r"""
- name: Let a runner have two custom labels and no others
  ephemeral.github_runners.gha_runner:
    scope: my-org
    name: big-machine
    labels: [gpu, fast-disk]
    token: "{{ my_github_token }}"
  delegate_to: localhost

- name: Give it one more
  ephemeral.github_runners.gha_runner:
    scope: my-org
    name: big-machine
    labels: [staging]
    append: true
    token: "{{ my_github_token }}"
  delegate_to: localhost

- name: Deregister a runner of a repository, after its job, which may take two hours
  ephemeral.github_runners.gha_runner:
    scope: my-org/my-repository
    name: nightly
    state: absent
    wait_timeout: 7200
    client_id: Iv23liABCDEFGHIJKLMN
    private_key_file: ~/.config/my-app.pem
  delegate_to: localhost

- name: Deregister what a host has left behind that is gone
  ephemeral.github_runners.gha_runner:
    scope: my-org
    state: pruned
    name_prefix: gh-runner-01-
    offline_for: 600
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: pruned

- name: Say which
  ansible.builtin.debug:
    msg: "{{ pruned.runners | map(attribute='name') }}"
"""

RETURN = r"""
runners:
  description:
    - With O(state=present), the one runner as it is now, or as it would be in check mode.
    - With O(state=absent) and O(state=pruned), those that were there and are gone now, or would be in check mode, each
      as it was seen first.
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
diff:
  description: The labels of the one runner, or the names of those that are gone, before and after.
  type: dict
  returned: success
  sample: {before: {labels: [gpu]}, after: {labels: [fast-disk, gpu]}}
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

from dataclasses import replace
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.errors import NotFound
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.labels import (
    label_problems,
    next_custom_labels,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.removal import (
    ghosts,
    idle,
    prune,
    remove,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.runners import Runner, Runners
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import (
    Failure,
    GitHubModule,
    result_runner,
    wrong,
)

SECONDS = ("idle_for", "wait_timeout", "offline_for")


def find(module: GitHubModule, runners: Runners) -> Runner | None:
    """The runner that the options name; Failure if they do not."""
    name = module.params["name"]
    if name == "":  # a variable without a value, not a runner that is gone
        raise wrong("name", "''", "no name", "name the runner")
    return runners.get(module.params["id"]) if name is None else runners.find(name)


def present(module: GitHubModule, runners: Runners, scope: Scope) -> dict[str, Any]:
    """Give the runner its labels."""
    wanted, append = module.params["labels"], module.params["append"]
    if wanted and (problems := label_problems(wanted)):
        raise Failure("\n".join(problems))
    runner = find(module, runners)
    if runner is None:
        who = module.params["name"] or module.params["id"]
        raise NotFound(
            f"find the runner {who} in {scope}",
            message="there is none of that name" if module.params["name"] else "there is none of that id",
            hint="register it first, with gha_jit_config or config.sh; an ephemeral one is gone after its job",
        )
    custom = next_custom_labels(wanted, runner.labels, runner.custom_labels, append)
    new = {label.lower() for label in custom} ^ {label.lower() for label in runner.custom_labels}
    after = runner
    if new and module.check_mode:
        fixed = {*runner.labels} - {*runner.custom_labels}
        after = replace(runner, labels=(*fixed, *custom), custom_labels=tuple(custom))
    elif new and append:
        after = runners.add_labels(runner, [label for label in custom if label.lower() in new])
    elif new:
        after = runners.set_labels(runner, custom)
    labels = [{"labels": result_runner(each)["labels"]} for each in (runner, after)]
    return {"changed": bool(new), "runners": [result_runner(after)], "diff": {"before": labels[0], "after": labels[1]}}


def absent(module: GitHubModule, runners: Runners, scope: Scope) -> dict[str, Any]:
    """Deregister the runner."""
    runner = find(module, runners)
    if runner is None:
        return gone([])
    wait = module.params["wait_timeout"]
    if module.check_mode:
        free = wait or idle(runner)
    else:
        free = remove(runners, runner.id, idle, seconds=module.params["idle_for"], wait=wait)
    if not free:
        raise wrong(
            "wait_timeout",
            wait,
            f"the runner {runner.name} of {scope} has a job",
            "let it run and try again later, or give the seconds that it may take",
        )
    return gone([runner])


def pruned(module: GitHubModule, runners: Runners, scope: Scope) -> dict[str, Any]:
    """Deregister what is left behind."""
    prefix = module.params["name_prefix"]
    if not prefix:
        raise wrong("name_prefix", "''", "every name begins so", "write what the names of one host or pool begin with")
    seconds = 0 if module.check_mode else module.params["offline_for"]
    found = ghosts(runners, prefix, seconds=seconds)
    return gone(found if module.check_mode else prune(runners, found))


def gone(found: list[Runner]) -> dict[str, Any]:
    """The result where these runners are there no more."""
    names = sorted(each.name for each in found)
    diff = {"before": {"runners": names}, "after": {"runners": []}}
    return {"changed": bool(found), "runners": [result_runner(each) for each in found], "diff": diff}


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    for name in SECONDS:
        if module.params[name] < 0:
            raise wrong(name, module.params[name], "no time", "give a number of seconds from 0 on")
    states = {"present": present, "absent": absent, "pruned": pruned}
    return {**states[module.params["state"]](module, Runners(client, scope), scope), "scope": str(scope)}


def main() -> None:
    """Run the module."""
    options = {
        "state": {"type": "str", "choices": ["present", "absent", "pruned"], "default": "present"},
        "name": {"type": "str"},
        "id": {"type": "int"},
        "labels": {"type": "list", "elements": "str"},
        "append": {"type": "bool", "default": False},
        "idle_for": {"type": "int", "default": 60},
        "wait_timeout": {"type": "int", "default": 0},
        "name_prefix": {"type": "str"},
        "offline_for": {"type": "int", "default": 300},
    }
    GitHubModule(
        options,
        mutually_exclusive=[("name", "id", "name_prefix")],
        required_if=[
            ("state", "present", ("name", "id"), True),
            ("state", "present", ("labels",)),
            ("state", "absent", ("name", "id"), True),
            ("state", "pruned", ("name_prefix",)),
        ],
    ).run(work)


if __name__ == "__main__":
    main()
