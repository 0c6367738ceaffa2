"""The stages that read whole files: identify a file, score a recording. Each is a frozen value that workers open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from manifests.errors import Problem
from manifests.identity import digest
from manifests.records import AudioTrack, Recording, Status
from manifests.shards import MISSING, shard_fault, shard_path
from manifests.store import Corpus

from ..detectors import ModelSetup, spec
from ..detectors.score_store import save_scores
from ..detectors.scorer import Scorer
from ..duplicates import AudioFingerprinter
from ..duplicates.fingerprint_store import fingerprint_key, save_fingerprints
from ..media import MediaError, identify
from ..runner import Item, ShareCallback
from ..runner.ledgered import problem_of

PRINT = "print"  # the name of the audio fingerprint among the detectors
# the status of a recording with a problem; other problems give no recording
STATUS_OF_PROBLEM: Mapping[str, Status] = {
    "empty_file": "empty",
    "not_media": "unreadable",
    "unreadable": "unreadable",
    "no_audio_stream": "no_audio",
    "no_samples": "no_audio",
    "decode_failed": "unreadable",
}


@dataclass(frozen=True)
class Identified:
    """The recording in a file, or None; `problem`: the reason why it has no usable audio."""

    recording: Recording | None
    problem: Problem | None = None


@dataclass(frozen=True)
class Identify:
    """Identifies the recording in a file in one pass over its packets. Payload: (uri, path)."""

    name: str = "identify"
    version: str = "3"
    unit: str = "bytes"

    def key(self, uri: str, signature: tuple[int, int]) -> str:
        """Content key of a file without reading it: its uri, its size and its modification time."""
        return digest(self.name, self.version, uri, signature)

    def open(self) -> Callable[[tuple[str, str], ShareCallback], Identified]:
        """Return the function over (uri, path); there is nothing to load."""
        return _identified

    def encode(self, result: Identified) -> dict[str, Any]:
        """{"recording": columns | None, "problem": [reason, detail] | None}."""
        return {"recording": result.recording and asdict(result.recording), "problem": result.problem}

    def decode(self, values: Mapping[str, Any]) -> Identified:
        """The result of `encode`'s values."""
        columns = values.get("recording")
        if not columns:
            return Identified(None, problem_of(values))
        tracks = tuple(AudioTrack(**track) for track in columns["audio_tracks"])
        columns = {**columns, "audio_tracks": tracks, "splices": tuple(columns["splices"])}
        return Identified(Recording(**columns), problem_of(values))


def _identified(payload: tuple[str, str], report: ShareCallback) -> Identified:
    uri, path = payload
    try:
        identity = identify(Path(path), uri=uri)
    except MediaError as error:
        return Identified(None, error.problem)
    problem = identity.problem
    status: Status = STATUS_OF_PROBLEM.get(problem.reason, "unreadable") if problem else "ok"
    info = identity.info
    audio, video = (info.audio, info.video) if info else (None, None)
    recording = Recording(
        recording_id=identity.recording_id,
        uri=uri,
        sha256=identity.sha256,
        bytes=identity.bytes,
        duration=identity.duration if info else None,
        audio_end=identity.audio_end,
        video_end=identity.video_end,
        container=info.container if info else None,
        audio_codec=audio.codec if audio else None,
        video_codec=video.codec if video else None,
        width=video.width if video else None,
        height=video.height if video else None,
        fps=video.fps if video else None,
        sample_rate=audio.sample_rate if audio else None,
        channels=audio.channels if audio else None,
        has_video=video is not None,
        status="truncated" if identity.truncated and not problem else status,
        audio_tracks=info.tracks if info else (),
        splices=identity.splices,
    )
    return Identified(recording, problem)


@dataclass(frozen=True)
class Scored:
    """Result of scoring: `damaged` if some audio could not be decoded; `problem` if nothing could be scored."""

    damaged: bool = False
    problem: Problem | None = None


@dataclass(frozen=True)
class Flaw:
    """A result that cannot be used: its `maker`, a detector or PRINT, its file, and the problem."""

    maker: str
    path: Path
    problem: str

    @property
    def damaged(self) -> bool:
        """True if the file exists."""
        return self.problem != MISSING


@dataclass(frozen=True)
class Score:
    """Decodes a recording once and stores all detectors' scores of it, and its fingerprint.

    Payload: (recording_id, path, duration in seconds).
    """

    corpus: Path
    detectors: tuple[str, ...]
    setup: ModelSetup
    name: str = "score"
    unit: str = "seconds"

    def key(self, recording_id: str) -> str:
        """Content key over the recording and every detector that scores it."""
        keys = [spec(name, self.setup).key(recording_id) for name in self.detectors]
        return digest(self.name, recording_id, keys, fingerprint_key(recording_id, "audio"))

    def item(self, recording: Recording, path: str) -> Item[tuple[str, str, float]]:
        """The item for the recording, to be read at `path`."""
        duration, name = recording.duration or 0.0, recording.recording_id
        return Item(self.key(name), name, (name, path, duration), duration, recording.uri)

    def flaws(self, recording_id: str, *, read_scores: bool = True) -> tuple[Flaw, ...]:
        """The results of this stage that are not stored, or damaged; none if the recording need not be read.

        Without `read_scores`, scores need only be there: who loads them finds damage.
        """
        corpus = Corpus(self.corpus)

        def problem_of_file(table: str, maker: str, key: str) -> str | None:
            if table == "prints" or read_scores:
                return shard_fault(corpus, table, recording_id, maker, key)
            return None if shard_path(corpus, table, recording_id, maker, key).exists() else MISSING

        keys = {name: ("scores", name, spec(name, self.setup).key(recording_id)) for name in self.detectors}
        keys[PRINT] = ("prints", "audio", fingerprint_key(recording_id, "audio"))
        return tuple(
            Flaw(name, shard_path(corpus, table, recording_id, maker, key), problem)
            for name, (table, maker, key) in keys.items()
            if (problem := problem_of_file(table, maker, key))
        )

    def open(self) -> Callable[[tuple[str, str, float], ShareCallback], Scored]:
        """Load the detectors. Raises ModelUnavailable with the cure for a missing one."""
        scorer = Scorer(self.setup)
        scorer.open(self.detectors)
        return partial(self._scored, scorer)

    def _scored(self, scorer: Scorer, payload: tuple[str, str, float], report: ShareCallback) -> Scored:
        recording_id, path, duration = payload
        fingerprinter = AudioFingerprinter()
        try:
            result = scorer.score(
                Path(path),
                [flaw.maker for flaw in self.flaws(recording_id) if flaw.maker != PRINT],
                consumers=[fingerprinter],
                progress=share_of(duration, report),
            )
        except MediaError as error:
            return Scored(problem=error.problem)
        corpus = Corpus(self.corpus)
        for name, frames in result.scores.items():
            save_scores(corpus, recording_id, name, self.setup, frames)
        save_fingerprints(corpus, recording_id, "audio", [(0.0, fingerprinter.finish())])
        return Scored(result.damaged)

    def encode(self, result: Scored) -> dict[str, Any]:
        """{"damaged": True if audio was lost, "problem": [reason, detail] | None}."""
        return {"damaged": result.damaged, "problem": result.problem}

    def decode(self, values: Mapping[str, Any]) -> Scored:
        """The result of `encode`'s values."""
        return Scored(bool(values.get("damaged")), problem_of(values))


def share_of(duration: float, report: ShareCallback) -> Callable[[float], None]:
    """Turn seconds done into the share of `duration`."""
    return lambda seconds: report(min(1.0, seconds / max(duration, 1e-3)))
