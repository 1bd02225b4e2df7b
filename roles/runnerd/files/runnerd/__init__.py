# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""runnerd keeps the slots of a runner host filled with fresh, single-use GitHub Actions runners.

Where to look:

* what is decided, and why: `core` (pure) over the words of `model`;
* what touches the world: `provider` (Docker), `broker` (GitHub), `evidence` (a runner's output and processes),
  `journal` (SQLite), each behind a small interface;
* what is remembered between two looks: `observe` (the world), `lists` (GitHub's lists), `backoff` (what went wrong);
* what ties them together: `effects` (carries out one action) and `supervisor` (the loop);
* how people reach it: `control` (socket), `cli`, `metrics`.
"""
