#!/usr/bin/env bash
# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Sleeps the given seconds, times STANDIN_TIME_SCALE.

exec sleep "$(awk -v seconds="$1" -v scale="${STANDIN_TIME_SCALE:-1}" 'BEGIN { print seconds * scale }')"
