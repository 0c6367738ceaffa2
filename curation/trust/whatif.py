"""What if the thresholds were others: a corpus decided again from cached scores, beside what it is. Writes nothing."""

from __future__ import annotations

import math
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
from ..detectors import PICTURE, ModelSetup
from ..detectors.score_store import load_scores, setup_of
from ..duplicates.corpus_index import Copies, known_copies

MEASURING = ("level", "signal", PICTURE)  # whose scores are looked at beside the fused probabilities
CACHE_BYTES = 2**30
CURVE_POINTS = 200
NOWHERE = "no cut"
# what a slider may change of a contaminant: nothing of it goes into the fused probabilities
THRESHOLDS = ("review_threshold", "offset", "onset", "reject_threshold")


@dataclass(frozen=True)
class RiskPoint:
    """Taking all cuts up to `threshold` of risk gives `seconds`; `worst` and `mean` are the risk of those seconds."""

    threshold: float
    seconds: float
    worst: float
    mean: float


@dataclass(frozen=True)
class ChangedCut:
    """A cut accepted on one side only; `other`: what most of its time is on the other, a decision or NOWHERE."""

    cut: Cut
    other: str


@dataclass(frozen=True)
class Side:
    """One of the two sides: its cuts by decision, yield against risk, and the point that the recipe chose on it."""

    totals: Mapping[CutDecision, CutTotal]
    curve: tuple[RiskPoint, ...] = field(repr=False)
    chosen: RiskPoint


@dataclass(frozen=True)
class Comparison:
    """A corpus as it is, and as it would be.

    `gained` and `lost`: accepted cuts that come and go, the longest first; `kept`: how many accepted cuts stay. Of
    `of` recordings `recordings` were decided again; `unscored` lack scores that the recipe asks for.
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
    """The recipe with other thresholds (by contaminant, those of THRESHOLDS) and lengths of cuts (fields of Spans).

    Raises ValueError for such as contradict each other.
    """
    contaminants: dict[ContaminantName, Contaminant] = dict(recipe.contaminants)
    for one, values in thresholds.items():
        unknown = sorted(values.keys() - set(THRESHOLDS))
        if unknown:
            raise ValueError(f"{one}: {unknown[0]} is none of {', '.join(THRESHOLDS)}")
        changes: dict[str, Any] = dict(values)
        try:
            contaminants[one] = replace(contaminants[one], **changes)
        except ValueError as error:
            raise ValueError(f"{one}: {error}") from error
    lengths: dict[str, Any] = dict(spans)
    return replace(recipe, name=name or recipe.name, contaminants=contaminants, spans=replace(recipe.spans, **lengths))


def as_toml(recipe: Recipe) -> str:
    """The recipe as a file that `load_recipe` reads, whole: it extends nothing."""
    return tomli_w.dumps(recipe.settings())


@dataclass(frozen=True)
class _Ready:
    """A recording whose scores are fused, with those that cuts are measured by."""

    fused: Fused
    scores: Mapping[str, FrameScores]

    @property
    def bytes(self) -> int:
        lanes: list[NDArray[Any]] = [
            *self.fused.lower.values(),
            *self.fused.upper.values(),
            *(one.values for one in self.scores.values()),
        ]
        return sum({id(lane): lane.nbytes for lane in lanes}.values())


@dataclass(frozen=True)
class _State:
    """What of the corpus does not depend on the recipe, and the files it was read from."""

    stamp: tuple[object, ...]
    recordings: Sequence[Recording]
    of: int
    evidence: Mapping[str, HumanEvidence]
    copies: Copies
    before: Mapping[str, Sequence[Cut]]


class WhatIf:
    """A corpus ready to be decided again under one recipe after the other.

    Fused probabilities are kept in memory (`cache_bytes` at most), so that only the first time is slow; changes on disk
    are noticed. `max_seconds`: of sound, at most; more is left out by drawing recordings by their ids, always the same.
    """

    def __init__(self, corpus: Corpus, max_seconds: float | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        self.corpus = corpus
        self._max_seconds = max_seconds
        self._cache_bytes = cache_bytes
        self._ready: OrderedDict[tuple[str, str], _Ready | None] = OrderedDict()
        self._held = 0
        self._state: _State | None = None
        self._alone = Lock()  # a browser's visitors share one

    def changed(self, recipe: Recipe, on_progress: Callable[[float], None] | None = None) -> Comparison:
        """What `recipe` would make of the corpus, beside what the tables say; `on_progress` is told the share done.

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
                ready = self._prepared(recording, recipe, setup, key)
                if ready is None:
                    unscored += 1
                else:
                    copied = state.copies.cut_away.get(name, Timeline.EMPTY)
                    people = state.evidence.get(name, NO_EVIDENCE)
                    drafted = draft(recording, ready.fused, ready.scores, recipe, copied, people)
                    after[name] = finished_cuts(drafted, ready.scores.get(PICTURE))
                if on_progress:
                    on_progress(number / len(state.recordings))
            gained, kept = _moved(after, state.before)
            lost, _ = _moved(state.before, after)
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
        return self._state

    def _prepared(self, recording: Recording, recipe: Recipe, setup: ModelSetup, key: str) -> _Ready | None:
        """The recording's probabilities, from memory where they are; None without the scores they need."""
        name = (recording.recording_id, key)
        if name in self._ready:
            self._ready.move_to_end(name)
            return self._ready[name]
        found = _load(self.corpus, recording, recipe, setup)
        self._ready[name] = found
        self._held += found.bytes if found else 0
        while self._held > self._cache_bytes and len(self._ready) > 1:
            _, oldest = self._ready.popitem(last=False)
            self._held -= oldest.bytes if oldest else 0
        return found


def _load(corpus: Corpus, recording: Recording, recipe: Recipe, setup: ModelSetup) -> _Ready | None:
    try:
        scores = load_scores(corpus, recording.recording_id, (*recipe.all_detectors, PICTURE), setup)
    except ValueError:
        return None  # a run says what is wrong with them
    if any(name not in scores for name in recipe.detectors):
        return None
    fused = fuse(scores, recipe, recording.duration or 0.0)
    return _Ready(fused, {name: replace(scores[name], tags=None) for name in MEASURING if name in scores})


def _fusion_key(recipe: Recipe, setup: ModelSetup) -> str:
    """What the fused probabilities depend on."""
    parts = {
        name: [one.smoothing, _plain(one.evidence), _plain(one.suppressed_by)]
        for name, one in recipe.contaminants.items()
    }
    return digest(recipe.all_detectors, parts, setup.weights, setup.runtimes, setup.active)


def _plain(lanes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asdict(one) for name, one in lanes.items()}


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
    """As many recordings as `max_seconds` allows, at least one, drawn by their ids."""
    lots = sorted(recordings, key=lambda row: digest("whatif", row.recording_id))
    until = np.cumsum([row.duration or 0.0 for row in lots])
    count = len(lots) if max_seconds is None else max(1, int(np.searchsorted(until, max_seconds, side="right")))
    return lots[:count]


def _moved(here: Mapping[str, Sequence[Cut]], there: Mapping[str, Sequence[Cut]]) -> tuple[tuple[ChangedCut, ...], int]:
    """The accepted cuts that are so `here` alone, the longest first, and how many are on both sides."""
    moved, shared = [], 0
    for name, cuts in here.items():
        others = there.get(name, ())
        accepted = {cut.cut_id for cut in others if cut.decision == "accept"}
        for cut in cuts:
            if cut.decision == "accept" and cut.cut_id in accepted:
                shared += 1
            elif cut.decision == "accept":
                moved.append(ChangedCut(cut, _mostly(cut.segment, others)))
    return tuple(sorted(moved, key=lambda one: (-one.cut.segment.duration, one.cut.cut_id))), shared


def _mostly(segment: Segment, cuts: Iterable[Cut]) -> str:
    """What most of the segment's time is in `cuts`: a decision, or NOWHERE."""
    shares: dict[str, float] = defaultdict(float)
    for cut in cuts:
        both = segment & cut.segment
        shares[cut.decision] += both.duration if both else 0.0
    shares[NOWHERE] = segment.duration - sum(shares.values())
    return max(shares, key=lambda name: shares[name])


def _side(cuts_by_recording: Mapping[str, Sequence[Cut]]) -> Side:
    cuts = [cut for cuts in cuts_by_recording.values() for cut in cuts]
    totals: dict[CutDecision, CutTotal] = {}
    for decision in DECISIONS:
        lengths = [cut.segment.duration for cut in cuts if cut.decision == decision]
        totals[decision] = CutTotal(len(lengths), math.fsum(lengths))
    accepted = risk_curve([cut for cut in cuts if cut.decision == "accept"])
    curve = risk_curve([cut for cut in cuts if cut.decision != "reject"])
    return Side(totals, _thinned(curve), accepted[-1] if accepted else RiskPoint(0.0, 0.0, 0.0, 0.0))


def risk_curve(cuts: Iterable[Cut]) -> tuple[RiskPoint, ...]:
    """Yield against risk: a point for each risk there is among the cuts, rising."""
    rows = sorted((round(cut.risk, 4), cut.segment.duration) for cut in cuts)
    if not rows:
        return ()
    risks, lengths = np.array(rows).T
    seconds = np.cumsum(lengths)
    mean = np.cumsum(risks * lengths) / seconds
    last = np.append(risks[1:] != risks[:-1], True)  # of cuts of one risk none is taken without the others
    return tuple(
        RiskPoint(float(risks[at]), float(seconds[at]), float(risks[at]), float(mean[at]))
        for at in np.flatnonzero(last)
    )


def _thinned(curve: tuple[RiskPoint, ...]) -> tuple[RiskPoint, ...]:
    chosen = np.unique(np.linspace(0, len(curve) - 1, CURVE_POINTS).round().astype(int)) if curve else []
    return tuple(curve[at] for at in chosen)
