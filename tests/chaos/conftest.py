# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says which seed this run has, and how to repeat what failed."""

from __future__ import annotations

import pytest

from . import sizes


def pytest_report_header() -> str:
    return f"CHAOS_SEED={sizes.SEED}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if report.failed:
        text = f"CHAOS_SEED={sizes.SEED} python -m pytest {item.nodeid!r}"
        report.sections.append(("to do it again, with the same sizes (CHAOS_*)", text))
    return report
