"""Page headers as bytes of Thrift's compact protocol, honest and hostile ones."""

from __future__ import annotations


def varint(value: int) -> bytes:
    """A number without a sign, seven bits a byte, the lowest first."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def number(value: int) -> bytes:
    """A field of type int32 after the one before it: its head and its zigzag number."""
    return b"\x15" + varint(value * 2 if value >= 0 else -value * 2 - 1)


def header(size: int, uncompressed: int, values: int = 1, before: bytes = b"") -> bytes:
    """The header of a plain data page; `before`: fields between its sizes and the counts."""
    page = b"\x1c" + number(values) + number(0) + number(3) + number(3) + b"\x00"
    return number(0) + number(uncompressed) + number(size) + (before or b"") + b"\x2c" + page[1:] + b"\x00"


HOSTILE = {
    "a list of 2^40 doubles": number(0) + b"\x19\xf7" + varint(1 << 40),
    "a list of 2^40 booleans": number(0) + b"\x19\xf1" + varint(1 << 40),
    "a list of lists of lists": number(0) + b"\x19" + b"\xf9\xff\xff\x03" * 5000,
    "structs in structs": b"\x1c" * 5000,
    "a size of -7": header(-7, 10),
    "a size before compression of -7": header(10, -7),
    "a count of -7": header(10, 10, -7),
    "a size of 2^40": header(1 << 40, 10),
    "a number of 5000 bytes": b"\x15" + b"\x80" * 5000 + b"\x00",
    "text past the end": number(0) + b"\x18" + varint(1 << 62) + b"ab",
    "a double past the end": number(0) + b"\x17\x00\x00",
    "an end in the middle": header(10, 10)[:-3],
    "an unknown type": b"\x1d\x00",
    "text as a size": b"\x18\x03abc\x18\x03abc\x18\x03abc\x00",
}
