"""Caches that nobody vouches for: every fault is a line of `check` and one error of the reader, at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cache import CacheError, FeatureCache, check
from features.cache.index import read_index
from features.cache.page import NotDirect, check_levels
from features.cache.tables import part_writer
from manifests.pages import page_header
from tests.support.cache_cases import cache_of, some
from tests.support.limits import within
from tests.support.thrift_bytes import HOSTILE, varint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return cache_of(tmp_path / "cache", some(4), part_bytes=1 << 20)


def _everything(path: Path) -> None:
    """Read all that a cache has."""
    cache = FeatureCache(path)
    cache.take(range(len(cache)))
    for row in range(len(cache.cuts)):
        cache.whole(row)


def _refused(path: Path, words: str = "") -> None:
    with within(10):
        found = [str(problem) for problem in check(path)]
        assert found and any(words in line for line in found), found
        assert all(len(line.splitlines()) == 1 for line in found)
        with pytest.raises(CacheError):
            _everything(path)


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("folder", ["clips", "cuts", "texts"])
def test_a_hostile_page_header_is_named(path: Path, folder: str, data: bytes) -> None:
    part = path / folder / "part-00000.parquet"
    metadata, content = pq.read_metadata(part), bytearray(part.read_bytes())
    chunk = metadata.row_group(0).column(metadata.num_columns - 1)
    data = data[: chunk.total_compressed_size]
    content[chunk.data_page_offset : chunk.data_page_offset + len(data)] = data
    part.write_bytes(content)
    _refused(path, "no page header")


def test_values_sliced_past_the_end_are_named(path: Path) -> None:
    """The header of the last page declares as many bytes as reach beyond the footer."""
    part = path / "clips" / "part-00000.parquet"
    metadata, content = pq.read_metadata(part), bytearray(part.read_bytes())
    chunk = metadata.row_group(metadata.num_row_groups - 1).column(metadata.num_columns - 1)
    made = page_header(content[chunk.data_page_offset :])
    head = content[chunk.data_page_offset : chunk.data_page_offset + made.length]
    zigzag = varint(2 * made.size)
    assert head.count(zigzag) == 2, "before and after compression"
    larger = zigzag[:-1] + bytes([zigzag[-1] | 0x40])
    content[chunk.data_page_offset : chunk.data_page_offset + made.length] = head.replace(zigzag, larger)
    part.write_bytes(content)
    _refused(path, "a page extends beyond its column")


@pytest.mark.parametrize("name", ["set.json", "index.parquet", "clips/part-00000.parquet", "cuts/part-00000.parquet"])
def test_a_pipe_in_place_of_a_file_is_not_opened(path: Path, name: str) -> None:
    (path / name).unlink()
    os.mkfifo(path / name)
    _refused(path, "not a regular file")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: spec["audio"].update(dimension=1 << 40), "their product at most"),
        (lambda spec: spec["audio"].update(dimension=-8), "must be at least 1"),
        (lambda spec: spec["audio"].update(length="12"), "must be whole numbers"),
        (lambda spec: spec["audio"].update(length=12.5), "must be whole numbers"),
        (lambda spec: spec.update(clip_seconds=None), "clip_seconds None"),
        (lambda spec: spec.update(visual=[]), "not the description of a feature cache"),
        (lambda spec: spec.update(audio=None), "with audio"),
    ],
)
def test_sizes_in_the_description_are_checked(path: Path, change: Callable[[Any], None], words: str) -> None:
    spec = json.loads((path / "set.json").read_text())
    change(spec)
    (path / "set.json").write_text(json.dumps(spec))
    _refused(path, words)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"format": ' + "9" * 6000 + "}", "\x00", '{"format": 1, "audio": ' + '{"a":' * 90_000]
)
def test_a_description_of_any_depth_is_refused(path: Path, text: str) -> None:
    (path / "set.json").write_text(text)
    _refused(path, "not the description of a feature cache")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("row", -1),
        ("row", 1 << 40),
        ("cut_row", -3),
        ("cut_row", 1 << 62),
        ("text_row", -1),
        ("text_row", 99),
        ("part", -1),
        ("part", 77),
        ("clips", -1),
        ("clips", (1 << 31) - 1),
        ("clip_starts", []),
    ],
)
def test_numbers_of_the_index_are_checked_before_they_are_used(path: Path, column: str, value: object) -> None:
    table = read_index(path)
    rows = table.to_pylist()
    rows[1][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path / "index.parquet")
    _refused(path, "index.parquet: row 1, cut c1")


@pytest.mark.parametrize("counts", [[1, 2, -3, 4], [1, 2, 3, (1 << 31) - 1], [1, None, 3, 4], [1, 2, 3, 5]], ids=str)
def test_counts_of_the_cuts_are_checked_before_they_are_used(path: Path, counts: list[Any]) -> None:
    part = path / "cuts" / "part-00000.parquet"
    table = pq.read_table(part)
    column = table.schema.get_field_index("clips")
    changed = table.set_column(column, pa.field("clips", pa.int32()), pa.array(counts, pa.int32()))
    with part.open("wb") as file, part_writer(file, changed.schema) as writer:
        writer.write_table(changed, row_group_size=1)
    with within(10):
        found = [str(problem) for problem in check(path)]
    assert (found and "clips" in found[0]) or "null" in found[0], found


def test_another_kind_of_column_is_named(path: Path) -> None:
    part = path / "clips" / "part-00000.parquet"
    table = pq.read_table(part)
    column = table.schema.get_field_index("mean")
    structs = pa.array([{"a": 1.0, "b": "x"}] * len(table))
    pq.write_table(table.set_column(column, "mean", structs), part)
    _refused(path, "column mean")


@given(
    st.binary(max_size=80),
    st.lists(st.integers(1, 9), min_size=2, max_size=3),
    st.integers(1, 3),
)
def test_levels_of_anything_end_well(data: bytes, shape: list[int], deepest: int) -> None:
    with within(5):
        try:
            check_levels(data, tuple(shape), deepest)
        except NotDirect as reason:
            assert len(str(reason).splitlines()) == 1
        else:
            assert len(data) > 8


@given(st.integers(0, 199), st.binary(min_size=1, max_size=4))
def test_damaged_levels_are_never_taken_for_others(at: int, damage: bytes) -> None:
    """A change of the levels is refused, or they describe the same rows."""
    levels = _levels_of((3, 5, 40))
    changed = levels[: at % len(levels)] + damage + levels[at % len(levels) + len(damage) :]
    try:
        check_levels(changed, (3, 5, 40), 2)
    except NotDirect:
        return
    assert len(changed) >= 8


def _levels_of(shape: tuple[int, ...]) -> bytes:
    """The levels that pyarrow writes for full rows of a shape."""
    kind: pa.DataType = pa.field("element", pa.float32(), nullable=False)
    for size in reversed(shape[1:]):
        kind = pa.field("element", pa.list_(kind, size), nullable=False)
    file = pa.BufferOutputStream()
    array = pa.array(np.zeros(shape, np.float32).tolist(), kind.type)
    pq.write_table(pa.table({"a": array}), file, compression="NONE", use_dictionary=False)
    data: bytes = file.getvalue().to_pybytes()
    chunk = pq.read_metadata(pa.BufferReader(data)).row_group(0).column(0)
    made = page_header(data[chunk.data_page_offset :])
    begin = chunk.data_page_offset + made.length
    return data[begin : begin + made.size - 4 * int(np.prod(shape))]
