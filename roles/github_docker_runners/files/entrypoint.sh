#!/usr/bin/env bash
# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The first program in a runner's container. Takes the runner's own files from standard input, once, and becomes run.sh.
# Works unbuilt in ghcr.io/actions/actions-runner and myoung34/github-runner: needs bash and base64, nothing else.
#
# Input, written by runnerd: one line a file, "<name> <base64 of the content>", then the line "end".
# Exit codes that runnerd knows: 64 this container ran before, 65 no credential came in time, 66 no runner in the image,
# 67 its Docker did not answer in time.

set -u

say() { printf 'entrypoint: %s\n' "$*" >&2; }

for root in "${RUNNER_HOME:-/home/runner}" /actions-runner /runner; do
  [ -x "$root/run.sh" ] && break
  root=
done
if [ -z "$root" ]; then
  say 'no run.sh of actions/runner in /home/runner, /actions-runner or /runner; set RUNNER_HOME to where it is'
  exit 66
fi
cd "$root" || exit 66

# One container, one runner: whoever starts this container again, by hand or by policy, gets no second job into it.
if ! (set -o noclobber && : >.used) 2>/dev/null; then
  say 'this container ran before; runnerd makes a fresh one for each job (see: runnerd status)'
  exit 64
fi

# A runner that has a Docker daemon of its own takes no job before that answers; its socket is there earlier.
if [ -n "${RUNNERD_DOCKER_TIMEOUT:-}" ]; then
  until timeout 5 docker version >/dev/null 2>&1; do
    if ! command -v docker >/dev/null; then
      say 'this image has no docker command; use another image, or set github_docker_runners_docker to none'
      exit 67
    elif [ "$SECONDS" -ge "$RUNNERD_DOCKER_TIMEOUT" ]; then
      say "Docker did not come within $RUNNERD_DOCKER_TIMEOUT s; what it said: runnerd logs SLOT --docker"
      exit 67
    fi
    sleep 0.1
  done
  unset RUNNERD_DOCKER_TIMEOUT
fi

umask 077
while :; do
  if ! IFS=' ' read -r -t "${RUNNERD_CREDENTIAL_TIMEOUT:-60}" name content; then
    say 'no credential came; containers are started by runnerd, not by hand (see: runnerd status)'
    exit 65
  fi
  [ "$name" = end ] && break
  case $name in
    *[!a-z_.]* | '' | [!.]*) say 'what came is not a credential'; exit 65 ;;
  esac
  printf '%s' "$content" | base64 -d >"$name" || exit 65
done
unset name content
# An SSH key for jobs, if the pool has one: a copy of this container's own, as ssh wants it.
if [ -d /opt/runnerd/ssh ]; then
  if ! { mkdir -p ~/.ssh && cp /opt/runnerd/ssh/id_* ~/.ssh/ &&
    cat /opt/runnerd/ssh/known_hosts >>~/.ssh/known_hosts; }; then
    say 'the SSH key could not be copied; jobs go without it'
  fi
fi
umask 022
# From here on nothing in this container can read what else may be written to that input.
exec </dev/null

# The runner tells us which job it takes by running this hook; a hook of the user's own goes first.
if [ -z "${ACTIONS_RUNNER_HOOK_JOB_STARTED:-}" ]; then
  cat >.job-started.sh <<'HOOK'
printf 'runnerd: job started: %s run %s\n' "${GITHUB_REPOSITORY:-?}" "${GITHUB_RUN_ID:-?}" >/proc/1/fd/1 2>/dev/null || true
HOOK
  chmod 755 .job-started.sh
  export ACTIONS_RUNNER_HOOK_JOB_STARTED="$root/.job-started.sh"
fi

# run.sh hides most exit codes; this one says that GitHub refuses the runner's version.
export ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1
# Without it run.sh dies at SIGTERM and leaves the listener behind.
export RUNNER_MANUALLY_TRAP_SIG=1
# Images whose own user is root say so by running as root.
if [ "$(id -u)" = 0 ]; then
  export RUNNER_ALLOW_RUNASROOT=1
fi

# A kernel that hands core dumps to a program of the host would carry the runner's key there. A job may raise the limit.
ulimit -S -c 0

exec ./run.sh
