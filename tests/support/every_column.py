"""Rows that fill every column of a table: extremes, empty lists, lists of structs, and nulls where they may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.schema import SCHEMAS, SHARDED

HALVES = (0.0, 1.0, -120.0, 65504.0, 6e-8, float("nan"), 0.333, float("-inf"))
"""float16 values at the ends of its range, unscored, and between."""
WHOLE = (0, 7, -3, 127)
FRACTIONS = (0.25, -1e-12, 1e300, 3.0)
WORDS = ("plain", "é – ü 漢", "", "two\nlines", 'quote " and \\')


def rows_of(name: str, count: int) -> pa.Table:
    """`count` rows of table `name`, which differ in their primary key; those of one file where a file holds one."""
    schema = SCHEMAS[name]
    same = ("recording_id", *SHARDED[name]) if name in SHARDED else ()
    columns = []
    for field in schema:
        values = [_value(field, 0 if field.name in same else number) for number in range(count)]
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def _value(field: pa.Field, number: int) -> Any:
    if field.nullable and number % 3 == 1:
        return None
    kind = field.type
    if pa.types.is_list(kind):
        return [_value(pa.field("element", kind.value_type, False), number + i) for i in range((number % 4) * 5)]
    if pa.types.is_struct(kind):
        return {inner.name: _value(inner, number) for inner in kind}
    if pa.types.is_string(kind):
        ids = field.name.endswith(("_id", "key", "item", "kind", "detector"))
        return f"{field.name}{number:04d}" if ids else WORDS[number % len(WORDS)]
    if pa.types.is_boolean(kind):
        return number % 2 == 0
    if pa.types.is_timestamp(kind):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=900 * number, microseconds=number)
    if pa.types.is_uint64(kind):
        return (2**64 - 1) - number
    if pa.types.is_integer(kind):
        return WHOLE[number % len(WHOLE)]
    if pa.types.is_float16(kind):
        return np.float16(HALVES[number % len(HALVES)])
    return float(number) if field.name == "start" else FRACTIONS[number % len(FRACTIONS)]
