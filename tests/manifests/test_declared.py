"""Parquet files that declare far more than they contain are refused before anything is allocated for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.declared import check_rows, open_declared
from manifests.pages import PageError, page_header
from manifests.parquet import open_parquet
from manifests.schema import CorpusError
from tests.support.limits import within
from tests.support.thrift_bytes import varint

PLAIN: dict[str, Any] = {"compression": "NONE", "use_dictionary": False}


def _write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def _refused(path: Path, words: str) -> None:
    with within(2), pytest.raises(PageError, match=words):
        open_declared(path)


@pytest.mark.parametrize("options", [{}, PLAIN, {"compression": "zstd"}, {"data_page_version": "2.0"}], ids=str)
def test_honest_files_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    columns = {
        "id": [f"{number:016x}" for number in range(5000)],
        "same": ["the same text"] * 5000,
        "zero": np.zeros(5000),
        "lists": pa.array([[0.0] * (number % 7) for number in range(5000)], pa.list_(pa.float32())),
        "fixed": pa.array([None if number % 3 else [1.0] * 64 for number in range(5000)], pa.list_(pa.float32(), 64)),
        "null": pa.nulls(5000, pa.string()),
    }
    path = _write(tmp_path / "a.parquet", columns, **options)
    assert open_declared(path).read().equals(pa.table(columns))
    assert open_declared(path, ["id"]).read(["id"]).num_rows == 5000


def test_an_empty_table_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"a": pa.array([], pa.string()), "b": pa.array([], pa.list_(pa.int8()))})
    assert open_declared(path).read().num_rows == 0


def test_rows_without_bytes_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"a": pa.nulls(3_000_000, pa.int8())}, compression="zstd")
    assert path.stat().st_size < 10_000
    _refused(path, r"3000000 rows declared in \d+ bytes")


def test_null_arrays_of_a_fixed_size_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"a": pa.nulls(600, pa.list_(pa.list_(pa.float16(), 1024), 64))}, **PLAIN)
    _refused(path, r"column a: 600 rows of 131072 bytes declared in \d+ bytes")


def test_more_values_than_bytes_are_refused(tmp_path: Path) -> None:
    """One row, a list of 10^8 null values: a run of levels takes five bytes."""
    values = pa.nulls(100_000_000, pa.int8())
    path = _write(tmp_path / "a.parquet", {"a": pa.ListArray.from_arrays([0, 100_000_000], values)}, compression="zstd")
    assert path.stat().st_size < 100_000
    _refused(path, r"column a: 100000000 values declared")


def test_a_page_that_declares_other_values_than_the_footer_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"a": pa.array([[1.0] * 100], pa.list_(pa.float32()))}, **PLAIN)
    data = bytearray(path.read_bytes())
    begin = pq.read_metadata(path).row_group(0).column(0).data_page_offset
    at = data.index(varint(2 * 100), begin, begin + page_header(data[begin:]).length)
    data[at : at + 2] = varint(2 * 8191)
    path.write_bytes(data)
    _refused(path, "column a: 100 values declared, its pages have 8191")


def test_text_that_a_dictionary_repeats_is_measured(tmp_path: Path) -> None:
    words = pa.array(["x" * 1_000_000, "y"])

    def written(long: int) -> Path:
        indices = pa.array([0] * long + [1] * (100_000 - long), pa.int32())
        numbers = np.random.default_rng(0).standard_normal(100_000)
        columns = {"a": pa.DictionaryArray.from_arrays(indices, words), "b": numbers}
        return _write(tmp_path / "a.parquet", columns, store_schema=False)

    _refused(written(100_000), r"column a: 100000000000 bytes of text declared in a file of \d+ bytes")
    assert open_declared(written(3)).metadata.num_rows == 100_000


def test_the_memory_of_a_row_counts(tmp_path: Path) -> None:
    metadata = pq.read_metadata(_write(tmp_path / "a.parquet", {"a": [1, 2, 3]}))
    check_rows(metadata, {"a": 1}, 100)
    with pytest.raises(PageError, match="column a: 3 rows of 1000000000 bytes declared in 100 bytes"):
        check_rows(metadata, {"a": 1_000_000_000}, 100)


@pytest.mark.parametrize("kind", ["pipe", "folder", "empty"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.parquet"
    {"pipe": os.mkfifo, "folder": os.mkdir, "empty": lambda one: Path(one).touch()}[kind](path)
    with within(2), pytest.raises(OSError, match="empty file" if kind == "empty" else "not a regular file"):
        open_declared(path)
    with within(2), pytest.raises(CorpusError, match=r"a\.parquet: (damaged: )?(it is empty|not a regular file)"):
        open_parquet("cuts", path)
