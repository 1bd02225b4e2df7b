#!/bin/sh
# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The first program of the Docker daemon beside a runner; works in docker:dind, whose own script it ends in.
# Arguments: the runner's work folder, then whatever dockerd shall be told besides.

set -eu

# A new volume is root's, where the image has no such folder; the runner waits for the socket, so this comes in time.
chmod 777 "$1"
shift

# The resolver of the runner's network is at a loopback address, which containers cannot reach: without those that it
# asks itself (Docker writes them down) the daemon would fall back to a public one, which knows no name of the house.
servers=$(sed -n 's/^# ExtServers: \[\(.*\)\]$/\1/p' /etc/resolv.conf)
for server in $servers; do
  case $server in
    host*) ;; # at a loopback address of the host
    *) set -- "--dns=$server" "$@" ;;
  esac
done

# By its name and with a socket: on its own, the image would listen to the network too.
exec dockerd-entrypoint.sh dockerd --host=unix:///var/run/docker.sock --group=123 --log-level=warn "$@"
