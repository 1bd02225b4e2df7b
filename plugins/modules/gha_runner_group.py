# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gha_runner_group
short_description: Make, change or remove a runner group of an organization or an enterprise
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - A runner group says which repositories and which workflows may use the runners in it. It is what keeps runners with
    access to something from everybody who can write a workflow.
  - Sees to it that a group is there with the settings that are given, or that it is not there. Settings that are not
    given stay as they are; a new group gets GitHub's defaults for them.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._github
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: The name of the group, in capital or small letters. A group that is there keeps the spelling it has.
    type: str
    required: true
  state:
    description:
      - V(present) for a group that is there, with the settings below, V(absent) for none of that name.
      - The default group is never removed, nor is one of an enterprise from one of its organizations.
    type: str
    choices: [present, absent]
    default: present
  visibility:
    description:
      - Who may use the group, V(all) repositories of the organization (or organizations of the enterprise), V(private)
        ones, which an enterprise's groups do not know, or only those that are V(selected), by O(repositories) or
        O(organizations).
      - V(all) does not include public repositories; see O(allows_public_repositories).
      - If O(repositories) or O(organizations) is given, it is V(selected). A new group is for V(all) if nothing is
        said.
    type: str
    choices: [all, private, selected]
  repositories:
    description:
      - The repositories of the organization that may use the group, these and no others, each with or without the name
        of the organization. V([]) for none.
    type: list
    elements: str
  organizations:
    description: The organizations of the enterprise that may use the group, these and no others. V([]) for none.
    type: list
    elements: str
  allows_public_repositories:
    description:
      - Whether public repositories may use the group as well. Anybody can send a pull request to one, whose workflow
        may then run on your machine.
      - A new group does not allow it if nothing is said.
    type: bool
  restricted_to_workflows:
    description:
      - Whether only the O(selected_workflows) may use the group.
      - If O(selected_workflows) is given, it is V(true). A new group is for any workflow if nothing is said.
    type: bool
  selected_workflows:
    description:
      - The workflows that may use the group, these and no others, each with a branch, a tag or a long SHA, such as
        V(my-org/my-repository/.github/workflows/deploy.yml@refs/heads/main).
    type: list
    elements: str
  move_runners:
    description:
      - What to do if a group has runners in it and is to be removed, which GitHub refuses. If V(true), they are moved
        to the default group first, with their jobs; whoever may use that one can use them from then on.
      - If V(false), the module fails and names them.
    type: bool
    default: false
notes:
  - GitHub has runner groups for the organizations of paid plans and for enterprises.
  - An App that is to choose O(repositories) has to be installed on them, since it cannot see others.
seealso:
  - module: ephemeral.github_runners.gha_runner_scope
    description: Lists the groups of a scope.
  - name: GitHub on runner groups
    description: What they are for, and who can use them.
    link: https://docs.github.com/actions/how-tos/manage-runners/self-hosted-runners/manage-access
"""

EXAMPLES = r"""
- name: Have a group for two repositories
  ephemeral.github_runners.gha_runner_group:
    scope: my-org
    name: builders
    repositories: [my-repository, my-org/my-library]
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: builders

- name: Let one workflow use it, as it is on the main branch
  ephemeral.github_runners.gha_runner_group:
    scope: my-org
    name: builders
    selected_workflows:
      - my-org/my-repository/.github/workflows/deploy.yml@refs/heads/main
    token: "{{ my_github_token }}"
  delegate_to: localhost

- name: Have a group of an enterprise for one of its organizations
  ephemeral.github_runners.gha_runner_group:
    scope: enterprises/my-enterprise
    name: large
    organizations: [my-org]
    token: "{{ my_github_token }}"
  delegate_to: localhost

- name: Have no such group, though there may be runners in it
  ephemeral.github_runners.gha_runner_group:
    scope: my-org
    name: old
    state: absent
    move_runners: true
    token: "{{ my_github_token }}"
  delegate_to: localhost
"""

RETURN = r"""
scope:
  description: The scope in its short form.
  type: str
  returned: success
  sample: my-org
group:
  description: The group as it is now, or would be; null if there is none.
  type: dict
  returned: success
  contains:
    id:
      description: GitHub's number of the group; null in check mode if it would be made.
      type: int
      sample: 3
    name:
      description: Its name.
      type: str
      sample: builders
    visibility:
      description: Who may use it, V(all), V(private) or V(selected).
      type: str
      sample: selected
    repositories:
      description:
        - The repositories that may, in alphabetical order; null for any other visibility, and an enterprise's group.
      type: list
      elements: str
      sample: [my-org/my-library, my-org/my-repository]
    organizations:
      description: The organizations that may; null for any other visibility, and an organization's group.
      type: list
      elements: str
      sample: null
    allows_public_repositories:
      description: Public repositories may use it as well.
      type: bool
      sample: false
    restricted_to_workflows:
      description: Only the chosen workflows may.
      type: bool
      sample: true
    selected_workflows:
      description: Those, in alphabetical order; none if any workflow may.
      type: list
      elements: str
      sample: [my-org/my-repository/.github/workflows/deploy.yml@refs/heads/main]
moved_runners:
  description: The names of the runners that were moved to the default group, or would be.
  type: list
  elements: str
  returned: success
  sample: []
diff:
  description: The settings of the group before and after; empty where there is no group.
  type: dict
  returned: success
  sample: {before: {}, after: {name: builders, visibility: all}}
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

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.groups import GroupSettings, RunnerGroups
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import Failure, GitHubModule, wrong

SETTINGS = ("visibility", "allows_public_repositories", "restricted_to_workflows", "selected_workflows")
DEFAULTS = {  # GitHub's, of a new group
    "visibility": "all",
    "allows_public_repositories": False,
    "restricted_to_workflows": False,
    "selected_workflows": [],
}
WORKFLOW = re.compile(r"[^/\s@]+/[^/\s@]+/\.github/workflows/[^/\s@]+@\S+")
State = dict[str, Any]  # a group's settings, with the names of those whom it is selected for; empty: there is no group


def wanted_of(params: Mapping[str, Any], scope: Scope) -> State:
    """The settings that the options name, in GitHub's words; Failure if they contradict each other."""
    mine, other = ("repositories", "organizations")[:: 1 if scope.kind == "org" else -1]
    if params[other] is not None:
        raise wrong(other, params[other], f"the groups of {scope} are for {mine}", f"name those, in {mine}")
    wanted = {name: params[name] for name in SETTINGS if params[name] is not None}
    if wanted.get("visibility") == "private" and scope.kind == "enterprise":
        raise wrong("visibility", "private", "an enterprise's groups do not know it", "write all or selected")
    if params[mine] is not None:
        if wanted.setdefault("visibility", "selected") != "selected":
            why = f"there are {mine} too, which are for selected"
            raise wrong("visibility", wanted["visibility"], why, "give one of the two")
        wanted[mine] = [named(each, mine, scope) for each in params[mine]]
    if "selected_workflows" in wanted:
        for each in wanted["selected_workflows"]:
            if not WORKFLOW.fullmatch(each):
                remedy = "write owner/repo/.github/workflows/FILE@REF, where REF is a branch, a tag or a long SHA"
                raise wrong("selected_workflows", repr(each), "no workflow at a place in history", remedy)
        if not wanted.setdefault("restricted_to_workflows", True):
            why = "there are selected_workflows too, which nothing would be restricted to"
            raise wrong("restricted_to_workflows", "false", why, "give one of the two")
        wanted["selected_workflows"] = sorted(set(wanted["selected_workflows"]))
    return wanted


def named(text: str, option: str, scope: Scope) -> str:
    """The name by itself of a repository of the organization, or of an organization."""
    name = text.strip()
    if option == "repositories":
        owner, slash, name = name.rpartition("/")
        if slash and owner.lower() != scope.owner.lower():
            raise wrong(option, repr(text), f"not of {scope}", "name repositories of this organization")
    if not re.fullmatch(r"(?!\.{1,2}$)[A-Za-z0-9._-]+", name):
        raise wrong(option, repr(text), "nothing can have that name", "write names, each by itself")
    return name


def state_of(group: GroupSettings | None, groups: RunnerGroups, users: Mapping[int, str]) -> State:
    """What GitHub told."""
    if group is None:
        return {}
    return {
        "name": group.name,
        "visibility": group.visibility,
        "allows_public_repositories": group.allows_public,
        "restricted_to_workflows": group.restricted_to_workflows,
        "selected_workflows": sorted(group.selected_workflows) if group.restricted_to_workflows else [],
        groups.users.called: sorted(users.values(), key=str.lower) if group.visibility == "selected" else None,
    }


def present(module: GitHubModule, groups: RunnerGroups, wanted: State) -> tuple[int | None, State, State]:
    """Have the group; its number, what it was, what it is."""
    name, called = module.params["name"], groups.users.called
    group = groups.find(name)
    users = groups.users_of(group) if group and group.visibility == "selected" else {}
    before = state_of(group, groups, users)
    chosen = users
    if called in wanted:
        known = {full.rpartition("/")[2].lower(): (number, full) for number, full in users.items()}
        chosen = dict(known.get(each.lower()) or groups.user(each) for each in wanted[called])
    after = {"name": name, **DEFAULTS, **before, **{key: wanted[key] for key in SETTINGS if key in wanted}}
    after[called] = sorted(chosen.values(), key=str.lower) if after["visibility"] == "selected" else None
    # GitHub may keep those that it does not heed.
    workflows = wanted.get("selected_workflows", sorted(group.selected_workflows) if group else [])
    after["selected_workflows"] = workflows if after["restricted_to_workflows"] else []
    changed = [key for key in SETTINGS if before and before[key] != after[key]]
    if group and group.workflows_read_only and {*changed} & {"restricted_to_workflows", "selected_workflows"}:
        why = "the workflows of this group are the enterprise's to choose"
        raise wrong("selected_workflows", after["selected_workflows"], why, "choose them for the enterprise's group")
    if module.check_mode:
        return (group.id if group else None), before, after
    if group is None:
        ids = {groups.users.field: [*chosen]} if after["visibility"] == "selected" else {}
        settings = {key: wanted[key] for key in SETTINGS if key in wanted}
        return groups.create(name, {**settings, **ids}).id, before, after
    if changed:
        # All of them: GitHub's description has defaults for those that are left out.
        settings = {key: after[key] for key in SETTINGS if after[key] is not None}
        if after["visibility"] not in groups.users.visibilities:
            del settings["visibility"]
        if group.workflows_read_only or not after["restricted_to_workflows"]:
            del settings["selected_workflows"]
        if group.workflows_read_only:
            del settings["restricted_to_workflows"]
        groups.update(group, settings)
    # After the visibility, since only a group that is "selected" has users; one that was so before may still have some.
    became = after["visibility"] == "selected" != before["visibility"]
    if called in wanted and (became or chosen.keys() != users.keys()):
        groups.set_users(group, chosen)
    elif became:
        after[called] = sorted(groups.users_of(group).values(), key=str.lower)
    return group.id, before, after


def absent(module: GitHubModule, groups: RunnerGroups, scope: Scope) -> tuple[list[str], State]:
    """Have no such group; the runners that are moved, what the group was."""
    name = module.params["name"]
    group = groups.find(name)
    if group is None:
        return [], {}
    if group.default:
        raise wrong("name", name, "the default group, which is always there", "name another, or change its settings")
    if group.inherited:
        why = f"the group is the enterprise's, and {scope} only sees it"
        raise wrong("name", name, why, "remove it from the enterprise, with scope = enterprises/NAME")
    runners = groups.runners_in(group)
    if runners and not module.params["move_runners"]:
        few = ", ".join(runner.name for runner in runners[:5]) + (", …" if len(runners) > 5 else "")
        why = f"there are runners in the group {group.name} ({len(runners)}: {few}), which GitHub does not remove then"
        remedy = "remove them, or set it to true, which moves them to the default group"
        raise wrong("move_runners", "false", why, remedy)
    before = state_of(group, groups, groups.users_of(group) if group.visibility == "selected" else {})
    if not module.check_mode:
        for runner in runners:
            groups.release(group, runner)
        groups.delete(group)
    return [runner.name for runner in runners], before


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    if not module.params["name"].strip():
        raise wrong("name", repr(module.params["name"]), "no name", "name the group")
    try:
        groups = RunnerGroups(client, scope)
    except ValueError as exc:
        raise Failure(str(exc)) from None
    wanted = wanted_of(module.params, scope)
    number: int | None = None
    moved: list[str] = []
    after: State = {}
    if module.params["state"] == "present":
        number, before, after = present(module, groups, wanted)
    else:
        moved, before = absent(module, groups, scope)
    return {
        "changed": before != after,
        "scope": str(scope),
        "group": {"id": number, "repositories": None, "organizations": None, **after} if after else None,
        "moved_runners": moved,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Run the module."""
    options = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "visibility": {"type": "str", "choices": ["all", "private", "selected"]},
        "repositories": {"type": "list", "elements": "str"},
        "organizations": {"type": "list", "elements": "str"},
        "allows_public_repositories": {"type": "bool"},
        "restricted_to_workflows": {"type": "bool"},
        "selected_workflows": {"type": "list", "elements": "str"},
        "move_runners": {"type": "bool", "default": False},
    }
    GitHubModule(options).run(work)


if __name__ == "__main__":
    main()
