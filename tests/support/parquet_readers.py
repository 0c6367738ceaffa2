"""Programs that read Parquet, each as a function from a file to its rows as plain Python values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]
NAN = "not a number"
"""In place of NaN, which does not equal itself."""


def arrow_rows(path: Path) -> Rows:
    """The rows of pyarrow, which the others are compared with."""
    return [_plain(row) for row in pq.ParquetFile(path).read().to_pylist()]


def _pandas(path: Path, cache: Path) -> Rows:
    rows: Rows = pd.read_parquet(path).to_dict("records")
    # in a column of numbers, a missing one is NaN to pandas
    return [{name: None if _missing(value) else _plain(value) for name, value in row.items()} for row in rows]


def _duckdb(path: Path, cache: Path) -> Rows:
    with duckdb.connect() as connection:
        table = connection.from_parquet(str(path)).to_arrow_table()
    return [_plain(row) for row in table.to_pylist()]


def _polars(path: Path, cache: Path) -> Rows:
    return [_plain(row) for row in polars.read_parquet(path, glob=False).to_dicts()]


def _datasets(path: Path, cache: Path) -> Rows:
    import datasets

    return [_plain(row) for row in datasets.Dataset.from_parquet(str(path), cache_dir=str(cache))]


READERS: Mapping[str, Callable[[Path, Path], Rows]] = {
    "pandas": _pandas,
    "duckdb": _duckdb,
    "polars": _polars,
    "datasets": _datasets,
}
"""By the reader's name: a function of the file and a folder for the reader's own files."""


def _missing(value: Any) -> bool:
    return value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """Lists for sequences, UTC for times, NAN for NaN."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray | polars.Series):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, datetime):
        return datetime.fromtimestamp(value.timestamp(), UTC)
    if isinstance(value, float) and math.isnan(value):
        return NAN
    return value
