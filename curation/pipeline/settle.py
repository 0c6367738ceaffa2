"""Settles a recording in one pass: loads its scores, runs the cascade, analyzes the video, decides.

A worker does all of it and loads the scores once. Work on the media is keyed by the time it would read, so that a file
that failed is not read again in every run; the caller records it in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from manifests.errors import Problem
from manifests.identity import digest
from manifests.recipe import Recipe
from manifests.records import Drop, Measured, Recording
from manifests.schema import to_records, to_table, whole_table
from manifests.scores import FrameScores
from manifests.shards import MISSING, shard_fault, shard_path
from manifests.store import Corpus
from manifests.time import Timeline

from ..decision.cascade import pending_time, rejected_seconds
from ..decision.decide import STAGE, Decided, Draft, draft, finish
from ..decision.fusion import fuse, scored_seconds
from ..decision.human_evidence import NO_EVIDENCE, HumanEvidence
from ..decision.spans import is_too_short
from ..detectors import PICTURE, ModelSetup, ModelUnavailable, spec
from ..detectors.picture.detector import analyze_video, analyzed_time
from ..detectors.score_store import load_scores, save_scores
from ..detectors.scorer import Scorer
from ..duplicates.fingerprint_store import FingerprintSegments, fingerprint_key, save_fingerprints
from ..media import MediaError
from ..runner import ShareCallback
from .stages import share_of
from .unscored import decide_too_short

CASCADE, VIDEO = "cascade", "video"
UNSCORED = "unscored"  # the reason of a recording without the scores that the recipe needs


@dataclass(frozen=True)
class Request:
    """A recording to settle.

    `path`: its media, None where it is missing or must not be read. `copied`: time that a kept recording holds.
    `failed`: keys of media work that failed before and is not tried again.
    """

    recording: Recording
    path: str | None
    copied: Timeline = Timeline.EMPTY
    people: HumanEvidence = NO_EVIDENCE
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MediaWork:
    """One read of the media: `stage` is CASCADE or VIDEO; `scored`: seconds by detector."""

    stage: str
    key: str
    scored: Mapping[str, float]
    problem: Problem | None = None


@dataclass(frozen=True)
class Settled:
    """The decision over one recording.

    Rows of `events` and `cuts` as Arrow tables, drops, and the measures of all of it. `media`: reads of its media.
    `cascade`: (seconds rejected without the cascade, seconds scored by each of its detectors), None without one.
    `unavailable`: the error of a missing model, because of which nothing was decided. `healed`: (path, problem) of
    damaged scores that were not used, and made again where the media exists. `scores_damaged`: nothing was decided
    because scores of the whole recording are damaged.
    """

    recording_id: str
    events: pa.Table = field(repr=False)
    cuts: pa.Table = field(repr=False)
    drops: tuple[Drop, ...]
    measures: Measured
    media: tuple[MediaWork, ...] = ()
    cascade: tuple[float, Mapping[str, float]] | None = None
    unavailable: str | None = None
    healed: tuple[tuple[str, str], ...] = ()
    scores_damaged: bool = False


@dataclass(frozen=True)
class Settle:
    """Decides over a recording from its stored scores, and completes them where the recipe needs more."""

    corpus: Path
    recipe: Recipe
    setup: ModelSetup
    name: str = "decide"
    unit: str = "seconds"

    def key(self, recording_id: str) -> str:
        """Content key over the recording, its detectors and the recipe."""
        keys = [spec(name, self.setup).key(recording_id) for name in self.recipe.all_detectors]
        return digest(self.name, recording_id, keys, self.recipe.hash)

    def open(self) -> Callable[[Request, ShareCallback], Settled]:
        """Return the function over a `Request`; detectors are loaded when the first recording needs one."""
        return partial(self._settled, Scorer(self.setup))

    def _settled(self, scorer: Scorer, request: Request, report: ShareCallback) -> Settled:
        try:
            return _Recording(self, scorer, request, report).settle()
        except ModelUnavailable as error:
            problem = Problem(UNSCORED, str(error))
            return replace(undecided(request.recording, problem, self.recipe), unavailable=str(error))


def settle(corpus: Corpus, request: Request, recipe: Recipe, setup: ModelSetup) -> Settled:
    """Settle a recording in this process."""
    return Settle(corpus.path, recipe, setup).open()(request, lambda share: None)


class _Recording:
    """A recording on its way to a decision: its scores are loaded once and completed in memory and on disk."""

    def __init__(self, stage: Settle, scorer: Scorer, request: Request, report: ShareCallback) -> None:
        self._corpus, self._recipe, self._setup = Corpus(stage.corpus), stage.recipe, stage.setup
        self._scorer, self._request, self._report = scorer, request, report
        self._id, self._duration = request.recording.recording_id, request.recording.duration or 0.0
        self._scores: dict[str, FrameScores] = {}
        self._media: list[MediaWork] = []
        self._healed: list[tuple[str, str]] = []

    def settle(self) -> Settled:
        recipe, row = self._recipe, self._request.recording
        damaged = self._load()
        if damaged is not None:
            problem = Problem(UNSCORED, f"its scores cannot be read: {damaged}")
            return replace(undecided(row, problem, recipe), scores_damaged=True)
        missing = [name for name in recipe.detectors if name not in self._scores]
        if missing and row.duration is not None and is_too_short(row.duration, recipe.spans.min_duration):
            return settled_too_short(self._request, recipe)
        if missing:
            detail = f"not scored by {', '.join(missing)}, which takes its media: curate its source"
            return undecided(row, Problem(UNSCORED, detail), recipe)
        rejected = None
        if recipe.cascade:
            rejected = rejected_seconds(self._scores, recipe, self._duration, self._request.copied)
        drafted = self._drafted()
        self._analyze(drafted)
        decided = finish(drafted, self._scores.get(PICTURE))
        cascade = None
        if rejected is not None:
            cascade = rejected, {name: scored_seconds(self._scores.get(name)) for name in recipe.cascade}
        return replace(
            _result(self._id, decided), media=tuple(self._media), cascade=cascade, healed=tuple(self._healed)
        )

    def _load(self) -> ValueError | None:
        """Load the scores; return the fault of those of a detector that scores whole recordings.

        Damaged scores of the cascade and of the video count as missing: they are made on demand.
        """
        for name in dict.fromkeys((*self._recipe.all_detectors, PICTURE)):
            try:
                self._scores |= load_scores(self._corpus, self._id, (name,), self._setup, tags=False)
            except ValueError as error:
                if name in self._recipe.detectors:
                    return error
                path = shard_path(self._corpus, "scores", self._id, name, self._key(name))
                self._healed.append((str(path), str(error)))
        return None

    def _drafted(self) -> Draft:
        """The cuts as decided by the audio, once no more scoring can change them."""
        request, recipe = self._request, self._recipe
        before: Mapping[str, Timeline] = {}
        while True:
            fused = fuse(self._scores, recipe, self._duration)
            needs = pending_time(self._scores, recipe, self._duration, request.copied, fused)
            if needs and needs == before:
                raise RuntimeError(f"{', '.join(needs)} returned no scores for the requested seconds")
            if not needs or not self._score(needs):
                return draft(request.recording, fused, self._scores, recipe, request.copied, request.people)
            before = needs

    def _score(self, needs: Mapping[str, Timeline]) -> bool:
        """Score the time that each detector needs; return False if the media cannot be read."""
        key = digest(
            CASCADE, self._id, {name: [self._key(name), time.ms_pairs()] for name, time in sorted(needs.items())}
        )
        if not self._may_read(key):
            return False
        try:
            result = self._scorer.score(
                Path(self._request.path or ""),
                list(needs),
                only=needs,
                progress=share_of(self._duration, self._report),
            )
        except MediaError as error:
            self._media.append(MediaWork(CASCADE, key, {}, error.problem))
            return False
        for name, frames in result.scores.items():
            # as stored, with the tags, which the decision does not need
            known = load_scores(self._corpus, self._id, (name,), self._setup)[name] if name in self._scores else None
            self._scores[name] = save_scores(self._corpus, self._id, name, self._setup, frames, known)
        self._media.append(MediaWork(CASCADE, key, {name: time.duration for name, time in needs.items()}))
        return True

    def _analyze(self, drafted: Draft) -> None:
        """Analyze the video of cuts that their audio does not reject, unless it was analyzed before."""
        if not self._recipe.video_analysis or not self._request.recording.has_video:
            return
        known = self._scores.get(PICTURE)
        analyzed = analyzed_time(known) if known else Timeline.EMPTY
        spans = drafted.surviving - analyzed
        problem = self._print_fault() if analyzed else None
        if problem:
            # its time is analyzed again, for the fingerprint: the scores come out as they are
            spans = drafted.surviving | analyzed
        key = digest(VIDEO, self._id, self._key(PICTURE), fingerprint_key(self._id, "picture"), spans.ms_pairs())
        if not spans or not self._may_read(key):
            return
        segments = FingerprintSegments()
        try:
            frames = analyze_video(
                Path(self._request.path or ""),
                spans,
                self._duration,
                watchers=(segments,),
                progress=share_of(spans.duration, self._report),
            )
        except MediaError as error:
            self._media.append(MediaWork(VIDEO, key, {}, error.problem))
            return
        if problem not in (None, MISSING):
            path = shard_path(self._corpus, "prints", self._id, "picture", fingerprint_key(self._id, "picture"))
            self._healed.append((str(path), f"damaged: {problem}"))
        self._scores[PICTURE] = save_scores(self._corpus, self._id, PICTURE, self._setup, frames, known)
        save_fingerprints(self._corpus, self._id, "picture", segments.finish())
        self._media.append(MediaWork(VIDEO, key, {PICTURE: spans.duration}))

    def _print_fault(self) -> str | None:
        return shard_fault(self._corpus, "prints", self._id, "picture", fingerprint_key(self._id, "picture"))

    def _may_read(self, key: str) -> bool:
        return self._request.path is not None and key not in self._request.failed

    def _key(self, detector: str) -> str:
        return spec(detector, self._setup).key(self._id)


def settled_too_short(request: Request, recipe: Recipe) -> Settled:
    """The result for a recording that is shorter than any cut and was not scored; raises as `decide_too_short` does."""
    decided = decide_too_short(request.recording, recipe, request.copied, request.people)
    return _result(request.recording.recording_id, decided)


def _result(recording_id: str, decided: Decided) -> Settled:
    return Settled(
        recording_id=recording_id,
        # rows that no table can hold are a fault of this recording, and end no run
        events=whole_table("events", decided.events),
        cuts=whole_table("cuts", decided.cuts),
        drops=tuple(to_records("drops", whole_table("drops", decided.drops).to_batches())),
        measures=decided.measures,
    )


def undecided(recording: Recording, problem: Problem, recipe: Recipe) -> Settled:
    """The result for a recording without a decision."""
    drop = Drop(
        item=recording.recording_id,
        item_kind="recording",
        stage=STAGE,
        reason=problem.reason,
        detail=problem.detail,
        recipe_hash=recipe.hash,
    )
    return Settled(recording.recording_id, to_table("events", ()), to_table("cuts", ()), (drop,), Measured())
