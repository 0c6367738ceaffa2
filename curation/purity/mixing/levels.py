"""Levels as people judge them: speech by its power in 200-4000 Hz, music and singing by A-weighted power."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..sources.pool import RATE, Kind
from .acoustics import Sound, frequencies, inverse, transform, transform_size


@cache
def weighting(kind: Kind, size: int) -> NDArray[np.float32]:
    """The amplitude weight of each bin of a transform of `size`: a band for speech, the A curve (IEC 61672) else."""
    f = frequencies(size)
    if kind == "speech":
        return ((f >= 200) & (f <= 4000)).astype(np.float32)
    squared = np.square(f.astype(np.float64))
    a = 12194.0**2 * squared**2
    a /= (squared + 20.6**2) * np.sqrt((squared + 107.7**2) * (squared + 737.9**2)) * (squared + 12194.0**2)
    return np.asarray(a * 10 ** (2.0 / 20), np.float32)


def frame_powers(sound: Sound, kind: Kind, hop: int) -> NDArray[np.float32]:
    """Mean weighted power in each `hop` samples of a sound (n,), n a multiple of `hop`; shape (n // hop,)."""
    size = transform_size(len(sound))
    weighted = inverse(transform(sound, size) * weighting(kind, size), size)[: len(sound)]
    return np.asarray(np.mean(np.square(weighted.reshape(-1, hop)), axis=1), np.float32)


def smoothed(powers: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """The centred mean over `frames` (odd) frames, shorter at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(powers, dtype=np.float64)])
    at = np.arange(len(powers))
    low, high = np.maximum(at - frames // 2, 0), np.minimum(at + frames // 2 + 1, len(powers))
    return np.asarray(np.maximum((sums[high] - sums[low]) / (high - low), 0), np.float32)


def decibels(powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """10 log10 of powers, at least -140."""
    return np.asarray(10 * np.log10(np.maximum(powers, np.float32(1e-14))), np.float32)


def active(powers: NDArray[np.float32], range_db: float, bridged: int) -> NDArray[np.bool_]:
    """Frames within `range_db` of the loud ones (95th percentile), pauses up to `bridged` frames included."""
    level = decibels(powers)
    present = level > -100
    if not present.any():
        return present
    loud = level > np.percentile(level[present], 95) - range_db
    if bridged and loud.any():
        (at,) = np.nonzero(loud)
        for before, after in pairwise(at.tolist()):
            if 1 < after - before <= bridged + 1:
                loud[before:after] = True
    return np.asarray(loud)


def seconds_to_samples(seconds: float) -> int:
    """Whole samples at RATE."""
    return round(seconds * RATE)
