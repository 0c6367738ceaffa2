"""Krippendorff's alpha with missing values, from coincidence matrices.

K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). A unit that m >= 2 annotators judged gives each
pair of its values the weight 1 / (m - 1). With o the sum of these matrices, n its margins, N their sum and d the
squared difference of two values, alpha = 1 - (N - 1) * sum(o * d) / sum(n * n' * d). A unit with one value has no pairs
and is left out.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np

from .bootstrap import Bootstrap, Floats, ratio
from .figures import Estimate

Scale = Literal["nominal", "ordinal"]
ONE_CATEGORY = "all answers are the same: agreement is undefined"
NO_PAIR = "no task has this answer from two annotators"


def alpha(counts: Floats, scale: Scale, bootstrap: Bootstrap) -> Estimate:
    """Alpha of counts (units, categories): annotators who put a unit into a category; categories in their order.

    None without a pair of values, and if all values are the same: chance agreement is then certain.
    """
    paired = counts[counts.sum(axis=1) >= 2]
    if not len(paired):
        return Estimate(None, note=NO_PAIR)
    if np.count_nonzero(paired.sum(axis=0)) < 2:
        return Estimate(None, units=len(paired), note=ONE_CATEGORY)
    terms = np.hstack([coincidences(paired).reshape(len(paired), -1), paired])
    return bootstrap.estimate(terms, partial(_alpha, scale=scale))


def coincidences(counts: Floats) -> Floats:
    """The coincidence matrices (units, categories, categories) of counts (units, categories), 2 or more each."""
    pairs = counts[:, :, None] * counts[:, None, :]
    own = np.arange(counts.shape[1])
    pairs[:, own, own] -= counts  # no annotator is paired with themselves
    weights: Floats = pairs / (counts.sum(axis=1) - 1)[:, None, None]
    return weights


def _alpha(sums: Floats, scale: Scale) -> Floats:
    """Alpha of sums (..., C * C + C): the coincidences, then their margins, which are whole numbers and so exact."""
    categories = round((-1 + (1 + 4 * sums.shape[-1]) ** 0.5) / 2)
    coincident = sums[..., :-categories].reshape(*sums.shape[:-1], categories, categories)
    margins = sums[..., -categories:]
    if scale == "nominal":
        distance = 1 - np.eye(categories)
    else:
        # ordinal: the number of values between two categories; values in the two themselves count half
        middles = np.cumsum(margins, axis=-1) - margins / 2
        distance = (middles[..., :, None] - middles[..., None, :]) ** 2
    observed = (coincident * distance).sum(axis=(-2, -1))
    by_chance = (margins[..., :, None] * margins[..., None, :] * distance).sum(axis=(-2, -1))
    return 1 - ratio((margins.sum(axis=-1) - 1) * observed, by_chance)
