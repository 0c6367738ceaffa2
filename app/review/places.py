"""The media files of recordings, and the copies and spectrograms that are made of them on demand.

corpus/proxies/review/<2 letters>/<recording>-v1.m4a, .mp4    a copy of what browsers cannot play
corpus/proxies/review/<2 letters>/<recording>-v1.npy          its wave and spectrum, `app.display.spectrogram`

They can be deleted; they are made again when needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock, Thread

import numpy as np
import pyarrow.compute as pc

from annotation.tasks.proxies import is_whole
from curation.media import MediaError, plays_as_read, write_proxies
from manifests.files import write_beside
from manifests.records import Recording, Source
from manifests.store import Corpus
from manifests.time import Segment
from manifests.uris import OutsideRoot, resolve

from ..display.spectrogram import COLUMN_SECONDS, Columns, fine_columns, pooled_columns, sound_columns

_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
# The media that browsers play, by container: media type, audio codecs, video codecs.
_PCM = {"pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le"}
_PLAYED = {
    "mp4": ("mp4", {"aac", "mp3", "opus", "flac"}, {"h264", "av1", "vp9"}),
    "matroska": ("webm", {"opus", "vorbis"}, {"vp8", "vp9", "av1"}),
    "ogg": ("ogg", {"opus", "vorbis", "flac"}, set[str]()),
    "mp3": ("mpeg", {"mp3"}, set[str]()),
    "flac": ("flac", {"flac"}, set[str]()),
    "wav": ("wav", _PCM, set[str]()),
    "aac": ("aac", {"aac"}, set[str]()),
}


class NotHere(Exception):
    """The media of a recording cannot be shown; the text is the reason in one line, without a path."""


@dataclass(frozen=True)
class Waiting:
    """A file that is being made, or waits for its turn; `share` of it is done, 0 to 1."""

    share: float


@dataclass(frozen=True)
class SpectrumColumns:
    """Columns of sound from `start` seconds on, each `column_seconds` long."""

    start: float
    column_seconds: float
    columns: Columns


class _Workshop:
    """Makes one file at a time, each once; a failure is final until the app starts again."""

    def __init__(self) -> None:
        self._lock, self._turn = Lock(), Lock()
        self._shares: dict[Path, float] = {}
        self._failures: dict[Path, str] = {}

    def waiting(self, path: Path, make: Callable[[Callable[[float], None]], None]) -> Waiting | None:
        """None if `path` exists, else its progress; the first call starts the work."""
        with self._lock:
            if path in self._failures:
                raise NotHere(self._failures[path])
            if path not in self._shares:
                if path.is_file():
                    return None
                self._shares[path] = 0.0
                Thread(target=self._work, args=(path, make), daemon=True).start()
            return Waiting(self._shares[path])

    def _work(self, path: Path, make: Callable[[Callable[[float], None]], None]) -> None:
        def on_progress(share: float) -> None:
            self._shares[path] = share

        failure = "the file cannot be read"
        try:
            with self._turn:
                make(on_progress)
            failure = ""
        except MediaError as error:
            failure = str(error)
        except OSError as error:
            failure = error.strerror or type(error).__name__
        finally:
            with self._lock:
                del self._shares[path]
                if failure:
                    self._failures[path] = failure


class MediaFiles:
    """The media of a corpus by recording id. Every method raises NotHere for media that cannot be shown."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        # two: a copy takes long, and the waveform must not wait for it
        self._copies, self._sights = _Workshop(), _Workshop()
        self._found = lru_cache(64)(self._find)
        self._plays_as_read = lru_cache(64)(lambda path, duration, *stamp: plays_as_read(path, duration))

    def recording(self, recording_id: str) -> Recording:
        """The recording's row."""
        return self._row(recording_id)[0]

    def original(self, recording_id: str) -> Path:
        """The file that was curated."""
        return self._locate(*self._row(recording_id))

    def playable(self, recording_id: str, copy: bool) -> tuple[Path, str]:
        """A file that browsers can play, the original or a copy, and its media type; `copy`: always the copy."""
        recording, uris = self._row(recording_id)
        original = self._locate(recording, uris)
        kind = playable_type(recording)
        if kind is not None and not copy and self._plays(original, recording):
            return original, kind
        made = self._copy(recording)
        if not made.is_file() or not is_whole(made):
            raise NotHere("the copy is not ready yet")
        return made, "video/mp4" if recording.has_video else "audio/mp4"

    def prepare(self, recording_id: str, copy: bool) -> Waiting | None:
        """Make the file that `playable` returns; None once it exists."""
        recording, uris = self._row(recording_id)
        original = self._locate(recording, uris)
        if playable_type(recording) is not None and not copy and self._plays(original, recording):
            return None
        if not recording.duration:
            raise NotHere("the recording has no audio")
        made = self._copy(recording)
        if made.is_file() and not is_whole(made):
            made.unlink()

        def make(on_progress: Callable[[float], None]) -> None:
            made.parent.mkdir(parents=True, exist_ok=True)
            sound = made.with_suffix(".m4a")
            video = made if recording.has_video else None
            write_proxies(original, Segment(0.0, recording.duration or 0.0), sound, video, progress=on_progress)

        return self._copies.waiting(made, make)

    def sight(self, recording_id: str, start: float, end: float, columns: int) -> SpectrumColumns | Waiting:
        """Wave and spectrum of [start, end) seconds in at most `columns` columns."""
        recording, uris = self._row(recording_id)
        original = self._locate(recording, uris)
        if not recording.channels or not recording.duration:
            raise NotHere("the recording has no audio")
        end = min(end, recording.duration)
        if start >= end:
            raise NotHere(f"{start:.3f} s is after the end of the recording at {recording.duration:.3f} s")
        step = (end - start) / columns
        if step < COLUMN_SECONDS:
            return SpectrumColumns(start, step, fine_columns(original, start, end, columns))
        kept = self._kept(recording).with_suffix(".npy")
        duration = recording.duration

        def make(on_progress: Callable[[float], None]) -> None:
            made = sound_columns(original, duration, on_progress)
            kept.parent.mkdir(parents=True, exist_ok=True)
            with write_beside(kept) as file:
                np.save(file, made, allow_pickle=False)

        waiting = self._sights.waiting(kept, make)
        if waiting is not None:
            return waiting
        try:
            whole = np.load(kept, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError):  # damaged: made again
            kept.unlink()
            return self._sights.waiting(kept, make) or Waiting(0.0)
        begin = int(start / COLUMN_SECONDS)
        pooled = pooled_columns(whole, start, end, columns)
        covered = max(min(int(np.ceil(end / COLUMN_SECONDS)), len(whole)) - begin, 1) * COLUMN_SECONDS
        return SpectrumColumns(begin * COLUMN_SECONDS, covered / max(len(pooled), 1), pooled)

    def _row(self, recording_id: str) -> tuple[Recording, tuple[str, ...]]:
        if not _ID.fullmatch(recording_id):
            raise NotHere("invalid recording id")
        return self._found(recording_id, self.corpus.stamp("recordings", "sources"))

    def _find(self, recording_id: str, _stamp: object) -> tuple[Recording, tuple[str, ...]]:
        of_recording = pc.field("recording_id") == recording_id
        for recording in self.corpus.rows(Recording, of_recording):
            sources = list(self.corpus.rows(Source, of_recording))
            return recording, tuple(dict.fromkeys([recording.uri, *(source.uri for source in sources)]))
        raise NotHere(f"no recording {recording_id} in the corpus")

    def _locate(self, recording: Recording, uris: tuple[str, ...]) -> Path:
        """The first place that holds the file that was curated."""
        problems = []
        for uri in uris:
            try:
                path = resolve(uri, self.corpus.roots)
                size = path.stat().st_size
            except OutsideRoot:
                problems.append("the path leads out of the media folder")
            except ValueError:
                problems.append("the corpus has no media folder")
            except OSError as error:
                problems.append(f"the file cannot be read: {error.strerror or type(error).__name__}")
            else:
                if not path.is_file():
                    problems.append("the path is not a file")
                elif recording.bytes is not None and size != recording.bytes:
                    problems.append(f"the file changed: {size} bytes, {recording.bytes} when it was curated")
                else:
                    return path
        raise NotHere(problems[0])

    def _plays(self, original: Path, recording: Recording) -> bool:
        """True if a browser plays the same second of the same track as the rest of the page shows."""
        try:
            status = original.stat()
            return self._plays_as_read(original, recording.duration, status.st_size, status.st_mtime_ns)
        except (OSError, MediaError) as error:
            raise NotHere(f"the file cannot be read: {error}") from error

    def _copy(self, recording: Recording) -> Path:
        return self._kept(recording).with_suffix(".mp4" if recording.has_video else ".m4a")

    def _kept(self, recording: Recording) -> Path:
        base = self.corpus.path / "proxies" / "review"
        folder = base / recording.recording_id[:2]
        with suppress(OSError):
            if base.is_symlink() or folder.is_symlink():  # the app neither writes nor reads through a link there
                raise NotHere("proxies/review in the corpus is a link: remove it")
        return folder / f"{recording.recording_id}-v1"


def playable_type(recording: Recording) -> str | None:
    """The media type of a recording that browsers can play, else None."""
    name, sounds, pictures = _PLAYED.get(recording.container or "", ("", set[str](), set[str]()))
    if recording.audio_codec is not None and recording.audio_codec not in sounds:
        return None
    if recording.has_video:
        return f"video/{name}" if recording.video_codec in pictures else None
    return f"audio/{name}" if name and recording.audio_codec is not None else None
