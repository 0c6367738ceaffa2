"""Measures signal quality: level, silence, clipping, bandwidth and dropouts, on the recording's own samples.

The scores are stored like a detector's, so that silence, faults and quiet points replay without the media.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores
from manifests.time import to_ticks

from .base import BlockPlan, DetectorSpec
from .dropouts import Dropouts
from .spectrum import bandwidths

if TYPE_CHECKING:
    from ..media import AudioBlock

HOP = 0.04
BINS = 40  # bins of one millisecond per frame
FRAMES = 25  # per second
FLOOR_DBFS = -120.0
CLIP_RUN = 3  # consecutive samples that make a flat top
CLIP_LEVEL = 0.03  # full scale is 1: below it a flat top comes from quantization
FLAT = 1e-4  # deviation of a flat top by rounding and dither
COARSEST = 0.01  # full scale is 1: no format stores less than 7 bits
CLIP_FALL = 100.0  # times FLAT, see `_flat_tops`
LABELS = ("peak_dbfs", "rms_dbfs", "zero", "clipped", "bandwidth_khz", "edge_khz", "gap", "dropout")


def spec() -> DetectorSpec:
    """The detector's identity; it needs no weights."""
    return DetectorSpec("level", "2", None, LABELS, HOP, HOP, BlockPlan(core=0), stateless=False)


def decibels(power: NDArray[np.floating]) -> NDArray[np.float32]:
    """10 log10(power), at least FLOOR_DBFS."""
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10))), np.float32)


class Level:
    """Frames of 40 ms, by label:

    `peak_dbfs` and `rms_dbfs`; shares (0 to 1) of the frame that are digital silence, to a millisecond (`zero`),
    clipped samples (`clipped`), not decoded (`gap`) and inside a dropout (`dropout`). For the second that contains the
    frame: `bandwidth_khz`, the cliff where the spectrum ends, and `edge_khz`, the highest audible frequency.
    """

    def __init__(self) -> None:
        self.spec = spec()
        self.begin()

    def begin(self) -> None:
        """Reset for a new recording."""
        self._frames: list[NDArray[np.float16]] = []
        self._dropouts = Dropouts()
        self._last: NDArray[np.float32] | None = None  # sample of each channel

    def scores(self, block: AudioBlock) -> None:
        """Process the next block. Scores come at the end: a dropout is known only when the audio returns."""
        samples, rate = block.native, block.native_rate
        count = samples.shape[1]
        bins = _edges(count, rate, round(1 / HOP) * BINS)
        edges = bins[::BINS]
        power = np.add.reduceat(_mean_square(samples), bins)
        levels = np.asarray(power / np.diff(bins, append=count), np.float32)
        self._dropouts.push(_means(self._changes(samples), bins, count), levels)
        lengths = np.diff(edges, append=count)
        frame = np.arange(len(bins)) // BINS
        zero = np.bincount(frame, power == 0) / np.bincount(frame)
        peak = np.max([np.maximum(np.maximum.reduceat(c, edges), -np.minimum.reduceat(c, edges)) for c in samples], 0)
        gap = np.zeros(count, np.float32)
        for begin, end in block.gaps:
            gap[_sample(begin - block.start, rate) : _sample(end - block.start, rate)] = 1
        second = np.arange(len(edges)) // FRAMES
        bandwidth, edge = bandwidths(samples.mean(axis=0), rate)
        columns: list[NDArray[Any]] = [
            decibels(peak**2),
            decibels(np.add.reduceat(power, np.arange(0, len(bins), BINS)) / lengths),
            zero,
            _means(clipped_samples(samples, rate), edges, count),
            bandwidth[second] / 1000,
            edge[second] / 1000,
            _means(gap, edges, count),
            np.zeros(len(edges)),
        ]
        self._frames.append(np.stack(columns, axis=1).astype(np.float16))

    def finish(self) -> FrameScores | None:
        """The scores of the recording since `begin`, None without audio."""
        if not self._frames:
            return None
        values = np.concatenate(self._frames)
        inside = np.zeros(len(values) * BINS, np.float32)
        for begin, end in self._dropouts.finish():
            inside[begin:end] = 1
        values[:, LABELS.index("dropout")] = inside.reshape(-1, BINS).mean(axis=1)
        return FrameScores(0.0, HOP, HOP, LABELS, values)

    def _changes(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean square over the channels of each sample's difference from the previous one, (n,)."""
        before = samples[:, :1] if self._last is None else self._last
        self._last = samples[:, -1:].copy()
        changes = np.empty_like(samples)
        np.subtract(samples[:, 1:], samples[:, :-1], out=changes[:, 1:])
        np.subtract(samples[:, :1], before, out=changes[:, :1])
        return _mean_square(changes)


def _sample(seconds: float, sample_rate: int) -> int:
    return max(0, to_ticks(seconds, sample_rate))


def _edges(count: int, sample_rate: int, per_second: int) -> NDArray[np.intp]:
    """First samples of the parts of a block that starts at a whole second, `per_second` parts per second."""
    one = _edges_of_second(sample_rate, per_second)
    edges = (np.arange(-(-count // sample_rate))[:, None] * sample_rate + one).ravel()
    return np.asarray(edges[edges < count])


@lru_cache(maxsize=4)
def _edges_of_second(sample_rate: int, per_second: int) -> NDArray[np.intp]:
    return np.array([to_ticks(i / per_second, sample_rate) for i in range(per_second)])


def _mean_square(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the squares over the channels, (n,)."""
    total: NDArray[np.float32] = np.square(samples[0])
    for channel in samples[1:]:
        total += np.square(channel)
    total /= len(samples)
    return total


def _means(values: NDArray[np.floating], edges: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """Mean of `values` (count,) over the parts that begin at `edges`."""
    return np.asarray(np.add.reduceat(values, edges) / np.diff(edges, append=count), np.float32)


def clipped_samples(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Share of the channels that are clipped at each sample, float32 (n,), second by second.

    Recordings clip below full scale, too (levels are changed afterwards): clipping is detected by tops that are flat
    where the audio is loudest, and only there. The share errs to the low side: tops of one or two samples are missed,
    shallow ones below -12 dBFS too, and clipping that a lossy codec has rounded off.
    """
    clipped = np.zeros(samples.shape[1], np.float32)
    for begin in range(0, samples.shape[1], sample_rate):
        for channel in samples[:, begin : begin + sample_rate]:
            for sign in (1, -1):
                for first, end in _flat_tops(channel if sign > 0 else -channel):
                    clipped[begin + first : begin + end] += 1 / len(samples)
    return clipped


def _flat_tops(wave: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Runs (first, after last) of `wave` (n,) that stay at its maximum in a way that only a clipper produces.

    The shape of the wave decides, at any speed: a smooth top is a parabola, which within one run length beside the run
    falls by up to nine times its fall inside. One as flat as x^4 falls by 81 times that, a clipped one further.
    """
    top = float(wave.max())
    if top < CLIP_LEVEL:
        return []
    high = np.flatnonzero(wave >= top - FLAT)
    if len(high) < CLIP_RUN:
        return []
    flat = max(FLAT, min(_step(wave), COARSEST))
    if flat > FLAT:
        high = np.flatnonzero(wave >= top - flat)
    borders = np.flatnonzero(np.diff(high) > 1)
    firsts, lasts = high[np.append(0, borders + 1)], high[np.append(borders, len(high) - 1)]
    long = lasts - firsts + 1 >= CLIP_RUN
    tops = []
    for first, last in zip(firsts[long].tolist(), lasts[long].tolist(), strict=True):
        length = last - first + 1
        left, right = wave[max(0, first - length) : first], wave[last + 1 : last + 1 + length]
        lowest = max((float(side.min()) for side in (left, right) if len(side)), default=top)
        if lowest <= top - CLIP_FALL * flat:
            tops.append((first, last + 1))
    return tops


def _step(wave: NDArray[np.float32]) -> float:
    """The quantization step: the smallest difference between two values that occur."""
    steps = np.diff(np.sort(wave))
    steps = steps[steps > FLAT / 100]
    return float(steps.min()) if len(steps) else 0.0
