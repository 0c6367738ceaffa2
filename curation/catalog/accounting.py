"""The account: the outcome of each second of a corpus, and the dropped items by reason.

Everything is computed on Arrow columns: an account of a million cuts makes no Python object per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.records import CutDecision, ItemKind
from manifests.store import Corpus

from ..decision.decide import STAGE as DECIDE
from ..decision.human_evidence import ANNOTATOR
from ..runner.ledgered import CRASHED, RAISED

DECISIONS: tuple[CutDecision, ...] = ("accept", "review", "reject")
EXCLUDING = ("speech", "singing", "music", "artifact", "silence")
DUPLICATE = "duplicate"
OUTCOMES = (*DECISIONS, DUPLICATE, *EXCLUDING, "too_short", "undecided")
UNDECIDED = ("unscored", CRASHED, RAISED)
"""The reasons of recordings that the decision drops without having decided."""
ACCOUNT_TABLES: Mapping[str, tuple[str, ...]] = {
    "recordings": ("recording_id", "duration"),
    "events": ("recording_id", "start", "end", "label", "source"),
    "cuts": ("cut_id", "recording_id", "start", "end", "decision"),
    "drops": ("item", "item_kind", "stage", "reason"),
    "duplicates": ("recording_id", "start", "end"),
}
"""The tables that an account is made of, and the columns of each that it reads."""

_CLAIMS = (*DECISIONS, DUPLICATE, *EXCLUDING)  # the first claim on a second has it
_Places = NDArray[np.int64]
_Seconds = NDArray[np.float64]
_Spans = tuple[_Places, _Seconds, _Seconds, _Places]


@dataclass(frozen=True)
class CutTotal:
    """Number and total length of the cuts with one decision."""

    cuts: int
    seconds: float


@dataclass(frozen=True)
class DropTotal:
    """Items of one kind that were dropped for one reason; `seconds` is None if no length is known."""

    item_kind: ItemKind
    reason: str
    items: int
    seconds: float | None


@dataclass(frozen=True, eq=False)
class CorpusAccount:
    """Seconds by outcome: in all (`seconds`), and a row per recording (`outcomes`); `drops`, the largest first."""

    recordings: int
    seconds: Mapping[str, float]
    cuts: Mapping[CutDecision, CutTotal]
    drops: tuple[DropTotal, ...]
    outcomes: pa.Table = field(repr=False)

    @property
    def duration(self) -> float:
        """Length of all recordings, in seconds; an unreadable recording has length 0."""
        return sum(self.seconds.values())

    @cached_property
    def by_recording(self) -> Mapping[str, Mapping[str, float]]:
        """Seconds by outcome of each recording, by its id."""
        return {row.pop("recording_id"): row for row in self.outcomes.to_pylist()}


def read_account(corpus: Corpus) -> CorpusAccount:
    """The account of a corpus from its tables on disk. Raises CorpusError for tables that cannot be read."""
    return corpus_account(
        {name: corpus.table(name).to_arrow(list(columns)) for name, columns in ACCOUNT_TABLES.items()}
    )


def corpus_account(tables: Mapping[str, pa.Table]) -> CorpusAccount:
    """The account from the ACCOUNT_TABLES."""
    outcomes = outcomes_of(tables)
    return CorpusAccount(
        recordings=outcomes.num_rows,
        seconds={outcome: pc.sum(outcomes[outcome], min_count=0).as_py() for outcome in OUTCOMES},
        cuts=_cut_totals(tables["cuts"]),
        drops=_drop_totals(tables),
        outcomes=outcomes,
    )


def outcomes_of(tables: Mapping[str, pa.Table]) -> pa.Table:
    """A row per recording, in the order of `recordings`: `recording_id` and the seconds of each of OUTCOMES.

    The seconds of a row sum to the recording's duration. Time in cuts counts for their decision (the first of DECISIONS
    where cuts overlap). Other time of which a kept recording holds a copy is "duplicate"; of the rest, time in events
    counts for their label (the first of EXCLUDING where events overlap). The remainder is "too_short": pure, but in the
    padding of an event, or in no piece that is long enough for a cut. Regions of single annotators do not count:
    verdicts do. A recording without cuts that the decision did not drop was never decided on (no audio), nor was one
    that it dropped for one of UNDECIDED: all its time is "undecided".
    """
    recordings, events, cuts, drops, duplicates = (tables[name] for name in ACCOUNT_TABLES)
    names = recordings["recording_id"].combine_chunks()
    durations = np.nan_to_num(recordings["duration"].to_numpy(zero_copy_only=False).astype(np.float64))
    detected = events.filter(pc.invert(pc.starts_with(events["source"], ANNOTATOR)))
    cut_spans = _spans(cuts, names, cuts["decision"])
    # a copy that is only noted may be in cuts: nothing of it is lost for being a copy
    copies = _spans(duplicates, names, pa.chunked_array([pa.repeat(DUPLICATE, duplicates.num_rows)]))
    free = tuple(column[~_overlapping(*copies[:3], cut_spans)] for column in copies)
    spans = [cut_spans, free, _spans(detected, names, detected["label"])]
    seconds = _claimed([np.concatenate(part) for part in zip(*spans, strict=True)], durations)

    undecided = pc.is_in(drops["reason"], pa.array(UNDECIDED))
    dropped = drops.filter(pc.and_(pc.equal(drops["stage"], DECIDE), pc.invert(undecided)))
    settled = pc.is_in(names, pa.concat_arrays([_flat(cuts["recording_id"]), _flat(dropped["item"])]))
    decided = np.asarray(settled.to_numpy(zero_copy_only=False), np.bool_) & (durations > 0)
    columns = {outcome: np.where(decided, seconds[:, place], 0.0) for place, outcome in enumerate(_CLAIMS)}
    columns["too_short"] = np.where(decided, durations - seconds.sum(axis=1), 0.0).clip(min=0.0)
    columns["undecided"] = np.where(decided, 0.0, durations)
    return pa.table({"recording_id": names, **{outcome: columns[outcome] for outcome in OUTCOMES}})


def labels_inside(events: pa.Table, cuts: pa.Table, labels: Sequence[str]) -> pa.Array:
    """The `labels` of the events that overlap each cut, in their order: a list of strings per row of `cuts`."""
    names = _flat(cuts["recording_id"]).unique()
    of, starts, ends, _ = _spans(cuts, names, cuts["recording_id"])
    masks = np.zeros((len(starts), len(labels)), np.bool_)
    for place, label in enumerate(labels):
        labelled = events.filter(pc.equal(events["label"], label))
        masks[:, place] = _overlapping(of, starts, ends, _spans(labelled, names, labelled["label"]))
    offsets = np.concatenate([[0], np.cumsum(masks.sum(axis=1))])
    values = pa.array(list(labels), pa.string()).take(pa.array(np.nonzero(masks)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _cut_totals(cuts: pa.Table) -> dict[CutDecision, CutTotal]:
    lengths = pc.subtract(cuts["end"], cuts["start"])
    totals = {}
    for decision in DECISIONS:
        own = pc.equal(cuts["decision"], decision)
        totals[decision] = CutTotal(pc.sum(own, min_count=0).as_py(), pc.sum(lengths.filter(own), min_count=0).as_py())
    return totals


def _drop_totals(tables: Mapping[str, pa.Table]) -> tuple[DropTotal, ...]:
    """Drops counted by kind and reason; an item that two stages dropped for one reason counts once."""
    keys = ["item_kind", "reason"]
    items = tables["drops"].select([*keys, "item"]).group_by([*keys, "item"]).aggregate([])
    recordings, cuts = tables["recordings"], tables["cuts"]
    durations = recordings["duration"]
    known = {
        "recording": (recordings["recording_id"], pc.if_else(pc.greater(durations, 0), durations, None)),
        "cut": (cuts["cut_id"], pc.subtract(cuts["end"], cuts["start"])),
    }
    lengths = pa.nulls(items.num_rows, pa.float64())
    for kind, (names, seconds) in known.items():
        of_kind = pc.equal(items["item_kind"], kind)
        found = seconds.take(pc.index_in(items["item"], _flat(names))).cast(pa.float64())
        lengths = pc.if_else(of_kind, found, lengths)
    lengths = lengths if isinstance(lengths, pa.ChunkedArray) else pa.chunked_array([lengths])
    totals = (
        items.append_column("seconds", lengths)
        .group_by(keys)
        .aggregate([("item", "count"), ("seconds", "sum", pc.ScalarAggregateOptions(min_count=1))])
    )
    columns = (totals[name].to_pylist() for name in (*keys, "item_count", "seconds_sum"))
    rows = [DropTotal(*row) for row in zip(*columns, strict=True)]
    return tuple(sorted(rows, key=lambda t: (-(t.seconds or 0.0), -t.items, t.item_kind, t.reason)))


def _claimed(spans: Sequence[NDArray[np.float64]], durations: _Seconds) -> _Seconds:
    """Seconds (recording, claim): of all the spans that cover a moment, the first claim has it.

    A sweep: at every edge the number of open spans of one claim changes by one; between edges nothing does.
    """
    of, starts, ends, claim = spans
    total = np.zeros((len(durations), len(_CLAIMS)))
    starts, ends = np.clip(starts, 0, durations[of.astype(int)]), np.clip(ends, 0, durations[of.astype(int)])
    keep = (ends > starts) & (claim >= 0)
    of, starts, ends, claim = of[keep].astype(np.int64), starts[keep], ends[keep], claim[keep].astype(np.int64)
    if not len(of):
        return total
    times = np.concatenate([starts, ends])
    owners, claims = np.tile(of, 2), np.tile(claim, 2)
    steps = np.repeat(np.array([1, -1], np.int32), len(of))
    order = np.lexsort((times, owners))
    times, owners, claims, steps = times[order], owners[order], claims[order], steps[order]
    lengths = np.diff(times, append=times[-1])
    lengths[np.diff(owners, append=-1) != 0] = 0.0  # no span of a recording is open after its last edge
    taken = np.zeros(len(times), np.bool_)
    for place in range(len(_CLAIMS)):
        is_open = np.cumsum(np.where(claims == place, steps, 0)) > 0
        total[:, place] = np.bincount(owners, np.where(is_open & ~taken, lengths, 0.0), minlength=len(durations))
        taken |= is_open
    return total


def _overlapping(of: _Places, starts: _Seconds, ends: _Seconds, others: _Spans) -> NDArray[np.bool_]:
    """True for each span that overlaps any of the others of its recording."""
    owner, first, last, _ = others
    reach = max((float(column.max()) for column in (ends, last) if len(column)), default=0.0) + 1.0
    # of the others that begin before a span ends, those that ended before it begins do not overlap it
    begun = np.searchsorted(np.sort(owner * reach + first), of * reach + ends, side="left")
    over = np.searchsorted(np.sort(owner * reach + last), of * reach + starts, side="right")
    return np.asarray(begun > over)


def _spans(table: pa.Table, names: pa.Array, labels: pa.ChunkedArray) -> _Spans:
    """Per row: place of the recording in `names`, start, end, place of the label among the claims (-1 if missing).

    Rows of recordings that are not among the names are left out.
    """
    of = pc.fill_null(pc.index_in(table["recording_id"], names), -1).to_numpy()
    claim = pc.fill_null(pc.index_in(labels, pa.array(_CLAIMS, pa.string())), -1).to_numpy()
    known = of >= 0
    return (
        of[known].astype(np.int64),
        _numbers(table, "start")[known],
        _numbers(table, "end")[known],
        claim[known].astype(np.int64),
    )


def _numbers(table: pa.Table, column: str) -> _Seconds:
    numbers: _Seconds = table[column].to_numpy(zero_copy_only=False)
    return numbers


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays([pa.array([], pa.string()), *column.chunks])
