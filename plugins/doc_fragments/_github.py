# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of every module that talks to GitHub; their types are in module_utils/_module.py. Private."""

from __future__ import annotations


class ModuleDocFragment:
    """Scope, credential and connection."""

    DOCUMENTATION = r"""
options:
  scope:
    description:
      - Where runners register, an V(owner/repo), an organization such as V(my-org), V(enterprises/NAME), or the URL of
        one of them.
    type: str
    required: true
  token:
    description:
      - A personal access token, classic or fine-grained. What it must be allowed is in the notes.
      - If no option tells a credential, the environment variable E(GITHUB_TOKEN) is asked.
      - Instead of it, a GitHub App can be given, by O(client_id) and O(private_key).
    type: str
  client_id:
    description:
      - The client ID of a GitHub App that is installed where O(scope) belongs to. With it goes O(private_key) or
        O(private_key_file).
      - If neither it nor O(app_id) nor O(token) is given, the environment variable E(GITHUB_APP_CLIENT_ID) is asked.
    type: str
  app_id:
    description:
      - The number of the GitHub App, instead of O(client_id).
      - The environment variable is E(GITHUB_APP_ID).
    type: str
  private_key:
    description:
      - The private key of the App, the text of the C(.pem) file that GitHub made.
      - If neither it nor O(private_key_file) nor O(token) is given, the environment variable E(GITHUB_APP_PRIVATE_KEY)
        is asked.
    type: str
  private_key_file:
    description:
      - The C(.pem) file itself, on the host where the module runs, instead of O(private_key).
      - The environment variable is E(GITHUB_APP_PRIVATE_KEY_FILE).
    type: path
  installation_id:
    description:
      - The number of the App's installation. GitHub is asked for it if it is not given.
      - The environment variable is E(GITHUB_APP_INSTALLATION_ID).
    type: str
  api_url:
    description:
      - The URL of GitHub's API, V(https://api.github.com), V(https://api.SUBDOMAIN.ghe.com) for data residency, or
        V(https://HOST/api/v3) for GitHub Enterprise Server.
      - If it is not set, the environment variable E(GITHUB_API_URL) is used, and if that is not set, the default.
    type: str
    default: https://api.github.com
  ca_file:
    description:
      - A file of certificates (PEM) of the authorities to trust instead of the system's, on the host where the module
        runs. There is no option to trust anybody.
    type: path
  timeout:
    description: Seconds to connect, and the longest silence of the server while it answers.
    type: int
    default: 30
  retries:
    description:
      - How often a request is repeated after no answer, a broken one, a server error (5xx), or a rate limit that is
        over within a few seconds. A request that makes something is never repeated.
    type: int
    default: 3
attributes:
  action_group:
    description: Use C(group/ephemeral.github_runners.github) in C(module_defaults) to set options for all of them.
    support: full
    membership:
      - ephemeral.github_runners.github
requirements:
  - requests >= 2.25.1
  - PyJWT >= 2.3 and cryptography >= 3.4 for GitHub Apps
notes:
  - The module runs where Ansible sends it. As GitHub can be asked from anywhere, the control node is the usual place,
    so that no credential leaves it; the examples delegate to C(localhost).
  - Environment variables are those of the process on the host where the module runs. Do not set them with the keyword
    C(environment) of a task, since Ansible prints it at C(-vvv) even with C(no_log).
  - For a repository, a fine-grained token or an app needs the repository permission B(Administration), a classic token
    the scope C(repo) and a user who administrates the repository.
  - For an organization, a fine-grained token or an app needs the organization permission B(Self-hosted runners), a
    classic token the scope C(admin:org) and a user who owns the organization.
  - For an enterprise, only a classic token will do, with the scope C(manage_runners:enterprise).
  - A proxy is taken from E(HTTPS_PROXY) and E(NO_PROXY).
"""
