"""How the sound is, not what it is: level, silence, dropouts, clipping and bandwidth, on the recording's own samples.

A lane like any other, so that silence, faults and quiet points replay without the media.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores
from manifests.time import to_ticks

from .base import BlockPlan, DetectorSpec

HOP = 0.04
FLOOR_DBFS = -120.0
EDGE_DB = 70.0  # the bandwidth's edge lies this far under the strongest band
BAND_HZ = 100.0
CLIP_RUN = 3  # samples in a row at the same extreme value
LABELS = ("peak_dbfs", "rms_dbfs", "zero", "clipped", "bandwidth_khz", "gap")


def spec() -> DetectorSpec:
    """The detector's identity; it needs no weights."""
    return DetectorSpec("level", "1", None, LABELS, HOP, HOP, BlockPlan(core=0))


def decibels(power: NDArray[np.floating]) -> NDArray[np.float32]:
    """10 log10(power), no lower than FLOOR_DBFS."""
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10))), np.float32)


class Level:
    """Frames of 40 ms: peak and RMS in dBFS, shares of zero, clipped and never decoded samples, bandwidth in kHz."""

    def __init__(self) -> None:
        self.spec = spec()

    def scores(
        self, samples: NDArray[np.float32], sample_rate: int, start: float, gaps: list[tuple[float, float]]
    ) -> FrameScores:
        """Scores of one block (channels, n) that starts at `start`, a whole number of seconds; `gaps` in seconds."""
        count = samples.shape[1]
        edges = np.array(
            [to_ticks(i * HOP, sample_rate) for i in range(int(np.ceil(count / sample_rate / HOP - 1e-9)))]
        )
        edges = edges[edges < count]
        lengths = np.diff(np.append(edges, count)).astype(np.float32)
        power = np.add.reduceat(np.mean(samples**2, axis=0), edges) / lengths
        peak = np.maximum.reduceat(np.max(np.abs(samples), axis=0), edges)
        zero = np.add.reduceat(np.all(samples == 0, axis=0).astype(np.float32), edges) / lengths
        clipped = np.add.reduceat(clipped_samples(samples).astype(np.float32), edges) / lengths
        missing = np.zeros(count, np.float32)
        for begin, end in gaps:
            missing[max(0, to_ticks(begin - start, sample_rate)) : max(0, to_ticks(end - start, sample_rate))] = 1
        gap = np.add.reduceat(missing, edges) / lengths
        seconds = np.minimum(edges // sample_rate, max(0, int(np.ceil(count / sample_rate)) - 1))
        bandwidth = bandwidths(samples, sample_rate)[seconds] / 1000
        lanes = [decibels(peak**2), decibels(power), zero, clipped, bandwidth, gap]
        return FrameScores(start, HOP, HOP, LABELS, np.stack(lanes, axis=1).astype(np.float16))


def clipped_samples(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Samples (n,) where a channel rests at one extreme value for CLIP_RUN samples or more, at 0.5 or above.

    Recordings clip below full scale, too (levels are changed afterwards); a flat top is what gives them away.
    """
    flat = np.zeros(samples.shape[1], bool)
    for channel in samples:
        magnitude = np.abs(channel)
        extreme = np.flatnonzero(magnitude >= max(0.5, 0.99 * float(magnitude.max(initial=0.0))))
        if len(extreme) < CLIP_RUN:
            continue
        resting = (np.diff(extreme) == 1) & (np.abs(np.diff(channel[extreme])) <= 1e-4)
        borders = np.flatnonzero(np.diff(np.concatenate([[False], resting, [False]])))
        for begin, end in zip(
            borders[::2], borders[1::2], strict=True
        ):  # resting[begin:end] links end - begin + 1 samples
            if end - begin + 1 >= CLIP_RUN:
                flat[extreme[begin] : extreme[end] + 1] = True
    return flat


def bandwidths(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Effective bandwidth in Hz of every started second of (channels, n), shape (seconds,).

    The highest band of BAND_HZ whose power is within EDGE_DB of the strongest band's: sound brought up from a lower
    rate, or through a narrow channel, falls off a cliff there. 0 for silence.
    """
    seconds = max(1, int(np.ceil(samples.shape[1] / sample_rate)))
    size = 1 << int(np.ceil(np.log2(sample_rate / BAND_HZ * 2)))
    # Blackman-Harris: its side lobes lie 92 dB down, a Hann window's would move a steep edge by 400 Hz
    phase = 2 * np.pi * np.arange(size) / size
    window = 0.35875 - 0.48829 * np.cos(phase) + 0.14128 * np.cos(2 * phase) - 0.01168 * np.cos(3 * phase)
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    band = (frequencies / BAND_HZ).astype(int)
    starts = np.searchsorted(band, np.arange(band[-1] + 1))
    result = np.zeros(seconds, np.float32)
    mono = samples.mean(axis=0)
    for second in range(seconds):
        part = mono[second * sample_rate : (second + 1) * sample_rate]
        if len(part) < size:
            part = np.pad(part, (0, size - len(part)))
        # every fourth frame of the usual half-overlapped ones tells as much
        frames = np.lib.stride_tricks.sliding_window_view(part, size)[:: 2 * size]
        spectrum = np.mean(np.abs(np.fft.rfft(frames * window.astype(np.float32), axis=1)) ** 2, axis=0)
        power = np.maximum.reduceat(spectrum, starts)
        loud = np.flatnonzero(power > max(power.max() * 10 ** (-EDGE_DB / 10), 1e-12))
        result[second] = min((loud[-1] + 1) * BAND_HZ, sample_rate / 2) if len(loud) else 0.0
    return result
