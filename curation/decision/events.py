"""From probabilities to events: where something is heard, where sound is missing, where the recording is at fault."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Artifacts, Contaminant, Silence
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline, to_ticks

from .fusion import HOP


def hysteresis(
    probability: NDArray[np.float32],
    *,
    onset: float,
    offset: float,
    min_duration: float = 0.0,
    merge_gap: float = 0.0,
) -> Timeline:
    """Where `probability` (cells of HOP seconds) reaches `onset`, as far as it stays at `offset` or above.

    Runs at most `merge_gap` seconds apart are joined, then those under `min_duration` seconds are dropped. NaN is below
    all.
    """
    lasting = Timeline.from_mask(_at_least(probability, offset), HOP)
    return _reaching(lasting, probability, onset).merge_gaps(merge_gap).at_least(min_duration)


def _at_least(probability: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Cells at the threshold or above; NaN is below all."""
    return np.asarray(np.nan_to_num(probability, nan=-1.0) >= threshold)


def _reaching(timeline: Timeline, probability: NDArray[np.float32], threshold: float) -> Timeline:
    """The segments of `timeline`, on the grid, in which some cell reaches the threshold."""
    reached = np.concatenate([[0], np.cumsum(_at_least(probability, threshold))])

    def count(seconds: float) -> int:
        return int(reached[min(max(to_ticks(seconds, 1 / HOP), 0), len(probability))])

    return Timeline(segment for segment in timeline if count(segment.end) > count(segment.start))


def contaminant_events(probability: NDArray[np.float32], contaminant: Contaminant) -> Timeline:
    """The segments that hold the contaminant."""
    return hysteresis(
        probability,
        onset=contaminant.onset,
        offset=contaminant.offset,
        min_duration=contaminant.min_duration,
        merge_gap=contaminant.merge_gap,
    )


def rejected_events(probability: NDArray[np.float32], events: Timeline, contaminant: Contaminant) -> Timeline:
    """Those of `events` whose probability reaches the recipe's `rejected_events`."""
    return _reaching(events, probability, contaminant.reject_threshold)


def uncertain_time(probability: NDArray[np.float32], contaminant: Contaminant) -> Timeline:
    """What a person has to hear before it can be called free of the contaminant, guard included."""
    return Timeline.from_mask(_at_least(probability, contaminant.review_threshold), HOP).pad(contaminant.review_padding)


def silences(level: FrameScores, silence: Silence) -> Timeline:
    """Stretches quieter than the recipe allows, for as long as it says; and the time before a late first sound."""
    quiet = Timeline.from_mask(level.track("rms_dbfs") < silence.rms_dbfs, level.hop, level.start)
    return quiet.at_least(silence.min_duration) | Timeline(gap for gap in _lost(level) if gap.start == 0)


def faults(level: FrameScores, artifacts: Artifacts) -> Timeline:
    """Sound that could not be decoded, and sound that breaks off and comes back: dropouts, from `dropout_min` on."""
    inside = np.nan_to_num(level.track("dropout"))
    until = np.concatenate([[0.0], np.cumsum(inside, dtype=np.float64)]) * level.hop

    def lost(hole: Segment) -> float:
        """Seconds of the hole that the dropout takes: its first and last frame are only partly in it."""
        first, end = (to_ticks(t - level.start, 1 / level.hop) for t in (hole.start, hole.end))
        return float(until[end] - until[first])

    holes = Timeline.from_mask(inside > 0, level.hop, level.start)
    long = [hole for hole in holes if lost(hole) >= artifacts.dropout_min - level.hop / 40]
    return Timeline(gap for gap in _lost(level) if gap.start > 0) | Timeline(long)


def _lost(level: FrameScores) -> Timeline:
    """Where no sound was decoded."""
    return Timeline.from_mask(level.track("gap") > 0, level.hop, level.start)
