#!/bin/sh
# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What docker:dind's script of this name does of what matters here. Without a program of one's own, the daemon listens
# to the network too: who does not want that names the daemon, and where it shall listen.
set -eu

case ${1:-} in
    '' | -*)
        set -- dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375 --tls=false "$@"
        ;;
esac
if [ "$1" = dockerd ]; then
    find /run /var/run -iname 'docker*.pid' -delete || true
fi
exec "$@"
