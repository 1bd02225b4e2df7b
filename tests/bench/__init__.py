# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runnerd and the playbook cost, beside baselines in the same run: `python -m tests.bench`.

No timing decides a test.

`samples` says what a benchmark is made of; each has a module of its own, and a line in `__main__`.
"""
