#!/usr/bin/env bash
# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Registers a runner or removes it: "config.sh --url … --token …", "config.sh remove --local".

if [ "$(id -u)" -eq 0 ] && [ -z "${RUNNER_ALLOW_RUNASROOT:-}" ]; then
    echo "Must not run with sudo"
    exit 1
fi

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

if [ "${1:-}" = remove ]; then
    exec "$root/bin/Runner.Listener" "$@"
fi
exec "$root/bin/Runner.Listener" configure "$@"
