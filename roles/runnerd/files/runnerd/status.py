# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person, a playbook or Prometheus is told: one snapshot a round, and how it looks as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from .clock import iso
from .model import Credential, Explained, Gate, Leaving, SlotView, Tri, World

if TYPE_CHECKING:  # they load the libraries of the daemon, and the command has no need of those
    from .notices import Notice
    from .updates import ImageStatus
    from .versions import VersionStatus


@dataclass(frozen=True)
class SlotStatus:
    """One slot."""

    slot: str
    pool: str
    state: str
    since: str
    seconds: int
    wanted: bool
    leaving: bool
    online: bool
    verified: bool  # GitHub's own list says that it is online
    runner: str
    container: str
    job: str | None
    job_detail: str
    reason: str
    remedy: str
    limit_at: float | None = None  # epoch seconds; a limit cancels the job then

    @classmethod
    def of(cls, view: SlotView, told: Explained, since: float, world: World, wall: float) -> SlotStatus:
        """Put a slot's view and its verdict into a person's words."""
        attempt, output, registration = view.attempt, view.output, view.registration
        keys = world.pool_keys.get(view.pool, ())
        gate = next((g for k, g in world.gates.items() if k in keys and g.until > world.now), None)
        busy = told.state == "busy"
        verified = registration.exists is Tri.YES and (registration.online or registration.busy is Tri.YES)
        return cls(
            slot=view.slot,
            pool=view.pool,
            state=told.state,
            since=iso(wall - (world.now - since)),
            seconds=int(world.now - since),
            wanted=view.wanted,
            leaving=view.leaving is not Leaving.NO,
            online=busy or verified or (told.state == "idle" and registration.exists is Tri.UNKNOWN),
            verified=verified or busy,
            runner=attempt.name if attempt else "",
            container=attempt.container_id or "" if attempt else "",
            job=output.job or None if busy else None,
            job_detail=output.job_detail if busy else "",
            reason=told.reason or _again(view, told.state),
            remedy=gate.remedy if gate and told.state == "backing off" else "",
            limit_at=None if told.limit_at is None else wall + told.limit_at - world.now,
        )


def _again(view: SlotView, state: str) -> str:
    """Why this is not the first attempt: who looks in the middle of the next one shall know, too."""
    tried = state in ("creating", "minting", "starting") and view.failures > 0
    return f"again, after: {view.failure}" if tried else ""


@dataclass(frozen=True)
class Status:
    """Everything, as of one round."""

    daemon: bool = False
    version: str = ""
    paused: bool = False
    drains: tuple[str, ...] = ()
    docker: str = ""
    definition: str = ""
    gates: tuple[Gate, ...] = ()
    slots: tuple[SlotStatus, ...] = ()
    ghosts: int = 0
    credentials: tuple[Credential, ...] = ()
    versions: tuple[VersionStatus, ...] = ()
    images: tuple[ImageStatus, ...] = ()
    warnings: tuple[Notice, ...] = ()
    now: float = 0.0
    wall: float = 0.0

    def aged(self, now: float) -> Status:
        """The same, some seconds later: nothing has happened since, or there would have been another round."""
        older = int(now - self.now)
        slots = tuple(replace(slot, seconds=slot.seconds + older) for slot in self.slots)
        return replace(self, slots=slots, now=now, wall=self.wall + now - self.now)

    def as_json(self) -> dict[str, object]:
        """The object that `status --json` prints."""
        return {
            "daemon": self.daemon,
            "as_of": iso(self.wall),
            "version": self.version,
            "paused": self.paused,
            "drains": list(self.drains),
            "docker": self.docker,
            "definition": self.definition,
            "gates": [
                {
                    "what": gate.key,
                    "until": iso(self.wall + gate.until - self.now),
                    "reason": gate.reason,
                    "remedy": gate.remedy,
                }
                for gate in self.gates
            ],
            "ghosts": self.ghosts,
            "credentials": [
                {"name": credential.name, "kind": credential.kind, "expires_at": _iso(credential.expires_at)}
                for credential in self.credentials
            ],
            "runner_versions": [
                {
                    "version": version.version,
                    "slots": list(version.slots),
                    "asked": version.asked,
                    "accepted_until": _iso(version.accepted_until),
                    "error": version.error,
                }
                for version in self.versions
            ],
            "images": [
                {
                    "image": image.image,
                    "references": list(image.references),
                    "checked_at": _iso(image.checked_at),
                    "updating": image.updating,
                    "failed": image.failures > 0,
                    "error": image.error,
                }
                for image in self.images
            ],
            "warnings": [asdict(warning) for warning in self.warnings],
            "slots": [{**asdict(slot), "limit_at": _iso(slot.limit_at)} for slot in self.slots],
        }


def _iso(wall: float | None) -> str | None:
    return None if wall is None else iso(wall)


def table(status: Mapping[str, object]) -> str:
    """The slots as a person reads them, from the JSON form."""
    rows = [["SLOT", "STATE", "SINCE", "RUNNER", "JOB", "REASON"]]
    slots = status.get("slots")
    for slot in slots if isinstance(slots, list) else []:
        job = " ".join(
            filter(None, [slot.get("job") or "", f"({slot['job_detail']})" if slot.get("job_detail") else ""])
        )
        soon = slot.get("leaving") and slot.get("limit_at")  # the limit of all jobs is days away
        limit = f"its job is cancelled at {slot['limit_at']} if it still runs" if soon else ""
        why = ". ".join(filter(None, [slot.get("reason"), slot.get("remedy"), limit]))
        rows.append(
            [slot["slot"], slot["state"], duration(slot.get("seconds")), slot.get("runner") or "-", job or "-", why]
        )
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def upkeep(status: Mapping[str, Any]) -> list[str]:
    """What outlives single runners, a line each, from the JSON form; at the end what to do in time."""
    lines = []
    for credential in status.get("credentials") or []:
        end = credential["expires_at"]
        lines.append(
            f"Credential {credential['name']}: {credential['kind']}, " + (f"ends {end}" if end else "no end known")
        )
    for version in status.get("runner_versions") or []:
        end = version["accepted_until"]
        known = f"accepted until {end}" if end else "GitHub tells no end" if version["asked"] else "end not known yet"
        lines.append(f"Runner {version['version']}: {known}" + (f" ({version['error']})" if version["error"] else ""))
    for image in status.get("images") or []:
        checked = f"up to date as of {image['checked_at']}" if image["checked_at"] else "not updated yet"
        state = "is being updated" if image["updating"] else checked
        lines.append(f"Image {image['image']}: {state}" + (f" ({image['error']})" if image["error"] else ""))
    lines += [f"Warning: {w['what']}: {w['reason']}. Do: {w['remedy']}" for w in status.get("warnings") or []]
    return lines


def duration(seconds: object) -> str:
    """`75` as `1 min 15 s`."""
    if not isinstance(seconds, (int, float)):
        return "-"
    total = int(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    if total < 86400:
        return f"{total // 3600} h {total % 3600 // 60} min"
    return f"{total // 86400} d {total % 86400 // 3600} h"
