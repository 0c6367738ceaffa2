"""One part, mapped into memory: rows are copied straight out of the file if its layout allows it."""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from manifests.declared import check_group, check_rows, chunk_span, fixed_bytes, map_file
from manifests.footer import check_footer
from manifests.pages import DATA_PAGE, PLAIN, RLE, PageError, page_header
from manifests.parquet import sum_fault

from .page import NotDirect, check_levels
from .spec import ANY_LENGTH, CacheError, Shape

_LOG = logging.getLogger(__name__)
UNKNOWN, NULL, DECODED = -1, -2, -3
"""In place of a row's position in the file: not located yet; null; pyarrow has to decode it."""

_HEADER = 4096  # bytes; a header without statistics takes some thirty


class Part:
    """A Parquet file whose columns `shapes` are arrays, one per row. Raises CacheError for any other file.

    `places[column][row]` is the position of the row's values in `data`, or UNKNOWN, NULL or DECODED. `fill` copies any
    row.
    """

    def __init__(self, path: Path, shapes: Mapping[str, Shape], dtype: np.dtype[Any]) -> None:
        self.path = path
        self._shapes, self._dtype = dict(shapes), dtype
        try:
            self._map = map_file(path)
            self._metadata = pq.read_metadata(path)
            stored = self._metadata.schema.to_arrow_schema()
            check_rows(self._metadata, {field.name: fixed_bytes(field.type) for field in stored}, len(self._map))
            row_bytes = {name: math.prod(shape) * dtype.itemsize for name, shape in shapes.items() if fixed(shape)}
            check_rows(self._metadata, row_bytes, len(self._map))
            schema = self._metadata.schema
            self._columns = [schema.column(leaf).path.split(".")[0] for leaf in range(len(schema))]
        except FileNotFoundError:
            raise CacheError(f"{path}: missing; the index refers to it") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CacheError(f"{path}: truncated, or not a Parquet file: {error}") from error
        self.data: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        counts = [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]
        self._firsts = [0, *accumulate(counts)]
        self.rows = self._firsts[-1]
        missing = [name for name in self._shapes if name not in self._columns]
        if missing:
            raise CacheError(f"{path}: column {missing[0]} is missing")
        self._leaves = {name: self._columns.index(name) for name in self._shapes}
        self._right_type = {name: self._has_right_type(leaf) for name, leaf in self._leaves.items()}
        self.places = {name: [UNKNOWN] * self.rows for name in self._shapes}
        self._known_levels: dict[bytes, tuple[int, ...]] = {}
        self._decoded: dict[str, tuple[int, NDArray[Any]]] = {}
        self._warned = self._footer_checked = False

    def sum_fault(self) -> str | None:
        """The fault of a part whose bytes do not match its checksum; None for a part without one. Reads all bytes."""
        return sum_fault(self._metadata, self._map)

    @property
    def groups(self) -> list[range]:
        """The rows of each row group."""
        return [range(first, last) for first, last in zip(self._firsts, self._firsts[1:], strict=False)]

    def fill(self, name: str, row: int, out: NDArray[np.uint8]) -> None:
        """Copy the bytes of a row's array into `out`; zeros if null. Raises CacheError naming file, row and column."""
        place = self.locate(name, row)
        if place >= 0:
            out[:] = self.data[place : place + len(out)]
        elif place == NULL:
            out[:] = 0
        else:
            first, values = self._decode(name, row)
            out[:] = values[row - first].reshape(-1).view(np.uint8)

    def whole(self, name: str, row: int) -> NDArray[Any]:
        """A row's sequence (T, D), of any length; T is 0 if it is null."""
        group = self._group(row)
        size = self._shapes[name][1]
        if self._firsts[group + 1] - self._firsts[group] == 1:
            chunk = self._chunk(group, self._leaves[name])
            try:
                if chunk.num_values % size:
                    raise NotDirect("null, or incomplete vectors")
                shape = (chunk.num_values // size, size)
                place = self._payload(name, chunk, (1, *shape))
                return np.frombuffer(self._map, self._dtype, chunk.num_values, place).reshape(shape).copy()
            except PageError as reason:
                if chunk.num_values > 1:
                    self._warn(name, reason)
        values = self._read(name, group).slice(row - self._firsts[group], 1)
        return self._flat(name, values.drop_null(), row).reshape(-1, size).copy()

    def locate(self, name: str, row: int) -> int:
        """Position of the row's values, or NULL or DECODED; locates the rest of its row group too."""
        places = self.places[name]
        if places[row] == UNKNOWN:
            group = self._group(row)
            first, last = self._firsts[group : group + 2]
            count, shape = last - first, self._shapes[name]
            row_values = math.prod(shape)
            chunk = self._chunk(group, self._leaves[name])
            if chunk.num_values == count and row_values > 1 and self._all_null(name, group):
                places[first:last] = [NULL] * count
            else:
                try:
                    start, step = self._payload(name, chunk, (count, *shape)), row_values * self._dtype.itemsize
                    places[first:last] = [start + step * index for index in range(count)]
                except PageError as reason:
                    self._warn(name, reason)
                    places[first:last] = [DECODED] * count
        return int(places[row])

    def chunk(self, group: int, leaf: int) -> tuple[str, int, int, bool]:
        """Column, begin and end (in bytes) of a leaf of a row group, and whether it is compressed."""
        chunk = self._chunk(group, leaf)
        return self._columns[leaf], *chunk_span(chunk), chunk.compression != "UNCOMPRESSED"

    def _chunk(self, group: int, leaf: int) -> Any:
        """The footer's entry of a leaf of a row group. Raises CacheError where pyarrow would end this process."""
        if not self._footer_checked:  # here, not where parts are opened: a large cache opens at once
            try:
                check_footer(self.content, self._metadata)
            except PageError as error:
                raise CacheError(f"{self.path}: unreadable: {error}") from error
            self._footer_checked = True
        return self._metadata.row_group(group).column(leaf)

    @property
    def content(self) -> memoryview:
        """Bytes of the file."""
        return memoryview(self._map)

    @property
    def leaves(self) -> int:
        """Number of leaf columns."""
        return len(self._metadata.schema)

    def _group(self, row: int) -> int:
        if not 0 <= row < self.rows:
            raise CacheError(f"{self.path}: row {row} of {self.rows}; the index refers to it")
        return bisect_right(self._firsts, row) - 1

    def _payload(self, name: str, chunk: Any, shape: Shape) -> int:
        """Position of the values of a column chunk. Raises NotDirect unless they are stored as (rows, *sizes)."""
        payload = math.prod(shape) * self._dtype.itemsize
        if not self._right_type[name]:
            raise NotDirect(f"values are not {self._dtype}")
        if chunk.compression != "UNCOMPRESSED":
            raise NotDirect(f"compressed with {chunk.compression}")
        if chunk.has_dictionary_page or not {"PLAIN", "RLE"}.issuperset(chunk.encodings):
            raise NotDirect(f"encoded as {', '.join(chunk.encodings)}")
        if chunk.num_values != math.prod(shape):
            raise NotDirect(f"{chunk.num_values} values, not {math.prod(shape)}")
        begin, size = chunk.data_page_offset, chunk.total_compressed_size
        if begin < 0 or size < 0:
            raise NotDirect(f"{size} bytes from byte {begin} on")
        if begin + size > len(self.data):
            raise CacheError(f"{self.path}: truncated: {begin + size} bytes expected, the file has {len(self.data)}")
        header = page_header(self._map[begin : begin + min(size, _HEADER)])
        if header.kind != DATA_PAGE or header.length + header.size != size:
            raise NotDirect("more than one page")
        if header.encoding != PLAIN or {header.definition_encoding, header.repetition_encoding} != {RLE}:
            raise NotDirect("the encoding of the page is not plain")
        if header.values != chunk.num_values or header.uncompressed != header.size or header.size < payload:
            raise NotDirect("the sizes of the page do not match")
        start = int(begin + size - payload)
        levels = self._map[begin + header.length : start]
        if self._known_levels.get(levels) != shape:
            check_levels(levels, shape, self._metadata.schema.column(self._leaves[name]).max_definition_level)
            if len(levels) < 1 << 16:
                self._known_levels[levels] = shape
        return start

    def _has_right_type(self, leaf: int) -> bool:
        column = self._metadata.schema.column(leaf)
        if self._dtype.itemsize == 2:
            return bool(column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.logical_type.type == "FLOAT16")
        return bool(column.physical_type == "FLOAT")

    def _all_null(self, name: str, group: int) -> bool:
        values = self._read(name, group)
        return bool(values.null_count == len(values))

    def _decode(self, name: str, row: int) -> tuple[int, NDArray[Any]]:
        """The first row of the row's group, and the group's arrays; the last group of a column stays in memory."""
        group = self._group(row)
        known = self._decoded.get(name)
        if known is None or known[0] != group:
            column = self._read(name, group)
            valid = ~np.asarray(column.is_null())
            flat = self._flat(name, column.drop_null(), row)
            if flat.size != int(valid.sum()) * math.prod(self._shapes[name]):
                raise CacheError(
                    f"{self.path}: rows from {self._firsts[group]}, column {name}: the shape is not that of the cache"
                )
            values = np.zeros((len(column), *self._shapes[name]), self._dtype)
            values[valid] = flat.reshape(-1, *self._shapes[name])
            known = self._decoded[name] = group, values
        return self._firsts[group], known[1]

    def _flat(self, name: str, column: pa.Array, row: int) -> NDArray[Any]:
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        while isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
            column = column.flatten()
        if column.null_count or not pa.types.is_floating(column.type):
            raise CacheError(f"{self.path}: row {row}, column {name}: an array with nulls, or not of floats")
        return np.asarray(column).astype(self._dtype, copy=False)

    def _read(self, name: str, group: int) -> pa.Array:
        """A column of a row group, decoded by pyarrow with its checksums. Raises CacheError naming file and rows."""
        first, last = self._firsts[group : group + 2]
        try:
            leaves = [leaf for leaf, column in enumerate(self._columns) if column == name]
            self._chunk(group, leaves[0])
            check_group(self._metadata, self.content, group, leaves)
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                column = file.read_row_group(group, columns=[name], use_threads=False).column(0)
            if len(column) != last - first:
                raise PageError(f"{len(column)} rows")
            return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        except (pa.ArrowException, OSError, ValueError) as error:  # names that are not UTF-8 are a ValueError
            text = f"{self.path}: rows {first} to {last - 1}, column {name}: unreadable: {error}"
            raise CacheError(text) from error

    def _warn(self, name: str, reason: PageError) -> None:
        """Warn once per part: decoding works, but takes many times as long."""
        if not self._warned:
            self._warned = True
            _LOG.warning("%s: column %s cannot be mapped (%s): pyarrow decodes it, slowly", self.path, name, reason)


def fixed(shape: Shape) -> bool:
    """True if all rows of a column have the same size."""
    return ANY_LENGTH not in shape
