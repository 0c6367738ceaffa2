"""Stores the fingerprints of a recording: words for each continuous segment, in one file per kind."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manifests.identity import digest
from manifests.shards import read_shard, recordings_with, shard_fault, write_shard
from manifests.store import Corpus
from manifests.time import to_ms

from . import FPS, Fingerprint, Kind, VideoFingerprinter, new_fingerprint, version
from .fingerprint import SPECS


class FingerprintSegments:
    """Computes fingerprints of frames on an even clock; a jump in time begins another segment."""

    def __init__(self) -> None:
        self._done: list[tuple[float, NDArray[np.uint64]]] = []
        self._fingerprinter: VideoFingerprinter | None = None
        self._begin = self._last = 0.0

    def push(self, time: float, image: NDArray[np.uint8]) -> None:
        """Add the frame (height, width, 3) displayed at `time` seconds."""
        if self._fingerprinter is None or time - self._last > 1.5 / FPS:
            self._close()
            self._fingerprinter, self._begin = VideoFingerprinter(), time
        self._fingerprinter.push(time, image)
        self._last = time

    def finish(self) -> list[tuple[float, NDArray[np.uint64]]]:
        """(begin in seconds, words) of every segment."""
        self._close()
        return self._done

    def _close(self) -> None:
        if self._fingerprinter is not None:
            self._done.append((self._begin, self._fingerprinter.finish()))
            self._fingerprinter = None


def fingerprint_key(recording_id: str, kind: Kind) -> str:
    """Content key of a recording's fingerprint of one kind."""
    return digest("print", recording_id, version(kind))


def save_fingerprints(
    corpus: Corpus, recording_id: str, kind: Kind, segments: Iterable[tuple[float, NDArray[np.uint64]]]
) -> None:
    """Store the words of segments, (begin in seconds, words); stored segments at other times are kept."""
    key = fingerprint_key(recording_id, kind)
    rows: dict[float, dict[str, object]] = {}
    for begin, words in segments:
        rows[begin] = {
            "recording_id": recording_id,
            "kind": kind,
            "key": key,
            "version": version(kind),
            "start": begin,
            "hop": SPECS[kind].hop,
            "words": words,
        }
    if shard_fault(corpus, "prints", recording_id, kind, key) is None:
        known = read_shard(corpus, "prints", recording_id, kind, key)
        for number, begin in enumerate(known["start"].to_pylist()):
            one = known.slice(number, 1)
            rows[begin] = {**one.drop_columns(["words"]).to_pylist()[0], "words": _words(one)}
    if rows:
        write_shard(corpus, "prints", [rows[begin] for begin in sorted(rows)], over=True)


def fingerprint_items(corpus: Corpus, kind: Kind, recordings: Iterable[str]) -> list[str]:
    """The stored segments of the recordings, as names for `load_fingerprint`, sorted; damaged files are left out."""
    items = []
    stored = recordings_with(corpus, "prints")
    for recording_id in recordings:
        if recording_id not in stored:
            continue
        key = fingerprint_key(recording_id, kind)
        if shard_fault(corpus, "prints", recording_id, kind, key):
            continue
        starts = read_shard(corpus, "prints", recording_id, kind, key, columns=["start"])["start"].to_pylist()
        items += [f"{recording_id}-{kind}-{key}-{to_ms(start)}" for start in starts]
    return sorted(items)


def load_fingerprint(corpus: Corpus, item: str) -> Fingerprint:
    """The fingerprint of a segment. Raises FileNotFoundError or KeyError if it is not stored any more."""
    recording_id, kind, key, start_ms = item.split("-")
    table = read_shard(corpus, "prints", recording_id, kind, key)
    for number, begin in enumerate(table["start"].to_pylist()):
        if to_ms(begin) == int(start_ms):
            return new_fingerprint(item, recording_id, kind, begin, _words(table.slice(number, 1)))  # type: ignore[arg-type]
    raise KeyError(f"{item}: no segment starts at that time")


def _words(row: pa.Table) -> NDArray[np.uint64]:
    return np.asarray(row["words"].combine_chunks().flatten().to_numpy(zero_copy_only=False), np.uint64)
