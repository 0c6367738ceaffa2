"""Open Parquet files whose declared sizes have been compared with their bytes, before anything is allocated for them.

A page of a few bytes can declare 2^31 values, a footer 2^62 rows, a dictionary a megabyte of text for each row: a
reader that trusts them runs out of memory. The limits are far above what writers of honest files reach.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .files import NotRegular, open_regular
from .footer import check_footer
from .pages import DICTIONARY_PAGE, PageError, pages

_SLACK = 64 << 20
_FEW_ROWS = 1 << 16  # that a file of any size may have; a row of more takes a byte
_ROWS_RATIO = 64  # bytes of null arrays of fixed size in memory, per byte of the file
_VALUES_RATIO = 64  # values per byte before compression: a run of equal ones takes a few bits
_COMPRESSION = 1 << 12
_PAGE_SLACK = 1 << 20


def map_file(path: Path) -> mmap.mmap:
    """The bytes of a regular file, mapped. Raises OSError for any other kind, and for an empty file."""
    with open_regular(path) as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise NotRegular("empty file") from error


def check_rows(metadata: pq.FileMetaData, row_bytes: Mapping[str, int], size: int) -> None:
    """Raises PageError unless a file of `size` bytes can have the rows that its footer declares.

    `row_bytes`: by column, the memory that a row takes even if it is null.
    """
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    rows = sum(counts)
    if min(counts, default=0) < 0 or rows > size + _FEW_ROWS:
        raise PageError(f"{rows} rows declared in {size} bytes")
    for name, bytes in row_bytes.items():
        if rows * bytes > _ROWS_RATIO * size + _SLACK:
            raise PageError(f"column {name}: {rows} rows of {bytes} bytes declared in {size} bytes")


def check_group(metadata: pq.FileMetaData, data: memoryview, group: int, leaves: Iterable[int]) -> set[int]:
    """Raises PageError if the pages of `leaves` in a row group declare more than they can contain.

    Returns the leaves whose dictionary, repeated for each value, could be too large.
    """
    rows, schema, large = metadata.row_group(group), metadata.schema, set()
    count = rows.num_rows
    for leaf in leaves:
        chunk = rows.column(leaf)
        declared = chunk.num_values
        # an empty group has no pages; a column without lists is read to its row count, whatever its pages declare, and
        # is small even if its text is repeated for each row
        plain = declared == count and not (count and schema.column(leaf).max_repetition_level)
        if plain and 0 <= count * chunk.total_uncompressed_size <= _SLACK:
            continue
        begin, end = chunk_span(chunk)
        values = uncompressed = longest = 0
        for _, header in pages(data, begin, end):
            values += header.values or 0
            uncompressed += header.uncompressed
            longest = max(longest, header.uncompressed if header.kind == DICTIONARY_PAGE else 0)
        where = f"column {schema.column(leaf).path.split('.')[0]}"
        if values != declared or values > count + _VALUES_RATIO * (uncompressed + _PAGE_SLACK):
            raise PageError(f"{where}: {declared} values declared, its pages have {values}")
        if uncompressed > _COMPRESSION * (end - begin) + _PAGE_SLACK:
            raise PageError(f"{where}: {uncompressed} bytes declared in {end - begin}")
        if values * longest > _SLACK:
            large.add(leaf)
    return large


def chunk_span(chunk: Any) -> tuple[int, int]:
    """Begin and end, in bytes of the file, of a column in a row group."""
    begin = chunk.data_page_offset
    if chunk.dictionary_page_offset:
        begin = min(begin, chunk.dictionary_page_offset)
    return begin, begin + chunk.total_compressed_size


def open_declared(
    path: Path, columns: Sequence[str] | None = None, *, checksums: bool = False, content: bytes | None = None
) -> pq.ParquetFile:
    """An open Parquet file whose `columns` (None: all; none of them: its rows alone) declare no more than they contain.

    `content`: all of its bytes, if they were read. Raises PageError, one line without the path, for other files;
    OSError and Arrow's errors as Arrow does.
    """
    data = memoryview(map_file(path) if content is None else content)
    source = path if content is None else pa.BufferReader(content)
    file = pq.ParquetFile(source, page_checksum_verification=checksums)
    check_rows(file.metadata, {field.name: fixed_bytes(field.type) for field in file.schema_arrow}, len(data))
    wanted = None if columns is None else set(columns)
    schema = file.metadata.schema
    try:
        names = [schema.column(leaf).path.split(".")[0] for leaf in range(len(schema))]
    except UnicodeDecodeError as error:
        raise PageError(f"the name of a column is not UTF-8: {error.reason}") from error
    leaves = [leaf for leaf, name in enumerate(names) if wanted is None or name in wanted]
    if leaves:
        check_footer(data, file.metadata)
    groups = range(file.metadata.num_row_groups if leaves else 0)
    large = {leaf for group in groups for leaf in check_group(file.metadata, data, group, leaves)}
    for leaf in sorted(large):
        if schema.column(leaf).physical_type == "BYTE_ARRAY":
            _check_texts(path, names[leaf], len(data))
    return file


def _check_texts(path: Path, name: str, size: int) -> None:
    """Raises PageError if a column's texts, which the file has once each, are too large with their repetitions."""
    with pq.ParquetFile(path, read_dictionary=[name]) as file:
        for group in range(file.metadata.num_row_groups):
            column = file.read_row_group(group, columns=[name], use_threads=False).column(0)
            total = sum(_text_bytes(chunk) for chunk in column.chunks if pa.types.is_dictionary(chunk.type))
            if total > _COMPRESSION * size + _SLACK:
                raise PageError(f"column {name}: {total} bytes of text declared in a file of {size} bytes")


def _text_bytes(texts: pa.DictionaryArray) -> int:
    lengths = pc.cast(pc.binary_length(texts.dictionary), pa.int64())
    return int(pc.sum(pc.take(lengths, texts.indices)).as_py() or 0)


def fixed_bytes(kind: pa.DataType) -> int:
    """Memory of a null value, in bytes: a list of fixed size has room for its values."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * fixed_bytes(kind.value_type)
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    if isinstance(kind, pa.BaseExtensionType):
        return fixed_bytes(kind.storage_type)
    return max(1, int(kind.bit_width) // 8) if pa.types.is_primitive(kind) else 16
