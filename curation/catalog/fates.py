"""The account of `account`, for very many rows: where each second went, by recording and fate, out of Arrow tables.

Equal to `account.account` for every recording, without a Python object a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..decision.decide import STAGE as DECIDE
from ..decision.human_evidence import ANNOTATOR
from .accounting import DECISIONS, DUPLICATE, EXCLUDING, OUTCOMES

_CLAIMS = (*DECISIONS, DUPLICATE, *EXCLUDING)  # the first one that claims a second has it
_Places = NDArray[np.int64]
_Seconds = NDArray[np.float64]
_Spans = tuple[_Places, _Seconds, _Seconds, _Places]


def outcomes_of(
    recordings: pa.Table, events: pa.Table, cuts: pa.Table, drops: pa.Table, duplicates: pa.Table
) -> pa.Table:
    """A row a recording, in the order of `recordings`: `recording_id` and the seconds of each of FATES.

    Of each table only some columns are used: recording_id, duration; recording_id, start, end, label, source;
    recording_id, start, end, decision; item, stage, reason; recording_id, start, end.
    """
    names = recordings["recording_id"].combine_chunks()
    durations = np.nan_to_num(recordings["duration"].to_numpy(zero_copy_only=False).astype(np.float64))
    own = events.filter(pc.invert(pc.starts_with(events["source"], ANNOTATOR)))
    cut_spans = _spans(cuts, names, cuts["decision"])
    copies = _spans(duplicates, names, pa.chunked_array([pa.repeat(DUPLICATE, duplicates.num_rows)]))
    free = tuple(column[~_overlapping(*copies[:3], cut_spans)] for column in copies)
    spans = [cut_spans, free, _spans(own, names, own["label"])]
    seconds = _claimed([np.concatenate(part) for part in zip(*spans, strict=True)], durations)

    decided = drops.filter(pc.and_(pc.equal(drops["stage"], DECIDE), pc.not_equal(drops["reason"], "unscored")))
    settled = pc.is_in(names, pa.concat_arrays([_flat(cuts["recording_id"]), _flat(decided["item"])]))
    heard = np.asarray(settled.to_numpy(zero_copy_only=False), np.bool_) & (durations > 0)
    columns = {fate: np.where(heard, seconds[:, place], 0.0) for place, fate in enumerate(_CLAIMS)}
    columns["too_short"] = np.where(heard, durations - seconds.sum(axis=1), 0.0).clip(min=0.0)
    columns["unheard"] = np.where(heard, 0.0, durations)
    return pa.table({"recording_id": names, **{fate: columns[fate] for fate in OUTCOMES}})


def labels_inside(events: pa.Table, cuts: pa.Table, labels: Sequence[str]) -> pa.Array:
    """Of each cut, the `labels` of the events that it overlaps, in their order: a list of strings a row."""
    names = _flat(cuts["recording_id"]).unique()
    of, starts, ends, _ = _spans(cuts, names, cuts["recording_id"])
    masks = np.zeros((len(starts), len(labels)), np.bool_)
    for place, label in enumerate(labels):
        found = events.filter(pc.equal(events["label"], label))
        masks[:, place] = _overlapping(of, starts, ends, _spans(found, names, found["label"]))
    offsets = np.concatenate([[0], np.cumsum(masks.sum(axis=1))])
    values = pa.array(list(labels), pa.string()).take(pa.array(np.nonzero(masks)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _claimed(spans: Sequence[NDArray[np.float64]], durations: _Seconds) -> _Seconds:
    """Seconds (recording, claim): of all the spans that cover a moment, the first claim has it.

    A sweep: at every edge each claim's number of open spans changes by one; between edges nothing does.
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
    lengths[np.diff(owners, append=-1) != 0] = 0.0  # from the last edge of a recording nothing goes on
    taken = np.zeros(len(times), np.bool_)
    for place in range(len(_CLAIMS)):
        is_open = np.cumsum(np.where(claims == place, steps, 0)) > 0
        total[:, place] = np.bincount(owners, np.where(is_open & ~taken, lengths, 0.0), minlength=len(durations))
        taken |= is_open
    return total


def _overlapping(of: _Places, starts: _Seconds, ends: _Seconds, others: _Spans) -> NDArray[np.bool_]:
    """Which spans overlap any of the others of their recording."""
    which, first, last, _ = others
    reach = max((float(column.max()) for column in (ends, last) if len(column)), default=0.0) + 1.0
    # of the others that begin before a span ends, those that ended before it begins do not overlap it
    begun = np.searchsorted(np.sort(which * reach + first), of * reach + ends, side="left")
    over = np.searchsorted(np.sort(which * reach + last), of * reach + starts, side="right")
    return np.asarray(begun > over)


def _spans(table: pa.Table, names: pa.Array, labels: pa.ChunkedArray) -> _Spans:
    """Place of the recording in `names`, start, end and place of the label among the claims (-1: none), a row each.

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
