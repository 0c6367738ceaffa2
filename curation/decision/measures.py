"""Measures the signal quality of any span of a recording from stored scores, without reading media."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from manifests.records import Measured
from manifests.scores import FrameScores
from manifests.time import Segment, to_ticks

GATE_LUFS, GATE_LU = -70.0, -10.0  # BS.1770-4: absolute, and relative to the mean of the blocks that pass the first
SOUNDING_LUFS = -60.0  # from this level channels can be compared
DEAD_SHARE = 0.1  # of the sounding time: detects a channel that dies near the end
COPIED_SHARE = 0.5
LOSS_PERCENTILE = 90.0
BAND_PERCENTILE = 90.0
CLIFF_SHARE = 0.1  # of the sounding seconds that must end at a cliff
BEYOND, BEYOND_SHARE = (
    1.25,
    0.2,
)  # a cliff is refuted by content above it: this factor above, in this share of its seconds
DC_TRIM = 0.25  # at either end: infrasound moves the mean of a second


def measure(scores: Mapping[str, FrameScores], segment: Segment) -> Measured:
    """The measures of a span, from the scores of `level`, `signal` and `picture`; None without scores.

    Frames count if they begin in the span, loudness blocks if they lie in it. `dropouts` and `scene_cuts` are per
    minute.
    """
    return with_video(measure_audio(scores, segment), scores.get("picture"), segment)


def measure_audio(scores: Mapping[str, FrameScores], segment: Segment) -> Measured:
    """The measures of a span's audio, from the scores of `level` and `signal`."""
    return AudioMeasures(scores.get("level"), scores.get("signal")).over(segment)


@dataclass(frozen=True, eq=False)
class AudioMeasures:
    """Measures spans of one recording's audio, from the scores of `level` and `signal`."""

    level: FrameScores | None
    signal: FrameScores | None

    def over(self, segment: Segment) -> Measured:
        """The measures of a span."""
        level, signal = _Part(self.level, segment), _Part(self.signal, segment)
        sounding = signal.track("loudness_lufs") > SOUNDING_LUFS
        dropout = level.track("dropout") > 0
        starts = int(np.count_nonzero(dropout & ~np.append(False, dropout[:-1])))
        return Measured(
            loudness_lufs=integrated_loudness(_blocks_inside(self.signal, segment)),
            clipped=_mean(level.track("clipped")),
            bandwidth_hz=self._bandwidth(level),
            dc=_offset(signal.track("dc")),
            dead_channels=_count(signal.track("dead"), sounding, DEAD_SHARE),
            copied_channels=_count(signal.track("copied"), sounding, COPIED_SHARE),
            mono_loss_db=_percentile(signal.track("mono_loss_db"), sounding, LOSS_PERCENTILE),
            dropouts=None if not len(dropout) else starts * 60 / segment.duration,
        )

    @cached_property
    def _top_khz(self) -> float:
        """The bandwidth of a second without a cliff, in kHz; if every second has a cliff, the highest of them."""
        return float(np.nanmax(self.level.track("bandwidth_khz"))) if self.level else 0.0

    def _bandwidth(self, level: _Part) -> float | None:
        """The end of the spectrum in Hz: the cliff that nearly all sounding seconds respect, else half the sample rate.

        A cliff in only a few seconds, or one that other seconds exceed, comes from a codec that discarded parts of dull
        audio.
        """
        bandwidth, edge = level.track("bandwidth_khz"), level.track("edge_khz")
        if not len(bandwidth):
            return None
        whole = self._top_khz
        sounding = edge > 0
        cliffs = bandwidth[sounding & (bandwidth < whole)]
        if len(cliffs) < max(CLIFF_SHARE * np.count_nonzero(sounding), 1):
            return 1000 * whole
        end = float(np.percentile(cliffs, BAND_PERCENTILE))
        beyond = np.count_nonzero(edge[sounding & (bandwidth >= whole)] > BEYOND * end)
        return 1000 * (end if beyond <= BEYOND_SHARE * len(cliffs) else whole)


class _Part:
    """The scored frames of one detector that begin in a span; empty without scores."""

    def __init__(self, scores: FrameScores | None, segment: Segment) -> None:
        self.scores = scores
        if scores is None:
            return
        first, end = (to_ticks(t - scores.start, 1 / scores.hop) for t in (segment.start, segment.end))
        self._values = scores.values[max(first, 0) : max(end, first + 1, 0)]
        unscored = np.isnan(self._values).all(axis=1) if np.isnan(self._values[:, :1]).any() else None
        self._scored = None if unscored is None else ~unscored

    def track(self, label: str) -> NDArray[np.float32]:
        """One label of these frames; NaN stays where other labels of the same frame are scored."""
        if self.scores is None:
            return np.zeros(0, np.float32)
        track = self._values[:, self.scores.labels.index(label)].astype(np.float32)
        return track if self._scored is None else track[self._scored]


def with_video(measures: Measured, picture: FrameScores | None, segment: Segment) -> Measured:
    """The measures of a span's audio, completed by those of its video."""
    part = _Part(picture, segment)
    return replace(measures, still_share=_mean(part.track("still")), scene_cuts=_per_minute(part, "cut"))


def integrated_loudness(momentary: NDArray[np.floating]) -> float | None:
    """Integrated loudness in LUFS (BS.1770-4) of momentary ones (blocks,); -70 if all is gated, None without blocks."""
    if not len(momentary):
        return None
    blocks = momentary[momentary > GATE_LUFS].astype(np.float64)
    if not len(blocks):
        return GATE_LUFS
    # all blocks contain the filter's offset of -0.691: power may be averaged without it
    power = 10 ** (blocks / 10)
    kept = power[blocks > 10 * np.log10(power.mean()) + GATE_LU]
    return float(10 * np.log10(kept.mean()))


def _blocks_inside(signal: FrameScores | None, segment: Segment) -> NDArray[np.float32]:
    """Momentary loudness of the blocks that lie completely in the segment."""
    if signal is None:
        return np.zeros(0, np.float32)
    first = int(np.ceil((segment.start - signal.start) / signal.hop - 1e-6))
    last = int(np.floor((segment.end - signal.window - signal.start) / signal.hop + 1e-6))
    column = signal.labels.index("loudness_lufs")
    blocks = signal.values[max(first, 0) : max(last + 1, 0), column].astype(np.float32)
    return np.asarray(blocks[~np.isnan(blocks)])


def _offset(track: NDArray[np.float32]) -> float | None:
    """Absolute value of the mean without the extreme quarters."""
    if not len(track):
        return None
    cut = int(DC_TRIM * len(track))
    return abs(float(np.sort(track)[cut : len(track) - cut].mean(dtype=np.float64)))


def _count(track: NDArray[np.float32], sounding: NDArray[np.bool_], share: float) -> int | None:
    """The largest count that is reached in more than `share` of the sounding time."""
    if not len(track):
        return None
    counts = np.sort(track[sounding])[::-1]
    return int(counts[int(share * len(counts))]) if len(counts) else 0


def _percentile(track: NDArray[np.float32], sounding: NDArray[np.bool_], percent: float) -> float | None:
    if not len(track):
        return None
    return float(np.percentile(track[sounding], percent)) if sounding.any() else 0.0


def _mean(track: NDArray[np.float32]) -> float | None:
    return float(track.mean(dtype=np.float64)) if len(track) else None


def _per_minute(part: _Part, label: str) -> float | None:
    track = part.track(label)
    if part.scores is None or not len(track):
        return None
    return float(track.sum()) * 60 / (len(track) * part.scores.hop)
