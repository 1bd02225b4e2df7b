# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The leak scan: does any of the secrets that were in use lie, in whatever form, where it must not?

- `canaries`: the secrets, and every form in which one is looked for. Pure.
- `search`: one program, run on whichever machine is searched: the places, one function each, and the search in them.
- `scan`: both together: places and canaries in, findings out. A finding names a canary and never shows it.
"""
