"""Compare a corpus with its decisions under other thresholds, made from the stored scores. Writes nothing."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tomli_w
from numpy.typing import NDArray

from manifests.identity import digest
from manifests.recipe import Contaminant, ContaminantName, Recipe
from manifests.records import Cut, CutDecision, Recording
from manifests.scores import FrameScores
from manifests.store import Corpus
from manifests.time import Segment, Timeline

from ..catalog.accounting import DECISIONS, CutTotal
from ..decision.decide import STAGE, draft, finished_cuts
from ..decision.fusion import Fused, fuse
from ..decision.human_evidence import NO_EVIDENCE, HumanEvidence, load_evidence
from ..decision.risk_curve import CURVE_POINTS, RiskPoint, risk_curve
from ..decision.spans import is_too_short
from ..detectors import PICTURE, ModelSetup
from ..detectors.score_store import load_scores, setup_of
from ..duplicates.corpus_index import Copies, known_copies
from ..pipeline.unscored import decide_too_short

MEASURING = ("level", "signal", PICTURE)  # detectors whose scores are needed beside the fused probabilities
CACHE_BYTES = 2**30
NOWHERE = "no cut"
# the thresholds of a contaminant that may change: the fused probabilities do not depend on them
THRESHOLDS = ("review_threshold", "offset", "onset", "reject_threshold")
# all parameters of a contaminant that they do not depend on
DECIDING = (*THRESHOLDS, "min_duration", "merge_gap", "padding", "review_padding")


@dataclass(frozen=True)
class ChangedCut:
    """A cut accepted on one side only. `other`: the decision over most of its time on the other side, or NOWHERE."""

    cut: Cut
    other: str


@dataclass(frozen=True)
class Side:
    """One side: its cuts by decision, its risk curve, and the point of the accepted cuts; None without any."""

    totals: Mapping[CutDecision, CutTotal]
    curve: tuple[RiskPoint, ...] = field(repr=False)
    chosen: RiskPoint | None


@dataclass(frozen=True)
class Comparison:
    """A corpus as it is (`before`) and under another recipe (`after`).

    `gained` and `lost`: added and removed accepted cuts, the longest first; `kept`: the number of unchanged ones. Of
    `of` recordings, `recordings` were decided again; `unscored` of them lack scores that the recipe needs.
    """

    before: Side
    after: Side
    gained: tuple[ChangedCut, ...]
    lost: tuple[ChangedCut, ...]
    kept: int
    recordings: int
    of: int
    unscored: int


def adjusted(
    recipe: Recipe,
    thresholds: Mapping[ContaminantName, Mapping[str, float]],
    spans: Mapping[str, float],
    name: str | None = None,
) -> Recipe:
    """The recipe with other THRESHOLDS (by contaminant) and lengths of cuts (fields of Spans).

    Raises ValueError for values that contradict each other.
    """
    contaminants: dict[ContaminantName, Contaminant] = dict(recipe.contaminants)
    for one, values in thresholds.items():
        unknown = sorted(values.keys() - set(THRESHOLDS))
        if unknown:
            raise ValueError(f"{one}: {unknown[0]} is not one of {', '.join(THRESHOLDS)}")
        changes: dict[str, Any] = dict(values)
        try:
            contaminants[one] = replace(contaminants[one], **changes)
        except ValueError as error:
            raise ValueError(f"{one}: {error}") from error
    lengths: dict[str, Any] = dict(spans)
    return replace(recipe, name=name or recipe.name, contaminants=contaminants, spans=replace(recipe.spans, **lengths))


def as_toml(recipe: Recipe) -> str:
    """The recipe as a complete file for `load_recipe`: it extends no other."""
    return tomli_w.dumps(recipe.settings())


@dataclass(frozen=True)
class _Ready:
    """A recording with its fused probabilities, and the scores by which cuts are measured."""

    fused: Fused
    scores: Mapping[str, FrameScores]

    @property
    def bytes(self) -> int:
        tracks: list[NDArray[Any]] = [
            *self.fused.lower.values(),
            *self.fused.upper.values(),
            *(one.values for one in self.scores.values()),
        ]
        return sum({id(track): track.nbytes for track in tracks}.values())


@dataclass(frozen=True)
class _State:
    """The data of the corpus that do not depend on the recipe, and the stamp of their files."""

    stamp: tuple[object, ...]
    recordings: Sequence[Recording]
    of: int
    evidence: Mapping[str, HumanEvidence]
    copies: Copies
    before: Mapping[str, Sequence[Cut]]


class WhatIf:
    """Compares a corpus with its decisions under other recipes.

    Fused probabilities are cached in memory, up to `cache_bytes`, so only the first comparison is slow; changes on disk
    are detected. `max_seconds`: the most audio to decide over; of a larger corpus a random sample of recordings is
    drawn, the same in every process.
    """

    def __init__(self, corpus: Corpus, max_seconds: float | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        self.corpus = corpus
        self._max_seconds = max_seconds
        self._cache_bytes = cache_bytes
        self._ready: OrderedDict[tuple[str, str], _Ready | None] = OrderedDict()
        self._held = 0
        self._state: _State | None = None
        self._alone = Lock()  # the visitors of the app share one object

    def compare(self, recipe: Recipe, on_progress: Callable[[float], None] | None = None) -> Comparison:
        """Compare the tables with the decisions under `recipe`; `on_progress` receives the share done, 0 to 1.

        Raises CorpusError before the first curation.
        """
        with self._alone:
            state = self._now()
            setup = setup_of(self.corpus, recipe)
            key = _fusion_key(recipe, setup)
            after: dict[str, Sequence[Cut]] = {}
            unscored = 0
            for number, recording in enumerate(state.recordings, start=1):
                name = recording.recording_id
                copied = state.copies.cut_away.get(name, Timeline.EMPTY)
                people = state.evidence.get(name, NO_EVIDENCE)
                ready = self._prepared(recording, recipe, setup, key)
                if ready is None and is_too_short(recording.duration or 0.0, recipe.spans.min_duration):
                    after[name] = decide_too_short(recording, recipe, copied, people).cuts
                elif ready is None:
                    unscored += 1
                else:
                    drafted = draft(recording, ready.fused, ready.scores, recipe, copied, people)
                    after[name] = finished_cuts(drafted, ready.scores.get(PICTURE))
                if on_progress:
                    on_progress(number / len(state.recordings))
            gained, kept = _only_in(after, state.before)
            lost, _ = _only_in(state.before, after)
            return Comparison(
                before=_side(state.before),
                after=_side(after),
                gained=gained,
                lost=lost,
                kept=kept,
                recordings=len(state.recordings),
                of=state.of,
                unscored=unscored,
            )

    def _now(self) -> _State:
        stamp = self.corpus.stamp("recordings", "cuts", "drops", "duplicates", "verdicts")
        if self._state is None or self._state.stamp != stamp:
            self._state = _read(self.corpus, self._max_seconds, stamp)
            # a run may have scored them since
            self._ready = OrderedDict((name, one) for name, one in self._ready.items() if one is not None)
        return self._state

    def _prepared(self, recording: Recording, recipe: Recipe, setup: ModelSetup, key: str) -> _Ready | None:
        """The recording's probabilities, from memory if cached; None if scores are missing."""
        name = (recording.recording_id, key)
        if name in self._ready:
            self._ready.move_to_end(name)
            return self._ready[name]
        loaded = _load(self.corpus, recording, recipe, setup)
        self._ready[name] = loaded
        self._held += loaded.bytes if loaded else 0
        while self._held > self._cache_bytes and len(self._ready) > 1:
            _, oldest = self._ready.popitem(last=False)
            self._held -= oldest.bytes if oldest else 0
        return loaded


def _load(corpus: Corpus, recording: Recording, recipe: Recipe, setup: ModelSetup) -> _Ready | None:
    try:
        scores = load_scores(corpus, recording.recording_id, (*recipe.all_detectors, PICTURE), setup)
    except ValueError:
        return None  # a run reports the fault of the file
    if any(name not in scores for name in recipe.detectors):
        return None
    fused = fuse(scores, recipe, recording.duration or 0.0)
    return _Ready(fused, {name: replace(scores[name], tags=None) for name in MEASURING if name in scores})


def _fusion_key(recipe: Recipe, setup: ModelSetup) -> str:
    """A key of everything that the fused probabilities depend on."""
    parts = {
        name: {key: value for key, value in asdict(one).items() if key not in DECIDING}
        for name, one in recipe.contaminants.items()
    }
    levels = [asdict(recipe.integration), recipe.silence.rms_dbfs] if recipe.has_relative_evidence else []
    return digest(recipe.all_detectors, parts, levels, setup.weights, setup.runtimes, setup.active)


def _read(corpus: Corpus, max_seconds: float | None, stamp: tuple[object, ...]) -> _State:
    recipe = corpus.active_recipe()
    filter = (pc.field("item_kind") == "recording") & (pc.field("stage") != STAGE)
    gone = set(corpus.table("drops").to_arrow(["item"], filter)["item"].to_pylist())
    rows = corpus.rows(Recording)
    known = [row for row in rows if row.duration and row.recording_id not in gone]
    chosen = _drawn(known, max_seconds)
    ids = [row.recording_id for row in chosen]
    before: dict[str, list[Cut]] = {name: [] for name in ids}
    for cut in corpus.rows(Cut, pc.field("recording_id").isin(pa.array(ids, pa.string()))):
        before[cut.recording_id].append(cut)
    return _State(
        stamp, chosen, len(known), load_evidence(corpus), known_copies(corpus, recipe.duplicates, ids), before
    )


def _drawn(recordings: Sequence[Recording], max_seconds: float | None) -> list[Recording]:
    """As many recordings as `max_seconds` allows, at least one, in an order drawn from their ids."""
    lots = sorted(recordings, key=lambda row: digest("whatif", row.recording_id))
    until = np.cumsum([row.duration or 0.0 for row in lots])
    count = len(lots) if max_seconds is None else max(1, int(np.searchsorted(until, max_seconds, side="right")))
    return lots[:count]


def _only_in(
    side: Mapping[str, Sequence[Cut]], other: Mapping[str, Sequence[Cut]]
) -> tuple[tuple[ChangedCut, ...], int]:
    """The cuts that are accepted on `side` only, the longest first, and the number accepted on both sides."""
    changed, shared = [], 0
    for name, cuts in side.items():
        others = other.get(name, ())
        accepted = {cut.cut_id for cut in others if cut.decision == "accept"}
        for cut in cuts:
            if cut.decision == "accept" and cut.cut_id in accepted:
                shared += 1
            elif cut.decision == "accept":
                changed.append(ChangedCut(cut, _mostly(cut.segment, others)))
    return tuple(sorted(changed, key=lambda one: (-one.cut.segment.duration, one.cut.cut_id))), shared


def _mostly(segment: Segment, cuts: Iterable[Cut]) -> str:
    """The decision over most of the segment's time in `cuts`, or NOWHERE."""
    shares: dict[str, float] = defaultdict(float)
    for cut in cuts:
        both = segment & cut.segment
        shares[cut.decision] += both.duration if both else 0.0
    shares[NOWHERE] = segment.duration - sum(shares.values())
    return max(shares, key=lambda name: shares[name])


def _side(cuts_by_recording: Mapping[str, Sequence[Cut]]) -> Side:
    cuts = [cut for cuts in cuts_by_recording.values() for cut in cuts]
    lengths = np.array([cut.segment.duration for cut in cuts])
    risks = np.array([cut.risk for cut in cuts])
    decisions = np.array([cut.decision for cut in cuts], str)
    totals = {}
    for decision in DECISIONS:
        own = decisions == decision
        totals[decision] = CutTotal(int(own.sum()), float(lengths[own].sum()))
    kept, accepted = decisions != "reject", decisions == "accept"
    chosen = risk_curve(risks[accepted], lengths[accepted])
    return Side(totals, risk_curve(risks[kept], lengths[kept], CURVE_POINTS), chosen[-1] if chosen else None)
