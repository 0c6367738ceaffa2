"""Ratings as tables: the annotators' answers to each task, as counts over all annotators and pair by pair."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np

from .alpha import ONE_CATEGORY
from .bootstrap import Floats
from .figures import Estimate
from .optional_imports import library

Category = TypeVar("Category", bound=Hashable)
Ratings = Mapping[str, Mapping[str, Category]]
"""By task, then by annotator; a missing value has no entry."""


def count_matrix(ratings: Ratings[Category], categories: Sequence[Category]) -> Floats:
    """Counts (tasks, categories) of annotators with this answer to a task. Tasks are in the order of their keys."""
    column = {category: index for index, category in enumerate(categories)}
    counts = np.zeros((len(ratings), len(categories)))
    for row, key in enumerate(sorted(ratings)):
        for category in ratings[key].values():
            counts[row, column[category]] += 1
    return counts


def pairs_of(people: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every pair of annotators, in alphabetical order."""
    return combinations(sorted(people), 2)


def kappas(ratings: Ratings[Category]) -> dict[tuple[str, str], Estimate]:
    """Cohen's kappa of every pair of annotators with shared tasks; None if both always gave one and the same answer."""
    shared: dict[tuple[str, str], list[tuple[Category, Category]]] = {}
    for key in sorted(ratings):
        for pair in pairs_of(ratings[key]):
            shared.setdefault(pair, []).append((ratings[key][pair[0]], ratings[key][pair[1]]))
    return {pair: _kappa(answers) for pair, answers in sorted(shared.items())}


def _kappa(answers: Sequence[tuple[Category, Category]]) -> Estimate:
    first, second = zip(*answers, strict=True)
    if len({*first, *second}) < 2:
        return Estimate(None, units=len(answers), note=ONE_CATEGORY)
    return Estimate(float(library().cohen_kappa_score(first, second)), units=len(answers))
