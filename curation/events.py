"""From probabilities to events: where something is heard, where sound is missing, where the recording is at fault."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Artifacts, Contaminant, Silence
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline

from .fusion import HOP


def hysteresis(
    probability: NDArray[np.float32],
    *,
    onset: float,
    offset: float,
    min_duration: float = 0.0,
    bridge: float = 0.0,
) -> Timeline:
    """Where `probability` (cells of HOP seconds) reaches `onset`, as far as it stays at `offset` or above.

    Runs at most `bridge` seconds apart are joined, then those under `min_duration` seconds are dropped. NaN is below
    all.
    """
    known = np.nan_to_num(probability, nan=-1.0)
    edges = np.flatnonzero(np.diff(known >= offset, prepend=False, append=False))
    reached = np.concatenate([[0], np.cumsum(known >= onset)])
    begun = (
        Segment(first * HOP, end * HOP)
        for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        if reached[end] > reached[first]
    )
    return Timeline(begun).bridge(bridge).at_least(min_duration)


def contaminant_events(probability: NDArray[np.float32], contaminant: Contaminant) -> Timeline:
    """The segments that hold the contaminant."""
    return hysteresis(
        probability,
        onset=contaminant.onset,
        offset=contaminant.offset,
        min_duration=contaminant.min_duration,
        bridge=contaminant.bridge,
    )


def certain(probability: NDArray[np.float32], events: Timeline, contaminant: Contaminant) -> Timeline:
    """Those of `events` whose probability reaches the recipe's `certain`."""
    sure = Timeline.from_mask(np.nan_to_num(probability, nan=-1.0) >= contaminant.certain, HOP)
    return Timeline(event for event in events if sure.overlapping(event))


def doubts(probability: NDArray[np.float32], contaminant: Contaminant) -> Timeline:
    """What a person has to hear before it can be called free of the contaminant, guard included."""
    doubtful = Timeline.from_mask(np.nan_to_num(probability, nan=-1.0) >= contaminant.doubt, HOP)
    return doubtful.pad(contaminant.doubt_guard)


def silences(level: FrameScores, silence: Silence) -> Timeline:
    """Stretches quieter than the recipe allows, for as long as it says; and the time before a late first sound."""
    quiet = Timeline.from_mask(level.lane("rms_dbfs") < silence.rms_dbfs, level.hop, level.start)
    return quiet.at_least(silence.min_duration) | Timeline(gap for gap in _lost(level) if gap.start == 0)


def faults(level: FrameScores, artifacts: Artifacts, silence: Silence) -> Timeline:
    """Short digital silence in the midst of sound, and sound that could not be decoded.

    Exact zeros beside sound are no recording's quiet: a packet was lost or an edit left a hole.
    """
    zero = Timeline.from_mask(level.lane("zero") >= 1, level.hop, level.start)
    loud = Timeline.from_mask(level.lane("rms_dbfs") >= artifacts.dropout_beside_dbfs, level.hop, level.start)
    reach = 2 * level.hop
    holes = [
        hole
        for hole in zero.at_least(artifacts.dropout_min)
        if hole.duration < silence.min_duration
        and loud.overlapping(Segment(hole.start - reach, hole.start))
        and loud.overlapping(Segment(hole.end, hole.end + reach))
    ]
    return Timeline(gap for gap in _lost(level) if gap.start > 0) | Timeline(holes)


def _lost(level: FrameScores) -> Timeline:
    """Where no sound was decoded."""
    return Timeline.from_mask(level.lane("gap") > 0, level.hop, level.start)
