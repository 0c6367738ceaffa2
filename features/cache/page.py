"""The levels of a Parquet data page, which show whether its values can be mapped.

Apache Parquet format, Encodings.md: the levels' hybrid of runs and packed bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.pages import Cursor, PageError


class NotDirect(PageError):
    """A page cannot be mapped; the message is the reason. Another reader may still read it."""


def check_levels(data: bytes, shape: tuple[int, ...], deepest: int) -> None:
    """Raises NotDirect unless `data` describes rows of exactly this shape (rows, *sizes) without nulls.

    `data` has repetition levels, then definition levels, each after its length in four bytes. A value repeats at the
    level of the innermost list that it does not begin; all are defined to the `deepest` level.
    """
    count, at = math.prod(shape), 0
    position = np.arange(count)
    wanted = np.full(count, len(shape) - 1, np.uint8)
    for level in reversed(range(len(shape) - 1)):
        wanted[position % math.prod(shape[level + 1 :]) == 0] = level
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
    cursor, done = Cursor(data), 0
    while done < count:
        try:
            header = cursor.varint()
            if header & 1:
                packed = np.frombuffer(cursor.take((header >> 1) * bits), np.uint8)
                places = np.unpackbits(packed, bitorder="little").reshape(-1, bits)
                values: Any = places @ (1 << np.arange(bits))
                run = min(len(values), count - done)
                values = values[:run]
            else:
                run, values = min(header >> 1, count - done), cursor.byte()
        except PageError as error:
            raise NotDirect("levels end too early") from error
        if not run:
            raise NotDirect("levels with an empty run")
        result[done : done + run] = values
        done += run
    if cursor.at != len(data):
        raise NotDirect("bytes after the levels")
    return result
