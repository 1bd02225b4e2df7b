# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following a tag: once a day what the registry has under it is pulled, and the Compose file told.

A line `image: repository@sha256:… # follows repository:tag` asks for that; the playbook writes it. What the tag means
on this host is the truth for both: the playbook reads it there and writes the same, so neither undoes the other. Slots
see that their definition changed, and move as they become empty. What the file names no more is removed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

from .chores import DAY, NEVER, Chore, Done, due_at, phase_of
from .clock import Clock
from .effects import Ended
from .images import ImageError
from .journal import Journal
from .model import Outcome
from .provider import Definition, Provider, ProviderError

log = logging.getLogger("runnerd")

#: Seconds until a tag and the Compose file are compared again, if that failed.
ALIGN_RETRY = 15.0
#: Seconds between attempts to remove what is still in use.
CLEAN_EVERY = 60.0
#: Seconds between updates that failing slots ask for; twice as long after each, up to a day: the image is not always to
#: blame, and what is (a proxy, say) may have hit a whole fleet behind one address.
FIRST_SUSPICION = 3600.0
#: Ends for which the image may be to blame.
SUSPICIOUS = frozenset({Outcome.VERSION_REFUSED, Outcome.NOT_CREATED, Outcome.NEVER_ONLINE})
NO_REGISTRY = "it came from no registry, so there is nothing to pull; the tag on this host is followed"


@dataclass(frozen=True)
class ImageStatus:
    """A tag that is followed, as a person is told."""

    image: str
    references: tuple[str, ...]  # what the Compose file has for it: one, but while it is being changed
    checked_at: float | None  # epoch seconds of the last pull that worked
    updating: bool
    failures: int
    error: str  # why the last pull did not work, or was not tried


class Updates:
    """Keeps the Compose file's images at what their tags mean."""

    def __init__(self, journal: Journal, provider: Provider, clock: Clock) -> None:
        """What was done before is in the journal."""
        self._journal = journal
        self._provider = provider
        self._clock = clock
        self._wanted: set[str] = set()  # tags to pull now
        self._busy: set[str] = set()
        self._aligned: dict[str, frozenset[str]] = {}  # tag -> what the file had for it when both were compared
        self._align_at: dict[str, float] = {}  # tag -> when they are compared again after a failure
        self._clean_at = self._suspect_at = float("-inf")
        self._suspicion = FIRST_SUSPICION
        self._pulls: dict[str, Done] = {}  # tag -> how it went so far; as in the journal
        self._known = frozenset(
            json.loads(journal.note("images") or "[]")
        )  # that the file has named; as in the journal

    def chores(self, definition: Definition) -> Iterator[Chore]:
        """What is due now."""
        if definition.error:
            return
        wall = self._clock.wall()
        for tag, references in definition.follows.items():
            done = self._done(tag)
            if done == NEVER:  # the playbook has just looked at it
                self._remember(tag, NEVER.success(wall))
            elif tag in self._wanted or due_at(done, phase_of(self._journal.machine_id, tag), wall) <= wall:
                yield Chore(f"image {tag}", partial(self._update, tag, references))
            elif self._aligned.get(tag) != references and self._align_at.get(tag, 0.0) <= self._clock.now():
                yield Chore(f"image {tag}", partial(self._align, tag, references))
        if self._left_behind(definition) and self._clock.now() >= self._clean_at:
            yield Chore("old images", partial(self._clean, definition))

    def now(self, definition: Definition) -> None:
        """Pull every tag as soon as possible."""
        self._wanted |= set(definition.follows)

    def ended(self, ended: Ended, definition: Definition) -> None:
        """An attempt ended: where its image may be to blame, a newer one may be the cure."""
        if ended.outcome in SUSPICIOUS and definition.follows and self._clock.now() >= self._suspect_at:
            self._suspect_at = self._clock.now() + self._suspicion
            self._suspicion = min(2 * self._suspicion, DAY)
            self.now(definition)

    def status(self, definition: Definition) -> tuple[ImageStatus, ...]:
        """Each tag that is followed."""
        told = []
        for tag, references in sorted(definition.follows.items()):
            done = self._done(tag)
            updating = tag in self._wanted or tag in self._busy
            told.append(
                ImageStatus(tag, tuple(sorted(references)), done.succeeded_at, updating, done.failures, done.error)
            )
        return tuple(told)

    def _update(self, tag: str, references: frozenset[str]) -> None:
        self._busy.add(tag)
        self._wanted.discard(tag)
        try:
            done, wall = self._done(tag), self._clock.wall()
            try:
                here = self._provider.images.reference(tag)
                if here and "@" not in here:
                    # To pull by a name of this host's own could bring a stranger's image of that name.
                    done = replace(done.success(wall), error=NO_REGISTRY)
                else:
                    self._provider.images.pull(tag)
                    done = done.success(wall)
            except ImageError as exc:
                if str(exc) != done.error:
                    self._journal.event("", "", "image", f"{tag} could not be pulled: {exc}; the one here goes on")
                    log.warning("%s could not be pulled: %s; the one that is here goes on", tag, exc)
                done = done.failure(wall, str(exc))
            self._remember(tag, done)
            self._align(tag, references)
        finally:
            self._busy.discard(tag)

    def _align(self, tag: str, references: frozenset[str]) -> None:
        """Write what the tag means on this host into the Compose file."""
        try:
            here = self._provider.images.reference(tag)
            if here and references != {here}:
                self._provider.follow(tag, here)
                references = frozenset({here})
                # Of this one there is no suspicion yet.
                self._suspect_at, self._suspicion = self._clock.now() + FIRST_SUSPICION, 2 * FIRST_SUSPICION
                self._journal.event("", "", "image", f"{tag} is now {here}; slots move as they become empty")
                log.info("%s is now %s; slots move as they become empty", tag, here)
        except (ImageError, ProviderError) as exc:
            log.warning("%s: %s", tag, exc)
            self._aligned.pop(tag, None)
            self._align_at[tag] = self._clock.now() + ALIGN_RETRY
            return
        self._aligned[tag] = references

    def _left_behind(self, definition: Definition) -> set[str]:
        """Images that the Compose file has named once and names no more; what it names now is remembered."""
        if not definition.images <= self._known:
            self._know(self._known | definition.images)
        return set(self._known - definition.images)

    def _know(self, images: frozenset[str]) -> None:
        self._known = images
        self._journal.write_note("images", json.dumps(sorted(images)))

    def _clean(self, definition: Definition) -> None:
        self._clean_at = self._clock.now() + CLEAN_EVERY
        gone = set()
        for reference in self._left_behind(definition):
            try:
                if self._provider.images.discard(reference):
                    gone.add(reference)
                    self._journal.event("", "", "image", f"{reference} was in use no more, and is removed")
            except ImageError as exc:
                log.warning("%s: %s", reference, exc)
        self._know(self._known - gone)

    def _done(self, tag: str) -> Done:
        if tag not in self._pulls:
            told = self._journal.note(f"image {tag}")
            self._pulls[tag] = Done(**json.loads(told)) if told else NEVER
        return self._pulls[tag]

    def _remember(self, tag: str, done: Done) -> None:
        self._pulls[tag] = done
        self._journal.write_note(f"image {tag}", json.dumps(asdict(done)))
