"""Signal quality of any span of a recording, measured from kept scores: no media is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from manifests.records import Measured
from manifests.scores import FrameScores
from manifests.time import Segment, to_ticks

GATE_LUFS, GATE_LU = -70.0, -10.0  # BS.1770-4: absolute, and relative to the mean of what passes that
SOUNDING_LUFS = -60.0  # from here on channels can be compared
DEAD_SHARE = 0.1  # of the sounding time: a channel that dies near the end is found
COPIED_SHARE = 0.5
LOSS_PERCENTILE = 90.0
BAND_PERCENTILE = 90.0
CLIFF_SHARE = 0.1  # of the sounding seconds that must end at a cliff
BEYOND, BEYOND_SHARE = 1.25, 0.2  # what others have beyond the cliff speaks against it: how far, in how many seconds
DC_TRIM = 0.25  # at either end: infrasound moves the mean of a second


def measure(scores: Mapping[str, FrameScores], segment: Segment) -> Measured:
    """The measures of a span, from the scores of `level`, `signal` and `picture`; None where there are none.

    Frames count that begin in the span, loudness blocks that lie in it. `dropouts` and `scene_cuts` are per minute.
    """
    return with_video(measure_audio(scores, segment), scores.get("picture"), segment)


def measure_audio(scores: Mapping[str, FrameScores], segment: Segment) -> Measured:
    """The measures of a span's audio, from the scores of `level` and `signal`."""
    level, signal = scores.get("level"), scores.get("signal")
    loudness = _track(signal, "loudness_lufs", segment)
    sounding = loudness > SOUNDING_LUFS
    dropout = _track(level, "dropout", segment) > 0
    starts = int(np.count_nonzero(dropout & ~np.append(False, dropout[:-1])))
    return Measured(
        loudness_lufs=integrated_loudness(_blocks_inside(signal, segment)),
        clipped=_mean(_track(level, "clipped", segment)),
        bandwidth_hz=_bandwidth(level, segment),
        dc=_offset(_track(signal, "dc", segment)),
        dead_channels=_count(_track(signal, "dead", segment), sounding, DEAD_SHARE),
        copied_channels=_count(_track(signal, "copied", segment), sounding, COPIED_SHARE),
        mono_loss_db=_percentile(_track(signal, "mono_loss_db", segment), sounding, LOSS_PERCENTILE),
        dropouts=None if not len(dropout) else starts * 60 / segment.duration,
    )


def with_video(measures: Measured, picture: FrameScores | None, segment: Segment) -> Measured:
    """The measures of a span's audio, completed by those of its video."""
    return replace(
        measures,
        still_share=_mean(_track(picture, "still", segment)),
        scene_cuts=_per_minute(picture, "cut", segment),
    )


def integrated_loudness(momentary: NDArray[np.floating]) -> float | None:
    """Integrated loudness in LUFS (BS.1770-4) of momentary ones (blocks,); -70 if all is gated, None without blocks."""
    if not len(momentary):
        return None
    blocks = momentary[momentary > GATE_LUFS].astype(np.float64)
    if not len(blocks):
        return GATE_LUFS
    # the filter's offset of -0.691 is in all of them: power may be averaged without it
    power = 10 ** (blocks / 10)
    kept = power[blocks > 10 * np.log10(power.mean()) + GATE_LU]
    return float(10 * np.log10(kept.mean()))


def _track(scores: FrameScores | None, label: str, segment: Segment) -> NDArray[np.float32]:
    """The scored frames of a lane that begin in the segment; NaN stays where others of the same frame are known."""
    if scores is None:
        return np.zeros(0, np.float32)
    first, end = (to_ticks(t - scores.start, 1 / scores.hop) for t in (segment.start, segment.end))
    part = slice(max(first, 0), max(end, first + 1, 0))
    unscored = np.isnan(scores.values[part]).all(axis=1)
    return scores.track(label)[part][~unscored]


def _blocks_inside(signal: FrameScores | None, segment: Segment) -> NDArray[np.float32]:
    """Momentary loudness of the blocks that lie wholly in the segment."""
    if signal is None:
        return np.zeros(0, np.float32)
    first = int(np.ceil((segment.start - signal.start) / signal.hop - 1e-6))
    last = int(np.floor((segment.end - signal.window - signal.start) / signal.hop + 1e-6))
    lane = signal.track("loudness_lufs")[max(first, 0) : max(last + 1, 0)]
    return np.asarray(lane[~np.isnan(lane)])


def _bandwidth(level: FrameScores | None, segment: Segment) -> float | None:
    """Where the spectrum ends, in Hz: at the cliff that nearly all sounding seconds respect, else half the sample rate.

    A cliff in a few seconds only, or one that others go beyond, is what a codec left out of dull sound.
    """
    bandwidth, edge = _track(level, "bandwidth_khz", segment), _track(level, "edge_khz", segment)
    if level is None or not len(bandwidth):
        return None
    whole = float(np.nanmax(level.track("bandwidth_khz")))  # of a second without a cliff; if each has one, it is one
    sounding = edge > 0
    cliffs = bandwidth[sounding & (bandwidth < whole)]
    if len(cliffs) < max(CLIFF_SHARE * np.count_nonzero(sounding), 1):
        return 1000 * whole
    end = float(np.percentile(cliffs, BAND_PERCENTILE))
    beyond = np.count_nonzero(edge[sounding & (bandwidth >= whole)] > BEYOND * end)
    return 1000 * (end if beyond <= BEYOND_SHARE * len(cliffs) else whole)


def _offset(lane: NDArray[np.float32]) -> float | None:
    """Size of the mean without the extreme quarters."""
    if not len(lane):
        return None
    cut = int(DC_TRIM * len(lane))
    return abs(float(np.sort(lane)[cut : len(lane) - cut].mean(dtype=np.float64)))


def _count(lane: NDArray[np.float32], sounding: NDArray[np.bool_], share: float) -> int | None:
    """The largest count that is reached in more than `share` of the sounding time."""
    if not len(lane):
        return None
    heard = np.sort(lane[sounding])[::-1]
    return int(heard[int(share * len(heard))]) if len(heard) else 0


def _percentile(lane: NDArray[np.float32], sounding: NDArray[np.bool_], percent: float) -> float | None:
    if not len(lane):
        return None
    return float(np.percentile(lane[sounding], percent)) if sounding.any() else 0.0


def _mean(lane: NDArray[np.float32]) -> float | None:
    return float(lane.mean(dtype=np.float64)) if len(lane) else None


def _per_minute(scores: FrameScores | None, label: str, segment: Segment) -> float | None:
    lane = _track(scores, label, segment)
    if scores is None or not len(lane):
        return None
    return float(lane.sum()) * 60 / (len(lane) * scores.hop)
