"""Labelled recordings, and the rows of levels and labels that weights are fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from manifests.errors import LpseError
from manifests.identity import digest
from manifests.recipe import Contaminant, Integrated, Recipe
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline, to_ms

from ...decision.fusion import HOP, Grids, cell_count, logit, moving_mean, silent_cells, track_bounds
from ...decision.integration import Levels

WINDOWS = (0.0, 1.0, 5.0, 20.0, 60.0)
PAUSE = 3.0  # seconds: parts of an event are at most this far apart


class FitError(LpseError, ValueError):
    """Data or a recipe that nothing can be fitted to; the message is one line."""


@dataclass(frozen=True)
class LabelledRecording:
    """A recording of known content: its scores by detector, `level` among them, and the time of each contaminant.

    `truth` names every contaminant that is fitted; an empty timeline means that the recording has none of it.
    """

    name: str
    duration: float
    scores: Mapping[str, FrameScores] = field(repr=False)
    truth: Mapping[str, Timeline] = field(repr=False)

    @property
    def whole(self) -> Segment:
        """The time of the recording."""
        return Segment(0.0, self.duration)

    @property
    def count(self) -> int:
        """Number of grid cells."""
        return cell_count(self.duration)

    def key(self) -> str:
        """16 hex digits over its name, duration and labels."""
        labels = {name: timeline.ms_pairs() for name, timeline in self.truth.items()}
        return digest(self.name, to_ms(self.duration), labels)


def candidate_levels(
    tracks: Sequence[str], relative: Sequence[str] = (), windows: Sequence[float] = WINDOWS
) -> tuple[Integrated, ...]:
    """The levels that a fit may use, of weight 1: of each track over all windows, against nothing.

    For the tracks in `relative`, which must be of detectors that score whole recordings, also the rise over the
    recording's own level in each window above 0, the level of segments, and the rise of segments.
    """
    found = [Integrated(track, 1.0, window=window) for track in tracks for window in windows]
    for track in relative:
        found += [Integrated(track, 1.0, window=window, against="recording") for window in windows if window]
        found += [
            Integrated(track, 1.0, over="segment"),
            Integrated(track, 1.0, over="segment", against="recording"),
        ]
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one contaminant, of all recordings.

    `features`: (rows, levels and suppressors); `labels`: whether the row is contaminated; `weights`: see `rows_of`, and
    rows near an edge of an event have 0; `recording`: index of the row's recording.
    """

    features: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.bool_] = field(repr=False)
    weights: NDArray[np.float64] = field(repr=False)
    recording: NDArray[np.int64] = field(repr=False)


def levels_of(recording: LabelledRecording, recipe: Recipe) -> Levels:
    """The levels of a recording as the recipe's fusion computes them. Raises FitError without scores of `level`."""
    if "level" not in recording.scores:
        raise FitError(f"{recording.name}: no scores of level, which the own level of a recording and its end need")
    return Levels(recipe.integration, silent_cells(recording.scores["level"], recipe, recording.count))


def features_of(
    recording: LabelledRecording,
    candidates: Sequence[Integrated],
    suppressors: Mapping[str, float],
    contaminant: Contaminant,
    recipe: Recipe,
) -> NDArray[np.float32]:
    """The candidates' levels and the suppressors' log-odds, negative, on the grid: (cells, features); NaN if unscored.

    Raises FitError for a track without scores.
    """
    levels, grids, count = levels_of(recording, recipe), Grids(), recording.count

    def track(name: str) -> NDArray[np.float32]:
        detector, _, label = name.partition(".")
        if detector not in recording.scores or label not in recording.scores[detector].labels:
            raise FitError(f"{recording.name}: no scores of {name}")
        low, high = track_bounds(recording.scores, name, count, grids)
        return low if low is high else np.where(low == high, low, np.float32(np.nan))  # a pending score is unknown

    columns = []
    for one in candidates:
        odds = track(one.track)
        columns.append(levels.bounds(one, odds, odds)[0])
    for name, floor in suppressors.items():
        explained = np.maximum(logit(track(name)) - logit(floor), 0)
        columns.append(-moving_mean(explained, round(contaminant.smoothing / HOP)))
    return np.stack(columns, axis=1)


def far_from_edges(recording: LabelledRecording, name: str, edge_seconds: float) -> NDArray[np.bool_]:
    """Grid cells at least `edge_seconds` from the edges of the contaminant's events, shape (cells,).

    The ends of the recording are no edges.
    """
    edges = [end for one in recording.truth[name].crop(recording.whole) for end in (one.start, one.end)]
    inner = [edge for edge in edges if 0.0 < edge < recording.duration]
    near = Timeline(Segment(edge - edge_seconds, edge + edge_seconds) for edge in inner) if edge_seconds else Timeline()
    return ~near.mask(HOP, recording.count)


def event_seconds(recording: LabelledRecording, name: str) -> NDArray[np.float64]:
    """The length in seconds of the event at each grid cell, 0 outside events, shape (cells,).

    Parts of an event up to PAUSE apart are one.
    """
    found = np.zeros(recording.count)
    for event in recording.truth[name].crop(recording.whole).merge_gaps(PAUSE):
        found[Timeline([event]).mask(HOP, recording.count)] = event.duration
    return found


def rows_of(
    recordings: Sequence[LabelledRecording],
    name: str,
    candidates: Sequence[Integrated],
    suppressors: Mapping[str, float],
    recipe: Recipe,
    *,
    step_seconds: float,
    edge_seconds: float,
) -> Rows:
    """The rows of a contaminant, one each `step_seconds`; cells without a score of some track are left out.

    The weights of a recording add up to 1. Then those of contaminated rows are divided by the square root of the length
    of their event, and scaled to the sum that they had: else a fit would give nearly all weight to long windows, in
    which short events vanish.
    """
    contaminant = recipe.contaminants[name]  # type: ignore[index]
    every = max(1, round(step_seconds / HOP))
    features, labels, weights, lengths, numbers = [], [], [], [], []
    for number, recording in enumerate(recordings):
        cells = slice(every // 2, None, every)
        found = features_of(recording, candidates, suppressors, contaminant, recipe)[cells]
        known = ~np.isnan(found).any(axis=1)
        inside = far_from_edges(recording, name, edge_seconds)[cells][known]
        features.append(found[known])
        labels.append(recording.truth[name].mask(HOP, recording.count)[cells][known])
        weights.append(inside / max(1, int(inside.sum())))
        lengths.append(event_seconds(recording, name)[cells][known])
        numbers.append(np.full(len(inside), number, np.int64))
    dirty, by_time = np.concatenate(labels), np.concatenate(weights).astype(np.float64)
    by_event = by_time / np.sqrt(np.maximum(np.concatenate(lengths), step_seconds))
    scale = by_time[dirty].sum() / max(float(by_event[dirty].sum()), 1e-12)
    return Rows(np.concatenate(features), dirty, np.where(dirty, by_event * scale, by_time), np.concatenate(numbers))
