"""The header and the levels of a Parquet data page, which show whether its values can be mapped.

Apache Parquet format, parquet.thrift (PageHeader), in Thrift's compact protocol; Encodings.md for the levels' hybrid of
runs and packed bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA_PAGE = 0
PLAIN, RLE = 0, 3


class NotDirect(ValueError):
    """A page cannot be mapped; the message is the reason. Another reader may still read it."""


@dataclass(frozen=True)
class PageHeader:
    """Header of a page: `length` of the header itself and `size` of the content after it, in bytes of the file.

    `crc` of the content, or None. The other fields belong to data pages (version 1) and are None for other kinds.
    """

    kind: int
    length: int
    size: int
    uncompressed: int
    crc: int | None
    values: int | None = None
    encoding: int | None = None
    definition_encoding: int | None = None
    repetition_encoding: int | None = None


def page_header(data: bytes) -> PageHeader:
    """The header at the start of `data`. Raises NotDirect if it is missing."""
    try:
        fields, length = _struct(data, 0)
        data_page = fields.get(5, {})
        crc = fields.get(4)
        return PageHeader(
            kind=fields[1],
            length=length,
            size=fields[3],
            uncompressed=fields[2],
            crc=None if crc is None else crc & 0xFFFFFFFF,
            values=data_page.get(1),
            encoding=data_page.get(2),
            definition_encoding=data_page.get(3),
            repetition_encoding=data_page.get(4),
        )
    except (IndexError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise NotDirect("no page header") from error


def check_levels(data: bytes, shape: tuple[int, ...], deepest: int) -> None:
    """Raises NotDirect unless `data` describes rows of exactly this shape (rows, *sizes) without nulls.

    `data` has repetition levels, then definition levels, each after its length in four bytes. A value repeats at the
    level of the innermost list that it does not begin; all are defined to the `deepest` level.
    """
    count, at = int(np.prod(shape)), 0
    position = np.arange(count)
    wanted = np.full(count, len(shape) - 1, np.uint8)
    for level in reversed(range(len(shape) - 1)):
        wanted[position % int(np.prod(shape[level + 1 :])) == 0] = level
    for name, levels, highest in (("repetition", wanted, len(shape) - 1), ("definition", None, deepest)):
        length = int.from_bytes(data[at : at + 4], "little")
        decoded = _levels(data[at + 4 : at + 4 + length], highest.bit_length(), count)
        if not (np.array_equal(decoded, levels) if levels is not None else bool((decoded == deepest).all())):
            raise NotDirect(f"{name} levels do not describe full rows of the shape {shape[1:]}")
        at += 4 + length
    if at != len(data):
        raise NotDirect("bytes between levels and values")


def _levels(data: bytes, bits: int, count: int) -> NDArray[np.uint8]:
    """Decode the first `count` numbers, of at most 8 `bits` each, from the hybrid of runs and packed bits."""
    result = np.zeros(count, np.uint8)
    done = at = 0
    while done < count:
        try:
            header, at = _varint(data, at)
            if header & 1:
                size = (header >> 1) * bits
                packed = np.frombuffer(data, np.uint8, size, at)
                places = np.unpackbits(packed, bitorder="little").reshape(-1, bits)
                values: Any = places @ (1 << np.arange(bits))
                run = min(len(values), count - done)
                values = values[:run]
                at += size
            else:
                run, values = min(header >> 1, count - done), data[at]
                at += 1
        except (IndexError, ValueError) as error:
            raise NotDirect("levels end too early") from error
        if not run:
            raise NotDirect("levels with an empty run")
        result[done : done + run] = values
        done += run
    if at != len(data):
        raise NotDirect("bytes after the levels")
    return result


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """Decode a zigzag number: 0, -1, 1, -2 … are stored as 0, 1, 2, 3 …"""
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _binary(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _varint(data, at)
    return data[at : at + length], at + length


def _sequence(data: bytes, at: int) -> tuple[list[Any], int]:
    count, kind = data[at] >> 4, data[at] & 15
    at += 1
    if count == 15:
        count, at = _varint(data, at)
    values = []
    for _ in range(count):
        value, at = _value(data, at, kind)
        values.append(value)
    return values, at


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Decode a struct: values by field number, which is stored as the distance from the last one, or in full."""
    fields: dict[int, Any] = {}
    number = 0
    while data[at]:
        distance, kind = data[at] >> 4, data[at] & 15
        at += 1
        if distance:
            number += distance
        else:
            number, at = _integer(data, at)
        if kind in (1, 2):  # a truth value is its own type
            fields[number] = kind == 1
        else:
            fields[number], at = _value(data, at, kind)
    return fields, at + 1


_READERS: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {
    1: lambda data, at: (data[at] == 1, at + 1),
    2: lambda data, at: (data[at] == 1, at + 1),
    3: lambda data, at: (data[at], at + 1),
    4: _integer,
    5: _integer,
    6: _integer,
    7: lambda data, at: (data[at : at + 8], at + 8),
    8: _binary,
    9: _sequence,
    10: _sequence,
    12: _struct,
}


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    return _READERS[kind](data, at)
