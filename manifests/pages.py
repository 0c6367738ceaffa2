"""The headers of Parquet's pages, read from files that may be damaged or hostile.

Apache Parquet format, parquet.thrift (PageHeader), in Thrift's compact protocol. Every length, size and count is
compared with the bytes that follow it before it is used; the work is proportional to the bytes of the header.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import LpseError

DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_2 = 0, 2, 3
PLAIN, RLE = 0, 3

_HEADER = 1 << 16  # bytes; a header without statistics takes some thirty
_DEPTH = 12  # structs and lists within one another; a footer has eight
_LARGEST = (1 << 31) - 1  # of a size or a count: the format stores them as int32


class PageError(LpseError, ValueError):
    """Bytes that are not pages of Parquet; the message is one line without the file."""


@dataclass(frozen=True)
class PageHeader:
    """Header of a page: `length` of the header itself and `size` of the content after it, in bytes of the file.

    `crc` of the content, or None. `values` belongs to data pages, the encodings to those of version 1; None for others.
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


def page_header(data: bytes | bytearray | memoryview) -> PageHeader:
    """The header at the start of `data`. Raises PageError if it is missing, or has a negative size or count."""
    cursor = Cursor(data)
    fields = cursor.struct(0)
    crc = fields.get(4)
    kind = _count(fields.get(1))
    page = fields.get({DATA_PAGE: 5, DATA_PAGE_2: 8}.get(kind, 0), {})
    if not isinstance(page, dict) or not isinstance(crc, int | None):
        raise PageError("no page header")
    first = kind == DATA_PAGE
    return PageHeader(
        kind=kind,
        length=cursor.at,
        size=_count(fields.get(3)),
        uncompressed=_count(fields.get(2)),
        crc=None if crc is None else crc & 0xFFFFFFFF,
        values=_count(page.get(1)) if kind in (DATA_PAGE, DATA_PAGE_2) else None,
        encoding=_count(page.get(2)) if first else None,
        definition_encoding=_count(page.get(3)) if first else None,
        repetition_encoding=_count(page.get(4)) if first else None,
    )


def pages(data: memoryview, begin: int, end: int) -> Iterator[tuple[int, PageHeader]]:
    """Yield the position and the header of each page in the bytes [begin, end) of a file.

    Raises PageError for a page without a header, and for one that extends beyond its column or the file.
    """
    if not 0 <= begin <= end <= len(data):
        raise PageError("a page extends beyond the file")
    at = begin
    while at < end:
        header = page_header(data[at : min(end, at + _HEADER)])
        if at + header.length + header.size > end:
            raise PageError("a page extends beyond its column")
        yield at, header
        at += header.length + header.size


def _count(value: Any) -> int:
    """A size, a count or the number of a kind. Raises PageError for anything but a whole number from 0 on."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise PageError("no page header")
    return value


class Cursor:
    """Position in bytes of Thrift's compact protocol. Reading beyond the end raises PageError."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> bytes | bytearray | memoryview:
        """The next `count` bytes, all of them."""
        if count > len(self._data) - self.at:
            raise PageError("no page header")
        self.at += count
        return self._data[self.at - count : self.at]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Decode a number of up to 64 bits, seven of them a byte, the lowest first."""
        value = 0
        for shift in range(0, 70, 7):  # 64 bits
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise PageError("no page header")

    def integer(self) -> int:
        """Decode a zigzag number: 0, -1, 1, -2 … are stored as 0, 1, 2, 3 …"""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def struct(self, depth: int) -> dict[int, Any]:
        """Decode a struct: values by field number, which is stored as the distance from the last one, or in full."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            distance, kind = head >> 4, head & 15
            number = number + distance if distance else self.integer()
            # a truth value is its own type
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth + 1)
        return fields

    def _sequence(self, depth: int) -> list[Any]:
        head = self.byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self.varint()
        if count > len(self._data) - self.at:  # each value takes a byte at least
            raise PageError("no page header")
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise PageError("no page header")
        match kind:
            case 1 | 2:
                return self.byte() == 1
            case 3:
                return self.byte()
            case 4 | 5 | 6:
                return self.integer()
            case 7:
                return self.take(8)
            case 8:
                return self.take(self.varint())
            case 9 | 10:
                return self._sequence(depth)
            case 12:
                return self.struct(depth)
            case _:
                raise PageError("no page header")
