#!/usr/bin/env bash
# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# As myoung34/github-runner's own: wants a token, registers with it, then runs the command as root. Whoever brings a
# just-in-time configuration must put an entrypoint of his own in its place.

export RUNNER_ALLOW_RUNASROOT=1

if [ -z "${ACCESS_TOKEN:-}${RUNNER_TOKEN:-}${APP_ID:-}" ]; then
    echo "ERROR: one of ACCESS_TOKEN, RUNNER_TOKEN, APP_ID is required" >&2
    exit 1
fi
rm -f .runner
./config.sh --url "${REPO_URL:-}" --token "${RUNNER_TOKEN:-${ACCESS_TOKEN:-}}" --unattended --replace || exit 1
exec "$@"
