"""One recording of the report: its metadata, its outcomes, and its tracks ready to draw."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.decision.spans import is_too_short
from curation.detectors import ModelSetup, ModelUnavailable
from curation.detectors.score_store import load_scores
from manifests.recipe import Recipe
from manifests.records import Cut, Drop, Event, Recording, Source
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import Segment
from manifests.uris import display_path, resolve

from ..display.text import clock, plain, recording_title, tracks_text
from ..display.tracks import DisplayTracks, display_tracks, level_share, track_bytes

COLUMNS = 2048  # of a track: about the pixels of a wide screen


@dataclass(frozen=True)
class RecordingView:
    """One recording with decisions; without its scores `tracks` is None and `missing` gives the reason."""

    recording: Recording
    title: str
    places: tuple[str, ...]
    outcomes: Mapping[str, float]
    cuts: tuple[Cut, ...]
    events: tuple[Event, ...] = field(repr=False)
    drops: tuple[Drop, ...]
    path: Path | None
    tracks: DisplayTracks | None = field(repr=False)
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
        """The spans for previews, each cut or the whole, with the time of the highest probability in it."""
        segments = [cut.segment for cut in self.cuts] or [Segment(0.0, self.duration)]
        return [(s, self.tracks.peak(s) if self.tracks else (s.start + s.end) / 2) for s in segments]

    @property
    def picture_time(self) -> float:
        """The time of the still: the middle of the longest cut, or of the recording."""
        longest = max((cut.segment for cut in self.cuts), key=lambda s: s.duration, default=None)
        return (longest.start + longest.end) / 2 if longest else self.duration / 2

    @property
    def facts(self) -> str:
        """Length and formats in one line."""
        row = self.recording
        audio = [row.audio_codec or "", f"{row.sample_rate / 1000:g} kHz" if row.sample_rate else ""]
        audio += [_channels(row.channels)] if row.channels else []
        video = [row.video_codec or "", f"{row.width}×{row.height}" if row.width else "", _fps(row.fps)]
        parts = [
            clock(self.duration),
            row.container or "",
            " ".join(filter(None, audio)),
            tracks_text(row.audio_tracks),
        ]
        parts.append(" ".join(filter(None, video)) if row.has_video else "no video")
        return " · ".join(filter(None, parts))

    def data(self) -> dict[str, Any]:
        """The data that the page's script draws, ready for JSON."""
        return {
            "id": self.recording.recording_id,
            "duration": self.duration,
            "column": self.tracks.column_seconds if self.tracks else 0,
            "tracks": _packed(self.tracks) if self.tracks else {},
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
    outcomes: Mapping[str, float],
    cuts: Sequence[Cut],
    events: Sequence[Event],
    drops: Sequence[Drop],
) -> RecordingView:
    """The view of a recording from its rows, its scores and its media file, if one of its places has it."""
    drawn, missing = _tracks(corpus, recording, recipe, setup)
    uris = dict.fromkeys([recording.uri, *(source.uri for source in sources)])
    return RecordingView(
        recording=recording,
        title=recording_title(recording, sources),
        places=tuple(map(display_path, uris)),
        outcomes=outcomes,
        cuts=tuple(cuts),
        events=tuple(events),
        drops=tuple(drops),
        path=_media(uris, corpus.roots),
        tracks=drawn,
        missing=missing,
    )


def _tracks(
    corpus: Corpus, recording: Recording, recipe: Recipe, setup: ModelSetup
) -> tuple[DisplayTracks | None, str | None]:
    try:
        scores = load_scores(corpus, recording.recording_id, recipe.all_detectors, setup)
        if all(name in scores for name in recipe.detectors):
            return display_tracks(scores, recipe, recording.duration or 0.0, COLUMNS), None
        if is_too_short(recording.duration or 0.0, recipe.spans.min_duration):
            return None, "Not scored: it is too short for a cut."
        return None, "Scores are missing, or another version of a detector made them."
    except (ModelUnavailable, CorpusError) as error:
        return None, f"Scores cannot be read: {error}"


def _packed(drawn: DisplayTracks) -> dict[str, str]:
    """Tracks as base64 of their bytes; the level as a share of FLOOR_DBFS to 0 dBFS."""
    levels = {"loudest": level_share(drawn.loudest), "quietest": level_share(drawn.quietest)}
    tracks = {**drawn.probabilities, **levels}
    return {name: b64encode(track_bytes(track)).decode("ascii") for name, track in tracks.items()}


def _media(uris: Iterable[str], roots: Mapping[str, Path]) -> Path | None:
    """The first place that holds a file."""
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
