# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gha_webhook_delivery_info
short_description: List what GitHub sent to a webhook, and what came of it
version_added: 0.1.0
author: The ephemeral.github_runners authors (@ephemeral)
description:
  - Lists the deliveries to a webhook of an organization or a repository, the newest first, from all pages.
  - GitHub repeats no delivery by itself, and keeps the list for three days (a GitHub Enterprise Server for seven).
  - Webhooks themselves are made by M(community.general.github_webhook); the playbook
    C(ephemeral.github_runners.webhook) makes one for a repository's jobs, and looks whether GitHub reaches it.
extends_documentation_fragment:
  - ephemeral.github_runners._attributes
  - ephemeral.github_runners._attributes.info
  - ephemeral.github_runners._github
options:
  hook_id:
    description: GitHub's number for the webhook, as M(community.general.github_webhook) returns it.
    type: int
  hook_url:
    description: The URL that the webhook sends to, instead of O(hook_id).
    type: str
  status:
    description:
      - V(success) for deliveries that were answered with a status code of 200 to 399, V(failure) for all others.
    type: str
    choices: [success, failure]
  event:
    description: The event that was told of, such as V(workflow_job).
    type: str
  guid:
    description: The C(X-GitHub-Delivery) of the event. A redelivery has that of the first delivery.
    type: str
  since:
    description:
      - Only deliveries of this time and later, such as V(2026-11-21T10:00:00Z). Older pages are not asked for then,
        which is of use where there are many.
    type: str
  delivery_id:
    description: The number of one delivery, to see what was sent and what was answered.
    type: int
notes:
  - For this module a fine-grained token or an app needs the permission B(Webhooks) (read) of the organization or of the
    repository, a classic token the scope C(admin:org_hook) or C(admin:repo_hook), instead of what is said about
    runners.
  - GitHub's API does not tell of the webhooks of an enterprise.
  - A payload holds what happened in a repository, so it is as private as that.
seealso:
  - module: community.general.github_webhook
    description: Makes, changes and removes webhooks of a repository.
  - name: GitHub on failed deliveries
    description: What to do about them; they can be repeated for three days.
    link: https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

EXAMPLES = r"""
- name: Have a webhook that tells of jobs
  community.general.github_webhook:
    repository: my-org/my-repository
    url: https://runners.example.com/webhook
    content_type: json
    secret: "{{ my_webhook_secret }}"
    events: [workflow_job]
    user: "{{ my_github_user }}"
    token: "{{ my_github_token }}"
  delegate_to: localhost
  no_log: true # the module is given two secrets
  register: hook

- name: List what did not arrive
  ephemeral.github_runners.gha_webhook_delivery_info:
    scope: my-org/my-repository
    hook_id: "{{ hook.hook_id }}"
    status: failure
    token: "{{ my_github_token }}"
  delegate_to: localhost
  register: failed

- name: List what an organization's webhook was told of jobs within the last hour
  ephemeral.github_runners.gha_webhook_delivery_info:
    scope: my-org
    hook_url: https://runners.example.com/webhook
    event: workflow_job
    since: "{{ '%Y-%m-%dT%H:%M:%SZ' | strftime(now().timestamp() - 3600, utc=true) }}"
    token: "{{ my_github_token }}"
  delegate_to: localhost

- name: See what was answered to the last one that did not arrive
  ephemeral.github_runners.gha_webhook_delivery_info:
    scope: my-org/my-repository
    hook_id: "{{ hook.hook_id }}"
    delivery_id: "{{ failed.deliveries[0].id }}"
    token: "{{ my_github_token }}"
  delegate_to: localhost
  when: failed.deliveries | length > 0
"""

RETURN = r"""
scope:
  description: The scope in its short form.
  type: str
  returned: success
  sample: my-org/my-repository
hook_id:
  description: GitHub's number for the webhook.
  type: int
  returned: success
  sample: 300001
deliveries:
  description: The deliveries, the newest first; with O(delivery_id) the one.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: GitHub's number for it, which is too large for JavaScript and what is made of it.
      type: int
      sample: 9007199254741003
    guid:
      description: The event's own number; a redelivery has the same.
      type: str
      sample: 0b989ba4-242f-11e5-81e1-c7b6966d2516
    delivered_at:
      description: When it was sent, in UTC.
      type: str
      sample: "2026-11-21T10:00:00Z"
    redelivery:
      description: It was sent again, because somebody asked for it.
      type: bool
      sample: false
    duration:
      description: Seconds until it was answered.
      type: float
      sample: 0.03
    status:
      description: What came of it, in words.
      type: str
      sample: OK
    status_code:
      description: The status code of the answer.
      type: int
      sample: 200
    succeeded:
      description: The status code is one of 200 to 399.
      type: bool
      sample: true
    event:
      description: What was told of.
      type: str
      sample: workflow_job
    action:
      description: What happened to that; null where the event knows no such thing.
      type: str
      sample: queued
request:
  description: The C(headers) and the C(payload) that were sent, with O(delivery_id); otherwise null.
  type: dict
  returned: success
  sample: null
response:
  description: The C(headers) and the C(payload) of the answer, with O(delivery_id); otherwise null.
  type: dict
  returned: success
  sample: null
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
from itertools import takewhile
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.answers import epoch
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.client import Client
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.hooks import (
    PERMISSIONS,
    Delivery,
    Hooks,
)
from ansible_collections.ephemeral.github_runners.plugins.module_utils._github.scope import Scope
from ansible_collections.ephemeral.github_runners.plugins.module_utils._module import Failure, GitHubModule, iso, wrong

FILTERS = ("status", "event", "guid", "since")


def hook_of(module: GitHubModule, hooks: Hooks, scope: Scope) -> int:
    """The number of the webhook that the options name; Failure unless there is exactly one."""
    number, url = module.params["hook_id"], module.params["hook_url"]
    if number is not None:
        return int(number)
    found = hooks.at(url)
    if len(found) == 1:
        return found[0].id
    if found:
        numbers = ", ".join(str(hook.id) for hook in found)
        raise wrong("hook_url", url, f"{len(found)} webhooks of {scope} send there: {numbers}", "give one as hook_id")
    raise wrong("hook_url", url, f"no webhook of {scope} sends there", f"see {scope.url}, Settings, Webhooks")


def begin_of(module: GitHubModule) -> float:
    """The option `since` in epoch seconds; Failure if it is no time."""
    text = module.params["since"]
    begin = 0.0 if text is None else epoch(text)
    if begin is None:
        raise wrong("since", repr(text), "no time with a zone", "write it as 2026-11-21T10:00:00Z")
    return begin


def fits(module: GitHubModule, delivery: Delivery) -> bool:
    """Whether a delivery is one that is asked for."""
    asked = {name: module.params[name] for name in ("event", "guid") if module.params[name] is not None}
    outcome = "success" if delivery.succeeded else "failure"
    return module.params["status"] in (None, outcome) and all(
        getattr(delivery, name) == value for name, value in asked.items()
    )


def shown(delivery: Delivery) -> dict[str, Any]:
    """A delivery in the result."""
    return {**asdict(delivery), "delivered_at": iso(delivery.delivered_at), "succeeded": delivery.succeeded}


def work(module: GitHubModule, client: Client, scope: Scope) -> dict[str, Any]:
    """What the module returns."""
    try:
        hooks = Hooks(client, scope)
    except ValueError as exc:
        raise Failure(str(exc)) from None
    begin, one = begin_of(module), module.params["delivery_id"]
    hook, exchange = hook_of(module, hooks, scope), {"request": None, "response": None}
    if one is None:
        recent = takewhile(lambda delivery: delivery.delivered_at >= begin, hooks.deliveries(hook))
        found = [delivery for delivery in recent if fits(module, delivery)]
    else:
        delivery, said = hooks.delivery(hook, one)
        found, exchange = [delivery], asdict(said)
    return {"scope": str(scope), "hook_id": hook, "deliveries": [shown(each) for each in found], **exchange}


def main() -> None:
    """Run the module."""
    options = {
        "hook_id": {"type": "int"},
        "hook_url": {"type": "str"},
        "status": {"type": "str", "choices": ["success", "failure"]},
        "event": {"type": "str"},
        "guid": {"type": "str"},
        "since": {"type": "str"},
        "delivery_id": {"type": "int"},
    }
    GitHubModule(
        options,
        permissions=PERMISSIONS,
        required_one_of=[("hook_id", "hook_url")],
        mutually_exclusive=[("hook_id", "hook_url"), *(("delivery_id", each) for each in FILTERS)],
    ).run(work)


if __name__ == "__main__":
    main()
