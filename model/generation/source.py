"""What sound is made for: a file, or a cut of the corpus."""

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
    """`seconds` of pictures from `start` on in the file at `path`; `cut_id`: the cut of the corpus that this is."""

    path: Path
    start: float
    seconds: float
    cut_id: str | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.cut_id or self.path.name

    @property
    def end(self) -> float | None:
        """Where it ends in the file, in seconds; None where that is the file's end."""
        return None if self.cut_id is None else self.start + self.seconds


def find_video(corpus: Corpus, what: str) -> VideoSource:
    """The film that `what` names, a path or a cut's id. Raises CannotGenerate where it has no pictures."""
    path = Path(what)
    if path.exists():
        try:
            if probe(path).video is None:
                raise CannotGenerate(f"{path}: has no pictures to make a sound for")
            return VideoSource(path, 0.0, seconds_shown(path))
        except MediaError as error:
            raise CannotGenerate(f"{path}: {error.detail}") from error
    cut = next(iter(corpus.rows(Cut, pc.field("cut_id") == what)), None)
    if cut is None:
        raise CannotGenerate(f"{what}: neither a file nor a cut of {corpus.path}")
    (recording,) = corpus.rows(Recording, pc.field("recording_id") == cut.recording_id)
    if not recording.has_video:
        raise CannotGenerate(f"cut {what}: {recording.uri} has no pictures to make a sound for")
    try:
        found = Path(resolve(recording.uri, corpus.roots))
    except ValueError as error:
        raise CannotGenerate(f"cut {what}: {error}") from error
    return VideoSource(found, cut.start, cut.segment.duration, cut.cut_id)
