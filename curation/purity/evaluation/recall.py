"""Recall of seconds and events at the threshold that a given share of pure seconds exceeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Track = NDArray[np.float32]


def second_means(track: Track, hop: float) -> Track:
    """Means of a track (n,), frames of `hop` seconds, over seconds; NaN is left out, a partial last second counts."""
    seconds = max(1, int(np.ceil(len(track) * hop - 1e-6)))
    at = np.minimum(((np.arange(len(track)) + 0.5) * hop).astype(np.int64), seconds - 1)
    known = ~np.isnan(track)
    sums = np.bincount(at[known], track[known].astype(np.float64), seconds)
    counts = np.bincount(at[known], minlength=seconds)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), np.float32)


def threshold_at(pure: Sequence[Track], share: float) -> float:
    """The lowest threshold that at most `share` of the seconds of pure recordings exceed."""
    values = np.concatenate([track[~np.isnan(track)] for track in pure])
    if not len(values):
        return float("inf")
    allowed = int(share * len(values))
    return float(np.partition(values, len(values) - 1 - allowed)[len(values) - 1 - allowed])


def recalled(track: Track, truth: NDArray[np.bool_], threshold: float) -> tuple[int, int]:
    """The number of true seconds above the threshold, and of all true seconds."""
    return int(np.count_nonzero(track[truth] > threshold)), int(np.count_nonzero(truth))


def windowed(track: Track, seconds: int) -> Track:
    """The centred mean of a track of seconds over `seconds` (odd) of them, shorter at the ends."""
    if seconds <= 1:
        return track
    known = ~np.isnan(track)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, track, 0.0), dtype=np.float64)])
    counts = np.concatenate([[0], np.cumsum(known)])
    at = np.arange(len(track))
    low, high = np.maximum(at - seconds // 2, 0), np.minimum(at + seconds // 2 + 1, len(track))
    number = counts[high] - counts[low]
    return np.where(known, (sums[high] - sums[low]) / np.maximum(number, 1), np.nan).astype(np.float32)
