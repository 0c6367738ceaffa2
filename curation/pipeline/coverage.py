"""Coverage: recordings with audio to score, and the time that a recipe's detectors have not scored."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manifests.records import Recording
from manifests.store import Corpus
from manifests.uris import resolve

# statuses of recordings that have audio to score, as far as known
WITH_AUDIO = frozenset({"ok", "truncated", "damaged", "quarantined"})


@dataclass(frozen=True)
class Need:
    """Seconds of audio that a detector scores for a recipe, in how many recordings."""

    seconds: float
    recordings: int


@dataclass(frozen=True)
class CascadeAccount:
    """The saving of a cascade: `rejected` of `duration` seconds were rejected without it.

    `scored`: seconds that each detector of the cascade has scored.
    """

    duration: float
    rejected: float
    scored: Mapping[str, float]


class Needs:
    """Adds up the seconds that detectors score."""

    def __init__(self) -> None:
        self.totals: dict[str, Need] = {}

    def add(self, detector: str, seconds: float) -> None:
        """Count the seconds of one more recording."""
        known = self.totals.get(detector, Need(0.0, 0))
        self.totals[detector] = Need(known.seconds + seconds, known.recordings + 1)


def with_audio(corpus: Corpus, recordings: Iterable[Recording]) -> tuple[list[tuple[Recording, str]], dict[str, str]]:
    """(recording, path) of recordings with audio, the longest first, and errors of those outside their root, by id.

    With the longest first, the last to end is a short one.
    """
    roots, located, outside = corpus.roots, [], {}
    for row in sorted(recordings, key=lambda row: (-(row.duration or 0.0), row.recording_id)):
        if row.duration and row.status in WITH_AUDIO:
            try:
                located.append((row, os.fspath(resolve(row.uri, roots))))
            except ValueError as error:
                outside[row.recording_id] = str(error)
    return located, outside
