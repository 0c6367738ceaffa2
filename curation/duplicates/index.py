"""The fingerprint index: finds recordings and positions of similar words; sorted postings on disk, memory mapped.

One word in SAMPLING is indexed, chosen by the word itself, so that a copy selects the same ones. An index is immutable;
several are searched together and merged now and then (`merge.py`), so that adding files stays cheap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from manifests.files import write_beside

from .fingerprint import KINDS, Fingerprint, Kind, short_hash, signs

FORMAT = 1
SAMPLING = 4
PER_ITEM = 4
"""Most postings of one word in one item, spread over it: a hum that repeats all day does not fill the index."""
CHECK_WORDS = 16
"""A posting also holds the signs of the word this much later, to reject chance hits without opening a file."""

_COLUMNS = ("keys", "items", "positions", "checks")  # all uint32 (postings,), sorted by key, item, position
_BUCKET = 8  # postings per bucket of the table, about
_MOST_BITS = 28  # a table of 2 GB, for 4 billion postings


@dataclass(frozen=True, eq=False)
class Postings:
    """Positions of words: parallel arrays (n,) of uint32."""

    keys: NDArray[np.uint32]
    items: NDArray[np.uint32]
    positions: NDArray[np.uint32]
    checks: NDArray[np.uint32]


@dataclass(frozen=True, order=True)
class IndexedSegment:
    """One segment of a recording, as named in an index."""

    recording_id: str
    item: str
    kind: Kind


class Index:
    """One part of the index, open for look-ups; `items` are numbered by the hash of their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        meta = folder / "index.json"
        try:
            header = json.loads(meta.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{meta}: not an index: {error}") from error
        if header.get("format") != FORMAT:
            raise ValueError(f"{meta}: format is {header.get('format')!r}, must be {FORMAT}")
        self.postings = Postings(*(_mapped(folder, name) for name in _COLUMNS))
        self.starts: NDArray[np.uint64] = _mapped(folder, "starts")
        self.hashes: NDArray[np.uint64] = _mapped(folder, "hashes")
        """uint64 (items,), ascending: the hash of the item's name."""
        self.recordings: NDArray[np.uint64] = _mapped(folder, "recordings")
        """uint64 (items,): the hash of the item's recording."""
        self._names: NDArray[np.uint8] = _mapped(folder, "names")
        self._name_ends: NDArray[np.uint64] = _mapped(folder, "name_ends")
        if len(self.postings.keys) != header["postings"] or len(self.hashes) != header["items"]:
            raise ValueError(
                f"{folder}: {len(self.postings.keys)} postings of {len(self.hashes)} items, "
                f"{meta.name} lists {header['postings']} of {header['items']}"
            )

    def __len__(self) -> int:
        """Number of postings, the size for `to_merge`."""
        return len(self.postings.keys)

    def item(self, number: int) -> IndexedSegment:
        """The item of a number. Raises IndexError for an unknown number."""
        if not 0 <= number < len(self.hashes):
            raise IndexError(f"{self.folder}: item {number} of {len(self.hashes)}")
        begin = int(self._name_ends[number - 1]) if number else 0
        item, recording_id, kind = json.loads(self._names[begin : int(self._name_ends[number])].tobytes())
        return IndexedSegment(recording_id, item, kind)

    def lookup(self, keys: NDArray[np.uint32], most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(index into `keys`, index of the posting), parallel, for the first `most` postings of each key."""
        if not len(self) or not len(keys):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        shift = np.uint32(32 - (len(self.starts) - 1).bit_length() + 1)
        bucket = (keys.astype(np.uint64) >> np.uint64(shift)).astype(np.intp)
        low, high = self.starts[bucket].astype(np.intp), self.starts[bucket + 1].astype(np.intp)
        ends, held = high.copy(), self.postings.keys
        # Halves all ranges at once; a table that grows with the index keeps the number of rounds constant.
        open_ = np.flatnonzero(low < high)
        while len(open_):
            middle = (low[open_] + high[open_]) >> 1
            before = held[middle] < keys[open_]
            low[open_] = np.where(before, middle + 1, low[open_])
            high[open_] = np.where(before, high[open_], middle)
            open_ = open_[low[open_] < high[open_]]
        which, positions = [], []
        open_ = np.flatnonzero(low < ends)
        for _ in range(most):
            open_ = open_[held[low[open_]] == keys[open_]]
            which.append(open_)
            positions.append(low[open_])
            low[open_] += 1
            open_ = open_[low[open_] < ends[open_]]
            if not len(open_):
                break
        return np.concatenate(which), np.concatenate(positions)


def key_of(sign_words: NDArray[np.uint32], kind: Kind) -> NDArray[np.uint32]:
    """Keys of sign patterns: well mixed, one to one for each kind, so that sorted keys are spread evenly.

    The mixing is the 32-bit finalizer of MurmurHash3 (Appleby, public domain).
    """
    key = sign_words ^ np.uint32(0x9E3779B9 * (KINDS.index(kind) + 1) & 0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        key = (key ^ (key >> np.uint32(shift))) * np.uint32(factor)
    return np.asarray(key ^ (key >> np.uint32(16)), np.uint32)


def sampled(keys: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """True for the keys that an index stores."""
    return np.asarray(keys % np.uint32(SAMPLING) == 0)


def check_signs(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The word that a posting of each word is checked by; 0 if it does not exist."""
    later = np.zeros_like(words)
    later[: max(0, len(words) - CHECK_WORDS)] = words[CHECK_WORDS:]
    return later


def write_index(folder: Path, prints: Iterable[Fingerprint]) -> None:
    """Write an index of the fingerprints into the empty folder; their order does not change the bytes.

    Uses 16 bytes per posting in memory, about 0.25 MB per hour of audio: index a large corpus in parts, then merge
    them. Raises ValueError for a folder that is not empty and for two fingerprints of one item.
    """
    named: dict[int, IndexedSegment] = {}
    parts: list[tuple[int, Postings]] = []
    for one in prints:
        number = short_hash(one.item)
        if number in named:
            raise ValueError(f"{folder}: two fingerprints of item {one.item}")
        named[number] = IndexedSegment(one.recording_id, one.item, one.kind)
        parts.append((number, postings_of(one)))
    ranks = {number: rank for rank, number in enumerate(sorted(named))}
    parts.sort(key=lambda part: part[0])
    empty = np.empty(0, np.uint32)
    keys, positions, checks = (
        np.concatenate([empty, *(getattr(part, name) for _, part in parts)]) for name in ("keys", "positions", "checks")
    )
    items = np.concatenate([empty, *(np.full(len(part.keys), ranks[number], np.uint32) for number, part in parts)])
    # Stable: within a key they stay in the order of items, then positions.
    order = np.argsort(keys, kind="stable")
    whole = Postings(keys[order], items[order], positions[order], checks[order])
    save(folder, [named[number] for number in sorted(named)], len(keys), iter([whole]))


def open_index(folder: Path) -> Index:
    """The index in the folder. Raises ValueError if it is not an index, or has another format."""
    return Index(folder)


def postings_of(one: Fingerprint) -> Postings:
    """Postings of the sampled words of a fingerprint, by position; at most PER_ITEM of each, evenly spread."""
    keys = key_of(signs(one.words), one.kind)
    positions = np.flatnonzero(sampled(keys) & (one.words != 0))
    positions = positions[np.argsort(keys[positions], kind="stable")]
    kept = np.sort(positions[spread(keys[positions])])
    numbers = np.zeros(len(kept), np.uint32)
    return Postings(keys[kept], numbers, kept.astype(np.uint32), signs(check_signs(one.words)[kept]))


def spread(keys: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """True for at most PER_ITEM occurrences of each key in the sorted array, evenly chosen."""
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    turn = np.arange(len(keys)) - np.repeat(first, counts)
    step = np.repeat(-(-counts // PER_ITEM), counts)
    return np.asarray(turn % np.maximum(step, 1) == 0)


def save(folder: Path, items: Sequence[IndexedSegment], count: int, pieces: Iterator[Postings]) -> None:
    """Write the index of these items, in the order of their hashes; `pieces` together are its sorted postings."""
    if any(folder.iterdir()):
        raise ValueError(f"{folder}: must be empty to write an index into")
    bits = min((count // _BUCKET).bit_length(), _MOST_BITS)
    heads = np.zeros((1 << bits) + 1, np.uint64)
    with _columns(folder, count) as files:
        for piece in pieces:
            for name, file in files.items():
                file.write(np.ascontiguousarray(getattr(piece, name), "<u4").tobytes())
            if len(piece.keys):
                numbers, counts = np.unique(piece.keys.astype(np.uint64) >> np.uint64(32 - bits), return_counts=True)
                heads[numbers.astype(np.intp) + 1] += counts.astype(np.uint64)
    names = [json.dumps([i.item, i.recording_id, i.kind]).encode("ascii") for i in items]
    arrays: dict[str, NDArray[np.generic]] = {
        "starts": np.cumsum(heads, dtype=np.uint64),
        "hashes": np.array([short_hash(i.item) for i in items], np.uint64),
        "recordings": np.array([short_hash(i.recording_id) for i in items], np.uint64),
        "names": np.frombuffer(b"".join(names), np.uint8),
        "name_ends": np.cumsum([len(name) for name in names], dtype=np.uint64),
    }
    for name, array in arrays.items():
        with write_beside(folder / f"{name}.npy") as file:
            np.save(file, array)
    # Last: a folder without it is not an index.
    with write_beside(folder / "index.json") as file:
        file.write(json.dumps({"format": FORMAT, "items": len(items), "postings": count}).encode("ascii"))


@contextmanager
def _columns(folder: Path, count: int) -> Iterator[dict[str, IO[bytes]]]:
    """The posting columns, open for writing after their headers."""
    write_header: Callable[..., None] = np.lib.format.write_array_header_1_0
    with ExitStack() as stack:
        files = {name: stack.enter_context(write_beside(folder / f"{name}.npy")) for name in _COLUMNS}
        for file in files.values():
            header = {"descr": "<u4", "fortran_order": False, "shape": (count,)}
            write_header(file, header)
        yield files


def _mapped(folder: Path, name: str) -> Any:
    path = folder / f"{name}.npy"
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
