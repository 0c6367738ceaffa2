"""Log-odds on the common grid of a recording, and their mean over a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HOP = 0.04  # the common grid, seconds
STEPS = 2**20  # per log-odds of 1: far finer than the stored scores
CERTAIN = 1e-4  # scores are clipped this far from 0 and 1: no detector can outvote all others


def logit(probability: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """Log-odds, natural logarithm, of probabilities clipped to [CERTAIN, 1 - CERTAIN]."""
    clipped = np.clip(np.asarray(probability, np.float32), CERTAIN, 1 - CERTAIN)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), np.float32)


def moving_mean(track: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Centred mean over `cells`, shorter at the ends; NaN cells are left out of it and stay NaN."""
    if cells <= 1 or not len(track):
        return track
    known = ~np.isnan(track)
    before, after = (cells - 1) // 2, cells // 2
    begin = np.maximum(np.arange(len(track)) - before, 0)
    end = np.minimum(np.arange(len(track)) + after + 1, len(track))
    # in whole steps: sums are exact, so a mean depends on its own cells only, in any order of summation
    steps = np.rint(np.where(known, track, 0.0).astype(np.float64) * STEPS).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(steps)])
    number = np.concatenate([[0], np.cumsum(known)])
    mean = (total[end] - total[begin]) / (np.maximum(number[end] - number[begin], 1) * STEPS)
    return np.where(known, mean, np.nan).astype(np.float32)
