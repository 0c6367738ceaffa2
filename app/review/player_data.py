"""A recording as the player shows it: its lanes as bytes, everything else as plain data that JSON can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.decision.fusion import HOP, fuse
from curation.detectors import ModelUnavailable
from curation.detectors.score_store import load_scores, setup_of
from manifests.files import stamp
from manifests.labels import load_labels
from manifests.recipe import Recipe, RecipeError
from manifests.records import Annotation, Cut, Event, Recording, Verdict
from manifests.schema import CorpusError
from manifests.scores import PHYSICAL, FrameScores
from manifests.store import Corpus
from manifests.time import Timeline

from ..display.lanes import pool_columns
from ..display.text import display_path, plain, visible
from .provenance import facts, history
from .recordings import title

if TYPE_CHECKING:
    from annotation.rounds.review import RecordingState

COLUMNS = 250_000  # of a lane at most: beyond 2 h 46 min several cells of the grid share one
FLOOR_DBFS = -100.0
BRIDGE_SECONDS = 1.0  # moments as near as that are one: nobody jumps between them
MOMENTS = 500  # the likeliest, where there are more


@dataclass(frozen=True, eq=False)
class DetectorTracks:
    """What the detectors heard of a recording, on the grid of HOP seconds; float32 (cells,), NaN where unscored.

    `fused` by contaminant, `detectors` by "detector.label", `level` RMS in dBFS; `tags` every `tag_hop` seconds, the
    best first, as names and strengths.
    """

    fused: Mapping[str, NDArray[np.float32]]
    detectors: Mapping[str, NDArray[np.float32]]
    level: NDArray[np.float32]
    tag_hop: float
    tags: Sequence[Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class Moment:
    """Where a contaminant may be heard: its likeliest second in [start, end), and how likely it is there."""

    label: str
    at: float
    start: float
    end: float
    probability: float


def load_tracks(corpus: Corpus, recording: Recording) -> DetectorTracks | None:
    """What was heard of it, kept in memory for the next question; None where nobody heard it.

    Raises CorpusError for scores or a recipe that this version cannot read.
    """
    if corpus.recipe is None or not recording.duration:
        return None
    folder = corpus.table("scores").folder / recording.recording_id[:2]
    files = sorted(folder.glob(f"{recording.recording_id}-*.parquet"))
    return _heard(corpus, recording, corpus.recipe_hash, stamp(files))


@lru_cache(4)
def _heard(corpus: Corpus, recording: Recording, _recipe_hash: str, _stamp: object) -> DetectorTracks | None:
    try:
        recipe = corpus.active_recipe()
        scores = load_scores(corpus, recording.recording_id, recipe.all_detectors, setup_of(corpus, recipe))
    except (RecipeError, ModelUnavailable, ValueError) as error:
        raise CorpusError(f"its scores cannot be read: {error}") from error
    if "level" not in scores:
        return None
    fused = fuse(scores, recipe, recording.duration or 0.0)
    names = [
        f"{detector}.{label}"
        for label in (*recipe.contaminants, "silence")
        for detector in scores
        if detector not in PHYSICAL and label in scores[detector].labels
    ]
    tagged = next((name for name in reversed(recipe.all_detectors) if name in scores and scores[name].tags), None)
    hop, tags = (0.0, []) if tagged is None else _tags(tagged, scores[tagged])
    return DetectorTracks(
        fused=fused.lower,
        detectors={name: _lane(scores, name, fused.count) for name in names},
        level=scores["level"].on_grid("rms_dbfs", HOP, fused.count),
        tag_hop=hop,
        tags=tags,
    )


def _lane(scores: Mapping[str, FrameScores], name: str, count: int) -> NDArray[np.float32]:
    detector, _, label = name.partition(".")
    return scores[detector].on_grid(label, HOP, count)


def _tags(detector: str, scores: FrameScores) -> tuple[float, list[list[tuple[str, float]]]]:
    """The three best tags of every second or so."""
    from curation.detectors import audioset, yamnet

    tags = scores.tags
    assert tags is not None
    names = yamnet.class_names() if detector == "yamnet" else audioset.class_names()
    every = max(1, round(1.0 / tags.hop))
    rows = []
    for ids, strengths in zip(tags.ids[::every, :3].tolist(), tags.scores[::every, :3].tolist(), strict=True):
        rows.append([(names[i], round(s, 2)) for i, s in zip(ids, strengths, strict=True) if 0 <= i < len(names)])
    return tags.hop * every, rows


def lanes_as_bytes(corpus: Corpus, recording: Recording) -> bytes:
    """The lanes as the player reads them: the header's length (4 bytes, little-endian), a JSON header, the lanes.

    One byte a column: 0 is unscored, 1 to 255 are 0 to 1, or FLOOR_DBFS to 0 dBFS. The header names the lanes in
    their order, and has `column` (seconds), `columns`, `tag_hop` and `tags`.
    """
    known = load_tracks(corpus, recording)
    lanes: dict[str, NDArray[np.float32]] = {}
    if known is not None:
        lanes = {**known.fused, **known.detectors, "level": 1 - known.level / FLOOR_DBFS}
    packed = [_bytes(pool_columns(lane, COLUMNS)) for lane in lanes.values()]
    count = 0 if known is None else len(known.level)
    columns = len(packed[0]) if packed else 0
    header = {
        "lanes": list(lanes),
        "column": HOP * count / columns if columns else HOP,
        "columns": columns,
        "tag_hop": known.tag_hop if known else 0,
        "tags": known.tags if known else [],
    }
    text = json.dumps(header).encode()
    return b"".join([len(text).to_bytes(4, "little"), text, *packed])


def _bytes(lane: NDArray[np.float32]) -> bytes:
    # a probability that reaches a threshold must not fall below it: rounded up
    steps = np.ceil(np.clip(np.nan_to_num(lane), 0, 1) * 254) + 1
    return np.where(np.isnan(lane), 0, steps).astype(np.uint8).tobytes()


def risky_moments(known: DetectorTracks, recipe: Recipe) -> list[Moment]:
    """The moments in which a contaminant reaches the recipe's doubt, in time order: the likeliest MOMENTS of them."""
    found = []
    for label, contaminant in recipe.contaminants.items():
        lane = np.nan_to_num(known.fused[label], nan=-1.0)
        for segment in Timeline.from_mask(lane >= contaminant.review_threshold, HOP).merge_gaps(BRIDGE_SECONDS):
            first = round(segment.start / HOP)
            here = lane[first : max(round(segment.end / HOP), first + 1)]
            peak = int(np.argmax(here))
            at = (first + peak + 0.5) * HOP
            found.append(Moment(label, round(at, 3), segment.start, segment.end, round(float(here[peak]), 3)))
    likeliest = sorted(found, key=lambda moment: -moment.probability)[:MOMENTS]
    return sorted(likeliest, key=lambda moment: (moment.at, moment.label))


def player_data(corpus: Corpus, situation: RecordingState, author: str, at: float, visit: int) -> dict[str, Any]:
    """All that the player shows of a situation, but for what it fetches; `at` seconds is where a new `visit` begins."""
    recording = situation.recording
    recipe, missing, moments = _moments(corpus, recording)
    labels = load_labels()
    return {
        "visit": visit,
        "at": at,
        "recording": {
            "id": recording.recording_id,
            "title": title(recording, situation.sources),
            "place": visible(display_path(recording.uri)),
            "duration": recording.duration or 0.0,
            "video": recording.has_video,
            "sound": bool(recording.channels),
            "status": recording.status,
        },
        "recipe": corpus.recipe_hash or "",
        "colours": {label.name: label.colour for label in labels},
        "reasons": [
            [name, reason.description]
            for name, reason in labels.reasons.items()
            if recording.has_video or not reason.picture
        ],
        "limits": _limits(recipe),
        "missing": missing,
        "cuts": [_cut(cut) for cut in sorted(situation.cuts, key=lambda cut: (cut.start, cut.end))],
        "events": [_event(event) for event in situation.events],
        "regions": [region for row in situation.annotations for region in _regions(row)],
        "decided": [_decided(row) for row in situation.verdicts if row.decision != "open"],
        "moments": [[m.label, m.at, m.start, m.end, m.probability] for m in moments],
        "history": history(situation, author),
        "facts": facts(corpus, situation, recipe),
        "drops": [f"{plain(drop.reason)}: {visible(drop.detail or '')}".rstrip(": ") for drop in situation.drops],
    }


def _moments(corpus: Corpus, recording: Recording) -> tuple[Recipe | None, str, list[Moment]]:
    try:
        recipe = corpus.active_recipe()
        known = load_tracks(corpus, recording)
    except (CorpusError, RecipeError) as error:
        return None, f"{error}", []
    if known is None:
        return recipe, "No detector heard this recording.", []
    return recipe, "", risky_moments(known, recipe)


def _limits(recipe: Recipe | None) -> dict[str, Any]:
    if recipe is None:
        return {"contaminants": {}, "silence": -65.0, "floor": FLOOR_DBFS, "min_duration": 0.0}
    return {
        "contaminants": {name: [one.review_threshold, one.onset] for name, one in recipe.contaminants.items()},
        "silence": recipe.silence.rms_dbfs,
        "floor": FLOOR_DBFS,
        "min_duration": recipe.spans.min_duration,
    }


def _cut(cut: Cut) -> dict[str, Any]:
    return {
        "id": cut.cut_id,
        "start": cut.start,
        "end": cut.end,
        "decision": cut.decision,
        "reasons": [plain(reason) for reason in cut.reasons],
        "risk": round(cut.risk, 3),
        "parent": cut.parent_cut_id,
    }


def _event(event: Event) -> list[Any]:
    score = None if event.score is None else round(event.score, 3)
    return [event.label, event.start, event.end, visible(event.source), score]


def _regions(row: Annotation) -> list[list[Any]]:
    who = visible(row.annotator)
    return [[region.label, region.start, region.end, who, visible(region.description or "")] for region in row.regions]


def _decided(row: Verdict) -> list[Any]:
    excised = [[one.start, one.end, one.label] for one in row.excised]
    return [row.decision, row.start_ms / 1000, row.end_ms / 1000, visible(row.author), excised]
