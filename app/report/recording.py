"""One recording as the page shows it: what it is, what became of it, and its lanes ready to draw."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.detectors import ModelSetup, ModelUnavailable
from curation.detectors.score_store import load_scores
from manifests.recipe import Recipe
from manifests.records import Cut, Drop, Event, Recording, Source
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import Segment
from manifests.uris import resolve

from ..display.lanes import DisplayTracks, display_tracks
from ..display.text import clock, display_path, file_name, plain

COLUMNS = 2048  # of a lane: about the pixels of a wide screen
FLOOR_DBFS = -100.0  # the lower edge of the level's lane


@dataclass(frozen=True)
class RecordingView:
    """One recording that was heard; without its scores `display_tracks` is None and `missing` says why."""

    recording: Recording
    title: str
    places: tuple[str, ...]
    fates: Mapping[str, float]
    cuts: tuple[Cut, ...]
    events: tuple[Event, ...] = field(repr=False)
    drops: tuple[Drop, ...]
    path: Path | None
    lanes: DisplayTracks | None = field(repr=False)
    missing: str | None

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.recording.duration or 0.0

    @property
    def risk(self) -> float | None:
        """The highest of any cut, None without cuts."""
        return max((cut.risk for cut in self.cuts), default=None)

    @property
    def focuses(self) -> list[tuple[Segment, float]]:
        """What to hear: each cut, or all of it without cuts, and where in it a contaminant is likeliest."""
        segments = [cut.segment for cut in self.cuts] or [Segment(0.0, self.duration)]
        return [(s, self.lanes.peak(s) if self.lanes else (s.start + s.end) / 2) for s in segments]

    @property
    def picture_time(self) -> float:
        """Where the picture is taken: in the middle of the longest cut, or of the recording."""
        longest = max((cut.segment for cut in self.cuts), key=lambda s: s.duration, default=None)
        return (longest.start + longest.end) / 2 if longest else self.duration / 2

    @property
    def facts(self) -> str:
        """Length and formats on one line."""
        row = self.recording
        sound = [row.audio_codec or "", f"{row.sample_rate / 1000:g} kHz" if row.sample_rate else ""]
        sound += [_channels(row.channels)] if row.channels else []
        seen = [row.video_codec or "", f"{row.width}×{row.height}" if row.width else "", _fps(row.fps)]
        parts = [clock(self.duration), row.container or "", " ".join(filter(None, sound))]
        parts.append(" ".join(filter(None, seen)) if row.has_video else "no picture")
        return " · ".join(filter(None, parts))

    def data(self) -> dict[str, Any]:
        """What the page's script draws, as JSON can hold it."""
        return {
            "id": self.recording.recording_id,
            "duration": self.duration,
            "column": self.lanes.column_seconds if self.lanes else 0,
            "lanes": _packed(self.lanes) if self.lanes else {},
            "events": [[e.label, round(e.start, 3), round(e.end, 3), e.score] for e in self.events],
            "cuts": [[c.decision, c.start, c.end, round(c.risk, 4), *map(plain, c.reasons)] for c in self.cuts],
        }


def view_recording(
    corpus: Corpus,
    recipe: Recipe,
    setup: ModelSetup,
    recording: Recording,
    *,
    sources: Sequence[Source],
    fates: Mapping[str, float],
    cuts: Sequence[Cut],
    events: Sequence[Event],
    drops: Sequence[Drop],
) -> RecordingView:
    """The view of a recording from its rows, its scores and whichever of its places still has the media."""
    drawn, missing = _lanes(corpus, recording, recipe, setup)
    uris = dict.fromkeys([recording.uri, *(source.uri for source in sources)])
    return RecordingView(
        recording=recording,
        title=_title(recording, sources),
        places=tuple(map(display_path, uris)),
        fates=fates,
        cuts=tuple(cuts),
        events=tuple(events),
        drops=tuple(drops),
        path=_media(uris, corpus.roots),
        lanes=drawn,
        missing=missing,
    )


def _lanes(
    corpus: Corpus, recording: Recording, recipe: Recipe, setup: ModelSetup
) -> tuple[DisplayTracks | None, str | None]:
    try:
        scores = load_scores(corpus, recording.recording_id, recipe.all_detectors, setup)
        if all(name in scores for name in recipe.detectors):
            return display_tracks(scores, recipe, recording.duration or 0.0, COLUMNS), None
        return None, "Its scores are not in the corpus, or another version of a detector made them."
    except (ModelUnavailable, CorpusError) as error:
        return None, f"Its scores cannot be read: {error}"


def _packed(drawn: DisplayTracks) -> dict[str, str]:
    """Lanes as base64 of one byte a column: 0 is unscored, 1 to 255 is 0 to 1, or FLOOR_DBFS to 0 dBFS."""
    share = {"loudest": 1 - drawn.loudest / FLOOR_DBFS, "quietest": 1 - drawn.quietest / FLOOR_DBFS}
    return {name: _bytes(lane) for name, lane in {**drawn.probabilities, **share}.items()}


def _bytes(lane: NDArray[np.float32]) -> str:
    # a probability that reaches a threshold must not fall below it: rounded up
    steps = np.ceil(np.clip(lane, 0, 1) * 254) + 1
    return b64encode(np.where(np.isnan(lane), 0, steps).astype(np.uint8).tobytes()).decode("ascii")


def _title(recording: Recording, sources: Sequence[Source]) -> str:
    """The title it was published under; for files the file's name."""
    named = [source.title for source in sources if source.title and source.origin != "folder"]
    return named[0] if named else file_name(recording.uri)


def _media(uris: Iterable[str], roots: Mapping[str, Path]) -> Path | None:
    """The first of the places where there is a file."""
    for uri in uris:
        try:
            path = resolve(uri, roots)
            if path.is_file():
                return path
        except (ValueError, OSError):
            continue
    return None


def _channels(count: int) -> str:
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(count, f"{count} channels")


def _fps(fps: float | None) -> str:
    return f"{fps:.3g} fps" if fps else ""
