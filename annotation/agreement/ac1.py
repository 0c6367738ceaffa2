"""Gwet's AC1, which stays meaningful if one answer is far more common than the others, and raw agreement.

K. L. Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement" (2008): for any
number of annotators and missing values as in his Handbook of Inter-Rater Reliability. Observed agreement is the mean,
over the units that two or more judged, of the share of pairs that agree; chance agreement is sum(p * (1 - p)) / (q -
1), with p the mean share of a category over all judged units, and q the number of categories on offer.
"""

from __future__ import annotations

import numpy as np

from .alpha import NO_PAIR, ONE_CATEGORY
from .bootstrap import Bootstrap, Floats, ratio
from .figures import Estimate


def ac1(counts: Floats, bootstrap: Bootstrap) -> Estimate:
    """AC1 of counts (units, categories): annotators who put a unit into a category, for all categories on offer.

    None without a pair of values. None too if all values are the same, though the formula would give 1: the annotators
    had nothing to distinguish.
    """
    judged = counts[counts.sum(axis=1) >= 1]
    paired = int(np.count_nonzero(judged.sum(axis=1) >= 2))
    if not paired:
        return Estimate(None, note=NO_PAIR)
    if np.count_nonzero(judged.sum(axis=0)) < 2:
        return Estimate(None, units=paired, note=ONE_CATEGORY)
    people = judged.sum(axis=1, keepdims=True)
    terms = np.hstack([_agreeing(judged), people >= 2, judged / people, np.ones_like(people)])
    estimate = bootstrap.estimate(terms, _ac1)
    return Estimate(estimate.value, estimate.low, estimate.high, paired, estimate.note)


def observed(counts: Floats, bootstrap: Bootstrap) -> Estimate:
    """The mean share of pairs that agree, over the units of counts (units, categories) that two or more judged."""
    paired = counts[counts.sum(axis=1) >= 2]
    if not len(paired):
        return Estimate(None, note=NO_PAIR)
    terms = np.hstack([_agreeing(paired), np.ones((len(paired), 1))])
    return bootstrap.estimate(terms, lambda sums: ratio(sums[..., 0], sums[..., 1]))


def _agreeing(counts: Floats) -> Floats:
    """The share (units, 1) of pairs of annotators that agree, 0 without a pair."""
    people = counts.sum(axis=1, keepdims=True)
    pairs: Floats = (counts * (counts - 1)).sum(axis=1, keepdims=True) / np.maximum(people * (people - 1), 1)
    return pairs


def _ac1(sums: Floats) -> Floats:
    """AC1 of sums (..., 2 + C + 1): agreement, units with pairs, shares of the categories, units."""
    agreeing = ratio(sums[..., 0], sums[..., 1])
    share = sums[..., 2:-1] / sums[..., -1:]
    by_chance = (share * (1 - share)).sum(axis=-1) / (share.shape[-1] - 1)
    values: Floats = (agreeing - by_chance) / (1 - by_chance)
    return values
