"""Reads a TensorFlow checkpoint (a "tensor bundle") as arrays, without TensorFlow.

The index is a table in LevelDB's format (https://github.com/google/leveldb/blob/main/doc/table_format.md) of tensor
names and protocol-buffer entries (tensorflow/core/protobuf/tensor_bundle.proto); the data file holds the raw values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.errors import LpseError

FOOTER = 48  # bytes
MAGIC = 0xDB4775248B80FB57
FLOAT = 1  # DT_FLOAT


class BundleError(LpseError):
    """A checkpoint that is damaged or not of this format; the message names the file."""


def read_bundle(prefix: Path) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of `PREFIX.index` and `PREFIX.data-00000-of-00001`, by name. Raises BundleError."""
    index = prefix.with_name(prefix.name + ".index").read_bytes()
    data = prefix.with_name(prefix.name + ".data-00000-of-00001").read_bytes()
    try:
        return dict(_tensors(index, data))
    except (IndexError, ValueError) as error:
        raise BundleError(f"{prefix}: not a readable tensor bundle ({error})") from error


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if len(index) < FOOTER or int.from_bytes(index[-8:], "little") != MAGIC:
        raise ValueError("the index has no table footer")
    at = len(index) - FOOTER
    for _ in range(2):  # the handle of the meta index
        _, at = _varint(index, at)
    offset, at = _varint(index, at)
    size, _ = _varint(index, at)
    for _, handle in _entries(index[offset : offset + size]):
        begin, after = _varint(handle, 0)
        length, _ = _varint(handle, after)
        for key, value in _entries(index[begin : begin + length]):
            if not key:
                continue  # the header of the bundle
            entry = _fields(value)
            if entry.get(1, 0) == FLOAT and isinstance(shape := entry.get(2, b""), bytes):
                start, count = int(entry.get(4, 0)), int(entry.get(5, 0))
                if start + count > len(data):
                    raise ValueError(f"{key.decode()}: its data ends after the file")
                values = np.frombuffer(data[start : start + count], "<f4")
                yield key.decode(), values.reshape(_shape(shape))


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The key-value pairs of a table block; keys share a prefix with the key before."""
    end = len(block) - 4 * (int.from_bytes(block[-4:], "little") + 1)
    if end < 0:
        raise ValueError("a block is shorter than its restart points")
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


def _fields(message: bytes) -> Mapping[int, int | bytes]:
    """The fields of a protocol-buffer message, by number: varints as int, the rest as bytes."""
    fields: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            fields[number], at = _varint(message, at)
        elif wire == 2:
            length, at = _varint(message, at)
            fields[number], at = message[at : at + length], at + length
        elif wire == 5:
            fields[number], at = message[at : at + 4], at + 4
        else:
            raise ValueError(f"unknown wire type {wire}")
    return fields


def _shape(message: bytes) -> tuple[int, ...]:
    """The sizes in a TensorShapeProto: repeated field 2, each with its size in field 1."""
    sizes: list[int] = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        length, at = _varint(message, at)
        if tag >> 3 == 2:
            size = _fields(message[at : at + length]).get(1, 0)
            sizes.append(size if isinstance(size, int) else 0)
        at += length
    return tuple(sizes)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")
