"""The stages that need the media: identify a file, score a recording. Each is a frozen value that workers carry out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.identity import digest
from manifests.records import Recording
from manifests.scores import FrameScores, from_rows, to_rows
from manifests.store import Corpus, read_scores, scores_path, write_scores

from .detectors import spec
from .media import MediaError, identify
from .scoring import Scorer

# what a file's problem makes of its recording; any other problem leaves no recording at all
STATUS_OF_PROBLEM = {
    "empty_file": "empty",
    "not_media": "unreadable",
    "unreadable": "unreadable",
    "no_audio_stream": "no_audio",
    "no_samples": "no_audio",
    "decode_failed": "unreadable",
}
# problems of the moment: the next run looks again
PASSING = frozenset({"vanished", "permission_denied"})


@dataclass(frozen=True)
class Identify:
    """Reads a file's packets once: which recording it is, and whether it is one at all."""

    name: str = "identify"
    version: str = "1"

    def key(self, uri: str, signature: tuple[int, int]) -> str:
        """Content key of a file as far as one sees without reading it: where it is, its size and its time."""
        return digest(self.name, self.version, uri, signature)

    def open(self) -> None:
        """Nothing to load."""

    def process(self, payload: tuple[str, str], progress: Callable[[float], None]) -> dict[str, Any]:
        """(uri, path) -> {"recording": columns | None, "problem": [reason, detail] | None}."""
        uri, path = payload
        try:
            found = identify(Path(path), uri=uri)
        except MediaError as error:
            return {"recording": None, "problem": [error.reason, error.detail]}
        reason = found.problem[0] if found.problem else None
        info = found.info
        audio, video = (info.audio, info.video) if info else (None, None)
        recording = Recording(
            recording_id=found.recording_id,
            uri=uri,
            sha256=found.sha256,
            bytes=found.bytes,
            duration=found.duration if info else None,
            container=info.container if info else None,
            audio_codec=audio.codec if audio else None,
            video_codec=video.codec if video else None,
            width=video.width if video else None,
            height=video.height if video else None,
            fps=video.fps if video else None,
            sample_rate=audio.sample_rate if audio else None,
            channels=audio.channels if audio else None,
            has_video=video is not None,
            status=STATUS_OF_PROBLEM.get(reason, "unreadable") if reason else "truncated" if found.truncated else "ok",  # type: ignore[arg-type]
        )
        return {"recording": asdict(recording), "problem": list(found.problem) if found.problem else None}


@dataclass(frozen=True)
class Score:
    """Decodes a recording once and keeps every detector's scores of it."""

    corpus: Path
    detectors: tuple[str, ...]
    name: str = "score"

    def key(self, recording_id: str) -> str:
        """Content key over the recording and every detector that hears it."""
        return digest(self.name, recording_id, [spec(name).key(recording_id) for name in self.detectors])

    def complete(self, recording_id: str) -> bool:
        """Whether every detector's scores of the recording are kept already."""
        corpus = Corpus(self.corpus)
        return all(
            scores_path(corpus, recording_id, name, spec(name).key(recording_id)).exists() for name in self.detectors
        )

    def open(self) -> None:
        """Load the detectors; raises DetectorUnavailable with how to get a missing one."""
        object.__setattr__(self, "_scorer", Scorer(self.detectors))

    def process(self, payload: tuple[str, str, float], progress: Callable[[float], None]) -> dict[str, Any]:
        """(recording_id, path, duration) -> {"damaged": whether sound was lost, "problem": [reason, detail] | None}."""
        recording_id, path, duration = payload
        scorer: Scorer = self._scorer  # type: ignore[attr-defined]
        try:
            scores, damaged = scorer.score(
                Path(path), lambda seconds: progress(min(1.0, seconds / max(duration, 1e-3)))
            )
        except MediaError as error:
            return {"damaged": False, "problem": [error.reason, error.detail]}
        corpus = Corpus(self.corpus)
        for name, frames in scores.items():
            one = spec(name)
            key = one.key(recording_id)
            write_scores(
                corpus,
                to_rows(frames, recording_id=recording_id, detector=name, version=one.version, key=key),
            )
        return {"damaged": damaged, "problem": None}


def load_scores(corpus: Corpus, recording_id: str, detectors: tuple[str, ...]) -> Mapping[str, FrameScores]:
    """The kept scores of a recording by detector. Raises FileNotFoundError when a detector never heard it."""
    return {
        name: from_rows(read_scores(corpus, recording_id, name, spec(name).key(recording_id))) for name in detectors
    }
