"""New stretches against everything indexed: a few look-ups each, then an alignment of what they point to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .align import BOUNDS, Bounds, Match, align
from .fingerprint import SIGNS, WEAK, Fingerprint, Kind, short_hash, signs, weak_signs
from .index import Index, IndexedSegment, check_signs, key_of, sampled, spread

MOST_POSTINGS = 64
"""A word that more stretches share is looked up in this many of them: a common hum costs no more than a rare one."""
MOST_CANDIDATES = 64
"""Other stretches that one new stretch is aligned with, at most: the likeliest; chains of copies find the others."""
_DIAGONALS = 6  # of each of them
_EVIDENCE = 12
_LEAST = 3
"""Of the 13 signs that a check word can agree in beyond chance, a diagonal needs so many in all, a hit so many.

Of hits by chance about one in two million passes alone, so that few strangers are aligned in a large corpus.
"""
_CHUNK = 4096  # words looked up at a time
_CELL = 4  # diagonals counted together
_SAME_SECONDS = 1.0


def find_matches(
    new: Iterable[Fingerprint],
    parts: Sequence[Index],
    words_of: Callable[[str], Fingerprint],
    bounds: Mapping[Kind, Bounds] = BOUNDS,
) -> list[Match]:
    """All matches of the new stretches with anything in `parts`, which hold the new ones already.

    `words_of` gives the print of any item that the parts name. Sorted; each pair of recordings once for every
    diagonal and stretch, `recording_id` < `other_id`; never a recording with itself. The order of `new`, of the
    parts, and how the items are spread over parts do not matter. Which of two files came first almost does not:
    a pair is aligned the same way round whoever found it, but it is the newer one's uncertain signs that are
    tried both ways, so a pair just good enough to be found may be found from one side only.
    """
    wanted: dict[tuple[IndexedSegment, IndexedSegment], set[int]] = defaultdict(set)
    for one in new:
        mine = IndexedSegment(one.recording_id, one.item, one.kind)
        for item, diagonal in candidates(one, parts):
            if mine < item:
                wanted[mine, item].add(diagonal)
            else:
                wanted[item, mine].add(-diagonal)
    # Pairs come sorted, so that one of the two is mostly at hand.
    load = lru_cache(maxsize=8)(words_of)
    found = [
        match
        for (one_item, other_item), diagonals in sorted(wanted.items())
        for diagonal in sorted(diagonals)
        for match in align(load(one_item.item), load(other_item.item), diagonal, bounds[one_item.kind])
    ]
    return list(_once(found))


def candidates(one: Fingerprint, parts: Sequence[Index]) -> list[tuple[IndexedSegment, int]]:
    """(item, diagonal) of what the print may match in other recordings, the likeliest.

    A diagonal is the index of a word there less that of its like here. Every hit counts by how far its check word is
    from chance: two hits on a diagonal with middling checks are as good as one with a good one.
    """
    hits = [_hits(one, first, parts) for first in range(0, len(one.words), _CHUNK)]
    if not sum(hit.shape[1] for hit in hits):
        return []
    owners, numbers, places, diagonals, evidence = np.concatenate(hits, axis=1)
    scores: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    # Two grids, half a cell apart: hits of one diagonal lie together in one of them.
    for shift in (0, _CELL // 2):
        table = np.stack([owners, numbers, (diagonals + shift) // _CELL, places, -evidence])
        table = table[:, np.lexsort(table[::-1])]
        # A place counts once for a diagonal, by its best check: its variants are no further evidence.
        table = table[:, np.concatenate([[True], (np.diff(table[:4]) != 0).any(axis=0)])]
        first = np.flatnonzero(np.concatenate([[True], (np.diff(table[:3]) != 0).any(axis=0)]))
        sums = -np.add.reduceat(table[4], first)
        strong = sums >= _EVIDENCE
        for owner, number, cell, total in zip(*table[:3, first[strong]].tolist(), sums[strong].tolist(), strict=True):
            scores[owner, number].append((-total, cell * _CELL - shift + _CELL // 2))
    best = sorted(
        (min(some), parts[owner].item(number), _apart(sorted(some))) for (owner, number), some in scores.items()
    )
    same = [(item, diagonals) for _, item, diagonals in best if item.kind == one.kind]
    return [(item, diagonal) for item, some in same[:MOST_CANDIDATES] for diagonal in some]


def _apart(scored: list[tuple[int, int]]) -> list[int]:
    """The best diagonals, without those beside a better one."""
    kept: list[int] = []
    for _, diagonal in scored:
        if all(abs(diagonal - other) >= _CELL for other in kept):
            kept.append(diagonal)
    return kept[:_DIAGONALS]


def _hits(one: Fingerprint, first: int, parts: Sequence[Index]) -> NDArray[np.int64]:
    """(part, item number, place, diagonal, evidence) of each posting of a like word, int64 (5, n)."""
    words = one.words[first : first + _CHUNK]
    patterns, places = variants(words)
    keys = key_of(patterns, one.kind)
    held = sampled(keys)
    keys, places = keys[held], places[held]
    order = np.argsort(keys, kind="stable")  # neighbours in the index are looked up together
    order = order[spread(keys[order])]
    keys, places = keys[order], places[order]
    wanted, begin, counts = np.unique(keys, return_index=True, return_counts=True)
    found = [_found(part, owner, wanted) for owner, part in enumerate(parts)]
    which, owners, at, names, positions = np.concatenate(found, axis=1) if found else np.empty((5, 0), np.uint64)
    if len(parts) > 1:  # the first of each word over all parts, as if they were one
        order = np.lexsort((positions, names, which))
        _, lead, sizes = np.unique(which[order], return_index=True, return_counts=True)
        order = order[np.arange(len(order)) - np.repeat(lead, sizes) < MOST_POSTINGS]
        which, owners, at = which[order], owners[order], at[order]
    # Each posting with every place here that asked for its word.
    repeat = counts[which.astype(np.intp)]
    turn = np.arange(int(repeat.sum())) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    here = places[np.repeat(begin[which.astype(np.intp)], repeat) + turn]
    owners, at = np.repeat(owners, repeat), np.repeat(at, repeat)
    check = check_signs(one.words)[first + here]
    hits = []
    for owner, part in enumerate(parts):
        mine = owners == owner
        posting = at[mine].astype(np.intp)
        numbers, position = part.postings.items[posting], part.postings.positions[posting].astype(np.int64)
        evidence = _evidence(check[mine], part.postings.checks[posting])
        table = np.stack(
            [
                np.full(len(posting), owner),
                numbers.astype(np.int64),
                first + here[mine],
                position - (first + here[mine]),
                evidence,
            ]
        )
        other = part.recordings[numbers] != np.uint64(short_hash(one.recording_id))
        hits.append(table[:, other & (evidence >= _LEAST)])
    return np.concatenate(hits, axis=1) if hits else np.empty((5, 0), np.int64)


def _found(part: Index, owner: int, wanted: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """(index into `wanted`, part, posting, hash of the item, position) of the postings of the keys, uint64 (5, n)."""
    which, at = part.lookup(wanted, MOST_POSTINGS)
    names = part.hashes[part.postings.items[at]]
    columns = (which, np.full(len(at), owner), at, names, part.postings.positions[at])
    return np.stack([column.astype(np.uint64) for column in columns])


def _evidence(here: NDArray[np.uint64], there: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Of check words (n,): signs that agree beyond the half that do so by chance; 0 where one is missing."""
    sure = ~weak_signs(here)
    errors = np.bitwise_count((signs(here) ^ there) & sure)
    told = (here != 0) & (there != 0)
    return np.where(told, (SIGNS - WEAK) // 2 - errors.astype(np.int64), 0)


def variants(words: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Sign patterns with every choice of the uncertain signs, and the index of the word each came from."""
    places = np.flatnonzero(words != 0)
    patterns = signs(words[places])[:, None]
    weak = weak_signs(words[places])
    for _ in range(WEAK):
        lowest = weak & (~weak + np.uint32(1))
        weak ^= lowest
        patterns = np.concatenate([patterns, patterns ^ lowest[:, None]], axis=1)
    return patterns.ravel(), np.repeat(places, patterns.shape[1])


def _once(matches: Iterable[Match]) -> Iterator[Match]:
    """Without those that another one tells better: the same stretch, less than a second beside."""
    kept: dict[tuple[str, str, str], list[Match]] = defaultdict(list)
    for match in sorted(matches, key=lambda m: (-(m.end - m.start) * m.similarity, m)):
        near = kept[match.recording_id, match.other_id, match.kind]
        if not any(_same(match, better) for better in near):
            near.append(match)
    yield from sorted(match for some in kept.values() for match in some)


def _same(one: Match, other: Match) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return abs(one.offset - other.offset) < _SAME_SECONDS and shared > 0.5 * (one.end - one.start)
