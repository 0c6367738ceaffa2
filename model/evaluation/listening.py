"""Blind listening tests: choose the next pair of a cut's audio to compare, store ratings, and score the systems.

MMAudio's and LD-LAudio's raters score how well audio fits the video from 1 to 5, the "Sem. Rel." of arXiv 2508.11074,
table 2. Here two versions are rated side by side, without their names; one of them may be the recorded audio.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from manifests.identity import digest
from manifests.records import Cut, Question, Rating
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import to_ms

SCORES = range(1, 6)
_NORMAL = 1.959963984540054  # 97.5 % of a normal variable lie below
_RESAMPLES = 10_000
WAIT_SECONDS = 10.0  # for another writer


@dataclass(frozen=True)
class Pair:
    """The audio of a cut by two systems, in the order in which it is played."""

    cut_id: str
    systems: tuple[str, str]


def next_pair(
    systems: Mapping[str, Sequence[str]], ratings: Iterable[Rating], author: str, question: Question
) -> Pair | None:
    """The next pair for `author`; None if no cut has audio by two systems.

    `systems`: those with audio for each cut. Pairs rated least by this author come first, then pairs rated least
    by all; among equals, and for the order of the two, chance decides.
    """
    systems_of: dict[str, set[str]] = defaultdict(set)
    cut_of: dict[str, str] = {}
    own: set[str] = set()
    for row in ratings:
        if row.question == question:
            systems_of[row.trial_id].add(row.system)
            cut_of[row.trial_id] = row.cut_id
            if row.author == author:
                own.add(row.trial_id)
    by_all = Counter((cut_of[trial], frozenset(pair)) for trial, pair in systems_of.items())
    by_author = Counter((cut_of[trial], frozenset(systems_of[trial])) for trial in own)
    pairs = [(cut_id, pair) for cut_id, names in systems.items() for pair in combinations(sorted(set(names)), 2)]
    if not pairs:
        return None

    def order(one: tuple[str, tuple[str, str]]) -> tuple[int, int, str]:
        key = (one[0], frozenset(one[1]))
        return by_author[key], by_all[key], digest("pair", author, one)

    cut_id, (first, second) = min(pairs, key=order)
    return Pair(cut_id, (first, second) if secrets.randbelow(2) else (second, first))


def rate(
    corpus: Corpus,
    cut: Cut,
    systems: tuple[str, str],
    scores: tuple[int, int],
    preferred: int | None,
    question: Question,
    author: str,
    comment: str | None = None,
) -> tuple[Rating, Rating]:
    """Store an author's rating of two systems on a cut: a score each, and the preferred one (0, 1, or None).

    Raises CorpusError for scores outside 1 to 5, the same system twice and a missing name, Locked while a run writes.
    """
    author = author.strip()
    if not author:
        raise CorpusError("a rating needs the name of its author")
    if systems[0] == systems[1]:
        raise CorpusError(f"{systems[0]} cannot be compared with itself")
    if any(score not in SCORES for score in scores) or preferred not in (None, 0, 1):
        raise CorpusError(f"scores {scores}, preferred {preferred}: scores are 1 to 5, preferred is 0, 1 or None")
    trial, now = secrets.token_hex(8), datetime.now(UTC)
    first, second = (
        Rating(
            rating_id=digest("rating", trial, place),
            trial_id=trial,
            cut_id=cut.cut_id,
            recording_id=cut.recording_id,
            start_ms=to_ms(cut.start),
            end_ms=to_ms(cut.end),
            system=systems[place],
            question=question,
            score=scores[place],
            preferred=preferred == place,
            author=author,
            made_at=now,
            comment=comment,
        )
        for place in (0, 1)
    )
    with corpus.lock("rating", WAIT_SECONDS):
        corpus.append("ratings", (first, second))
    return first, second


@dataclass(frozen=True)
class SystemScore:
    """The score of a system over all ratings.

    `score`: mean over cuts of each cut's mean score, with its 95 % interval (percentile bootstrap over cuts; None
    below two cuts). `won`: the share of its trials in which it was preferred (not in ties), with Wilson's
    interval.
    """

    system: str
    ratings: int
    cuts: int
    score: float
    interval: tuple[float, float] | None
    won: float
    won_interval: tuple[float, float]


def system_scores(ratings: Iterable[Rating], question: Question) -> list[SystemScore]:
    """The scores of all rated systems, the best first."""
    scores: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    wins: Counter[str] = Counter()
    for row in ratings:
        if row.question == question:
            scores[row.system][row.cut_id].append(row.score)
            wins[row.system] += row.preferred
    return sorted((_score_of(name, by_cut, wins[name]) for name, by_cut in scores.items()), key=lambda s: -s.score)


def _score_of(system: str, by_cut: Mapping[str, Sequence[int]], wins: int) -> SystemScore:
    means = np.array([np.mean(scores) for scores in by_cut.values()])
    count = sum(map(len, by_cut.values()))
    interval = _bootstrap(means) if len(means) > 1 else None
    return SystemScore(system, count, len(means), float(means.mean()), interval, wins / count, wilson(wins, count))


def _bootstrap(means: NDArray[np.float64]) -> tuple[float, float]:
    drawn = np.random.default_rng(0).choice(means, (_RESAMPLES, len(means))).mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def wilson(wins: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    share, square = wins / trials, _NORMAL**2
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    reach = _NORMAL / (1 + square / trials) * sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)
