"""Merges parts of an index: the result has the same bytes as an index of everything at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .index import Index, Postings, open_index, save

_CHUNK = 1 << 22
"""Postings sorted at a time, about: memory does not grow with the index."""


def to_merge(sizes: Sequence[int]) -> list[int]:
    """The parts, by their sizes, to merge into one: indices, ascending; none if no merge is needed.

    After the merge every part is at least twice as large as all smaller ones together, so there are at most log3(total)
    + 2 parts, and a posting is copied about as many times in total.
    """
    order = sorted(range(len(sizes)), key=lambda index: (sizes[index], index))
    smaller, merged = 0, 0
    for rank, index in enumerate(order):
        size = max(1, sizes[index])  # an empty part costs a look-up, too
        if size < 2 * smaller:
            merged = rank + 1
        smaller += size
    return sorted(order[:merged])


def merge_indexes(folders: Sequence[Path], folder: Path) -> None:
    """Write the index of everything in `folders` into the empty `folder`; the sources stay unchanged.

    Raises ValueError if an item is in two of them.
    """
    parts = [open_index(source) for source in folders]
    hashes = np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)])
    order = np.argsort(hashes, kind="stable")
    twice = np.flatnonzero(np.diff(hashes[order]) == 0)
    owners = np.repeat(np.arange(len(parts)), [len(part.hashes) for part in parts])
    own = np.concatenate([np.empty(0, np.intp), *(np.arange(len(part.hashes)) for part in parts)])
    if len(twice):
        both = [int(order[twice[0]]), int(order[twice[0] + 1])]
        name = parts[owners[both[0]]].item(int(own[both[0]])).item
        raise ValueError(f"item {name} is in {' and in '.join(str(folders[owners[i]]) for i in both)}")
    new_numbers = np.empty(len(hashes), np.uint32)
    new_numbers[order] = np.arange(len(hashes), dtype=np.uint32)
    renumber = np.split(new_numbers, np.cumsum([len(part.hashes) for part in parts])[:-1]) if parts else []
    items = [parts[owners[i]].item(int(own[i])) for i in order]
    save(folder, items, sum(map(len, parts)), _merged(parts, renumber))


def _merged(parts: Sequence[Index], renumber: Sequence[NDArray[np.uint32]]) -> Iterator[Postings]:
    """Yield all postings in order, one range of keys at a time."""
    chunks = max(1, sum(map(len, parts)) // _CHUNK)
    borders = np.linspace(0, 2**32, chunks + 1).astype(np.int64)
    for low, high in pairwise(borders.tolist()):
        pieces = []
        for part, numbers in zip(parts, renumber, strict=True):
            held = part.postings
            begin = int(np.searchsorted(held.keys, np.uint32(low)))
            end = len(held.keys) if high > 0xFFFFFFFF else int(np.searchsorted(held.keys, np.uint32(high)))
            span = slice(begin, end)
            pieces.append(Postings(held.keys[span], numbers[held.items[span]], held.positions[span], held.checks[span]))
        empty = np.empty(0, np.uint32)
        keys, items, positions, checks = (
            np.concatenate([empty, *(getattr(piece, name) for piece in pieces)])
            for name in ("keys", "items", "positions", "checks")
        )
        # An item is in one part only, where its positions are in order already.
        order = np.argsort(keys.astype(np.uint64) << np.uint64(32) | items, kind="stable")
        yield Postings(keys[order], items[order], positions[order], checks[order])
