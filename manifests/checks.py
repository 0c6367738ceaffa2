"""Checks of a table's rows, of one file of scores, and of the links between tables.

Checks run over whole Arrow columns; only rows at fault become Python objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .identity import cut_id
from .labels import load_labels
from .records import RECORDS
from .schema import PRIMARY_KEYS, SCHEMAS, repeated_keys, sort_rows
from .scores import DECIBELS, PHYSICAL
from .time import to_ms

_READABLE = ("ok", "damaged", "truncated")
_MAX_SCORES_RATE = 25.0  # frames per second
_HALF_MS = 0.0005  # a cut's end is rounded to the nearest millisecond, so it may pass the recording's by this much
_DECODED_BEYOND = 0.5  # seconds
_NOISE = 1e-6  # relative or in seconds: what floats lose on the way


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong: `item` is the row's primary key, or the file below the corpus folder."""

    table: str
    item: str
    problem: str


def check_rows(name: str, table: pa.Table) -> Iterator[Fault]:
    """Faults that rows show by themselves: nulls, infinities, foreign words, times, ids, repeated keys."""
    for field in SCHEMAS[name]:
        column = table[field.name]
        if not field.nullable:
            yield from _faults(name, table, pc.is_null(column), f"{field.name} is null")
        if pa.types.is_floating(field.type):
            not_finite = pc.invert(pc.is_finite(column))
            yield from _faults(name, table, not_finite, f"{field.name} is {{{field.name}}}, must be finite")
    for column_name, words in _vocabulary(name).items():
        problem = f"{column_name} {{{column_name}!r}} is not one of {', '.join(words)}"
        yield from _faults(name, table, _not_among(table[column_name], pa.array(words)), problem)
    if "start" in table.column_names and "end" in table.column_names:
        start, end = table["start"], table["end"]
        yield from _faults(name, table, pc.less(start, 0), "starts at {start} s, before 0")
        yield from _faults(name, table, pc.greater_equal(start, end), "starts at {start} s, ends at {end} s")
    if "start_ms" in table.column_names:
        start, end = table["start_ms"], table["end_ms"]
        yield from _faults(name, table, pc.less(start, 0), "starts at {start_ms} ms, before 0")
        yield from _faults(name, table, pc.greater_equal(start, end), "starts at {start_ms} ms, ends at {end_ms} ms")
    if name == "recordings":
        yield from _faults(name, table, pc.less(table["duration"], 0), "lasts {duration} s, less than 0")
    if name == "ratings":
        outside = pc.or_(pc.less(table["score"], 1), pc.greater(table["score"], 5))
        yield from _faults(name, table, outside, "score {score} must be 1 to 5")
    if name == "cuts":
        yield from _check_cut_ids(table)
    yield from _faults(name, repeated_keys(name, sort_rows(name, table)), None, "primary key is there twice")


def check_links(tables: Mapping[str, pa.Table]) -> Iterator[Fault]:
    """Faults between tables; a table that is not given is not judged, nor is anything by it."""
    drops, cuts, recordings = tables.get("drops"), tables.get("cuts"), tables.get("recordings")
    if recordings is not None:
        ids = recordings["recording_id"].combine_chunks()
        heard = ("tasks", "annotations", "verdicts", "ratings")
        links = [(name, "recording_id") for name in ("sources", "events", "cuts", "duplicates", *heard)]
        for name, column in [*links, ("duplicates", "kept_id")]:
            if name in tables:
                dangling = _not_among(tables[name][column], ids)
                yield from _faults(name, tables[name], dangling, f"recording {{{column}}} is not in recordings")
        for name in ("events", "cuts", "duplicates"):
            if name in tables:
                durations = recordings["duration"].take(pc.index_in(tables[name]["recording_id"], ids))
                table = tables[name].append_column("lasts", durations)
                late = pc.greater(table["end"], pc.add(table["lasts"], _HALF_MS + _NOISE))
                yield from _faults(name, table, late, "ends at {end} s, the recording lasts {lasts} s")
    for name, column, target in (("annotations", "task_key", "tasks"), ("verdicts", "supersedes", "verdicts")):
        if name in tables and target in tables:
            (key,) = PRIMARY_KEYS[target]
            dangling = _not_among(tables[name][column], tables[target][key].combine_chunks())
            yield from _faults(name, tables[name], dangling, f"{column} {{{column}}} is not in {target}")
    if "verdicts" in tables:
        named = tables["verdicts"].filter(pc.is_valid(tables["verdicts"]["supersedes"]))
        counts = named.group_by("supersedes").aggregate([("verdict_id", "count")])
        twice = counts.filter(pc.greater(counts["verdict_id_count"], 1))["supersedes"].combine_chunks()
        both = pc.is_in(named["supersedes"], value_set=twice)
        yield from _faults("verdicts", named, both, "supersedes {supersedes}, as another row does")
    if drops is not None and "sources" in tables:
        sources = tables["sources"]
        lost = pc.and_(pc.is_null(sources["recording_id"]), _not_among(sources["source_id"], _dropped(drops, "source")))
        yield from _faults("sources", sources, lost, "has neither a recording nor a drop")
    if drops is not None and cuts is not None and recordings is not None:
        kept = cuts.filter(pc.is_in(cuts["decision"], pa.array(["accept", "review"])))["recording_id"]
        lost = pc.and_(
            pc.is_in(recordings["status"], pa.array(_READABLE)),
            pc.and_(
                _not_among(recordings["recording_id"], kept.combine_chunks()),
                _not_among(recordings["recording_id"], _dropped(drops, "recording")),
            ),
        )
        yield from _faults("recordings", recordings, lost, "has neither an accept or review cut nor a drop")


def check_recipe(tables: Mapping[str, pa.Table], active: str | None) -> Iterator[Fault]:
    """Cuts and drops of another recipe than the active one; drops of the stages before deciding have none."""
    for name in ("cuts", "drops"):
        if name in tables:
            hashes = tables[name]["recipe_hash"]
            other = _not_among(hashes, pa.array([] if active is None else [active], pa.string()))
            problem = f"decided by the recipe {{recipe_hash}}, the active one is {active}: lpse replay decides again"
            yield from _faults(name, tables[name], other, problem)


def check_scores(row: pa.Table, durations: Mapping[str, float | None] | None) -> Iterator[str]:
    """List the faults of one row of scores beside those of `check_rows`.

    `durations` of all recordings in seconds, None when not known.
    """
    small = [name for name in row.column_names if name not in ("values", "tag_ids", "tag_scores")]
    if any(row[field.name].null_count for field in SCHEMAS["scores"] if not field.nullable):
        return
    scores = row.select(small).to_pylist()[0]
    start, hop, frames, labels = scores["start"], scores["hop"], scores["frames"], scores["labels"]
    if not hop > 0 or not scores["window"] > 0:
        yield f"hop {hop} s and window {scores['window']} s must be above 0"
    elif 1 / hop > _MAX_SCORES_RATE * (1 + _NOISE):
        yield f"hop {hop} s is more than {_MAX_SCORES_RATE:g} frames per second"
    if not labels or None in labels or len(set(labels)) < len(labels):
        yield f"labels {labels} must be there and differ"
    values = _numbers(row, "values")
    if frames < 0 or len(values) != frames * len(labels):
        yield f"{len(values)} values are not {frames} frames of {len(labels)} labels"
    elif scores["detector"] not in PHYSICAL:
        unit = [not str(label).endswith(DECIBELS) for label in labels]
        yield from _outside_unit("values", values.reshape(frames, len(labels))[:, unit].ravel())
    yield from _check_tags(row, scores["tags_per_frame"], scores["tag_hop"])
    if durations is not None:
        if scores["recording_id"] not in durations:
            yield f"recording {scores['recording_id']} is not in recordings"
            return
        duration = durations[scores["recording_id"]]
        # The last frame begins inside the recording; one more may have been padded, and of damaged audio decoders give
        # more than its packets promise.
        if duration is not None and start + (frames - 2) * hop > duration + _DECODED_BEYOND:
            yield f"{frames} frames of {hop} s from {start} s, the recording lasts {duration} s"


def check_print(row: pa.Table, durations: Mapping[str, float | None] | None) -> Iterator[str]:
    """List the faults of one row of fingerprints beside those of `check_rows`.

    `durations` of all recordings in seconds, None when not known.
    """
    if any(row[field.name].null_count for field in SCHEMAS["prints"]):
        return
    one = row.drop_columns(["words"]).to_pylist()[0]
    if not one["hop"] > 0:
        yield f"hop {one['hop']} s must be above 0"
    if one["start"] < 0:
        yield f"starts at {one['start']} s, before 0"
    if durations is not None and one["recording_id"] not in durations:
        yield f"recording {one['recording_id']} is not in recordings"


def check_continuous(rows: pa.Table) -> Iterator[str]:
    """List rows of one file that do not continue the row before, or differ from it in kind."""
    columns = ["start", "hop", "window", "labels", "frames", "version"]
    plain = rows.select(columns).to_pylist()
    for before, after in pairwise(plain):
        if None in (before["start"], before["hop"], before["frames"], after["start"]):
            continue
        if any(before[name] != after[name] for name in ("hop", "window", "labels", "version")):
            yield f"the row from {after['start']} s has another clock, labels or version than the one before"
        elif abs(before["start"] + before["frames"] * before["hop"] - after["start"]) > before["hop"] / 2:
            yield f"the row from {after['start']} s does not follow the one before"


def _check_tags(row: pa.Table, per_frame: int | None, hop: float | None) -> Iterator[str]:
    absent = [name for name in ("tag_ids", "tag_scores", "tags_per_frame", "tag_hop") if row[name].null_count]
    if absent:
        if len(absent) < 4:
            yield f"tags are there, but {', '.join(absent)} not"
        return
    ids, scores = _numbers(row, "tag_ids"), _numbers(row, "tag_scores")
    if per_frame is None or per_frame < 1 or len(ids) != len(scores) or len(ids) % per_frame:
        yield f"{len(ids)} tag_ids and {len(scores)} tag_scores are not frames of {per_frame} tags"
    if hop is None or not hop > 0:
        yield f"tag_hop {hop} s must be above 0"
    yield from _outside_unit("tag_scores", scores)


def _check_cut_ids(cuts: pa.Table) -> Iterator[Fault]:
    times = [cuts[name].to_numpy() for name in ("start", "end")]
    finite = np.isfinite(times[0]) & np.isfinite(times[1])
    whole = _whole_ms(times[0]) & _whole_ms(times[1])
    yield from _faults("cuts", cuts, pa.array(finite & ~whole), "[{start}, {end}) s is not on whole milliseconds")
    rows = cuts.select(["cut_id", "recording_id", "start", "end"]).filter(pa.array(finite & whole))
    for batch in rows.to_batches(max_chunksize=65_536):
        for row in batch.to_pylist():
            made = cut_id(row["recording_id"], to_ms(row["start"]), to_ms(row["end"]))
            if row["cut_id"] != made:
                yield Fault("cuts", str(row["cut_id"]), f"recording, start and end give the id {made}")


def _whole_ms(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(over="ignore"):
        whole: NDArray[np.bool_] = np.rint(seconds * 1000) / 1000 == seconds
    return whole


def _outside_unit(name: str, values: NDArray[np.floating]) -> Iterator[str]:
    outside = values[(values < 0) | (values > 1)]
    if len(outside):
        yield f"{len(outside)} of {len(values)} {name} are outside 0 to 1, first {outside[0]:g}"


def _numbers(row: pa.Table, name: str) -> NDArray[np.float64]:
    """The numbers of a list column's only row; nulls in it become NaN."""
    return np.asarray(row[name].combine_chunks().flatten().to_numpy(zero_copy_only=False), np.float64)


@cache
def _vocabulary(name: str) -> Mapping[str, tuple[str, ...]]:
    """The values that a column may contain: its record's `Literal`, for events the labels."""
    hints = get_type_hints(RECORDS[name])
    words = {column: get_args(hint) for column, hint in hints.items() if get_origin(hint) is Literal}
    return {**words, "label": load_labels().names} if name == "events" else words


def _dropped(drops: pa.Table, kind: str) -> pa.Array:
    return drops.filter(pc.equal(drops["item_kind"], kind))["item"].combine_chunks()


def _not_among(column: pa.ChunkedArray, known: pa.Array) -> pa.ChunkedArray:
    """True where there is a value and it is not one of `known`."""
    return pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=known)))


def _faults(name: str, table: pa.Table, mask: pa.ChunkedArray | None, problem: str) -> Iterator[Fault]:
    """A fault for every row where the mask is true (None: all rows); `problem` names columns in braces."""
    keys = PRIMARY_KEYS.get(name, ("stage", "key"))
    for row in (table if mask is None else table.filter(mask)).to_pylist():
        yield Fault(name, " ".join(str(row[key]) for key in keys), problem.format(**row))
