"""Detects events: converts probabilities to contaminant events, and levels to silences and faults."""

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
    """Segments in which `probability` (cells of HOP seconds) reaches `onset`, as far as it stays at or above `offset`.

    Segments at most `merge_gap` seconds apart are merged, then those under `min_duration` seconds are dropped. NaN is
    below all thresholds.
    """
    lasting = Timeline.from_mask(_at_least(probability, offset), HOP)
    return _segments_reaching(lasting, probability, onset).merge_gaps(merge_gap).at_least(min_duration)


def _at_least(probability: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Cells at or above the threshold; NaN is below all."""
    return np.asarray(np.nan_to_num(probability, nan=-1.0) >= threshold)


def _segments_reaching(timeline: Timeline, probability: NDArray[np.float32], threshold: float) -> Timeline:
    """The segments of `timeline`, on the grid, in which some cell reaches the threshold."""
    counts = np.concatenate([[0], np.cumsum(_at_least(probability, threshold))])

    def count(seconds: float) -> int:
        return int(counts[min(max(to_ticks(seconds, 1 / HOP), 0), len(probability))])

    return Timeline(segment for segment in timeline if count(segment.end) > count(segment.start))


def contaminant_events(probability: NDArray[np.float32], contaminant: Contaminant) -> Timeline:
    """The segments that contain the contaminant."""
    return hysteresis(
        probability,
        onset=contaminant.onset,
        offset=contaminant.offset,
        min_duration=contaminant.min_duration,
        merge_gap=contaminant.merge_gap,
    )


def rejected_events(probability: NDArray[np.float32], events: Timeline, contaminant: Contaminant) -> Timeline:
    """Those of `events` whose probability reaches the recipe's reject threshold."""
    return _segments_reaching(events, probability, contaminant.reject_threshold)


def uncertain_time(probability: NDArray[np.float32], contaminant: Contaminant) -> Timeline:
    """The time that a person must judge before it counts as free of the contaminant, with the review padding."""
    return Timeline.from_mask(_at_least(probability, contaminant.review_threshold), HOP).pad(contaminant.review_padding)


def silences(level: FrameScores, silence: Silence) -> Timeline:
    """The silences of a recording.

    Segments quieter than the recipe's limit for at least its duration, and the time before audio that starts late.
    """
    quiet = Timeline.from_mask(level.track("rms_dbfs") < silence.rms_dbfs, level.hop, level.start)
    return quiet.at_least(silence.min_duration) | Timeline(gap for gap in _lost(level) if gap.start == 0)


def faults(level: FrameScores, artifacts: Artifacts) -> Timeline:
    """Audio that could not be decoded after the start, and dropouts of at least `dropout_min` seconds."""
    inside = np.nan_to_num(level.track("dropout"))
    until = np.concatenate([[0.0], np.cumsum(inside, dtype=np.float64)]) * level.hop

    def lost(hole: Segment) -> float:
        """Seconds of the dropout in `hole`: it covers the first and last frame only in part."""
        first, end = (to_ticks(t - level.start, 1 / level.hop) for t in (hole.start, hole.end))
        return float(until[end] - until[first])

    holes = Timeline.from_mask(inside > 0, level.hop, level.start)
    long = [hole for hole in holes if lost(hole) >= artifacts.dropout_min - level.hop / 40]
    return Timeline(gap for gap in _lost(level) if gap.start > 0) | Timeline(long)


def _lost(level: FrameScores) -> Timeline:
    """The time without decoded audio."""
    return Timeline.from_mask(level.track("gap") > 0, level.hop, level.start)
