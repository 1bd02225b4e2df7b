# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GitHub does wrongly, late or not at all, as the double takes its orders."""

from __future__ import annotations

from typing import Any

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500, "path": "/actions/"},
    "503 as HTML": {"html": 503, "path": "/actions/"},
    "401 for a while": {"status": 401, "path": "/actions/"},
    "403": {"status": 403, "path": "/actions/"},
    "404": {"status": 404, "path": "/actions/"},
    "429 with Retry-After": {"status": 429, "retry_after": 10, "path": "/actions/"},
    "slow": {"delay": 8, "path": "/actions/"},
    "cut half-way through a list": {"truncate": 200, "path": "/actions/runners$"},
    "broken JSON": {"malformed": True, "path": "/actions/"},
    "no answer to a JIT configuration": {"cut": "after", "method": "POST", "path": "generate-jitconfig"},
    "no way to ask for a JIT configuration": {"cut": "before", "method": "POST", "path": "generate-jitconfig"},
    "busy comes late": {"busy_lag": 60},
    "busy flickers": {"flicker": "busy"},
    "status flickers": {"flicker": "status"},
    "a list that lacks its last": {"short_list": 1},
    "completion reported early": {"complete_early": 2, "result": "Succeeded"},
}
