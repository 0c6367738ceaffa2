"""Cuts and captions as Arrow tables, and a writer of parts that a reader can map.

Arrays are lists of lists of a fixed size: pandas, DuckDB, polars and `datasets` read these with their shape (`datasets`
refuses the extension type for tensors). Parts are uncompressed, plain, without a dictionary, with one page per column
of a row group: the values are then contiguous at the end of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from manifests.parquet import SummedWriter

from .cut import StoredCut
from .spec import ANY_LENGTH, FORMAT, CacheSpec, Shape

FORMAT_KEY = b"lpse.features"
ROW_GROUP_CLIPS = 8
"""Larger groups make the footers shorter, but the levels of a group, which are read with it, longer."""

_ONE_PAGE = 1 << 30  # bytes; a row group is kept far below


PLAIN_COLUMNS: Mapping[str, pa.DataType] = {
    "cut_id": pa.string(),
    "clip": pa.int32(),
    "start": pa.float64(),
    "recording_id": pa.string(),
    "end": pa.float64(),
    "clips": pa.int32(),
    "has_video": pa.bool_(),
    "text_id": pa.string(),
    "caption": pa.string(),
}
"""The columns of parts that are not arrays; none has nulls."""


def clips_schema(spec: CacheSpec) -> pa.Schema:
    """One row per clip."""
    return _schema(("cut_id", "clip", "start"), spec.clip_shapes(), spec)


def cuts_schema(spec: CacheSpec) -> pa.Schema:
    """One row per cut."""
    plain = ("cut_id", "recording_id", "start", "end", "clips", "has_video")
    return _schema(plain, {**spec.cut_shapes(), **spec.whole_shapes()}, spec)


def texts_schema(spec: CacheSpec) -> pa.Schema:
    """One row per caption."""
    return _schema(("text_id", "caption"), spec.text_shapes(), spec)


def clip_rows(spec: CacheSpec, cut: StoredCut) -> pa.Table:
    """The rows of a cut's clips; video columns are null if the cut has no video."""
    count = len(cut.clip_starts)
    columns = {
        "cut_id": pa.array([cut.cut_id] * count, pa.string()),
        "clip": pa.array(np.arange(count, dtype=np.int32)),
        "start": pa.array(cut.clip_starts),
    }
    return _table(clips_schema(spec), columns, spec.clip_shapes(), cut.arrays, count)


def cut_row(spec: CacheSpec, cut: StoredCut) -> pa.Table:
    """The row of a cut; video columns are null if the cut has no video."""
    columns = {
        "cut_id": pa.array([cut.cut_id]),
        "recording_id": pa.array([cut.recording_id]),
        "start": pa.array([cut.start], pa.float64()),
        "end": pa.array([cut.end], pa.float64()),
        "clips": pa.array([len(cut.clip_starts)], pa.int32()),
        "has_video": pa.array([cut.has_video]),
    }
    shapes = {**spec.cut_shapes(), **spec.whole_shapes()}
    arrays = {name: cut.arrays[name][None] for name in shapes if name in cut.arrays}
    return _table(cuts_schema(spec), columns, shapes, arrays, 1)


def text_rows(spec: CacheSpec, texts: Mapping[str, tuple[str, NDArray[Any]]]) -> pa.Table:
    """The rows of captions with checked arrays."""
    columns = {"text_id": pa.array(list(texts)), "caption": pa.array([caption for caption, _ in texts.values()])}
    arrays = {"text": np.stack([array for _, array in texts.values()])}
    return _table(texts_schema(spec), columns, spec.text_shapes(), arrays, len(texts))


def part_writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of the mapped layout; its bytes depend on the rows and the tables they come in alone."""
    return SummedWriter(
        file,
        schema,
        compression="NONE",
        use_dictionary=False,
        data_page_size=_ONE_PAGE,
        write_page_checksum=True,
        write_statistics=False,  # no checksum covers them
    )


def _schema(plain: Sequence[str], shapes: Mapping[str, Shape], spec: CacheSpec) -> pa.Schema:
    columns = [pa.field(name, PLAIN_COLUMNS[name], nullable=False) for name in plain]
    columns += [pa.field(name, _list_type(shape, spec)) for name, shape in shapes.items()]
    return pa.schema(columns, {FORMAT_KEY: str(FORMAT).encode()})


def _list_type(shape: Shape, spec: CacheSpec) -> pa.DataType:
    result = pa.from_numpy_dtype(spec.dtype)
    for size in reversed(shape):
        result = pa.large_list(result) if size == ANY_LENGTH else pa.list_(result, size)
    return result


def _table(
    schema: pa.Schema,
    columns: Mapping[str, pa.Array],
    shapes: Mapping[str, Shape],
    arrays: Mapping[str, NDArray[Any]],
    count: int,
) -> pa.Table:
    lists = {
        name: _lists(arrays[name], shape) if name in arrays else pa.nulls(count, schema.field(name).type)
        for name, shape in shapes.items()
    }
    return pa.table({**columns, **lists}, schema=schema)


def _lists(array: NDArray[Any], shape: Shape) -> pa.Array:
    """(rows, *shape) as lists, one per row; the values are not copied."""
    result = pa.array(array.reshape(-1))
    for axis in reversed(range(len(shape))):
        if shape[axis] == ANY_LENGTH:
            offsets = np.arange(len(array) + 1, dtype=np.int64) * array.shape[axis + 1]
            result = pa.LargeListArray.from_arrays(pa.array(offsets), result)
        else:
            result = pa.FixedSizeListArray.from_arrays(result, shape[axis])
    return result
