# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen on a runner host, and what follows from it for the role github_docker_runners. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.ephemeral.github_runners.plugins.plugin_utils.engine import runner_engine, runner_key

#: The Compose project of all runners on a host.
PROJECT = "github-runners"
#: States of a slot in which its runner is on its way, and the container may not have been written down yet.
_ON_ITS_WAY = ("creating", "minting", "starting")


def _json(text: object) -> Any:
    """The value that a command printed as JSON; None if it printed something else."""
    try:
        return json.loads(str(text))
    except ValueError:
        return None


def _reference(inspected: object, image: str) -> str:
    """An image by what never changes: its digest, or its id if it came from no registry; empty if it is not there."""
    found = _json(inspected)
    if not found:
        return ""
    if "sha256:" in image:
        return image
    digests = sorted(found[0].get("RepoDigests") or [])
    # The same image may be known by several repositories: prefer the one that was asked for.
    repository = re.sub(r":[^/:]+$", "", image)
    own = [digest for digest in digests if digest.rpartition("@")[0] == repository]
    return str([*own, *digests, found[0]["Id"]][0])


def runner_images(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Images by what never changes.

    Args:
        results: The results of ``docker image inspect IMAGE``, run in a loop by ansible.builtin.command; of several
            for the same image the last that found it counts.

    Returns:
        For each image, by the name that was asked for: that name if it is a digest or an id already, else
        ``repository@sha256:…``, else ``sha256:…``; empty if the image is not there.
    """
    found: dict[str, str] = {}
    for result in results:
        image = str(result["item"])
        found[image] = _reference(result.get("stdout"), image) or found.get(image, "")
    return found


def _blocks(compose: str) -> dict[str, str]:
    """Every slot's block in a Compose file, with its two markers, by the slot's name."""
    pattern = re.compile(r"^[ \t]*# slot (\S+) begin\n(?:.*\n)*?[ \t]*# slot \1 end\n", re.MULTILINE)
    return {match[1]: match[0] for match in pattern.finditer(compose)}


def runner_slots(wanted: Sequence[str], compose: str, status: str) -> dict[str, Any]:
    """What becomes of the slots.

    Args:
        wanted: The names of the slots that shall be.
        compose: The Compose file as it is; empty if there is none.
        status: What ``runnerd status --json`` printed; anything, if it could not be asked.

    Returns:
        ``come`` and ``go``: slots that the file has not yet, or that are not wanted any more; ``kept``: the blocks of
        those that are not wanted but stay, since they hold a runner or nobody knows.
    """
    blocks = _blocks(compose)
    unwanted = [slot for slot in blocks if slot not in wanted]
    told = _json(status)
    holding = set(unwanted)  # unknown is never a reason to forget a slot
    if isinstance(told, Mapping) and told.get("daemon"):
        holding = {
            slot["slot"]
            for slot in told.get("slots", [])
            if slot.get("container") or slot.get("runner") or slot.get("state") in _ON_ITS_WAY
        }
    return {
        "come": [slot for slot in wanted if slot not in blocks],
        "go": unwanted,
        "kept": [blocks[slot] for slot in unwanted if slot in holding],
    }


def _duration(seconds: object) -> str:
    """A time as people say it, such as ``12 min``."""
    total = int(seconds) if isinstance(seconds, (int, float)) else 0
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if total >= 2 * size:
            return f"{total // size} {unit}"
    return f"{total} s"


def runner_report(status: str, error: str = "") -> dict[str, Any]:
    """What a person is told at the end of a run.

    Args:
        status: What ``runnerd wait --json`` printed; anything, if it could not be asked.
        error: What it printed on its standard error.

    Returns:
        ``table``: a line for each slot (slot, state, reason, remedy), then the notes; ``notes``: a line for whatever
        concerns more than one slot; ``draining``: a line for each slot that still lets its runner finish.
    """
    told = _json(status)
    if not isinstance(told, Mapping):
        why = error.strip() or "runnerd: no answer. Do: systemctl status runnerd"
        return {"table": [why], "draining": [], "notes": [why]}
    slots = told.get("slots") or []
    rows = [["SLOT", "STATE", "REASON", "REMEDY"]]
    for slot in slots:
        state = f"{slot.get('state')} ({_duration(slot.get('seconds'))})"
        rows.append([str(slot.get("slot")), state, slot.get("reason") or "-", slot.get("remedy") or "-"])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"{what}: {told[what]}" for what in ("docker", "definition") if told.get(what)]
    notes += [
        f"until {gate.get('until')}: {gate.get('what')}: {gate.get('reason')} {gate.get('remedy') or ''}".rstrip()
        for gate in told.get("gates") or []
    ]
    notes += [
        f"{warning.get('what')}: {warning.get('reason')}. Do: {warning.get('remedy')}"
        for warning in told.get("warnings") or []
    ]
    if told.get("paused"):
        notes.append("paused: no new runners. Do: runnerd resume")
    if told.get("drains"):
        notes.append(f"draining: {', '.join(told['drains'])}. Do: runnerd resume")
    draining = [
        f"slot {slot['slot']} drains ({'job' if slot.get('state') == 'busy' else slot.get('state')} "
        f"since {_duration(slot.get('seconds'))})"
        for slot in slots
        if slot.get("leaving") and (slot.get("container") or slot.get("runner"))
    ]
    return {"table": table + notes, "draining": draining, "notes": notes}


def _containers(ps: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str]:
    """What ``docker ps`` listed, and why it listed nothing; neither where there is no Docker."""
    if ps.get("rc") == 0:
        return [found for found in map(_json, str(ps.get("stdout")).splitlines()) if isinstance(found, Mapping)], ""
    words = " ".join(str(ps.get("stderr") or "").split())
    return [], f"docker ps = {words}: Docker does not answer. Do: systemctl start docker" if words else ""


def runner_deployed(status: Mapping[str, Any], ps: Mapping[str, Any]) -> dict[str, Any]:
    """What there is of the runners on a host, before it is drained or removed.

    Args:
        status: The result of ``runnerd status --json``, run by ansible.builtin.command.
        ps: The result of ``docker ps --all --no-trunc --format '{{json .}}'``, run likewise.

    Returns:
        ``pending``: there is something to drain, or nobody told the daemon to make no new runners; ``daemon``: it
        answers; ``holding``: a line for each slot that holds a runner; ``running``: our containers that run, by name;
        ``others``: containers that are none of ours, by name; ``docker``: there is a Docker; ``problem``: why nothing
        can be done here, ``what = value: why. Do: …``, or empty.
    """
    told = _json(status.get("stdout"))
    told = told if isinstance(told, Mapping) else {}
    containers, problem = _containers(ps)
    ours = [f"com.docker.compose.project={PROJECT}" in str(one.get("Labels")).split(",") for one in containers]
    running = [
        str(one["Names"]) for one, own in zip(containers, ours, strict=True) if own and one.get("State") == "running"
    ]
    holding = [
        f"slot {slot.get('slot')}: {slot.get('state')} since {_duration(slot.get('seconds'))}"
        + (f", job {slot['job']}" if slot.get("job") else "")
        for slot in told.get("slots") or []
        if slot.get("container") or slot.get("runner")
    ]
    drained = "host" in (told.get("drains") or [])
    return {
        "pending": bool(holding or running or (told.get("daemon") and not drained)),
        "daemon": bool(told.get("daemon")),
        "holding": holding,
        "running": running,
        "others": [str(one["Names"]) for one, own in zip(containers, ours, strict=True) if not own],
        "docker": ps.get("rc") == 0,
        "problem": problem,
    }


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {
            "runner_engine": runner_engine,
            "runner_key": runner_key,
            "runner_images": runner_images,
            "runner_slots": runner_slots,
            "runner_report": runner_report,
            "runner_deployed": runner_deployed,
        }
