"""The video to generate audio for: a file, or a cut of the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from curation.media import MediaError, probe, seconds_shown
from manifests.records import Cut, Recording
from manifests.store import Corpus
from manifests.uris import resolve

from .plan import CannotGenerate


@dataclass(frozen=True)
class VideoSource:
    """`seconds` of video from `start` on in the file at `path`; `cut_id`: the cut of the corpus, if it is one."""

    path: Path
    start: float
    seconds: float
    cut_id: str | None = None

    @property
    def name(self) -> str:
        """The cut's id or the file's name, for messages."""
        return self.cut_id or self.path.name

    @property
    def end(self) -> float | None:
        """End in the file, in seconds; None for the end of the file."""
        return None if self.cut_id is None else self.start + self.seconds


def find_video(corpus: Corpus, source: str | Path) -> VideoSource:
    """The video at the path `source`, or of the cut with that id. Raises CannotGenerate if it has no video stream."""
    path, name = Path(source), str(source)
    if path.exists():
        try:
            if probe(path).video is None:
                raise CannotGenerate(f"{path}: has no video stream to generate audio for")
            return VideoSource(path, 0.0, seconds_shown(path))
        except MediaError as error:
            raise CannotGenerate(f"{path}: {error.detail}") from error
    cut = next(iter(corpus.rows(Cut, pc.field("cut_id") == name)), None)
    if cut is None:
        raise CannotGenerate(f"{name}: neither a file nor a cut of {corpus.path}")
    (recording,) = corpus.rows(Recording, pc.field("recording_id") == cut.recording_id)
    if not recording.has_video:
        raise CannotGenerate(f"cut {name}: {recording.uri} has no video stream to generate audio for")
    try:
        media = Path(resolve(recording.uri, corpus.roots))
    except ValueError as error:
        raise CannotGenerate(f"cut {name}: {error}") from error
    return VideoSource(media, cut.start, cut.segment.duration, cut.cut_id)
