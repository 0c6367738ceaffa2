"""The data of the player: the tracks of a recording as bytes, everything else as plain data for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.catalog.accounting import DECISIONS
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
from manifests.uris import display_path

from ..display.text import outcome_name, plain, recording_title, verdict_name, visible
from ..display.tracks import FLOOR_DBFS, level_share, pool_columns, track_bytes
from .provenance import facts, history

if TYPE_CHECKING:
    from annotation.rounds.review import RecordingState

COLUMNS = 250_000  # of a track at most: beyond 2 h 46 min several cells of the grid share one
BRIDGE_SECONDS = 1.0  # moments nearer than this are one: a jump between them is of no use
MOMENTS = 500  # at most, those with the highest probabilities


@dataclass(frozen=True, eq=False)
class DetectorTracks:
    """The scores of a recording on the grid of HOP seconds; float32 (cells,), NaN where unscored.

    `fused` by contaminant, `detectors` by "detector.label", `level` RMS in dBFS; `tags` every `tag_hop` seconds, the
    strongest first, as names and scores.
    """

    fused: Mapping[str, NDArray[np.float32]]
    detectors: Mapping[str, NDArray[np.float32]]
    level: NDArray[np.float32]
    tag_hop: float
    tags: Sequence[Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class Moment:
    """A moment of risk: a contaminant in [start, end), and the time `at` of its highest probability."""

    label: str
    at: float
    start: float
    end: float
    probability: float


def load_tracks(corpus: Corpus, recording: Recording) -> DetectorTracks | None:
    """The tracks of a recording, cached in memory; None without scores.

    Raises CorpusError for scores or a recipe that this version cannot read.
    """
    if corpus.recipe is None or not recording.duration:
        return None
    folder = corpus.table("scores").folder / recording.recording_id[:2]
    files = sorted(folder.glob(f"{recording.recording_id}-*.parquet"))
    return _load_tracks(corpus, recording, corpus.recipe_hash, stamp(files))


@lru_cache(4)
def _load_tracks(corpus: Corpus, recording: Recording, _recipe_hash: str, _stamp: object) -> DetectorTracks | None:
    try:
        recipe = corpus.active_recipe()
        scores = load_scores(corpus, recording.recording_id, recipe.all_detectors, setup_of(corpus, recipe))
    except (RecipeError, ModelUnavailable, ValueError) as error:
        raise CorpusError(f"scores cannot be read: {error}") from error
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
        detectors={name: _track(scores, name, fused.count) for name in names},
        level=scores["level"].on_grid("rms_dbfs", HOP, fused.count),
        tag_hop=hop,
        tags=tags,
    )


def _track(scores: Mapping[str, FrameScores], name: str, count: int) -> NDArray[np.float32]:
    detector, _, label = name.partition(".")
    return scores[detector].on_grid(label, HOP, count)


def _tags(detector: str, scores: FrameScores) -> tuple[float, list[list[tuple[str, float]]]]:
    """The three strongest tags of about every second."""
    from curation.detectors import audioset, yamnet

    tags = scores.tags
    assert tags is not None
    names = yamnet.class_names() if detector == "yamnet" else audioset.class_names()
    every = max(1, round(1.0 / tags.hop))
    rows = []
    for ids, strengths in zip(tags.ids[::every, :3].tolist(), tags.scores[::every, :3].tolist(), strict=True):
        rows.append([(names[i], round(s, 2)) for i, s in zip(ids, strengths, strict=True) if 0 <= i < len(names)])
    return tags.hop * every, rows


def tracks_as_bytes(corpus: Corpus, recording: Recording) -> bytes:
    """The tracks as the player reads them: the header's length (4 bytes, little-endian), a JSON header, the tracks.

    One byte per column, as `app.display.tracks.track_bytes` writes it. The header names the tracks in their order, and
    has `column` (seconds), `columns`, `tag_hop` and `tags`.
    """
    known = load_tracks(corpus, recording)
    tracks: dict[str, NDArray[np.float32]] = {}
    if known is not None:
        tracks = {**known.fused, **known.detectors, "level": level_share(known.level)}
    packed = [track_bytes(pool_columns(track, COLUMNS)) for track in tracks.values()]
    count = 0 if known is None else len(known.level)
    columns = len(packed[0]) if packed else 0
    header = {
        "tracks": list(tracks),
        "column": HOP * count / columns if columns else HOP,
        "columns": columns,
        "tag_hop": known.tag_hop if known else 0,
        "tags": known.tags if known else [],
    }
    text = json.dumps(header).encode()
    return b"".join([len(text).to_bytes(4, "little"), text, *packed])


def risky_moments(known: DetectorTracks, recipe: Recipe) -> list[Moment]:
    """The moments in which a contaminant reaches its review threshold, in order of time, MOMENTS at most."""
    moments = []
    for label, contaminant in recipe.contaminants.items():
        track = np.nan_to_num(known.fused[label], nan=-1.0)
        for segment in Timeline.from_mask(track >= contaminant.review_threshold, HOP).merge_gaps(BRIDGE_SECONDS):
            first = round(segment.start / HOP)
            cells = track[first : max(round(segment.end / HOP), first + 1)]
            peak = int(np.argmax(cells))
            at = (first + peak + 0.5) * HOP
            moments.append(Moment(label, round(at, 3), segment.start, segment.end, round(float(cells[peak]), 3)))
    riskiest = sorted(moments, key=lambda moment: -moment.probability)[:MOMENTS]
    return sorted(riskiest, key=lambda moment: (moment.at, moment.label))


def player_data(corpus: Corpus, situation: RecordingState, author: str, at: float, visit: int) -> dict[str, Any]:
    """The data of the player that it does not fetch itself; a new `visit` begins at `at` seconds."""
    recording = situation.recording
    recipe, missing, moments = _moments(corpus, recording)
    labels = load_labels()
    return {
        "visit": visit,
        "at": at,
        "recording": {
            "id": recording.recording_id,
            "title": recording_title(recording, situation.sources),
            "place": visible(display_path(recording.uri)),
            "duration": recording.duration or 0.0,
            "video": recording.has_video,
            "sound": bool(recording.channels),
            "status": recording.status,
        },
        "recipe": corpus.recipe_hash or "",
        "names": {name: outcome_name(name) for name in DECISIONS}
        | {name: verdict_name(name) for name in ("keep", "unsure")},
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
        return recipe, "This recording has no scores.", []
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
