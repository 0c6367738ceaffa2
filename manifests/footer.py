"""The footer of a Parquet file, checked for what makes pyarrow end the whole process.

pyarrow 26 aborts, instead of raising, where the size statistics of a column have another number of levels than its
schema (`RowGroupMetaData.column`).
"""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq

from .pages import PageError

_DEPTH = 16
# the way from FileMetaData to the counts of levels: row_groups, columns, meta_data, size_statistics, its two histograms
_COLUMN, _REPETITION, _DEFINITION = 3, 2, 3
_WAY: dict[int, Any] = {4: {1: {_COLUMN: {16: {_REPETITION: None, _DEFINITION: None}}}}}


def check_footer(content: memoryview, metadata: pq.FileMetaData) -> None:
    """Raises PageError if pyarrow would abort on a column of this file; `metadata` is its footer as pyarrow read it."""
    length = int.from_bytes(content[-8:-4], "little")
    schema = metadata.schema
    wanted = [
        (schema.column(leaf).max_repetition_level + 1, schema.column(leaf).max_definition_level + 1)
        for leaf in range(len(schema))
    ]
    footer = bytes(content[max(0, len(content) - 8 - length) : -8])
    for number, counts in enumerate(_histograms(footer) if wanted else []):
        for count, levels in zip(counts, wanted[number % len(wanted)], strict=True):
            if count not in (0, levels):
                raise PageError(f"column {number % len(wanted)}: statistics of {count} levels, it has {levels}")


def _histograms(footer: bytes) -> list[list[int]]:
    """The lengths of both histograms of each column of each row group; 0 for a missing one."""
    found: list[list[int]] = []
    try:
        _struct(footer, 0, _WAY, found, 0)
    except IndexError as error:
        raise PageError("its footer ends too early") from error
    return found


def _struct(data: bytes, at: int, way: Any, found: list[list[int]], depth: int) -> int:
    """The position after a struct. On the `way`, {field: the way below it}, histograms are added to `found`."""
    if depth > _DEPTH:
        raise PageError("its footer is nested too deeply")
    number = 0
    while head := data[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            zigzag, at = _varint(data, at)
            number = (zigzag >> 1) ^ -(zigzag & 1)
        below = way.get(number) if way else None
        if below is not None and number == _COLUMN and kind == 12:
            found.append([0, 0])
        if way is not None and number in way and below is None and kind == 9 and found:
            found[-1][number - _REPETITION] = _size(data, at)[0]
        at = _skip(data, at, kind, below, found, depth + 1)
    return at + 1


def _skip(data: bytes, at: int, kind: int, way: Any, found: list[list[int]], depth: int) -> int:
    """The position after a value."""
    if kind in (4, 5, 6):
        while data[at] & 0x80:
            at += 1
        return at + 1
    if kind in (1, 2):  # a truth value is its own type
        return at
    if kind == 3:
        return at + 1
    if kind == 7:
        return at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return at + length
    if kind == 12:
        return _struct(data, at, way, found, depth)
    if kind not in (9, 10):
        raise PageError("its footer has an unknown type")
    count, item, at = _size(data, at)
    if count > len(data) - at:  # each takes a byte at least
        raise PageError("its footer ends too early")
    if item in (1, 2):
        return at + count
    for _ in range(count):
        at = _skip(data, at, item, way, found, depth + 1)
    return at


def _size(data: bytes, at: int) -> tuple[int, int, int]:
    """Length of a list, kind of its values, and position of the first."""
    count, kind = data[at] >> 4, data[at] & 15
    at += 1
    if count == 15:
        count, at = _varint(data, at)
    return count, kind, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise PageError("its footer has a number of more than 64 bits")
