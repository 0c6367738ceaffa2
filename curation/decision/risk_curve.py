"""Yield against risk: the time that cuts up to a risk amount to, and the mean risk of that time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

DECIMALS = 4  # risks that differ by less are one risk: float32 rounds them
CURVE_POINTS = 200


@dataclass(frozen=True)
class RiskPoint:
    """All cuts up to `risk` (0 to 1) together last `seconds`; `mean` is their risk on average over that time."""

    risk: float
    seconds: float
    mean: float


def risk_curve(risks: ArrayLike, seconds: ArrayLike, points: int | None = None) -> tuple[RiskPoint, ...]:
    """The curve over cuts of these risks and lengths: a point for each distinct risk, in rising order.

    `points`: thin the curve to at most that number of points, the first and the last among them. Empty without cuts.
    """
    all_risks = np.round(np.asarray(risks, np.float64), DECIMALS)
    if not all_risks.size:
        return ()
    order = np.argsort(all_risks, kind="stable")
    all_risks, lengths = all_risks[order], np.asarray(seconds, np.float64)[order]
    total = np.cumsum(lengths)
    mean = np.cumsum(all_risks * lengths) / total
    last = np.append(all_risks[1:] != all_risks[:-1], True)  # a threshold takes all cuts of one risk or none
    chosen: Sequence[int] = np.flatnonzero(last).tolist()
    if points is not None and len(chosen) > points:
        chosen = [chosen[at] for at in np.linspace(0, len(chosen) - 1, points).round().astype(int).tolist()]
    return tuple(RiskPoint(float(all_risks[at]), float(total[at]), float(mean[at])) for at in chosen)
