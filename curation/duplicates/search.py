"""Searches new segments in the index: a few look-ups per segment, then an alignment with the results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .align import BOUNDS, Bounds, Match, OnFault, align
from .fingerprint import SIGNS, WEAK, Fingerprint, Kind, short_hash, signs, weak_signs
from .index import Index, IndexedSegment, check_signs, key_of, sampled, spread

MOST_POSTINGS = 64
"""A word that more segments share is looked up in this many of them: a common hum costs no more than a rare one."""
MOST_CANDIDATES = 64
"""Most segments that a new segment is aligned with: the likeliest; chains of copies find the others."""
_DIAGONALS = 6  # of each of these segments
_EVIDENCE = 12
_LEAST = 3
"""A check word can agree in 13 signs beyond chance: _EVIDENCE is the least of a diagonal, _LEAST of a hit.

About one chance hit in two million passes alone, so that few unrelated segments are aligned in a large corpus.
"""
_CHUNK = 4096  # words looked up at a time
_CELL = 4  # diagonals counted together
_SAME_SECONDS = 1.0


def find_matches(
    new: Iterable[Fingerprint],
    parts: Sequence[Index],
    words_of: Callable[[str], Fingerprint],
    bounds: Mapping[Kind, Bounds] = BOUNDS,
    on_fault: OnFault | None = None,
) -> list[Match]:
    """All matches of the new segments with everything in `parts`, which already contain the new ones.

    `words_of` returns the fingerprint of any item that the parts name. The matches are sorted; each pair of recordings
    appears once per diagonal and segment, `recording_id` < `other_id`; a recording never matches itself. The order of
    `new` and of the parts, and the distribution of items over parts, make no difference. The order in which two files
    were added makes almost none: a pair is always aligned in the same order, but the uncertain signs that are tried
    both ways are the newer file's, so a pair at the limit may be found from one side only.

    A pair that cannot be aligned goes to `on_fault` and is left out; without `on_fault` its error is raised.
    """
    wanted: dict[tuple[IndexedSegment, IndexedSegment], set[int]] = defaultdict(set)
    for new_one in new:
        mine = IndexedSegment(new_one.recording_id, new_one.item, new_one.kind)
        for item, diagonal in candidates(new_one, parts):
            if mine < item:
                wanted[mine, item].add(diagonal)
            else:
                wanted[item, mine].add(-diagonal)
    # Pairs are sorted, so that one of the two is usually in the cache.
    load = lru_cache(maxsize=8)(words_of)
    matches: list[Match] = []
    for (one_item, other_item), diagonals in sorted(wanted.items()):
        try:
            one, other = load(one_item.item), load(other_item.item)
            for diagonal in sorted(diagonals):
                matches += align(one, other, diagonal, bounds[one_item.kind])
        except Exception as error:  # a fault in one pair must not end the run over all others
            if on_fault is None:
                raise
            on_fault(one_item.recording_id, other_item.recording_id, error)
    return list(_once(matches))


def candidates(one: Fingerprint, parts: Sequence[Index]) -> list[tuple[IndexedSegment, int]]:
    """(item, diagonal) of the most likely matches of the fingerprint in other recordings.

    A diagonal is the index of a word in the item less that of the similar word in `one`. Every hit counts by how far
    its check word is from chance: two hits on a diagonal with middling checks equal one hit with a good one.
    """
    hits = [_hits(one, first, parts) for first in range(0, len(one.words), _CHUNK)]
    if not sum(hit.shape[1] for hit in hits):
        return []
    owners, numbers, places, diagonals, evidence = np.concatenate(hits, axis=1)
    scores: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    # Two grids, half a cell apart: hits of one diagonal are in one cell of either.
    for shift in (0, _CELL // 2):
        table = np.stack([owners, numbers, (diagonals + shift) // _CELL, places, -evidence])
        table = table[:, np.lexsort(table[::-1])]
        # A position counts once per diagonal, by its best check: its variants are no further evidence.
        table = table[:, np.concatenate([[True], (np.diff(table[:4]) != 0).any(axis=0)])]
        first = np.flatnonzero(np.concatenate([[True], (np.diff(table[:3]) != 0).any(axis=0)]))
        sums = -np.add.reduceat(table[4], first)
        strong = sums >= _EVIDENCE
        for owner, number, cell, total in zip(*table[:3, first[strong]].tolist(), sums[strong].tolist(), strict=True):
            scores[owner, number].append((-total, cell * _CELL - shift + _CELL // 2))
    best = sorted(
        (min(some), parts[owner].item(number), _separate(sorted(some))) for (owner, number), some in scores.items()
    )
    same = [(item, diagonals) for _, item, diagonals in best if item.kind == one.kind]
    return [(item, diagonal) for item, some in same[:MOST_CANDIDATES] for diagonal in some]


def _separate(scored: list[tuple[int, int]]) -> list[int]:
    """The best diagonals, without neighbours of a better one."""
    kept: list[int] = []
    for _, diagonal in scored:
        if all(abs(diagonal - other) >= _CELL for other in kept):
            kept.append(diagonal)
    return kept[:_DIAGONALS]


def _hits(one: Fingerprint, first: int, parts: Sequence[Index]) -> NDArray[np.int64]:
    """(part, item number, position, diagonal, evidence) of each posting of a similar word, int64 (5, n)."""
    words = one.words[first : first + _CHUNK]
    patterns, places = variants(words)
    keys = key_of(patterns, one.kind)
    held = sampled(keys)
    keys, places = keys[held], places[held]
    order = np.argsort(keys, kind="stable")  # neighbours in the index are looked up together
    order = order[spread(keys[order])]
    keys, places = keys[order], places[order]
    wanted, begin, counts = np.unique(keys, return_index=True, return_counts=True)
    postings = [_postings(part, owner, wanted) for owner, part in enumerate(parts)]
    which, owners, at, names, positions = np.concatenate(postings, axis=1) if postings else np.empty((5, 0), np.uint64)
    if len(parts) > 1:  # the first of each word over all parts, as if they were one
        order = np.lexsort((positions, names, which))
        _, lead, sizes = np.unique(which[order], return_index=True, return_counts=True)
        order = order[np.arange(len(order)) - np.repeat(lead, sizes) < MOST_POSTINGS]
        which, owners, at = which[order], owners[order], at[order]
    # Each posting with every position of `one` that looked up its word.
    repeat = counts[which.astype(np.intp)]
    turn = np.arange(int(repeat.sum())) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    own = places[np.repeat(begin[which.astype(np.intp)], repeat) + turn]
    owners, at = np.repeat(owners, repeat), np.repeat(at, repeat)
    check = check_signs(one.words)[first + own]
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
                first + own[mine],
                position - (first + own[mine]),
                evidence,
            ]
        )
        other = part.recordings[numbers] != np.uint64(short_hash(one.recording_id))
        hits.append(table[:, other & (evidence >= _LEAST)])
    return np.concatenate(hits, axis=1) if hits else np.empty((5, 0), np.int64)


def _postings(part: Index, owner: int, wanted: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """(index into `wanted`, part, posting, hash of the item, position) of the postings of the keys, uint64 (5, n)."""
    which, at = part.lookup(wanted, MOST_POSTINGS)
    names = part.hashes[part.postings.items[at]]
    columns = (which, np.full(len(at), owner), at, names, part.postings.positions[at])
    return np.stack([column.astype(np.uint64) for column in columns])


def _evidence(own: NDArray[np.uint64], other: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Signs of check words (n,) that agree beyond the half that agrees by chance; 0 if a word is missing."""
    sure = ~weak_signs(own)
    errors = np.bitwise_count((signs(own) ^ other) & sure)
    compared = (own != 0) & (other != 0)
    return np.where(compared, (SIGNS - WEAK) // 2 - errors.astype(np.int64), 0)


def variants(words: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Sign patterns with every choice of the uncertain signs, and the index of each pattern's word."""
    places = np.flatnonzero(words != 0)
    patterns = signs(words[places])[:, None]
    weak = weak_signs(words[places])
    for _ in range(WEAK):
        lowest = weak & (~weak + np.uint32(1))
        weak ^= lowest
        patterns = np.concatenate([patterns, patterns ^ lowest[:, None]], axis=1)
    return patterns.ravel(), np.repeat(places, patterns.shape[1])


def _once(matches: Iterable[Match]) -> Iterator[Match]:
    """Yield matches without those that a better one covers: the same segment, less than a second apart."""
    kept: dict[tuple[str, str, str], list[Match]] = defaultdict(list)
    for match in sorted(matches, key=lambda m: (-(m.end - m.start) * m.similarity, m)):
        near = kept[match.recording_id, match.other_id, match.kind]
        if not any(_same(match, better) for better in near):
            near.append(match)
    yield from sorted(match for some in kept.values() for match in some)


def _same(one: Match, other: Match) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return abs(one.offset - other.offset) < _SAME_SECONDS and shared > 0.5 * (one.end - one.start)
