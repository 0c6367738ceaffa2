"""Calibration: whether of the time with a probability of p, a share p is contaminated."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Of the bins of probability: narrow where cuts are accepted."""


@dataclass(frozen=True)
class Bin:
    """A bin of probabilities [low, high): its share of the time, its mean probability, its contaminated share."""

    low: float
    high: float
    share: float
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibration:
    """Figures on probabilities against labels, weighted.

    `brier`: mean squared error; `log_loss` in nats. `base_rate`: the contaminated share; `base_log_loss`: the log-loss
    of predicting it everywhere. `bins`: those with any time in them.
    """

    brier: float
    log_loss: float
    base_rate: float
    base_log_loss: float
    bins: tuple[Bin, ...]


def calibration(
    probability: NDArray[np.float64], labels: NDArray[np.bool_], weights: NDArray[np.float64]
) -> Calibration:
    """The figures of probabilities, labels and weights of shape (rows,)."""
    share = weights / weights.sum()
    rate = float(share @ labels)
    where = np.clip(np.searchsorted(EDGES, probability, side="right") - 1, 0, len(EDGES) - 2)
    bins = []
    for number, (low, high) in enumerate(pairwise(EDGES)):
        inside = where == number
        if (own := float(share[inside].sum())) > 0:
            predicted = float(share[inside] @ probability[inside]) / own
            bins.append(Bin(low, high, own, predicted, float(share[inside] @ labels[inside]) / own))
    return Calibration(
        brier=float(share @ (probability - labels) ** 2),
        log_loss=float(share @ _loss(probability, labels)),
        base_rate=rate,
        base_log_loss=float(share @ _loss(np.full(len(labels), rate), labels)),
        bins=tuple(bins),
    )


def _loss(probability: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    sure = np.clip(np.where(labels, probability, 1 - probability), 1e-9, 1.0)
    return np.asarray(-np.log(sure), np.float64)
