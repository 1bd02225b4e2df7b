#!/usr/bin/env bash
# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Keeps the listener alive. Its exit code: without RUNNER_MANUALLY_TRAP_SIG 0 for whatever the helper says; with it the
# helper's, or 143/130 after TERM/INT. In both, 2 means once more, and 7 goes through where the environment asks for it.

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

update_ca_certificates() {
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" update-ca-certificates || echo "Warning: failed to update certificate store"
}

[ -z "${RUNNER_UPDATE_CA_CERTS:-}" ] || update_ca_certificates

if [ -n "${RUNNER_MANUALLY_TRAP_SIG:-}" ]; then
    # Job control gives the helper a process group of its own: the listener, its worker and the job's shell are in it.
    set -m
    trap 'kill -INT -"$helper"' INT TERM
fi

code=2
while [ "$code" -eq 2 ]; do
    # As the real one: the runner's root must be writable.
    cp -f "$root/run-helper.sh.template" "$root/run-helper.sh"
    if [ -n "${RUNNER_MANUALLY_TRAP_SIG:-}" ]; then
        "$root/run-helper.sh" "$@" &
        helper=$!
        wait "$helper" # a trapped signal ends this with 128 + its number, while the helper still runs
        code=$?
    else
        "$root/run-helper.sh" "$@"
        code=$?
    fi
    [ "$code" -ne 2 ] || echo "Restarting runner..."
done

echo "Exiting runner..."
if [ -n "${RUNNER_MANUALLY_TRAP_SIG:-}" ]; then
    trap - INT TERM
    wait "$helper"
    exit "$code"
elif [ "$code" -eq 7 ] && [ "${ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE:-}" = 1 ]; then
    exit 7
fi
exit 0
