"""What is kept of a recording beside the tables: its scores and fingerprints, each in a file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from manifests.fits import fits_folder
from manifests.identity import digest
from manifests.recipe import Recipe
from manifests.scores import FrameScores, Tags, from_rows, to_rows
from manifests.store import Corpus, read_shard, shard_path, write_shard
from manifests.time import Segment, Timeline, from_ms, to_ms

from .detectors import Setup, spec
from .duplicates import Kind, Print, new_print, version
from .duplicates.prints import SPECS


def setup_of(corpus: Corpus, recipe: Recipe) -> Setup:
    """What the recipe's detectors need from outside: the user's weights, and the fits in use in the corpus."""
    return Setup(
        weights=tuple(sorted(recipe.weights.items())),
        runtimes=tuple(sorted(recipe.runtimes.items())),
        fits=fits_folder(corpus),
        active=tuple((name, hashes[-1]) for name, hashes in sorted(corpus.fits.items()) if hashes),
    )


def kept(corpus: Corpus, recording_id: str, detector: str, setup: Setup) -> Path:
    """Where a detector's scores of a recording are kept."""
    return shard_path(corpus, "scores", recording_id, detector, spec(detector, setup).key(recording_id))


def keep_scores(
    corpus: Corpus,
    recording_id: str,
    detector: str,
    setup: Setup,
    scores: FrameScores,
    known: FrameScores | None = None,
) -> None:
    """Keep a detector's scores; those it gave `known` seconds before stay where it was not asked again."""
    one = spec(detector, setup)
    full = scores if known is None else merged(known, scores)
    rows = to_rows(full, recording_id=recording_id, detector=detector, version=one.version, key=one.key(recording_id))
    write_shard(corpus, "scores", rows, over=known is not None)


def load_scores(corpus: Corpus, recording_id: str, detectors: Sequence[str], setup: Setup) -> dict[str, FrameScores]:
    """The kept scores of a recording, by detector; one that never heard it is left out."""
    found = {}
    for name in detectors:
        key = spec(name, setup).key(recording_id)
        try:
            found[name] = from_rows(read_shard(corpus, "scores", recording_id, name, key))
        except FileNotFoundError:
            continue
    return found


def merged(known: FrameScores, new: FrameScores) -> FrameScores:
    """Two hearings of one recording by one detector: `new` where it heard something, else `known`."""
    # how many frames an end gives that nobody heard is a guess: whoever heard it knows
    told = [len(one) for one in (new, known) if len(one) and not np.isnan(one.values[-1]).all()]
    count = told[0] if told else max(len(known), len(new))
    ours, theirs = _values(new, count), _values(known, count)
    asked = np.asarray(~np.isnan(ours).all(axis=1))
    tags = _merged_tags(known.tags, new.tags, asked)
    return replace(known, values=np.where(asked[:, None], ours, theirs), tags=tags)


def _values(scores: FrameScores, count: int) -> NDArray[np.float16]:
    padded = np.full((count, len(scores.labels)), np.nan, np.float16)
    padded[: len(scores)] = scores.values[:count]
    return padded


def _merged_tags(known: Tags | None, new: Tags | None, asked: NDArray[np.bool_]) -> Tags | None:
    if known is None or new is None:
        return new or known
    count, width = len(asked), known.ids.shape[1]
    ids, scores = np.full((count, width), -1, np.int16), np.full((count, width), np.nan, np.float16)
    for tags, rows in ((known, ~asked), (new, asked)):
        shared = min(count, len(tags.ids))
        chosen = np.flatnonzero(rows[:shared])
        ids[chosen], scores[chosen] = tags.ids[chosen], tags.scores[chosen]
    return Tags(ids, scores, known.hop)


def print_key(recording_id: str, kind: Kind) -> str:
    """Content key of a recording's fingerprint of one kind."""
    return digest("print", recording_id, version(kind))


def keep_prints(
    corpus: Corpus, recording_id: str, kind: Kind, stretches: Iterable[tuple[float, NDArray[np.uint64]]]
) -> None:
    """Keep the words of stretches, (begin in seconds, words); stretches kept before stay as they are."""
    key = print_key(recording_id, kind)
    path = shard_path(corpus, "prints", recording_id, kind, key)
    rows: dict[float, dict[str, object]] = {}
    for begin, words in stretches:
        rows[begin] = {
            "recording_id": recording_id,
            "kind": kind,
            "key": key,
            "version": version(kind),
            "start": begin,
            "hop": SPECS[kind].hop,
            "words": words,
        }
    if path.exists():
        known = read_shard(corpus, "prints", recording_id, kind, key)
        for number, begin in enumerate(known["start"].to_pylist()):
            one = known.slice(number, 1)
            rows[begin] = {**one.drop_columns(["words"]).to_pylist()[0], "words": _words(one)}
    if rows:
        write_shard(corpus, "prints", [rows[begin] for begin in sorted(rows)], over=True)


def print_items(corpus: Corpus, kind: Kind, recordings: Iterable[str]) -> list[str]:
    """The stretches of the recordings whose fingerprints are kept, as names that `load_print` takes, sorted."""
    items = []
    for recording_id in recordings:
        key = print_key(recording_id, kind)
        path = shard_path(corpus, "prints", recording_id, kind, key)
        if path.exists():
            starts = pq.read_table(path, columns=["start"])["start"].to_pylist()
            items += [f"{recording_id}-{kind}-{key}-{to_ms(start)}" for start in starts]
    return sorted(items)


def load_print(corpus: Corpus, item: str) -> Print:
    """The fingerprint of a stretch. Raises FileNotFoundError or KeyError for one that is not kept any more."""
    recording_id, kind, key, start_ms = item.split("-")
    table = read_shard(corpus, "prints", recording_id, kind, key)
    for number, begin in enumerate(table["start"].to_pylist()):
        if to_ms(begin) == int(start_ms):
            return new_print(item, recording_id, kind, begin, _words(table.slice(number, 1)))  # type: ignore[arg-type]
    raise KeyError(f"{item}: no stretch starts there")


def _words(row: pa.Table) -> NDArray[np.uint64]:
    return np.asarray(row["words"].combine_chunks().flatten().to_numpy(zero_copy_only=False), np.uint64)


def in_ms(timeline: Timeline) -> list[list[int]]:
    """A timeline as JSON holds it."""
    return [[to_ms(segment.start), to_ms(segment.end)] for segment in timeline]


def from_in_ms(pairs: Iterable[Sequence[int]]) -> Timeline:
    """The timeline of `in_ms`."""
    return Timeline(Segment(from_ms(start), from_ms(end)) for start, end in pairs)
