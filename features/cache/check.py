"""Find every fault of a cache in one pass: checksums, order, counts, values, and the index against the parts."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from manifests.files import leftovers, live_parts
from manifests.pages import PageError, pages

from .cut import not_finite
from .index import INDEX, find_cuts, find_texts, read_index
from .mapped import NULL, Part, fixed
from .parts import orphans, read_columns
from .spec import CacheError, CacheSpec, Shape, read_spec
from .staging import read_staged, staged
from .tables import clips_schema, cuts_schema, texts_schema


@dataclass(frozen=True)
class Problem:
    """A fault of a file of the cache; `file` is its path within the cache, `text` names row and column if it can."""

    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


def check(path: Path) -> list[Problem]:
    """All problems in a fixed order; empty for a sound cache. Bad content is listed, never raised.

    Reads every byte of every part once, with one row group in memory at a time.
    """
    try:
        spec = read_spec(path)
    except CacheError as error:
        return [Problem("set.json", str(error))]
    problems = list(_strays(path))
    readable = True
    for folder, schema in (("clips", clips_schema(spec)), ("cuts", cuts_schema(spec)), ("texts", texts_schema(spec))):
        for file in live_parts(path / folder):
            faults = [Problem(f"{folder}/{file.name}", text) for text in _check_part(file, spec, schema)]
            readable &= not faults
            problems += faults
    for cut_id in staged(path):
        try:
            read_staged(path, spec, cut_id)
        except CacheError as error:
            problems.append(Problem(f"staged/{cut_id}.parquet", _without_path(error, path)))
    if readable:  # rows that a broken part hides are not missing
        try:
            problems += _check_rows(path)
            problems += _check_index(path, spec)
        except CacheError as error:
            problems.append(Problem(".", _without_path(error, path)))
    return problems


def _strays(path: Path) -> Iterator[Problem]:
    for file in leftovers(path):
        yield Problem(str(file.relative_to(path)), "left by a writer that was killed")
    for file in orphans(path):
        yield Problem(
            str(file.relative_to(path)), "clips without their cuts: a commit was killed; the next one repeats it"
        )
    clips = {file.name for file in live_parts(path / "clips")}
    for file in live_parts(path / "cuts"):
        if file.name not in clips:
            yield Problem(f"cuts/{file.name}", "the clips of these cuts are missing")


def _check_part(file: Path, spec: CacheSpec, schema: pa.Schema) -> Iterator[str]:
    """Yield the faults within one part."""
    columns = {**spec.clip_shapes(), **spec.cut_shapes(), **spec.whole_shapes(), **spec.text_shapes()}
    shapes: dict[str, Shape] = {name: columns[name] for name in schema.names if name in columns}
    try:
        part = Part(file, shapes, spec.numpy_dtype)
        stored = pq.read_schema(file)
        missing = [name for name in schema.names if name not in stored.names]
        if missing:
            yield f"column {missing[0]} is missing"
            return
        intact = True
        for text in _check_pages(part):
            intact = False
            yield text
        if intact and (problem := part.sum_fault()):
            yield problem
        elif intact:
            yield from _check_values(part, shapes, spec)
    except (CacheError, pa.ArrowException, OSError, ValueError) as error:
        yield _without_path(error, file)


def _check_pages(part: Part) -> Iterator[str]:
    """Verify the checksum of every page; it covers the bytes as stored in the file."""
    for group, rows in enumerate(part.groups):
        for leaf in range(part.leaves):
            column, begin, end, compressed = part.chunk(group, leaf)
            where = f"rows {rows.start} to {rows.stop - 1}, column {column}"
            try:
                for at, header in pages(part.content, begin, end):
                    first = at + header.length
                    if not compressed and header.uncompressed != header.size:
                        raise PageError("the sizes of the page do not match")
                    content = part.content[first : first + header.size]
                    if header.crc is not None and zlib.crc32(content) != header.crc:
                        raise PageError("checksum does not match: the file has changed since it was written")
            except PageError as error:
                yield f"{where}: {error}"


def _check_values(part: Part, shapes: dict[str, Shape], spec: CacheSpec) -> Iterator[str]:
    """Yield rows with NaN or infinite values."""
    for name, shape in shapes.items():
        size = math.prod(shape) * spec.numpy_dtype.itemsize
        for row in range(part.rows):
            values: NDArray[Any]
            if fixed(shape):
                if part.locate(name, row) == NULL:
                    continue
                out = np.empty(size, np.uint8)
                part.fill(name, row, out)
                values = out.view(spec.numpy_dtype)
            else:
                values = part.whole(name, row)
            bad = int(not_finite(values).sum())
            if bad:
                yield f"row {row}, column {name}: {bad} values are not finite"


def _check_rows(path: Path) -> Iterator[Problem]:
    """Check that clips follow the order of their cuts, are numbered from 0, and no cut or text is stored twice."""
    seen: dict[str, str] = {}
    for cuts_file in live_parts(path / "cuts"):
        clips_file = path / "clips" / cuts_file.name
        if not clips_file.exists():
            continue
        cuts = read_columns(cuts_file, ["cut_id", "clips"])
        clips = read_columns(clips_file, ["cut_id", "clip", "start"])
        yield from (Problem(f"clips/{clips_file.name}", text) for text in _check_clips(cuts, clips))
        for row, cut_id in enumerate(cuts["cut_id"].to_pylist()):
            if cut_id in seen:
                text = f"row {row}: cut {cut_id} is stored twice, also in {seen[cut_id]}"
                yield Problem(f"cuts/{cuts_file.name}", text)
            seen.setdefault(cut_id, f"cuts/{cuts_file.name}")
    texts: dict[str, str] = {}
    for file in live_parts(path / "texts"):
        for row, text_id in enumerate(read_columns(file, ["text_id"])["text_id"].to_pylist()):
            if text_id in texts:
                text = f"row {row}: text {text_id} is stored twice, also in {texts[text_id]}"
                yield Problem(f"texts/{file.name}", text)
            texts.setdefault(text_id, f"texts/{file.name}")


def _check_clips(cuts: pa.Table, clips: pa.Table) -> Iterator[str]:
    """Yield the first row of each column in which the clips of a part differ from its cuts."""
    counts = cuts["clips"].to_numpy().astype(np.int64)
    if len(clips) != counts.sum() or counts.min(initial=0) < 0:
        yield f"{len(clips)} rows, its cuts have {counts.sum()} clips"
        return
    wanted = {
        "cut_id": np.repeat(np.asarray(cuts["cut_id"], object), counts),
        "clip": np.concatenate([np.arange(count) for count in counts] or [np.array([], np.int64)]),
    }
    for name, values in wanted.items():
        wrong = np.flatnonzero(np.asarray(clips[name]) != values)
        if len(wrong):
            row, value = int(wrong[0]), clips[name][int(wrong[0])].as_py()
            yield f"row {row}, column {name}: {value}, not {values[row]}"


def _check_index(path: Path, spec: CacheSpec) -> Iterator[Problem]:
    """Check the rows of the index against the parts."""
    if not (path / "index.parquet").exists():
        return
    try:
        index, places, texts = read_index(path), find_cuts(path), find_texts(path)
    except CacheError as error:
        yield Problem("index.parquet", _without_path(error, path))
        return
    repeated = len(index) - pc.count_distinct(index["cut_id"]).as_py()
    if repeated:
        yield Problem("index.parquet", f"{repeated} cuts are listed twice")
    for row, entry in enumerate(index.to_pylist()):
        where, place = f"row {row}, cut {entry['cut_id']}", places.get(entry["cut_id"])
        if place is None:
            if entry["state"] == "present":
                yield Problem("index.parquet", f"{where}: present, but in no part")
            continue
        entry["clip_starts"] = tuple(entry["clip_starts"])
        stored = {**vars(place), "clip_starts": place.starts}
        if entry["state"] == "withdrawn":  # its rows are not read, so its columns may be anything
            continue
        for name in INDEX.names:
            if name in stored and entry[name] != stored[name]:
                yield Problem("index.parquet", f"{where}, column {name}: {entry[name]}, stored {stored[name]}")
        at = entry["text_part"], entry["text_row"]
        if spec.text is not None and texts.get(entry["text_id"]) != at:
            yield Problem("index.parquet", f"{where}: text {entry['text_id']} is not in part {at[0]}, row {at[1]}")


def _without_path(error: Exception, path: Path) -> str:
    lines = str(error).removeprefix(f"{path}: ").splitlines()
    return lines[0] if lines else type(error).__name__
