"""The stages that need the media: identify a file, score a recording. Each is a frozen value that workers carry out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.identity import digest
from manifests.recipe import Recipe
from manifests.records import Recording
from manifests.store import Corpus, shard_path
from manifests.time import Timeline

from ..decision.cascade import pending_time
from ..decision.decide import decide
from ..detectors import PICTURE, ModelSetup, spec
from ..detectors.picture.detector import analyze_video, analyzed_time
from ..detectors.score_store import load_scores, save_scores, scores_path
from ..detectors.scorer import Scorer
from ..duplicates import AudioFingerprinter
from ..duplicates.fingerprint_store import FingerprintSegments, fingerprint_key, save_fingerprints
from ..media import MediaError, identify
from ..runner import Item

# what a file's problem makes of its recording; any other problem leaves no recording at all
STATUS_OF_PROBLEM = {
    "empty_file": "empty",
    "not_media": "unreadable",
    "unreadable": "unreadable",
    "no_audio_stream": "no_audio",
    "no_samples": "no_audio",
    "decode_failed": "unreadable",
}


@dataclass(frozen=True)
class Identify:
    """Reads a file's packets once: which recording it is, and whether it is one at all."""

    name: str = "identify"
    version: str = "2"

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
            audio_end=found.audio_end,
            video_end=found.video_end,
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
    """Decodes a recording once and keeps what every detector says of all of it, and its fingerprint."""

    corpus: Path
    detectors: tuple[str, ...]
    setup: ModelSetup
    name: str = "score"

    def key(self, recording_id: str) -> str:
        """Content key over the recording and every detector that hears it."""
        keys = [spec(name, self.setup).key(recording_id) for name in self.detectors]
        return digest(self.name, recording_id, keys, fingerprint_key(recording_id, "audio"))

    def item(self, recording: Recording, path: str) -> Item:
        """The recording, to be heard at `path`."""
        duration = recording.duration or 0.0
        return Item(self.key(recording.recording_id), (recording.recording_id, path, duration), duration)

    def missing(self, recording_id: str) -> tuple[str, ...]:
        """The detectors that have not heard the recording."""
        corpus = Corpus(self.corpus)
        return tuple(
            name for name in self.detectors if not scores_path(corpus, recording_id, name, self.setup).exists()
        )

    def complete(self, recording_id: str) -> bool:
        """Whether every detector's scores of the recording are kept already, and its fingerprint."""
        printed = shard_path(
            Corpus(self.corpus), "prints", recording_id, "audio", fingerprint_key(recording_id, "audio")
        )
        return not self.missing(recording_id) and printed.exists()

    def open(self) -> None:
        """Load the detectors; raises ModelUnavailable with how to get a missing one."""
        object.__setattr__(self, "_scorer", _opened(self.setup, self.detectors))

    def process(self, payload: tuple[str, str, float], progress: Callable[[float], None]) -> dict[str, Any]:
        """(recording_id, path, duration) -> {"damaged": whether sound was lost, "problem": [reason, detail] | None}."""
        recording_id, path, duration = payload
        scorer: Scorer = self._scorer  # type: ignore[attr-defined]
        printer = AudioFingerprinter()
        try:
            heard = scorer.score(
                Path(path), self.missing(recording_id), consumers=[printer], progress=_share(progress, duration)
            )
        except MediaError as error:
            return {"damaged": False, "problem": [error.reason, error.detail]}
        corpus = Corpus(self.corpus)
        for name, frames in heard.scores.items():
            save_scores(corpus, recording_id, name, self.setup, frames)
        save_fingerprints(corpus, recording_id, "audio", [(0.0, printer.finish())])
        return {"damaged": heard.damaged, "problem": None}


@dataclass(frozen=True)
class Deepen:
    """Lets detectors hear what a recipe leaves open, and that only, until more hearing could change no cut."""

    corpus: Path
    recipe: Recipe
    setup: ModelSetup
    name: str = "deepen"

    def key(self, recording_id: str, needs: Mapping[str, Timeline]) -> str:
        """Content key over the recording, the recipe and what has to be heard first."""
        keys = [spec(name, self.setup).key(recording_id) for name in self.recipe.all_detectors]
        return digest(self.name, recording_id, keys, self.recipe.hash, {n: t.ms_pairs() for n, t in needs.items()})

    def open(self) -> None:
        """Load the detectors of the cascade; raises ModelUnavailable with how to get a missing one."""
        object.__setattr__(self, "_scorer", _opened(self.setup, self.recipe.cascade))

    def process(
        self, payload: tuple[str, str, float, list[list[int]]], progress: Callable[[float], None]
    ) -> dict[str, Any]:
        """(recording_id, path, duration, copied time in ms) -> {"problem": [reason, detail] | None}."""
        recording_id, path, duration, copied = payload
        scorer: Scorer = self._scorer  # type: ignore[attr-defined]
        corpus = Corpus(self.corpus)
        before: dict[str, Timeline] = {}
        while True:
            scores = load_scores(corpus, recording_id, self.recipe.all_detectors, self.setup)
            needs = pending_time(scores, self.recipe, duration, Timeline.from_ms_pairs(copied))
            if not needs:
                return {"problem": None}
            if needs == before:
                raise RuntimeError(f"{', '.join(needs)} gave no scores for the seconds that were asked for")
            before = needs
            try:
                heard = scorer.score(Path(path), list(needs), only=needs, progress=_share(progress, duration))
            except MediaError as error:
                return {"problem": [error.reason, error.detail]}
            for name, frames in heard.scores.items():
                save_scores(corpus, recording_id, name, self.setup, frames, scores.get(name))


@dataclass(frozen=True)
class Look:
    """Looks at the picture where cuts survived on their sound: what moves in it, and its fingerprint."""

    corpus: Path
    recipe: Recipe
    setup: ModelSetup
    name: str = "look"

    def key(self, recording_id: str, copied: Timeline) -> str:
        """Content key over everything that decides where to look, and over what looks."""
        keys = [spec(name, self.setup).key(recording_id) for name in (*self.recipe.all_detectors, PICTURE)]
        printed = fingerprint_key(recording_id, "picture")
        return digest(self.name, recording_id, keys, printed, self.recipe.hash, copied.ms_pairs())

    def complete(self, recording_id: str) -> bool:
        """Whether somebody looked at the recording before."""
        return scores_path(Corpus(self.corpus), recording_id, PICTURE, self.setup).exists()

    def open(self) -> None:
        """Nothing to load."""

    def process(
        self, payload: tuple[dict[str, Any], str, list[list[int]]], progress: Callable[[float], None]
    ) -> dict[str, Any]:
        """(the recording's columns, path, copied time in ms) -> {"seconds": looked at, "problem": ... | None}."""
        columns, path, copied = payload
        recording = Recording(**columns)
        corpus, recording_id, duration = Corpus(self.corpus), recording.recording_id, recording.duration or 0.0
        scores = load_scores(corpus, recording_id, (*self.recipe.all_detectors, PICTURE), self.setup)
        decided = decide(recording, scores, self.recipe, Timeline.from_ms_pairs(copied))
        survived = Timeline(cut.segment for cut in decided.cuts if cut.decision != "reject")
        known = scores.get(PICTURE)
        spans = survived - analyzed_time(known) if known else survived
        printer = FingerprintSegments()
        try:
            frames = analyze_video(
                Path(path),
                spans,
                duration,
                watchers=(printer,),
                progress=lambda seconds: progress(min(1.0, seconds / max(spans.duration, 1e-3))),
            )
        except MediaError as error:
            return {"seconds": 0.0, "problem": [error.reason, error.detail]}
        save_scores(corpus, recording_id, PICTURE, self.setup, frames, known)
        save_fingerprints(corpus, recording_id, "picture", printer.finish())
        return {"seconds": spans.duration, "problem": None}


def _opened(setup: ModelSetup, detectors: tuple[str, ...]) -> Scorer:
    scorer = Scorer(setup)
    scorer.open(detectors)
    return scorer


def _share(progress: Callable[[float], None], duration: float) -> Callable[[float], None]:
    return lambda seconds: progress(min(1.0, seconds / max(duration, 1e-3)))
